//! What people and programs read on standard output. The only module besides `room` and `main` that prints.
//!
//! A reader that goes away (a closed pipe) is no error.

use std::io::Write;

use serde_json::Value;

pub mod copies;
pub mod status;
pub mod tokens;
pub mod verify;

mod page;

#[cfg(test)]
mod tests;

/// Prints one line of data on standard output.
pub fn line(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints a text that ends with a line feed.
pub fn text(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Prints JSON, indented.
pub fn json(value: &Value) {
    let _ = writeln!(std::io::stdout(), "{value:#}");
}

/// Prints a remark for people on standard error.
pub fn remark(remark: &str) {
    let _ = writeln!(std::io::stderr(), "claviger: {remark}");
}

//! What people and programs read on standard output. The only module besides `room` and `main` that prints.
//!
//! A reader that goes away (a closed pipe) is no error.

use std::io::Write;

use serde_json::Value;

use crate::transcript::document::is_text;

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

/// Prints a remark for people on standard error. Nothing in it steers the terminal.
pub fn remark(remark: &str) {
    let _ = writeln!(std::io::stderr(), "claviger: {}", readable(remark));
}

/// Names of files, readers and copies come from anywhere: nothing of them may move the cursor, hide text or turn it around.
pub fn readable(text: &str) -> String {
    let shown = |c: char| is_text(c.encode_utf8(&mut [0; 4]));
    text.chars().map(|c| if shown(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

//! What integration tests share: a real pcscd with virtual cards, and a person at a terminal.
//!
//! (`mod.rs`, because Cargo would take `tests/harness.rs` for a test of its own.)

#![allow(dead_code, unused_imports)]

mod card;
pub mod crew;
mod pcscd;
mod terminal;

pub use card::{Pull, VirtualCard};
pub use pcscd::Pcscd;
pub use terminal::Terminal;

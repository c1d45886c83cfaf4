//! The protocol of claviger as an explicit-state model for [`stateright`]: n tokens, copies of one vault, sessions of the
//! program that are cut off anywhere. What each rule is for is shown by breaking it: see [`Mistake`].
//!
//! The model follows the code, not the design: `judge` is `src/transcript/judge`, `admission` is `src/ceremony/admission`,
//! `sessions` is `open`, `stage`, `commit`, `close` and `reveal` of `src/ceremony`. What it leaves out is in
//! `docs/assurance.md`.

mod actions;
mod admission;
mod check;
mod config;
mod judge;
pub mod properties;
mod protocol;
mod sessions;
mod state;
mod symmetry;
mod way_on;

pub use admission::{Hindrance, Welcome};
pub use check::{Found, Report, check};
pub use config::{Bounds, Mistake};
pub use judge::{Fate, Stage};

//! What is fuzzed: one function for each target. A target does not only ask that nothing panics; each says in its header
//! what must hold of whatever its reader believed, and checks that in another way than claviger does.
//!
//! `make fuzz` runs them under libFuzzer (`targets/` has a file of three lines for each); `tests/fuzz_corpus.rs` runs every
//! entry of `corpus/`, and some thousand mutations of them, without it.

#![allow(dead_code)]

pub mod card;
pub mod certificates;
pub mod documents;
pub mod envelope;
pub mod items;
pub mod policy;
mod stanzas;
pub mod token_file;
pub mod vault;
pub mod world;

/// Reads one input. Panics if something does not hold.
pub type Target = fn(&[u8]);

/// Every target, by name; its corpus is `corpus/NAME/`.
pub const TARGETS: [(&str, Target); 8] = [
    ("documents", documents::run),
    ("policy", policy::run),
    ("envelope", envelope::run),
    ("items", items::run),
    ("certificates", certificates::run),
    ("card", card::run),
    ("token_file", token_file::run),
    ("vault", vault::run),
];

//! age files: share envelopes to tokens, items to the vault, proposals to the inbox (`docs/format.md`, 5.2 to 5.5).

pub mod item;
pub mod root;
pub mod share;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealingError {}

//! Kinds of credentials: what a ceremony does with an item's payload (`docs/format.md`, 5.4).

use std::io::{Read, Write};

use crate::encoding::Name;
use crate::policy::PasswordRule;

pub mod opaque;
pub mod password;

/// The kinds that this version knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Opaque,
    Password,
}

/// Which credential of an item a grant names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Installed,
    Next,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {}

/// A payload to be sealed, and what the manifest says of it in `public`.
pub struct Prepared<'r> {
    pub payload: Box<dyn Read + 'r>,
    pub public: serde_json::Value,
}

impl Kind {
    /// An inbox file's plaintext becomes a payload.
    pub fn admit<'r>(self, proposal: Box<dyn Read + 'r>) -> Result<Prepared<'r>, CredentialError> { todo!() }
    /// A use under a grant: the granted credential becomes `installed`, a new `next` is made (where the kind has one). `generation` is the one being made; `public` the item's in the parent.
    pub fn renew<'r>(self, payload: Box<dyn Read + 'r>, granted: Which, rule: &PasswordRule, generation: u64) -> Result<Prepared<'r>, CredentialError> { todo!() }
    /// Writes one credential out. After `renew` the granted one is `Which::Installed`.
    pub fn reveal(self, payload: &mut dyn Read, which: Which, out: &mut dyn Write) -> Result<(), CredentialError> { todo!() }
}
impl TryFrom<&Name> for Kind {
    type Error = CredentialError;
    fn try_from(name: &Name) -> Result<Self, CredentialError> { todo!() }
}
impl From<Kind> for Name {
    fn from(kind: Kind) -> Self { todo!() }
}

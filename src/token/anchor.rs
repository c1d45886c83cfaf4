//! The anchor: what a token says of a vault (`docs/format.md`, 6.2).

pub mod certificate;

pub use certificate::{certificate, read};

use serde::{Deserialize, Serialize};

use crate::encoding::{Digest, Document, PublicKey, Time};
use crate::error::{Advice, Exit};
use crate::token::slot::Slot;

/// What a token says of a vault: the generation that it closed last, the ceremony it is in, its share keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// `claviger/v1 anchor`.
    pub format: String,
    /// Vault id.
    pub vault: Digest,
    /// One more at every writing; the highest counts.
    pub sequence: u64,
    /// The generation that this token closed last; 0: none.
    pub closed: u64,
    /// Digest of the manifest that it closed; `None` when `closed` is 0.
    pub manifest: Option<Digest>,
    /// The ceremony that the token is in.
    pub ceremony: Option<CeremonyMark>,
    /// The highest ceremony number that this token has been in.
    pub number: u64,
    /// Share keys of this vault on this token, by slot.
    pub keys: Vec<AnchorKey>,
}

/// A ceremony that a token is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CeremonyMark {
    /// Ceremony id: the digest of its plan.
    pub id: Digest,
    /// Its number.
    pub number: u64,
    /// Digest of the manifest that it consumes; `None` at founding.
    pub consumes: Option<Digest>,
    /// When it was started.
    pub started: Time,
}

/// A share key of a vault on a token, or the place reserved for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnchorKey {
    /// Where.
    pub slot: Slot,
    /// `None`: reserved; a key may be there, and nothing was ever sealed to it.
    pub public: Option<PublicKey>,
    /// Number of the ceremony that made it.
    pub made: u64,
    /// Destroyed, or about to be by making another key over it.
    pub spent: bool,
}

impl Serialize for AnchorKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.slot, self.public, self.made, self.spent).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for AnchorKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (slot, public, made, spent) = Deserialize::deserialize(deserializer)?;
        Ok(Self { slot, public, made, spent })
    }
}

/// Counters above this are no honest token's: nothing counts so far, and what is added to them must stay an integer of JSON.
const MAX_VALUE: u64 = 1 << 52;

impl Document for Anchor {
    const FORMAT: &'static str = "claviger/v1 anchor";

    fn format(&self) -> &str {
        &self.format
    }
}

impl Anchor {
    /// The anchor of a token that has nothing of `vault` yet; not written anywhere.
    pub fn new(vault: Digest) -> Self {
        Self {
            format: Self::FORMAT.to_owned(),
            vault,
            sequence: 0,
            closed: 0,
            manifest: None,
            ceremony: None,
            number: 0,
            keys: Vec::new(),
        }
    }

    /// The entry of a slot.
    pub fn key_in(&self, slot: Slot) -> Option<&AnchorKey> {
        self.keys.iter().find(|key| key.slot == slot)
    }

    /// Where `public` is, unless it is spent.
    pub fn slot_of(&self, public: &PublicKey) -> Option<Slot> {
        self.keys.iter().find(|key| key.public.as_ref() == Some(public) && !key.spent).map(|key| key.slot)
    }

    /// Whether the members agree with each other.
    pub(crate) fn check(&self) -> Result<(), AnchorError> {
        let small = [self.sequence, self.number, self.closed].into_iter().all(|value| value < MAX_VALUE);
        if !small {
            return Err(AnchorError::Contradiction);
        }
        let closed = (self.closed == 0) == self.manifest.is_none();
        let number = self.ceremony.as_ref().is_none_or(|ceremony| ceremony.number <= self.number);
        let sorted = self.keys.is_sorted_by(|a, b| a.slot < b.slot);
        if closed && number && sorted { Ok(()) } else { Err(AnchorError::Contradiction) }
    }

    /// Puts an entry in the place of whatever was noted for its slot.
    pub(crate) fn set(&mut self, entry: AnchorKey) {
        self.keys.retain(|key| key.slot != entry.slot);
        self.keys.push(entry);
        self.keys.sort_by_key(|key| key.slot);
    }
}

/// A certificate claims to be an anchor and is none that counts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnchorError {
    /// Not signed by the custodian's signing key.
    #[error("the anchor is not signed by the token's signing key")]
    Signature,
    /// Not in the one form that an anchor has.
    #[error("the anchor is not in the form of version 1")]
    Form,
    /// The anchor's document does not parse.
    #[error("the anchor does not parse")]
    Document(#[source] crate::encoding::EncodingError),
    /// The members contradict each other.
    #[error("the anchor contradicts itself")]
    Contradiction,
}

impl Advice for AnchorError {
    fn hint(&self) -> Option<String> {
        Some("set the token aside and go on with another custodian; k custodians can except it by name".to_owned())
    }

    fn exit(&self) -> Exit {
        Exit::Verification
    }
}

#[cfg(test)]
mod tests;

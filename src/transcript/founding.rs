//! The founding body and the copy mark (`docs/format.md`, 3.1 and 3.2).

use serde::{Deserialize, Serialize};

use super::document::{Checked, DocumentError, distinct, document, rule};
use crate::encoding::{Digest, Document, Name, Nonce16, PublicKey};

/// 32 random bytes; written as 64 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nonce32(Digest);

impl Nonce32 {
    /// From its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Digest::from_bytes(bytes))
    }

    /// A fresh one from the operating system.
    ///
    /// # Errors
    /// If the operating system has no randomness to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self::from_bytes(bytes))
    }
}

/// A custodian on the roster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RosterEntry {
    /// 1 to n; also the x-coordinate of the custodian's shares.
    pub index: u8,
    /// Different from all others.
    pub name: Name,
    /// For example a site or a team.
    pub group: Option<Name>,
    /// The key in slot 9C of the custodian's token.
    pub signing_key: PublicKey,
}

impl RosterEntry {
    /// The stem of this custodian's files: index (two digits, three above 99) and name, `01-alice`.
    pub fn stem(&self) -> String {
        format!("{:02}-{}", self.index, self.name)
    }
}

/// Checks threshold and roster: n/2 < k <= n, indices 1 to n, names and signing keys different.
pub(super) fn check_roster<T: Document>(k: u8, roster: &[RosterEntry]) -> Result<(), DocumentError> {
    rule::<T>((1..=255).contains(&roster.len()), "the roster has 1 to 255 custodians")?;
    let numbered = roster.iter().zip(1..=255).all(|(entry, index)| entry.index == index);
    rule::<T>(numbered, "the indices of the roster are 1 to n, in order")?;
    rule::<T>(distinct(roster.iter().map(|entry| &entry.name)), "the names of the roster differ")?;
    rule::<T>(distinct(roster.iter().map(|entry| entry.signing_key)), "the signing keys of the roster differ")?;
    let (k, n) = (usize::from(k), roster.len());
    rule::<T>(k <= n && 2 * k > n, "the threshold k is more than half of n and at most n")
}

/// `vault.json`: its digest is the vault id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Founding {
    /// `claviger/v1 vault`.
    pub format: String,
    /// A drill vault, for ever.
    pub practice: bool,
    /// The threshold.
    pub k: u8,
    /// Digest of `policy.toml` at founding.
    pub policy: Digest,
    /// Makes the vault id unique.
    pub random: Nonce32,
    /// By index, 1 to n.
    pub roster: Vec<RosterEntry>,
}

document!(Founding, "claviger/v1 vault");

impl Founding {
    /// A founding body with `format` filled in.
    ///
    /// # Errors
    /// [`DocumentError::Rule`].
    pub fn new(
        practice: bool,
        k: u8,
        policy: Digest,
        random: Nonce32,
        roster: Vec<RosterEntry>,
    ) -> Result<Self, DocumentError> {
        let founding = Self { format: Self::FORMAT.to_owned(), practice, k, policy, random, roster };
        founding.check()?;
        Ok(founding)
    }
}

impl Checked for Founding {
    fn check(&self) -> Result<(), DocumentError> {
        check_roster::<Self>(self.k, &self.roster)
    }
}

/// `copy.json`: which copy of the vault this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopyMark {
    /// `claviger/v1 copy`.
    pub format: String,
    /// Different for every copy.
    pub id: Nonce16,
    /// The vault id.
    pub vault: Digest,
}

document!(CopyMark, "claviger/v1 copy");

impl CopyMark {
    /// A mark with `format` filled in.
    pub fn new(id: Nonce16, vault: Digest) -> Self {
        Self { format: Self::FORMAT.to_owned(), id, vault }
    }
}

impl Checked for CopyMark {
    fn check(&self) -> Result<(), DocumentError> {
        Ok(())
    }
}

//! Closings: a custodian's word that the new generation opened and the older keys are gone (`docs/format.md`, 3.7).

use serde::{Deserialize, Serialize};

use super::document::{Checked, DocumentError, ascending, document, integer, rule};
use crate::encoding::{Digest, Document, PublicKey, Time};

/// `closings/NN-NAME.json`: signed by the custodian's signing key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closing {
    /// `claviger/v1 closing`.
    pub format: String,
    /// The vault id.
    pub vault: Digest,
    /// The generation that was opened.
    #[serde(deserialize_with = "integer")]
    pub generation: u64,
    /// Digest of its manifest.
    pub manifest: Digest,
    /// The custodian.
    pub index: u8,
    /// The key whose envelope of this generation was opened.
    pub share_key: PublicKey,
    /// The older share keys of this vault that were on the token and are gone; sorted.
    pub destroyed: Vec<PublicKey>,
    /// When.
    pub time: Time,
}

document!(Closing, "claviger/v1 closing");

impl Closing {
    /// A closing with `format` filled in and `destroyed` sorted.
    ///
    /// # Errors
    /// [`DocumentError::Rule`].
    pub fn new(
        vault: Digest,
        (generation, manifest): (u64, Digest),
        index: u8,
        share_key: PublicKey,
        mut destroyed: Vec<PublicKey>,
        time: Time,
    ) -> Result<Self, DocumentError> {
        destroyed.sort();
        let format = Self::FORMAT.to_owned();
        let closing = Self { format, vault, generation, manifest, index, share_key, destroyed, time };
        closing.check()?;
        Ok(closing)
    }
}

impl Checked for Closing {
    fn check(&self) -> Result<(), DocumentError> {
        rule::<Self>(self.generation > 0 && self.index > 0, "generation and index are at least 1")?;
        rule::<Self>(ascending(&self.destroyed), "destroyed keys are sorted")?;
        rule::<Self>(!self.destroyed.contains(&self.share_key), "the key that opened is not destroyed")
    }
}

//! The share envelope (`docs/format.md`, 5.3).

use crate::encoding::{Digest, PublicKey};
use crate::sealing::SealingError;
use crate::secret::{ShareValue, SharedX};

/// What an envelope says besides the share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareRecord {
    pub vault: Digest,
    pub generation: u64,
    pub index: u8,
    pub k: u8,
    pub n: u8,
    pub commitments: Digest,
}

/// An envelope that is addressed to the expected share key; nothing secret was needed to know that.
pub struct ShareEnvelope {}

pub fn seal_share(recipient: &PublicKey, record: &ShareRecord, share: &ShareValue) -> Result<Vec<u8>, SealingError> { todo!() }

impl ShareEnvelope {
    pub fn parse(bytes: &[u8], recipient: &PublicKey) -> Result<Self, SealingError> { todo!() }
    /// What the token does the ECDH with.
    pub fn encapsulated(&self) -> &PublicKey { todo!() }
    pub fn open(self, shared: SharedX, expected: &ShareRecord) -> Result<ShareValue, SealingError> { todo!() }
}

//! What is derived from a root, and the inbox identity (`docs/format.md`, 5.2).

use crate::encoding::{Digest, PublicKey, Signature};
use crate::sealing::SealingError;
use crate::secret::{Root, SecretBytes};

/// The age identity of one generation. `recipient()` is `vault_recipient` in the manifest.
pub struct VaultIdentity(age::x25519::Identity);
pub fn vault_identity(root: &Root, vault: &Digest, generation: u64) -> VaultIdentity { todo!() }
impl VaultIdentity {
    pub fn recipient(&self) -> String { todo!() }
}

/// The succession key of one generation.
pub struct SuccessionKey(p256::ecdsa::SigningKey);
impl SuccessionKey {
    pub fn derive(root: &Root, vault: &Digest, generation: u64) -> Result<Self, SealingError> { todo!() }
    pub fn public(&self) -> PublicKey { todo!() }
    /// Over the bytes (SHA-256 inside), low s.
    pub fn sign(&self, bytes: &[u8]) -> Signature { todo!() }
}

/// The inbox identity. Its item payload is `AGE-SECRET-KEY-1...` LF.
pub struct InboxIdentity(age::x25519::Identity);
impl InboxIdentity {
    pub fn generate() -> Self { todo!() }
    pub fn from_payload(payload: &[u8]) -> Result<Self, SealingError> { todo!() }
    pub fn payload(&self) -> SecretBytes { todo!() }
    pub fn recipient(&self) -> String { todo!() }
}

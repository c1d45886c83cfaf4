//! Evidence that a key signed a document. A [`Signed`] can be had only by verification.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::document::{Checked, DocumentError};
use crate::encoding::{Digest, EncodingError, PublicKey, Signature};
use crate::error::{Advice, Exit};

/// A document, the bytes it was read from, and the signature over them that was verified.
#[derive(Debug, Clone)]
pub struct Signed<T> {
    body: T,
    bytes: Vec<u8>,
    digest: Digest,
    signature: Signature,
}

impl<T: Checked> Signed<T> {
    /// Reads `bytes` and verifies `signature` (DER) over them.
    ///
    /// # Errors
    /// [`SignedError`].
    pub fn verify(bytes: &[u8], signature: &[u8], key: &PublicKey) -> Result<Self, SignedError> {
        Self::verify_by(bytes, signature, &Memory::default(), |_| Some(*key))
    }

    /// Like [`Self::verify`]; `key` says by the document whose signature it must be (`None`: nobody's).
    ///
    /// # Errors
    /// [`SignedError`].
    pub fn verify_by(
        bytes: &[u8],
        signature: &[u8],
        memory: &Memory,
        key: impl FnOnce(&T) -> Option<PublicKey>,
    ) -> Result<Self, SignedError> {
        let body = T::read(bytes)?;
        let key = key(&body).ok_or(SignedError::Nobody)?;
        let signature = Signature::from_der(signature).map_err(SignedError::Signature)?;
        if !memory.verifies(&signature, &key, bytes) {
            return Err(SignedError::Forged { key });
        }
        Ok(Self { body, bytes: bytes.to_vec(), digest: Digest::of(bytes), signature })
    }
}

impl<T> Signed<T> {
    /// The document.
    pub fn body(&self) -> &T {
        &self.body
    }

    /// The bytes that were signed.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Their digest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The signature.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }
}

/// What verifications came to: the same document stands on several copies, and is looked at more than once. Clones share
/// what they remember. About 100 bytes for each signature.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<HashMap<Digest, bool>>>);

impl Memory {
    /// Whether `key` made `signature` over `message`.
    pub fn verifies(&self, signature: &Signature, key: &PublicKey, message: &[u8]) -> bool {
        // Three parts, of which the first two have a fixed length: no two questions have the same name.
        let name = [&key.to_bytes()[..], Digest::of(message).as_bytes(), &signature.to_der()].concat();
        let name = Digest::of(&name);
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&name) {
            return *known;
        }
        let verifies = signature.verifies(key, message);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, verifies);
        verifies
    }
}

/// No evidence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignedError {
    /// The document was refused.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The signature file was refused.
    #[error("the signature is not well formed")]
    Signature(#[source] EncodingError),
    /// The document names a signer that is not known.
    #[error("the document names a signer who is not on the roster")]
    Nobody,
    /// The signature is not the key's.
    #[error("the signature does not verify under {key}")]
    Forged {
        /// Whose it should be.
        key: PublicKey,
    },
}

impl Advice for SignedError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Document(error) => error.hint(),
            Self::Signature(_) | Self::Nobody | Self::Forged { .. } => {
                Some("the file was changed after it was signed; take it from another copy".to_owned())
            }
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Document(error) => error.exit(),
            Self::Signature(_) | Self::Nobody | Self::Forged { .. } => Exit::Verification,
        }
    }
}

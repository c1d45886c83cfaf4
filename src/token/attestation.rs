//! What a card's attestation proves (`docs/format.md`, 3.4).

use serde::{Deserialize, Serialize};

use crate::encoding::PublicKey;
use crate::token::TokenError;
use crate::token::firmware::Version;
use crate::token::piv::{PinPolicy, Piv, TouchPolicy};
use crate::token::slot::Slot;

/// How far an attestation can be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// To one of Yubico's roots.
    Yubico,
    /// To a root of the policy.
    PolicyRoot,
    /// A consistent chain to a root that nobody vouches for.
    UnrecognisedRoot,
    /// To the root of software tokens.
    Drill,
    /// The card makes none.
    None,
    /// It contradicts itself or the key in the slot.
    Invalid,
}

/// What a card says of a key, and what that is worth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    /// What it is worth.
    pub verdict: Verdict,
    /// Firmware version.
    pub firmware: Option<Version>,
    /// Serial number.
    pub serial: Option<u32>,
    /// PIN policy of the key.
    pub pin_policy: Option<PinPolicy>,
    /// Touch policy of the key.
    pub touch_policy: Option<TouchPolicy>,
    /// DER in hex, leaf first.
    pub certificates: Vec<String>,
}

/// The roots that count.
pub struct Roots {
    _private: (),
}

impl Roots {
    /// Yubico's roots, and those of the policy (PEM).
    ///
    /// # Errors
    /// [`RootError`] if one is no certificate.
    pub fn new(policy: &[String]) -> Result<Self, RootError> {
        todo!()
    }
}

/// A root of the policy cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("attestation root {number} of the policy is not a PEM certificate")]
pub struct RootError {
    /// Which, from 1.
    pub number: usize,
}

/// Attests the key in `slot`, which must be `public`. What cannot be proven is a verdict, not an error.
///
/// # Errors
/// [`TokenError::Channel`] or [`TokenError::Malformed`].
pub fn attestation_of(piv: &mut Piv, slot: Slot, public: &PublicKey, roots: &Roots) -> Result<Attestation, TokenError> {
    todo!()
}

/// Judges an attestation read from a document again: the certificates are followed anew.
pub fn judge(certificates: &[Vec<u8>], public: &PublicKey, roots: &Roots) -> Attestation {
    todo!()
}

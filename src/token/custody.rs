//! What a ceremony does with a token, composed of [`Piv`] calls; each step can be cut at any APDU and done again.

use serde::{Deserialize, Serialize};

use crate::encoding::{Digest, PublicKey};
use crate::secret::Pin;
use crate::token::TokenError;
use crate::token::anchor::{Anchor, AnchorError};
use crate::token::firmware::Version;
use crate::token::piv::{Piv, TouchPolicy};
use crate::token::slot::Slot;

/// What a token can promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Makes and destroys share keys in retired slots.
    Renewing,
    /// Has one share key for ever.
    Fixed,
    /// A software token: for drills only.
    Software,
}

/// What is known of a token before its PIN is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The key in 9C: whose token it is.
    pub signing_key: PublicKey,
    /// The firmware version that it claims.
    pub version: Option<Version>,
    /// The serial number that it claims.
    pub serial: Option<u32>,
}

/// Whose token this is: the P-256 public key in 9C; `None` if there is none.
///
/// # Errors
/// [`TokenError::Channel`] or [`TokenError::Malformed`].
pub fn identify(piv: &mut Piv) -> Result<Option<PublicKey>, TokenError> {
    todo!()
}

/// [`identify`], with what the card says of itself.
///
/// # Errors
/// As [`identify`].
pub fn identity(piv: &mut Piv) -> Result<Option<Identity>, TokenError> {
    todo!()
}

/// The anchors of one vault on a token.
#[derive(Debug)]
pub struct AnchorFound {
    /// The one with the highest sequence.
    pub anchor: Option<Anchor>,
    /// Certificates that claim to be anchors and are none that count.
    pub damaged: Vec<(Slot, AnchorError)>,
}

/// Reads the anchor of `vault`. No PIN is needed.
///
/// # Errors
/// [`TokenError::Channel`] or [`TokenError::Malformed`].
pub fn anchor_of(piv: &mut Piv, signing_key: &PublicKey, vault: Digest) -> Result<AnchorFound, TokenError> {
    todo!()
}

/// The custodian's presence in one transaction: the PIN was accepted by [`Piv::verify_pin`] on the same `Piv`.
pub struct Session<'a> {
    /// The key in 9C, as the roster has it.
    pub signing_key: PublicKey,
    /// The accepted PIN: sent again before each signature, within the transaction only.
    pub pin: &'a Pin,
}

/// A share key that was just made.
#[derive(Debug, Clone)]
pub struct ShareKey {
    /// The key.
    pub public: PublicKey,
    /// Where it is.
    pub slot: Slot,
    /// The anchor as it is on the token now.
    pub anchor: Anchor,
    /// The touch policy that it was made with; `None` if the card knows none.
    pub touch: Option<TouchPolicy>,
}

/// Makes a share key in a free retired slot. `anchor` says what the token is to say (already moved into the ceremony).
///
/// # Errors
/// [`TokenError::NoFreeSlot`] and every failure of the card.
pub fn new_share_key(
    piv: &mut Piv,
    session: &Session,
    anchor: Anchor,
    touch: TouchPolicy,
) -> Result<ShareKey, TokenError> {
    todo!()
}

/// Writes the anchor (with the next sequence) to the certificate of the share key in `slot`; returns it as written.
///
/// # Errors
/// Every failure of the card.
pub fn write_anchor(piv: &mut Piv, session: &Session, anchor: Anchor, slot: Slot) -> Result<Anchor, TokenError> {
    todo!()
}

/// Destroys every key of the anchor other than `keep`; returns the anchor without them, to be written by the caller
/// with [`write_anchor`] to the slot of `keep`, and the public keys that are gone, sorted.
///
/// # Errors
/// Every failure of the card.
pub fn destroy_older_keys(
    piv: &mut Piv,
    session: &Session,
    anchor: Anchor,
    keep: &PublicKey,
) -> Result<(Anchor, Vec<PublicKey>), TokenError> {
    todo!()
}

/// Proves that the token has the private key of `public` in `slot`.
///
/// # Errors
/// [`TokenError::WrongKey`] if it has not; [`TokenError::TouchOrPinMissing`].
pub fn prove_key(piv: &mut Piv, slot: Slot, public: &PublicKey) -> Result<(), TokenError> {
    todo!()
}

/// A retired slot that is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotHolder {
    /// Which.
    pub slot: Slot,
    /// By whom.
    pub holder: Holder,
}

/// Who uses a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// A share key of a vault.
    Vault {
        /// Vault id.
        vault: Digest,
        /// Number of the ceremony that made it, if the anchor says.
        made: Option<u64>,
    },
    /// Something that claviger did not make.
    Foreign,
}

/// `82-84 vault 1a2b3c4d (ceremony 3), 85 not claviger's`
pub(crate) fn describe(holders: &[SlotHolder]) -> String {
    let describe = |holder: &SlotHolder| match &holder.holder {
        Holder::Vault { vault, made: Some(made) } => format!("{} vault {} ceremony {made}", holder.slot, vault.short()),
        Holder::Vault { vault, made: None } => format!("{} vault {}", holder.slot, vault.short()),
        Holder::Foreign => format!("{} not claviger's", holder.slot),
    };
    holders.iter().map(describe).collect::<Vec<_>>().join(", ")
}

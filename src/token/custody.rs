//! What a ceremony does with a token, composed of [`Piv`] calls; each step can be cut at any APDU and done again.

mod destroy;
mod share_key;
#[cfg(test)]
mod tests;

pub use destroy::destroy_older_keys;
pub use share_key::{ShareKey, new_share_key};

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::encoding::{Digest, PublicKey};
use crate::secret::Pin;
use crate::token::TokenError;
use crate::token::anchor::{self, Anchor, AnchorError};
use crate::token::firmware::Version;
use crate::token::piv::{ATTESTATION_CERTIFICATE, Piv, SlotKey, container};
use crate::token::slot::Slot;

/// The largest object that YubiKeys store, bytes, with its outer tag and length.
const LARGEST_OBJECT: usize = 3052;

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
    /// What it can promise; [`Class::Software`] only the source of the token can tell.
    pub class: Class,
}

/// Whose token this is: the P-256 public key in 9C; `None` if there is none.
///
/// # Errors
/// [`TokenError::Channel`] or [`TokenError::Malformed`].
pub fn identify(piv: &mut Piv) -> Result<Option<PublicKey>, TokenError> {
    Ok(match piv.slot_key(Slot::Signature)? {
        SlotKey::P256(key) => Some(key),
        SlotKey::Empty | SlotKey::Other | SlotKey::Unknown => None,
    })
}

/// [`identify`], with what the card says of itself.
///
/// # Errors
/// As [`identify`].
pub fn identity(piv: &mut Piv) -> Result<Option<Identity>, TokenError> {
    let Some(signing_key) = identify(piv)? else { return Ok(None) };
    let class = class(piv)?;
    Ok(Some(Identity { signing_key, version: piv.version(), serial: piv.serial(), class }))
}

/// What a card can promise: renewing if it tells what is in its slots, by metadata or attestation.
///
/// # Errors
/// Every failure of the card.
pub fn class(piv: &mut Piv) -> Result<Class, TokenError> {
    let tells = piv.has_metadata(Slot::Signature)? || piv.object(ATTESTATION_CERTIFICATE)?.is_some();
    Ok(if tells { Class::Renewing } else { Class::Fixed })
}

/// What the certificate container of a retired slot holds.
#[derive(Debug)]
enum Contents {
    Nothing,
    /// Something that is no anchor.
    Foreign,
    /// A good anchor of this token, and the key that its certificate is about.
    Anchor(Box<Anchor>, PublicKey),
    Damaged(AnchorError),
}

/// The certificate containers of all retired slots, in order.
fn scan(piv: &mut Piv, signing_key: &PublicKey) -> Result<Vec<(Slot, Contents)>, TokenError> {
    let mut found = Vec::with_capacity(20);
    for slot in Slot::retired() {
        let contents = match piv.certificate(slot)? {
            Some(der) => match anchor::read(&der, signing_key) {
                Ok(Some((anchor, subject))) => Contents::Anchor(Box::new(anchor), subject),
                Ok(None) => Contents::Foreign,
                Err(error) => Contents::Damaged(error),
            },
            None => Contents::Nothing,
        };
        found.push((slot, contents));
    }
    Ok(found)
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
    let mut found = AnchorFound { anchor: None, damaged: Vec::new() };
    for (slot, contents) in scan(piv, signing_key)? {
        match contents {
            Contents::Anchor(anchor, _) if anchor.vault == vault => {
                let newest = found.anchor.as_ref().is_none_or(|other| other.sequence < anchor.sequence);
                if newest {
                    found.anchor = Some(*anchor);
                }
            }
            Contents::Damaged(error) => found.damaged.push((slot, error)),
            Contents::Anchor(..) | Contents::Nothing | Contents::Foreign => {}
        }
    }
    Ok(found)
}

/// The custodian's presence in one transaction: the PIN was accepted by [`Piv::verify_pin`] on the same `Piv`.
pub struct Session<'a> {
    /// The key in 9C, as the roster has it.
    pub signing_key: PublicKey,
    /// The accepted PIN: sent again before each signature, within the transaction only.
    pub pin: &'a Pin,
}

/// Writes the anchor (with the next sequence) to the certificate of the share key in `slot`; returns it as written.
///
/// # Errors
/// Every failure of the card.
pub fn write_anchor(piv: &mut Piv, session: &Session, anchor: Anchor, slot: Slot) -> Result<Anchor, TokenError> {
    piv.authenticate_protected()?;
    let subject = anchor.key_in(slot).and_then(|key| key.public).unwrap_or(session.signing_key);
    put_anchor(piv, session, anchor, slot, &subject)
}

/// Writes the anchor with the next sequence to the certificate of `slot`, about the key `subject`.
fn put_anchor(
    piv: &mut Piv,
    session: &Session,
    mut anchor: Anchor,
    slot: Slot,
    subject: &PublicKey,
) -> Result<Anchor, TokenError> {
    anchor.sequence += 1;
    put_certificate(piv, session, &anchor, slot, subject)?;
    Ok(anchor)
}

fn put_certificate(
    piv: &mut Piv,
    session: &Session,
    anchor: &Anchor,
    slot: Slot,
    subject: &PublicKey,
) -> Result<(), TokenError> {
    let der = anchor::certificate(anchor, subject, &session.signing_key, |message| {
        piv.verify_pin_again(session.pin)?;
        piv.sign(Slot::Signature, &session.signing_key, message)
    })?;
    // The outer tag and length take four bytes.
    if container(&der).len() + 4 > LARGEST_OBJECT {
        return Err(TokenError::AnchorTooLarge { vault: anchor.vault });
    }
    piv.write_certificate(slot, &der)
}

/// Proves that the token has the private key of `public` in `slot`.
///
/// # Errors
/// [`TokenError::WrongKey`] if it has not; [`TokenError::TouchOrPinMissing`].
pub fn prove_key(piv: &mut Piv, slot: Slot, public: &PublicKey) -> Result<(), TokenError> {
    let secret = loop {
        let mut scalar = zeroize::Zeroizing::new([0; 32]);
        getrandom::fill(&mut *scalar).map_err(TokenError::Random)?;
        // All but one in 2^32 are in range.
        if let Ok(secret) = p256::SecretKey::from_slice(&*scalar) {
            break secret;
        }
    };
    let answered = piv.ecdh(slot, &secret.public_key().into())?;
    let expected = secret.diffie_hellman(public.as_p256());
    let same = expected.raw_secret_bytes().as_slice().ct_eq(answered.expose_secret());
    if bool::from(same) { Ok(()) } else { Err(TokenError::WrongKey { slot, expected: *public }) }
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

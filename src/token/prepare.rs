//! What `enrol` does to a token: a signing key in 9C, and a management key that the PIN protects, kept where Yubico's
//! tools keep it. What was there before and works is left as it is.

use zeroize::Zeroizing;

use crate::encoding::PublicKey;
use crate::secret::{ManagementAlgorithm, ManagementKey, Pin};
use crate::token::TokenError;
use crate::token::anchor::certificate::signing_key_certificate;
use crate::token::custody::{self, Class};
use crate::token::piv::{ADMIN_DATA, MANAGEMENT_KEY_STORED, PROTECTED_DATA, PinPolicy, Piv, SlotKey, TouchPolicy};
use crate::token::slot::Slot;
use crate::token::tlv;

/// The management key of a card as it leaves the factory.
const FACTORY_KEY: [u8; 24] = [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8];

/// The key history object (SP 800-73-4 part 1, 3.3.3).
const KEY_HISTORY: u32 = 0x5f_c10c;

/// A token that is ready for custody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prepared {
    /// The key in 9C.
    pub signing_key: PublicKey,
    /// Whether the key was there before.
    pub adopted: bool,
    /// What the token can promise.
    pub class: Class,
}

/// Makes or adopts the signing key and protects the management key. `pin` was accepted on this `piv` by
/// [`Piv::verify_pin`]. It can be called again after any failure.
///
/// # Errors
/// [`TokenError::ForeignSigningKey`], [`TokenError::FixedCard`], [`TokenError::ManagementKeyNotProtected`]; and every
/// failure of the card.
pub fn prepare(piv: &mut Piv, pin: &Pin) -> Result<Prepared, TokenError> {
    let class = custody::class(piv)?;
    if class == Class::Fixed {
        return Err(TokenError::FixedCard { reason: "it does not tell which keys are in its slots" });
    }
    let there = match piv.slot_key(Slot::Signature)? {
        SlotKey::P256(key) => Some(key),
        SlotKey::Empty => None,
        SlotKey::Unknown if !piv.has_certificate_object(Slot::Signature)? && piv.is_vacant(Slot::Signature)? => None,
        SlotKey::Other | SlotKey::Unknown => return Err(TokenError::ForeignSigningKey),
    };
    protect_management_key(piv)?;
    let signing_key = match there {
        Some(key) => key,
        None => piv.generate(Slot::Signature, PinPolicy::Always, TouchPolicy::Never)?,
    };
    // Also the proof that the card has the private key, when all that was known of it is a certificate.
    let der = signing_key_certificate(&signing_key, |message| {
        piv.verify_pin_again(pin)?;
        piv.sign(Slot::Signature, &signing_key, message)
    })?;
    if !piv.has_certificate_object(Slot::Signature)? {
        piv.write_certificate(Slot::Signature, &der)?;
    }
    note_retired_keys(piv)?;
    Ok(Prepared { signing_key, adopted: there.is_some(), class })
}

/// Tells other programs that there are keys in the retired slots: OpenSC looks there only if this object says so. A card that
/// does not keep it does without.
fn note_retired_keys(piv: &mut Piv) -> Result<(), TokenError> {
    // > C1: keys with certificates on the card; C2: keys with certificates elsewhere; FE (SP 800-73-4 part 1, table 12)
    const TWENTY: [u8; 8] = [0xc1, 1, 20, 0xc2, 1, 0, 0xfe, 0];
    let noted = piv.object(KEY_HISTORY).and_then(|there| match there {
        Some(_) => Ok(()),
        None => piv.write_object(KEY_HISTORY, &TWENTY),
    });
    match noted {
        Err(TokenError::Refused { .. } | TokenError::NotStored { .. }) => Ok(()),
        noted => noted,
    }
}

/// Leaves the card with a management key that its PIN protects, authenticated.
fn protect_management_key(piv: &mut Piv) -> Result<(), TokenError> {
    let stored = piv.protected_management_key()?;
    if let Some(key) = &stored {
        match piv.authenticate_management(key) {
            // A cut between storing a key and setting it.
            Err(TokenError::WrongManagementKey) => {}
            done => return done,
        }
    }
    authenticate_factory(piv)?;
    let key = match stored {
        Some(key) => key,
        None => store_new_key(piv)?,
    };
    piv.set_management_key(&key)?;
    piv.authenticate_management(&key)
}

fn authenticate_factory(piv: &mut Piv) -> Result<(), TokenError> {
    let algorithm = match piv.management_metadata()? {
        Some((_, Some(false))) => return Err(TokenError::ManagementKeyNotProtected),
        Some((algorithm, _)) => algorithm,
        None => ManagementAlgorithm::TripleDes,
    };
    let key = ManagementKey::new(algorithm, Zeroizing::new(FACTORY_KEY.to_vec()))
        .ok_or(TokenError::ManagementKeyNotProtected)?;
    match piv.authenticate_management(&key) {
        Err(TokenError::WrongManagementKey | TokenError::Refused { .. }) => Err(TokenError::ManagementKeyNotProtected),
        done => done,
    }
}

/// Stores a random key in the PIN-protected object before the card gets it: the other way round a cut would lose it.
fn store_new_key(piv: &mut Piv) -> Result<ManagementKey, TokenError> {
    let algorithm = piv.management_metadata()?.map_or(ManagementAlgorithm::TripleDes, |(algorithm, _)| algorithm);
    let mut secret = Zeroizing::new(vec![0; algorithm.key_length()]);
    getrandom::fill(&mut secret).map_err(TokenError::Random)?;
    // Printed information that is not a management key is somebody's.
    if piv.object(PROTECTED_DATA)?.is_some_and(|contents| tlv::only(&contents, 0x88).is_none()) {
        return Err(TokenError::ManagementKeyNotProtected);
    }
    piv.write_object(PROTECTED_DATA, &tlv::element(0x88, &tlv::element(0x89, &secret)))?;
    let before = piv.object(ADMIN_DATA)?;
    piv.write_object(ADMIN_DATA, &with_stored_flag(before.as_deref().map_or(&[], Vec::as_slice)))?;
    ManagementKey::new(algorithm, secret).ok_or(TokenError::ManagementKeyNotProtected)
}

/// ADMIN DATA, 80 { 81 flags, others }, with the flag set and the others as they were.
fn with_stored_flag(before: &[u8]) -> Vec<u8> {
    let elements = tlv::only(before, 0x80).unwrap_or_default();
    let flags = tlv::find(elements, 0x81).and_then(|flags| flags.first().copied()).unwrap_or(0);
    let mut after = Vec::new();
    tlv::push(&mut after, 0x81, &[flags | MANAGEMENT_KEY_STORED]);
    let mut rest = elements;
    while let Some((tag, value, next)) = tlv::read(rest) {
        // The salt says that the key is derived from the PIN, which is over now.
        if tag != 0x81 && tag != 0x82 {
            tlv::push(&mut after, tag, value);
        }
        rest = next;
    }
    tlv::element(0x80, &after).to_vec()
}

#[cfg(test)]
mod tests;

//! Making a share key: a place is reserved first, so that a cut leaves nothing that cannot be told apart.

use crate::encoding::PublicKey;
use crate::token::TokenError;
use crate::token::anchor::{Anchor, AnchorKey};
use crate::token::apdu::Status;
use crate::token::custody::{Contents, Holder, Session, SlotHolder, put_anchor, scan};
use crate::token::piv::{PinPolicy, Piv, SlotKey, TouchPolicy};
use crate::token::slot::Slot;

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

/// Makes a share key in a free retired slot. `anchor` says what the token is to say of the vault: already in the
/// ceremony, with the keys that were there before. PIN policy: once.
///
/// Free is a slot that has neither key nor certificate, one that an earlier attempt reserved (nothing was ever sealed
/// to a key there), or one whose key was destroyed by making another over it; the latter two only while their
/// certificate is still this vault's.
///
/// # Errors
/// [`TokenError::NoFreeSlot`]; [`TokenError::PinNotVerified`] before [`Piv::verify_pin`]; and every failure of the card.
pub fn new_share_key(
    piv: &mut Piv,
    session: &Session,
    mut anchor: Anchor,
    touch: TouchPolicy,
) -> Result<ShareKey, TokenError> {
    piv.authenticate_protected()?;
    let found = scan(piv, &session.signing_key)?;
    let slot = free_slot(piv, session, &anchor, &found)?;
    forget_deleted(&mut anchor, &found);
    let made = anchor.number;
    anchor.set(AnchorKey { slot, public: None, made, spent: false });
    let mut anchor = put_anchor(piv, session, anchor, slot, &session.signing_key)?;

    let (public, touch) = generate(piv, slot, touch)?;
    anchor.set(AnchorKey { slot, public: Some(public), made, spent: false });
    let anchor = put_anchor(piv, session, anchor, slot, &public)?;
    Ok(ShareKey { public, slot, anchor, touch })
}

/// Cards that know no touch policy make the key without one; the result says so.
fn generate(piv: &mut Piv, slot: Slot, touch: TouchPolicy) -> Result<(PublicKey, Option<TouchPolicy>), TokenError> {
    match piv.generate(slot, PinPolicy::Once, touch) {
        Err(TokenError::Refused { status: Status::WrongData | Status::NotSupported, .. }) => {
            piv.generate_without_touch(slot, PinPolicy::Once).map(|public| (public, None))
        }
        generated => generated.map(|public| (public, Some(touch))),
    }
}

/// Drops the entries of keys that were destroyed and whose slots are not ours any more.
fn forget_deleted(anchor: &mut Anchor, found: &[(Slot, Contents)]) {
    let vault = anchor.vault;
    let ours = |slot: Slot| {
        found.iter().any(|(at, contents)| {
            *at == slot && matches!(contents, Contents::Anchor(written, _) if written.vault == vault)
        })
    };
    anchor.keys.retain(|key| !key.spent || ours(key.slot));
}

fn free_slot(
    piv: &mut Piv,
    session: &Session,
    anchor: &Anchor,
    found: &[(Slot, Contents)],
) -> Result<Slot, TokenError> {
    for (slot, contents) in found {
        if is_ours_to_reuse(piv, session, anchor, *slot, contents)? {
            return Ok(*slot);
        }
    }
    for (slot, contents) in found {
        if matches!(contents, Contents::Nothing) && is_vacant(piv, *slot)? {
            return Ok(*slot);
        }
    }
    Err(TokenError::NoFreeSlot { holders: found.iter().map(holder).collect() })
}

/// Reserved or spent by this vault, and still as this vault left it.
fn is_ours_to_reuse(
    piv: &mut Piv,
    session: &Session,
    anchor: &Anchor,
    slot: Slot,
    contents: &Contents,
) -> Result<bool, TokenError> {
    let (Some(entry), Contents::Anchor(written, subject)) = (anchor.key_in(slot), contents) else { return Ok(false) };
    if written.vault != anchor.vault {
        return Ok(false);
    }
    Ok(match entry {
        AnchorKey { public: None, .. } => *subject == session.signing_key,
        // The certificate of a spent slot names the key that was made over the share key: if another is there now,
        // somebody else put it there.
        AnchorKey { public: Some(_), spent: true, .. } => piv.proven_slot_key(slot)? == SlotKey::P256(*subject),
        AnchorKey { public: Some(_), spent: false, .. } => false,
    })
}

fn is_vacant(piv: &mut Piv, slot: Slot) -> Result<bool, TokenError> {
    // A container may hold something that is no certificate.
    if piv.has_certificate_object(slot)? {
        return Ok(false);
    }
    match piv.proven_slot_key(slot)? {
        SlotKey::Empty => Ok(true),
        SlotKey::P256(_) | SlotKey::Other => Ok(false),
        SlotKey::Unknown => piv.is_vacant(slot),
    }
}

fn holder((slot, contents): &(Slot, Contents)) -> SlotHolder {
    let holder = match contents {
        Contents::Anchor(anchor, _) => {
            Holder::Vault { vault: anchor.vault, made: anchor.key_in(*slot).map(|key| key.made) }
        }
        Contents::Nothing | Contents::Foreign | Contents::Damaged(_) => Holder::Foreign,
    };
    SlotHolder { slot: *slot, holder }
}

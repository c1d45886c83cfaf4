//! Destroying the share keys of earlier generations, after the new one was proven.
//!
//! In this order, so that a cut anywhere can be done again: the newest anchor to the slot that stays; the keys; a look at
//! every slot; the certificates. Nothing is destroyed that the anchor does not name and the card does not confirm.

use std::collections::{BTreeMap, BTreeSet};

use crate::encoding::PublicKey;
use crate::token::TokenError;
use crate::token::anchor::Anchor;
use crate::token::custody::{Contents, Session, prove_key, put_anchor, put_certificate, scan};
use crate::token::piv::{PinPolicy, Piv, SlotKey, TouchPolicy};
use crate::token::slot::Slot;

/// Status words with which a card says that it has no such key: wrong data, nothing of that name, no such slot (ISO/IEC
/// 7816-4, section 5.6).
const NO_SUCH_KEY: [u16; 5] = [0x6a80, 0x6a82, 0x6a86, 0x6a88, 0x6b00];

/// Destroys every key of the anchor other than `keep`, wherever on the token it is. Returns the anchor, to be written by
/// the caller with [`write_anchor`](super::write_anchor) to the slot of `keep`, and the public keys that are gone,
/// sorted: every one that the anchor knew, also those that were gone already. They stay in the anchor as spent until the
/// token makes its next share key, so that a closing that was cut after this can still name them.
///
/// On a card that cannot delete, another key is made over each, and the certificate of its slot then names that one.
///
/// # Errors
/// [`TokenError::NotInAnchor`], [`TokenError::WrongKey`] if `keep` is not there; [`TokenError::NotDestroyed`]; and every
/// failure of the card. After any of them it can be called again with the anchor that is on the token then.
pub fn destroy_older_keys(
    piv: &mut Piv,
    session: &Session,
    anchor: Anchor,
    keep: &PublicKey,
) -> Result<(Anchor, Vec<PublicKey>), TokenError> {
    let kept = anchor.slot_of(keep).ok_or(TokenError::NotInAnchor { public: *keep })?;
    if piv.proven_slot_key(kept)? != SlotKey::P256(*keep) {
        return Err(TokenError::WrongKey { slot: kept, expected: *keep });
    }
    piv.authenticate_protected()?;
    let found: BTreeMap<Slot, Contents> = scan(piv, &session.signing_key)?.into_iter().collect();
    let untouchable = untouchable(session, &anchor, &found, keep);
    let named: BTreeSet<PublicKey> =
        anchor.keys.iter().filter_map(|key| key.public).filter(|key| !untouchable.contains(key)).collect();
    let mut closing = Closing { piv, session, anchor, found, kept, keep: *keep, named };

    // What is needed to go on stays readable when the other certificates are gone.
    closing.write_newest()?;
    let slots = closing.slots_to_look_at()?;
    let holding = closing.holding(&slots)?;
    closing.destroy(&holding)?;
    let mut staying = closing.clear_reserved(&untouchable)?;
    if !holding.is_empty()
        && let Some((slot, public)) = closing.holding(&slots)?.into_iter().next()
    {
        return Err(TokenError::NotDestroyed { slot, public });
    }
    staying.extend(closing.mark_spent()?);
    staying.insert(kept);
    closing.delete_certificates(&staying)?;

    let Closing { mut anchor, named, .. } = closing;
    anchor.keys.retain(|key| key.public.is_some() || staying.contains(&key.slot));
    for key in anchor.keys.iter_mut().filter(|key| key.slot != kept && key.public.is_some()) {
        key.spent = true;
    }
    Ok((anchor, named.into_iter().collect()))
}

/// Keys that must survive whatever an anchor says: the one that is kept, the signing key, those of other vaults.
fn untouchable(
    session: &Session,
    anchor: &Anchor,
    found: &BTreeMap<Slot, Contents>,
    keep: &PublicKey,
) -> BTreeSet<PublicKey> {
    let others = found.values().filter_map(|contents| match contents {
        Contents::Anchor(other, _) if other.vault != anchor.vault => Some(other),
        _ => None,
    });
    let theirs = others.flat_map(|other| other.keys.iter().filter(|key| !key.spent).filter_map(|key| key.public));
    theirs.chain([*keep, session.signing_key]).collect()
}

struct Closing<'a, 'c> {
    piv: &'a mut Piv<'c>,
    session: &'a Session<'a>,
    anchor: Anchor,
    found: BTreeMap<Slot, Contents>,
    kept: Slot,
    keep: PublicKey,
    /// What has to be gone.
    named: BTreeSet<PublicKey>,
}

impl Closing<'_, '_> {
    /// The certificate in `slot`, if it is this vault's: the key that it is about.
    fn ours(&self, slot: Slot) -> Option<PublicKey> {
        match self.found.get(&slot) {
            Some(Contents::Anchor(anchor, subject)) if anchor.vault == self.anchor.vault => Some(*subject),
            _ => None,
        }
    }

    fn write_newest(&mut self) -> Result<(), TokenError> {
        let newest =
            matches!(self.found.get(&self.kept), Some(Contents::Anchor(written, _)) if **written == self.anchor);
        if newest { Ok(()) } else { self.write_kept() }
    }

    fn write_kept(&mut self) -> Result<(), TokenError> {
        self.anchor = put_anchor(self.piv, self.session, self.anchor.clone(), self.kept, &self.keep)?;
        Ok(())
    }

    /// Keys can be moved on cards that have metadata, and there every slot is asked; on older ones a key is where it was.
    fn slots_to_look_at(&mut self) -> Result<Vec<Slot>, TokenError> {
        let slots: Vec<Slot> = if self.piv.has_metadata(self.kept)? {
            Slot::retired().chain([Slot::Authentication, Slot::KeyManagement, Slot::CardAuthentication]).collect()
        } else {
            self.anchor.keys.iter().filter(|key| key.public.is_some()).map(|key| key.slot).collect()
        };
        Ok(slots.into_iter().filter(|slot| *slot != self.kept).collect())
    }

    /// Where a key that has to be gone still is.
    fn holding(&mut self, slots: &[Slot]) -> Result<Vec<(Slot, PublicKey)>, TokenError> {
        let mut holding = Vec::new();
        for slot in slots {
            match self.piv.proven_slot_key(*slot)? {
                SlotKey::P256(public) if self.named.contains(&public) => holding.push((*slot, public)),
                SlotKey::Unknown => holding.extend(self.still_answering(*slot)?.map(|public| (*slot, public))),
                SlotKey::P256(_) | SlotKey::Empty | SlotKey::Other => {}
            }
        }
        Ok(holding)
    }

    /// Silence about a slot does not say that it is empty. The key that the anchor has there is tried: an ECDH with a key of
    /// ours shows whether it is the one. Where the card wants a touch that does not come, it counts as still there.
    fn still_answering(&mut self, slot: Slot) -> Result<Option<PublicKey>, TokenError> {
        let known = self.anchor.key_in(slot).and_then(|key| key.public).filter(|public| self.named.contains(public));
        let Some(public) = known else { return Ok(None) };
        self.piv.verify_pin_again(self.session.pin)?;
        match prove_key(self.piv, slot, &public) {
            Ok(()) | Err(TokenError::TouchOrPinMissing { .. }) => Ok(Some(public)),
            Err(TokenError::WrongKey { .. }) => Ok(None),
            // No key that could answer. Any other refusal says nothing about it.
            Err(TokenError::Refused { status, .. }) if NO_SUCH_KEY.contains(&status.word()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes the keys, or makes others over them. The latter is noted in the anchor first: the key that is found there
    /// after a cut is then known to be ours.
    fn destroy(&mut self, holding: &[(Slot, PublicKey)]) -> Result<(), TokenError> {
        let mut remaining = Vec::new();
        for (slot, _) in holding {
            if !self.piv.delete_only(*slot)? {
                remaining.push(*slot);
            }
        }
        let mut noted = true;
        for key in self.anchor.keys.iter_mut().filter(|key| remaining.contains(&key.slot)) {
            noted &= std::mem::replace(&mut key.spent, true);
        }
        if !noted {
            self.write_kept()?;
        }
        for slot in remaining {
            self.piv.generate(slot, PinPolicy::Always, TouchPolicy::Never)?;
        }
        Ok(())
    }

    /// Deletes what may be in reserved slots. Returns the slots that stay reserved: a card that cannot delete keeps such
    /// a key, to which nothing was ever sealed, until the slot is used.
    fn clear_reserved(&mut self, untouchable: &BTreeSet<PublicKey>) -> Result<BTreeSet<Slot>, TokenError> {
        let reserved = self.anchor.keys.iter().filter(|key| key.public.is_none()).map(|key| key.slot);
        let reserved: Vec<Slot> = reserved.filter(|slot| self.ours(*slot) == Some(self.session.signing_key)).collect();
        let mut staying = BTreeSet::new();
        for slot in reserved {
            match self.piv.proven_slot_key(slot)? {
                SlotKey::P256(public) if untouchable.contains(&public) => {}
                SlotKey::Empty => {}
                _ if self.piv.delete_only(slot)? => {}
                _ => {
                    staying.insert(slot);
                }
            }
        }
        Ok(staying)
    }

    /// Has the certificate of each spent slot name the key that is there now. Returns the slots that are still ours.
    fn mark_spent(&mut self) -> Result<Vec<Slot>, TokenError> {
        let spent: Vec<_> = self.anchor.keys.iter().filter(|key| key.spent).map(|key| (key.slot, key.public)).collect();
        let mut staying = Vec::new();
        for (slot, old) in spent {
            let (Some(subject), SlotKey::P256(there)) = (self.ours(slot), self.piv.proven_slot_key(slot)?) else {
                continue;
            };
            // Still about the old key: that it was made over is news. About another one than is there: somebody else's.
            if there != subject && Some(subject) == old {
                put_certificate(self.piv, self.session, &self.anchor, slot, &there)?;
                staying.push(slot);
            } else if there == subject {
                staying.push(slot);
            }
        }
        Ok(staying)
    }

    fn delete_certificates(&mut self, staying: &BTreeSet<Slot>) -> Result<(), TokenError> {
        let slots: Vec<Slot> = self.found.keys().copied().collect();
        for slot in slots.into_iter().filter(|slot| !staying.contains(slot)) {
            if self.ours(slot).is_some() {
                self.piv.delete_certificate(slot)?;
            }
        }
        Ok(())
    }
}

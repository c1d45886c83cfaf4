//! A token that answers what it likes, through the PIV client and the custody of share keys.
//!
//! The first byte chooses what is done with it. Then follow changes, each of which names an answer by its number, and what
//! comes instead of it or what is changed in it; without changes the card is an honest one. Whatever it answers: there is
//! no panic and no endless loop; a PIN goes to it once, and not after it was refused; a signature or a proof of a key that
//! is believed holds; and nothing is destroyed that was not ours.

use std::cell::RefCell;
use std::rc::Rc;

use claviger::encoding::{Digest, PublicKey};
use claviger::secret::Pin;
use claviger::token::anchor::AnchorKey;
use claviger::token::attestation::{Roots, attestation_of};
use claviger::token::channel::{Channel, ChannelError};
use claviger::token::custody::{
    Session, anchor_of, destroy_older_keys, identify, identity, new_share_key, prove_key, write_anchor,
};
use claviger::token::piv::{Piv, TouchPolicy};
use claviger::token::slot::Slot;
use claviger::token::soft::SoftCard;
use zeroize::Zeroizing;

use super::world;

/// More commands than this is a loop: the longest of the steps below takes about 250 with an honest card.
const MOST_COMMANDS: usize = 20_000;

/// Reads one input.
pub fn run(bytes: &[u8]) {
    let Some((&selector, rest)) = bytes.split_first() else { return };
    let log = Rc::new(RefCell::new(Log::default()));
    let card = HostileCard::new(rest, log.clone());
    let done = act(selector % 7, card);
    let log = log.borrow();
    assert!(log.pins <= 1 + log.accepted, "a PIN was sent again after it was not accepted");
    if log.untouched {
        assert!(done.is_some(), "an honest card serves");
    }
}

/// What was seen on the way to the card.
#[derive(Default)]
struct Log {
    commands: usize,
    pins: usize,
    accepted: usize,
    /// No answer was changed so far.
    untouched: bool,
}

struct Change {
    number: u8,
    how: u8,
    bytes: Vec<u8>,
}

struct HostileCard {
    card: SoftCard,
    changes: Vec<Change>,
    log: Rc<RefCell<Log>>,
}

impl HostileCard {
    /// Each change: the number of the answer, how it is changed, a length, and so many bytes.
    fn new(bytes: &[u8], log: Rc<RefCell<Log>>) -> Self {
        let (mut changes, mut rest) = (Vec::new(), bytes);
        while let [number, how, length, after @ ..] = rest {
            let (bytes, after) = after.split_at(usize::from(*length).min(after.len()));
            changes.push(Change { number: *number, how: *how, bytes: bytes.to_vec() });
            rest = after;
        }
        let mut card = SoftCard::from_bytes(world::TOKEN).expect("a card");
        card.power_on();
        log.borrow_mut().untouched = true;
        Self { card, changes, log }
    }
}

impl Channel for HostileCard {
    fn transmit(&mut self, apdu: &[u8]) -> Result<Zeroizing<Vec<u8>>, ChannelError> {
        let mut log = self.log.borrow_mut();
        log.commands += 1;
        assert!(log.commands <= MOST_COMMANDS, "an endless loop");
        let mut answer = self.card.answer(apdu);
        let number = log.commands % 256;
        for change in self.changes.iter().filter(|change| usize::from(change.number) == number) {
            log.untouched = false;
            match change.how % 5 {
                0 => answer = change.bytes.clone(),
                1 => answer.iter_mut().zip(&change.bytes).for_each(|(byte, change)| *byte ^= change),
                2 => answer.truncate(change.bytes.first().map_or(0, |length| usize::from(*length))),
                3 => {
                    let status = answer.split_off(answer.len().saturating_sub(2));
                    answer.extend_from_slice(&change.bytes);
                    answer.extend(status);
                }
                _ => return Err(ChannelError::Removed { reader: "fuzz".to_owned() }),
            }
        }
        if matches!(apdu, [_, 0x20, _, _, _, _, ..]) {
            log.pins += 1;
            log.accepted += usize::from(answer.ends_with(&[0x90, 0]));
        }
        Ok(Zeroizing::new(answer))
    }
}

/// The vault that the token's anchor is of.
fn vault() -> Digest {
    Digest::of(b"vault")
}

fn act(what: u8, card: HostileCard) -> Option<()> {
    let mut piv = Piv::select(Box::new(card)).ok()?;
    match what {
        0 => look(&mut piv),
        1 => {
            let roots = Roots::new(&[]).expect("roots");
            for slot in [Slot::Signature, slot(0x82)] {
                if let Ok(claviger::token::piv::SlotKey::P256(public)) = piv.slot_key(slot) {
                    attestation_of(&mut piv, slot, &public, &roots).ok()?;
                }
            }
            Some(())
        }
        2 => {
            let signing_key = identify(&mut piv).ok()??;
            let pin = pin();
            piv.verify_pin(&pin).ok()?;
            let signature = piv.sign(Slot::Signature, &signing_key, b"message").ok()?;
            assert!(signature.verifies(&signing_key, b"message"), "believed without a signature");
            Some(())
        }
        3 => {
            let signing_key = identify(&mut piv).ok()??;
            let anchor = anchor_of(&mut piv, &signing_key, vault()).ok()?.anchor?;
            let key = anchor.keys.iter().find(|key| key.public.is_some())?.clone();
            piv.verify_pin(&pin()).ok()?;
            prove_key(&mut piv, key.slot, &key.public?).ok()?;
            assert_eq!(key.public, Some(share_key()), "a key was proven that the card does not have");
            Some(())
        }
        4 => attend(&mut piv),
        5 => {
            piv.verify_pin(&pin()).ok()?;
            let key = piv.protected_management_key().ok()??;
            piv.authenticate_management(&key).ok()
        }
        _ => close(&mut piv),
    }
}

/// The share key that is on the token.
fn share_key() -> PublicKey {
    world::TOKEN_SHARE_KEY.parse().expect("a key")
}

fn pin() -> Pin {
    Pin::new(Zeroizing::new(b"123456".to_vec())).expect("a PIN")
}

fn slot(reference: u8) -> Slot {
    Slot::from_reference(reference).expect("a slot")
}

fn look(piv: &mut Piv<'_>) -> Option<()> {
    let found = identity(piv).ok()??;
    let anchors = anchor_of(piv, &found.signing_key, vault()).ok()?;
    if let Some(anchor) = &anchors.anchor {
        assert_eq!(anchor.vault, vault());
    }
    for slot in Slot::retired().take(4) {
        piv.slot_key(slot).ok()?;
        piv.certificate(slot).ok()?;
    }
    piv.pin_tries().ok()?;
    piv.pin_is_default().ok()?;
    Some(())
}

/// Round 1: a new share key, and the anchor that says so.
fn attend(piv: &mut Piv<'_>) -> Option<()> {
    let signing_key = identify(piv).ok()??;
    let mut anchor = anchor_of(piv, &signing_key, vault()).ok()?.anchor?;
    let pin = pin();
    piv.verify_pin(&pin).ok()?;
    let session = Session { signing_key, pin: &pin };
    // As a ceremony does: no honest token is so high that nothing can be added.
    anchor.number = anchor.number.saturating_add(1);
    let made = new_share_key(piv, &session, anchor, TouchPolicy::Never).ok()?;
    assert!(made.anchor.key_in(made.slot).is_some_and(|key| key.public == Some(made.public)));
    write_anchor(piv, &session, made.anchor, made.slot).ok().map(drop)
}

/// Round 2: the older key goes.
fn close(piv: &mut Piv<'_>) -> Option<()> {
    let signing_key = identify(piv).ok()??;
    let anchor = anchor_of(piv, &signing_key, vault()).ok()?.anchor?;
    let pin = pin();
    piv.verify_pin(&pin).ok()?;
    let session = Session { signing_key, pin: &pin };
    let made = new_share_key(piv, &session, anchor, TouchPolicy::Never).ok()?;
    let named: Vec<AnchorKey> = made.anchor.keys.clone();
    let (_, gone) = destroy_older_keys(piv, &session, made.anchor, &made.public).ok()?;
    assert!(gone.iter().all(|gone| *gone != made.public && *gone != signing_key));
    assert!(gone.iter().all(|gone| named.iter().any(|key| key.public == Some(*gone))), "only what the anchor named");
    Some(())
}

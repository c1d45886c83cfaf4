use std::collections::BTreeMap;

use super::*;
use crate::encoding::{Digest, Time};
use crate::token::anchor::CeremonyMark;
use crate::token::bench::{Bench, Cut, pin};
use crate::token::piv::{PinPolicy, TouchPolicy};

const OLD: (u8, u8, u8) = (4, 3, 5);
const MIDDLE: (u8, u8, u8) = (5, 4, 3);
const NEW: (u8, u8, u8) = (5, 7, 1);

fn vault(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

/// The anchor as a ceremony moves it before a key is made.
fn entering(mut anchor: Anchor, number: u64) -> Anchor {
    anchor.number = number;
    anchor.ceremony = Some(CeremonyMark {
        id: Digest::of(&number.to_be_bytes()),
        number,
        consumes: None,
        started: "2026-01-31T23:59:59Z".parse::<Time>().unwrap(),
    });
    anchor
}

/// The anchor as a ceremony closes it.
fn closed(mut anchor: Anchor, generation: u64) -> Anchor {
    anchor.closed = generation;
    anchor.manifest = Some(vault("manifest"));
    anchor.ceremony = None;
    anchor
}

fn current(piv: &mut Piv, signing_key: &PublicKey, vault: Digest) -> Anchor {
    anchor_of(piv, signing_key, vault).unwrap().anchor.unwrap_or_else(|| Anchor::new(vault))
}

/// Round 1: a key in ceremony `number`.
fn make(bench: &Bench, cut: Cut, vault: Digest, number: u64) -> Result<ShareKey, TokenError> {
    let pin = pin();
    let mut piv = bench.piv(cut)?;
    piv.verify_pin(&pin)?;
    let signing_key = identify(&mut piv)?.unwrap();
    let session = Session { signing_key, pin: &pin };
    let anchor = anchor_of(&mut piv, &signing_key, vault)?.anchor.unwrap_or_else(|| Anchor::new(vault));
    new_share_key(&mut piv, &session, entering(anchor, number), TouchPolicy::Always)
}

/// Round 2: everything but `keep` goes.
fn close(
    bench: &Bench,
    cut: Cut,
    vault: Digest,
    keep: &PublicKey,
    generation: u64,
) -> Result<(Anchor, Vec<PublicKey>), TokenError> {
    let pin = pin();
    let mut piv = bench.piv(cut)?;
    piv.verify_pin(&pin)?;
    let signing_key = identify(&mut piv)?.unwrap();
    let session = Session { signing_key, pin: &pin };
    let anchor = anchor_of(&mut piv, &signing_key, vault)?.anchor.expect("an anchor stays readable");
    let slot = anchor.slot_of(keep).expect("the anchor names the key that is kept");
    prove_key(&mut piv, slot, keep)?;
    let (anchor, destroyed) = destroy_older_keys(&mut piv, &session, anchor, keep)?;
    Ok((write_anchor(&mut piv, &session, closed(anchor, generation), slot)?, destroyed))
}

fn keys_on(bench: &Bench) -> BTreeMap<Slot, PublicKey> {
    let mut piv = bench.open();
    let slots = Slot::retired().chain([Slot::Authentication, Slot::KeyManagement, Slot::CardAuthentication]);
    slots
        .filter_map(|slot| match piv.proven_slot_key(slot).unwrap() {
            SlotKey::P256(key) => Some((slot, key)),
            _ => None,
        })
        .collect()
}

/// A prepared card on which somebody else has a key with a certificate-less slot 82, a foreign certificate in 83, and
/// another vault has a share key.
struct Shared {
    bench: Bench,
    foreign: PublicKey,
    other: ShareKey,
    foreign_object: Vec<u8>,
}

impl Shared {
    fn new(firmware: (u8, u8, u8)) -> Self {
        let bench = Bench::prepared(firmware);
        let foreign_object = super::container(b"not a certificate at all");
        let mut piv = bench.open();
        piv.authenticate_protected().unwrap();
        let mut slots = Slot::retired();
        let foreign = piv.generate(slots.next().unwrap(), PinPolicy::Once, TouchPolicy::Never).unwrap();
        piv.write_object(slots.next().unwrap().certificate_object(), &foreign_object).unwrap();
        drop(piv);
        let other = make(&bench, Cut::Never, vault("other"), 7).unwrap();
        Self { bench, foreign, other, foreign_object }
    }

    fn copy(&self) -> Self {
        Self {
            bench: self.bench.copy(),
            foreign: self.foreign,
            other: self.other.clone(),
            foreign_object: self.foreign_object.clone(),
        }
    }

    fn assert_untouched(&self) {
        let keys = keys_on(&self.bench);
        let mut slots = Slot::retired();
        assert_eq!(keys.get(&slots.next().unwrap()), Some(&self.foreign));
        assert_eq!(keys.get(&self.other.slot), Some(&self.other.public));
        let mut piv = self.bench.open();
        let object = piv.object(slots.next().unwrap().certificate_object()).unwrap().unwrap();
        assert_eq!(*object, self.foreign_object);
        let signing_key = identify(&mut piv).unwrap().unwrap();
        assert_eq!(current(&mut piv, &signing_key, vault("other")), self.other.anchor);
        let damaged = anchor_of(&mut piv, &signing_key, vault("other")).unwrap().damaged;
        assert!(damaged.is_empty(), "{damaged:?}");
    }
}

/// How many APDUs `act` takes when it is not cut.
fn apdus(bench: &Bench, act: impl Fn(&Bench) -> bool) -> u64 {
    let bench = bench.copy();
    let before = bench.card.borrow().statistics().apdus;
    assert!(act(&bench));
    bench.card.borrow().statistics().apdus - before
}

fn cuts(apdus: u64) -> impl Iterator<Item = Cut> {
    (1..=apdus).flat_map(|n| [Cut::Before(n), Cut::After(n)])
}

#[test]
fn a_whole_life_on_each_firmware() {
    for firmware in [OLD, MIDDLE, NEW] {
        let shared = Shared::new(firmware);
        let mut before: Option<PublicKey> = None;
        for number in 1..=4 {
            let made = make(&shared.bench, Cut::Never, vault("v"), number).unwrap();
            assert_eq!(made.anchor.number, number);
            let (anchor, destroyed) = close(&shared.bench, Cut::Never, vault("v"), &made.public, number).unwrap();
            assert_eq!(anchor.closed, number);
            let keys = keys_on(&shared.bench);
            assert_eq!(keys.get(&made.slot), Some(&made.public), "{firmware:?}");
            if let Some(before) = before {
                assert!(destroyed.contains(&before));
                assert!(keys.values().all(|key| *key != before));
            }
            before = Some(made.public);
            let mut piv = shared.bench.open();
            let signing_key = identify(&mut piv).unwrap().unwrap();
            assert_eq!(current(&mut piv, &signing_key, vault("v")), anchor);
            shared.assert_untouched();
        }
    }
}

#[test]
fn a_share_key_cut_at_any_apdu_is_made_in_the_next_attempt() {
    for firmware in [OLD, NEW] {
        let shared = Shared::new(firmware);
        let first = make(&shared.bench, Cut::Never, vault("v"), 1).unwrap();
        close(&shared.bench, Cut::Never, vault("v"), &first.public, 1).unwrap();
        let total = apdus(&shared.bench, |bench| make(bench, Cut::Never, vault("v"), 2).is_ok());
        for cut in cuts(total) {
            let shared = shared.copy();
            make(&shared.bench, cut, vault("v"), 2).unwrap_err();
            shared.assert_untouched();
            assert_eq!(keys_on(&shared.bench).get(&first.slot), Some(&first.public), "{cut:?}");
            let again = make(&shared.bench, Cut::Never, vault("v"), 2).unwrap();
            shared.assert_untouched();
            let keys = keys_on(&shared.bench);
            assert_eq!(keys.get(&first.slot), Some(&first.public), "{cut:?}");
            assert_eq!(keys.get(&again.slot), Some(&again.public), "{cut:?}");
            assert!(again.anchor.slot_of(&first.public).is_some());
            let (_, destroyed) = close(&shared.bench, Cut::Never, vault("v"), &again.public, 2).unwrap();
            assert!(destroyed.contains(&first.public));
        }
    }
}

#[test]
fn a_closing_cut_at_any_apdu_is_done_by_the_next_attempt() {
    for firmware in [OLD, MIDDLE, NEW] {
        let shared = Shared::new(firmware);
        let first = make(&shared.bench, Cut::Never, vault("v"), 1).unwrap();
        close(&shared.bench, Cut::Never, vault("v"), &first.public, 1).unwrap();
        let second = make(&shared.bench, Cut::Never, vault("v"), 2).unwrap();
        let total = apdus(&shared.bench, |bench| close(bench, Cut::Never, vault("v"), &second.public, 2).is_ok());
        for cut in cuts(total) {
            let shared = shared.copy();
            close(&shared.bench, cut, vault("v"), &second.public, 2).unwrap_err();
            shared.assert_untouched();
            assert_eq!(keys_on(&shared.bench).get(&second.slot), Some(&second.public), "{cut:?}");

            let (anchor, destroyed) = close(&shared.bench, Cut::Never, vault("v"), &second.public, 2).unwrap();
            assert!(destroyed.contains(&first.public), "{cut:?}");
            assert!(!destroyed.contains(&second.public), "{cut:?}");
            shared.assert_untouched();
            assert!(keys_on(&shared.bench).values().all(|key| *key != first.public), "{cut:?}");
            assert_eq!(anchor.keys.iter().filter(|key| !key.spent).count(), 1, "{cut:?}");
            // The slot is good for the next key: nothing is lost to a cut.
            let third = make(&shared.bench, Cut::Never, vault("v"), 3).unwrap();
            assert_eq!(third.slot, first.slot, "{firmware:?} {cut:?}");
        }
    }
}

fn retired(n: usize) -> Slot {
    Slot::retired().nth(n).unwrap()
}

/// MOVE KEY (firmware 5.7), as `ykman piv keys move` does it.
fn move_key(bench: &Bench, from: Slot, to: Slot) {
    let mut piv = bench.open();
    piv.authenticate_protected().unwrap();
    drop(piv);
    let moved = bench.card.borrow_mut().answer(&[0, 0xf6, to.reference(), from.reference()]);
    assert_eq!(moved, [0x90, 0x00]);
}

#[test]
fn a_key_that_was_moved_is_destroyed_where_it_is() {
    for to in [retired(19), Slot::Authentication, Slot::KeyManagement, Slot::CardAuthentication] {
        let shared = Shared::new(NEW);
        let first = make(&shared.bench, Cut::Never, vault("v"), 1).unwrap();
        move_key(&shared.bench, first.slot, to);
        let second = make(&shared.bench, Cut::Never, vault("v"), 2).unwrap();
        close(&shared.bench, Cut::Never, vault("v"), &second.public, 1).unwrap();
        assert!(keys_on(&shared.bench).values().all(|key| *key != first.public), "{to}");
        shared.assert_untouched();
    }
}

#[test]
fn a_key_that_somebody_else_put_into_a_share_slot_is_left_alone() {
    for firmware in [OLD, MIDDLE, NEW] {
        let shared = Shared::new(firmware);
        let first = make(&shared.bench, Cut::Never, vault("v"), 1).unwrap();
        let mut piv = shared.bench.open();
        piv.authenticate_protected().unwrap();
        let theirs = piv.generate(first.slot, PinPolicy::Once, TouchPolicy::Never).unwrap();
        drop(piv);
        let second = make(&shared.bench, Cut::Never, vault("v"), 2).unwrap();
        let (_, destroyed) = close(&shared.bench, Cut::Never, vault("v"), &second.public, 1).unwrap();
        assert_eq!(destroyed, [first.public]);
        assert_eq!(keys_on(&shared.bench).get(&first.slot), Some(&theirs), "{firmware:?}");
        let third = make(&shared.bench, Cut::Never, vault("v"), 3).unwrap();
        assert_ne!(third.slot, first.slot, "{firmware:?}");
        assert_eq!(keys_on(&shared.bench).get(&first.slot), Some(&theirs), "{firmware:?}");
    }
}

#[test]
fn a_key_that_somebody_else_put_into_a_spent_slot_is_left_alone() {
    for firmware in [OLD, MIDDLE] {
        let shared = Shared::new(firmware);
        let first = make(&shared.bench, Cut::Never, vault("v"), 1).unwrap();
        let second = make(&shared.bench, Cut::Never, vault("v"), 2).unwrap();
        close(&shared.bench, Cut::Never, vault("v"), &second.public, 1).unwrap();
        let mut piv = shared.bench.open();
        piv.authenticate_protected().unwrap();
        let theirs = piv.generate(first.slot, PinPolicy::Once, TouchPolicy::Never).unwrap();
        drop(piv);
        let third = make(&shared.bench, Cut::Never, vault("v"), 3).unwrap();
        close(&shared.bench, Cut::Never, vault("v"), &third.public, 2).unwrap();
        assert_eq!(keys_on(&shared.bench).get(&first.slot), Some(&theirs), "{firmware:?}");
    }
}

#[test]
fn a_custodian_who_was_absent_closes_with_the_key_of_before() {
    for firmware in [OLD, NEW] {
        let shared = Shared::new(firmware);
        let first = make(&shared.bench, Cut::Never, vault("v"), 1).unwrap();
        // In a ceremony that came to nothing.
        let second = make(&shared.bench, Cut::Never, vault("v"), 2).unwrap();
        let (anchor, destroyed) = close(&shared.bench, Cut::Never, vault("v"), &first.public, 3).unwrap();
        assert_eq!(destroyed, [second.public]);
        assert_eq!(anchor.slot_of(&first.public), Some(first.slot));
        assert_eq!(keys_on(&shared.bench).get(&first.slot), Some(&first.public));
        shared.assert_untouched();
    }
}

#[test]
fn a_key_that_is_not_there_is_not_kept_and_nothing_is_destroyed_for_it() {
    let shared = Shared::new(NEW);
    let first = make(&shared.bench, Cut::Never, vault("v"), 1).unwrap();
    let second = make(&shared.bench, Cut::Never, vault("v"), 2).unwrap();
    let pin = pin();
    let mut piv = shared.bench.open();
    let session = Session { signing_key: identify(&mut piv).unwrap().unwrap(), pin: &pin };
    let stranger = shared.foreign;
    let error = destroy_older_keys(&mut piv, &session, second.anchor.clone(), &stranger).unwrap_err();
    assert!(matches!(error, TokenError::NotInAnchor { public } if public == stranger));
    piv.authenticate_protected().unwrap();
    piv.delete_key(second.slot).unwrap();
    let error = destroy_older_keys(&mut piv, &session, second.anchor, &second.public).unwrap_err();
    assert!(matches!(error, TokenError::WrongKey { slot, .. } if slot == second.slot));
    assert_eq!(keys_on(&shared.bench).get(&first.slot), Some(&first.public));
}

/// A card that says it deleted a key, and did not.
struct Keeper(Bench);

impl crate::token::channel::Channel for Keeper {
    fn transmit(&mut self, apdu: &[u8]) -> Result<zeroize::Zeroizing<Vec<u8>>, crate::token::channel::ChannelError> {
        let keeps = apdu.get(1) == Some(&0xf6);
        let answer = if keeps { vec![0x90, 0x00] } else { self.0.card.borrow_mut().answer(apdu) };
        Ok(zeroize::Zeroizing::new(answer))
    }
}

#[test]
fn a_card_that_only_says_that_it_deleted_is_found_out() {
    let bench = Bench::prepared(NEW);
    let first = make(&bench, Cut::Never, vault("v"), 1).unwrap();
    let second = make(&bench, Cut::Never, vault("v"), 2).unwrap();
    let pin = pin();
    bench.card.borrow_mut().power_on();
    let mut piv = Piv::select(Box::new(Keeper(bench.clone()))).unwrap();
    piv.verify_pin(&pin).unwrap();
    let session = Session { signing_key: identify(&mut piv).unwrap().unwrap(), pin: &pin };
    let error = destroy_older_keys(&mut piv, &session, second.anchor, &second.public).unwrap_err();
    assert!(
        matches!(error, TokenError::NotDestroyed { slot, public } if slot == first.slot && public == first.public),
        "{error}"
    );
}

/// A card that deletes nothing, and says nothing of one slot when it is asked what is in it.
struct Silent(Bench, u8);

impl crate::token::channel::Channel for Silent {
    fn transmit(&mut self, apdu: &[u8]) -> Result<zeroize::Zeroizing<Vec<u8>>, crate::token::channel::ChannelError> {
        let asks = matches!(apdu, [_, 0xf7, _, slot, ..] | [_, 0xf9, slot, ..] if *slot == self.1);
        let answer = match apdu.get(1) {
            Some(0xf6) => vec![0x90, 0x00],
            _ if asks => vec![0x6f, 0x00],
            _ => self.0.card.borrow_mut().answer(apdu),
        };
        Ok(zeroize::Zeroizing::new(answer))
    }
}

#[test]
fn a_slot_that_a_card_is_silent_about_is_empty_only_if_its_key_does_not_answer() {
    for really_gone in [false, true] {
        let bench = Bench::prepared(NEW);
        let first = make(&bench, Cut::Never, vault("v"), 1).unwrap();
        let second = make(&bench, Cut::Never, vault("v"), 2).unwrap();
        if really_gone {
            let mut piv = bench.open();
            piv.authenticate_protected().unwrap();
            piv.delete_key(first.slot).unwrap();
        }
        let pin = pin();
        bench.card.borrow_mut().power_on();
        let mut piv = Piv::select(Box::new(Silent(bench.clone(), first.slot.reference()))).unwrap();
        piv.verify_pin(&pin).unwrap();
        let session = Session { signing_key: identify(&mut piv).unwrap().unwrap(), pin: &pin };
        let closed = destroy_older_keys(&mut piv, &session, second.anchor, &second.public);
        match (really_gone, closed) {
            (true, Ok((_, gone))) => assert_eq!(gone, [first.public]),
            (false, Err(TokenError::NotDestroyed { slot, public })) => {
                assert_eq!((slot, public), (first.slot, first.public));
            }
            (_, other) => panic!("{really_gone}: {other:?}"),
        }
    }
}

#[test]
fn a_full_token_says_who_holds_its_slots() {
    let shared = Shared::new(MIDDLE);
    let error = (1..=21).find_map(|number| make(&shared.bench, Cut::Never, vault("v"), number).err()).unwrap();
    let text = error.to_string();
    let other = vault("other").short();
    assert!(text.contains(&format!("84 vault {other} ceremony 7")), "{text}");
    assert!(text.contains(&format!("95 vault {} ceremony 17", vault("v").short())), "{text}");
    assert!(text.contains("82 not claviger's, 83 not claviger's"), "{text}");
    shared.assert_untouched();
}

#[test]
fn an_imported_key_without_certificate_keeps_its_slot_on_firmware_that_does_not_tell() {
    let bench = Bench::prepared(OLD);
    let mut piv = bench.open();
    piv.authenticate_protected().unwrap();
    drop(piv);
    // IMPORT ASYMMETRIC KEY (Yubico: FE), P-256 into 82.
    let import = [&[0, 0xfe, 0x11, 0x82, 34, 0x06, 32][..], &[0x11; 32]].concat();
    assert_eq!(bench.card.borrow_mut().answer(&import), [0x90, 0x00]);
    let made = make(&bench, Cut::Never, vault("v"), 1).unwrap();
    assert_eq!(made.slot, retired(1));
}

#[test]
fn a_damaged_anchor_is_named_and_another_one_still_counts() {
    let bench = Bench::prepared(NEW);
    let first = make(&bench, Cut::Never, vault("v"), 1).unwrap();
    let second = make(&bench, Cut::Never, vault("v"), 2).unwrap();
    let mut piv = bench.open();
    let signing_key = identify(&mut piv).unwrap().unwrap();
    piv.authenticate_protected().unwrap();
    let mut der = piv.certificate(second.slot).unwrap().unwrap();
    let last = der.len() - 1;
    der[last] ^= 1;
    piv.write_certificate(second.slot, &der).unwrap();
    let found = anchor_of(&mut piv, &signing_key, vault("v")).unwrap();
    assert_eq!(found.anchor, Some(first.anchor));
    assert_eq!(found.damaged.len(), 1);
    assert_eq!(found.damaged[0].0, second.slot);
}

#[test]
fn a_token_without_a_signing_key_is_nobodys() {
    for firmware in [OLD, MIDDLE, NEW] {
        assert_eq!(identity(&mut Bench::new(firmware).open()).unwrap(), None);
        let known = identity(&mut Bench::prepared(firmware).open()).unwrap().unwrap();
        assert_eq!(known.version, Some(Version::new(firmware.0, firmware.1, firmware.2)));
    }
}

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::encoding::Digest;
use crate::secret::{ManagementAlgorithm, ManagementKey, Pin};
use crate::token::anchor::Anchor;
use crate::token::attestation::{Roots, attestation_of};
use crate::token::bench::{Bench, Cut, pin};
use crate::token::channel::ChannelError;
use crate::token::custody;
use crate::token::prepare;
use crate::token::slot::Slot;
use crate::token::soft::Touch;

fn other_pin() -> Pin {
    Pin::new(Zeroizing::new(b"654321".to_vec())).unwrap()
}

fn retired(n: usize) -> Slot {
    Slot::retired().nth(n).unwrap()
}

/// Answers what it is told to, then `6F00` for ever.
struct Script {
    answers: VecDeque<Vec<u8>>,
    sent: std::rc::Rc<std::cell::RefCell<Vec<Vec<u8>>>>,
}

impl Channel for Script {
    fn transmit(&mut self, apdu: &[u8]) -> Result<Zeroizing<Vec<u8>>, ChannelError> {
        self.sent.borrow_mut().push(apdu.to_vec());
        Ok(Zeroizing::new(self.answers.pop_front().unwrap_or_else(|| vec![0x6f, 0x00])))
    }
}

/// A client of a card that gives these answers after SELECT, version and serial.
fn scripted(answers: &[&str]) -> (Piv<'static>, std::rc::Rc<std::cell::RefCell<Vec<Vec<u8>>>>) {
    let all = ["9000", "0507019000", "000000019000"].iter().chain(answers);
    let answers = all.map(|answer| hex::decode(answer).unwrap()).collect();
    let sent = std::rc::Rc::default();
    let piv = Piv::select(Box::new(Script { answers, sent: std::rc::Rc::clone(&sent) })).unwrap();
    sent.borrow_mut().clear();
    (piv, sent)
}

#[test]
fn a_card_tells_its_version_and_serial() {
    let piv = Bench::new((5, 4, 3)).piv(Cut::Never).unwrap();
    assert_eq!((piv.version(), piv.serial()), (Some(Version::new(5, 4, 3)), Some(10_000_001)));
}

#[test]
fn a_card_without_piv_is_said_to_have_none() {
    let answers = VecDeque::from([vec![0x6a, 0x82]]);
    let error = Piv::select(Box::new(Script { answers, sent: Default::default() })).err().unwrap();
    assert_eq!(error.to_string(), "the card has no PIV application (not found, 6A82)");
}

#[test]
fn wrong_pins_count_down_and_asking_spends_none() {
    let bench = Bench::new((5, 4, 3));
    let mut piv = bench.piv(Cut::Never).unwrap();
    assert_eq!(piv.pin_tries().unwrap(), Some(3));
    assert_eq!(piv.pin_tries().unwrap(), Some(3));
    assert!(matches!(piv.verify_pin(&other_pin()), Err(TokenError::WrongPin { tries_left: 2 })));
    assert!(matches!(piv.verify_pin(&other_pin()), Err(TokenError::WrongPin { tries_left: 1 })));
    assert_eq!(piv.pin_tries().unwrap(), Some(1));
    assert!(matches!(piv.verify_pin(&other_pin()), Err(TokenError::PinBlocked)));
    assert_eq!(piv.pin_tries().unwrap(), Some(0));
    assert!(matches!(piv.verify_pin(&pin()), Err(TokenError::PinBlocked)));
}

#[test]
fn a_verified_pin_is_told_and_forgotten() {
    let mut piv = Bench::new((5, 4, 3)).open();
    assert_eq!(piv.pin_tries().unwrap(), None);
    piv.logout().unwrap();
    assert_eq!(piv.pin_tries().unwrap(), Some(3));
    assert!(matches!(piv.verify_pin_again(&pin()), Err(TokenError::PinNotVerified)));
}

#[test]
fn no_pin_is_sent_again_unless_it_was_accepted() {
    let bench = Bench::prepared((5, 4, 3));
    let mut piv = bench.piv(Cut::Never).unwrap();
    let signing_key = custody::identify(&mut piv).unwrap().unwrap();
    let pin = pin();
    let session = custody::Session { signing_key, pin: &pin };
    let before = bench.card.borrow().statistics().verifies;
    let anchor = Anchor::new(Digest::of(b"v"));
    let written = custody::write_anchor(&mut piv, &session, anchor.clone(), retired(0));
    assert!(matches!(written, Err(TokenError::PinNotVerified)));
    let made = custody::new_share_key(&mut piv, &session, anchor, TouchPolicy::Never);
    assert!(matches!(made, Err(TokenError::PinNotVerified)));
    assert_eq!(bench.card.borrow().statistics().verifies, before);
}

#[test]
fn pin_and_puk_can_be_changed_and_are_known_to_be_the_factorys() {
    let mut piv = Bench::new((5, 4, 3)).piv(Cut::Never).unwrap();
    let puk = Pin::new(Zeroizing::new(b"12345678".to_vec())).unwrap();
    let new_puk = Pin::new(Zeroizing::new(b"87654321".to_vec())).unwrap();
    assert_eq!((piv.pin_is_default().unwrap(), piv.puk_is_default().unwrap()), (Some(true), Some(true)));
    assert!(matches!(piv.change_pin(&other_pin(), &pin()), Err(TokenError::WrongPin { tries_left: 2 })));
    piv.change_pin(&pin(), &other_pin()).unwrap();
    assert!(matches!(piv.change_puk(&new_puk, &puk), Err(TokenError::WrongPuk { tries_left: 2 })));
    piv.change_puk(&puk, &new_puk).unwrap();
    assert_eq!((piv.pin_is_default().unwrap(), piv.puk_is_default().unwrap()), (Some(false), Some(false)));
    piv.verify_pin(&other_pin()).unwrap();

    let mut old = Bench::new((4, 3, 5)).piv(Cut::Never).unwrap();
    assert_eq!(old.pin_is_default().unwrap(), None);
}

#[test]
fn objects_are_written_in_parts_read_in_parts_and_deleted() {
    let mut piv = Bench::prepared((5, 4, 3)).open();
    piv.authenticate_protected().unwrap();
    for size in [1, 127, 128, 255, 256, 257, 511, 512, 3000] {
        let contents: Vec<u8> = (0..size).map(|n| n as u8).collect();
        piv.write_object(0x5f_ff10, &contents).unwrap();
        assert_eq!(*piv.object(0x5f_ff10).unwrap().unwrap(), contents, "{size}");
    }
    piv.write_object(0x5f_ff10, &[]).unwrap();
    assert!(piv.object(0x5f_ff10).unwrap().is_none());
    let large = piv.write_object(0x5f_ff10, &[0; 3053]);
    assert!(matches!(large, Err(TokenError::Refused { command: "PUT DATA", status: Status::NoMemory })));
}

#[test]
fn what_is_stored_otherwise_than_written_is_an_error() {
    // PUT DATA succeeds; GET DATA returns another byte, then nothing.
    let (mut piv, _) = scripted(&["9000", "5301029000", "9000", "6a82"]);
    assert!(matches!(piv.write_object(0x5f_c10d, &[1]), Err(TokenError::NotStored { tag: 0x5f_c10d })));
    assert!(matches!(piv.write_object(0x5f_c10d, &[1]), Err(TokenError::NotStored { tag: 0x5f_c10d })));
}

#[test]
fn a_compressed_certificate_is_foreign() {
    let (mut piv, _) = scripted(&["530b7004deadbeef710101fe009000", "530b7004deadbeef710100fe009000"]);
    assert_eq!(piv.certificate(retired(0)).unwrap(), None);
    assert_eq!(piv.certificate(retired(1)).unwrap(), Some(vec![0xde, 0xad, 0xbe, 0xef]));
}

#[test]
fn a_management_key_of_each_algorithm_is_set_and_proven_and_a_wrong_one_is_not() {
    let mut piv = Bench::prepared((5, 4, 3)).open();
    piv.authenticate_protected().unwrap();
    for (algorithm, length) in [
        (ManagementAlgorithm::Aes128, 16),
        (ManagementAlgorithm::Aes192, 24),
        (ManagementAlgorithm::Aes256, 32),
        (ManagementAlgorithm::TripleDes, 24),
    ] {
        // No two bytes the same: 3DES with three equal thirds would be single DES.
        let bytes = |first: u8| Zeroizing::new((first..).take(length).collect());
        let key = |first: u8| ManagementKey::new(algorithm, bytes(first)).unwrap();
        piv.set_management_key(&key(0x31)).unwrap();
        assert!(matches!(piv.authenticate_management(&key(0x52)), Err(TokenError::WrongManagementKey)));
        piv.authenticate_management(&key(0x31)).unwrap();
        assert!(ManagementKey::new(algorithm, Zeroizing::new(vec![0; length - 1])).is_none());
    }
}

#[test]
fn a_card_that_cannot_prove_the_management_key_is_refused() {
    let key = ManagementKey::new(ManagementAlgorithm::Aes128, Zeroizing::new(vec![7; 16])).unwrap();
    let (zeros, ok) = ("00".repeat(16), "9000");
    let (witness, wrong) = (&format!("7c128010{zeros}{ok}"), format!("7c128210{zeros}{ok}"));
    let wrong = wrong.as_str();
    for (first, second) in [
        (witness.as_str(), wrong),
        (witness.as_str(), "9000"),
        (witness.as_str(), "7c0282009000"),
        ("7c0a800800000000000000009000", wrong),
        ("7c0280009000", wrong),
        ("9000", wrong),
    ] {
        let (mut piv, _) = scripted(&[first, second]);
        assert!(piv.authenticate_management(&key).is_err(), "{first} {second}");
    }
}

#[test]
fn slots_are_told_apart_by_metadata_attestation_or_certificate() {
    for firmware in [(4, 3, 5), (5, 4, 3), (5, 7, 1)] {
        let bench = Bench::prepared(firmware);
        let mut piv = bench.open();
        piv.authenticate_protected().unwrap();
        let empty = piv.slot_key(retired(0)).unwrap();
        assert_eq!(empty, if firmware < (5, 3, 0) { SlotKey::Unknown } else { SlotKey::Empty });
        assert!(piv.is_vacant(retired(0)).unwrap());
        let key = piv.generate(retired(0), PinPolicy::Once, TouchPolicy::Always).unwrap();
        assert_eq!(piv.slot_key(retired(0)).unwrap(), SlotKey::P256(key));
        assert!(!piv.is_vacant(retired(0)).unwrap());
    }
}

#[test]
fn a_key_in_a_slot_agrees_only_with_pin_and_touch() {
    let bench = Bench::prepared((5, 4, 3));
    let mut piv = bench.open();
    piv.authenticate_protected().unwrap();
    let key = piv.generate(retired(0), PinPolicy::Once, TouchPolicy::Always).unwrap();
    custody::prove_key(&mut piv, retired(0), &key).unwrap();
    let other = piv.generate(retired(1), PinPolicy::Once, TouchPolicy::Never).unwrap();
    assert!(matches!(custody::prove_key(&mut piv, retired(0), &other), Err(TokenError::WrongKey { .. })));
    bench.card.borrow_mut().set_touch(Touch::Withhold);
    let untouched = custody::prove_key(&mut piv, retired(0), &key);
    assert!(matches!(untouched, Err(TokenError::TouchOrPinMissing { slot }) if slot == retired(0)));
    piv.logout().unwrap();
    assert!(matches!(custody::prove_key(&mut piv, retired(1), &other), Err(TokenError::TouchOrPinMissing { .. })));
}

#[test]
fn a_signature_is_verified_before_it_is_believed() {
    let bench = Bench::prepared((5, 4, 3));
    let mut piv = bench.open();
    let key = custody::identify(&mut piv).unwrap().unwrap();
    piv.verify_pin(&pin()).unwrap();
    assert!(piv.sign(Slot::Signature, &key, b"message").unwrap().verifies(&key, b"message"));
    // 9C wants the PIN again before each.
    let again = piv.sign(Slot::Signature, &key, b"message");
    assert!(matches!(again, Err(TokenError::TouchOrPinMissing { slot: Slot::Signature })));
    let other = custody::identify(&mut Bench::prepared((5, 4, 3)).open()).unwrap().unwrap();
    piv.verify_pin(&pin()).unwrap();
    assert!(matches!(piv.sign(Slot::Signature, &other, b"message"), Err(TokenError::BadSignature { .. })));
}

#[test]
fn destroying_says_whether_the_card_deleted_or_replaced() {
    for (firmware, deletes) in [((5, 7, 1), true), ((5, 4, 3), false), ((4, 3, 5), false)] {
        let mut piv = Bench::prepared(firmware).open();
        piv.authenticate_protected().unwrap();
        let key = piv.generate(retired(0), PinPolicy::Once, TouchPolicy::Never).unwrap();
        match piv.delete_key(retired(0)).unwrap() {
            Destroyed::Deleted => assert!(deletes),
            Destroyed::Replaced(other) => assert!(!deletes && other != key),
        }
        assert_ne!(piv.slot_key(retired(0)).unwrap(), SlotKey::P256(key));
    }
}

#[test]
fn a_pulled_card_is_passed_on_as_it_is() {
    let bench = Bench::prepared((5, 4, 3));
    let mut piv = bench.piv(Cut::Before(4)).unwrap();
    assert!(matches!(piv.pin_tries(), Err(TokenError::Channel(ChannelError::Removed { .. }))));
}

#[test]
fn an_answer_without_end_is_refused() {
    let endless: Vec<String> = (0..100).map(|_| format!("{}6100", "00".repeat(255))).collect();
    let (mut piv, _) = scripted(&endless.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(matches!(piv.object(0x5f_c10d), Err(TokenError::Malformed { .. })));
    let (mut piv, _) = scripted(&["6110", "6110", "6110"]);
    assert!(matches!(piv.object(0x5f_c10d), Err(TokenError::Malformed { .. })));
    let (mut piv, _) = scripted(&["90"]);
    assert!(matches!(piv.pin_tries(), Err(TokenError::Malformed { .. })));
}

#[test]
fn a_wrong_expected_length_is_corrected_once() {
    let (mut piv, sent) = scripted(&["6c05", "53030102039000"]);
    assert_eq!(*piv.object(0x5f_c10d).unwrap().unwrap(), [1, 2, 3]);
    assert_eq!(sent.borrow()[1].last(), Some(&5));
}

/// Everything that a ceremony does with a token, on a card that answers anything: errors, never a panic.
fn do_everything(mut piv: Piv) {
    let pin = pin();
    let key = custody::identify(&mut Bench::prepared((5, 4, 3)).open()).unwrap().unwrap();
    let session = custody::Session { signing_key: key, pin: &pin };
    let _ = piv.pin_tries();
    let _ = (piv.pin_is_default(), piv.puk_is_default());
    let _ = custody::identity(&mut piv);
    let _ = custody::anchor_of(&mut piv, &key, Digest::of(b"v"));
    let _ = piv.verify_pin(&pin);
    let _ = prepare::prepare(&mut piv, &pin);
    let _ = piv.verify_pin(&pin);
    let _ = piv.protected_management_key();
    let _ = custody::new_share_key(&mut piv, &session, Anchor::new(Digest::of(b"v")), TouchPolicy::Always);
    let _ = custody::destroy_older_keys(&mut piv, &session, Anchor::new(Digest::of(b"v")), &key);
    let _ = custody::prove_key(&mut piv, retired(0), &key);
    let _ = attestation_of(&mut piv, retired(0), &key, &Roots::new(&[]).unwrap());
    let _ = (piv.generate(retired(0), PinPolicy::Once, TouchPolicy::Never), piv.delete_key(retired(0)));
    let _ = (piv.change_pin(&pin, &pin), piv.change_puk(&pin, &pin), piv.logout());
}

/// A good card, of whose answers some are changed on the way.
struct Liar {
    bench: Bench,
    changes: Vec<(u8, u8)>,
    next: usize,
}

impl Channel for Liar {
    fn transmit(&mut self, apdu: &[u8]) -> Result<Zeroizing<Vec<u8>>, ChannelError> {
        let mut answer = self.bench.card.borrow_mut().answer(apdu);
        self.next += 1;
        if let Some((at, with)) = self.changes.get(self.next).copied().filter(|(_, with)| *with != 0) {
            match (with % 4, answer.len()) {
                (0, length) => answer.truncate(usize::from(at) % (length + 1)),
                (1, _) => answer = vec![at, with],
                (_, 0) => {}
                (_, length) => answer[usize::from(at) % length] ^= with,
            }
        }
        Ok(Zeroizing::new(answer))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn garbage_makes_nothing_panic(answers in proptest::collection::vec(
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(|data| [data, vec![0x90, 0x00]].concat()),
            Just(vec![0x90, 0x00]),
        ], 0..200)) {
        let answers = std::iter::once(vec![0x90, 0x00]).chain(answers).collect();
        if let Ok(piv) = Piv::select(Box::new(Script { answers, sent: Default::default() })) {
            do_everything(piv);
        }
    }

    #[test]
    fn a_lying_card_makes_nothing_panic(changes in proptest::collection::vec((any::<u8>(), prop_oneof![3 => Just(0_u8), 1 => any::<u8>()]), 0..200)) {
        let bench = Bench::prepared((5, 7, 1));
        if let Ok(piv) = Piv::select(Box::new(Liar { bench, changes, next: 0 })) {
            do_everything(piv);
        }
    }
}

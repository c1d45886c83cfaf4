//! Cards through a real pcscd: what a person does with cards and readers, as the program sees it.

#[path = "harness/harness.rs"]
mod harness;

use claviger::encoding::Digest;
use claviger::interrupt;
use claviger::secret::Pin;
use claviger::token::anchor::Anchor;
use claviger::token::channel::{ChannelError, Presence, Source};
use claviger::token::custody::{self, Session};
use claviger::token::pcsc::PcscSource;
use claviger::token::piv::{Piv, TouchPolicy};
use claviger::token::soft::{SoftCard, SoftCardOptions};
use claviger::token::{TokenError, prepare};
use harness::{Pcscd, Pull, VirtualCard};

fn pin() -> Pin {
    Pin::new(zeroize::Zeroizing::new(b"123456".to_vec())).unwrap()
}

fn card() -> VirtualCard {
    VirtualCard::new(SoftCard::create(SoftCardOptions::default()).unwrap())
}

fn only(source: &mut PcscSource) -> Presence {
    let mut present = source.present().unwrap();
    assert_eq!(present.len(), 1);
    present.remove(0)
}

/// One test, since the service that a process talks to is chosen by its environment, once.
#[test]
fn cards_come_work_and_go() {
    let mut pcscd = Pcscd::start(2);
    let (name, socket) = pcscd.environment();
    // SAFETY: this process has one other thread, which copies pcscd's output and reads no environment.
    unsafe { std::env::set_var(name, socket) };
    let mut source = PcscSource::new().unwrap();
    assert!(!source.software());
    assert_eq!(source.present().unwrap(), []);

    let mut first = card();
    waiting_ends_when_a_card_is_inserted(&mut source, &pcscd, &mut first);
    a_pin_does_not_outlive_its_transaction(&mut source);
    a_token_is_prepared_and_makes_a_share_key(&mut source);
    another_program_that_has_the_card_is_named(&mut source, &pcscd);
    a_pulled_card_is_gone_for_good(&mut source, &pcscd, &mut first);
    ctrl_c_ends_waiting(&mut source);
    waiting_ends_when_a_card_is_removed(&mut source, &pcscd, &mut first);

    pcscd.stop();
    assert!(matches!(source.present(), Err(ChannelError::NoService(_))));
    assert!(matches!(PcscSource::new(), Err(ChannelError::NoService(_))));
}

fn waiting_ends_when_a_card_is_inserted(source: &mut PcscSource, pcscd: &Pcscd, card: &mut VirtualCard) {
    std::thread::scope(|scope| {
        scope.spawn(|| pcscd.insert(1, card));
        source.wait(&[]).unwrap();
    });
    assert_eq!(only(source).reader, pcscd.reader(1));
    // What is seen already is not waited for.
    source.wait(&[]).unwrap();
}

fn a_pin_does_not_outlive_its_transaction(source: &mut PcscSource) {
    let presence = only(source);
    let mut link = source.connect(&presence).unwrap();
    let mut piv = Piv::select(link.begin().unwrap()).unwrap();
    piv.verify_pin(&pin()).unwrap();
    assert_eq!(piv.pin_tries().unwrap(), None);
    drop(piv);
    let mut piv = Piv::select(link.begin().unwrap()).unwrap();
    assert_eq!(piv.pin_tries().unwrap(), Some(3));
}

fn a_token_is_prepared_and_makes_a_share_key(source: &mut PcscSource) {
    let presence = only(source);
    let pin = pin();
    let mut link = source.connect(&presence).unwrap();
    let mut piv = Piv::select(link.begin().unwrap()).unwrap();
    piv.verify_pin(&pin).unwrap();
    let prepared = prepare::prepare(&mut piv, &pin).unwrap();
    let session = Session { signing_key: prepared.signing_key, pin: &pin };
    let anchor = Anchor::new(Digest::of(b"vault"));
    let made = custody::new_share_key(&mut piv, &session, anchor, TouchPolicy::Always).unwrap();
    custody::prove_key(&mut piv, made.slot, &made.public).unwrap();
    let found = custody::anchor_of(&mut piv, &prepared.signing_key, Digest::of(b"vault")).unwrap();
    assert_eq!(found.anchor, Some(made.anchor));
}

fn another_program_that_has_the_card_is_named(source: &mut PcscSource, pcscd: &Pcscd) {
    let presence = only(source);
    let context = pcsc::Context::establish(pcsc::Scope::User).unwrap();
    let reader = std::ffi::CString::new(pcscd.reader(1)).unwrap();
    let held = context.connect(&reader, pcsc::ShareMode::Exclusive, pcsc::Protocols::ANY).unwrap();
    let busy = source.connect(&presence).err().unwrap();
    assert!(matches!(&busy, ChannelError::Busy { reader } if *reader == pcscd.reader(1)), "{busy}");
    drop(held);
    source.connect(&presence).unwrap();
}

fn a_pulled_card_is_gone_for_good(source: &mut PcscSource, pcscd: &Pcscd, card: &mut VirtualCard) {
    for when in [Pull::BeforeCommand, Pull::AfterCommand] {
        let before = only(source);
        let mut link = source.connect(&before).unwrap();
        let mut piv = Piv::select(link.begin().unwrap()).unwrap();
        card.pull_after(0, when);
        let pulled = piv.pin_tries().unwrap_err();
        assert!(matches!(pulled, TokenError::Channel(ChannelError::Removed { .. })), "{pulled}");
        drop(piv);
        pcscd.insert(1, card);
        assert!(matches!(link.begin(), Err(ChannelError::Removed { .. })));
        assert!(matches!(source.connect(&before), Err(ChannelError::Removed { .. })));
        let after = only(source);
        assert!(after.reader == before.reader && after.insertion != before.insertion);
        source.connect(&after).unwrap();
    }
}

fn ctrl_c_ends_waiting(source: &mut PcscSource) {
    let seen = source.present().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(interrupt::request);
        assert!(matches!(source.wait(&seen), Err(ChannelError::Interrupted)));
    });
    interrupt::clear();
}

fn waiting_ends_when_a_card_is_removed(source: &mut PcscSource, pcscd: &Pcscd, card: &mut VirtualCard) {
    let seen = source.present().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| pcscd.remove(1, card));
        source.wait(&seen).unwrap();
    });
    assert_eq!(source.present().unwrap(), []);
}

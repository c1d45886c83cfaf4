//! Another program on a custodian's card, through the same pcscd: it holds the card, or changes it between two of claviger's
//! transactions. claviger waits, goes on or says what it found; no PIN try is lost, and nothing that is not its own is touched.

#[path = "harness/harness.rs"]
mod harness;

use std::ffi::CString;
use std::time::{Duration, Instant};

use claviger::secret::Pin;
use claviger::token::channel::Source;
use claviger::token::pcsc::PcscSource;
use claviger::token::piv::{PinPolicy, Piv, SlotKey, TouchPolicy};
use claviger::token::slot::Slot;
use harness::crew::{self, CHOOSE, CONFIRM, Crew};
use harness::scene::{RECOVER, SECRET, flat};
use harness::table::Table;
use pcsc::{Card, Context, Disposition, Protocols, Scope, ShareMode};

const VAULTS: [&str; 2] = ["vault", "copy"];

/// A table whose pcscd this process speaks to as well.
fn table() -> Table {
    let table = Table::new(2, 3);
    let (name, socket) = table.pcscd.environment();
    // SAFETY: each test is a process of its own here, and its other threads read no environment.
    unsafe { std::env::set_var(name, socket) };
    table
}

/// The other program's connection to a card.
fn other_program(table: &Table, index: usize) -> Card {
    let context = Context::establish(Scope::User).unwrap();
    let reader = CString::new(table.pcscd.reader(index)).unwrap();
    context.connect(&reader, ShareMode::Shared, Protocols::ANY).unwrap()
}

/// Does something with the card as a program would that has its PIN and its management key.
fn meddle(table: &Table, index: usize, action: impl FnOnce(&mut Piv<'_>)) {
    let mut source = PcscSource::new().unwrap();
    let presence = source.present().unwrap().into_iter().find(|p| p.reader == table.pcscd.reader(index)).unwrap();
    let mut link = source.connect(&presence).unwrap();
    let mut piv = Piv::select(link.begin().unwrap()).unwrap();
    piv.verify_pin(&Pin::new(zeroize::Zeroizing::new(crew::pin(index).into_bytes())).unwrap()).unwrap();
    let key = piv.protected_management_key().unwrap().unwrap();
    piv.authenticate_management(&key).unwrap();
    action(&mut piv);
}

fn keys(table: &Table, index: usize) -> std::collections::BTreeMap<Slot, claviger::encoding::PublicKey> {
    table.with_likeness(index, harness::scene::keys)
}

#[test]
fn a_card_that_another_program_holds_is_waited_for_and_named() {
    let table = table();
    let mut held = other_program(&table, 0);

    // Ctrl-C ends the wait at once.
    let transaction = held.transaction().unwrap();
    let mut terminal = table.start(&RECOVER, &VAULTS);
    terminal.answer(CONFIRM, "yes");
    terminal.expect("2 more cards are needed");
    let began = Instant::now();
    terminal.ctrl_c();
    let code = terminal.exit_code();
    assert_eq!(code, 3, "{}", terminal.screen());
    assert!(flat(terminal.screen()).contains("claviger: error: stopped by Ctrl-C claviger: hint: nothing is lost"));
    // Less than it takes to give the wait up: that would have been another message besides.
    assert!(!terminal.screen().contains("another program is using the card"), "{:?}", began.elapsed());

    // A wait that lasts is given up, and said; the others go on. Then the card is free, and asked again.
    let mut terminal = table.start(&RECOVER, &VAULTS);
    terminal.set_patience(Duration::from_secs(60));
    terminal.answer(CONFIRM, "yes");
    terminal.expect("Close the other program");
    let told = "cannot be asked whose it is: another program is using the card in";
    assert!(flat(terminal.screen()).contains(told), "{}", terminal.screen());
    terminal.answer("bob, your PIN (3 tries left)", &crew::pin(1));
    terminal.answer("carol, your PIN (3 tries left)", "");
    terminal.expect(CHOOSE);
    transaction.end(Disposition::LeaveCard).map_err(|(_, error)| error).unwrap();
    terminal.type_line("again");
    let mut crew = Crew::of(&[0, 1]);
    assert_eq!(crew.hold(&mut terminal, || {}), 0, "{}", terminal.screen());
    assert_eq!(crew.shown, [SECRET]);
    table.no_try_was_lost();
}

/// While alice reads what she approves, and again while she reads what she proves, another program has its way with her card.
#[track_caller]
fn recover_while(table: &Table, what: &str, mut meddle: impl FnMut(&Table)) {
    let mut terminal = table.start(&RECOVER, &VAULTS);
    let mut crew = Crew::of(&[0, 1]);
    let mut asked = 0;
    while let Some((which, before)) = terminal.next(&crew::PROMPTS) {
        if which == 0 && before.lines().last().is_some_and(|line| line.starts_with("alice,")) {
            asked += 1;
            meddle(table);
        }
        crew.answer(&mut terminal, which, &before, &mut || {});
    }
    assert_eq!(terminal.exit_code(), 0, "{what}: {}", terminal.screen());
    assert_eq!((crew.shown.as_slice(), asked), (&[SECRET.to_owned()][..], 2), "{what}: {}", terminal.screen());
    table.no_try_was_lost();
}

#[test]
fn what_another_program_leaves_behind_between_transactions_changes_nothing() {
    let table = table();
    let select = |aid: &[u8]| [&[0, 0xa4, 4, 0, aid.len() as u8], aid].concat();
    let piv = select(&[0xa0, 0, 0, 3, 8, 0, 0, 0x10, 0]);
    let send = |card: &mut Card, commands: &[Vec<u8>], then: Disposition| {
        let mut buffer = [0; pcsc::MAX_BUFFER_SIZE];
        let transaction = card.transaction().unwrap();
        for command in commands {
            transaction.transmit(command, &mut buffer).unwrap();
        }
        transaction.end(then).map_err(|(_, error)| error).unwrap();
    };
    let verify = [&[0, 0x20, 0, 0x80, 8][..], crew::pin(0).as_bytes(), &[0xff, 0xff]].concat();
    recover_while(&table, "verifies the PIN and leaves it so", |table| {
        send(&mut other_program(table, 0), &[piv.clone(), verify.clone()], Disposition::LeaveCard);
    });
    recover_while(&table, "selects another application", |table| {
        send(&mut other_program(table, 0), &[select(&[0xd2, 0x76, 0, 1, 0x24, 1])], Disposition::LeaveCard);
    });
    recover_while(&table, "resets the card", |table| {
        send(&mut other_program(table, 0), &[], Disposition::ResetCard);
    });
    recover_while(&table, "takes the power from the card", |table| {
        send(&mut other_program(table, 0), &[], Disposition::UnpowerCard);
    });
}

#[test]
fn a_key_that_another_program_makes_in_the_free_slot_stays() {
    let table = table();
    let before = keys(&table, 0);
    let mut made = Vec::new();
    recover_while(&table, "makes a key in the next free slot", |table| {
        let taken = keys(table, 0);
        let free = Slot::retired().find(|slot| !taken.contains_key(slot)).unwrap();
        meddle(table, 0, |piv| {
            made.push((free, piv.generate(free, PinPolicy::Once, TouchPolicy::Never).unwrap()));
        });
    });
    let after = keys(&table, 0);
    for (slot, key) in &made {
        assert_eq!(after.get(slot), Some(key), "a key of another program was touched");
    }
    assert_eq!((made.len(), after.len()), (2, before.len() + 2));
    let seen = table.hold(&RECOVER, &VAULTS, Crew::of(&[0, 2]));
    assert_eq!(seen.expect(0, &[]).shown, [SECRET]);
}

#[test]
fn a_certificate_that_another_program_writes_over_the_anchor_costs_nothing() {
    let table = table();
    let slot = *keys(&table, 0).keys().next().unwrap();
    let mut terminal = table.start(&RECOVER, &VAULTS);
    let mut crew = Crew::of(&[0, 1]);
    crew.hold_until(&mut terminal, "is written to every copy and read back");
    crew.choices = vec!["stop".to_owned()];
    // Between the rounds: alice's anchors are junk.
    let taken: Vec<Slot> = keys(&table, 0).into_keys().collect();
    assert!(taken.contains(&slot));
    meddle(&table, 0, |piv| {
        for slot in &taken {
            piv.write_object(slot.certificate_object(), b"not a certificate").unwrap();
        }
    });
    told_and_others_go_on(&table, crew, terminal, "alice's card cannot take part: it carries no readable anchor");
}

/// The ceremony stops after bob has closed; bob and carol go on over it.
#[track_caller]
fn told_and_others_go_on(table: &Table, mut crew: Crew, mut terminal: harness::Terminal, told: &str) {
    let code = crew.hold(&mut terminal, || {});
    let screen = flat(terminal.screen());
    assert_eq!((code, crew.shown.len()), (4, 0), "{screen}");
    assert!(screen.contains(told), "{screen}");
    assert!(screen.contains("is committed and nothing is lost, and any k custodians can finish it"), "{screen}");
    table.no_try_was_lost();
    let seen = table.hold(&RECOVER, &VAULTS, Crew::of(&[1, 2]).choosing(&["over"]));
    assert_eq!(seen.expect(0, &[]).shown, [SECRET]);
    table.no_try_was_lost();
}

#[test]
fn a_new_share_key_that_another_program_deletes_is_told_and_costs_nothing() {
    let table = table();
    let before = keys(&table, 0);
    let mut terminal = table.start(&RECOVER, &VAULTS);
    let mut crew = Crew::of(&[0, 1]);
    crew.hold_until(&mut terminal, "is written to every copy and read back");
    crew.choices = vec!["stop".to_owned(); 3];
    let new = keys(&table, 0).into_keys().find(|slot| !before.contains_key(slot)).unwrap();
    meddle(&table, 0, |piv| {
        piv.delete_key(new).unwrap();
        assert_eq!(piv.slot_key(new).unwrap(), SlotKey::Empty);
    });
    told_and_others_go_on(&table, crew, terminal, "alice's card: the card refused GENERAL AUTHENTICATE (ECDH)");
}

//! What goes wrong with cards: pulled in each stage, swapped, blinking in vain, no reader, no service.

#[path = "harness/harness.rs"]
mod harness;

use claviger::token::soft::Touch;
use harness::crew::{self, CHOOSE, CONFIRM, Crew, INSERT, PROMPTS};
use harness::scene::{RECOVER, SECRET, Scene, arguments, flat};
use harness::table::Table;
use harness::{Pcscd, Pull};

const VAULTS: [&str; 2] = ["vault", "copy"];
/// Commands by their header, how many of them go through, and whether the next is executed before the card is gone.
type At = (&'static str, u64, Pull);

/// Holds `recover` with alice and bob. In each round alice's card is pulled once after she has typed her PIN; she inserts it
/// again when the program wants a card, and types her PIN again.
#[track_caller]
fn recover_while_pulled(table: &mut Table, first: At, second: At) {
    let what = format!("{first:?} and {second:?}");
    let mut terminal = table.start(&RECOVER, &VAULTS);
    let mut crew = Crew::of(&[0, 1]);
    let mut rounds = [Some(first), None, Some(second), None].into_iter();
    let mut out = false;
    while let Some((which, before)) = terminal.next(&PROMPTS) {
        match which {
            0 if before.lines().last().is_some_and(|line| line.starts_with("alice,")) => {
                let next = rounds.next().unwrap_or_else(|| panic!("{what}: asked too often: {}", terminal.screen()));
                if let Some((header, count, when)) = next {
                    table.cards[0].pull_at(header, count, when);
                    out = true;
                }
                crew.answer(&mut terminal, which, &before, &mut || {});
            }
            // pcscd may not have noticed yet that the card is gone: then the person is asked what to do.
            2 => terminal.type_line("other"),
            3 if out => {
                assert!(table.cards[0].pulled(), "{what}: {}", terminal.screen());
                out = false;
                table.insert(0);
            }
            3 => {}
            _ => crew.answer(&mut terminal, which, &before, &mut || {}),
        }
    }
    assert_eq!(terminal.exit_code(), 0, "{what}: {}", terminal.screen());
    assert_eq!(crew.shown, [SECRET], "{what}: {}", terminal.screen());
    assert_eq!(crew.pins_typed, 6, "{what}: {}", terminal.screen());
    let screen = flat(terminal.screen());
    assert_eq!(screen.matches("alice's card: the card in").count(), 2, "{what}: {screen}");
    assert!(screen.contains("was removed"), "{what}: {screen}");
    table.no_try_was_lost();
}

#[track_caller]
fn pulled_in_each_round(pulls: &[(At, At)]) {
    let mut table = Table::new(2, 3);
    table.remove(2);
    for (first, second) in pulls {
        recover_while_pulled(&mut table, *first, *second);
    }
    table.insert(2);
    let seen = table.hold(&RECOVER, &VAULTS, Crew::of(&[1, 2]));
    assert_eq!(seen.expect(0, &[]).shown, [SECRET]);
}

use Pull::{AfterCommand as After, BeforeCommand as Before};
/// VERIFY with the PIN; the first part of an anchor; GENERATE; ATTEST; a signature; ECDH; the destruction of a key.
const VERIFY: &str = "0020 0080";
const WRITE: &str = "10DB";
const GENERATE: &str = "0047";
const ATTEST: &str = "00F9";
const SIGN: &str = "0087 119C";
const ECDH: &str = "0087 118";
const DESTROY: &str = "00F6";

#[test]
fn pulled_before_the_approval_and_at_the_proof() {
    pulled_in_each_round(&[
        ((VERIFY, 0, After), (VERIFY, 0, Before)),
        ((WRITE, 0, Before), (ECDH, 0, Before)),
        ((GENERATE, 0, After), (ECDH, 0, After)),
        ((ATTEST, 0, Before), (DESTROY, 0, Before)),
    ]);
}

#[test]
fn pulled_at_and_after_the_approval_and_at_the_closing() {
    pulled_in_each_round(&[
        ((SIGN, 2, Before), (DESTROY, 0, After)),
        ((SIGN, 2, After), (SIGN, 0, After)),
        ((ECDH, 0, Before), (SIGN, 1, Before)),
        ((ECDH, 0, After), (SIGN, 1, After)),
    ]);
}

#[test]
fn no_service_no_reader_no_card() {
    let mut table = Table::new(2, 3);
    // The service goes away while alice types her PIN.
    let mut terminal = table.start(&RECOVER, &VAULTS);
    terminal.answer(CONFIRM, "yes");
    terminal.expect("alice, your PIN (3 tries left)");
    table.pcscd.stop();
    terminal.type_line(&crew::pin(0));
    let code = Crew::of(&[]).hold(&mut terminal, || {});
    let screen = flat(terminal.screen());
    assert!(matches!(code, 2 | 3), "{code}: {screen}");
    assert!(screen.contains("smart-card service (pcscd)") && screen.contains("claviger: hint:"), "{screen}");
    table.no_try_was_lost();

    let args = arguments(&table.place, &RECOVER, &VAULTS);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let without_readers = Pcscd::start(0);
    let mut terminal = crew::claviger("pcsc", &args, Some(&without_readers));
    terminal.expect("claviger: error: no smart-card reader is connected");
    terminal.expect("claviger: hint: plug a reader or a YubiKey in");
    terminal.expect_exit(2);

    // A new service; nobody has a card in it. The person waits, and stops.
    table.pcscd = Pcscd::start(3);
    let mut terminal = table.start(&RECOVER, &VAULTS);
    terminal.answer(CONFIRM, "yes");
    terminal.expect(INSERT);
    terminal.ctrl_c();
    terminal.expect("claviger: error: stopped by Ctrl-C");
    terminal.expect("claviger: hint: ");
    terminal.expect_exit(3);

    // Software tokens are nothing for a real vault.
    let tokens = format!("soft:{}", table.place.text("tokens"));
    let mut terminal = crew::claviger(&tokens, &args, None);
    terminal.expect("claviger: error: this is a real vault: it takes no software token");
    terminal.expect("claviger: hint: leave --tokens away, and use the custodians' cards");
    terminal.expect_exit(5);

    (0..3).for_each(|index| table.insert(index));
    let seen = table.hold(&RECOVER, &VAULTS, Crew::of(&[0, 2]));
    assert_eq!(seen.expect(0, &[]).shown, [SECRET]);
    table.no_try_was_lost();
}

#[test]
fn a_card_is_nothing_for_a_drill() {
    let scene = Scene::new(2, 3);
    let pcscd = Pcscd::start(1);
    let mut card = crew::virtual_yubikey(1, (5, 7, 1));
    pcscd.insert(0, &mut card);
    let args = scene.arguments(&RECOVER, &VAULTS);
    let mut terminal = crew::claviger("pcsc", &args.iter().map(String::as_str).collect::<Vec<_>>(), Some(&pcscd));
    terminal.expect("claviger: error: this is a drill vault: it takes software tokens only");
    terminal.expect("claviger: hint: use --tokens soft:DIR");
    terminal.expect_exit(5);
    assert_eq!(card.commands().iter().filter(|command| !command.starts_with("00A4")).count(), 0);
    scene.recovers(&VAULTS, &[0, 1]);
}

#[test]
fn the_wrong_card_twice_the_same_and_no_touch() {
    let mut table = Table::new(2, 3);
    for index in 0..3 {
        table.remove(index);
    }
    let mut stranger = crew::virtual_yubikey(9, (5, 7, 1));
    table.pcscd.insert(0, &mut stranger);
    let mut terminal = table.start(&RECOVER, &VAULTS);
    terminal.answer(CONFIRM, "yes");
    terminal.expect("belongs to no custodian of this vault.");
    terminal.expect(INSERT);
    // alice waits in vain for the blinking: she is asked what to do, and asked for her PIN again.
    table.pcscd.remove(0, &mut stranger);
    table.cards[0].set_touch(Touch::Withhold);
    table.insert(0);
    terminal.answer("alice, your PIN (3 tries left)", &crew::pin(0));
    terminal.expect("alice's card: the token did not get its touch");
    terminal.expect(CHOOSE);
    table.cards[0].set_touch(Touch::Grant);
    terminal.type_line("again");
    terminal.answer("alice, your PIN (3 tries left)", &crew::pin(0));
    terminal.expect("alice has approved, and the share is right.");
    terminal.expect(INSERT);
    // The same card once more, in another reader.
    table.remove(0);
    table.pcscd.insert(1, &mut table.cards[0]);
    terminal.expect("This is alice's card, and alice has done this round");
    table.pcscd.remove(1, &mut table.cards[0]);
    table.insert(0);
    table.insert(2);
    let mut crew = Crew::of(&[0, 2]);
    assert_eq!(crew.hold(&mut terminal, || {}), 0, "{}", terminal.screen());
    assert_eq!(crew.shown, [SECRET]);
    let changed = stranger
        .commands()
        .into_iter()
        .filter(|command| ["0047", "00DB", "10DB", "0087", "0024", "0020"].iter().any(|ins| command.starts_with(ins)));
    assert_eq!(changed.collect::<Vec<_>>(), [""; 0], "something was done with a stranger's card");
    table.no_try_was_lost();
    table.insert(1);
    let seen = table.hold(&RECOVER, &VAULTS, Crew::of(&[1, 2]));
    assert_eq!(seen.expect(0, &[]).shown, [SECRET]);
}

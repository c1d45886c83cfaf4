//! The harness is believed by every other test: what it promises is tested here.

#[path = "harness/harness.rs"]
mod harness;

use std::process::Command;

use claviger::token::soft::{SoftCard, SoftCardOptions, Touch};
use harness::{Pcscd, Pull, Terminal, VirtualCard};

fn shell(script: &str) -> Terminal {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    Terminal::run(command)
}

#[test]
fn a_person_reads_answers_and_sees_how_it_ended() {
    let mut terminal = shell(
        r#"printf 'Name: '; read name; printf '\033[1mHello %s\033[0m\n' "$name"
           stty -echo; printf 'PIN: '; read pin; stty echo; test "$pin" = 123456 && exit 7"#,
    );
    terminal.answer("Name: ", "Ruth");
    assert_eq!(terminal.expect("Hello"), "Ruth\n");
    assert_eq!(terminal.expect_any(&["PIN", "Ruth"]), (1, " ".to_owned()));
    terminal.answer("PIN: ", "123456");
    terminal.expect_exit(7);
    assert_eq!(terminal.screen(), "Name: Ruth\nHello Ruth\nPIN: ");
    assert!(terminal.raw().windows(4).any(|bytes| bytes == b"\x1b[1m"));
}

#[test]
fn ctrl_c_is_a_signal_and_ctrl_d_the_end_of_input() {
    let mut terminal = shell("trap 'exit 9' INT; echo ready; read line || exit 3");
    terminal.expect("ready");
    terminal.ctrl_c();
    terminal.expect_exit(9);
    let mut terminal = shell("echo ready; read line || exit 3");
    terminal.expect("ready");
    terminal.ctrl_d();
    terminal.expect_exit(3);
    let mut terminal = shell("echo ready; exec cat");
    terminal.expect("ready");
    terminal.kill();
    terminal.expect_exit(128 + 9);
}

#[test]
fn what_is_never_shown_fails_the_test_with_the_screen() {
    let mut terminal = shell("echo something else");
    let failure = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| terminal.expect("the right thing")));
    let text = *failure.unwrap_err().downcast::<String>().unwrap();
    assert!(text.contains("the right thing") && text.contains("something else"), "{text}");
}

fn verify(pcscd: &Pcscd, reader: usize, pin: &str) -> (bool, String) {
    let mut command = pcscd.command("yubico-piv-tool");
    let output = command.args(["-r", &pcscd.reader(reader), "-a", "verify-pin", "-P", pin]).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn new_card(serial: u32) -> SoftCard {
    SoftCard::create(SoftCardOptions { serial, ..Default::default() }).unwrap()
}

fn pins_sent(card: &VirtualCard) -> Vec<String> {
    card.commands().into_iter().filter(|line| line.starts_with("0020 0080")).collect()
}

#[test]
fn a_card_is_pulled_before_or_after_it_executes_a_command() {
    let pcscd = Pcscd::start(1);
    let mut card = VirtualCard::new(new_card(1));
    for (when, left) in [(Pull::BeforeCommand, "63C3"), (Pull::AfterCommand, "63C2")] {
        pcscd.insert(0, &mut card);
        // SELECT, tries, version, serial; then the PIN.
        card.pull_after(4, when);
        let (success, said) = verify(&pcscd, 0, "654321");
        assert!(!success && card.pulled(), "{said}");
        pcscd.insert(0, &mut card);
        assert!(verify(&pcscd, 0, "123456").0);
        let sent = pins_sent(&card);
        let after = &sent[sent.len() - 2..];
        assert_eq!(after, [format!("0020 0080 {left}"), "0020 0080 9000".to_owned()]);
        pcscd.remove(0, &mut card);
    }
}

#[test]
fn every_reader_has_its_own_card_and_a_card_changes_readers() {
    let pcscd = Pcscd::start(5);
    let mut cards: Vec<VirtualCard> = (0..5_u32).map(|number| VirtualCard::new(new_card(100 + number))).collect();
    for (number, card) in cards.iter_mut().enumerate() {
        pcscd.insert(number, card);
    }
    let serial = |reader: usize| {
        let mut command = pcscd.command("yubico-piv-tool");
        let output = command.args(["-r", &pcscd.reader(reader), "-a", "status"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .find_map(|l| Some(l.strip_prefix("Serial Number:\t")?.to_owned()))
    };
    for reader in 0..5 {
        assert_eq!(serial(reader), Some(format!("{}", 100 + reader)));
    }
    let (first, others) = cards.split_at_mut(1);
    pcscd.remove(0, &mut first[0]);
    assert_eq!(serial(0), None);
    pcscd.remove(4, &mut others[3]);
    pcscd.insert(0, &mut others[3]);
    assert_eq!(serial(0), Some("104".to_owned()));
    others[0].set_touch(Touch::Withhold);
    assert!(String::from_utf8(others[0].state().to_bytes()).unwrap().contains("withhold"));
}

#[test]
fn a_service_ends_with_its_test() {
    let pcscd = Pcscd::start(1);
    let mut card = VirtualCard::new(new_card(1));
    pcscd.insert(0, &mut card);
    assert!(verify(&pcscd, 0, "123456").0);
    let socket = pcscd.environment().1.to_owned();
    assert!(std::os::unix::net::UnixStream::connect(&socket).is_ok());
    drop(pcscd);
    assert!(std::os::unix::net::UnixStream::connect(&socket).is_err());
}

#[test]
fn people_in_this_process_hold_the_ceremonies_that_a_terminal_holds() {
    use harness::inside::{Command, People, Site};
    let scene = harness::scene::Scene::new(2, 3);
    let site = Site { dir: scene.place.path("") };
    let points = std::rc::Rc::new(std::cell::Cell::new(0));
    let start = std::time::Instant::now();
    let count = points.clone();
    let watch = claviger::fault::watch(move |_| count.set(count.get() + 1));
    let mut people = People::of(&[0, 2]);
    site.hold(Command::Recover, &["vault", "copy"], &mut people).unwrap();
    drop(watch);
    assert_eq!(people.shown, [harness::scene::SECRET], "{}", people.screen);
    assert!(points.get() > 1000, "{} points", points.get());
    println!("a recover of 2-of-3: {:.2?}, {} points", start.elapsed(), points.get());
    site.hold(Command::Check, &["vault", "copy"], &mut People::of(&[0, 1, 2])).unwrap();
    scene.no_try_was_lost();
}

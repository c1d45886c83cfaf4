//! The power fails, or a card is pulled, between any two APDUs, on virtual cards through a real pcscd: whoever comes next goes
//! on from there and gets the credential.
//!
//! The runs are those of `tests/crash.rs`, of a 2-of-3. A process that holds one is killed before and after each APDU; the
//! cards, and pcscd, live on. Each answer is lost by pulling the card when it has executed the command; it is inserted again
//! when pcscd has seen that it is gone. After each, what stands on the copies and on the cards is examined as there.
//! And the program itself, on a terminal, is cut a few times, with the next people at these cards.
//!
//! By default a sample is cut; `CLAVIGER_TEST_EVERY_POINT=1` cuts everywhere, or those ceremonies everywhere that
//! `CLAVIGER_TEST_RUNS` names, for example `recover,found`.

#[path = "harness/harness.rs"]
mod harness;

#[path = "crash/cards.rs"]
mod cards;
#[path = "crash/ground.rs"]
mod ground;
#[path = "crash/image.rs"]
mod image;
#[path = "crash/killed.rs"]
mod killed;
#[path = "crash/next.rs"]
mod next;
#[path = "crash/truth.rs"]
mod truth;

use cards::{Extent, Readers};
use claviger::transcript::{Judgement, Stage, judge};
use claviger::vault::Copies;
use harness::Pull;
use harness::crew::{self, Crew, PROMPTS};
use harness::scene::{RECOVER, SECRET, arguments, without_terminal};
use harness::table::Table;

const VAULTS: [&str; 2] = ["vault", "copy"];
/// Who holds the ceremony that is cut.
const FIRST: [usize; 2] = [0, 1];
/// Who comes afterwards, in turn.
const NEXT: [[usize; 2]; 3] = [[0, 2], [0, 1], [1, 2]];
const SIGKILL: i32 = 128 + 9;
/// How often the program on a terminal is cut.
const SAMPLE: usize = 4;

fn judgement(table: &Table) -> Judgement {
    judge(&Copies::open(&VAULTS.map(|vault| table.place.path(vault))).unwrap().snapshot().unwrap())
}

/// A recover with an environment; what it logged.
fn recover(table: &Table, variable: &str, value: &str) -> harness::Terminal {
    let mut args = vec!["--tokens".to_owned(), "pcsc".to_owned()];
    args.extend(arguments(&table.place, &RECOVER, &VAULTS));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (name, socket) = table.pcscd.environment();
    harness::Terminal::claviger(&args, &[(name, socket.to_str().unwrap()), (variable, value)])
}

/// Numbers of the points after an APDU, and how many commands the first two cards get, of a recover that is not cut.
fn uncut(table: &Table) -> (Vec<usize>, [usize; 2]) {
    let log = table.place.path("points");
    let before = [0, 1].map(|card: usize| table.cards[card].commands().len());
    let mut terminal = recover(table, "CLAVIGER_FAULT_LOG", log.to_str().unwrap());
    assert_eq!(Crew::of(&FIRST).hold(&mut terminal, || {}), 0, "{}", terminal.screen());
    let names = std::fs::read_to_string(&log).unwrap();
    let apdus = names.lines().enumerate().filter(|(_, line)| line.contains(" apdu:after")).map(|(place, _)| place + 1);
    (apdus.collect(), [0, 1].map(|card| table.cards[card].commands().len() - before[card]))
}

fn spread(count: usize) -> Vec<usize> {
    (0..SAMPLE).map(|place| (2 * place + 1) * count / (2 * SAMPLE)).collect()
}

/// These two, and nobody else, do what the copies say is next; one who was not there before may need a third.
fn go_on(table: &Table, who: [usize; 2], what: &str) {
    let judgement = judgement(table);
    assert!(judgement.is_sound(), "{what}: {:?}", judgement.findings);
    let resume = judgement.unfinished.iter().any(|ceremony| ceremony.stage == Stage::Committed);
    let command: &[&str] = if resume { &["resume"] } else { &RECOVER };
    // Who is needed besides, and does not want to go on, would be asked again and again.
    let mut seen = table.hold(command, &VAULTS, Crew::of(&who).choosing(&["stop"]));
    if seen.code != 0 && resume {
        assert!(seen.screen.contains("can still be opened"), "{what}: {}", seen.screen);
        seen.reveals_nothing();
        seen = table.hold(&RECOVER, &VAULTS, Crew::of(&who).choosing(&["over"]));
    }
    assert_eq!((seen.code, seen.shown.as_slice()), (0, [SECRET.to_owned()].as_slice()), "{what}: {}", seen.screen);
    finished(table, what);
}

fn finished(table: &Table, what: &str) {
    let after = judgement(table);
    assert!(after.is_sound() && after.unfinished.is_empty(), "{what}: {:?}", after.findings);
    assert!(after.current().unwrap().ratified, "{what}");
    table.no_try_was_lost();
}

#[test]
fn a_recover_on_cards_is_finished_by_whoever_comes_next() {
    let mut table = Table::new(2, 3);
    let (apdus, commands) = uncut(&table);
    let mut killed = 0;
    for (turn, place) in spread(apdus.len()).into_iter().enumerate() {
        let point = apdus[place];
        let what = format!("killed at point {point}, after APDU {}", place + 1);
        let mut terminal = recover(&table, "CLAVIGER_FAULT_AT", &point.to_string());
        let mut crew = Crew::of(&FIRST);
        assert_eq!(crew.hold(&mut terminal, || {}), SIGKILL, "{what}: {}", terminal.screen());
        assert!(!terminal.screen().contains(SECRET), "{what}: {}", terminal.screen());
        table.no_try_was_lost();
        go_on(&table, NEXT[turn % NEXT.len()], &what);
        killed += 1;
    }
    let mut lost = 0;
    for (card, count) in commands.into_iter().enumerate() {
        for (turn, command) in spread(count).into_iter().enumerate() {
            if turn % 2 == card {
                answer_lost(&mut table, card, command as u64);
                lost += 1;
            }
        }
    }
    println!("{} APDUs: {killed} kills after one, {lost} answers lost", apdus.len());
    std::fs::remove_file(table.place.path("points")).unwrap();
    let vaults = VAULTS.map(|vault| table.place.text(vault));
    let (code, said) = without_terminal(&["verify", &vaults[0], &vaults[1]]);
    assert_eq!(code, 0, "{said}");
}

/// The card is pulled after it executed one more command than so many; it is inserted again when the program waits for a
/// card. carol is there as well.
fn answer_lost(table: &mut Table, card: usize, commands: u64) {
    let what = format!("{}'s card, answer {} lost", crew::NAMES[card], commands + 1);
    table.cards[card].pull_after(commands, Pull::AfterCommand);
    let mut terminal = table.start(&RECOVER, &VAULTS);
    let mut crew = Crew::of(&[0, 1, 2]);
    let mut out = true;
    while let Some((which, before)) = terminal.next(&PROMPTS) {
        match which {
            // pcscd may not have noticed yet that the card is gone: then people are asked what to do.
            2 => terminal.type_line("other"),
            3 if out && table.cards[card].pulled() => {
                out = false;
                table.insert(card);
            }
            3 => panic!("{what}: nobody is left to come: {}", terminal.screen()),
            _ => crew.answer(&mut terminal, which, &before, &mut || {}),
        }
    }
    let code = terminal.exit_code();
    // With carol there, alice or bob may not have been asked as often as without her.
    if table.cards[card].pulled() && out {
        table.insert(card);
    }
    table.cards[card].pull_never();
    assert_eq!((code, crew.shown.as_slice()), (0, [SECRET.to_owned()].as_slice()), "{what}: {}", terminal.screen());
    finished(table, &what);
}

#[test]
fn every_ceremony_on_cards_is_finished_by_whoever_comes_next() {
    let place = image::directory();
    let program = killed::program(place.path());
    let every = std::env::var_os("CLAVIGER_TEST_EVERY_POINT").is_some();
    let extent = match every {
        true => Extent { kills: usize::MAX, losses: usize::MAX, goes_on: 8 },
        false => Extent { kills: 3, losses: 1, goes_on: 2 },
    };
    let mut readers = Readers::with_cards(3);
    for run in ground::chosen_runs(2, 3) {
        println!("{}", readers.sweep(&run, &program, extent));
    }
}

#[test]
#[ignore = "not a test: the process that the other kills"]
fn a_run_that_is_killed() {
    killed::be_killed();
}

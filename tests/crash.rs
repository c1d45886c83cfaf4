//! The power fails in the middle of a recover, at each step that leaves a trace: whatever is then on the copies and the
//! tokens, the next people go on from there and get the credential.
//!
//! The points come from a run that is not cut (`CLAVIGER_FAULT_LOG`). Every point of the journal (documents, envelopes, items,
//! the commit, closings, records, what is cleared away, the reveal) is cut, and a sample of the points between APDUs;
//! `CLAVIGER_TEST_EVERY_POINT=1` cuts all of them.

#[path = "harness/harness.rs"]
mod harness;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use claviger::token::channel::{Channel, ChannelError};
use claviger::token::piv::Piv;
use claviger::token::soft::SoftCard;
use claviger::transcript::{Judgement, Stage, judge};
use claviger::vault::Copies;
use harness::Terminal;
use harness::crew::{self, Crew, NAMES, Place};

const SECRET: &str = "rescue-me-from-the-power-cut";
/// Who holds the ceremony that is cut.
const FIRST: [usize; 2] = [0, 1];
/// Who comes afterwards, in turn.
const NEXT: [[usize; 2]; 3] = [[0, 2], [0, 1], [1, 2]];
const SIGKILL: i32 = 128 + 9;
/// Points between APDUs that are cut when not all are.
const APDU_SAMPLE: usize = 16;

/// A vault and its tokens in a directory.
struct Site {
    dir: PathBuf,
}

impl Site {
    fn text(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    fn copies(&self) -> [String; 2] {
        [self.text("vault"), self.text("copy")]
    }

    fn run(&self, args: &[&str], environment: &[(&str, String)]) -> Terminal {
        let tokens = format!("soft:{}", self.text("tokens"));
        Terminal::claviger(&[&["--tokens", &tokens], args].concat(), environment)
    }

    fn recover(&self, environment: &[(&str, String)]) -> Terminal {
        let [vault, copy] = self.copies();
        let grant = ["--incident", "INC-1", "--reason", "a power cut", "--requester", "operations"];
        self.run(&[&["recover", &vault, &copy, "root-password"], &grant[..]].concat(), environment)
    }

    fn resume(&self) -> Terminal {
        let [vault, copy] = self.copies();
        self.run(&["resume", &vault, &copy], &[])
    }

    fn judgement(&self) -> Judgement {
        judge(&Copies::open(&self.copies().map(PathBuf::from)).unwrap().snapshot().unwrap())
    }

    fn assert_no_pin_try_was_lost(&self) {
        for name in &NAMES[..3] {
            let bytes = std::fs::read(self.dir.join(format!("tokens/{name}.token"))).unwrap();
            let likeness = Likeness(SoftCard::from_bytes(&bytes).unwrap());
            assert_eq!(Piv::select(Box::new(likeness)).unwrap().pin_tries().unwrap(), Some(3), "{name}");
        }
    }
}

/// A copy of a token: the file itself would be locked, and children of other threads inherit locks.
struct Likeness(SoftCard);

impl Channel for Likeness {
    fn transmit(&mut self, apdu: &[u8]) -> Result<zeroize::Zeroizing<Vec<u8>>, ChannelError> {
        Ok(zeroize::Zeroizing::new(self.0.answer(apdu)))
    }
}

/// Copies what a run needs.
fn set_up(base: &Place, dir: &Path) -> Site {
    for part in ["vault", "copy", "tokens"] {
        crew::copy_tree(&base.path(part), &dir.join(part));
    }
    Site { dir: dir.to_owned() }
}

/// A point of a run: its number and its name.
#[derive(Clone)]
struct Point {
    number: u64,
    name: String,
}

fn points(base: &Place) -> Vec<Point> {
    let dir = tempfile::tempdir().unwrap();
    let site = set_up(base, dir.path());
    let log = dir.path().join("points");
    let mut terminal = site.recover(&[("CLAVIGER_FAULT_LOG", log.display().to_string())]);
    let mut crew = Crew::of(&FIRST);
    assert_eq!(crew.hold(&mut terminal, || {}), 0, "{}", terminal.screen());
    assert_eq!(crew.shown, [SECRET]);
    let lines = std::fs::read_to_string(log).unwrap();
    let points = lines.lines().map(|line| {
        let (number, name) = line.split_once(' ').unwrap();
        Point { number: number.parse().unwrap(), name: name.to_owned() }
    });
    points.collect()
}

/// The points to cut, and how many there are.
fn chosen(all: &[Point]) -> Vec<Point> {
    if std::env::var_os("CLAVIGER_TEST_EVERY_POINT").is_some() {
        return all.to_vec();
    }
    let is_journal = |point: &Point| ["write:", "reveal:", "remove:"].iter().any(|kind| point.name.starts_with(kind));
    // Before a write that follows another at once, everything is as it was after that one.
    let is_new = |number: usize| !(all[number].name.ends_with(":before") && number > 0 && is_journal(&all[number - 1]));
    let journal = (0..all.len()).filter(|number| is_journal(&all[*number]) && is_new(*number));
    let (apdus, _): (Vec<_>, Vec<_>) = all.iter().partition(|point| point.name.starts_with("apdu:"));
    let step = apdus.len().div_ceil(APDU_SAMPLE);
    let mut chosen: Vec<Point> = journal.map(|number| all[number].clone()).collect();
    // An odd step, so that the sample has points before and after an APDU.
    chosen.extend(apdus.into_iter().step_by(step | 1).cloned());
    chosen.sort_by_key(|point| point.number);
    chosen
}

#[test]
fn a_recover_that_is_killed_anywhere_is_finished_by_whoever_comes_next() {
    let base = Place::new(2);
    crew::found_on_software_tokens(&base, 3);
    base.seal("root-password", "password", SECRET.as_bytes());
    let (vault, copy) = (base.text("vault"), base.text("copy"));
    let mut rotate = crew::claviger(&base.soft(), &["rotate", &vault, &copy], None);
    assert_eq!(Crew::of(&[1, 2]).hold(&mut rotate, || {}), 0, "{}", rotate.screen());

    let all = points(&base);
    assert!(all.iter().any(|point| point.name.ends_with("/COMMIT:before")), "the journal is not what it was");
    let chosen = chosen(&all);
    println!("{} points, {} of them cut", all.len(), chosen.len());

    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let run = next.fetch_add(1, Ordering::SeqCst);
                    let Some(point) = chosen.get(run) else { return };
                    let outcome = std::panic::catch_unwind(|| cut_and_go_on(&base, point, run));
                    if let Err(panic) = outcome {
                        let why = panic.downcast_ref::<String>().cloned();
                        failures.lock().unwrap().push(format!(
                            "{} {}: {}",
                            point.number,
                            point.name,
                            why.unwrap_or_default()
                        ));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {} cuts:\n{}", failures.len(), chosen.len(), failures.join("\n\n"));
}

fn cut_and_go_on(base: &Place, point: &Point, run: usize) {
    let dir = tempfile::tempdir().unwrap();
    let site = set_up(base, dir.path());
    let mut killed = site.recover(&[("CLAVIGER_FAULT_AT", point.number.to_string())]);
    let mut crew = Crew::of(&FIRST);
    assert_eq!(crew.hold(&mut killed, || {}), SIGKILL, "it was not killed: {}", killed.screen());

    let judgement = site.judgement();
    assert!(judgement.is_sound(), "{:?}", judgement.findings);
    site.assert_no_pin_try_was_lost();
    let seen = String::from_utf8_lossy(killed.raw()).contains(SECRET);
    assert!(!seen || judgement.current().unwrap().ratified, "it was revealed before the generation was ratified");
    assert_eq!(judgement.current().unwrap().generation, if is_committed(&judgement) { 3 } else { 2 });

    let shown = go_on(&site, &judgement, run);
    assert_eq!(shown, [SECRET], "what came out is not what was sealed");
    let [vault, copy] = site.copies();
    base.quietly(&["verify", &vault, &copy]);
    assert!(site.judgement().current().unwrap().ratified);
    assert!(site.judgement().unfinished.is_empty(), "{:?}", site.judgement().unfinished);
    site.assert_no_pin_try_was_lost();
}

fn is_committed(judgement: &Judgement) -> bool {
    let gone = judgement.unfinished.iter().any(|ceremony| ceremony.stage == Stage::Committed);
    gone || judgement.current().unwrap().generation == 3
}

/// Does what `status` says, with other people. What they were shown.
fn go_on(site: &Site, judgement: &Judgement, run: usize) -> Vec<String> {
    let [vault, copy] = site.copies();
    let mut status = Terminal::claviger(&["status", &vault, &copy], &[] as &[(&str, &str)]);
    status.expect_exit(0);
    let says_resume = status.screen().contains("claviger resume");
    let current = judgement.current().unwrap();
    if current.generation == 3 && !current.ratified {
        assert!(says_resume, "status does not say that `claviger resume` is next:\n{}", status.screen());
    }
    let who = NEXT[run % NEXT.len()];
    // Ratified and not yet shown, or not known to be: the same grant serves, and so does a new one.
    let resume = says_resume || current.generation == 3 && run.is_multiple_of(2);
    let mut terminal = if resume { site.resume() } else { site.recover(&[]) };
    let mut crew = Crew::of(&who);
    let code = crew.hold(&mut terminal, || {});
    assert!(!terminal.screen().contains("Something is wrong"), "{}", terminal.screen());
    if code == 0 {
        return crew.shown;
    }
    // An absentee stood in, and those who could open the generation before must close too.
    assert!(resume && terminal.screen().contains("can still be opened"), "exit code {code}:\n{}", terminal.screen());
    assert_eq!(crew.shown, [""; 0], "it was revealed before the generation was ratified");
    let mut terminal = site.resume();
    let mut crew = Crew::of(&[0, 1, 2]);
    assert_eq!(crew.hold(&mut terminal, || {}), 0, "{}", terminal.screen());
    crew.shown
}

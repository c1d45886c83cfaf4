//! Secrets in memory: claviger is stopped at each of its stages, and its whole memory is searched for every secret that has
//! come to exist in it. What may be found when is the table in `docs/threat-model.md`, section 4.
//!
//! The custodians have virtual cards behind pcscd: what is searched is claviger's own memory, not a card's.

#[path = "harness/harness.rs"]
mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use harness::crew::{self, Crew, NAMES};
use harness::scene::{ITEM, RECOVER, arguments};
use harness::table::Table;
use harness::watch::{Look, Watch};
use harness::{Terminal, VirtualCard};

const CREDENTIAL: &str = "zQ4-wT9v_Xp2!mK7";
const VAULTS: [&str; 2] = ["vault", "copy"];
/// PINs that stand nowhere by chance.
const PINS: [&str; 3] = ["kX9#qLz", "Wp4!sTd8", "u7$Rm2y"];
/// What a vault of one use brings forth.
const KINDS: [&str; 9] = ["root", "share", "identity", "succession", "inbox", "file-key", "ecdh", "management", "next"];

/// Cards and people, and somebody who looks into claviger's memory.
struct Observed {
    table: Table,
    watch: Watch,
    temporary: PathBuf,
}

/// One run.
struct Run {
    looks: Vec<Look>,
    terminal: Terminal,
    code: i32,
    shown: Vec<String>,
}

impl Observed {
    fn new() -> Self {
        let table = Table::enrolled(2, 3);
        let watch = Watch::start();
        for (index, name) in NAMES.iter().enumerate().take(3) {
            change_pin(&table.cards[index], index);
            watch.plant(&format!("pin {name}"), PINS[index].as_bytes());
        }
        watch.plant("credential", CREDENTIAL.as_bytes());
        let temporary = table.place.path("temporary");
        std::fs::create_dir(&temporary).unwrap();
        for directory in ["vault", "copy", "temporary"] {
            watch.search_files_in(&table.place.path(directory));
        }
        Self { table, watch, temporary }
    }

    /// The environment of every run.
    fn environment(&self) -> Vec<(&str, String)> {
        let (name, socket) = self.table.pcscd.environment();
        let (inspect, listener) = self.watch.environment();
        let temporary = self.temporary.display().to_string();
        vec![
            (name, socket.display().to_string()),
            (inspect, listener.to_owned()),
            ("TMPDIR", temporary.clone()),
            ("HOME", temporary),
        ]
    }

    #[track_caller]
    fn run(&self, command: &[&str], vaults: &[&str], who: &[usize]) -> Run {
        let mut all = vec!["--tokens".to_owned(), "pcsc".to_owned()];
        all.extend(arguments(&self.table.place, command, vaults));
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let mut terminal = Terminal::claviger(&all, &self.environment());
        let mut crew = Crew::of(&[]);
        crew.pins = who.iter().map(|&index| (NAMES[index].to_owned(), PINS[index].to_owned())).collect();
        let code = crew.hold(&mut terminal, || {});
        let run = Run { looks: self.watch.looks(), terminal, code, shown: crew.shown };
        self.nothing_is_written(&run);
        run
    }

    /// Neither into files nor to the terminal, but for the alternate screen.
    #[track_caller]
    fn nothing_is_written(&self, run: &Run) {
        for look in &run.looks {
            assert!(look.files.is_empty(), "at {}: {:?}", look.stage, look.files);
        }
        let raw = String::from_utf8_lossy(run.terminal.raw()).into_owned();
        let parts = raw.split("\x1b[?1049h").enumerate();
        let outside = |(number, part): (usize, &str)| match part.split_once("\x1b[?1049l") {
            Some((_, after)) if number > 0 => after.to_owned(),
            _ => part.to_owned(),
        };
        let outside: String = parts.map(outside).collect();
        assert_eq!(self.watch.search(outside.as_bytes()), BTreeSet::new(), "on the terminal");
    }

    /// Founds the vault. What was found.
    #[track_caller]
    fn found(&self) -> Run {
        let place = &self.table.place;
        let enrolments: Vec<String> = (0..3).map(|index| place.text(&format!("{}.json", NAMES[index]))).collect();
        let policy = place.text("policy.toml");
        let mut found = vec!["found"];
        found.extend(enrolments.iter().map(String::as_str));
        found.extend(["--policy", &policy]);
        std::fs::create_dir(place.path("vault")).unwrap();
        std::fs::create_dir(place.path("copy")).unwrap();
        self.run(&found, &VAULTS, &[0, 1, 2])
    }

    /// `seal` with the credential on standard input.
    fn seal(&self) -> Vec<Look> {
        let args = arguments(&self.table.place, &["seal", ITEM, "--kind", "password"], &VAULTS);
        let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
        command.args(args).stdin(Stdio::piped()).stderr(Stdio::null());
        self.environment().iter().for_each(|(name, value)| {
            command.env(name, value);
        });
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(CREDENTIAL.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        self.watch.looks()
    }
}

/// Changes the PIN that the card was enrolled with.
fn change_pin(card: &VirtualCard, index: usize) {
    let padded = |pin: &str| {
        let mut bytes = [0xff; 8];
        bytes[..pin.len()].copy_from_slice(pin.as_bytes());
        bytes
    };
    let mut state = card.state();
    let select = [&[0, 0xa4, 4, 0, 9][..], &[0xa0, 0, 0, 3, 8, 0, 0, 0x10, 0], &[0]].concat();
    assert!(state.answer(&select).ends_with(&[0x90, 0]));
    let change = [&[0, 0x24, 0, 0x80, 16][..], &padded(&crew::pin(index)), &padded(PINS[index])].concat();
    assert_eq!(state.answer(&change), [0x90, 0]);
}

/// `STAGE: SECRET, SECRET` for each stage in order.
fn table(looks: &[Look]) -> Vec<String> {
    let line = |look: &Look| {
        let secrets: Vec<&str> = look.secrets().into_iter().collect();
        format!("{}: {}", look.stage, secrets.join(", ")).trim_end().to_owned()
    };
    looks.iter().map(line).collect()
}

#[track_caller]
fn assert_table(run: &Run, expected: &[&str]) {
    let places: BTreeMap<_, _> = run.looks.iter().map(|look| (&look.stage, &look.found)).collect();
    assert_eq!(table(&run.looks), expected, "{places:#?}");
    assert_eq!(run.code, 0, "{}", run.terminal.screen());
}

const ROUND_1: [&str; 7] = [
    "plan:",
    "pin alice: pin alice",
    "share alice: pin alice, share",
    "served alice: share",
    "pin bob: pin bob, share",
    "share bob: pin bob, share",
    "served bob: share",
];
const STAGE: [&str; 4] =
    ["roots: identity, share, succession", "sealed: identity, succession", "staged: succession", "committed:"];
const ROUND_2: [&str; 7] = [
    "pin alice: pin alice",
    "share alice: pin alice, share",
    "served alice:",
    "pin bob: pin bob",
    "share bob: pin bob, share",
    "served bob:",
    "ratified:",
];
/// Shares are kept where there is something to reveal.
const ROUND_2_BEFORE_REVEAL: [&str; 8] = [
    "pin alice: pin alice",
    "share alice: pin alice, share",
    "served alice: share",
    "pin bob: pin bob, share",
    "share bob: pin bob, share",
    "served bob: share",
    "ratified: share",
    "reveal: share",
];

#[test]
fn secrets_are_in_memory_only_as_long_as_their_stage() {
    let observed = Observed::new();
    let run = observed.found();
    let founders = ["alice", "bob", "carol"];
    let round_1 = founders.iter().flat_map(|name| [format!("pin {name}: pin {name}"), format!("served {name}:")]);
    let proven = |name: &&str| [format!("pin {name}: pin {name}"), format!("share {name}: pin {name}, share")];
    let round_2 = founders.iter().flat_map(|name| proven(name).into_iter().chain([format!("served {name}:")]));
    let stage = STAGE.map(str::to_owned);
    let expected = ["plan:".to_owned()].into_iter().chain(round_1).chain(stage).chain(round_2);
    let expected: Vec<String> = expected.chain(["ratified:".to_owned(), "end:".to_owned()]).collect();
    assert_table(&run, &expected.iter().map(String::as_str).collect::<Vec<_>>());

    assert_eq!(table(&observed.seal()), ["end:"]);
    let run = observed.run(&["rotate"], &VAULTS, &[0, 1]);
    assert_table(&run, &[&ROUND_1[..], &STAGE, &ROUND_2, &["end:"]].concat());

    let run = observed.run(&RECOVER, &VAULTS, &[0, 1]);
    let reveal = ["keys: identity, succession", "shown: credential", "revealed:", "end:"];
    assert_table(&run, &[&ROUND_1[..], &STAGE, &ROUND_2_BEFORE_REVEAL, &reveal].concat());
    assert_eq!(run.shown, [CREDENTIAL]);

    let run = observed.run(&["resume"], &VAULTS, &[0, 1]);
    assert_table(&run, &[&ROUND_2_BEFORE_REVEAL[..], &reveal].concat());

    let out = observed.table.place.path("out");
    let mut recover = RECOVER.to_vec();
    recover.extend(["--out", out.to_str().unwrap()]);
    let run = observed.run(&recover, &VAULTS, &[0, 1]);
    let reveal = ["keys: identity, succession", "revealed:", "end:"];
    assert_table(&run, &[&ROUND_1[..], &STAGE, &ROUND_2_BEFORE_REVEAL, &reveal].concat());
    assert_eq!(std::fs::read(&out).unwrap(), CREDENTIAL.as_bytes());

    // What the command keeps of it is the command's matter; here it counts the bytes.
    let count = observed.table.place.path("count");
    let command = format!("wc -c > {}", count.display());
    let mut recover = RECOVER.to_vec();
    recover.extend(["--to", &command]);
    let run = observed.run(&recover, &VAULTS, &[0, 1]);
    assert_table(&run, &[&ROUND_1[..], &STAGE, &ROUND_2_BEFORE_REVEAL, &reveal].concat());
    assert_eq!(std::fs::read_to_string(&count).unwrap().trim(), CREDENTIAL.len().to_string());

    let run = observed.run(&["check"], &VAULTS, &[0, 1, 2]);
    let check = ["alice", "bob", "carol"].map(|name| [format!("pin {name}: pin {name}"), format!("served {name}:")]);
    let check: Vec<&str> = check.iter().flatten().map(String::as_str).chain(["end:"]).collect();
    assert_table(&run, &check);

    let kinds = observed.watch.kinds();
    assert!(KINDS.iter().all(|kind| kinds.contains_key(*kind)), "{kinds:?}");
    assert!(kinds["root"] >= 4 && kinds["share"] >= 12 && kinds["file-key"] >= 16, "{kinds:?}");
    println!("{} secrets looked for: {kinds:?}", kinds.values().sum::<usize>());
}

#[test]
fn a_panic_and_an_abort_tell_nothing() {
    let observed = Observed::new();
    assert_eq!(observed.found().code, 0);
    observed.seal();
    for (stage, answer, code) in [("share bob", b'p', 101), ("roots", b'a', 134)] {
        observed.watch.answer_at(stage, answer);
        let run = observed.run(&["rotate"], &VAULTS, &[0, 1]);
        assert_eq!(run.code, code, "{}", run.terminal.screen());
        assert_eq!(run.looks.last().unwrap().stage, stage);
        observed.watch.answer_at(stage, 0);
    }
    let cores = std::fs::read_dir(".").unwrap().map(|entry| entry.unwrap().file_name());
    assert!(!cores.into_iter().any(|name| name.to_string_lossy().starts_with("core")));
    assert_eq!(observed.run(&["rotate"], &VAULTS, &[0, 1]).code, 0);
}

#[test]
fn enrolling_and_a_drill_leave_nothing() {
    let watch = Watch::start();
    let pcscd = harness::Pcscd::start(1);
    let mut card = crew::virtual_yubikey(1, (5, 7, 1));
    pcscd.insert(0, &mut card);
    let place = crew::Place::new(2);
    let (pin, puk) = (PINS[0], "90817263");
    watch.plant("pin alice", pin.as_bytes());
    watch.plant("puk", puk.as_bytes());
    let environment = [watch.environment(), (pcscd.environment().0, pcscd.environment().1.to_str().unwrap())];
    let out = place.text("alice.json");
    let mut terminal = Terminal::claviger(&["enrol", "--name", "alice", "-o", &out], &environment);
    let mut crew = Crew::of(&[]);
    crew.pins.insert("alice".to_owned(), pin.to_owned());
    assert_eq!(crew.hold(&mut terminal, || {}), 0, "{}", terminal.screen());
    assert_eq!(table(&watch.looks()), ["end:"]);
    assert!(watch.kinds().contains_key("management"), "{:?}", watch.kinds());

    let mut drill = Command::new(env!("CARGO_BIN_EXE_claviger"));
    drill.args(["drill", "--custodians", "3", "--threshold", "2"]).stdout(Stdio::null());
    let (name, socket) = watch.environment();
    assert!(drill.env(name, socket).status().unwrap().success());
    let looks = watch.looks();
    assert_eq!(table(&looks[looks.len() - 1..]), ["end:"], "{:#?}", looks.last());
    let kinds = watch.kinds();
    assert!(KINDS.iter().all(|kind| kinds.contains_key(*kind)), "{kinds:?}");
}

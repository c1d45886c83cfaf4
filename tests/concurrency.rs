//! Two ceremonies at once: on one copy, on copies that overlap, and where the file system lies about locks. One proceeds, the
//! other is told, nothing is harmed. `CLAVIGER_TEST_ALL=1` lets every ceremony meet every other at every stage.

#[path = "harness/harness.rs"]
mod harness;

use std::process::{Command, Output, Stdio};

use harness::Terminal;
use harness::crew::Crew;
use harness::scene::{RECOVER, SECRET, Scene, arguments, flat};

const BOTH: [&str; 2] = ["vault", "copy"];
const LIES: [(&str, &str); 1] = [("CLAVIGER_FAULT_NO_LOCKS", "1")];

/// Where the first ceremony waits while the second is held: what it has said then.
const STAGES: [&str; 5] = [
    "Is this what shall be done? Begin?",
    "alice has approved",
    "is written to every copy and read back",
    "alice has proven the share",
    "(opaque), incident",
];

/// What became of a ceremony.
struct Outcome {
    code: i32,
    shown: Vec<String>,
    screen: String,
}

impl Outcome {
    fn of(mut crew: Crew, mut terminal: Terminal) -> Self {
        let code = crew.hold(&mut terminal, || {});
        Self { code, shown: crew.shown, screen: flat(terminal.screen()) }
    }

    /// Done; or told what happened and what to do, with nothing shown.
    #[track_caller]
    fn proceeds_or_is_told(&self, what: &str) {
        let told = self.screen.contains("claviger: error: ") && self.screen.contains("claviger: hint: ");
        assert!(self.code == 0 || told, "{what}: {}", self.screen);
        assert!(self.code == 0 || self.shown.is_empty(), "{what}: {:?}", self.shown);
        assert!(self.shown.iter().all(|shown| shown == SECRET), "{what}: {:?}", self.shown);
    }
}

/// Holds `recover` with alice and bob up to a stage, then the second ceremony to its end, then the first.
#[track_caller]
fn interleaved(scene: &Scene, until: &str, second: &[&str], who: &[usize]) -> (Outcome, Outcome) {
    let what = format!("{until} / {second:?} {who:?}");
    let before = scene.judgement(&BOTH).ratified_head().unwrap().generation;
    let mut crew = Crew::of(&[0, 1]);
    let mut terminal = scene.start_in(&RECOVER, &BOTH, &LIES);
    crew.hold_until(&mut terminal, until);
    let other = Outcome::of(Crew::of(who), scene.start_in(second, &BOTH, &LIES));
    let one = Outcome::of(crew, terminal);
    one.proceeds_or_is_told(&what);
    other.proceeds_or_is_told(&what);
    assert!(one.code == 0 || other.code == 0, "{what}: {}\n{}", one.screen, other.screen);
    scene.no_try_was_lost();
    let (code, said) = scene.verify(&BOTH);
    assert_eq!(code, 0, "{what}: {said}");
    let judgement = scene.judgement(&BOTH);
    assert!(judgement.fork.is_none() && judgement.current().unwrap().ratified, "{what}");
    assert!(judgement.current().unwrap().generation > before, "{what}");
    (one, other)
}

#[test]
fn two_at_once_where_the_file_system_lies_about_locks() {
    let scene = Scene::new(2, 3);
    let all = std::env::var_os("CLAVIGER_TEST_ALL").is_some();
    let seconds: &[&[&str]] = if all { &[&RECOVER, &["rotate"], &["resume"]] } else { &[&RECOVER] };
    let mut held = 0;
    for second in seconds {
        for who in if all { &[[0, 1], [1, 2], [0, 2]][..] } else { &[[0, 1]] } {
            for until in STAGES {
                interleaved(&scene, until, second, who);
                held += 1;
            }
        }
    }
    println!("{held} pairs of ceremonies interleaved");
    scene.recovers(&BOTH, &[0, 2]);
    scene.recovers(&BOTH, &[1, 2]);
}

#[test]
fn who_comes_second_reads_what_happened() {
    let scene = Scene::new(2, 3);
    // The plan of the first was agreed on, and is not on the copies yet: the second comes before it.
    let (one, other) = interleaved(&scene, STAGES[0], &RECOVER, &[1, 2]);
    assert_eq!((one.code, other.code, other.shown.len()), (2, 0, 1), "{}", one.screen);
    assert!(one.screen.contains("already has another generations/000003/plan.json"), "{}", one.screen);
    assert!(one.screen.contains("claviger: hint: nothing was overwritten"), "{}", one.screen);
    // The first is committed: nothing else starts over it, and resume finishes it.
    let (one, other) = interleaved(&scene, STAGES[2], &RECOVER, &[1, 2]);
    assert_eq!((one.code, other.code), (0, 4), "{}", other.screen);
    assert!(other.screen.contains("is committed and not finished"), "{}", other.screen);
    let (one, other) = interleaved(&scene, STAGES[2], &["resume"], &[0, 1]);
    assert_eq!(other.code, 0, "{}", other.screen);
    assert_eq!(other.shown, [SECRET]);
    assert!(matches!(one.code, 0 | 4), "{}", one.screen);
    scene.recovers(&BOTH, &[0, 2]);
}

#[test]
fn one_copy_is_for_one_process() {
    let scene = Scene::on_copies(2, 3, &["vault", "copy", "third"]);
    let mut crew = Crew::of(&[0, 1]);
    let mut terminal = scene.start(&RECOVER, &BOTH);
    crew.hold_until(&mut terminal, STAGES[1]);
    for vaults in [&BOTH[..], &["copy", "third"], &["third", "copy", "vault"]] {
        let seen = scene.hold(&RECOVER, vaults, &[1, 2]);
        seen.expect(2, &["is in use by another claviger", "claviger: hint: finish or stop the other claviger first"]);
        assert_eq!(seen.reveals_nothing().pins_typed, 0);
    }
    // Looking needs no lock.
    scene.status(&BOTH);
    let first = Outcome::of(crew, terminal);
    assert_eq!((first.code, first.shown.as_slice()), (0, &[SECRET.to_owned()][..]), "{}", first.screen);
    scene.no_try_was_lost();
    scene.recovers(&["third", "copy", "vault"], &[1, 2]);
}

/// Many processes want overlapping pairs of copies at once, named in any order: each gets them or is told, none waits for ever,
/// and of those that begin together one gets them.
#[test]
fn overlapping_copies_never_block_each_other() {
    let vaults = ["vault", "copy", "third"];
    let scene = Scene::on_copies(2, 3, &vaults);
    let pairs = [[0, 1], [1, 0], [1, 2], [2, 1], [2, 0], [0, 2]];
    let seal = |pair: [usize; 2], item: &str| {
        let args = arguments(&scene.place, &["seal", item], &pair.map(|index| vaults[index]));
        let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut sealed = 0;
    for round in 0..3 {
        let started: Vec<_> =
            pairs.iter().enumerate().map(|(index, pair)| seal(*pair, &format!("item-{round}-{index}"))).collect();
        let ended: Vec<Output> = started.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
        let succeeded = ended.iter().filter(|output| output.status.success()).count();
        assert!(succeeded > 0);
        for output in ended.iter().filter(|output| !output.status.success()) {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains("is in use by another claviger"), "{said}");
        }
        sealed += succeeded;
    }
    let inbox = harness::scene::files(&scene.place.path("vault/inbox")).len()
        + harness::scene::files(&scene.place.path("copy/inbox")).len()
        + harness::scene::files(&scene.place.path("third/inbox")).len();
    assert_eq!(inbox, 2 * sealed, "each is on both of its copies");
}

/// What is done with copies while a ceremony is held on them: command, copies, argument.
const MEANWHILE: [(&[&str], &[&str], Option<&str>); 3] = [
    (&["copy", "sync"], &["vault", "copy"], None),
    (&["copy", "add"], &["vault", "copy", "new"], None),
    (&["seal"], &["vault", "copy"], Some("another-item")),
];

#[test]
fn copies_that_change_during_a_ceremony_harm_nothing_where_locks_are_lies() {
    let scene = Scene::new(2, 3);
    let all = std::env::var_os("CLAVIGER_TEST_ALL").is_some();
    for (number, until) in STAGES.into_iter().enumerate() {
        for (turn, (command, vaults, argument)) in MEANWHILE.into_iter().enumerate() {
            if !all && number != turn + 1 {
                continue;
            }
            let what = format!("{until} / {command:?}");
            let mut crew = Crew::of(&[0, 1]);
            let mut terminal = scene.start_in(&RECOVER, &BOTH, &LIES);
            crew.hold_until(&mut terminal, until);
            let mut program = Command::new(env!("CARGO_BIN_EXE_claviger"));
            program.args(command).args(vaults.iter().map(|vault| scene.place.path(vault))).args(argument);
            program.envs(LIES).stdin(Stdio::null());
            let other = program.output().unwrap();
            let said = String::from_utf8_lossy(&other.stderr).into_owned();
            assert!(other.status.success() || said.contains("claviger: error: "), "{what}: {said}");
            let one = Outcome::of(crew, terminal);
            assert_eq!((one.code, one.shown.as_slice()), (0, &[SECRET.to_owned()][..]), "{what}: {}", one.screen);
            scene.no_try_was_lost();
            let (code, said) = scene.verify(&BOTH);
            assert_eq!(code, 0, "{what}: {said}");
            if scene.place.path("new").exists() {
                let (code, said) = scene.verify(&["vault", "copy", "new"]);
                assert_eq!(code, 0, "{what}: {said}");
                std::fs::remove_dir_all(scene.place.path("new")).unwrap();
            }
        }
    }
    scene.recovers(&BOTH, &[1, 2]);
}

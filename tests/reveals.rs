//! Where a credential goes, and until when: `--out` onto media that fail, grants that are over or not begun, and what is said.

#[path = "harness/harness.rs"]
mod harness;

use std::process::{Command, Output};

use claviger::cli::verify::long_grants;
use harness::Terminal;
use harness::crew::Crew;
use harness::scene::{ITEM, RECOVER, SECRET, Scene, Seen, without_terminal};

const BOTH: [&str; 2] = ["vault", "copy"];

/// Holds a command by a clock that is so many seconds ahead.
fn hold_at(scene: &Scene, seconds: i64, command: &[&str], mut crew: Crew) -> Seen {
    let clock = seconds.to_string();
    let mut terminal = scene.start_in(command, &BOTH, &[("CLAVIGER_FAULT_CLOCK", &clock)]);
    let code = crew.hold(&mut terminal, || {});
    Seen { code, screen: terminal.screen().to_owned(), shown: crew.shown, pins_typed: crew.pins_typed }
}

/// `recover` for 30 minutes, stopped before round 2.
fn committed(scene: &Scene) {
    let recover = [&RECOVER[..], &["--for", "30m"]].concat();
    let mut terminal = scene.start(&recover, &BOTH);
    Crew::of(&[0, 1]).hold_until(&mut terminal, "is written to every copy and read back");
    terminal.expect("alice, your PIN");
    terminal.ctrl_c();
    terminal.expect_exit(4);
}

#[test]
fn a_grant_ends_and_the_ceremony_is_finished_all_the_same() {
    let scene = Scene::new(2, 3);
    committed(&scene);
    let seen = hold_at(&scene, 3600, &["resume"], Crew::of(&[0, 1]));
    seen.expect(
        0,
        &[
            "!! The grant is over: the ceremony is finished, and nothing is revealed.",
            "Generation 3 is ratified",
            &format!("!! The grant for {ITEM} ended at "),
            "nothing is revealed. Run `claviger recover` with a new grant.",
        ],
    );
    seen.reveals_nothing();
    let seen = hold_at(&scene, 3600, &["resume"], Crew::of(&[0, 1]));
    seen.expect(2, &["claviger: error: no ceremony is waiting to be finished", "claviger: hint: `claviger status"]);
    let seen = hold_at(&scene, 3600, &RECOVER, Crew::of(&[0, 2]));
    assert_eq!(seen.expect(0, &[]).shown, [SECRET]);
}

#[test]
fn a_clock_before_the_grant_reveals_nothing_and_costs_nothing() {
    let scene = Scene::new(2, 3);
    committed(&scene);
    let seen = hold_at(&scene, -7200, &["resume"], Crew::of(&[0, 1]));
    seen.expect(
        5,
        &[
            &format!("claviger: error: the grant for {ITEM} is from "),
            "and the clock says",
            "claviger: hint: nothing was revealed; run `claviger recover` with a new grant",
        ],
    );
    seen.reveals_nothing();
    // The clock was wrong: with the right one the same grant still holds.
    let seen = scene.hold(&["resume"], &BOTH, &[0, 1]);
    assert_eq!(seen.expect(0, &[]).shown, [SECRET]);
    scene.no_try_was_lost();
}

#[test]
fn a_grant_longer_than_the_policy_allows_is_refused_and_found() {
    let scene = Scene::new(2, 3);
    let seen = scene.hold(&[&RECOVER[..], &["--for", "5h"]].concat(), &BOTH, &[0, 1]);
    seen.expect(
        5,
        &[
            "claviger: error: the policy allows grants of at most 14400 seconds, and 18000 were asked for",
            "claviger: hint: ask for less with --for",
        ],
    );
    assert_eq!(seen.reveals_nothing().pins_typed, 0);
    scene.recovers(&BOTH, &[0, 1]);
    // As a claviger without that rule would have left it: by a policy that allows less than was granted.
    let judgement = scene.judgement(&BOTH);
    assert_eq!(long_grants(&judgement, 4 * 3600), []);
    let found = long_grants(&judgement, 3600);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].file, "generations/000003/manifest.json");
    assert_eq!(found[0].what, "its grant is longer than the 3600 seconds that the policy allows");
}

#[test]
fn a_file_that_cannot_be_made_is_told_before_anything_is_opened() {
    let scene = Scene::new(2, 3);
    let there = scene.place.path("there");
    std::fs::write(&there, "somebody's").unwrap();
    let full = "/dev/full/out";
    for (out, what) in [
        (there.to_str().unwrap(), "claviger: hint: nothing was overwritten; give another name with --out FILE"),
        (full, "claviger: hint: nothing of it is left there; give a directory that is there and can be written to"),
    ] {
        let seen = scene.hold(&[&RECOVER[..], &["--out", out]].concat(), &BOTH, &[0, 1]);
        seen.expect(2, &[&format!("claviger: error: the credential cannot be written to {out}"), what]);
        assert_eq!(seen.reveals_nothing().pins_typed, 0);
    }
    assert_eq!(std::fs::read(&there).unwrap(), b"somebody's");
}

/// A medium that fills up while the credential is written: nothing of it is left there, and it is revealed elsewhere.
#[test]
fn a_medium_that_fills_up_keeps_nothing() {
    let scene = Scene::new(2, 3);
    let long = [SECRET.as_bytes(), &vec![b'x'; 200_000]].concat();
    scene.place.seal("long", "opaque", &long);
    scene.hold(&["rotate"], &BOTH, &[0, 1]).expect(0, &[]);
    let small = scene.place.path("small");
    std::fs::create_dir(&small).unwrap();
    let out = small.join("out");
    let mut recover: Vec<&str> = RECOVER.to_vec();
    recover[1] = "long";
    recover.extend(["--out", out.to_str().unwrap()]);
    let root = rustix::process::geteuid().is_root();
    let namespace: &[&str] = if root { &["--mount"] } else { &["--user", "--map-root-user", "--mount"] };
    let script = "mount -t tmpfs -o size=64k tmpfs \"$0\" && { \"$@\"; code=$?; echo \"left there:$(ls -A \"$0\")|\"; exit $code; }";
    let mut command = Command::new("unshare");
    command.args(namespace).args(["sh", "-c", script]).arg(&small).arg(env!("CARGO_BIN_EXE_claviger"));
    command.args(["--tokens", &scene.place.soft()]).args(scene.arguments(&recover, &BOTH));
    let mut terminal = Terminal::run(command);
    let code = Crew::of(&[0, 1]).hold(&mut terminal, || {});
    assert_eq!(code, 4, "{}", terminal.screen());
    let screen = harness::scene::flat(terminal.screen());
    assert!(screen.contains("claviger: error: the credential cannot be written to"), "{screen}");
    assert!(screen.contains("claviger: hint: nothing of it is left there; give a place with room"), "{screen}");
    assert!(screen.contains("left there:|"), "{screen}");
    let elsewhere = scene.place.path("elsewhere");
    let resume = ["resume", "--out", elsewhere.to_str().unwrap()];
    scene.hold(&resume, &BOTH, &[0, 1]).expect(0, &["The credential is in"]);
    assert_eq!(std::fs::read(&elsewhere).unwrap(), long);
}

/// Names come from anywhere, also from whoever made the medium.
#[test]
fn names_in_errors_do_not_steer_the_terminal() {
    let name = "/nowhere/\u{1b}[2Jvault\u{202e}\nclaviger: hint: all is well";
    let (code, said) = without_terminal(&["status", name]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("/nowhere/\u{fffd}[2Jvault\u{fffd}\u{fffd}claviger: hint: all is well"), "{said:?}");
    assert!(!said.contains('\u{1b}') && said.matches("\nclaviger: hint: ").count() == 1, "{said:?}");
    let Output { stderr, .. } = Command::new(env!("CARGO_BIN_EXE_claviger"))
        .args(["seal", "/nowhere", "name", "/nowhere/\u{1b}]0;x\u{7}"])
        .output()
        .unwrap();
    assert!(!stderr.contains(&0x1b) && !stderr.contains(&7), "{}", String::from_utf8_lossy(&stderr));
}

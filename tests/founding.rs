//! What `found` takes and refuses: a vault that is founded already, and files given by hand that are no files.

#[path = "harness/harness.rs"]
mod harness;

use std::path::Path;

use harness::crew::{self, Crew, NAMES, Place};
use harness::scene::{self, Scene, Seen};
use rustix::fs::{CWD, FileType, Mode, mknodat};

const BOTH: [&str; 2] = ["vault", "copy"];

/// `found`, the first three enrolments and this policy.
fn arguments(scene: &Scene, policy: &str) -> Vec<String> {
    let enrolments = NAMES[..3].iter().map(|name| scene.place.text(&format!("{name}.json")));
    ["found".to_owned()]
        .into_iter()
        .chain(enrolments)
        .chain(["--policy".to_owned(), scene.place.text(policy)])
        .collect()
}

#[track_caller]
fn found(scene: &Scene, copies: &[&str], policy: &str) -> Seen {
    let arguments = arguments(scene, policy);
    scene.hold(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), copies, &[0, 1, 2])
}

fn enrolled() -> Scene {
    let place = Place::new(2);
    crew::enrol_software_tokens(&place, 3);
    Scene { place, k: 2, n: 3 }
}

fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
}

/// More than any document has, and no room on the medium.
fn huge(path: &Path) {
    std::fs::File::create(path).unwrap().set_len(1 << 40).unwrap();
}

#[test]
fn a_vault_that_is_founded_is_not_founded_again() {
    let scene = Scene::new(2, 3);
    let before = crew::tree(&scene.place.path(""));
    // Also with one more directory, and without the second copy: nothing is made anywhere.
    for copies in [&BOTH[..], &["vault", "new"], &["new", "vault"], &["copy"]] {
        let seen = found(&scene, copies, "policy.toml");
        seen.expect(
            2,
            &["this vault is founded already: generation 2 is current", "claviger: hint: nothing was changed"],
        );
        assert_eq!(seen.pins_typed, 0, "{}", seen.screen);
        assert!(!seen.screen.contains("signing key"), "the plan was read aloud:\n{}", seen.screen);
        assert!(crew::tree(&scene.place.path("")) == before, "{copies:?}: something was written");
    }
    // Not even where what would prove the founding is damaged.
    for copy in BOTH {
        std::fs::remove_file(scene.place.path(copy).join("generations/000001/COMMIT")).unwrap();
    }
    let seen = found(&scene, &BOTH, "policy.toml");
    seen.expect(2, &["this vault is founded already", "claviger: hint: nothing was changed"]);
}

#[test]
fn a_founding_that_was_interrupted_goes_on() {
    let scene = enrolled();
    let arguments = arguments(&scene, "policy.toml");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // One founder alone has approved.
    scene.hold(&arguments, &BOTH, &[0]).expect(3, &["alice has approved"]);
    // Committed, and closed by nobody: what goes on is named.
    let mut terminal = scene.start(&arguments, &BOTH);
    Crew::of(&[0, 1, 2]).hold_until(&mut terminal, "6 of 7: Round 2");
    drop(terminal);
    found(&scene, &BOTH, "policy.toml").expect(4, &["is committed and not finished", "run `claviger resume"]);
    scene.hold(&["resume"], &BOTH, &[0, 1, 2]).expect(0, &["Generation 1 is ratified"]);
    found(&scene, &BOTH, "policy.toml").expect(2, &["this vault is founded already: generation 1 is current"]);
}

#[test]
fn a_founding_that_was_cut_before_its_founding_body_is_not_called_damaged() {
    let scene = enrolled();
    let arguments = arguments(&scene, "policy.toml");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut terminal = scene.start(&arguments, &BOTH);
    Crew::of(&[0, 1, 2]).hold_until(&mut terminal, "This plan:");
    drop(terminal);
    for copy in BOTH {
        assert!(!scene.place.path(copy).join("generations").exists());
        std::fs::remove_file(scene.place.path(copy).join("vault.json")).unwrap();
    }
    let (code, said) = scene::without_terminal(&["status", &scene.place.text("vault")]);
    assert_eq!(code, 4, "{said}");
    let said = scene::flat(&said);
    assert!(said.contains("has not been founded") && said.contains("run it again with the same files"), "{said}");
    found(&scene, &BOTH, "policy.toml").expect(0, &["The vault is founded."]);
}

#[test]
fn what_is_given_by_hand_is_read_only_if_it_is_a_file_of_a_size_that_it_can_have() {
    let scene = enrolled();
    fifo(&scene.place.path("fifo.toml"));
    huge(&scene.place.path("huge.toml"));
    found(&scene, &BOTH, "fifo.toml").expect(2, &["fifo.toml", "is a FIFO, not a file"]);
    found(&scene, &BOTH, "huge.toml").expect(2, &["huge.toml", "is larger than"]);
    let enrolment = scene.place.path("alice.json");
    let kept = std::fs::read(&enrolment).unwrap();
    huge(&enrolment);
    found(&scene, &BOTH, "policy.toml").expect(2, &["alice.json", "is larger than"]);
    std::fs::write(&enrolment, kept).unwrap();
    assert!(!scene.place.path("vault").exists());
    for make in [fifo, huge] {
        let vault = scene.place.path("vault");
        std::fs::create_dir(&vault).unwrap();
        make(&vault.join("vault.json"));
        found(&scene, &BOTH, "policy.toml").expect(2, &["vault is not empty", "vault.json"]);
        std::fs::remove_dir_all(vault).unwrap();
    }
    found(&scene, &BOTH, "policy.toml").expect(0, &["The vault is founded."]);
}

#[test]
fn the_directory_that_is_missing_is_named() {
    let scene = enrolled();
    let seen = found(&scene, &["stick/one/vault"], "policy.toml");
    seen.expect(2, &[&format!("{} is not there", scene.place.text("stick")), "check that the medium is mounted"]);
}

//! What would say whether a ceremony was committed is damaged, or stands under another name on one copy. And what the next
//! generation should carry is on no copy.

#[path = "damaged_ceremony/closings.rs"]
mod closings;
#[path = "harness/harness.rs"]
mod harness;
#[path = "damaged_ceremony/lost.rs"]
mod lost;

use std::path::Path;

use claviger::vault::{Copies, VaultError, consider};
use harness::crew::{Crew, copy_tree, tree};
use harness::scene::{RECOVER, SECRET, Scene, flat, without_terminal};

const BOTH: [&str; 2] = ["vault", "copy"];

fn flip_last_byte(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn a_ceremony_with_a_damaged_commit_is_not_taken_for_one_without() {
    let scene = Scene::new(2, 3);
    let mut terminal = scene.start(&RECOVER, &BOTH);
    Crew::of(&[0, 1]).hold_until(&mut terminal, "6 of 8: Round 2");
    drop(terminal);
    let intact = scene.place.path("intact");
    copy_tree(&scene.place.path("copy"), &intact);
    for copy in BOTH {
        flip_last_byte(&scene.place.path(copy).join("generations/000003/COMMIT"));
    }
    let status = scene.status(&BOTH);
    assert!(status.contains("it may have been committed") && !status.contains("nothing is committed"), "{status}");
    // Enter alone at the question whether its copies are lost: nothing is begun.
    let seen = scene.hold(&RECOVER, &BOTH, &[0, 2]);
    seen.expect(5, &["It may have been committed there.", "is damaged counts as missing"]).reveals_nothing();
    assert_eq!(seen.pins_typed, 0, "{}", seen.screen);
    // A copy turns up on which it stands as it was signed.
    for copy in BOTH {
        let commit = "generations/000003/COMMIT";
        std::fs::copy(intact.join(commit), scene.place.path(copy).join(commit)).unwrap();
    }
    let seen = scene.hold(&["resume"], &BOTH, &[0, 1]);
    assert_eq!(seen.expect(0, &[]).shown, [SECRET], "{}", seen.screen);
}

#[test]
fn a_generation_whose_directories_differ_opens_from_both_copies_together() {
    let scene = Scene::new(2, 3);
    let id = scene.judgement(&BOTH).current().unwrap().ceremony.short();
    let generations = scene.place.path("copy").join("generations");
    std::fs::rename(generations.join("000002"), generations.join(format!("000002-{id}"))).unwrap();
    // What one copy has right, the other has wrong.
    let here = scene.place.path("vault").join("generations/000002");
    flip_last_byte(&here.join("items").join(format!("{}.age", harness::scene::ITEM)));
    flip_last_byte(&here.join("shares/01-alice.age"));
    let crew = Crew::of(&[0, 1]).choosing(&["go"]);
    let seen = scene.hold_with(&RECOVER, &BOTH, crew);
    assert_eq!(seen.expect(0, &[]).shown, [SECRET], "{}", seen.screen);
}

/// `status`: exit code, and what it says.
fn status(scene: &Scene, copies: &[&str]) -> (i32, String) {
    let arguments = scene.arguments(&["status"], copies);
    let (code, said) = without_terminal(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    (code, flat(&said))
}

/// Generation 3 is ratified on both copies, and nothing of generation 2 can be opened any more.
fn ratified() -> Scene {
    let scene = Scene::new(2, 3);
    scene.recovers(&BOTH, &[0, 1]);
    scene
}

#[track_caller]
fn does_not_promise_what_is_gone(scene: &Scene, copies: &[&str], sign: &str) {
    let (code, said) = status(scene, copies);
    assert_eq!(code, 1, "{said}");
    for text in [
        "generation 2 is ratified, and generation 3 may have been committed",
        "NOT HERE: generation 2 cannot be opened from these copies: 0 of its shares are here, and 2 are needed. Bring the vault's other copies",
        sign,
        "`claviger copy sync`",
        "margin not known",
    ] {
        assert!(said.contains(text), "{text:?} is not said: {said}");
    }
    for text in ["nothing is lost", "nothing is committed", "may be lost", "listed below"] {
        assert!(!said.contains(text), "{text:?} is said: {said}");
    }
}

#[test]
fn closings_without_a_commit_say_that_it_may_have_been_committed() {
    let scene = ratified();
    for copy in BOTH {
        std::fs::remove_file(scene.place.path(copy).join("generations/000003/COMMIT")).unwrap();
    }
    does_not_promise_what_is_gone(&scene, &BOTH, "2 custodians have closed it, and no copy here has its COMMIT");
    // It is not abandoned for good, with all copies here, unless people say that no other copy can be had.
    let before = tree(&scene.place.path("tokens"));
    let crew = Crew::of(&[0, 1]).choosing(&["stop"]);
    let seen = scene.hold_with(&["rotate"], &BOTH, crew);
    seen.expect(5, &["may have been committed: 2 custodians have closed it", "claviger: hint: bring the other copies"]);
    assert_eq!(seen.pins_typed, 0, "{}", seen.screen);
    assert!(tree(&scene.place.path("tokens")) == before);
}

/// What was closed may be all that opens: it is brought to other copies, and stays where nobody else has it.
#[test]
fn what_was_closed_is_spread_and_not_removed_though_its_commit_is_gone() {
    let scene = Scene::new(2, 3);
    copy_tree(&scene.place.path("copy"), &scene.place.path("kept"));
    scene.recovers(&BOTH, &[0, 1]);
    std::fs::remove_dir_all(scene.place.path("copy")).unwrap();
    std::fs::rename(scene.place.path("kept"), scene.place.path("copy")).unwrap();
    std::fs::remove_file(scene.place.path("vault/generations/000003/COMMIT")).unwrap();
    let run = |command: &[&str], copies: &[&str]| {
        let paths = copies.iter().map(|copy| scene.place.text(copy));
        let all: Vec<String> = command.iter().map(|word| (*word).to_owned()).chain(paths).collect();
        without_terminal(&all.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let shares = |copy: &str| scene.place.path(copy).join("generations/000003/shares").exists();
    let copies = Copies::open(&["copy", "vault"].map(|copy| scene.place.path(copy))).unwrap();
    let refused = consider(&copies, &scene.place.path("vault")).unwrap_err();
    assert!(matches!(refused, VaultError::OnlyThere { .. }), "{refused}");
    drop(copies);
    run(&["copy", "sync"], &BOTH);
    assert!(shares("copy"));
    run(&["copy", "add"], &["vault", "new"]);
    assert!(shares("new"));
}

#[test]
fn a_lone_copy_without_the_last_ceremony_does_not_say_that_nothing_is_lost() {
    let scene = ratified();
    let third = scene.place.path("copy").join("generations/000003");
    std::fs::remove_file(third.join("COMMIT")).unwrap();
    std::fs::remove_dir_all(third.join("closings")).unwrap();
    does_not_promise_what_is_gone(&scene, &["copy"], "no share of the generation before it is here");
    // Together with the other one it is as it was.
    let (code, said) = status(&scene, &BOTH);
    assert!(code == 0 && said.contains("NOT A BACKUP"), "{code} {said}");
    let arguments = scene.arguments(&["copy", "sync"], &[]);
    let copies = BOTH.map(|copy| scene.place.text(copy));
    let all: Vec<&str> = arguments.iter().chain(&copies).map(String::as_str).collect();
    let (code, said) = without_terminal(&all);
    assert_eq!(code, 0, "{said}");
    assert_eq!(status(&scene, &BOTH).0, 0);
    scene.recovers(&["copy", "vault"], &[0, 2]);
}

#[test]
fn status_says_by_its_exit_code_whether_something_is_wrong() {
    let scene = ratified();
    assert_eq!(status(&scene, &BOTH).0, 0);
    // A ceremony that was begun, and is not finished.
    let mut terminal = scene.start(&RECOVER, &BOTH);
    Crew::of(&[0, 1]).hold_until(&mut terminal, "6 of 8: Round 2");
    drop(terminal);
    let (code, said) = status(&scene, &BOTH);
    assert!(code == 0 && said.contains("claviger resume"), "{code} {said}");
    // What is committed is missing on one copy: nothing is wrong, and that copy is no backup.
    let commit = scene.place.path("copy").join("generations/000004/COMMIT");
    let kept = std::fs::read(&commit).unwrap();
    std::fs::remove_file(&commit).unwrap();
    let (code, said) = status(&scene, &BOTH);
    assert!(code == 0 && said.contains("NOT A BACKUP"), "{code} {said}");
    std::fs::write(&commit, kept).unwrap();
    flip_last_byte(&scene.place.path("copy").join("generations/000004/shares/01-alice.age"));
    for command in [&["status"][..], &["status", "--json"]] {
        let arguments = scene.arguments(command, &BOTH);
        let (code, said) = without_terminal(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(code, 1, "{said}");
    }
    let (_, said) = status(&scene, &BOTH);
    assert!(said.contains("WRONG: 1 fault found; generation 4") && said.contains("Run `claviger verify`"), "{said}");
}

//! What would say whether a ceremony was committed is damaged, or stands under another name on one copy.

#[path = "harness/harness.rs"]
mod harness;

use std::path::Path;

use harness::crew::Crew;
use harness::scene::{RECOVER, SECRET, Scene};

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
    harness::crew::copy_tree(&scene.place.path("copy"), &intact);
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

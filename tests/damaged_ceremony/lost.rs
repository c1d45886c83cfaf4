//! An item, or the inbox identity, of which no copy has the bytes any more: that costs what is lost, and nothing else.

use claviger::encoding::Name;
use claviger::transcript::{ExceptionKind, INBOX_IDENTITY};

use super::harness::crew::{Crew, tree};
use super::harness::scene::{ITEM, RECOVER, SECRET, Scene, flat, without_terminal};
use super::{BOTH, flip_last_byte, status};

const OTHER: &str = "db-password";
const OTHER_SECRET: &str = "the-other-key-they-have";
const RECOVER_OTHER: [&str; 8] = {
    let mut command = RECOVER;
    command[1] = OTHER;
    command
};

/// How a file is lost.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Removed,
    Flipped,
}

/// Generation 2, ratified on both copies, with two items.
fn two_items() -> Scene {
    let scene = Scene::founded_on(2, 3, &BOTH);
    scene.place.seal(ITEM, "opaque", SECRET.as_bytes());
    scene.place.seal(OTHER, "opaque", OTHER_SECRET.as_bytes());
    scene.hold(&["rotate"], &BOTH, &[0, 1]).expect(0, &[]);
    scene
}

/// This file of generation `generation` is on no copy any more.
fn lose(scene: &Scene, generation: u64, file: &str, loss: Loss) {
    for copy in BOTH {
        let path = scene.place.path(copy).join(format!("generations/{generation:06}/{file}"));
        match loss {
            Loss::Removed => std::fs::remove_file(path).unwrap(),
            Loss::Flipped => flip_last_byte(&path),
        }
    }
}

/// The items of the current generation, and the kinds and subjects of the exceptions that its plan names.
fn current(scene: &Scene) -> (Vec<String>, Vec<(ExceptionKind, String)>) {
    let judgement = scene.judgement(&BOTH);
    let manifest = &judgement.current().unwrap().manifest;
    let items = manifest.items.iter().map(|item| item.name.to_string()).collect();
    let exceptions = manifest.plan.exceptions.iter().map(|e| (e.kind, e.subject.clone())).collect();
    (items, exceptions)
}

/// Everything that the vault and its tokens are.
fn everything(scene: &Scene) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    BOTH.iter().chain(&["tokens"]).flat_map(|part| tree(&scene.place.path(part))).collect()
}

#[track_caller]
fn is_content(scene: &Scene) {
    let (code, said) = status(scene, &BOTH);
    assert!(code == 0 && said.contains("SOUND") && said.contains("1 may be lost"), "{code} {said}");
    let (code, said) = scene.verify(&BOTH);
    assert!(code == 0 && said.contains("SOUND"), "{code} {said}");
    scene.no_try_was_lost();
}

#[test]
fn whoever_stops_has_changed_nothing() {
    let scene = two_items();
    for loss in [Loss::Flipped, Loss::Removed] {
        lose(&scene, 2, "items/db-password.age", loss);
        let before = everything(&scene);
        // Enter alone is the same as `stop`.
        for choice in [&[][..], &["stop"]] {
            let seen = scene.hold_with(&["rotate"], &BOTH, Crew::of(&[0, 1]).choosing(choice));
            seen.expect(
                5,
                &[
                    "No copy here has items/db-password.age of generation 2 as it was sealed",
                    "error: of generation 2, no copy that is here has this as it was sealed: items/db-password.age",
                    "hint: nothing was changed; bring the vault's other copies",
                    "answer `without`",
                ],
            );
            assert_eq!(seen.pins_typed, 0, "{}", seen.screen);
        }
        // What is asked for cannot be had; there is nothing to choose.
        let seen = scene.hold_with(&RECOVER_OTHER, &BOTH, Crew::of(&[0, 1]).choosing(&["without"]));
        seen.expect(
            5,
            &["error: the sealed file of db-password in generation 2 is right on no copy", "hint: nothing was changed"],
        );
        assert!(seen.pins_typed == 0 && !seen.screen.contains("What now?"), "{}", seen.screen);
        assert!(everything(&scene) == before, "{loss:?}: something was changed");
        // `status` and `verify` name it, and the ways on.
        let (code, said) = status(&scene, &BOTH);
        assert_eq!(code, 1, "{said}");
        for text in [
            "No copy here has items/db-password.age as it was sealed. If no other copy has it",
            "db-password (opaque), since generation 2, ON NO COPY HERE",
        ] {
            assert!(said.contains(text), "{text:?} is not said: {said}");
        }
        let (code, said) = scene.verify(&BOTH);
        let said = flat(&said);
        assert!(code == 1 && said.contains("generations/000002/items/db-password.age"), "{code} {said}");
        assert!(said.contains("goes on without it: an exception that k custodians approve"), "{said}");
    }
}

#[test]
fn one_lost_item_costs_that_item_only() {
    let scene = two_items();
    lose(&scene, 2, "items/db-password.age", Loss::Removed);
    let seen = scene.hold_with(&["rotate"], &BOTH, Crew::of(&[0, 2]).choosing(&["without"]));
    seen.expect(
        0,
        &[
            "Exception: a lost item (db-password): expected the item db-password of generation 2",
            "The item db-password was left behind",
        ],
    );
    assert_eq!(current(&scene), (vec![ITEM.to_owned()], vec![(ExceptionKind::ItemLost, OTHER.to_owned())]));
    is_content(&scene);
    // It can be put back, and nothing is asked any more.
    scene.recovers(&BOTH, &[1, 2]);
    scene.hold(&RECOVER_OTHER, &BOTH, &[1, 2]).expect(2, &["the vault has no item db-password"]);
    scene.place.seal(OTHER, "opaque", OTHER_SECRET.as_bytes());
    scene.hold(&["rotate"], &BOTH, &[1, 2]).expect(0, &[]);
    assert_eq!(scene.hold(&RECOVER_OTHER, &BOTH, &[0, 1]).expect(0, &[]).shown, [OTHER_SECRET]);
}

/// The lost one turns up after the plan was made: what was approved is what is done.
#[test]
fn another_item_is_recovered_and_the_plan_decides() {
    let scene = two_items();
    let lost = scene.place.path("vault/generations/000002/items/db-password.age");
    let bytes = std::fs::read(&lost).unwrap();
    lose(&scene, 2, "items/db-password.age", Loss::Flipped);
    let mut terminal = scene.start(&RECOVER, &BOTH);
    let mut crew = Crew::of(&[0, 1]).choosing(&["without"]);
    crew.hold_until(&mut terminal, "3 of 8: Round 1");
    std::fs::write(lost, bytes).unwrap();
    assert_eq!(crew.hold(&mut terminal, || {}), 0, "{}", terminal.screen());
    assert_eq!(crew.shown, [SECRET], "{}", terminal.screen());
    assert_eq!(current(&scene), (vec![ITEM.to_owned()], vec![(ExceptionKind::ItemLost, OTHER.to_owned())]));
    is_content(&scene);
}

#[test]
fn a_copy_that_has_it_is_enough() {
    let scene = two_items();
    let kept = scene.place.path("kept");
    super::copy_tree(&scene.place.path("copy"), &kept);
    lose(&scene, 2, "items/db-password.age", Loss::Removed);
    // The first person stops; then the third medium comes (with the mark of the second: it is read all the same).
    scene.hold(&["rotate"], &BOTH, &[0, 1]).expect(5, &["No copy here has items/db-password.age"]);
    let seen = scene.hold(&RECOVER_OTHER, &["vault", "copy", "kept"], &[0, 1]);
    assert_eq!(seen.expect(0, &[]).shown, [OTHER_SECRET], "{}", seen.screen);
    assert_eq!(current(&scene).0, [OTHER, ITEM]);
}

#[test]
fn what_a_proposal_replaces_is_asked_for_too() {
    let scene = two_items();
    scene.place.seal(OTHER, "opaque", b"a new one");
    lose(&scene, 2, "items/db-password.age", Loss::Removed);
    scene.hold(&["rotate"], &BOTH, &[0, 1]).expect(5, &["nothing was changed"]);
    let seen = scene.hold_with(&["rotate"], &BOTH, Crew::of(&[0, 1]).choosing(&["without"]));
    seen.expect(0, &["takes its place; should that not open, the item db-password is lost"]);
    assert!(!seen.screen.contains("was left behind"), "{}", seen.screen);
    assert_eq!(scene.hold(&RECOVER_OTHER, &BOTH, &[0, 1]).expect(0, &[]).shown, ["a new one"]);
    // One that does not open stops nothing either: the loss was said before, and k have approved it.
    lose(&scene, 4, "items/db-password.age", Loss::Removed);
    for copy in BOTH {
        std::fs::write(scene.place.path(copy).join("inbox/db-password.opaque.x.age"), "not an age file").unwrap();
    }
    let seen = scene.hold_with(&["rotate"], &BOTH, Crew::of(&[0, 1]).choosing(&["without"]));
    seen.expect(0, &["did not become an item", "The item db-password was left behind"]);
    assert_eq!(current(&scene).0, [ITEM]);
    is_content(&scene);
}

#[test]
fn a_lost_inbox_identity_costs_what_waits_in_the_inbox() {
    let scene = two_items();
    scene.place.seal("late", "opaque", b"sealed to the old inbox");
    lose(&scene, 2, INBOX_IDENTITY, Loss::Flipped);
    let recipient = || scene.judgement(&BOTH).current().unwrap().manifest.inbox_recipient.clone();
    let old = recipient();
    let before = everything(&scene);
    scene.hold(&["rotate"], &BOTH, &[0, 1]).expect(5, &["nothing that waits in the inbox can be opened"]);
    assert!(everything(&scene) == before);
    let seen = scene.hold_with(&["rotate"], &BOTH, Crew::of(&[0, 1]).choosing(&["without"]));
    seen.expect(
        0,
        &[
            "Exception: a lost item (inbox-identity.age): expected the inbox identity of generation 2",
            "did not become an item: the inbox identity that it was sealed to is lost: seal it anew",
            "The inbox has a new recipient",
        ],
    );
    let exceptions = vec![(ExceptionKind::ItemLost, INBOX_IDENTITY.to_owned())];
    assert_eq!(current(&scene), (vec![OTHER.to_owned(), ITEM.to_owned()], exceptions));
    assert!(recipient() != old && INBOX_IDENTITY.parse::<Name>().is_err());
    is_content(&scene);
    // What is sealed anew gets in.
    for copy in BOTH {
        std::fs::remove_dir_all(scene.place.path(copy).join("inbox")).unwrap();
    }
    scene.place.seal("late", "opaque", b"sealed to the new inbox");
    scene.hold(&["rotate"], &BOTH, &[0, 1]).expect(0, &[]);
    assert_eq!(current(&scene), (vec![OTHER.to_owned(), "late".to_owned(), ITEM.to_owned()], vec![]));
}

/// Round 2 would end the generation before, which has the item still: `resume` waits for a copy. k custodians can go on.
#[test]
fn over_an_unfinished_generation_too() {
    let scene = two_items();
    let mut terminal = scene.start(&["rotate"], &BOTH);
    Crew::of(&[0, 1]).hold_until(&mut terminal, "6 of 7: Round 2");
    drop(terminal);
    lose(&scene, 3, "items/db-password.age", Loss::Flipped);
    let before = everything(&scene);
    let seen = scene.hold(&["resume"], &BOTH, &[0, 1]);
    seen.expect(4, &["generation 3 is complete on none of the copies that are here", "goes on over this generation"]);
    let lost = Crew::of(&[0, 1]).choosing(&["over", "stop"]);
    scene.hold_with(&["rotate"], &BOTH, lost).expect(5, &["Generation 2 still has it and can still be opened"]);
    assert!(everything(&scene) == before);
    let seen = scene.hold_with(&RECOVER, &BOTH, Crew::of(&[0, 1]).choosing(&["over", "without"]));
    assert_eq!(seen.expect(0, &[]).shown, [SECRET], "{}", seen.screen);
    let (items, exceptions) = current(&scene);
    let kinds: Vec<ExceptionKind> = exceptions.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!((items, kinds), (vec![ITEM.to_owned()], vec![ExceptionKind::Unratified, ExceptionKind::ItemLost]));
    is_content(&scene);
}

/// Copies that lack the same have the same: one of them may go, and the other is as good.
#[test]
fn copies_without_it_are_copies_still() {
    let scene = two_items();
    lose(&scene, 2, "items/db-password.age", Loss::Removed);
    let copies = BOTH.map(|copy| claviger::vault::Copies::open(&[scene.place.path(copy)]).unwrap());
    assert!(copies.iter().all(|copy| copy.ids().len() == 1));
    let both = claviger::vault::Copies::open(&BOTH.map(|copy| scene.place.path(copy))).unwrap();
    assert_eq!(claviger::vault::consider(&both, &scene.place.path("copy")).unwrap().left, 1);
    drop((copies, both));
    let (vault, copy) = (scene.place.text("vault"), scene.place.text("copy"));
    let (code, said) = without_terminal(&["copy", "sync", &vault, &copy]);
    assert!(code == 1 && flat(&said).contains("goes on without it"), "{code} {said}");
}

//! What the model of the protocol found (tests/model.rs), shown on the program itself.

#[path = "harness/harness.rs"]
mod harness;

use harness::crew::{self, Crew};
use harness::scene::{RECOVER, SECRET, Scene};

const BOTH: [&str; 2] = ["vault", "copy"];
const MISSED: [&str; 2] = ["missed", "missed-too"];
const ALL: [&str; 4] = ["missed", "missed-too", "vault", "copy"];

/// A command up to this text and the next PIN prompt after it; then the power fails.
#[track_caller]
fn cut_after(scene: &Scene, command: &[&str], vaults: &[&str], mut crew: Crew, text: &str) {
    let mut terminal = scene.start(command, vaults);
    crew.hold_until(&mut terminal, text);
    terminal.expect(crew::PIN);
    terminal.kill();
    terminal.expect_exit(128 + 9);
    assert!(crew.shown.is_empty());
}

#[track_caller]
fn all_is_well(scene: &Scene) {
    let (code, said) = scene.verify(&ALL);
    assert_eq!(code, 0, "{said}");
}

/// The number of the current ceremony on these copies.
fn number(scene: &Scene, vaults: &[&str]) -> u64 {
    scene.judgement(vaults).current().unwrap().manifest.plan.number
}

/// A fork: on `vault` and `copy` a generation of alice and bob, committed; on the two that missed it another one of the same
/// two, with a higher number, after they declared the first one lost.
fn forked(k: usize, n: usize) -> Scene {
    let scene = Scene::on_copies(k, n, &ALL);
    cut_after(&scene, &RECOVER, &BOTH, Crew::of(&[0, 1]), "Round 2");
    cut_after(&scene, &RECOVER, &MISSED, Crew::of(&[0, 1]).choosing(&["lost"]), "Round 2");
    assert!(number(&scene, &BOTH) < number(&scene, &MISSED));
    scene
}

/// Two copies missed the closings of a generation. They are resumed when its tokens are in the next ceremony, whose new keys
/// the shares of a committed generation are sealed to.
#[test]
fn a_token_that_went_on_does_not_close_the_generation_before_once_more() {
    let scene = Scene::on_copies(2, 2, &ALL);
    cut_after(&scene, &RECOVER, &ALL, Crew::of(&[0, 1]), "Round 2");
    assert_eq!(scene.hold(&["resume"], &BOTH, &[0, 1]).expect(0, &[]).shown, [SECRET]);
    cut_after(&scene, &RECOVER, &BOTH, Crew::of(&[0, 1]), "Round 2");
    let before = [0, 1].map(|index| scene.keys(index));

    let seen = scene.hold(&["resume"], &MISSED, &[0, 1]);
    seen.expect(4, &["alice's card cannot take part: it is in ceremony"]).reveals_nothing();
    assert_eq!([0, 1].map(|index| scene.keys(index)), before, "no key was destroyed");
    assert_eq!(seen.pins_typed, 0);

    assert_eq!(scene.hold(&["resume"], &ALL, &[0, 1]).expect(0, &[]).shown, [SECRET]);
    all_is_well(&scene);
    scene.recovers(&ALL, &[0, 1]);
}

/// One branch of a fork has gone on: only what it ended in can be finished.
#[test]
fn the_last_generation_of_a_branch_can_be_finished() {
    let scene = forked(2, 3);
    let numbers = [number(&scene, &BOTH), number(&scene, &MISSED)];
    cut_after(&scene, &RECOVER, &BOTH, Crew::of(&[0, 1]).choosing(&["over", "lost"]), "Round 2");
    let last = number(&scene, &BOTH);
    assert!(last > numbers[1]);
    let seen = scene.hold_with(&["resume"], &ALL, Crew::of(&[0, 1]).choosing(&[&last.to_string()]));
    seen.expect(0, &["(a fork)", &format!("(it went on over number {})", numbers[0])]);
    assert_eq!(seen.shown, [SECRET]);
    assert!(scene.judgement(&ALL).fork.is_some_and(|fork| fork.settled.is_some()));
    all_is_well(&scene);
    scene.recovers(&ALL, &[1, 2]);
}

/// The same, when a token has closed a generation of that branch: it is before the one that is finished, though the line
/// ends at the fork.
#[test]
fn a_token_that_closed_on_a_branch_can_finish_it() {
    let scene = Scene::on_copies(2, 3, &ALL);
    cut_after(&scene, &RECOVER, &BOTH, Crew::of(&[0, 1]), "Round 2");
    cut_after(&scene, &["resume"], &BOTH, Crew::of(&[0, 1]), "alice has proven");
    // Alice is ahead of these copies.
    cut_after(&scene, &RECOVER, &MISSED, Crew::of(&[1, 2]).choosing(&["lost"]), "Round 2");
    cut_after(&scene, &RECOVER, &BOTH, Crew::of(&[0, 1]).choosing(&["over", "lost"]), "Round 2");
    let last = number(&scene, &BOTH);
    let seen = scene.hold_with(&["resume"], &ALL, Crew::of(&[0, 1]).choosing(&[&last.to_string()]));
    assert_eq!(seen.expect(0, &["(a fork)"]).shown, [SECRET]);
    all_is_well(&scene);
    scene.recovers(&ALL, &[0, 2]);
}

/// A token went on from both branches of a fork, to a ceremony that was never committed: neither can be finished, and the
/// next ceremony goes on over one.
#[test]
fn a_fork_that_cannot_be_finished_is_gone_on_over() {
    let scene = forked(2, 2);
    let numbers = [number(&scene, &BOTH), number(&scene, &MISSED)];
    cut_after(&scene, &RECOVER, &BOTH, Crew::of(&[0, 1]).choosing(&["over", "lost"]), "alice has approved");
    for number in numbers {
        let seen = scene.hold_with(&["resume"], &ALL, Crew::of(&[0, 1]).choosing(&[&number.to_string()]));
        seen.expect(4, &["alice's card cannot take part"]).reveals_nothing();
    }
    scene.hold(&RECOVER, &ALL, &[0, 1]).expect(1, &["two generations follow the same one (a fork)"]);
    let seen = scene.hold_with(&RECOVER, &ALL, Crew::of(&[0, 1]).choosing(&[&numbers[1].to_string()]));
    seen.expect(0, &["Exception: an unfinished ceremony", "Abandons:"]);
    assert_eq!(seen.shown, [SECRET]);
    let judgement = scene.judgement(&ALL);
    assert!(judgement.fork.as_ref().is_some_and(|fork| fork.settled.is_some()), "{:?}", judgement.fork);
    all_is_well(&scene);
    scene.recovers(&ALL, &[0, 1]);
}

/// Two of five are absent from each branch. Alice closed one branch and kept its key; what she gave up there must not count
/// for the other, or that one is ratified while alice, carol and erin can still open the first.
#[test]
fn what_was_closed_on_one_branch_does_not_ratify_the_other() {
    let scene = Scene::on_copies(3, 5, &ALL);
    cut_after(&scene, &RECOVER, &BOTH, Crew::of(&[0, 1, 2]), "Round 2");
    cut_after(&scene, &["resume"], &BOTH, Crew::of(&[0, 1, 2]), "alice has proven");
    cut_after(&scene, &RECOVER, &MISSED, Crew::of(&[1, 2, 3]).choosing(&["lost"]), "Round 2");
    let number = number(&scene, &MISSED);
    // Erin was absent: she stands in, and keeps the key that also opens her share of the first branch.
    let seen = scene.hold(&["resume"], &MISSED, &[1, 3, 4]);
    seen.expect(4, &["The generation before can still be opened: 1 more of carol must close."]).reveals_nothing();

    let judgement = scene.judgement(&ALL);
    assert!(judgement.fork.as_ref().is_some_and(|fork| fork.settled.is_none()), "{:?}", judgement.fork);
    let choice = number.to_string();
    let seen = scene.hold_with(&["resume"], &ALL, Crew::of(&[1, 3, 4]).choosing(&[&choice]));
    seen.expect(4, &["1 more of carol must close"]).reveals_nothing();
    let seen = scene.hold_with(&["resume"], &ALL, Crew::of(&[1, 2, 3]).choosing(&[&choice]));
    assert_eq!(seen.expect(0, &["(a fork)"]).shown, [SECRET]);
    assert!(scene.judgement(&ALL).fork.is_some_and(|fork| fork.settled.is_some()));
    all_is_well(&scene);
    scene.recovers(&ALL, &[1, 3, 4]);
}

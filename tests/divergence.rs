//! Two ceremonies on copies that do not know of each other: the tokens that they share stop the second one.

#[path = "harness/harness.rs"]
mod harness;

use claviger::encoding::Digest;
use harness::crew::{self, Crew};
use harness::scene::{RECOVER, SECRET, Scene};

const BOTH: [&str; 2] = ["vault", "copy"];
const MISSED: [&str; 2] = ["missed", "missed-too"];
const ALL: [&str; 4] = ["missed", "missed-too", "vault", "copy"];

/// A ceremony that was committed on `vault` and `copy` by alice and bob, and killed before anybody closed; `missed` and
/// `missed-too` are from before.
struct Apart {
    scene: Scene,
    ceremony: Digest,
    number: u64,
}

impl Apart {
    fn new() -> Self {
        let scene = Scene::on_copies(2, 3, &ALL);
        stop_before_closing(&scene, &BOTH, Crew::of(&[0, 1]));
        let judgement = scene.judgement(&BOTH);
        let current = judgement.current().unwrap();
        assert!(current.committed && !current.ratified && current.closings.is_empty());
        Self { ceremony: current.ceremony, number: current.manifest.plan.number, scene }
    }

    fn short(&self) -> String {
        self.ceremony.short()
    }
}

/// `recover` until the first PIN of round 2, and then the power fails.
#[track_caller]
fn stop_before_closing(scene: &Scene, vaults: &[&str], mut crew: Crew) {
    let mut terminal = scene.start(&RECOVER, vaults);
    crew.hold_until(&mut terminal, "Round 2");
    terminal.expect(crew::PIN);
    terminal.kill();
    terminal.expect_exit(128 + 9);
    assert!(crew.shown.is_empty());
}

#[track_caller]
fn all_is_well(scene: &Scene, vaults: &[&str]) -> String {
    let (code, said) = scene.verify(vaults);
    assert_eq!(code, 0, "{said}");
    said
}

fn tokens(scene: &Scene) -> impl PartialEq + use<> {
    crew::tree(&scene.place.path("tokens"))
}

#[test]
fn a_token_that_took_part_stops_the_second_and_the_copy_lets_it_go_on() {
    let apart = Apart::new();
    let scene = &apart.scene;
    let before = tokens(scene);
    let seen = scene.hold(&RECOVER, &MISSED, &[0, 1, 2]);
    let (short, number) = (apart.short(), apart.number);
    seen.expect(
        5,
        &[
            &format!("claviger: error: alice's token is in ceremony {short} (number {number}, begun "),
            "which these copies do not have",
            "claviger: hint: bring the medium that that ceremony was written to, and give its directory as a further VAULT",
            "nothing was changed on this token",
        ],
    );
    seen.reveals_nothing();
    assert_eq!(seen.pins_typed, 0);
    assert!(before == tokens(scene));

    // The same for everybody who was there, whoever comes first.
    let seen = scene.hold_with(&RECOVER, &MISSED, Crew::of(&[1, 2]).choosing(&["without", "stop"]));
    let bob = format!("claviger: error: bob's token is in ceremony {short}");
    seen.expect(5, &[&bob]).reveals_nothing();
    assert!(before == tokens(scene));

    // The ceremony's copy is brought: one of the two is enough.
    let seen = scene.hold(&RECOVER, &["missed", "missed-too", "copy"], &[0, 1, 2]);
    let unfinished = format!("claviger: error: ceremony {short} (number {number}) is committed and not finished");
    seen.expect(4, &[&unfinished, "claviger: hint: run `claviger resume"]).reveals_nothing();
    let seen = scene.hold(&["resume"], &["missed", "missed-too", "copy"], &[0, 1]);
    assert_eq!(seen.expect(0, &["Generation 3 is ratified"]).shown, [SECRET]);
    scene.no_try_was_lost();
    all_is_well(scene, &ALL);
    scene.recovers(&BOTH, &[1, 2]);
    scene.recovers(&ALL, &[0, 2]);
}

#[test]
fn with_an_exception_it_goes_on_and_nothing_is_overwritten() {
    let apart = Apart::new();
    let scene = &apart.scene;
    let before: Vec<_> = (0..3).map(|index| scene.keys(index)).collect();
    stop_before_closing(scene, &MISSED, Crew::of(&[0, 1]).choosing(&["lost"]));
    for (index, before) in before.iter().enumerate() {
        let after = scene.keys(index);
        assert!(before.iter().all(|(slot, key)| after.get(slot) == Some(key)), "{index}: {before:?} became {after:?}");
        let new = after.len() - before.len();
        assert_eq!(new, usize::from(index < 2), "a new share key for each who took part");
    }
    let judgement = scene.judgement(&MISSED);
    let plan = &judgement.current().unwrap().manifest.plan;
    assert!(plan.number > apart.number);
    let exception = plan.exceptions.iter().find(|e| e.subject == apart.ceremony.to_string()).expect("it is named");
    assert_eq!(exception.happened, "no copy of it can be had");
    assert_eq!(judgement.current().unwrap().approvals.len(), 2, "two custodians signed it");

    let seen = scene.hold(&["resume"], &MISSED, &[0, 1]);
    assert_eq!(seen.expect(0, &[]).shown, [SECRET]);
    scene.no_try_was_lost();
    it_turns_up(&apart);
}

/// The copies of the lost ceremony are found after all.
fn it_turns_up(apart: &Apart) {
    let scene = &apart.scene;
    let ratified = |vaults: &[&str]| -> Vec<(u64, Digest)> {
        let judgement = scene.judgement(vaults);
        judgement.generations.iter().filter(|g| g.ratified).map(|g| (g.generation, g.digest)).collect()
    };
    let before = ratified(&MISSED);
    assert_eq!(before.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(ratified(&ALL), before, "nothing is ratified twice");
    let said = all_is_well(scene, &ALL);
    assert!(said.contains("a fork, settled"), "{said}");

    // On its own copies it can be finished by nobody, and shows nothing.
    let seen = scene.hold(&["resume"], &BOTH, &[0, 1, 2]);
    seen.expect(
        4,
        &["it has closed another generation 3 than the one in this copy", "claviger: hint: nothing is lost"],
    );
    seen.reveals_nothing();
    assert_eq!(seen.pins_typed, 0);
    assert_eq!(ratified(&BOTH).len(), 2);
    scene.no_try_was_lost();
    scene.recovers(&ALL, &[0, 1]);
    scene.recovers(&BOTH, &[0, 2]);
}

#[test]
fn it_begins_again_when_a_later_custodian_was_in_the_other_one() {
    let apart = Apart::new();
    let scene = &apart.scene;
    // carol, who was not in the other ceremony, comes first; bob, who was, second; alice does not come.
    scene.take_out("alice");
    scene.rename("bob", "zoe");
    let mut crew = Crew::of(&[1, 2]).choosing(&["lost"]);
    let mut terminal = scene.start(&RECOVER, &MISSED);
    crew.hold_until(&mut terminal, "carol has approved");
    crew.hold_until(&mut terminal, &format!("bob's token is in ceremony {}", apart.short()));
    crew.hold_until(&mut terminal, "The ceremony begins again with a new plan.");
    crew.hold_until(&mut terminal, "carol has approved");
    crew.hold_until(&mut terminal, "bob has approved");
    assert_eq!(crew.hold(&mut terminal, || {}), 0, "{}", terminal.screen());
    assert_eq!((crew.shown, crew.pins_typed), (vec![SECRET.to_owned()], 5));
    assert!(scene.judgement(&MISSED).current().unwrap().manifest.plan.number > apart.number);
    scene.rename("zoe", "bob");
    scene.bring_back("alice");
    scene.no_try_was_lost();
    all_is_well(scene, &ALL);
    // alice is still in the lost ceremony; where both are known, that one is dead, and she takes part.
    scene.recovers(&ALL, &[0, 2]);
}

/// Round 1 with carol alone, who stops then.
#[track_caller]
fn carol_begins(scene: &Scene, vaults: &[&str], choices: &[&str]) {
    let seen = scene.hold_with(&RECOVER, vaults, Crew::of(&[2]).choosing(choices));
    seen.expect(3, &["carol has approved", "claviger: error: 2 custodians are needed and 1 took part"]);
    seen.expect(3, &["claviger: hint: nothing is lost and nothing was revealed"]).reveals_nothing();
    assert_eq!(seen.pins_typed, 1);
}

#[test]
fn a_token_with_a_higher_number_lifts_the_ceremony_above_it_without_an_exception() {
    let scene = Scene::on_copies(2, 3, &ALL);
    (0..3).for_each(|_| carol_begins(&scene, &MISSED, &["stop"]));
    let vault = scene.judgement(&BOTH).vault;
    let before = scene.keys(2);
    let carols = scene.anchor(2, vault).number;
    scene.hold(&["rotate"], &BOTH, &[0, 1]).expect(0, &[]);
    assert!(scene.judgement(&BOTH).highest_number < carols);
    // What she was in consumes what is extinct now: nobody needs its copies.
    let seen = scene.hold(&RECOVER, &BOTH, &[1, 2]);
    let again = format!("carol's token has been in a ceremony with number {carols}: this one begins again above it.");
    assert_eq!(seen.expect(0, &[&again, "The ceremony begins again with a new plan."]).shown, [SECRET]);
    let judgement = scene.judgement(&BOTH);
    let plan = &judgement.current().unwrap().manifest.plan;
    assert!(plan.number > carols && plan.exceptions.is_empty(), "{} {:?}", plan.number, plan.exceptions);
    assert!(scene.keys(2).values().all(|key| !before.values().any(|old| old == key)), "only the newest key is left");
    scene.no_try_was_lost();
    scene.recovers(&ALL, &[0, 2]);
}

#[test]
fn two_ceremonies_of_one_number_meet_on_their_copies() {
    let apart = Apart::new();
    let scene = &apart.scene;
    scene.rename("carol", "aaron");
    let mut crew = Crew::of(&[2]);
    let mut terminal = scene.start(&RECOVER, &MISSED);
    crew.hold_until(&mut terminal, "carol has approved");
    assert_eq!((crew.hold(&mut terminal, || {}), crew.pins_typed), (5, 1));
    scene.rename("aaron", "carol");
    let hers = scene.anchor(2, scene.judgement(&BOTH).vault);
    assert_eq!(hers.number, apart.number, "the same number, twice");
    // carol cannot stand in while hers is open, and is no veto over the two who were there.
    let seen = scene.hold(&["resume"], &BOTH, &[2]);
    let turned = format!("carol's card cannot take part: it is in ceremony {}", hers.ceremony.unwrap().id.short());
    seen.expect(4, &[&turned, "claviger: hint: nothing is lost"]).reveals_nothing();
    let seen = scene.hold(&["resume"], &ALL, &[0, 1]);
    assert_eq!(seen.expect(0, &[]).shown, [SECRET]);
    scene.no_try_was_lost();
    all_is_well(scene, &ALL);
    scene.recovers(&BOTH, &[2, 0]);
}

#[test]
fn what_was_never_committed_is_abandoned_where_all_its_copies_are() {
    let scene = Scene::new(2, 3);
    carol_begins(&scene, &BOTH, &["stop"]);
    let left = scene.judgement(&BOTH).unfinished[0].id;
    // One of its two copies is away: it may have been committed there.
    crew::copy_tree(&scene.place.path("vault"), &scene.place.path("alone"));
    let seen = scene.hold(&RECOVER, &["alone"], &[0, 1, 2]);
    seen.expect(
        5,
        &[
            "was begun on 1 more copies than are here",
            "It may have been committed there.",
            "claviger: hint: bring the other copies",
        ],
    );
    assert_eq!(seen.reveals_nothing().pins_typed, 0);
    let seen = scene.hold(&RECOVER, &BOTH, &[1, 2]);
    let abandons = format!("Abandons: ceremony {}, number 3, never committed", left.short());
    assert_eq!(seen.expect(0, &[&abandons]).shown, [SECRET]);
    assert!(scene.judgement(&BOTH).is_abandoned(&left));
    scene.no_try_was_lost();
}

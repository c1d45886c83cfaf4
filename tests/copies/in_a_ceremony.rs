//! Copies that fail, or cannot be told, while a ceremony begins: what is written to is what the plan names, another one with
//! the same mark stands in, and people are asked where too few are left.

use claviger::ceremony::reveal::Target;
use claviger::ceremony::{Setting, recover};
use claviger::policy::Policy;
use claviger::token::attestation::Roots;
use claviger::token::soft::SoftSource;

use super::harness::crew::Place;
use super::harness::inside::request;
use super::harness::scene::ITEM;
use super::*;

const BOTH: [&str; 2] = ["vault", "copy"];

/// A directory stands where the plan of the next ceremony should be.
fn takes_no_plan(scene: &Scene, copy: &str) {
    std::fs::create_dir_all(scene.place.path(copy).join("generations/000003/plan.json")).unwrap();
}

fn takes_plans_again(scene: &Scene, copies: &[&str]) {
    for copy in copies {
        std::fs::remove_dir_all(scene.place.path(copy).join("generations/000003")).unwrap();
    }
}

#[test]
fn where_one_copy_too_few_takes_the_plan_people_are_asked() {
    let scene = Scene::new(2, 3);
    takes_no_plan(&scene, "copy");
    let tokens = crew::tree(&scene.place.path("tokens"));
    let mut people = People::of(&[0, 1]);
    let held = site(&scene).hold(Command::Recover, &BOTH, &mut people).expect_err("they stopped");
    assert_eq!((held.exit(), people.pins_given), (Exit::Refused, 0), "{held}");
    let asked = "The policy wants 2 copies of the vault on separate media, and 1 can be written here";
    for said in ["Nothing more of this ceremony is written there", asked] {
        assert!(people.screen.contains(said), "{said}: {}", people.screen);
    }
    assert!(crew::tree(&scene.place.path("tokens")) == tokens);
    takes_plans_again(&scene, &BOTH);

    takes_no_plan(&scene, "copy");
    let mut people = People::of(&[0, 1]).choosing(&["go"]);
    site(&scene).hold(Command::Recover, &BOTH, &mut people).unwrap();
    assert_eq!(people.shown, [SECRET]);
    assert!(people.screen.contains("Exception:   copies: expected 2 copies; 1 copy\n"), "{}", people.screen);
    let dir = scene.place.path("");
    let named = verdict(&dir, &["vault"]).current().unwrap().manifest.plan.copies.clone();
    assert_eq!(named, open(&dir, &["vault"]).ids());
    takes_plans_again(&scene, &["copy"]);
    brings_up_to_date(&scene, &BOTH);
}

#[test]
fn where_no_copy_takes_the_plan_it_stops() {
    let scene = Scene::new(2, 3);
    BOTH.iter().for_each(|copy| takes_no_plan(&scene, copy));
    let mut people = People::of(&[0, 1]).led_by(|question, _| panic!("{question}"));
    let held = site(&scene).hold(Command::Recover, &BOTH, &mut people).expect_err("nothing could be written");
    assert!(held.to_string().contains("could be written on 0 of the 2 copies that are needed"), "{held}");
    assert_eq!(people.pins_given, 0);
}

#[test]
fn a_founding_is_begun_again_without_the_copy_that_failed() {
    let place = Place::new(2);
    crew::enrol_software_tokens(&place, 3);
    let dir = place.path("");
    let fails = dir.join("copy/generations/000001/plan.json");
    let watch = fault::watch(move |name| {
        if name == "write:generations/000001/plan.json:before" {
            std::fs::create_dir_all(&fails).unwrap();
        }
    });
    let mut people = People::of(&[0, 1, 2]).choosing(&["go"]);
    let site = Site { dir: dir.clone() };
    site.hold(Command::Found, &BOTH, &mut people).unwrap_or_else(|error| panic!("{error}\n{}", people.screen));
    drop(watch);
    let judgement = verdict(&dir, &["vault"]);
    let first = judgement.current().unwrap();
    assert!(first.ratified && first.manifest.plan.copies == open(&dir, &["vault"]).ids());
    std::fs::remove_dir_all(dir.join("copy/generations/000001")).unwrap();
    assert!(sync(&dir, &BOTH).copies.iter().all(vault::SyncedCopy::is_up_to_date));
}

#[test]
fn what_people_decided_for_more_copies_does_not_hold_for_fewer() {
    let scene = Scene::new(2, 3);
    damage_current(&scene, "copy", "shares/03-carol.age");
    takes_no_plan(&scene, "vault");
    let mut people = People::of(&[0, 1]).choosing(&["go", "go"]);
    site(&scene).hold(Command::Recover, &BOTH, &mut people).unwrap();
    assert!(people.choices.is_empty(), "they were asked once: {}", people.screen);
    let (before, after) = people.screen.split_once("Nothing more of this ceremony is written there").unwrap();
    assert!(before.contains("expected 2 copies; 1 copy\n"), "{before}");
    assert!(after.contains("expected 2 copies; 1 copy, which would not do alone\n"), "{after}");
    let plan = scene.judgement(&["copy"]).current().unwrap().manifest.plan.clone();
    assert_eq!(plan.exceptions.len(), 1);
    assert_eq!(people.shown, [SECRET]);
}

#[test]
fn of_copies_with_one_mark_the_one_that_can_be_written_is_written_to() {
    let scene = scene();
    crew::copy_tree(&scene.place.path("third"), &scene.place.path("clone"));
    let copies = ["vault", "third", "clone"];
    for (mount, word) in [(READ_ONLY, "CANNOT BE WRITTEN"), (FULL, "FULL: ")] {
        let before = generation(&scene, &copies);
        let seen = where_mounted(&scene, mount, &RECOVER, &copies);
        assert_eq!(seen.expect(0, &[word]).shown, [SECRET]);
        let screen = flat(&seen.screen);
        let twin =
            format!("{} has the mark of {}", scene.place.text("third"), scene.place.text("clone")).replace(' ', "");
        assert!(screen.replace(' ', "").contains(&twin) && !screen.contains("The policy wants"), "{screen}");
        let judgement = scene.judgement(&["vault", "clone"]);
        assert!(
            judgement.current().unwrap().generation == before + 1 && judgement.copies.iter().all(|c| c.missing == 0)
        );
        let plan = &judgement.current().unwrap().manifest.plan;
        assert_eq!(plan.copies, open(&scene.place.path(""), &["vault", "clone"]).ids());
        assert_eq!(generation(&scene, &["third"]), before);
        // Merging brings it to the third, which has the same mark still.
        std::fs::remove_dir_all(scene.place.path("third")).unwrap();
        crew::copy_tree(&scene.place.path("clone"), &scene.place.path("third"));
    }
}

/// The plan that one of them did not take is nobody's; the next one stands where the other is, and there alone.
#[test]
fn where_a_copy_does_not_take_the_plan_another_with_its_mark_does() {
    let scene = scene();
    let dir = scene.place.path("");
    crew::copy_tree(&dir.join("third"), &dir.join("clone"));
    takes_no_plan(&scene, "third");
    let copies = ["vault", "third", "clone"];
    let mut people = People::of(&[2]);
    let held = site(&scene).hold(Command::Recover, &copies, &mut people).expect_err("carol is not enough");
    assert_eq!(held.exit(), Exit::Person, "{held}\n{}", people.screen);
    let stands_in = format!("{} has the same mark as {}", scene.place.text("clone"), scene.place.text("third"));
    assert!(people.screen.contains(&stands_in), "{}", people.screen);
    let judgement = verdict(&dir, &copies);
    let approved = judgement.unfinished.iter().find(|ceremony| !ceremony.approvals.is_empty()).unwrap();
    assert_eq!(approved.plan.copies, open(&dir, &["vault", "clone"]).ids());
    let stands = [0, 1, 2].map(|place| judgement.directory_of(place, &approved.id).is_some());
    assert_eq!(stands, [true, false, true]);
    // The one that failed does not vouch for the one that stood in.
    std::fs::remove_dir_all(dir.join("third/generations/000003")).unwrap();
    let mut people = People::of(&[0, 1]);
    let held = site(&scene).hold(Command::Recover, &["vault", "third", "copy"], &mut people).expect_err("it is away");
    assert!(people.screen.contains("was begun on 1 more copies than are here"), "{held}\n{}", people.screen);
    let mut people = People::of(&[0, 1]);
    site(&scene).hold(Command::Recover, &["vault", "third", "clone"], &mut people).unwrap();
    assert_eq!(people.shown, [SECRET]);
    brings_up_to_date(&scene, &["vault", "copy", "third", "clone"]);
}

/// A mark that could not be read when the copies were taken, and can be read a moment later.
#[test]
fn a_plan_names_what_is_written_to() {
    let scene = scene();
    let dir = scene.place.path("");
    let mut copies = open(&dir, &ALL);
    let (mark, away) = (dir.join("third/copy.json"), dir.join("mark"));
    std::fs::rename(&mark, &away).unwrap();
    let _lock = copies.lock().unwrap();
    std::fs::rename(&away, &mark).unwrap();
    let mut people = People::of(&[0, 1]);
    let mut source = SoftSource::open(&dir.join("tokens")).unwrap();
    let mut setting = Setting {
        copies: &copies,
        judgement: judge(&copies.snapshot().unwrap()),
        policy: Policy::parse(&std::fs::read_to_string(dir.join("policy.toml")).unwrap()).unwrap(),
        policy_is_lost: false,
        roots: Roots::new(&[]).unwrap(),
        source: &mut source,
        room: &mut people,
        weaknesses: Vec::new(),
    };
    recover::recover(&mut setting, &request(ITEM, 3600), &Target::Screen).unwrap();
    let said = format!("{} has no good copy.json", dir.join("third").display());
    assert!(people.screen.contains(&said) && people.shown == [SECRET], "{}", people.screen);
    let plan = verdict(&dir, &["vault"]).current().unwrap().manifest.plan.clone();
    assert_eq!(plan.copies, open(&dir, &BOTH).ids());
    assert!(!dir.join("third/generations/000003").exists());
}

#[test]
fn a_copy_that_an_unfinished_ceremony_names_keeps_its_mark() {
    let scene = scene();
    let dir = scene.place.path("");
    // The ceremony stands on the last two, and so on one that is given or on the one that is to be made.
    scene.hold(&RECOVER, &["copy", "third"], &[2]).expect(3, &["carol has approved"]);
    for given in ["vault", "copy"] {
        let before = crew::tree(&dir);
        let (code, said) = copy(&scene, "add", &[given, "third"]);
        assert_eq!(code, 5, "{given}: {said}");
        for text in ["third is a copy already, and ceremony number 3 was begun on it", "claviger copy sync"] {
            assert!(said.contains(text), "{given}: {said}");
        }
        assert!(crew::tree(&dir) == before, "{given}: something was written");
    }
    // Where the copy with the mark is given, this one needs it not.
    crew::copy_tree(&dir.join("third"), &dir.join("clone"));
    let (code, said) = copy(&scene, "add", &["vault", "third", "clone"]);
    assert_eq!(code, 0, "{said}");
    // So nobody has to be asked for it; and then it may have another mark.
    let mut people = People::of(&[0, 1]).led_by(|question, _| panic!("{question}"));
    site(&scene).hold(Command::Recover, &ALL, &mut people).unwrap();
    let (code, said) = copy(&scene, "add", &["vault", "copy", "third"]);
    assert!(code == 0 && said.contains("got a mark of its own: it had one already"), "{said}");
}

/// A clone that was made before the ceremony has the mark, and not the ceremony: it cannot stand in for the copy that has both.
#[test]
fn an_older_clone_does_not_free_the_mark_that_a_ceremony_names() {
    let scene = scene();
    let dir = scene.place.path("");
    crew::copy_tree(&dir.join("third"), &dir.join("clone"));
    scene.hold(&RECOVER, &["copy", "third"], &[2]).expect(3, &["carol has approved"]);
    let (before, mark) = (crew::tree(&dir), std::fs::read(dir.join("third/copy.json")).unwrap());
    let (code, said) = copy(&scene, "add", &["vault", "copy", "clone", "third"]);
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("ceremony number 3 was begun on it") && crew::tree(&dir) == before, "{said}");
    // Nor does it keep the mark when both are brought up to date; the clone shows nothing, and may have another one.
    let (code, said) = copy(&scene, "sync", &["vault", "copy", "clone", "third"]);
    assert!(code != 0 && said.contains("name this copy before"), "{code} {said}");
    assert_eq!(std::fs::read(dir.join("third/copy.json")).unwrap(), mark);
    brings_up_to_date(&scene, &["vault", "copy", "third", "clone"]);
    // All that the ceremony was begun on is here, so nobody has to be asked.
    let mut people = People::of(&[0, 1]).led_by(|question, _| panic!("{question}"));
    site(&scene).hold(Command::Recover, &["vault", "copy", "clone", "third"], &mut people).unwrap();
    assert_eq!(people.shown, [SECRET]);
}

//! A damaged closing of the generation that is to be finished is as good as none: its custodian closes once more, and the new
//! closing stands in its place.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use claviger::encoding::Time;
use claviger::error::Advice;
use claviger::fault;

use super::harness::inside::{Command, People, Site};
use super::*;

const BODY: &str = "generations/000003/closings/01-alice.json";
const SIGNATURE: &str = "generations/000003/closings/01-alice.sig";

/// Changes one letter of what a closing says; it still reads as one.
fn change_the_time(file: &Path) {
    let text = std::fs::read_to_string(file).unwrap();
    let changed = text.replace("\"time\":\"20", "\"time\":\"19");
    assert_ne!(text, changed);
    std::fs::write(file, changed).unwrap();
}

/// How alice's closing is damaged on a copy, with a name for it.
type Damage = (&'static str, fn(&Path));

const DAMAGE: [Damage; 6] = [
    ("signature", |copy| flip_last_byte(&copy.join(SIGNATURE))),
    ("body", |copy| flip_last_byte(&copy.join(BODY))),
    ("time", |copy| change_the_time(&copy.join(BODY))),
    ("both", |copy| [BODY, SIGNATURE].iter().for_each(|file| std::fs::write(copy.join(file), b"\0").unwrap())),
    ("half a body alone", |copy| {
        std::fs::write(copy.join(BODY), b"{").unwrap();
        std::fs::remove_file(copy.join(SIGNATURE)).unwrap();
    }),
    ("a signature alone", |copy| std::fs::remove_file(copy.join(BODY)).unwrap()),
];

/// Recovered by alice and bob; one copy is left, and kept as `intact`.
fn on_the_last_copy() -> (Scene, Site) {
    let scene = Scene::new(2, 3);
    scene.recovers(&BOTH, &[0, 1]);
    std::fs::remove_dir_all(scene.place.path("copy")).unwrap();
    copy_tree(&scene.place.path("vault"), &scene.place.path("intact"));
    let site = Site { dir: scene.place.path("") };
    (scene, site)
}

fn damaged_anew(scene: &Scene, damage: fn(&Path)) {
    let vault = scene.place.path("vault");
    std::fs::remove_dir_all(&vault).unwrap();
    copy_tree(&scene.place.path("intact"), &vault);
    damage(&vault);
    assert!(!scene.judgement(&["vault"]).current().unwrap().ratified, "one closing is not enough");
}

#[track_caller]
fn resumes(site: &Site, who: &[usize], choices: &[&str], name: &str) {
    let mut people = People::of(who).choosing(choices);
    let held = site.hold(Command::Resume, &["vault"], &mut people);
    assert!(held.is_ok(), "{name}: {held:?} {:?}\n{}", held.as_ref().map_err(Advice::hint), people.screen);
    assert_eq!(people.shown, [SECRET], "{name}");
}

#[test]
fn a_damaged_closing_on_the_last_copy_is_made_once_more() {
    let (scene, site) = on_the_last_copy();
    for (name, damage) in DAMAGE {
        damaged_anew(&scene, damage);
        resumes(&site, &[0, 1], &["go"], name);
        let judgement = scene.judgement(&["vault"]);
        assert!(judgement.is_sound() && judgement.current().unwrap().ratified, "{name}: {:?}", judgement.findings);
    }
    assert_eq!(scene.verify(&["vault"]).0, 0);
    scene.no_try_was_lost();
}

#[test]
fn whoever_comes_finishes_where_a_closing_is_damaged() {
    let (scene, site) = on_the_last_copy();
    damaged_anew(&scene, DAMAGE[0].1);
    resumes(&site, &[0, 2], &["go"], "alice and carol");
    assert!(scene.judgement(&["vault"]).is_sound());
    // Carol was not in round 1 and keeps her older key: with bob alone that generation could still be opened, as far as is known.
    damaged_anew(&scene, DAMAGE[0].1);
    let mut people = People::of(&[1, 2]).choosing(&["go"]);
    let held = site.hold(Command::Resume, &["vault"], &mut people).expect_err("alice has to come");
    assert!(held.to_string().contains("1 more of these must close: alice") && people.shown.is_empty(), "{held}");
    resumes(&site, &[0, 1], &["go"], "alice and bob");
    assert!(scene.judgement(&["vault"]).is_sound());
}

/// The closing of a third custodian, of a generation that two have ratified: nothing relies on it.
#[test]
fn a_copy_does_alone_whose_damaged_closing_is_one_more_than_enough() {
    let (scene, site) = on_the_last_copy();
    resumes(&site, &[1, 2], &["go"], "bob and carol");
    flip_last_byte(&scene.place.path("vault").join("generations/000003/closings/03-carol.json"));
    let judgement = scene.judgement(&["vault"]);
    let current = judgement.current().unwrap();
    assert!(current.ratified && current.complete_on == [0] && !judgement.is_sound(), "{:?}", judgement.findings);
    // Where another copy has it right, this one is to have it too; here only carol can mend it.
    resumes(&site, &[0, 2], &["go"], "alice and carol");
    assert_eq!(scene.verify(&["vault"]).0, 0);
}

/// The power fails anywhere while the new closing takes the place of the damaged one.
#[test]
fn a_damaged_closing_that_is_replaced_is_cut_anywhere() {
    struct Cut;
    let every_point = std::env::var_os("CLAVIGER_TEST_EVERY_POINT").is_some();
    let (scene, site) = on_the_last_copy();
    let mut reached = true;
    let mut at = 1;
    while reached {
        damaged_anew(&scene, DAMAGE[3].1);
        let mut passed = 0;
        let watch = fault::watch(move |name| {
            passed += u32::from(name.contains("closings/01-alice"));
            if passed == at {
                resume_unwind(Box::new(Cut));
            }
        });
        let mut people = People::of(&[0, 1]).choosing(&["go"]);
        let held = catch_unwind(AssertUnwindSafe(|| site.hold(Command::Resume, &["vault"], &mut people)));
        drop(watch);
        reached = held.is_err_and(|panic| panic.is::<Cut>());
        assert!(scene.judgement(&["vault"]).current().unwrap().generation == 3, "point {at}");
        resumes(&site, &[0, 1], &["go"], &format!("point {at}"));
        assert!(scene.judgement(&["vault"]).is_sound(), "point {at}");
        at += if every_point { 1 } else { 5 };
    }
    println!("{at} points");
    assert!(at > 12);
}

/// Alice has closed, on both copies, and the machine went off before bob did.
#[test]
fn a_closing_that_is_damaged_on_one_of_two_copies_is_put_back_when_its_custodian_comes() {
    let scene = Scene::new(2, 3);
    let mut terminal = scene.start(&RECOVER, &BOTH);
    Crew::of(&[0, 1]).hold_until(&mut terminal, "alice has proven the share and closed");
    terminal.kill();
    terminal.expect_exit(128 + 9);
    flip_last_byte(&scene.place.path("copy").join(SIGNATURE));
    let mut people = People::of(&[0, 1]).led_by(|question, _| panic!("{question}"));
    Site { dir: scene.place.path("") }.hold(Command::Resume, &BOTH, &mut people).unwrap();
    assert_eq!(people.shown, [SECRET]);
    for copies in [&BOTH[..], &BOTH[..1], &BOTH[1..]] {
        let judgement = scene.judgement(copies);
        assert!(judgement.is_sound() && judgement.current().unwrap().ratified, "{copies:?}: {:?}", judgement.findings);
    }
}

/// Whoever can write to a copy can change what waits to be signed: no custodian signs a time that has not come.
#[test]
fn a_time_that_cannot_be_is_not_signed() {
    let (scene, site) = on_the_last_copy();
    let started = scene.judgement(&["intact"]).current().unwrap().manifest.plan.started;
    for year in ["1999", "2999"] {
        damaged_anew(&scene, |copy| std::fs::remove_file(copy.join(SIGNATURE)).unwrap());
        let body = scene.place.path("vault").join(BODY);
        let text = std::fs::read_to_string(&body).unwrap();
        let at = text.find("\"time\":\"").unwrap() + 8;
        std::fs::write(&body, format!("{}{year}{}", &text[..at], &text[at + 4..])).unwrap();
        resumes(&site, &[0, 1], &["go"], year);
        let judgement = scene.judgement(&["vault"]);
        let signed = judgement.current().unwrap().closings[&1].body().time;
        assert!(started <= signed && signed <= Time::now() && judgement.is_sound(), "{year}: {signed}");
    }
}

/// The closings of all founders were there when generation 2 was made, which lists them.
#[test]
fn a_damaged_closing_of_a_founder_does_not_close_the_vault() {
    let (scene, site) = on_the_last_copy();
    let closing = |half: &str| format!("generations/000001/closings/01-alice.{half}");
    let vault = scene.place.path("vault");
    for damage in ["sig", "json", "both"] {
        std::fs::remove_dir_all(&vault).unwrap();
        copy_tree(&scene.place.path("intact"), &vault);
        match damage {
            "both" => ["sig", "json"].iter().for_each(|half| std::fs::remove_file(vault.join(closing(half))).unwrap()),
            half => flip_last_byte(&vault.join(closing(half))),
        }
        let judgement = scene.judgement(&["vault"]);
        let current = judgement.current().unwrap();
        assert!(current.generation == 3 && current.ratified && !judgement.is_sound(), "{damage}");
    }
    let mut people = People::of(&[0, 1]).choosing(&["go"]);
    site.hold(Command::Recover, &["vault"], &mut people).unwrap_or_else(|error| panic!("{error}\n{}", people.screen));
    assert_eq!(people.shown, [SECRET]);
}

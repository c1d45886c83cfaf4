//! How frozen vaults are made: one vault, a few ceremonies on it, and what stood at each stage of them.

use std::cell::RefCell;
use std::rc::Rc;

use crate::harness::crew::{self, Place};
use crate::harness::inside::{Command, People, Site};
use crate::harness::scene::{ITEM, SECRET};
use crate::harness::world::{Frame, Held, World, founded_with, hold};
use crate::{BOTH, LOGIN, PASSWORD};

/// A grant that is over when anybody looks at these vaults.
const RECOVER: Command = Command::RecoverOf(ITEM, 300);

/// Name, who goes on, and the vault.
pub fn states(site: &Site) -> Vec<(String, Vec<usize>, World)> {
    let mut states = Vec::new();
    let mut keep =
        |name: &str, who: &[usize], world: &World| states.push((name.to_owned(), who.to_vec(), world.clone()));
    let items = [(ITEM, "opaque", SECRET), (LOGIN, "password", PASSWORD)];
    let base = founded_with(2, 3, &items, Some(("proposal", "opaque", "not admitted yet")));
    keep("at-rest", &[1, 2], &base);

    let held = held(site, &base, RECOVER, &BOTH, &[0, 1], &[]);
    let at = |end: &str| held.frames.iter().rev().find(|frame| frame.point.ends_with(end)).unwrap();
    keep("plan-only", &[0, 2], &at("/plan.json").world);
    keep("key-made", &[0, 1], &first(&held, "47 0082").world);
    keep("one-approval", &[1, 2], &at("approvals/01-alice.sig").world);
    keep("all-approvals", &[0, 2], &at("approvals/02-bob.sig").world);
    keep("staged-without-commit", &[1, 2], &at("/manifest.json").world);
    let committed = &at("/COMMIT").world;
    keep("committed", &[0, 1], committed);
    keep("old-key-destroyed", &[0, 1], &first(&held, "F6 FF83").world);
    keep("closing-not-signed", &[0, 1], &at("closings/01-alice.json").world);
    let one = &at("closings/01-alice.sig").world;
    keep("one-closing", &[0, 1, 2], one);
    keep("ratified-not-shown", &[0, 2], &at("closings/02-bob.sig").world);
    keep("shown", &[1, 2], held.world());

    let mut behind = held.world().clone();
    behind.copies.insert("copy".to_owned(), base.copies["copy"].clone());
    keep("one-copy-behind", &[0, 2], &behind);

    let again = self::held(site, &at("approvals/01-alice.sig").world, RECOVER, &BOTH, &[0, 2], &[]);
    keep("abandoned", &[0, 1], again.world());

    let over = self::held(site, committed, RECOVER, &BOTH, &[0, 2], &["over"]);
    keep("over-an-unratified-one", &[1, 2], over.world());

    // The other copy was away, and is held to be the only one.
    let mut apart = committed.clone();
    apart.copies.insert("copy".to_owned(), base.copies["copy"].clone());
    let other = self::held(site, &apart, RECOVER, &["copy"], &[1, 2], &["go", "lost"]);
    let forked = other.frames.iter().find(|frame| frame.point.ends_with("/COMMIT")).unwrap();
    keep("fork", &[1, 2], &forked.world);
    keep("fork-settled", &[0, 1], other.world());
    states
}

/// Name and site of foundings that were cut: the first founder has approved; the first founder has closed. The enrolments
/// stand beside the copies.
pub fn foundings() -> Vec<(String, World)> {
    let place = Place::new(2);
    crew::enrol_software_tokens(&place, 3);
    let dir = place.path("");
    let mut enrolments = World::take(&dir, &[]);
    let documents = crew::NAMES.iter().take(3).map(|name| {
        let file = format!("{name}.json");
        let bytes = std::fs::read(dir.join(&file)).unwrap();
        (file, bytes.into())
    });
    enrolments.copies.insert("enrolments".to_owned(), documents.collect());
    let kept = Rc::new(RefCell::new(Vec::new()));
    let (keep, site) = (kept.clone(), dir.clone());
    let watch = claviger::fault::watch(move |point| {
        for (name, end) in [("founding-one-approval", "approvals"), ("founding-one-closing", "closings")] {
            // On the second copy too.
            let path = format!("generations/000001/{end}/01-alice.sig");
            let here = |copy: &&str| site.join(copy).join(&path).exists();
            if point == format!("write:{path}:after") && BOTH.iter().all(here) {
                let mut world = World::take(&site, &BOTH);
                world.copies.extend(enrolments.copies.clone());
                keep.borrow_mut().push((name.to_owned(), world));
            }
        }
    });
    let mut people = People::of(&[0, 1, 2]);
    Site { dir }.hold(Command::Found, &BOTH, &mut people).unwrap();
    drop(watch);
    Rc::into_inner(kept).unwrap().into_inner()
}

fn first<'h>(held: &'h Held, end: &str) -> &'h Frame {
    held.frames.iter().find(|frame| frame.point.ends_with(end)).unwrap()
}

fn held(site: &Site, world: &World, command: Command, copies: &[&str], who: &[usize], choices: &[&str]) -> Held {
    let held = hold(site, world, command, copies, who, People::of(who).choosing(choices));
    assert!(held.result.is_ok() && held.people.shown == [SECRET], "{:?}\n{}", held.result, held.people.screen);
    held
}

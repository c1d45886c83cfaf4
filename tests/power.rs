//! The power fails, and the media have kept only a part of what was not synced (or only what was), in an order of their own.
//!
//! Ceremonies are held once, in this process, and every change of a file is recorded. Then, for every instant, for three
//! kinds of file systems, and for every part of what was in doubt, the files are laid out as the media may have kept them,
//! beside the tokens as they were, and judged by claviger. The same without each of the syncs in turn: then a promise is
//! broken, and it is said which. `CLAVIGER_TEST_EVERY_POINT=1` goes on from every distinct state; otherwise from a sample.

#[path = "harness/harness.rs"]
mod harness;

#[path = "disk/journal.rs"]
mod journal;
#[path = "disk/medium.rs"]
mod medium;
#[path = "disk/promises.rs"]
mod promises;
#[path = "disk/sweep.rs"]
mod sweep;

use std::collections::BTreeSet;
use std::time::Instant;

use claviger::ceremony::{recover, reveal::Target};
use claviger::cli::{VaultArguments, open, seal::Seal};
use claviger::token::soft::SoftSource;
use claviger::transcript::{GenerationFile, Half, Place};
use claviger::vault::disk::Sync;
use harness::crew;
use harness::inside::{Command, People, Site, told};
use harness::scene::{ITEM, SECRET};
use journal::{Change, Event, Files, Journal, put, record};
use medium::{MODELS, Media, Model};
use sweep::Sweep;

const COPIES: [&str; 2] = ["vault", "copy"];

/// Every distinct state is judged, and gone on from; otherwise a sample.
fn everything() -> bool {
    std::env::var_os("CLAVIGER_TEST_EVERY_POINT").is_some()
}

#[track_caller]
fn hold(site: &Site, command: Command, who: &[usize]) -> Vec<String> {
    let mut people = People::of(who);
    let held = site.hold(command, &COPIES, &mut people);
    held.unwrap_or_else(|error| panic!("{command:?}: {}\n{}", told(&error), people.screen));
    people.shown
}

/// A vault of 2-of-3 that is founded, sealed to, rotated, recovered from and checked, each recorded.
struct Story {
    place: crew::Place,
    journals: Vec<Journal>,
}

impl Story {
    fn new() -> Self {
        let place = crew::Place::new(2);
        crew::enrol_software_tokens(&place, 3);
        let site = Site { dir: place.path("") };
        let dir = site.dir.clone();
        let mut journals = Vec::new();
        let mut step = |name, act: &mut dyn FnMut()| journals.push(record(name, &dir, act));
        step("found", &mut || drop(hold(&site, Command::Found, &[0, 1, 2])));
        step("seal", &mut || seal(&place));
        step("rotate", &mut || drop(hold(&site, Command::Rotate, &[0, 1])));
        step("recover", &mut || assert_eq!(hold(&site, Command::Recover, &[0, 2]), [SECRET]));
        step("check", &mut || drop(hold(&site, Command::Check, &[0, 1, 2])));
        Self { place, journals }
    }

    fn journal(&self, name: &str) -> &Journal {
        self.journals.iter().find(|journal| journal.name == name).unwrap()
    }

    /// A recover whose process was killed right after the first change that `at` picks, and what the next people did.
    fn killed(&self, name: &'static str, next: Command, at: impl Fn(&Change) -> bool) -> Journal {
        let first = self.journal("recover");
        let picked = first.events.iter().position(|event| matches!(event, Event::Change(change) if at(change)));
        let until = picked.unwrap() + 1;
        let (files, tokens) = after(first, until);
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), &files);
        put(dir.path(), &tokens);
        let site = Site { dir: dir.path().to_owned() };
        let second = record(name, dir.path(), || assert_eq!(hold(&site, next, &[0, 2]), [SECRET]));
        first.killed(until, second)
    }
}

fn seal(place: &crew::Place) {
    let file = place.path("secret-to-seal");
    std::fs::write(&file, SECRET).unwrap();
    let mut arguments: Vec<_> = COPIES.iter().map(|copy| place.path(copy).into_os_string()).collect();
    arguments.extend([ITEM.into(), file.clone().into_os_string()]);
    Seal { arguments, kind: "opaque".parse().unwrap(), vault: VaultArguments { expect: None } }.run().unwrap();
    std::fs::remove_file(file).unwrap();
}

/// What stands there when so many events have happened: files, and tokens.
fn after(journal: &Journal, until: usize) -> (Files, Files) {
    let mut media = Media::new(Model::Strict, &journal.before);
    let mut tokens = journal.tokens.clone();
    for event in &journal.events[..until] {
        match event {
            Event::Change(change) => media.apply(change),
            Event::Tokens(now) => tokens = now.clone(),
            Event::At(_) => {}
        }
    }
    (media.seen(), (*tokens).clone())
}

/// What a path is, for the list of syncs.
fn kind(path: &str) -> String {
    let path = path.strip_suffix(".part").unwrap_or(path);
    let Some((_, path)) = path.split_once('/') else { return "the copy".to_owned() };
    let half = |name: &str, half: Half| format!("{name}.{}", half.extension());
    match Place::of(path) {
        Place::Generation(_, file) => match file {
            GenerationFile::Approval(_, of) => half("approval", of),
            GenerationFile::Closing(_, of) => half("closing", of),
            GenerationFile::Share(_) => "envelope".to_owned(),
            GenerationFile::Item(_) => "item".to_owned(),
            other => other.path(),
        },
        Place::Record(_, of) => half("record", of),
        Place::Inbox(_) => "inbox file".to_owned(),
        _ => match path.split('/').collect::<Vec<_>>()[..] {
            ["generations", _] => "a generation/".to_owned(),
            ["generations", _, below] => format!("{below}/"),
            _ if path.contains('.') => path.to_owned(),
            _ => format!("{path}/"),
        },
    }
}

#[test]
fn whatever_the_media_kept_is_enough_and_without_any_sync_it_is_not() {
    let start = Instant::now();
    let mut story = Story::new();
    let commit = |change: &Change| matches!(change, Change::Rename(_, to) if to.ends_with("/COMMIT"));
    let ceremony = |change: &Change| matches!(change, Change::MakeDirectory(path) if path.ends_with("/000003"));
    let killed = [
        story.killed("resume after a kill", Command::Resume, commit),
        story.killed("recover after a kill", Command::Recover, ceremony),
    ];
    story.journals.extend(killed);
    let events: usize = story.journals.iter().map(|journal| journal.events.len() - journal.from).sum();
    println!("{} ceremonies, {events} events, recorded in {:.1?}", story.journals.len(), start.elapsed());
    let mut unnoticed = Vec::new();
    for journal in &story.journals {
        let mut sweep = Sweep::new(journal);
        sweep.one_in = if everything() { 1 } else { 8 };
        let (mut instants, mut states) = (0, 0);
        for model in MODELS {
            let outcome = sweep.whole(model);
            assert!(outcome.broken.is_none(), "{}", outcome.broken.unwrap());
            instants += outcome.instants;
            states += outcome.states;
        }
        println!("{}: {instants} crashes, {states} states, {} read and judged, {:.1?}", journal.name, sweep.judged(), start.elapsed());
        sweep.one_in = 1;
        unnoticed.extend(each_sync_is_needed(journal, &mut sweep));
    }
    println!("in {:.1?}", start.elapsed());
    assert!(unnoticed.is_empty(), "nobody would notice if these were missing: {unnoticed:?}");
}

/// Takes out each sync of the journal, by what it is for and of what kind of file.
fn each_sync_is_needed(journal: &Journal, sweep: &mut Sweep<'_>) -> Vec<String> {
    let syncs: BTreeSet<(Sync, String)> = journal.events[journal.from..]
        .iter()
        .filter_map(|event| match event {
            Event::Change(Change::SyncFile(path, why) | Change::SyncDirectory(path, why)) => Some((*why, kind(path))),
            _ => None,
        })
        .collect();
    let mut unnoticed = Vec::new();
    for (why, what) in syncs {
        let outcomes = [Model::Strict, Model::Fat].map(|model| sweep.without(model, |of, path| of == why && kind(path) == what));
        match outcomes.into_iter().find_map(|outcome| outcome.broken) {
            Some(broken) => println!("  without {why:?} of {what}: {broken}"),
            None => unnoticed.push(format!("{}: {why:?} of {what}", journal.name)),
        }
    }
    unnoticed
}

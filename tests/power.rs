//! The power fails, and the media have kept only a part of what was not synced (or only what was), in an order of their own.
//!
//! Ceremonies are held once, in this process, and every change of a file is recorded. Then, for every instant, for three
//! kinds of file systems, and for every part of what was in doubt, the files are laid out as the media may have kept them,
//! beside the tokens as they were, and judged by claviger. The same without each of the syncs in turn: then a promise is
//! broken, and it is said which. `CLAVIGER_TEST_EVERY_POINT=1` judges every distinct state, goes on from more of them, and
//! takes each sync out of every ceremony that has it; otherwise from the first.

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

use claviger::cli::{VaultArguments, copy, seal::Seal};
use claviger::transcript::{GenerationFile, Half, Place, Stage};
use claviger::vault::disk::Sync;
use harness::crew;
use harness::inside::{Command, People, Site, told};
use harness::scene::{ITEM, SECRET};
use journal::{Change, Event, Files, Journal, put, record};
use medium::{MODELS, Media, Model};
use sweep::Sweep;

const COPIES: [&str; 2] = ["vault", "copy"];

/// Every distinct state is judged; otherwise a sample.
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
        let paths = |copies: &[&str]| copies.iter().map(|copy| dir.join(copy)).collect::<Vec<_>>();
        let vault = || VaultArguments { expect: None };
        let add = copy::Add { paths: paths(&["vault", "copy", "third"]), vault: vault() };
        journals.push(record("copy add", &dir, || copy::Copy::Add(add).run().unwrap()));
        std::fs::remove_dir_all(dir.join("copy/generations/000003")).unwrap();
        journals.push(record("copy sync", &dir, || sync_copies(&dir)));
        let damaged = damage(&dir.join("copy"));
        // Only the head of an unfinished file got to this copy, as FAT may leave it.
        std::fs::write(dir.join("copy/generations/000003/shares/01-alice.age"), b"").unwrap();
        let mut repair = record(REPAIR, &dir, || sync_copies(&dir));
        repair.damaged = damaged.into_iter().map(|file| format!("copy/{file}")).collect();
        // Directories in which something else is stay: nothing but its own sync says that a file in them is gone.
        for directory in ["generations", "generations/000003/approvals", "generations/000003/closings", "records"] {
            std::fs::write(dir.join("third").join(directory).join("note.txt"), "a stranger").unwrap();
        }
        let remove = copy::Remove { paths: paths(&["vault", "copy", "third"]), vault: vault() };
        let mut remove = record("copy remove", &dir, || remove.run(&mut People::of(&[])).unwrap());
        remove.withdrawn = Some("third");
        journals.extend([repair, remove]);
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

/// A `copy sync` that finds files damaged.
const REPAIR: &str = "copy sync that repairs";

/// Changes a byte of several files of a copy: one of each kind of repair, and the mark.
fn damage(copy: &std::path::Path) -> Vec<String> {
    let generation = |file: &str| format!("generations/000003/{file}");
    let item = generation(&format!("items/{ITEM}.age"));
    let files = [generation("COMMIT"), generation("approvals/01-alice.json"), item];
    let files: Vec<String> = files.into_iter().chain(["policy.toml".to_owned(), "copy.json".to_owned()]).collect();
    for file in &files {
        let mut bytes = std::fs::read(copy.join(file)).unwrap();
        bytes[9] ^= 1;
        std::fs::write(copy.join(file), bytes).unwrap();
    }
    files
}

fn sync_copies(dir: &std::path::Path) {
    let paths = COPIES.iter().map(|copy| dir.join(copy)).collect();
    copy::Copy::Sync(copy::Sync { paths, vault: VaultArguments { expect: None } }).run().unwrap();
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
            ["vault.json" | "policy.toml" | "copy.json"] => "a head of the copy".to_owned(),
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
    println!("{} commands, {events} events, recorded in {:.1?}", story.journals.len(), start.elapsed());
    println!("{}", counts(&story.journals));
    let (mut sum, mut shown, mut unnoticed) = ([0; 4], BTreeSet::new(), BTreeSet::new());
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
        let survivors = std::mem::take(&mut sweep.survivors);
        let distinct = survivors.len();
        let gone_on = go_on(&story.place, journal, survivors);
        let judged = sweep.judged();
        let name = journal.name;
        println!(
            "{name}: {instants} crashes, {states} states, {distinct} distinct, {judged} judged, {gone_on} gone on from"
        );
        [instants, states, judged, gone_on].iter().zip(&mut sum).for_each(|(count, sum)| *sum += count);
        each_sync_is_needed(journal, &mut sweep, &mut shown, &mut unnoticed);
    }
    let [instants, states, judged, gone_on] = sum;
    println!(
        "{instants} crashes on {} kinds of media, {states} states compared, {judged} judged, {gone_on} gone on from; {} syncs needed; {:.1?}",
        MODELS.len(),
        shown.len(),
        start.elapsed()
    );
    let unnoticed: Vec<_> = unnoticed.difference(&shown).collect();
    assert!(unnoticed.is_empty(), "nobody would notice if these were missing: {unnoticed:?}");
}

/// How many operations of each kind were recorded.
fn counts(journals: &[Journal]) -> String {
    let mut counts: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    let events = journals.iter().flat_map(|journal| &journal.events[journal.from..]);
    for event in events {
        let kind = match event {
            Event::Change(Change::MakeDirectory(_)) => "mkdir",
            Event::Change(Change::Create(_)) => "create",
            Event::Change(Change::Append(..)) => "append",
            Event::Change(Change::SyncFile(..) | Change::SyncDirectory(..)) => "fsync",
            Event::Change(Change::Rename(..)) => "rename",
            Event::Change(Change::Remove(_)) => "unlink",
            Event::At(_) | Event::Tokens(_) => continue,
        };
        *counts.entry(kind).or_default() += 1;
    }
    format!("{counts:?}")
}

/// Takes out each sync of the journal, by what it is for and of what kind of file, unless `shown` has it already.
fn each_sync_is_needed(
    journal: &Journal,
    sweep: &mut Sweep<'_>,
    shown: &mut BTreeSet<(Sync, String)>,
    unnoticed: &mut BTreeSet<(Sync, String)>,
) {
    let syncs: BTreeSet<(Sync, String)> = journal.events[journal.from..]
        .iter()
        .filter_map(|event| match event {
            Event::Change(Change::SyncFile(path, why) | Change::SyncDirectory(path, why)) => {
                Some((*why, whose(*why, path)))
            }
            _ => None,
        })
        .collect();
    for (why, what) in syncs {
        let sync = (why, what);
        if shown.contains(&sync) && !everything() {
            continue;
        }
        sweep.one_in = 1;
        sweep.most = if everything() { usize::MAX } else { sweep.judged() + 4 };
        let is = |of: Sync, path: &str| of == sync.0 && whose(of, path) == sync.1;
        let outcome = [Model::Strict, Model::Fat].into_iter().find_map(|model| sweep.without(model, is).broken);
        if let Some(broken) = outcome {
            println!("  without {:?} of {}: {broken}", sync.0, sync.1);
            shown.insert(sync);
        } else {
            unnoticed.insert(sync);
        }
    }
}

/// Where one kill decides what was not synced, all that stood there before is one kind.
fn whose(why: Sync, path: &str) -> String {
    match why {
        Sync::StandingContents | Sync::StandingName => "whatever stood there".to_owned(),
        _ => kind(path),
    }
}

/// Other people go on from some of what is left, to the credential.
fn go_on(place: &crew::Place, journal: &Journal, survivors: Vec<(String, Files, std::rc::Rc<Files>)>) -> usize {
    let step = survivors.len().div_ceil(if everything() { 12 } else { 2 });
    let mut count = 0;
    for (name, files, tokens) in survivors.into_iter().skip(step / 2).step_by(step.max(1)) {
        let desk = promises::Desk::new();
        desk.lay(&files);
        put(desk.path(), &tokens);
        for input in ["policy.toml", "alice.json", "bob.json", "carol.json"] {
            std::fs::copy(place.path(input), desk.path().join(input)).unwrap();
        }
        let site = Site { dir: desk.path().to_owned() };
        if journal.name == REPAIR {
            sync_copies(&site.dir);
        }
        finish(&site, &name, journal.name == "found");
        count += 1;
    }
    count
}

fn finish(site: &Site, name: &str, founding: bool) {
    let held = |command: Command| {
        let mut people = People::of(&[2, 1, 0]);
        let outcome = site.hold(command, &COPIES, &mut people);
        outcome.unwrap_or_else(|error| panic!("{name}: {command:?}: {}\n{}", told(&error), people.screen));
        people.shown
    };
    let judgement = || promises::judgement(&site.dir);
    let ratified =
        |judgement: &claviger::transcript::Judgement| judgement.current().is_ok_and(|current| current.ratified);
    match judgement() {
        None => drop(held(Command::Found)),
        Some(judgement) if judgement.current().is_err() => {
            let complete = judgement.unfinished.iter().any(|unfinished| unfinished.stage == Stage::Committed);
            held(if complete { Command::Resume } else { Command::Found });
        }
        Some(judgement) if !ratified(&judgement) => drop(held(Command::Resume)),
        Some(_) => {}
    }
    let has_item = judgement().unwrap().current().unwrap().manifest.items.iter().any(|item| item.name.as_str() == ITEM);
    if has_item {
        assert_eq!(held(Command::Recover), [SECRET], "{name}");
    } else {
        assert!(founding || name.starts_with("seal") || name.starts_with("rotate"), "{name}: the item is gone");
    }
    let judgement = judgement().unwrap();
    assert!(judgement.is_sound(), "{name}: {:?}", judgement.findings);
    assert!(ratified(&judgement), "{name}");
}

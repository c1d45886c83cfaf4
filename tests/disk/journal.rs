//! What a ceremony did to its files and tokens, in order.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use claviger::vault::disk::{self, Operation, Sync};

/// Files by path, `/` between components.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A change of the files, or a sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    MakeDirectory(String),
    Create(String),
    Append(String, Vec<u8>),
    SyncFile(String, Sync),
    SyncDirectory(String, Sync),
    Rename(String, String),
    Remove(String),
}

/// When something must be on the media already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// A card is about to be sent something.
    Card,
    /// A credential is about to be shown.
    Reveal,
    /// The command is done.
    End,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    Change(Change),
    At(Moment),
    /// A token is another one now: all tokens' files.
    Tokens(Rc<Files>),
}

/// A recorded ceremony.
pub struct Journal {
    /// What it is, for people.
    pub name: &'static str,
    /// The files before, all on the media.
    pub before: Files,
    /// The tokens before.
    pub tokens: Rc<Files>,
    pub events: Vec<Event>,
    /// Crashes before this event belong to another recording.
    pub from: usize,
    /// Files that are damaged before; that is no news until they are replaced.
    pub damaged: BTreeSet<String>,
    /// The copy that is taken out of service.
    pub withdrawn: Option<&'static str>,
}

/// Every file below `dir/ROOT`, by its path in `dir`.
pub fn files(dir: &Path, roots: &[&str]) -> Files {
    let mut files = Files::new();
    for root in roots.iter().filter(|root| dir.join(root).is_dir()) {
        for (path, bytes) in super::harness::crew::tree(&dir.join(root)) {
            files.insert(path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned(), bytes);
        }
    }
    files
}

/// Puts files below `dir`.
pub fn put(dir: &Path, files: &Files) {
    for (path, bytes) in files {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// Where a ceremony's files are, besides the tokens.
pub const ROOTS: [&str; 3] = ["vault", "copy", "third"];

/// Records what `act` does in `dir`.
pub fn record(name: &'static str, dir: &Path, act: impl FnOnce()) -> Journal {
    let before = files(dir, &ROOTS);
    let tokens = Rc::new(files(dir, &["tokens"]));
    let events = Rc::new(RefCell::new(Vec::new()));
    let listening = disk::journal::listen({
        let (events, dir) = (events.clone(), dir.to_owned());
        move |operation| events.borrow_mut().push(Event::Change(change(&dir, operation)))
    });
    let watch = claviger::fault::watch({
        let (events, dir, mut last) = (events.clone(), dir.to_owned(), tokens.clone());
        move |point| {
            if point.starts_with("apdu:before") {
                events.borrow_mut().push(Event::At(Moment::Card));
            } else if point.starts_with("apdu:after") {
                let now = files(&dir, &["tokens"]);
                if now != *last {
                    last = Rc::new(now);
                    events.borrow_mut().push(Event::Tokens(last.clone()));
                }
            } else if point == "reveal:before" {
                events.borrow_mut().push(Event::At(Moment::Reveal));
            }
        }
    });
    act();
    drop((listening, watch));
    let mut events = Rc::into_inner(events).unwrap().into_inner();
    events.push(Event::At(Moment::End));
    Journal { name, before, tokens, events, from: 0, damaged: BTreeSet::new(), withdrawn: None }
}

fn change(dir: &Path, operation: &Operation<'_>) -> Change {
    let path = |path: &Path| {
        let path = if path.is_absolute() { path.to_owned() } else { PathBuf::from(path) };
        path.strip_prefix(dir).unwrap_or(&path).to_str().unwrap().trim_end_matches('/').to_owned()
    };
    match operation {
        Operation::MakeDirectory(it) => Change::MakeDirectory(path(it)),
        Operation::Create(it) => Change::Create(path(it)),
        Operation::Append(it, bytes) => Change::Append(path(it), bytes.to_vec()),
        Operation::SyncFile(it, why) => Change::SyncFile(path(it), *why),
        Operation::SyncDirectory(it, why) => Change::SyncDirectory(path(it), *why),
        Operation::Rename(from, to) => Change::Rename(path(from), path(to)),
        Operation::Remove(it) | Operation::RemoveDirectory(it) => Change::Remove(path(it)),
    }
}

impl Journal {
    /// The same without the syncs that `drop` picks, and where the first of them would be.
    pub fn without(&self, drop: impl Fn(Sync, &str) -> bool) -> (Self, Option<usize>) {
        let (mut events, mut from, mut first) = (Vec::new(), 0, None);
        for (at, event) in self.events.iter().enumerate() {
            if at == self.from {
                from = events.len();
            }
            match event {
                Event::Change(Change::SyncFile(path, why) | Change::SyncDirectory(path, why)) if drop(*why, path) => {
                    first = first.or((at >= self.from).then_some(events.len()));
                }
                _ => events.push(event.clone()),
            }
        }
        (self.with(self.name, events, from), first)
    }

    /// The process was killed before event `at`, and what followed is `next`: nothing but the medium's memory was between.
    pub fn killed(&self, at: usize, next: Self) -> Self {
        let mut events: Vec<Event> = self.events[..at].to_vec();
        let from = events.len();
        events.extend(next.events);
        self.with(next.name, events, from)
    }

    fn with(&self, name: &'static str, events: Vec<Event>, from: usize) -> Self {
        let (before, tokens, damaged) = (self.before.clone(), self.tokens.clone(), self.damaged.clone());
        Self { name, before, tokens, events, from, damaged, withdrawn: self.withdrawn }
    }
}

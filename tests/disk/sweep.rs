//! Every crash of a recorded ceremony, on every kind of medium.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use claviger::encoding::Digest;
use claviger::vault::disk::Sync;

use super::journal::{Change, Event, Files, Journal, Moment};
use super::medium::{Media, Model, State};
use super::promises::{Broken, DURABLE, Desk, GONE, LAST, ONCE, Tokens, VOUCHED, WHOLE, tokens};

/// What a sweep found.
#[derive(Default)]
pub struct Outcome {
    /// Crash instants.
    pub instants: usize,
    /// States that crashes left there.
    pub states: usize,
    /// The first broken promise, with its instant.
    pub broken: Option<String>,
    /// Which promise that is.
    pub promise: Option<&'static str>,
}

/// Sweeps one ceremony with and without its syncs; what was judged once is not judged again.
pub struct Sweep<'j> {
    pub journal: &'j Journal,
    vault: Option<Digest>,
    desk: Desk,
    judged: usize,
    verdicts: HashMap<(u64, usize, bool), Vec<Broken>>,
    looks: BTreeMap<usize, Rc<Tokens>>,
    seen: BTreeSet<(u64, usize)>,
    /// States that went well, with the tokens of that instant, for those who go on from there.
    pub survivors: Vec<(String, Files, Rc<Files>)>,
    /// Random patterns where many things are in doubt.
    pub random: usize,
    /// Of the states that differ, one in so many is read and judged by claviger; all are compared with what must be there.
    pub one_in: usize,
    /// No more than so many.
    pub most: usize,
    offered: usize,
}

impl<'j> Sweep<'j> {
    pub fn new(journal: &'j Journal) -> Self {
        let written = journal.events.iter().filter_map(|event| match event {
            Event::Change(Change::Append(path, bytes)) if path.ends_with("/vault.json.part") => Some(bytes.as_slice()),
            _ => None,
        });
        let vault = journal.before.get("vault/vault.json").map(Vec::as_slice).into_iter().chain(written).next();
        let (desk, vault) = (Desk::new(), vault.map(Digest::of));
        let (verdicts, looks, seen) = (HashMap::new(), BTreeMap::new(), BTreeSet::new());
        Self {
            journal,
            vault,
            desk,
            judged: 0,
            verdicts,
            looks,
            seen,
            survivors: Vec::new(),
            random: 8,
            one_in: 1,
            most: usize::MAX,
            offered: 0,
        }
    }

    /// How many states were judged.
    pub fn judged(&self) -> usize {
        self.judged
    }

    /// The journal as it is.
    pub fn whole(&mut self, model: Model) -> Outcome {
        let (journal, _) = as_done(self.journal, model);
        self.sweep(&journal, model, journal.from, true)
    }

    /// The journal without some syncs; begins where the first of them would have been, and ends at the first broken promise.
    pub fn without(&mut self, model: Model, drop: impl Fn(Sync, &str) -> bool) -> Outcome {
        match as_done(self.journal, model).0.without(drop) {
            (without, Some(first)) => self.sweep(&without, model, first, false),
            (_, None) => Outcome::default(),
        }
    }

    fn sweep(&mut self, journal: &Journal, model: Model, start: usize, keep: bool) -> Outcome {
        let mut media = Media::new(model, &journal.before);
        let mut outcome = Outcome::default();
        let mut now = journal.tokens.clone();
        let mut due = Due { withdrawn: withdrawn(journal, &media), ..Due::default() };
        let mut revealed = false;
        for (at, event) in journal.events.iter().enumerate() {
            match event {
                Event::Change(change) => {
                    match change {
                        Change::Remove(path) => {
                            due.required.remove(path);
                            due.removed.insert(path.clone());
                            due.replaced = media.replacement(path).map(|(old, new)| (path.clone(), old, new));
                        }
                        Change::Rename(..) => due.replaced = None,
                        _ => {}
                    }
                    media.apply(change);
                }
                Event::Tokens(files) => now = files.clone(),
                Event::At(moment) => {
                    for (path, node) in media.named() {
                        due.required.entry(path.to_owned()).or_insert((node, *moment));
                    }
                    revealed |= *moment == Moment::Reveal;
                    due.ended = *moment == Moment::End;
                }
            }
            if at < start {
                continue;
            }
            outcome.instants += 1;
            let mut states = 0;
            let mut broken: Option<Broken> = None;
            media.crash(self.random, |state| {
                states += 1;
                if broken.is_some() {
                    return;
                }
                broken = late(state, &due, &media);
                broken = broken.take().or_else(|| self.broken(&media, state, &now, journal, revealed));
                if keep && broken.is_none() && self.is_new(state, &now) {
                    let name = format!("{} after event {at}, {model:?}", journal.name);
                    self.survivors.push((name, media.files(state), now.clone()));
                }
            });
            outcome.states += states;
            if let Some(Broken { promise, how }) = broken {
                outcome.broken = Some(format!("{}, {model:?}, after {}: {promise}: {how}", journal.name, told(event)));
                outcome.promise = Some(promise);
                return outcome;
            }
        }
        outcome
    }

    fn is_new(&mut self, state: &State, now: &Rc<Files>) -> bool {
        self.seen.insert((state.key(), Rc::as_ptr(now) as usize))
    }

    fn broken(
        &mut self,
        media: &Media,
        state: &State,
        now: &Rc<Files>,
        journal: &Journal,
        revealed: bool,
    ) -> Option<Broken> {
        let vault = self.vault;
        let tokens = self.looks.entry(Rc::as_ptr(now) as usize).or_insert_with(|| Rc::new(tokens(now, vault))).clone();
        let key = (state.key(), Rc::as_ptr(now) as usize, revealed);
        let Self { desk, verdicts, offered, judged, one_in, most, .. } = self;
        let verdict = verdicts.entry(key).or_insert_with(|| {
            *offered += 1;
            if !offered.is_multiple_of(*one_in) || judged >= most {
                return Vec::new();
            }
            *judged += 1;
            desk.broken(&media.files(state), &tokens, journal, revealed)
        });
        verdict.first().cloned()
    }
}

/// Only where names hold sizes a file is synced once more when it has its name.
fn as_done(journal: &Journal, model: Model) -> (Journal, Option<usize>) {
    journal.without(|why, _| model != Model::Fat && why == Sync::NamedContents)
}

/// What must be on the media by now, and what must not.
#[derive(Default)]
struct Due {
    /// Files by path, and since when.
    required: BTreeMap<String, (usize, Moment)>,
    removed: BTreeSet<String>,
    /// A file that was removed to make room for another, and that other, which has no name yet.
    replaced: Option<(String, usize, usize)>,
    /// The mark of the copy that is taken out of service, and all its files.
    withdrawn: Option<(String, Vec<(String, usize)>)>,
    /// The command is done.
    ended: bool,
}

fn withdrawn(journal: &Journal, media: &Media) -> Option<(String, Vec<(String, usize)>)> {
    let root = format!("{}/", journal.withdrawn?);
    let files = media.named().filter(|(path, _)| path.starts_with(&root));
    Some((format!("{root}copy.json"), files.map(|(path, node)| (path.to_owned(), node)).collect()))
}

/// What is not on the media though it must be by now, or is and must not be.
fn late(state: &State, due: &Due, media: &Media) -> Option<Broken> {
    if let Some(path) = state.torn() {
        return Some(Broken { promise: WHOLE, how: format!("{path} has other bytes") });
    }
    if let Some(path) = state.twice() {
        return Some(Broken { promise: ONCE, how: format!("two files are {path}") });
    }
    if let Some((path, old, new)) = &due.replaced
        && !state.has(path, *old)
        && !state.has(&format!("{path}.part"), *new)
    {
        return Some(Broken { promise: LAST, how: format!("{path} is gone, and what takes its place is not there") });
    }
    if let Some((mark, files)) = &due.withdrawn
        && state.names(mark)
        && let Some((path, _)) = files.iter().find(|(path, node)| !state.has(path, *node))
    {
        return Some(Broken { promise: VOUCHED, how: format!("{mark} is there, and {path} is not") });
    }
    let missing = due.required.iter().find(|(path, (node, _))| !state.has(path, *node));
    if let Some((path, (_, moment))) = missing {
        return Some(Broken { promise: DURABLE, how: format!("{path} is not there, since {moment:?}") });
    }
    let live: BTreeSet<&str> = media.live().collect();
    let back = due.removed.iter().find(|path| due.ended && !live.contains(path.as_str()) && state.names(path));
    back.map(|path| Broken { promise: GONE, how: format!("{path} stands there again") })
}

fn told(event: &Event) -> String {
    match event {
        Event::Change(Change::Append(path, bytes)) => format!("{} bytes to {path}", bytes.len()),
        Event::Change(change) => format!("{change:?}"),
        Event::At(moment) => format!("{moment:?}"),
        Event::Tokens(_) => "an APDU that changed a token".to_owned(),
    }
}

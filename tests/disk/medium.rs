//! Media that forget: what they may have kept of a recorded ceremony when the power failed.
//!
//! [`Model::Ordered`] is a journalling file system (ext4): names are kept in the order in which they were made, and any sync
//! keeps all names before it; the bytes of a file may be missing though its name is there. [`Model::Strict`] keeps of what
//! was not synced any part, in any order: all that POSIX promises. [`Model::Fat`] has no inodes: a name is written with size
//! 0, the size comes with the sync of the file under that name, and a rename is a new name and the end of the old one.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

use super::journal::{Change, Files};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Model {
    Ordered,
    Strict,
    Fat,
}

pub const MODELS: [Model; 3] = [Model::Ordered, Model::Strict, Model::Fat];

/// What stands where bytes were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lost {
    Nothing,
    Half,
    Zeros,
    Garbage,
}

const DIRECTORY: usize = usize::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Name {
    node: usize,
    /// The medium has the size beside the name.
    sized: bool,
}

#[derive(Debug, Clone)]
enum Effect {
    Add { path: String, node: usize },
    Move { from: String, to: String, node: usize },
    End { path: String, node: usize },
}

impl Effect {
    fn path(&self) -> &str {
        match self {
            Self::Add { path, .. } | Self::End { path, .. } => path,
            Self::Move { to, .. } => to,
        }
    }
}

struct Node {
    bytes: Vec<u8>,
    /// So many bytes are on the medium.
    synced: usize,
}

/// All media of a ceremony.
pub struct Media {
    model: Model,
    nodes: Vec<Node>,
    /// What a person sees who looks now.
    live: BTreeMap<String, usize>,
    /// What is there whatever happens.
    kept: BTreeMap<String, Name>,
    /// What may be there, in order.
    pending: Vec<Effect>,
}

/// What a crash leaves, as places in lists; hashes stand for files.
pub struct State {
    names: BTreeMap<String, (usize, Contents)>,
    directories: BTreeSet<String>,
    /// On FAT: a new file got a name from which another was not removed.
    twice: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Contents {
    Whole,
    Empty,
    Torn(Lost),
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn root(path: &str) -> &str {
    path.split('/').next().unwrap_or_default()
}

impl Media {
    /// Everything before is on the media.
    pub fn new(model: Model, before: &Files) -> Self {
        let mut media =
            Self { model, nodes: Vec::new(), live: BTreeMap::new(), kept: BTreeMap::new(), pending: Vec::new() };
        for (path, bytes) in before {
            let mut above = parent(path);
            while !above.is_empty() {
                media.live.insert(above.to_owned(), DIRECTORY);
                media.kept.insert(above.to_owned(), Name { node: DIRECTORY, sized: true });
                above = parent(above);
            }
            media.live.insert(path.clone(), media.nodes.len());
            media.kept.insert(path.clone(), Name { node: media.nodes.len(), sized: true });
            media.nodes.push(Node { bytes: bytes.clone(), synced: bytes.len() });
        }
        media
    }

    /// A change happens.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::MakeDirectory(path) => self.add(path, DIRECTORY),
            Change::Create(path) => {
                self.nodes.push(Node { bytes: Vec::new(), synced: 0 });
                self.add(path, self.nodes.len() - 1);
            }
            Change::Append(path, bytes) => self.nodes[self.live[path]].bytes.extend_from_slice(bytes),
            Change::Rename(from, to) => self.rename(from, to),
            Change::Remove(path) => {
                let node = self.live.remove(path).unwrap();
                self.pending.push(Effect::End { path: path.clone(), node });
            }
            Change::SyncFile(path, _) => self.sync_file(path),
            Change::SyncDirectory(path, _) => {
                let all = self.model == Model::Ordered;
                let here = |effect: &Effect| {
                    if all { root(effect.path()) == root(path) } else { parent(effect.path()) == path }
                };
                self.keep(here);
            }
        }
    }

    fn add(&mut self, path: &str, node: usize) {
        self.live.insert(path.to_owned(), node);
        self.pending.push(Effect::Add { path: path.to_owned(), node });
    }

    fn rename(&mut self, from: &str, to: &str) {
        let node = self.live.remove(from).unwrap();
        self.live.insert(to.to_owned(), node);
        if self.model == Model::Fat {
            self.pending.push(Effect::Add { path: to.to_owned(), node });
            self.pending.push(Effect::End { path: from.to_owned(), node });
        } else {
            self.pending.push(Effect::Move { from: from.to_owned(), to: to.to_owned(), node });
        }
    }

    fn sync_file(&mut self, path: &str) {
        let node = self.live[path];
        self.nodes[node].synced = self.nodes[node].bytes.len();
        match self.model {
            Model::Strict => {}
            Model::Ordered => self.keep(|effect| root(effect.path()) == root(path)),
            Model::Fat => {
                // The sector with the name is written with the size.
                self.keep(
                    |effect| matches!(effect, Effect::Add { path: added, node: of } if added == path && *of == node),
                );
                if let Some(name) = self.kept.get_mut(path) {
                    name.sized = true;
                }
            }
        }
    }

    fn keep(&mut self, pick: impl Fn(&Effect) -> bool) {
        let (now, later) = std::mem::take(&mut self.pending).into_iter().partition(pick);
        let now: Vec<Effect> = now;
        self.pending = later;
        now.iter().for_each(|effect| take_effect(&mut self.kept, effect, self.model));
    }

    /// Whatever is not synced, and so may be lost: names, bytes, and on FAT sizes.
    fn doubts(&self) -> Vec<Doubt> {
        let mut doubts: Vec<Doubt> = (0..self.pending.len()).map(Doubt::Name).collect();
        let known: BTreeSet<usize> = self.live.values().copied().filter(|node| *node != DIRECTORY).collect();
        doubts.extend(
            known
                .iter()
                .filter(|&&node| self.nodes[node].synced < self.nodes[node].bytes.len())
                .map(|&node| Doubt::Bytes(node)),
        );
        if self.model == Model::Fat {
            let unsized_kept = self.kept.iter().filter(|(_, name)| !name.sized && name.node != DIRECTORY);
            let unsized_pending = self.pending.iter().filter_map(|effect| match effect {
                Effect::Add { path, node } if *node != DIRECTORY => Some(path),
                _ => None,
            });
            let mut paths: Vec<String> = unsized_kept.map(|(path, _)| path).chain(unsized_pending).cloned().collect();
            paths.sort();
            paths.dedup();
            doubts.extend(paths.into_iter().map(Doubt::Size));
        }
        doubts
    }

    /// Calls `judge` with each state that a crash now may leave: every way where few things are in doubt; where many are,
    /// nothing kept, all kept, all but one, one alone, each medium for itself, and `random` more.
    pub fn crash(&self, random: usize, mut judge: impl FnMut(&State)) {
        let doubts = self.doubts();
        let mut patterns: Vec<Vec<bool>> = Vec::new();
        let many = doubts.len();
        if many <= 5 {
            patterns.extend((0..1_u32 << many).map(|bits| (0..many).map(|bit| bits >> bit & 1 == 1).collect()));
        } else {
            patterns.extend([vec![false; many], vec![true; many]]);
            for one in 0..many {
                patterns.push((0..many).map(|at| at == one).collect());
                patterns.push((0..many).map(|at| at != one).collect());
            }
            for kept in ["vault", "copy"] {
                patterns.push(doubts.iter().map(|doubt| self.root_of(doubt) == kept).collect());
            }
            let mut seed = 0x9e37_79b9_7f4a_7c15_u64 ^ many as u64;
            for _ in 0..random {
                patterns.push(doubts.iter().map(|_| chance(&mut seed)).collect());
            }
        }
        for pattern in patterns {
            let torn = doubts.iter().zip(&pattern).any(|(doubt, kept)| matches!(doubt, Doubt::Bytes(_)) && !kept);
            let ways: &[Lost] =
                if torn { &[Lost::Nothing, Lost::Half, Lost::Zeros, Lost::Garbage] } else { &[Lost::Nothing] };
            for lost in ways {
                judge(&self.left(&doubts, &pattern, *lost));
            }
        }
    }

    fn root_of<'a>(&'a self, doubt: &'a Doubt) -> &'a str {
        match doubt {
            Doubt::Name(at) => root(self.pending[*at].path()),
            Doubt::Size(path) => root(path),
            Doubt::Bytes(node) => self.live.iter().find(|(_, of)| *of == node).map_or("", |(path, _)| root(path)),
        }
    }

    fn left(&self, doubts: &[Doubt], kept: &[bool], lost: Lost) -> State {
        let mut names = self.kept.clone();
        let mut ended: Vec<&str> = Vec::new();
        let mut stays: Vec<(&str, usize)> = Vec::new();
        for (doubt, kept) in doubts.iter().zip(kept) {
            let Doubt::Name(at) = doubt else { continue };
            let effect = &self.pending[*at];
            if self.model == Model::Ordered {
                // What comes after a name that is lost is lost too.
                if !kept {
                    ended.push(root(effect.path()));
                }
                if ended.contains(&root(effect.path())) {
                    continue;
                }
            }
            match effect {
                _ if *kept => take_effect(&mut names, effect, self.model),
                Effect::End { path, node } => stays.push((path, *node)),
                _ => {}
            }
        }
        let stays_beside = |(path, node): &&(&str, usize)| names.get(*path).is_some_and(|name| name.node != *node);
        let twice = stays.iter().filter(|_| self.model == Model::Fat).find(stays_beside).map(|(path, _)| *path);
        let twice = twice.filter(|path| !path.ends_with(".part")).map(str::to_owned);
        let mut torn = Vec::new();
        for (doubt, kept) in doubts.iter().zip(kept) {
            match doubt {
                Doubt::Size(path) if *kept => {
                    if let Some(name) = names.get_mut(path) {
                        name.sized = true;
                    }
                }
                Doubt::Bytes(node) if !kept => torn.push(*node),
                _ => {}
            }
        }
        let mut left = BTreeMap::new();
        // A name in a directory that is not there is not there.
        for (path, name) in names.iter().filter(|(path, name)| name.node != DIRECTORY && self.reaches(&names, path)) {
            let contents = match (name.sized, torn.contains(&name.node)) {
                (false, _) => Contents::Empty,
                (true, true) => Contents::Torn(lost),
                (true, false) => Contents::Whole,
            };
            left.insert(path.clone(), (name.node, contents));
        }
        let directories = names.iter().filter(|(path, name)| name.node == DIRECTORY && self.reaches(&names, path));
        let directories = directories.map(|(path, _)| path.clone()).collect();
        State { names: left, directories, twice }
    }

    fn reaches(&self, names: &BTreeMap<String, Name>, path: &str) -> bool {
        let mut above = parent(path);
        while !above.is_empty() {
            if names.get(above).is_none_or(|name| name.node != DIRECTORY) {
                return false;
            }
            above = parent(above);
        }
        true
    }

    /// Every file and directory as a person sees them now.
    pub fn live(&self) -> impl Iterator<Item = &str> {
        self.live.keys().map(String::as_str)
    }

    /// The files that have their names now, by path.
    pub fn named(&self) -> impl Iterator<Item = (&str, usize)> {
        let files = self.live.iter().filter(|(path, node)| **node != DIRECTORY && !path.ends_with(".part"));
        files.map(|(path, node)| (path.as_str(), *node))
    }

    /// The file that is being written to take the place of this one, which has bytes and goes now: both by number.
    pub fn replacement(&self, path: &str) -> Option<(usize, usize)> {
        let old = *self.live.get(path).filter(|old| **old != DIRECTORY && !self.nodes[**old].bytes.is_empty())?;
        Some((old, *self.live.get(&format!("{path}.part"))?))
    }

    /// Every file as a person sees it now.
    pub fn seen(&self) -> Files {
        let files = self.live.iter().filter(|(_, node)| **node != DIRECTORY);
        files.map(|(path, node)| (path.clone(), self.nodes[*node].bytes.clone())).collect()
    }

    fn bytes(&self, node: usize, contents: Contents) -> Vec<u8> {
        let Node { bytes, synced } = &self.nodes[node];
        let tail = &bytes[*synced..];
        match contents {
            Contents::Whole => bytes.clone(),
            Contents::Empty => Vec::new(),
            Contents::Torn(lost) => {
                let tail: Vec<u8> = match lost {
                    Lost::Nothing => Vec::new(),
                    Lost::Half => tail[..tail.len() / 2].to_vec(),
                    Lost::Zeros => vec![0; tail.len()],
                    Lost::Garbage => tail.iter().map(|byte| byte.rotate_left(3) ^ 0x5a).collect(),
                };
                [&bytes[..*synced], &tail].concat()
            }
        }
    }

    /// What stands on the media in that state.
    pub fn files(&self, state: &State) -> Files {
        state.names.iter().map(|(path, (node, contents))| (path.clone(), self.bytes(*node, *contents))).collect()
    }
}

#[derive(Debug)]
enum Doubt {
    Name(usize),
    Bytes(usize),
    Size(String),
}

impl State {
    /// The whole file stands under its name.
    pub fn has(&self, path: &str, node: usize) -> bool {
        self.names.get(path) == Some(&(node, Contents::Whole))
    }

    /// A file that has its name, and neither its bytes nor none.
    pub fn torn(&self) -> Option<&str> {
        let torn = |contents: &Contents| matches!(contents, Contents::Torn(lost) if *lost != Lost::Nothing);
        let mut named = self.names.iter().filter(|(path, _)| !path.ends_with(".part"));
        named.find(|(_, (_, contents))| torn(contents)).map(|(path, _)| path.as_str())
    }

    /// A file or a directory stands under that name.
    pub fn names(&self, path: &str) -> bool {
        self.names.contains_key(path) || self.directories.contains(path)
    }

    /// A name under which two files stand.
    pub fn twice(&self) -> Option<&str> {
        self.twice.as_deref()
    }

    /// Equal for equal states; what was never finished does not count.
    pub fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (path, contents) in self.names.iter().filter(|(path, _)| !path.ends_with(".part")) {
            (path, contents).hash(&mut hasher);
        }
        hasher.finish()
    }
}

fn take_effect(names: &mut BTreeMap<String, Name>, effect: &Effect, model: Model) {
    let end = |names: &mut BTreeMap<String, Name>, path: &str, node: usize| {
        if names.get(path).is_some_and(|name| name.node == node) {
            names.remove(path);
        }
    };
    match effect {
        Effect::Add { path, node } => {
            let sized = model != Model::Fat || *node == DIRECTORY;
            names.insert(path.clone(), Name { node: *node, sized });
        }
        Effect::Move { from, to, node } => {
            end(names, from, *node);
            names.insert(to.clone(), Name { node: *node, sized: true });
        }
        Effect::End { path, node } => end(names, path, *node),
    }
}

/// A fair coin (xorshift), the same in every run.
fn chance(seed: &mut u64) -> bool {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed & 1 == 1
}

//! All copies of a vault together: which there are, and which of them are written to.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use super::copy::Copy;
use super::disk::Directory;
use super::layout::{COPY, VAULT};
use super::medium::Medium;
use super::{VaultError, read};
use crate::encoding::{Digest, Nonce16};
use crate::transcript::{CopyMark, CopyView, Judgement, Place, Snapshot};

mod files;

/// The copies of one vault that can be read.
#[derive(Debug)]
pub struct Copies {
    pub(super) copies: Vec<Copy>,
    unavailable: Vec<Unavailable>,
    foreign: Vec<PathBuf>,
    ids: Vec<Option<Nonce16>>,
    /// Those that are not written to: a plan names every copy that may get its COMMIT, and these it does not name. Of those with
    /// one mark the first that is not among them is written to, and no other.
    aside: Vec<Cell<Option<Aside>>>,
    vault: Digest,
}

/// Why a copy is not written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aside {
    /// It could not be written when it was opened.
    ReadOnly,
    /// It has too little room.
    Full,
    /// It did not take the plan of a ceremony.
    Failed,
}

/// A copy that was asked for and cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    /// Its path.
    pub path: PathBuf,
    /// Why, as a sentence.
    pub why: String,
}

/// Why something did not work on one copy.
#[derive(Debug)]
pub struct Failure {
    /// Path of the copy.
    pub copy: PathBuf,
    /// Why.
    pub error: VaultError,
}

/// Where a file stands after it was written.
#[derive(Debug)]
#[must_use = "a file may stand on too few copies"]
pub struct Written {
    /// Path in the copies.
    pub file: String,
    /// The copies on which it stands and was read back.
    pub on: Vec<PathBuf>,
    /// Ids of these copies.
    pub ids: Vec<Nonce16>,
    /// The copies on which it does not.
    pub failures: Vec<Failure>,
}

impl Written {
    /// Insists on a number of copies; returns the failures on the others.
    ///
    /// # Errors
    /// [`VaultError::TooFewCopies`].
    pub fn require(self, expected: usize) -> Result<Vec<Failure>, VaultError> {
        if self.on.len() < expected {
            let Self { file, on, failures, .. } = self;
            return Err(VaultError::TooFewCopies { file, expected, actual: on.len(), failures });
        }
        Ok(self.failures)
    }
}

/// What becomes of a file that has the name of one that is to be written, and other bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is as good as the new one: nothing is written.
    Stays,
    /// It is not overwritten: that is a failure.
    Refuses,
    /// It is damaged or was never finished, and is replaced.
    GivesWay,
}

/// Keeps other processes off the copies until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _directories: Vec<Directory>,
}

impl Copies {
    /// Opens the copies at these paths; if only one is given, also those that its policy lists as `media`. A copy that
    /// cannot be read, or that is of another vault, is set aside and named.
    ///
    /// # Errors
    /// [`VaultError`] if none is left.
    pub fn open(paths: &[PathBuf]) -> Result<Self, VaultError> {
        let mut wanted: Vec<PathBuf> = paths.to_vec();
        if let [only] = paths {
            wanted.extend(media(only));
        }
        let mut tried = Vec::new();
        let (mut copies, mut views): (Vec<Copy>, Vec<_>) = (Vec::new(), Vec::new());
        for (place, path) in wanted.iter().enumerate() {
            let opened = Copy::open(path).and_then(|copy| read::view(&copy).map(|view| (copy, view)));
            let (copy, view) = match opened {
                Ok(opened) => opened,
                Err(error) => {
                    tried.push(Failure { copy: path.clone(), error });
                    continue;
                }
            };
            if let Some(other) = copies.iter().find(|other| other.is_same(&copy)) {
                if place < paths.len() {
                    return Err(VaultError::Same { first: other.path().to_owned(), second: path.clone() });
                }
                continue;
            }
            if !view.files.contains_key(VAULT) && !view.files.contains_key(COPY) {
                tried.push(Failure { copy: path.clone(), error: VaultError::NoVault { copy: path.clone() } });
                continue;
            }
            copies.push(copy);
            views.push(view);
        }
        if copies.is_empty() {
            return Err(VaultError::NoCopy { tried });
        }
        let snapshot = Snapshot::new(views)?;
        let named = |path: &Path| path.display().to_string();
        let (copies, foreign): (Vec<_>, Vec<_>) =
            copies.into_iter().partition(|copy| !snapshot.foreign.contains(&named(copy.path())));
        let marks = snapshot.copies.iter().map(CopyView::mark).collect();
        let unavailable = tried.into_iter().map(|f| Unavailable { path: f.copy, why: f.error.to_string() }).collect();
        let foreign = foreign.iter().map(|copy| copy.path().to_owned()).collect();
        let (ids, aside) = (Vec::new(), Vec::new());
        let mut copies = Self { copies, unavailable, foreign, ids, aside, vault: snapshot.vault };
        copies.learn(marks);
        Ok(copies)
    }

    /// Which of them are written to, by these marks.
    fn learn(&mut self, marks: Vec<Option<CopyMark>>) {
        let good = |mark: Option<CopyMark>| mark.filter(|mark| mark.vault == self.vault).map(|mark| mark.id);
        self.ids = marks.into_iter().map(good).collect();
        let aside = |copy: &Copy| Cell::new((!copy.is_writable()).then_some(Aside::ReadOnly));
        self.aside = self.copies.iter().map(aside).collect();
    }

    /// Reads all of them anew.
    ///
    /// # Errors
    /// [`VaultError`] if none can be read any more.
    pub fn snapshot(&self) -> Result<Snapshot, VaultError> {
        let mut tried = Vec::new();
        let mut views = Vec::new();
        for copy in &self.copies {
            match read::view(copy) {
                Ok(view) => views.push(view),
                Err(error) => tried.push(Failure { copy: copy.path().to_owned(), error }),
            }
        }
        if views.is_empty() {
            return Err(VaultError::NoCopy { tried });
        }
        let mut snapshot = Snapshot::new(views)?;
        snapshot.foreign.extend(self.foreign.iter().map(|path| path.display().to_string()));
        Ok(snapshot)
    }

    /// The vault id.
    pub fn vault(&self) -> Digest {
        self.vault
    }

    /// Where they are.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.copies.iter().map(|copy| copy.path().to_owned()).collect()
    }

    /// Ids of those that have a good mark, sorted, as a plan lists them.
    pub fn ids(&self) -> Vec<Nonce16> {
        let mut ids: Vec<Nonce16> = self.ids.iter().flatten().copied().collect();
        ids.sort();
        ids.dedup();
        ids
    }

    /// Those that could not be read, and why.
    pub fn unavailable(&self) -> &[Unavailable] {
        &self.unavailable
    }

    /// Those that are of another vault.
    pub fn foreign(&self) -> &[PathBuf] {
        &self.foreign
    }

    /// What the copies are on, for preflight.
    pub fn media(&self) -> Vec<Medium> {
        let medium = |(copy, aside): (&Copy, &Cell<Option<Aside>>)| Medium {
            writable: !matches!(aside.get(), Some(Aside::ReadOnly | Aside::Failed)),
            full: aside.get() == Some(Aside::Full),
            ..Medium::of(copy)
        };
        self.copies.iter().zip(&self.aside).map(medium).collect()
    }

    /// From now on nothing is written to copies that have no room for a generation like the current one, so that a ceremony
    /// does not find out after its commit.
    pub fn set_full_ones_aside(&self, snapshot: &Snapshot, judgement: &Judgement) {
        let sizes = next_generation(snapshot, judgement);
        for (copy, aside) in self.copies.iter().zip(&self.aside) {
            if aside.get().is_none() && !sizes.is_empty() && !Medium::of(copy).has_room(&sizes) {
                aside.set(Some(Aside::Full));
            }
        }
    }

    /// From now on nothing is written to the copies that did not take the plan of a ceremony, so that another plan can leave
    /// them out. Another copy with the mark of such a one is written to in its place: only a plan that did not stand where it
    /// should names the id, and no token is touched for that. Returns those failures that were news: where nothing was written
    /// anyway, that is known.
    pub fn set_aside<'f>(&self, failures: &'f [Failure]) -> Vec<&'f Failure> {
        // All at once: what is written to in the place of a copy that is set aside has not failed.
        let written_to = self.written_to();
        let is_news = |failure: &&Failure| written_to.iter().any(|(path, _)| *path == failure.copy);
        let failures: Vec<&Failure> = failures.iter().filter(is_news).collect();
        for (copy, aside) in self.copies.iter().zip(&self.aside) {
            if failures.iter().any(|failure| failure.copy == copy.path()) {
                aside.set(Some(Aside::Failed));
            }
        }
        failures
    }

    /// Those that have the mark of another one and are not written to, with the one that is written to, or else the first of
    /// them.
    pub fn twins(&self) -> Vec<(&Path, &Path)> {
        let twin = |place: usize| {
            let id = self.ids[place]?;
            let first = self.ids.iter().position(|other| *other == Some(id));
            let kept = self.keeps(id).or(first).filter(|kept| *kept != place)?;
            Some((self.copies[place].path(), self.copies[kept].path()))
        };
        (0..self.copies.len()).filter_map(twin).collect()
    }

    /// Those that are written to, with their ids.
    pub fn written_to(&self) -> Vec<(&Path, Nonce16)> {
        let written = |place: usize| Some((self.copies[place].path(), self.writable(place).ok()?));
        (0..self.copies.len()).filter_map(written).collect()
    }

    /// Those without a good mark: nothing is written to them.
    pub fn unmarked(&self) -> Vec<&Path> {
        let copies = self.copies.iter().zip(&self.ids).filter(|(_, id)| id.is_none());
        copies.map(|(copy, _)| copy.path()).collect()
    }

    /// Takes all copies for this process. Another may have changed them since they were opened: their marks are read once
    /// more, and whether they can be written.
    ///
    /// # Errors
    /// [`VaultError::InUse`] if another process has one of them.
    pub fn lock(&mut self) -> Result<Lock, VaultError> {
        let mut directories = Vec::new();
        // In one order, in whatever order they were named: of several who want the same copies, one gets them.
        let mut copies: Vec<&Copy> = self.copies.iter().collect();
        copies.sort_by_key(|copy| copy.identity());
        for copy in copies {
            directories.extend(copy.lock()?);
        }
        let marks = self.copies.iter().map(read::mark).collect();
        self.learn(marks);
        Ok(Lock { _directories: directories })
    }

    /// The id of a copy that may be written to. Only a copy with a good mark is: anything else may be a directory that a
    /// medium is not mounted on.
    fn writable(&self, place: usize) -> Result<Nonce16, VaultError> {
        let copy = self.copies[place].path();
        match (self.ids[place], self.aside[place].get()) {
            (None, _) => Err(VaultError::Unmarked { copy: copy.to_owned() }),
            (Some(_), Some(aside)) => Err(VaultError::SetAside { copy: copy.to_owned(), full: aside == Aside::Full }),
            (Some(id), None) if self.keeps(id) != Some(place) => Err(VaultError::Twin { copy: copy.to_owned() }),
            (Some(id), None) => Ok(id),
        }
    }

    /// Of the copies with this id the one that may be written to: a plan cannot name another one beside it.
    fn keeps(&self, id: Nonce16) -> Option<usize> {
        (0..self.copies.len()).find(|place| self.ids[*place] == Some(id) && self.aside[*place].get().is_none())
    }
}

/// Sizes, in bytes, of the files of a generation like the current one, with what waits in the inbox.
fn next_generation(snapshot: &Snapshot, judgement: &Judgement) -> Vec<u64> {
    let Ok(current) = judgement.current() else { return Vec::new() };
    let Some(view) = current.complete_but_lost_on.first().and_then(|place| snapshot.copies.get(*place)) else {
        return Vec::new();
    };
    let place = current.complete_but_lost_on[0];
    let counts = |path: &str| match Place::of(path) {
        Place::Generation(directory, _) => judgement.ceremony_in(place, directory) == Some(current.ceremony),
        Place::Inbox(_) => true,
        _ => false,
    };
    view.files.iter().filter(|(path, _)| counts(path)).map(|(_, content)| content.size()).collect()
}

/// The copies that the policy on this copy lists, relative to its directory. The policy is not verified yet: what is at
/// these paths is only read, and set aside unless it is of the same vault.
fn media(path: &Path) -> Vec<PathBuf> {
    let policy = Copy::open(path).ok().and_then(|copy| copy.file("policy.toml").ok().flatten());
    let bytes = policy.and_then(|mut file| read::bounded(&mut file, 1 << 20).ok().flatten());
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let table: toml::Table = text.parse().unwrap_or_default();
    let media = table.get("media").and_then(|media| media.as_array()).cloned().unwrap_or_default();
    media.iter().filter_map(|medium| medium.as_str()).map(|medium| path.join(medium)).collect()
}

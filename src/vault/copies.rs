//! All copies of a vault together.

use std::cell::Cell;
use std::fs::File;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use super::copy::Copy;
use super::disk::Directory;
use super::layout::{COPY, VAULT};
use super::medium::Medium;
use super::write::{self, Part};
use super::{VaultError, read};
use crate::encoding::{Digest, Nonce16};
use crate::transcript::{CopyMark, CopyView, Judgement, Place, Snapshot};

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

    pub(super) fn each(&self, file: String, mut act: impl FnMut(&Copy) -> Result<(), VaultError>) -> Written {
        let mut written = Written { file, on: Vec::new(), ids: Vec::new(), failures: Vec::new() };
        for (place, copy) in self.copies.iter().enumerate() {
            match self.writable(place).and_then(|id| act(copy).map(|()| id)) {
                Ok(id) => {
                    written.on.push(copy.path().to_owned());
                    written.ids.push(id);
                }
                Err(error) => written.failures.push(Failure { copy: copy.path().to_owned(), error }),
            }
        }
        written
    }

    /// Writes a new file on every copy. Where exactly these bytes stand already, that counts as written.
    ///
    /// # Errors
    /// [`VaultError::Path`] if it is not a path of a vault. What fails on single copies is in [`Written::failures`].
    pub fn write_new(&self, relative: &Path, bytes: &[u8]) -> Result<Written, VaultError> {
        let file = vault_path(relative)?;
        Ok(self.each(file.clone(), |copy| write::write_new(copy, &file, bytes)))
    }

    /// Like [`Self::write_new`], with a path for each copy, for one ceremony may stand in directories of different names, and with
    /// what becomes of other bytes that stand there.
    ///
    /// # Errors
    /// As [`Self::write_new`].
    pub fn write_new_each(
        &self,
        path: impl Fn(&Path) -> PathBuf,
        bytes: &[u8],
        standing: impl Fn(&Path) -> Standing,
    ) -> Result<Written, VaultError> {
        let mut files = Vec::with_capacity(self.copies.len());
        for copy in &self.copies {
            files.push((copy.path(), vault_path(&path(copy.path()))?));
        }
        let file = files.first().map(|(_, file)| file.clone()).unwrap_or_default();
        Ok(self.each(file, |copy| match files.iter().find(|(path, _)| *path == copy.path()) {
            Some((_, file)) => match standing(copy.path()) {
                Standing::Stays => Ok(()),
                Standing::Refuses => write::write_new(copy, file, bytes),
                Standing::GivesWay => write::write_instead(copy, file, bytes),
            },
            None => Err(VaultError::Changed),
        }))
    }

    /// Writes a new file in constant memory: on the first copy that takes it, and from there to the others. `fill` is
    /// called again, from its beginning, where a medium fails while it is written.
    ///
    /// # Errors
    /// Whatever `fill` returns by itself; [`VaultError`] if no copy takes the file.
    pub fn write_stream<E: From<VaultError>>(
        &self,
        relative: &Path,
        mut fill: impl FnMut(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(Digest, Written), E> {
        let file = vault_path(relative)?;
        let mut failures = Vec::new();
        for (place, copy) in self.copies.iter().enumerate() {
            let streamed = match self.writable(place) {
                Ok(_) => stream(copy, &file, &mut fill)?,
                Err(error) => Err(error),
            };
            match streamed {
                Err(error) => failures.push(Failure { copy: copy.path().to_owned(), error }),
                Ok(digest) => {
                    let earlier: Vec<PathBuf> = failures.iter().map(|failure| failure.copy.clone()).collect();
                    let mut written = self.each(file.clone(), |other| {
                        if std::ptr::eq(other, &self.copies[place]) {
                            return Ok(());
                        }
                        write::copy_file((copy, &file), (other, &file), digest)
                    });
                    // The reason why it failed first says more than the one at the second attempt.
                    written.failures.retain(|failure| !earlier.contains(&failure.copy));
                    failures.retain(|failure| !written.on.contains(&failure.copy));
                    written.failures.append(&mut failures);
                    return Ok((digest, written));
                }
            }
        }
        Err(VaultError::TooFewCopies { file, expected: 1, actual: 0, failures }.into())
    }

    /// Opens a file on any copy on which its digest is this one; a file of a generation also where that generation has a
    /// directory of another name on a copy (`docs/format.md`, section 2).
    ///
    /// # Errors
    /// [`VaultError::Missing`].
    pub fn open_file(&self, relative: &Path, digest: Digest) -> Result<File, VaultError> {
        let file = vault_path(relative)?;
        let is_it = |mut found: File| {
            let same = read::digest_of(&found).is_ok_and(|found| found == digest);
            (same && found.rewind().is_ok()).then_some(found)
        };
        let at = |copy: &Copy, path: &str| copy.file(path).ok().flatten().and_then(is_it);
        let found = self.copies.iter().find_map(|copy| at(copy, &file));
        let elsewhere = || {
            self.copies.iter().find_map(|copy| read::same_number(copy, &file).iter().find_map(|path| at(copy, path)))
        };
        found.or_else(elsewhere).ok_or(VaultError::Missing { file, digest })
    }

    /// Reads a file of at most `limit` bytes from any copy on which its digest is this one.
    ///
    /// # Errors
    /// [`VaultError::Missing`].
    pub fn read_file(&self, relative: &Path, digest: Digest, limit: usize) -> Result<Vec<u8>, VaultError> {
        let mut file = self.open_file(relative, digest)?;
        let bytes = read::bounded(&mut file, limit).ok().flatten().filter(|bytes| Digest::of(bytes) == digest);
        bytes.ok_or_else(|| VaultError::Missing { file: relative.display().to_string(), digest })
    }

    /// Removes a sealed, inbox or unfinished file from every copy; documents are for ever.
    ///
    /// # Errors
    /// [`VaultError::Path`] for any other file. What fails on single copies is in [`Written::failures`].
    pub fn remove(&self, relative: &Path) -> Result<Written, VaultError> {
        let file = text(relative)?;
        let place = Place::of(&file);
        if !place.is_sealed() && place != Place::Part {
            return Err(VaultError::Path { file });
        }
        Ok(self.each(file.clone(), |copy| write::remove(copy, &file).map(drop)))
    }
}

impl Copies {
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

    /// Like [`Self::remove`], on the one copy with this path.
    pub(super) fn remove_on(&self, path: &str, relative: &Path) -> Result<Result<(), Failure>, VaultError> {
        let file = text(relative)?;
        if !Place::of(&file).is_sealed() {
            return Err(VaultError::Path { file });
        }
        let copy = self.copies.iter().find(|copy| copy.path().display().to_string() == path);
        let failure = |copy: &Copy, error| Failure { copy: copy.path().to_owned(), error };
        Ok(copy.map_or(Ok(()), |copy| write::remove(copy, &file).map(drop).map_err(|error| failure(copy, error))))
    }
}

/// One attempt at [`Copies::write_stream`]: the outer error is that of `fill`, the inner that of the medium.
fn stream<E: From<VaultError>>(
    copy: &Copy,
    file: &str,
    fill: &mut impl FnMut(&mut dyn Write) -> Result<(), E>,
) -> Result<Result<Digest, VaultError>, E> {
    match write::read_back(copy, file) {
        Ok(None) => {}
        Ok(Some(_)) => {
            return Ok(Err(VaultError::Conflict { copy: copy.path().to_owned(), file: file.to_owned() }));
        }
        Err(error) => return Ok(Err(error)),
    }
    let mut part = match Part::begin(copy, file) {
        Ok(part) => part,
        Err(error) => return Ok(Err(error)),
    };
    match fill(&mut part) {
        Ok(()) => match part.failure() {
            None => Ok(part.finish()),
            Some(failure) => {
                part.give_up();
                Ok(Err(failure))
            }
        },
        Err(error) => {
            let failure = part.failure();
            part.give_up();
            failure.map_or(Err(error), |failure| Ok(Err(failure)))
        }
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

fn text(relative: &Path) -> Result<String, VaultError> {
    let text = relative.to_str().filter(|text| !text.split('/').any(|c| matches!(c, "" | "." | "..")));
    text.map(str::to_owned).ok_or_else(|| VaultError::Path { file: relative.display().to_string() })
}

/// A path that a file of a vault can have.
pub(super) fn vault_path(relative: &Path) -> Result<String, VaultError> {
    let text = text(relative)?;
    match Place::of(&text) {
        Place::Part | Place::Unknown => Err(VaultError::Path { file: text }),
        _ => Ok(text),
    }
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

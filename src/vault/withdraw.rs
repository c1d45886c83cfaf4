//! Takes a copy out of service.
//!
//! The mark goes first: a copy from which files are gone must not vouch for anything. With the mark a directory says "this
//! ceremony has no COMMIT here"; when COMMIT was removed a moment before, that is a lie on which others would abandon what
//! was committed. The founding body goes last, so that an interrupted removal is recognised and finished.

use std::path::{Path, PathBuf};

use super::VaultError;
use super::copies::Copies;
use super::layout::{COPY, VAULT};
use super::merge::not_right_on;
use super::repair::{faulty, is_right_elsewhere};
use super::{read, write};
use crate::transcript::{Judgement, Place, Snapshot, Stage, serves_alone};

/// How many files an error names.
const NAMED: usize = 3;

/// A copy that may be taken out of service, if people want that in spite of these.
#[derive(Debug)]
pub struct Withdrawal {
    /// The copy.
    pub path: PathBuf,
    /// How many copies that each alone would do are left.
    pub left: usize,
    /// Numbers of the ceremonies that were begun on it and never committed: without it they can be recorded as abandoned
    /// by an exception only.
    pub begun: Vec<u64>,
    /// Damaged files that no other copy has right.
    pub damaged: Vec<String>,
    place: usize,
    files: Vec<String>,
    /// What is not of a vault, and stays.
    pub strangers: Vec<String>,
}

/// Looks at what taking `copy` out of service would mean.
///
/// # Errors
/// [`VaultError::NoVault`] if it is not among the copies that can be read; [`VaultError::LastCopy`];
/// [`VaultError::OnlyThere`].
pub fn consider(copies: &Copies, copy: &Path) -> Result<Withdrawal, VaultError> {
    let (snapshot, judgement) = copies.judged()?;
    let place = copies.paths().iter().position(|path| path == copy);
    let place = place.ok_or_else(|| VaultError::NoVault { copy: copy.to_owned() })?;
    let others: Vec<usize> = others(&snapshot, place);
    let left = others.iter().filter(|other| serves_alone(&snapshot, **other, &judgement)).count();
    if left == 0 {
        return Err(VaultError::LastCopy { copy: copy.to_owned() });
    }
    let mut only_there = not_right_on(&snapshot, &judgement, place, others[0]);
    for other in &others[1..] {
        let lacks = not_right_on(&snapshot, &judgement, place, *other);
        only_there.retain(|file| lacks.contains(file));
    }
    // What would say whether a ceremony was committed is damaged there: the copy may be all that opens it.
    let unfinished = judgement.unfinished.iter().filter(|ceremony| ceremony.stage != Stage::Committed);
    let hidden = unfinished.filter(|ceremony| judgement.may_hide_a_commit(place, &ceremony.id));
    let nowhere_else = |id| others.iter().all(|other| judgement.directory_of(*other, id).is_none());
    let hidden = hidden.filter(|ceremony| nowhere_else(&ceremony.id));
    let directories = hidden.filter_map(|ceremony| judgement.directory_of(place, &ceremony.id));
    only_there.extend(directories.map(|directory| format!("generations/{directory}/COMMIT")));
    if !only_there.is_empty() {
        let files = only_there.into_iter().take(NAMED).collect();
        return Err(VaultError::OnlyThere { copy: copy.to_owned(), files });
    }
    let damaged = faulty(&snapshot, &judgement, place)
        .into_iter()
        .filter(|file| !matches!(Place::of(file), Place::CopyMark | Place::Unknown))
        .filter(|file| !is_right_elsewhere(&snapshot, &judgement, place, file))
        .map(str::to_owned)
        .collect();
    let view = &snapshot.copies[place];
    let (files, mut strangers): (Vec<String>, Vec<String>) = view.files.keys().cloned().partition(|file| is_ours(file));
    let unread = view.unread.iter().map(|unread| unread.file.clone());
    let (unread, strange): (Vec<String>, Vec<String>) = unread.partition(|file| is_ours(file));
    strangers.extend(strange);
    let files = files.into_iter().chain(unread).collect();
    let begun = begun(&snapshot, &judgement, place);
    Ok(Withdrawal { path: copy.to_owned(), left, begun, damaged, place, files, strangers })
}

impl Withdrawal {
    /// Removes the files of the copy, and its directories if nothing else is in them. The directory itself stays.
    ///
    /// # Errors
    /// [`VaultError`]; from the first removed file on the directory does not count as a copy any more.
    pub fn carry_out(mut self, copies: &Copies) -> Result<(), VaultError> {
        let copy = &copies.copies[self.place];
        write::remove(copy, COPY)?;
        self.files.sort_by_key(|file| order(file));
        for file in self.files.iter().filter(|file| !matches!(file.as_str(), COPY | VAULT)) {
            write::remove(copy, file)?;
        }
        for directory in read::directories(copy)? {
            write::remove_directory(copy, &directory)?;
        }
        write::remove(copy, VAULT).map(drop)
    }
}

/// The other copies that count, each id once.
fn others(snapshot: &Snapshot, place: usize) -> Vec<usize> {
    let mut ids = Vec::new();
    let mut others = Vec::new();
    for (other, view) in snapshot.copies.iter().enumerate().filter(|(other, _)| *other != place) {
        if let Some(mark) = view.mark().filter(|mark| mark.vault == snapshot.vault && !ids.contains(&mark.id)) {
            ids.push(mark.id);
            others.push(other);
        }
    }
    others
}

fn begun(snapshot: &Snapshot, judgement: &Judgement, place: usize) -> Vec<u64> {
    let Some(id) = judgement.copies[place].id else { return Vec::new() };
    let stays = judgement.copies.iter().enumerate().any(|(other, copy)| other != place && copy.id == Some(id));
    debug_assert_eq!(snapshot.copies.len(), judgement.copies.len());
    let unfinished = judgement.unfinished.iter().filter(|ceremony| ceremony.stage != Stage::Committed);
    let begun = unfinished.filter(|ceremony| !stays && ceremony.plan.copies.contains(&id));
    begun.map(|ceremony| ceremony.number).collect()
}

/// Whether the file is one that this program makes, or began.
fn is_ours(file: &str) -> bool {
    Place::of(file.strip_suffix(".part").unwrap_or(file)) != Place::Unknown
}

/// Sealed files first: they are what a copy is taken out of service for.
fn order(file: &str) -> u8 {
    let place = Place::of(file);
    match place {
        place if place.is_sealed() => 0,
        Place::Generation(..) => 1,
        Place::Policy => 3,
        _ => 2,
    }
}

//! Brings copies up to date: what they lack is added, what is damaged repaired, what nobody needs removed.
//!
//! The verdict comes first: nothing that it finds fault with is spread, nothing is replaced without right bytes elsewhere,
//! and a fork stays a fork. A power cut anywhere leaves copies that serve as before; the next run finishes.

use std::path::{Path, PathBuf};

use super::copies::{Copies, Lock};
use super::mark::{self, Unmarked};
use super::merge::Merged;
use super::repair::Repair;
use super::write;
use super::{VaultError, cleanup};
use crate::transcript::{Finding, Judgement, Place, Severity, Snapshot};

/// Repairing a document can show that more is missing or wrong, seldom more than once.
const ROUNDS: usize = 4;

/// What became of the copies.
#[derive(Debug)]
pub struct Synced {
    /// One for each copy, in the order in which they were given.
    pub copies: Vec<SyncedCopy>,
    /// The verdict afterwards.
    pub judgement: Judgement,
}

/// What became of one copy.
#[derive(Debug)]
pub struct SyncedCopy {
    /// Where it is.
    pub path: PathBuf,
    /// Files that it lacked.
    pub added: Vec<String>,
    /// Files that were wrong.
    pub repaired: Vec<Repair>,
    /// It got a mark of its own, for this reason.
    pub marked: Option<Unmarked>,
    /// Files that nobody needs.
    pub removed: Vec<String>,
    /// What did not work.
    pub failures: Vec<VaultError>,
    /// What is still wrong.
    pub left: Vec<Finding>,
    /// How many files it still lacks that others have.
    pub missing: usize,
}

impl SyncedCopy {
    fn new(path: PathBuf) -> Self {
        let (added, repaired, removed, failures, left) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { path, added, repaired, marked: None, removed, failures, left, missing: 0 }
    }

    /// It has everything that any copy has, and nothing on it is wrong.
    pub fn is_up_to_date(&self) -> bool {
        self.failures.is_empty() && self.left.is_empty() && self.missing == 0
    }

    /// Nothing was changed on it.
    pub fn is_unchanged(&self) -> bool {
        self.added.is_empty() && self.repaired.is_empty() && self.removed.is_empty() && self.marked.is_none()
    }
}

/// Brings all of them up to date.
///
/// # Errors
/// [`VaultError`] if the copies cannot be read together. What fails on single copies is in [`SyncedCopy::failures`].
pub fn sync(copies: &Copies, _lock: &Lock) -> Result<Synced, VaultError> {
    synchronise(copies, |_| true)
}

/// Brings those for which `chosen` says so up to date; the others are added to where they lack something, and no more.
pub(super) fn synchronise(copies: &Copies, chosen: impl Fn(&Path) -> bool) -> Result<Synced, VaultError> {
    let mut synced: Vec<SyncedCopy> = copies.paths().into_iter().map(SyncedCopy::new).collect();
    bring(copies, &mut synced, &chosen)?;
    for place in 0..synced.len() {
        // One after the other: a mark that was given counts for the next.
        let (snapshot, judgement) = copies.judged()?;
        if !synced[place].failures.is_empty() || !chosen(&synced[place].path) || !mark::is_ours(&snapshot, place) {
            continue;
        }
        match copies.mark(&snapshot, &judgement, place) {
            Ok(marked) => synced[place].marked = marked,
            Err(error) => synced[place].failures.push(error),
        }
    }
    clear(copies, &mut synced, &chosen)?;
    let (snapshot, judgement) = copies.judged()?;
    for (place, copy) in synced.iter_mut().enumerate() {
        let path = &snapshot.copies[place].path;
        let wrong = |finding: &&Finding| finding.severity == Severity::Wrong && finding.copy.as_ref() == Some(path);
        copy.left = judgement.findings.iter().filter(wrong).cloned().collect();
        copy.missing = judgement.copies[place].missing;
    }
    Ok(Synced { copies: synced, judgement })
}

/// Adds and repairs, until there is nothing more to do.
fn bring(copies: &Copies, synced: &mut [SyncedCopy], chosen: &impl Fn(&Path) -> bool) -> Result<(), VaultError> {
    for _ in 0..ROUNDS {
        let mut changed = false;
        for place in 0..synced.len() {
            let (snapshot, judgement) = copies.judged()?;
            let copy = &mut synced[place];
            if !copy.failures.is_empty() || !mark::is_ours(&snapshot, place) {
                continue;
            }
            let whole = chosen(&copy.path);
            let counted = snapshot.copies[place].mark().is_some_and(|mark| mark.vault == snapshot.vault);
            changed |= whole && repair(copies, (&snapshot, &judgement), place, copy);
            if (whole || counted) && copy.failures.is_empty() {
                let mut merged = Merged::default();
                copies.fill(&snapshot, &judgement, place, &mut merged);
                changed |= !merged.added.is_empty();
                copy.added.extend(merged.added.into_iter().map(|(_, file)| file));
                copy.failures.extend(merged.failures.into_iter().map(|failure| failure.error));
            }
        }
        if !changed {
            break;
        }
    }
    Ok(())
}

fn repair(
    copies: &Copies,
    (snapshot, judgement): (&Snapshot, &Judgement),
    place: usize,
    copy: &mut SyncedCopy,
) -> bool {
    let mut repaired = Vec::new();
    if let Err(error) = copies.repair(snapshot, judgement, place, &mut repaired) {
        copy.failures.push(error);
    }
    let changed = !repaired.is_empty();
    copy.repaired.extend(repaired);
    changed
}

/// Removes what is extinct, what was admitted, and unfinished files.
fn clear(copies: &Copies, synced: &mut [SyncedCopy], chosen: &impl Fn(&Path) -> bool) -> Result<(), VaultError> {
    let (snapshot, judgement) = copies.judged()?;
    for (place, copy) in synced.iter_mut().enumerate() {
        if !copy.failures.is_empty() || !chosen(&copy.path) || !mark::is_ours(&snapshot, place) {
            continue;
        }
        let parts = snapshot.copies[place].files.keys().filter(|path| is_our_part(path)).cloned();
        let files = cleanup::not_needed(&snapshot, &judgement, place).into_iter().chain(parts);
        for file in files.collect::<Vec<_>>() {
            match write::remove(&copies.copies[place], &file) {
                Ok(true) => copy.removed.push(file),
                Ok(false) => {}
                Err(error) => {
                    copy.failures.push(error);
                    break;
                }
            }
        }
    }
    Ok(())
}

/// An unfinished file that this program began; others end in `.part` too.
fn is_our_part(path: &str) -> bool {
    path.strip_suffix(".part").is_some_and(|file| Place::of(file) != Place::Unknown)
}

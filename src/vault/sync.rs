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
use crate::transcript::{Finding, Judgement, Place, Severity, Snapshot, serves_alone};

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
    /// It got a mark, and would not do if all others were lost: no copy here has right what it needs for that.
    pub falls_short: bool,
}

impl SyncedCopy {
    fn new(path: PathBuf) -> Self {
        let (added, repaired, removed, failures, left) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { path, added, repaired, marked: None, removed, failures, left, missing: 0, falls_short: false }
    }

    /// It has everything that any copy has, and nothing on it is wrong; and where it got a mark, it would do alone.
    pub fn is_up_to_date(&self) -> bool {
        self.failures.is_empty() && self.left.is_empty() && self.missing == 0 && !self.falls_short
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
    synchronise(copies, |_| true, |_| false)
}

/// Brings those for which `chosen` says so up to date; the others are added to where they lack something, and no more. Those
/// of which `marked_anew` is true get a new mark also if theirs is good.
pub(super) fn synchronise(
    copies: &Copies,
    chosen: impl Fn(&Path) -> bool,
    marked_anew: impl Fn(&Path) -> bool,
) -> Result<Synced, VaultError> {
    let mut work = Work {
        copies,
        seen: copies.judged()?,
        synced: copies.paths().into_iter().map(SyncedCopy::new).collect(),
        chosen: copies.paths().iter().map(|path| chosen(path)).collect(),
        marked_anew: copies.paths().iter().map(|path| marked_anew(path)).collect(),
    };
    work.bring_all()?;
    if work.mark()? {
        // A copy whose new mark no plan names may have what it could not have under the one before.
        work.bring_all()?;
    }
    work.clear()?;
    Ok(work.finish())
}

struct Work<'a> {
    copies: &'a Copies,
    /// What stands on the copies, and the verdict; read again after every change.
    seen: (Snapshot, Judgement),
    synced: Vec<SyncedCopy>,
    chosen: Vec<bool>,
    marked_anew: Vec<bool>,
}

impl Work<'_> {
    fn look(&mut self) -> Result<(), VaultError> {
        self.seen = self.copies.judged()?;
        Ok(())
    }

    /// Whether the copy is of this vault, and nothing failed on it yet.
    fn is_well(&self, place: usize) -> bool {
        self.synced[place].failures.is_empty() && mark::is_ours(&self.seen.0, place)
    }

    fn bring_all(&mut self) -> Result<(), VaultError> {
        for _ in 0..ROUNDS {
            if !self.bring()? {
                break;
            }
        }
        Ok(())
    }

    /// Repairs and adds. Whether anything changed.
    fn bring(&mut self) -> Result<bool, VaultError> {
        let mut changed = false;
        for place in 0..self.synced.len() {
            if !self.is_well(place) {
                continue;
            }
            let (snapshot, judgement) = &self.seen;
            let copy = &mut self.synced[place];
            let (mut repaired, mut merged) = (Vec::new(), Merged::default());
            if self.chosen[place] {
                let outcome = self.copies.repair(snapshot, judgement, place, &mut repaired);
                copy.failures.extend(outcome.err());
            }
            let counted = snapshot.copies[place].mark().is_some_and(|mark| mark.vault == snapshot.vault);
            if (self.chosen[place] || counted) && copy.failures.is_empty() {
                self.copies.fill(snapshot, judgement, place, &mut merged);
            }
            let here = !repaired.is_empty() || !merged.added.is_empty();
            copy.repaired.extend(repaired);
            copy.added.extend(merged.added.into_iter().map(|(_, file)| file));
            copy.failures.extend(merged.failures.into_iter().map(|failure| failure.error));
            if here {
                self.look()?;
                changed = true;
            }
        }
        Ok(changed)
    }

    /// One after the other: a mark that was given counts for the next. Whether any was given.
    fn mark(&mut self) -> Result<bool, VaultError> {
        let mut any = false;
        for place in 0..self.synced.len() {
            if !self.chosen[place] || !self.is_well(place) {
                continue;
            }
            match self.copies.mark(&self.seen.0, &self.seen.1, place, self.marked_anew[place]) {
                Ok(None) => {}
                Ok(marked) => {
                    self.synced[place].marked = marked;
                    any = true;
                    self.look()?;
                }
                Err(error) => self.synced[place].failures.push(error),
            }
        }
        Ok(any)
    }

    /// Removes what is extinct, what was admitted, and unfinished files.
    fn clear(&mut self) -> Result<(), VaultError> {
        let mut changed = false;
        for place in 0..self.synced.len() {
            if !self.chosen[place] || !self.is_well(place) {
                continue;
            }
            let (snapshot, judgement) = &self.seen;
            let parts = snapshot.copies[place].files.keys().filter(|path| is_our_part(path)).cloned();
            for file in cleanup::not_needed(snapshot, judgement, place).into_iter().chain(parts) {
                let copy = &mut self.synced[place];
                match write::remove(&self.copies.copies[place], &file) {
                    Ok(true) => copy.removed.push(file),
                    Ok(false) => {}
                    Err(error) => {
                        copy.failures.push(error);
                        break;
                    }
                }
            }
            changed |= !self.synced[place].removed.is_empty();
        }
        if changed { self.look() } else { Ok(()) }
    }

    fn finish(mut self) -> Synced {
        let (snapshot, judgement) = self.seen;
        for (place, copy) in self.synced.iter_mut().enumerate() {
            let path = &snapshot.copies[place].path;
            let wrong = |finding: &&Finding| finding.severity == Severity::Wrong && finding.copy.as_ref() == Some(path);
            copy.left = judgement.findings.iter().filter(wrong).cloned().collect();
            copy.missing = judgement.copies[place].missing;
            copy.falls_short = copy.marked.is_some() && !serves_alone(&snapshot, place, &judgement);
        }
        Synced { copies: self.synced, judgement }
    }
}

/// An unfinished file that this program began; others end in `.part` too.
fn is_our_part(path: &str) -> bool {
    path.strip_suffix(".part").is_some_and(|file| Place::of(file) != Place::Unknown)
}

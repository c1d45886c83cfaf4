//! What an earlier run may have left in the memory of the system alone.
//!
//! A run that is killed between a write and its sync leaves files that stand there for everybody to see, and that a power
//! cut a second later would take away. Before anything is built on them they are brought to the medium.

use std::collections::BTreeSet;

use rustix::io::Errno;

use super::VaultError;
use super::copies::{Copies, Failure};
use super::copy::Copy;
use super::disk::Sync;
use crate::encoding::Digest;
use crate::transcript::{CopyView, GenerationFile, Judgement, Place, Snapshot};

impl Copies {
    /// Brings to the medium what is not older than the generation that was ratified last: whoever made that one ratified
    /// had brought everything before it there. What does not work is returned, by copy.
    pub fn settle(&self, snapshot: &Snapshot, judgement: &Judgement) -> Vec<Failure> {
        let records = recent_records(judgement);
        let mut failures = Vec::new();
        for (place, view) in snapshot.copies.iter().enumerate() {
            let Some(copy) = self.copies.iter().find(|copy| copy.path().display().to_string() == view.path) else {
                continue;
            };
            let recent = |path: &str| match Place::of(path) {
                Place::Generation(directory, file) => is_recent(judgement, place, directory, file),
                Place::Record(digest, _) => records.contains(&digest),
                Place::Part | Place::Unknown => false,
                _ => true,
            };
            if let Err(error) = settle(copy, view, recent) {
                failures.push(Failure { copy: copy.path().to_owned(), error });
            }
        }
        failures
    }
}

fn recent_records(judgement: &Judgement) -> BTreeSet<Digest> {
    let ratified = judgement.ratified_head().map_or(0, |head| head.generation);
    let recent = judgement.records.iter().filter(|record| record.body().generation >= ratified);
    recent.map(crate::transcript::Signed::digest).collect()
}

/// A ratified generation was on the medium before its closings were made; of its directory they alone may not be.
fn is_recent(judgement: &Judgement, place: usize, directory: &str, file: GenerationFile<'_>) -> bool {
    let Some(ceremony) = judgement.ceremony_in(place, directory) else { return true };
    let ratified = judgement.ratified_head();
    if ratified.is_some_and(|ratified| ratified.ceremony == ceremony) {
        return matches!(file, GenerationFile::Closing(..));
    }
    let generation = judgement.ceremony(&ceremony).map_or(u64::MAX, |plan| plan.generation);
    generation >= ratified.map_or(0, |ratified| ratified.generation)
}

fn settle(copy: &Copy, view: &CopyView, recent: impl Fn(&str) -> bool) -> Result<(), VaultError> {
    // Directories may be there without a file in them yet.
    let mut directories: BTreeSet<&str> = BTreeSet::from(["", "generations", "records", "inbox"]);
    for path in view.files.keys().filter(|path| recent(path)) {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let above = directory.match_indices('/').map(|(end, _)| &directory[..end]);
        directories.extend(above.chain([directory]));
        let below = copy.directory(directory, false)?;
        if let Some(file) = copy.file_in(&below, name, path)? {
            tolerant(below.sync_file(name, &file, Sync::StandingContents)).map_err(|e| copy.error(path, "write", e))?;
        }
    }
    for directory in directories {
        let opened = match copy.directory(directory, false) {
            Ok(opened) => opened,
            Err(VaultError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        tolerant(opened.sync(Sync::StandingName)).map_err(|error| copy.error(directory, "write", error))?;
    }
    Ok(())
}

/// A medium that is read-only has it already.
fn tolerant(synced: Result<(), Errno>) -> Result<(), Errno> {
    match synced {
        Err(Errno::ROFS) => Ok(()),
        synced => synced,
    }
}

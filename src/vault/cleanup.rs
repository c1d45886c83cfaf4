//! Removes what may be removed (`docs/format.md`, section 2): secrets of what is extinct or dead, and what was admitted.

use std::collections::BTreeSet;
use std::path::Path;

use super::VaultError;
use super::copies::{Copies, Failure};
use super::merge::is_over;
use crate::encoding::Digest;
use crate::transcript::{Judgement, Place, Snapshot};

/// What was removed.
#[derive(Debug, Default)]
pub struct Cleaned {
    /// Paths in the copies.
    pub removed: Vec<String>,
    /// Where it did not work.
    pub failures: Vec<Failure>,
}

/// Removes the sealed files of extinct generations whose successor is ratified and of ceremonies that can never be
/// committed, and the inbox files that ratified generations admitted.
///
/// # Errors
/// [`VaultError::Path`], which would be a mistake of the program. What fails on single copies is in [`Cleaned::failures`].
pub fn cleanup(copies: &Copies, snapshot: &Snapshot, judgement: &Judgement) -> Result<Cleaned, VaultError> {
    let mut cleaned = Cleaned::default();
    for (place, view) in snapshot.copies.iter().enumerate() {
        for path in not_needed(snapshot, judgement, place) {
            match copies.remove_on(&view.path, Path::new(&path))? {
                Ok(()) => cleaned.removed.push(path),
                Err(failure) => cleaned.failures.push(failure),
            }
        }
    }
    cleaned.removed.sort();
    cleaned.removed.dedup();
    Ok(cleaned)
}

/// The files of one copy (its place in `snapshot`) that may go.
pub(super) fn not_needed(snapshot: &Snapshot, judgement: &Judgement, place: usize) -> Vec<String> {
    let admitted: BTreeSet<(&str, Digest)> = judgement
        .line()
        .filter(|generation| generation.ratified)
        .flat_map(|generation| {
            let admits =
                generation.manifest.plan.admits.iter().map(|admission| (admission.file.as_str(), admission.digest));
            // What was refused became no item: it may be all that there is of it.
            let refused = |file: &str| generation.manifest.refused.iter().any(|refused| refused.file == file);
            admits.filter(move |(file, _)| !refused(file))
        })
        .collect();
    let over = |path: &str, digest: Option<Digest>| match Place::of(path) {
        Place::Generation(directory, file) if file.is_sealed() => {
            judgement.ceremony_in(place, directory).is_some_and(|ceremony| may_go(judgement, &ceremony))
        }
        Place::Inbox(file) => digest.is_some_and(|digest| admitted.contains(&(file, digest))),
        _ => false,
    };
    let view = &snapshot.copies[place];
    let files = view.files.iter().map(|(path, content)| (path, Some(content.digest())));
    let unread = view.unread.iter().map(|unread| (&unread.file, None));
    files.chain(unread).filter(|(path, digest)| over(path, *digest)).map(|(path, _)| path.clone()).collect()
}

/// > when it is extinct and its child ratified (or, for a ceremony that was never committed, when its parent is extinct)
fn may_go(judgement: &Judgement, ceremony: &Digest) -> bool {
    let made = judgement.generation_of(ceremony);
    let followed = made.is_none_or(|state| {
        !state.in_line
            || judgement.line().any(|child| child.ratified && child.manifest.plan.parent == Some(state.digest))
    });
    is_over(judgement, ceremony) && followed
}

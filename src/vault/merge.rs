//! Brings copies up to date with each other: sets of files, of which none is ever overwritten that anything rests on. One half
//! of a signed document, without the other, is as good as none, and gives way to both halves of another.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::VaultError;
use super::copies::{Copies, Failure};
use super::copy::Copy;
use super::repair::faulty;
use super::write;
use crate::encoding::Digest;
use crate::transcript::place::crowded_directory;
use crate::transcript::{Content, CopyView, Fate, GenerationFile, Half, Judgement, Place, Snapshot, judge};

/// As much of an inbox, in bytes, is brought to another copy at once: anyone may put something there, and a medium that
/// it has filled takes no generation. What is not brought over is admitted from where it is.
const INBOX: u64 = 64 << 20;

/// What merging did.
#[derive(Debug, Default)]
pub struct Merged {
    /// Files that were added: copy and path.
    pub added: Vec<(PathBuf, String)>,
    /// What could not be added, by copy; after the first failure of a medium, nothing more is written there.
    pub failures: Vec<Failure>,
}

/// Generation files stand in the order in which a ceremony makes them, COMMIT after all that it commits.
type Order<'a> = (u8, u64, Option<GenerationFile<'a>>);

/// A file that a copy has and others should have.
struct Standing<'a> {
    order: Order<'a>,
    source: &'a str,
    target: String,
    content: &'a Content,
}

/// A file that a copy lacks.
struct Wanted<'a> {
    order: Order<'a>,
    from: usize,
    source: &'a str,
    target: String,
    digest: Digest,
    size: u64,
    /// Something that cannot be read stands there: it is to be repaired, or a person has to look.
    blocked: bool,
    /// A half of another one stands there alone. It goes first: cut between the two, again one half stands alone.
    replaces: bool,
}

impl Copies {
    /// Adds to every copy the files that it lacks and others have. Not spread: what the verdict found fault with, secrets of
    /// extinct generations, what was admitted, and a ceremony without COMMIT to copies that it was not begun on. A copy
    /// without a good mark gives, and takes nothing.
    ///
    /// # Errors
    /// [`VaultError`] if a copy cannot be read any more.
    pub fn merge(&self) -> Result<Merged, VaultError> {
        let (snapshot, judgement) = self.judged()?;
        let mut merged = Merged::default();
        for to in 0..self.copies.len() {
            if snapshot.copies[to].mark().is_some_and(|mark| mark.vault == snapshot.vault) {
                self.fill(&snapshot, &judgement, to, &mut merged);
            }
        }
        Ok(merged)
    }

    /// All of them as they stand now, in the order of [`Self::paths`], and the verdict.
    ///
    /// # Errors
    /// [`VaultError::Changed`] if one became unreadable since it was opened, or another vault was put in its place.
    pub(super) fn judged(&self) -> Result<(Snapshot, Judgement), VaultError> {
        let snapshot = self.snapshot()?;
        let same = |(copy, view): (&Copy, &CopyView)| copy.path().display().to_string() == view.path;
        if snapshot.copies.len() != self.copies.len() || !self.copies.iter().zip(&snapshot.copies).all(same) {
            return Err(VaultError::Changed);
        }
        let judgement = judge(&snapshot);
        Ok((snapshot, judgement))
    }

    /// Adds to one copy (its place in `snapshot`) the files that it lacks and others have, whatever its mark says.
    pub(super) fn fill(&self, snapshot: &Snapshot, judgement: &Judgement, to: usize, merged: &mut Merged) {
        let copy = &self.copies[to];
        let mut wanted: Vec<Wanted<'_>> = Vec::new();
        for from in (0..self.copies.len()).filter(|from| *from != to) {
            wanted.extend(wants(snapshot, judgement, from, to));
        }
        wanted.sort_by(|a, b| {
            let same = a.order.cmp(&b.order).then_with(|| b.replaces.cmp(&a.replaces));
            same.then_with(|| a.target.cmp(&b.target))
        });
        let mut done = BTreeSet::new();
        let mut inbox = INBOX;
        for file in wanted {
            if file.blocked || !done.insert(file.target.clone()) {
                continue;
            }
            if let Place::Inbox(_) = Place::of(&file.target) {
                let Some(left) = inbox.checked_sub(file.size) else { continue };
                inbox = left;
            }
            let (source, target) = ((&self.copies[file.from], file.source), (copy, file.target.as_str()));
            let bring = if file.replaces { write::copy_over } else { write::copy_file };
            match bring(source, target, file.digest) {
                Ok(()) => merged.added.push((copy.path().to_owned(), file.target)),
                Err(error @ (VaultError::Conflict { .. } | VaultError::NotRegular { .. })) => {
                    // What stands in the way of a directory stands in the way of every file in it: said once.
                    if !merged.failures.iter().any(|earlier| earlier.error.to_string() == error.to_string()) {
                        merged.failures.push(Failure { copy: copy.path().to_owned(), error });
                    }
                }
                Err(error) => {
                    merged.failures.push(Failure { copy: copy.path().to_owned(), error });
                    break;
                }
            }
        }
    }
}

/// Paths of the files that copy `from` has and copy `to` lacks, as they would be named there.
pub(super) fn lacking(snapshot: &Snapshot, judgement: &Judgement, from: usize, to: usize) -> Vec<String> {
    wants(snapshot, judgement, from, to).into_iter().map(|wanted| wanted.target).collect()
}

/// Paths of the files that stand on copy `from`, right as far as anybody can say, and that copy `to` does not have right.
pub(super) fn not_right_on(snapshot: &Snapshot, judgement: &Judgement, from: usize, to: usize) -> BTreeSet<String> {
    let here = &snapshot.copies[to];
    let wrong = faulty(snapshot, judgement, to);
    let is_right = |file: &Standing<'_>| {
        here.files.get(&file.target).is_some_and(|content| {
            !wrong.contains(&file.target.as_str())
                && (content.digest() == file.content.digest() || proves_the_same(judgement, from, file.source))
        })
    };
    let standing = standing(snapshot, judgement, from, to).into_iter();
    standing.filter(|file| !is_right(file)).map(|file| file.source.to_owned()).collect()
}

/// Whether any valid file of this name is as good as another: who signs twice makes two signatures.
fn proves_the_same(judgement: &Judgement, copy: usize, file: &str) -> bool {
    match Place::of(file) {
        Place::Record(_, half) => half == Half::Signature,
        Place::Generation(_, GenerationFile::Commit | GenerationFile::Closing(..)) => true,
        Place::Generation(_, GenerationFile::Approval(_, Half::Signature)) => true,
        // The manifest of an unfinished ceremony may list either body.
        Place::Generation(directory, GenerationFile::Approval(_, Half::Body)) => {
            let ceremony = judgement.ceremony_in(copy, directory);
            ceremony.and_then(|ceremony| judgement.knows_ceremony(&ceremony)) != Some(Fate::Unfinished)
        }
        _ => false,
    }
}

/// What copy `to` lacks of what copy `from` has.
fn wants<'a>(snapshot: &'a Snapshot, judgement: &Judgement, from: usize, to: usize) -> Vec<Wanted<'a>> {
    let here = &snapshot.copies[to];
    let is_unread = |path: &str| here.unread.iter().any(|unread| unread.file == path);
    let standing = standing(snapshot, judgement, from, to);
    let offered: BTreeSet<String> = standing.iter().map(|file| file.target.clone()).collect();
    // Of a document that custodians sign, the first half may be there alone, from an attempt that was cut; a custodian who
    // signed again, on copies that did not know of it, said another time.
    let replaces = |target: &str, digest: Digest| {
        let other = other_half(target).filter(|other| offered.contains(other));
        let stands_alone = other.is_some_and(|other| !here.files.contains_key(&other) && !is_unread(&other));
        stands_alone && here.files.get(target).is_some_and(|content| content.digest() != digest)
    };
    let mut wanted = Vec::new();
    for Standing { order: (group, number, file), source, target, content } in standing {
        let (digest, size) = (content.digest(), content.size());
        let replaces = replaces(&target, digest);
        if replaces || !here.files.contains_key(&target) {
            // Both halves are brought one after the other, whichever goes first.
            let order = (group, number, file.map(first_half));
            wanted.push(Wanted { order, from, source, blocked: is_unread(&target), target, digest, size, replaces });
        }
    }
    wanted
}

/// Body and signature of an approval or a closing by one name.
fn first_half(file: GenerationFile<'_>) -> GenerationFile<'_> {
    match file {
        GenerationFile::Approval(stem, _) => GenerationFile::Approval(stem, Half::Body),
        GenerationFile::Closing(stem, _) => GenerationFile::Closing(stem, Half::Body),
        file => file,
    }
}

/// The path of the other half of an approval or a closing.
fn other_half(path: &str) -> Option<String> {
    let Place::Generation(_, GenerationFile::Approval(_, half) | GenerationFile::Closing(_, half)) = Place::of(path)
    else {
        return None;
    };
    let (stem, _) = path.rsplit_once('.')?;
    let other = if half == Half::Body { Half::Signature } else { Half::Body };
    Some(format!("{stem}.{}", other.extension()))
}

/// What every copy should have of what copy `from` has, by the names that the files have, or would have, on copy `to`.
fn standing<'a>(snapshot: &'a Snapshot, judgement: &Judgement, from: usize, to: usize) -> Vec<Standing<'a>> {
    let blamed: BTreeSet<&str> = judgement
        .findings
        .iter()
        .filter(|finding| finding.copy.as_deref() == Some(snapshot.copies[from].path.as_str()))
        .map(|finding| finding.file.as_str())
        .collect();
    let mut standing = Vec::new();
    for (path, content) in &snapshot.copies[from].files {
        if blamed.contains(path.as_str()) {
            continue;
        }
        let (order, target) = match Place::of(path) {
            Place::Vault | Place::Policy => ((0, 0, None), path.clone()),
            Place::Record(..) => ((2, 0, None), path.clone()),
            Place::Inbox(_) => ((3, 0, None), path.clone()),
            Place::Generation(directory, file) => {
                let Some(ceremony) = judgement.ceremony_in(from, directory) else { continue };
                if file.is_sealed() && is_over(judgement, &ceremony) || !belongs_on(judgement, to, &ceremony) {
                    continue;
                }
                let Some(plan) = judgement.ceremony(&ceremony) else { continue };
                let name = match judgement.directory_of(to, &ceremony) {
                    Some(name) => name.to_owned(),
                    None if judgement.ceremony_in(to, directory).is_some_and(|other| other != ceremony) => {
                        crowded_directory(plan.generation, &ceremony)
                    }
                    None => directory.to_owned(),
                };
                ((1, plan.number, Some(file)), format!("generations/{name}/{}", file.path()))
            }
            Place::CopyMark | Place::Part | Place::Unknown => continue,
        };
        standing.push(Standing { order, source: path, target, content });
    }
    standing
}

/// Whether the files of this ceremony belong on copy `to`. Of a ceremony without COMMIT they stay where it was begun: a copy
/// that its plan names and that has them says that nothing was committed there, and one that was not there, or is older, must
/// not come to say so. A copy that the plan does not name says nothing. Where somebody has closed what it made, that is
/// spread in any case: it was committed, and may be all that opens.
fn belongs_on(judgement: &Judgement, to: usize, ceremony: &Digest) -> bool {
    let named = |id| judgement.ceremony(ceremony).is_some_and(|plan| plan.copies.contains(&id));
    judgement.was_committed(ceremony)
        || judgement.directory_of(to, ceremony).is_some()
        || !judgement.copies[to].id.is_some_and(named)
}

/// Whether the secrets of a ceremony are of no use to anyone any more.
pub(super) fn is_over(judgement: &Judgement, ceremony: &Digest) -> bool {
    match judgement.knows_ceremony(ceremony) {
        Some(Fate::DeadSibling) => true,
        Some(Fate::Committed) => {
            judgement.generation_of(ceremony).is_some_and(|state| state.committed && state.extinct)
        }
        Some(Fate::Abandoned | Fate::Unfinished) | None => false,
    }
}

//! Puts right what is damaged on a copy, with bytes that another copy has and the verdict found no fault with.
//!
//! Nothing is replaced where nothing vouches for the other copy's bytes: then people decide, or the next ceremony does.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::VaultError;
use super::copies::Copies;
use super::write;
use crate::encoding::Digest;
use crate::transcript::{CopyView, Fate, GenerationFile, Half, Judgement, Place, Severity, Snapshot};

/// A file that was replaced or put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// Path in the copy.
    pub file: String,
    /// The copy whose bytes it has now.
    pub from: PathBuf,
}

/// Files that are right or wrong only together, by their paths on the damaged copy and on the one that gives.
struct Unit {
    members: Vec<(String, String)>,
    /// A signature or a digest that is signed says what the bytes must be.
    vouched: bool,
}

impl Copies {
    /// Repairs one copy (its place in `snapshot`). Stops at the first error of the medium.
    pub(super) fn repair(
        &self,
        snapshot: &Snapshot,
        judgement: &Judgement,
        to: usize,
        repaired: &mut Vec<Repair>,
    ) -> Result<(), VaultError> {
        let mut done: BTreeSet<String> = BTreeSet::new();
        for file in faulty(snapshot, judgement, to) {
            if done.contains(file) {
                continue;
            }
            for from in (0..self.copies.len()).filter(|from| *from != to) {
                let Some(unit) = unit(judgement, file, to, from) else { continue };
                if !unit.vouched || !is_right(snapshot, judgement, from, &unit) {
                    continue;
                }
                for (target, source) in &unit.members {
                    if done.insert(target.clone()) && self.put((from, source), (to, target), snapshot)? {
                        repaired.push(Repair { file: target.clone(), from: self.copies[from].path().to_owned() });
                    }
                }
                break;
            }
        }
        Ok(())
    }

    /// Whether the bytes had to be brought.
    fn put(
        &self,
        (from, source): (usize, &str),
        (to, target): (usize, &str),
        snapshot: &Snapshot,
    ) -> Result<bool, VaultError> {
        let Some(digest) = digest(&snapshot.copies[from], source) else { return Ok(false) };
        if digest_is(&snapshot.copies[to], target, digest) {
            return Ok(false);
        }
        match write::copy_over((&self.copies[from], source), (&self.copies[to], target), digest) {
            Ok(()) => Ok(true),
            // A link, a FIFO or a directory: somebody put it there, and somebody has to look.
            Err(VaultError::NotRegular { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The files of a copy that the verdict finds wrong.
pub(super) fn faulty<'a>(snapshot: &Snapshot, judgement: &'a Judgement, copy: usize) -> Vec<&'a str> {
    let path = &snapshot.copies[copy].path;
    let here = judgement.findings.iter().filter(|finding| {
        finding.severity == Severity::Wrong && finding.copy.as_ref() == Some(path) && !finding.file.is_empty()
    });
    here.map(|finding| finding.file.as_str()).collect()
}

fn digest(view: &CopyView, file: &str) -> Option<Digest> {
    view.files.get(file).map(|content| content.digest())
}

fn digest_is(view: &CopyView, file: &str, expected: Digest) -> bool {
    digest(view, file) == Some(expected)
}

/// What has to be made right together with `file`, which is wrong on copy `to`.
fn unit(judgement: &Judgement, file: &str, to: usize, from: usize) -> Option<Unit> {
    match Place::of(file) {
        // The vault id and the approved plans say what these must be.
        Place::Vault | Place::Policy => Some(Unit { members: vec![(file.to_owned(), file.to_owned())], vouched: true }),
        Place::Record(digest, _) => {
            let both = [Half::Body, Half::Signature].map(|half| format!("records/{digest}.{}", half.extension()));
            Some(Unit { members: both.map(|file| (file.clone(), file)).into(), vouched: true })
        }
        Place::Generation(directory, file) => {
            let ceremony = judgement.ceremony_in(to, directory)?;
            let source = judgement.directory_of(from, &ceremony)?;
            let (files, vouched) = together(file, is_vouched(judgement, &ceremony));
            let path = |directory: &str, file: &GenerationFile<'_>| format!("generations/{directory}/{}", file.path());
            let members = files.iter().map(|file| (path(directory, file), path(source, file))).collect();
            Some(Unit { members, vouched })
        }
        Place::CopyMark | Place::Inbox(_) | Place::Part | Place::Unknown => None,
    }
}

/// The file with those that are judged with it, and whether something signed says what they must be.
fn together(file: GenerationFile<'_>, manifest_is_vouched: bool) -> (Vec<GenerationFile<'_>>, bool) {
    match file {
        // The ceremony's id is the plan's digest, and its approvals carry the plan.
        GenerationFile::Plan => (vec![file], true),
        GenerationFile::Approval(stem, _) => {
            ([Half::Body, Half::Signature].map(|half| GenerationFile::Approval(stem, half)).into(), true)
        }
        GenerationFile::Closing(stem, _) => {
            ([Half::Body, Half::Signature].map(|half| GenerationFile::Closing(stem, half)).into(), true)
        }
        GenerationFile::Manifest | GenerationFile::Commit => {
            (vec![GenerationFile::Manifest, GenerationFile::Commit], manifest_is_vouched)
        }
        GenerationFile::Share(_) | GenerationFile::Item(_) | GenerationFile::InboxIdentity => {
            (vec![file], manifest_is_vouched)
        }
    }
}

/// Whether the manifest that counts is signed by a COMMIT, or stood for by what followed it, or can never count.
fn is_vouched(judgement: &Judgement, ceremony: &Digest) -> bool {
    judgement.generation_of(ceremony).is_some_and(|state| state.commit || state.committed)
        || judgement.knows_ceremony(ceremony) == Some(Fate::DeadSibling)
}

/// Whether copy `from` has all of it, and the verdict finds no fault with any of it there.
fn is_right(snapshot: &Snapshot, judgement: &Judgement, from: usize, unit: &Unit) -> bool {
    let view = &snapshot.copies[from];
    let blamed = |file: &str| {
        judgement.findings.iter().any(|finding| finding.copy.as_ref() == Some(&view.path) && finding.file == file)
    };
    unit.members.iter().all(|(_, source)| view.files.contains_key(source) && !blamed(source))
}

/// Whether another copy has this file, wrong on copy `place`, right.
pub(super) fn is_right_elsewhere(snapshot: &Snapshot, judgement: &Judgement, place: usize, file: &str) -> bool {
    let others = (0..snapshot.copies.len()).filter(|other| *other != place);
    others
        .filter_map(|other| Some((other, unit(judgement, file, place, other)?)))
        .any(|(other, unit)| is_right(snapshot, judgement, other, &unit))
}

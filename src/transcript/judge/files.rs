//! Looks at every file of every copy: what is not what was signed, and what is missing.

use std::collections::{BTreeMap, BTreeSet};

use super::GenerationState;
use super::collect::{Ceremony, Dir, approval};
use super::findings::{Findings, OTHER_COPY};
use super::line::{closing, is_commit};
use crate::encoding::{Digest, Signature};
use crate::transcript::document::Checked;
use crate::transcript::manifest::Manifest;
use crate::transcript::place::{GenerationFile, Half, Place};
use crate::transcript::signed::SignedError;
use crate::transcript::snapshot::{Content, Snapshot};

const LOST: &str = "bring the vault's other copies, and run `claviger copy sync` with all of them; if none has it, `claviger rotate`, or \
     `claviger recover` of another item, goes on without it: an exception that k custodians approve";
const BEHIND: &str = "bring this copy up to date: `claviger copy sync` with all copies";

/// What the files of one ceremony are held against.
pub(super) struct Bench<'a, 'b> {
    pub snapshot: &'a Snapshot,
    pub ceremony: &'b Ceremony<'a>,
    /// The generation that the ceremony made, if it has a manifest.
    pub state: Option<&'b GenerationState>,
    pub manifests: &'b BTreeMap<Digest, Manifest>,
    /// Digests of this generation's closings that the next manifest lists.
    pub listed_closings: BTreeSet<(u8, Digest)>,
    /// Another manifest names this one as its parent.
    pub followed: bool,
    /// It is committed, and nothing that follows it is.
    pub is_last: bool,
    /// No other generation will be made from it: its secrets may be gone.
    pub dead: bool,
}

/// What was found of one ceremony.
pub(super) struct Looked {
    /// By place in the snapshot's copies, how many files are missing there that should be there: without a COMMIT none, on a
    /// copy that the ceremony was not begun on. `None`: something there is wrong.
    pub missing: Vec<Option<usize>>,
    /// Paths in its directory of what it should hand on and no copy has right, ascending.
    pub lost: Vec<String>,
    /// Places in the snapshot's copies that have everything but that, right in every byte.
    pub complete_but_lost: Vec<usize>,
}

impl<'a> Bench<'a, '_> {
    /// Adds findings for all directories of the ceremony.
    pub fn look(&self, findings: &mut Findings<'a>) -> Looked {
        let lost = self.lost();
        // Without k shares it cannot be opened from these copies: there may be a later one, and no ceremony goes on here.
        let opens = self.shares().len() >= usize::from(self.ceremony.plan.k);
        let goes_on_without = if self.is_last && opens { lost.as_slice() } else { &[] };
        let mut good: Vec<BTreeSet<String>> = vec![BTreeSet::new(); self.snapshot.copies.len()];
        let mut bad: Vec<BTreeSet<String>> = vec![BTreeSet::new(); self.snapshot.copies.len()];
        for dir in &self.ceremony.dirs {
            self.name(dir, findings);
            for (file, content) in &dir.files {
                let problem = self.file(dir, *file, content);
                let sorted = if matches!(problem, Some(Problem::Wrong(_))) { &mut bad } else { &mut good };
                sorted[dir.copy].insert(file.path());
                match problem {
                    None => {}
                    Some(Problem::Wrong(what)) => {
                        let hint = if goes_on_without.contains(&file.path()) { LOST } else { OTHER_COPY };
                        findings.wrong(dir.copy, dir.path(*file), &what, hint);
                    }
                    Some(Problem::Loose(what)) => findings.note(dir.copy, dir.path(*file), &what, ""),
                }
            }
        }
        let missing = self.missing(&good, &bad, goes_on_without, findings);
        let excused = self.excused_closings();
        let expected = self.expected();
        let complete = |copy: &usize| {
            let mut wanted = expected.iter().filter(|file| !lost.contains(file));
            let is_excused = |file: &String| bad[*copy].contains(file) && excused.contains(file);
            wanted.all(|file| good[*copy].contains(file) || is_excused(file))
                && bad[*copy].iter().all(|file| lost.contains(file) || excused.contains(file))
        };
        let complete_but_lost = (0..self.snapshot.copies.len()).filter(complete).collect();
        Looked { missing, lost, complete_but_lost }
    }

    /// Of a generation whose secrets are needed: the items, and the inbox identity, that no copy has right.
    fn lost(&self) -> Vec<String> {
        let Some(state) = self.state.filter(|state| state.committed && !self.dead) else { return Vec::new() };
        let number = state.directory.split('-').next().unwrap_or_default();
        let handed_on = |path: &str| GenerationFile::of(path).is_some_and(|file| file.lost_subject().is_some());
        let sealed = expected_sealed(&state.manifest).into_iter().filter(|(path, _)| handed_on(path));
        sealed.filter(|(path, digest)| !self.stands(number, path, *digest)).map(|(path, _)| path).collect()
    }

    /// Whether a file of this digest stands at `path` in any directory of this number: where what would say which ceremony a
    /// directory holds is damaged, its items may be right.
    fn stands(&self, number: &str, path: &str, digest: Digest) -> bool {
        let prefix = format!("generations/{number}");
        let is_it = |(found, content): (&String, &Content)| match Place::of(found) {
            Place::Generation(directory, file) => {
                directory.split('-').next() == Some(number) && file.path() == path && content.digest() == digest
            }
            _ => false,
        };
        self.snapshot.copies.iter().any(|copy| {
            let of_number = copy.files.range(prefix.clone()..).take_while(|(found, _)| found.starts_with(&prefix));
            of_number.into_iter().any(is_it)
        })
    }

    /// The custodians whose envelope stands in a directory of the ceremony as the manifest names it.
    pub fn shares(&self) -> Vec<u8> {
        let Some(state) = self.state else { return Vec::new() };
        let stands = |index: u8, digest: Digest| {
            let stem = self.ceremony.plan.custodian(index).map(|entry| entry.stem()).unwrap_or_default();
            let share = GenerationFile::Share(&stem);
            let mut files = self.ceremony.dirs.iter().flat_map(|dir| &dir.files);
            files.any(|(file, content)| *file == share && content.digest() == digest)
        };
        let envelopes = state.manifest.envelopes.iter();
        envelopes.filter(|envelope| stands(envelope.index, envelope.digest)).map(|envelope| envelope.index).collect()
    }

    fn name(&self, dir: &Dir<'a>, findings: &mut Findings<'a>) {
        let plan = &self.ceremony.plan;
        let plain = crate::transcript::place::generation_directory(plan.generation);
        let crowded = crate::transcript::place::crowded_directory(plan.generation, &self.ceremony.id);
        if dir.name != plain && dir.name != crowded {
            let what = format!("holds generation {}, which is not what its name says", plan.generation);
            findings.wrong(dir.copy, format!("generations/{}", dir.name), &what, "");
        }
    }

    fn file(&self, dir: &Dir<'a>, file: GenerationFile<'_>, content: &Content) -> Option<Problem> {
        let bytes = content.bytes().unwrap_or_default();
        match file {
            GenerationFile::Plan => (content.digest() != self.ceremony.id)
                .then(|| Problem::wrong("is not the plan that approvals and manifest carry")),
            GenerationFile::Manifest => self.manifest(dir, bytes),
            GenerationFile::Commit => self.commit(bytes),
            GenerationFile::Approval(stem, half) => self.approval(dir, stem, half),
            GenerationFile::Closing(stem, half) => self.closing(dir, stem, half),
            GenerationFile::Share(_) | GenerationFile::Item(_) | GenerationFile::InboxIdentity => {
                self.sealed(file, content)
            }
        }
    }

    fn manifest(&self, dir: &Dir<'a>, bytes: &[u8]) -> Option<Problem> {
        let digest = Digest::of(bytes);
        if let Some(state) = self.state.filter(|state| state.digest == digest) {
            if !state.commit && !state.committed && dir.bytes(GenerationFile::Commit).is_some() {
                return Some(Problem::wrong("is not what the COMMIT beside it signs (one of the two was changed)"));
            }
            let defect = state.defect.as_ref().filter(|_| state.commit);
            return defect.map(|defect| Problem::Wrong(format!("does not count, in spite of its COMMIT: {defect}")));
        }
        match Manifest::read(bytes) {
            Err(error) => Some(Problem::Wrong(chain(&error))),
            Ok(manifest) if manifest.plan != self.ceremony.plan => Some(Problem::wrong("is of another ceremony")),
            Ok(_) => Some(Problem::wrong("is another manifest of this ceremony than the one that counts")),
        }
    }

    fn commit(&self, bytes: &[u8]) -> Option<Problem> {
        if let Err(error) = Signature::from_der(bytes) {
            return Some(Problem::Wrong(chain(&error)));
        }
        let Some(state) = self.state else {
            return Some(Problem::wrong("stands here without a manifest that it could be over"));
        };
        if is_commit(self.snapshot, bytes, &state.manifest, self.manifests) {
            return None;
        }
        let parent = state.manifest.plan.parent;
        if parent.is_some_and(|parent| !self.manifests.contains_key(&parent)) {
            return Some(Problem::wrong("cannot be checked: the generation before is not here"));
        }
        Some(Problem::wrong("is not a signature over the manifest by the succession key of the generation before"))
    }

    fn approval(&self, dir: &Dir<'a>, stem: &str, half: Half) -> Option<Problem> {
        let body = dir.bytes(GenerationFile::Approval(stem, Half::Body));
        let listed = |digest: Digest| {
            self.state.is_some_and(|state| state.manifest.approvals.iter().any(|entry| entry.digest == digest))
        };
        match approval(self.snapshot, dir, stem) {
            None => alone(half),
            Some(Ok(approval)) if approval.body().plan != self.ceremony.plan => {
                (half == Half::Body).then(|| Problem::wrong("is an approval of another plan"))
            }
            Some(Ok(approval)) => {
                let missed = self.state.is_some_and(|state| state.commit) && !listed(approval.digest());
                (missed && half == Half::Body && self.displaces(approval.body().index, approval.digest()))
                    .then(|| Problem::wrong("is not the approval that the manifest lists"))
            }
            Some(Err(error)) => blame(error, half, body.is_some_and(|body| listed(Digest::of(body)))),
        }
    }

    /// Whether the manifest lists another approval of this custodian.
    fn displaces(&self, index: u8, digest: Digest) -> bool {
        let mut listed = self.state.into_iter().flat_map(|state| &state.manifest.approvals);
        listed.any(|entry| entry.index == index && entry.digest != digest)
    }

    fn closing(&self, dir: &Dir<'a>, stem: &str, half: Half) -> Option<Problem> {
        let Some(state) = self.state else {
            return Some(Problem::wrong("closes a generation that has no manifest"));
        };
        match closing(self.snapshot, dir, stem, (&state.manifest, state.digest)) {
            None => alone(half),
            Some(Ok(closing)) => {
                let counts = state.closings.get(&closing.body().index).is_some_and(|c| c.digest() == closing.digest());
                (!counts && half == Half::Body).then(|| {
                    Problem::Loose(
                        "is another closing than the one that counts, by the same custodian: both are valid".to_owned(),
                    )
                })
            }
            Some(Err(error)) => {
                let body = dir.bytes(GenerationFile::Closing(stem, Half::Body)).map(Digest::of);
                let known = body.is_some_and(|body| {
                    self.listed_closings.iter().any(|(_, digest)| *digest == body)
                        || state.closings.values().any(|closing| closing.digest() == body)
                });
                match error {
                    SignedError::Nobody if half == Half::Body => {
                        Some(Problem::wrong("is not a closing of this generation by the custodian of its name"))
                    }
                    error => blame(error, half, known),
                }
            }
        }
    }

    fn sealed(&self, file: GenerationFile<'_>, content: &Content) -> Option<Problem> {
        let Some(state) = self.state else {
            return Some(Problem::Loose("stands here without a manifest that says what it should be".to_owned()));
        };
        match expected_sealed(&state.manifest).get(&file.path()) {
            None => Some(Problem::wrong("is not in the manifest of this generation")),
            Some(digest) if *digest != content.digest() => {
                Some(Problem::wrong("is not the file that the manifest names: its digest differs"))
            }
            Some(_) => None,
        }
    }

    /// Whether COMMIT must be there: it is, or somebody relied on it.
    fn is_settled(&self) -> bool {
        let relied = self.followed || !self.listed_closings.is_empty();
        self.state.is_some_and(|state| state.commit || relied || !state.closings.is_empty())
    }

    /// Paths of all files that should stand in the ceremony's directory.
    fn expected(&self) -> BTreeSet<String> {
        let mut expected = BTreeSet::from([GenerationFile::Plan.path()]);
        let stem = |index: u8| self.ceremony.plan.custodian(index).map(|entry| entry.stem()).unwrap_or_default();
        let pair = |expected: &mut BTreeSet<String>, folder: &str, index: u8| {
            for half in [Half::Body, Half::Signature] {
                expected.insert(format!("{folder}/{}.{}", stem(index), half.extension()));
            }
        };
        for approval in &self.ceremony.approvals {
            pair(&mut expected, "approvals", approval.body().index);
        }
        let relies = |file: &GenerationFile<'_>| matches!(file, GenerationFile::Commit | GenerationFile::Closing(..));
        let Some(state) = self.state else {
            if self.ceremony.dirs.iter().any(|dir| dir.files.keys().any(relies)) {
                expected.insert(GenerationFile::Manifest.path());
            }
            return expected;
        };
        expected.insert(GenerationFile::Manifest.path());
        if self.is_settled() {
            expected.insert(GenerationFile::Commit.path());
        }
        for listed in &state.manifest.approvals {
            pair(&mut expected, "approvals", listed.index);
        }
        let listed = self.listed_closings.iter().map(|(index, _)| *index);
        for index in listed.chain(state.closings.keys().copied()) {
            pair(&mut expected, "closings", index);
        }
        if !self.dead {
            expected.extend(expected_sealed(&state.manifest).into_keys());
        }
        expected
    }

    fn missing(
        &self,
        good: &[BTreeSet<String>],
        bad: &[BTreeSet<String>],
        goes_on_without: &[String],
        findings: &mut Findings<'a>,
    ) -> Vec<Option<usize>> {
        let expected = self.expected();
        let directory = self.ceremony.dirs.first().map_or("", |dir| dir.name);
        let settled = self.is_settled();
        for file in &expected {
            let somewhere = good.iter().chain(bad).any(|files| files.contains(file));
            if !somewhere && (settled || self.state.is_none() || file == "plan.json") {
                let path = format!("generations/{directory}/{file}");
                let hint = if goes_on_without.contains(file) { LOST } else { "look for a copy that has it" };
                findings.wrong_everywhere(path, "is on none of the copies", hint);
            }
        }
        let spreads = self.state.is_some_and(|state| state.commit || state.committed || !state.closings.is_empty());
        let named = |copy: usize| {
            let mark = self.snapshot.copies[copy].mark().filter(|mark| mark.vault == self.snapshot.vault);
            mark.is_some_and(|mark| self.ceremony.plan.copies.contains(&mark.id))
        };
        let count = |copy: usize| {
            if !spreads && named(copy) && !self.ceremony.dirs.iter().any(|dir| dir.copy == copy) {
                return 0;
            }
            let absent = expected.iter().filter(|file| !good[copy].contains(*file) && !bad[copy].contains(*file));
            absent.filter(|file| good.iter().any(|files| files.contains(*file))).count()
        };
        let excused = self.excused_closings();
        let mut counts = Vec::new();
        for copy in 0..self.snapshot.copies.len() {
            let count = count(copy);
            let excused = |file: &String| bad[copy].contains(file) && excused.contains(file);
            if count > 0 {
                let what = format!("lacks {count} of {} files that other copies have", expected.len());
                findings.note(copy, format!("generations/{directory}"), &what, BEHIND);
            }
            let whole = expected.iter().all(|file| good[copy].contains(file) || excused(file));
            let right = bad[copy].iter().all(excused);
            counts.push(if right && (whole || count > 0) { Some(count) } else { None });
        }
        counts
    }

    /// Closings without which the generation is whole: a damaged one is as good as none, and its custodian can close again. Not
    /// so one that the next manifest lists, or that a ratified generation has from another copy.
    fn excused_closings(&self) -> BTreeSet<String> {
        let Some(state) = self.state else { return BTreeSet::new() };
        let matters = |index: u8| {
            self.listed_closings.iter().any(|(listed, _)| *listed == index)
                || state.ratified && state.closings.contains_key(&index)
        };
        let custodians = self.ceremony.plan.roster.iter().filter(|entry| !matters(entry.index));
        let both = |stem: String| [Half::Body, Half::Signature].map(|half| GenerationFile::Closing(&stem, half).path());
        custodians.flat_map(|entry| both(entry.stem())).collect()
    }
}

/// The digests of the sealed files that a manifest names, by path in the directory of the generation.
pub(super) fn expected_sealed(manifest: &Manifest) -> BTreeMap<String, Digest> {
    let stem = |index: u8| manifest.plan.custodian(index).map(|entry| entry.stem()).unwrap_or_default();
    let shares = manifest.envelopes.iter().map(|e| (GenerationFile::Share(&stem(e.index)).path(), e.digest));
    let items = manifest.items.iter().map(|i| (GenerationFile::Item(i.name.as_str()).path(), i.digest));
    let inbox = [(GenerationFile::InboxIdentity.path(), manifest.inbox_identity)];
    shares.chain(items).chain(inbox).collect()
}

enum Problem {
    Wrong(String),
    /// Nothing says what it should be.
    Loose(String),
}

impl Problem {
    fn wrong(what: &str) -> Self {
        Self::Wrong(what.to_owned())
    }
}

/// A half without the other.
fn alone(half: Half) -> Option<Problem> {
    let what = match half {
        Half::Body => "has no signature file beside it, and does not count",
        Half::Signature => "is a signature without its document",
    };
    Some(Problem::Loose(what.to_owned()))
}

/// Names the half that is at fault: the signature, where the body is known to be right.
fn blame(error: SignedError, half: Half, body_is_known: bool) -> Option<Problem> {
    let guilty = match &error {
        SignedError::Document(_) | SignedError::Nobody => Half::Body,
        SignedError::Signature(_) => Half::Signature,
        SignedError::Forged { .. } if body_is_known => Half::Signature,
        SignedError::Forged { .. } => Half::Body,
    };
    (half == guilty).then(|| Problem::Wrong(chain(&error)))
}

/// The error with its causes, on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

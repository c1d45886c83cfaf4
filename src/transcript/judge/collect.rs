//! Brings the files of all copies together by ceremony, and verifies approvals and closings.
//!
//! A directory belongs to the ceremony that its contents name: its own name decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::findings::Findings;
use crate::encoding::{Digest, Document};
use crate::transcript::approval::Approval;
use crate::transcript::manifest::Manifest;
use crate::transcript::place::{GenerationFile, Half, Place};
use crate::transcript::plan::Plan;
use crate::transcript::signed::{Signed, SignedError};
use crate::transcript::snapshot::{Content, Snapshot};

/// The directory of a generation on one copy.
pub(super) struct Dir<'a> {
    /// Place in the snapshot's copies.
    pub copy: usize,
    pub name: &'a str,
    pub files: BTreeMap<GenerationFile<'a>, &'a Content>,
}

impl<'a> Dir<'a> {
    pub fn bytes(&self, file: GenerationFile<'_>) -> Option<&'a [u8]> {
        // The map's key type has the longer lifetime; looking up by path order is not needed for so few files.
        self.files.iter().find(|(name, _)| **name == file).and_then(|(_, content)| content.bytes())
    }

    pub fn path(&self, file: GenerationFile<'_>) -> String {
        format!("generations/{}/{}", self.name, file.path())
    }

    /// The stems of the approvals (or closings) of which a body is here.
    pub fn bodies(&self, pick: impl Fn(&GenerationFile<'a>) -> Option<&'a str>) -> Vec<&'a str> {
        self.files.keys().filter_map(pick).collect()
    }
}

/// One ceremony, with its directories on all copies.
pub(super) struct Ceremony<'a> {
    pub id: Digest,
    pub plan: Plan,
    pub dirs: Vec<Dir<'a>>,
    /// Valid ones of all copies, without repetition.
    pub approvals: Vec<Signed<Approval>>,
    /// Those of this plan that read well, by digest.
    pub manifests: BTreeMap<Digest, Manifest>,
}

impl Ceremony<'_> {
    /// Whether k different custodians of this vault approved it: by the threshold and the roster of the founding body,
    /// whatever the plan says of these. (No ceremony changes them yet.)
    pub fn is_approved(&self, snapshot: &Snapshot) -> bool {
        let Plan { vault, k, roster, .. } = &self.plan;
        let founding = &snapshot.founding;
        let custodians: BTreeSet<u8> = self.approvals.iter().map(|approval| approval.body().index).collect();
        let ours = *vault == snapshot.vault && *k == founding.k && *roster == founding.roster;
        ours && custodians.len() >= usize::from(founding.k)
    }
}

pub(super) fn approval_body<'a>(file: &GenerationFile<'a>) -> Option<&'a str> {
    if let GenerationFile::Approval(stem, Half::Body) = file { Some(stem) } else { None }
}

pub(super) fn closing_body<'a>(file: &GenerationFile<'a>) -> Option<&'a str> {
    if let GenerationFile::Closing(stem, Half::Body) = file { Some(stem) } else { None }
}

/// An approval in `dir`, with its signature verified under the roster's key; `None`: it has no signature file.
pub(super) fn approval(
    snapshot: &Snapshot,
    dir: &Dir<'_>,
    stem: &str,
) -> Option<Result<Signed<Approval>, SignedError>> {
    let body = dir.bytes(GenerationFile::Approval(stem, Half::Body))?;
    let signature = dir.bytes(GenerationFile::Approval(stem, Half::Signature))?;
    Some(Signed::verify_by(body, signature, &snapshot.memory, |approval: &Approval| {
        let entry = snapshot.founding.roster.get(usize::from(approval.index).checked_sub(1)?)?;
        (entry.stem() == stem).then_some(entry.signing_key)
    }))
}

/// Sorts all directories into ceremonies.
pub(super) fn ceremonies<'a>(snapshot: &'a Snapshot, findings: &mut Findings<'a>) -> Vec<Ceremony<'a>> {
    let mut found: BTreeMap<Digest, Ceremony<'a>> = BTreeMap::new();
    let mut nameless = Vec::new();
    for dir in dirs(snapshot) {
        match identify(snapshot, &dir) {
            Some((id, plan)) => {
                let new = || Ceremony { id, plan, dirs: Vec::new(), approvals: Vec::new(), manifests: BTreeMap::new() };
                found.entry(id).or_insert_with(new).dirs.push(dir);
            }
            None => nameless.push(dir),
        }
    }
    for dir in nameless {
        let mut same = found.values_mut().filter(|ceremony| ceremony.dirs.iter().any(|other| other.name == dir.name));
        match (same.next(), same.next()) {
            (Some(ceremony), None) => ceremony.dirs.push(dir),
            _ => {
                let what = "holds no readable plan, manifest or approval, so that nothing says what it is";
                for file in dir.files.keys() {
                    findings.wrong(dir.copy, dir.path(*file), what, "");
                }
            }
        }
    }
    let mut ceremonies: Vec<_> = found.into_values().collect();
    for ceremony in &mut ceremonies {
        gather(snapshot, ceremony);
    }
    ceremonies
}

fn dirs(snapshot: &Snapshot) -> Vec<Dir<'_>> {
    let mut dirs = Vec::new();
    for (copy, view) in snapshot.copies.iter().enumerate() {
        let mut here: BTreeMap<&str, Dir<'_>> = BTreeMap::new();
        for (path, content) in &view.files {
            if let Place::Generation(name, file) = Place::of(path) {
                let dir = here.entry(name).or_insert_with(|| Dir { copy, name, files: BTreeMap::new() });
                dir.files.insert(file, content);
            }
        }
        dirs.extend(here.into_values());
    }
    dirs
}

/// The ceremony of a directory: what most of its contents name; a signed approval counts twice.
fn identify(snapshot: &Snapshot, dir: &Dir<'_>) -> Option<(Digest, Plan)> {
    let mut votes: BTreeMap<Digest, (u32, Plan)> = BTreeMap::new();
    let mut vote = |weight: u32, plan: Plan| {
        votes.entry(plan.digest()).or_insert((0, plan)).0 += weight;
    };
    for stem in dir.bodies(approval_body) {
        if let Some(Ok(approval)) = approval(snapshot, dir, stem) {
            vote(2, approval.body().plan.clone());
        }
    }
    if let Some(manifest) =
        dir.bytes(GenerationFile::Manifest).and_then(|bytes| snapshot.memory.read::<Manifest>(bytes).ok())
    {
        vote(1, manifest.plan);
    }
    if let Some(plan) = dir.bytes(GenerationFile::Plan).and_then(|bytes| snapshot.memory.read::<Plan>(bytes).ok()) {
        vote(1, plan);
    }
    let best = votes.into_iter().max_by_key(|(_, (count, _))| *count);
    best.map(|(id, (_, plan))| (id, plan))
}

fn gather(snapshot: &Snapshot, ceremony: &mut Ceremony<'_>) {
    for dir in &ceremony.dirs {
        for stem in dir.bodies(approval_body) {
            if let Some(Ok(approval)) = approval(snapshot, dir, stem) {
                let new = ceremony.approvals.iter().all(|other| other.digest() != approval.digest());
                if new && approval.body().plan == ceremony.plan {
                    ceremony.approvals.push(approval);
                }
            }
        }
        let manifest = dir.bytes(GenerationFile::Manifest);
        let manifest =
            manifest.and_then(|bytes| Some((Digest::of(bytes), snapshot.memory.read::<Manifest>(bytes).ok()?)));
        if let Some((digest, manifest)) = manifest.filter(|(_, manifest)| manifest.plan == ceremony.plan) {
            ceremony.manifests.insert(digest, manifest);
        }
    }
    ceremony.approvals.sort_by_key(|approval| (approval.body().index, approval.digest()));
}

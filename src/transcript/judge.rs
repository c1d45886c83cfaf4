//! The verdict over everything that stands on the copies of a vault (`docs/format.md`, section 4). Pure.

mod alone;
mod collect;
mod files;
mod findings;
mod follow;
mod hidden;
mod line;
mod outside;
mod verdict;

use std::collections::BTreeMap;

use super::approval::Approval;
use super::closing::Closing;
use super::founding::Founding;
use super::manifest::Manifest;
use super::plan::Plan;
use super::record::Record;
use super::signed::Signed;
use super::snapshot::Snapshot;
use crate::encoding::{Digest, Nonce16};
use crate::error::{Advice, Exit};

pub use alone::{serves_alone, serves_generation_alone};
pub use follow::{FollowError, check_manifest_follows, check_plan_follows};
pub use hidden::CommitSign;

/// How far above the highest number that k custodians approved a number may be that fewer stand behind, or one token.
pub const NUMBER_WINDOW: u64 = 1 << 32;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something is missing on one copy, or left over; nothing was falsified.
    Note,
    /// A byte is not what was signed, or what was signed is not there.
    Wrong,
}

/// One thing that was noticed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// Path of the copy; none if it concerns all.
    pub copy: Option<String>,
    /// Path in the copy; empty if it concerns no one file.
    pub file: String,
    /// What, as a clause.
    pub what: String,
    /// What to do now; may be empty.
    pub hint: String,
}

/// Several committed manifests with one parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    /// Digest of the parent's manifest; none: several generations 1.
    pub parent: Option<Digest>,
    /// Digests of the committed manifests.
    pub children: Vec<Digest>,
    /// The one of them that is ratified, if exactly one is: then the others can never be, and the line goes on there.
    pub settled: Option<Digest>,
}

/// How far an unfinished ceremony came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// A plan, and perhaps approvals.
    Gathering,
    /// A manifest, without COMMIT.
    Staged,
    /// COMMIT is there; round 2 is to be finished.
    Committed,
}

/// A ceremony that was begun, and neither ratified, nor abandoned, nor made impossible by another.
#[derive(Debug, Clone)]
pub struct Unfinished {
    /// Its id.
    pub id: Digest,
    /// Its number.
    pub number: u64,
    /// Its directory under `generations/`, on the first copy that has it.
    pub directory: String,
    /// Its plan.
    pub plan: Plan,
    /// How far it came.
    pub stage: Stage,
    /// Valid approvals, by index. Where a custodian has several, the one that the manifest lists, or else one of them.
    pub approvals: BTreeMap<u8, Signed<Approval>>,
    /// Digest of the manifest, once it is staged.
    pub manifest: Option<Digest>,
}

/// What became of a ceremony.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its manifest is committed and in the line.
    Committed,
    /// A plan that k custodians approved declares it abandoned, and no COMMIT of it is known.
    Abandoned,
    /// A ratified generation stands where its own would, or later: it can never be gathered, or never be ratified.
    DeadSibling,
    /// None of these.
    Unfinished,
}

/// One generation, as far as it is written.
#[derive(Debug, Clone)]
pub struct GenerationState {
    /// Its number: the position in the line.
    pub generation: u64,
    /// Its directory under `generations/`, on the first copy that has it.
    pub directory: String,
    /// The ceremony that made it.
    pub ceremony: Digest,
    /// What was done.
    pub manifest: Manifest,
    /// Digest of the manifest.
    pub digest: Digest,
    /// COMMIT verifies over the manifest.
    pub commit: bool,
    /// Committed (format, section 4): for generation 1 this takes all closings too.
    pub committed: bool,
    /// Why it is not committed though COMMIT verifies.
    pub defect: Option<String>,
    /// Ratified.
    pub ratified: bool,
    /// Fewer than k custodians hold it.
    pub extinct: bool,
    /// In the line that leads to the current generation.
    pub in_line: bool,
    /// Valid approvals, by index.
    pub approvals: BTreeMap<u8, Signed<Approval>>,
    /// Valid closings, by index. Where a custodian signed several: the one that the next manifest lists, or else the one with
    /// the lowest digest. What any of them says is destroyed, is.
    pub closings: BTreeMap<u8, Signed<Closing>>,
    /// All valid closings, without repetition.
    more_closings: Vec<Signed<Closing>>,
    /// The custodians who still hold a share key of it, ascending.
    pub holders: Vec<u8>,
    /// The custodians who still hold a share key of the generation before it, by closings in its own line alone, ascending: as
    /// long as these are k, it is not ratified. What was closed on another branch does not count for this one.
    pub parent_holders: Vec<u8>,
    /// The custodians whose share envelope stands on a copy, right in every byte, ascending.
    pub shares_here: Vec<u8>,
    /// Places in [`Judgement::copies`] of the copies that have every file of it, right in every byte; but for damaged closings
    /// that nothing relies on.
    pub complete_on: Vec<usize>,
    /// Paths in its directory, ascending, of items and the inbox identity that stand on no copy as the manifest names them,
    /// while the generation is committed and not extinct: the next one cannot carry them.
    pub lost: Vec<String>,
    /// Places in [`Judgement::copies`] of the copies that have every file of it but those of `lost`, right in every byte.
    pub complete_but_lost_on: Vec<usize>,
}

impl GenerationState {
    /// Path of a file of this generation in a copy, for example of `COMMIT`.
    pub fn path(&self, file: &str) -> String {
        format!("generations/{}/{file}", self.directory)
    }
}

/// A copy that took part in the verdict.
#[derive(Debug, Clone)]
pub struct CopyState {
    /// Where it is, for people.
    pub path: String,
    /// Its id, if it has a good mark.
    pub id: Option<Nonce16>,
    /// Number of files that other copies have and this one should have and has not: those of a ceremony without COMMIT belong
    /// only on the copies that it was begun on.
    pub missing: usize,
    /// Something on it is wrong.
    pub wrong: bool,
}

/// The verdict.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// The vault id.
    pub vault: Digest,
    /// The founding body.
    pub founding: Founding,
    /// A drill vault.
    pub practice: bool,
    /// The copies.
    pub copies: Vec<CopyState>,
    /// Every generation that has a manifest, committed or not, by number and digest.
    pub generations: Vec<GenerationState>,
    /// Wrong ones first.
    pub findings: Vec<Finding>,
    /// The first fork of the line.
    pub fork: Option<Fork>,
    /// By number.
    pub unfinished: Vec<Unfinished>,
    /// The highest number that any ceremony here has shown; 0: none.
    pub highest_number: u64,
    /// Valid records, by time.
    pub records: Vec<Signed<Record>>,
    ceremonies: BTreeMap<Digest, Known>,
    abandoned: std::collections::BTreeSet<Digest>,
    line: Vec<usize>,
    /// By copy and name: which ceremony a directory under `generations/` holds; none if nothing in it says so.
    directories: BTreeMap<(usize, String), Option<Digest>>,
}

/// A ceremony of which anything is here.
#[derive(Debug, Clone)]
struct Known {
    plan: Plan,
    fate: Fate,
    /// The plan is of this vault, and at least one custodian approved it. Anybody who can write to a copy can put a plan there.
    is_signed: bool,
}

/// Judges everything that was read.
pub fn judge(snapshot: &Snapshot) -> Judgement {
    verdict::verdict(snapshot)
}

impl Judgement {
    /// Whether nothing is wrong; notes do not count.
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity == Severity::Note)
    }

    /// The current generation: the last committed one of a line without an unsettled fork.
    ///
    /// # Errors
    /// [`JudgeError`].
    pub fn current(&self) -> Result<&GenerationState, JudgeError> {
        if let Some(fork) = self.fork.as_ref().filter(|fork| fork.settled.is_none()) {
            return Err(JudgeError::Fork { fork: fork.clone() });
        }
        self.line().last().ok_or(JudgeError::NotFounded)
    }

    /// Whether this vault has been founded: generation 1 is committed, or a custodian approved a later one.
    pub fn is_founded(&self) -> bool {
        let later = self.ceremonies.values().any(|known| known.is_signed && known.plan.generation > 1);
        later || self.generations.iter().any(|state| state.committed)
    }

    /// The committed generations, from 1 to the last before an unsettled fork.
    pub fn line(&self) -> impl DoubleEndedIterator<Item = &GenerationState> {
        self.line.iter().map(|&place| &self.generations[place])
    }

    /// The generations that led to this one, as far as they are here, from the first; itself last. Unlike [`Self::line`] it
    /// also follows a branch of a fork.
    pub fn line_to<'j>(&'j self, generation: &'j GenerationState) -> Vec<&'j GenerationState> {
        let before = |state: &&'j GenerationState| self.generation(&state.manifest.plan.parent?);
        let mut line: Vec<_> = std::iter::successors(Some(generation), before).collect();
        line.reverse();
        line
    }

    /// The last committed generations of all branches of an unsettled fork, the highest ceremony number first. Each can be
    /// finished, or gone on over, as far as the tokens let it; none without a fork.
    pub fn tips(&self) -> Vec<&GenerationState> {
        let Some(fork) = self.fork.as_ref().filter(|fork| fork.settled.is_none()) else { return Vec::new() };
        let committed = || self.generations.iter().filter(|state| state.committed);
        let followed = |state: &GenerationState| committed().any(|c| c.manifest.plan.parent == Some(state.digest));
        let branched =
            |state: &GenerationState| self.line_to(state).iter().any(|before| fork.children.contains(&before.digest));
        let mut tips: Vec<_> = committed().filter(|state| !followed(state) && branched(state)).collect();
        tips.sort_by_key(|tip| (std::cmp::Reverse(tip.manifest.plan.number), tip.digest));
        tips
    }

    /// The last ratified generation of the line.
    pub fn ratified_head(&self) -> Option<&GenerationState> {
        self.line().rev().find(|generation| generation.ratified)
    }

    /// The current generation, if it is not ratified: then nothing but its round 2 may go on.
    pub fn unratified(&self) -> Option<&GenerationState> {
        self.current().ok().filter(|generation| !generation.ratified)
    }

    /// The generation with this manifest, committed or not.
    pub fn generation(&self, manifest: &Digest) -> Option<&GenerationState> {
        self.generations.iter().find(|generation| generation.digest == *manifest)
    }

    /// The generation that this ceremony made, committed or not.
    pub fn generation_of(&self, ceremony: &Digest) -> Option<&GenerationState> {
        let mut made = self.generations.iter().filter(|generation| generation.ceremony == *ceremony);
        let first = made.next();
        made.find(|generation| generation.committed).or(first)
    }

    /// Whether a COMMIT of this ceremony is on any copy, or what followed it stands for it.
    pub fn has_a_commit(&self, ceremony: &Digest) -> bool {
        let mut made = self.generations.iter().filter(|generation| generation.ceremony == *ceremony);
        made.any(|generation| generation.commit || generation.committed)
    }

    /// The custodians who still hold a share key of this generation, ascending.
    pub fn holders(&self, manifest: &Digest) -> &[u8] {
        self.generation(manifest).map_or(&[], |generation| &generation.holders)
    }

    /// Whether this ceremony is declared abandoned by a plan that k custodians approved; a record of that alone is one
    /// custodian's word. False if it turned out to be committed.
    pub fn is_abandoned(&self, ceremony: &Digest) -> bool {
        self.abandoned.contains(ceremony) && self.knows_ceremony(ceremony) != Some(Fate::Committed)
    }

    /// What became of this ceremony, if anything is known of it.
    pub fn knows_ceremony(&self, ceremony: &Digest) -> Option<Fate> {
        let known = self.ceremonies.get(ceremony).map(|known| known.fate);
        known.or_else(|| self.abandoned.contains(ceremony).then_some(Fate::Abandoned))
    }

    /// The plan of this ceremony.
    pub fn ceremony(&self, ceremony: &Digest) -> Option<&Plan> {
        self.ceremonies.get(ceremony).map(|known| &known.plan)
    }

    /// Names of the directories under `generations/` on all copies, with the ceremonies they hold.
    pub fn directories(&self) -> impl Iterator<Item = (&str, Option<Digest>)> {
        self.directories.iter().map(|((_, name), ceremony)| (name.as_str(), *ceremony))
    }

    /// The ceremony that this directory holds on this copy (place in [`Self::copies`]).
    pub fn ceremony_in(&self, copy: usize, directory: &str) -> Option<Digest> {
        self.directories.get(&(copy, directory.to_owned())).copied().flatten()
    }

    /// The directory that holds this ceremony on this copy (place in [`Self::copies`]).
    pub fn directory_of(&self, copy: usize, ceremony: &Digest) -> Option<&str> {
        let mut here = self.directories.iter().filter(|((on, _), of)| *on == copy && of.as_ref() == Some(ceremony));
        here.next().map(|((_, name), _)| name.as_str())
    }

    /// The number for the next ceremony; tokens may know of higher ones.
    pub fn next_number(&self) -> u64 {
        self.highest_number + 1
    }
}

/// There is no current generation.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum JudgeError {
    /// Generation 1 is not committed.
    #[error("the vault is not founded: not all founders have approved and closed generation 1")]
    NotFounded,
    /// Two committed generations follow one, and neither is ratified, or both claim to be.
    #[error("two generations follow the same one (a fork): {}",
        fork.children.iter().map(Digest::words).collect::<Vec<_>>().join("; "))]
    Fork {
        /// The fork.
        fork: Fork,
    },
}

impl Advice for JudgeError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotFounded => {
                "run `claviger status VAULT`: it says whether `claviger resume` or `claviger found` with the same files goes on"
            }
            Self::Fork { .. } => {
                "nothing is lost: bring every copy, find out who held which ceremony, and run `claviger resume VAULT`; it asks \
                 which of them is finished"
            }
        };
        Some(hint.to_owned())
    }

    fn exit(&self) -> Exit {
        match self {
            Self::NotFounded => Exit::Resumable,
            Self::Fork { .. } => Exit::Verification,
        }
    }
}

//! What is committed, extinct and ratified, and which line counts (`docs/format.md`, section 4).

use std::collections::{BTreeMap, BTreeSet};

use super::collect::{Ceremony, Dir, closing_body};
use super::follow::{check_manifest_follows, check_plan_follows};
use super::{Fork, GenerationState};
use crate::encoding::{Digest, Document, Signature};
use crate::transcript::approval::Approval;
use crate::transcript::closing::Closing;
use crate::transcript::founding::RosterEntry;
use crate::transcript::manifest::Manifest;
use crate::transcript::place::{GenerationFile, Half, crowded_directory, generation_directory};
use crate::transcript::signed::{Signed, SignedError};
use crate::transcript::snapshot::Snapshot;

/// A closing in `dir`, verified under the roster's key and against the manifest; `None`: it has no signature file.
pub(super) fn closing(
    snapshot: &Snapshot,
    dir: &Dir<'_>,
    stem: &str,
    (manifest, digest): (&Manifest, Digest),
) -> Option<Result<Signed<Closing>, SignedError>> {
    let body = dir.bytes(GenerationFile::Closing(stem, Half::Body))?;
    let signature = dir.bytes(GenerationFile::Closing(stem, Half::Signature))?;
    Some(Signed::verify_by(body, signature, &snapshot.memory, |closing: &Closing| {
        let entry = snapshot.founding.roster.get(usize::from(closing.index).checked_sub(1)?)?;
        let ours = entry.stem() == stem && closing.vault == snapshot.vault;
        (ours && closes(closing, manifest, digest)).then_some(entry.signing_key)
    }))
}

/// Whether a closing says what one of this generation has to say.
fn closes(closing: &Closing, manifest: &Manifest, digest: Digest) -> bool {
    closing.vault == manifest.plan.vault
        && closing.generation == manifest.generation()
        && closing.manifest == digest
        && manifest.share_key(closing.index).is_some_and(|key| key.public == closing.share_key)
}

impl GenerationState {
    /// Whether this is a valid closing of it by this custodian.
    pub fn is_closed_by(&self, custodian: &RosterEntry, body: &[u8], signature: &[u8]) -> bool {
        Signed::<Closing>::verify(body, signature, &custodian.signing_key).is_ok_and(|closing| {
            closing.body().index == custodian.index && closes(closing.body(), &self.manifest, self.digest)
        })
    }
}

/// Whether these bytes are a COMMIT over this manifest.
pub(super) fn is_commit(
    snapshot: &Snapshot,
    commit: &[u8],
    manifest: &Manifest,
    manifests: &BTreeMap<Digest, Manifest>,
) -> bool {
    let key = match manifest.plan.parent {
        None => Some(manifest.succession_key),
        Some(parent) => manifests.get(&parent).map(|parent| parent.succession_key),
    };
    let signature = Signature::from_der(commit);
    key.zip(signature.ok())
        .is_some_and(|(key, signature)| snapshot.memory.verifies(&signature, &key, &manifest.encode()))
}

/// All generations that have a manifest, by number and digest, with their line and forks.
pub(super) struct Line {
    pub manifests: BTreeMap<Digest, Manifest>,
    pub generations: Vec<GenerationState>,
    pub line: Vec<usize>,
    pub forks: Vec<Fork>,
}

pub(super) fn line(snapshot: &Snapshot, ceremonies: &[Ceremony<'_>]) -> Line {
    let manifests: BTreeMap<Digest, Manifest> = ceremonies
        .iter()
        .flat_map(|c| c.manifests.iter().map(|(digest, manifest)| (*digest, manifest.clone())))
        .collect();
    let mut generations: Vec<GenerationState> = ceremonies
        .iter()
        .flat_map(|ceremony| ceremony.manifests.iter().map(move |(digest, manifest)| (ceremony, *digest, manifest)))
        .map(|(ceremony, digest, manifest)| state(snapshot, ceremony, (manifest, digest), &manifests))
        .collect();
    generations.sort_by_key(|state| (state.generation, state.digest));
    decide_committed(snapshot, &mut generations);
    prefer_listed_closings(&mut generations);
    let lines = lines_of_committed(&generations);
    let gone = decide_holders(&mut generations, &lines);
    decide_ratified(&mut generations, &lines, &gone);
    let (line, forks) = walk(&generations);
    for &place in &line {
        generations[place].in_line = true;
    }
    Line { manifests, generations, line, forks }
}

fn state(
    snapshot: &Snapshot,
    ceremony: &Ceremony<'_>,
    (manifest, digest): (&Manifest, Digest),
    manifests: &BTreeMap<Digest, Manifest>,
) -> GenerationState {
    let mut approvals: BTreeMap<u8, Signed<Approval>> = BTreeMap::new();
    for approval in &ceremony.approvals {
        let index = approval.body().index;
        let listed = manifest.approvals.iter().any(|entry| entry.index == index && entry.digest == approval.digest());
        if listed || !approvals.contains_key(&index) {
            approvals.insert(index, approval.clone());
        }
    }
    let mut closings: BTreeMap<u8, Signed<Closing>> = BTreeMap::new();
    let mut more_closings: Vec<Signed<Closing>> = Vec::new();
    let mut commit = false;
    for dir in &ceremony.dirs {
        for stem in dir.bodies(closing_body) {
            if let Some(Ok(closing)) = closing(snapshot, dir, stem, (manifest, digest)) {
                more_closings.push(closing);
            }
        }
        let file = dir.bytes(GenerationFile::Commit);
        commit |= file.is_some_and(|file| is_commit(snapshot, file, manifest, manifests));
    }
    // A custodian may have signed several, on copies that did not know of each other. Which of them is shown must not depend
    // on the order of the copies; that all of them count is decided below.
    more_closings.sort_by_key(|closing| (closing.body().index, closing.digest()));
    more_closings.dedup_by_key(|closing| closing.digest());
    for closing in &more_closings {
        closings.entry(closing.body().index).or_insert_with(|| closing.clone());
    }
    GenerationState {
        generation: manifest.generation(),
        directory: directory(ceremony),
        ceremony: ceremony.id,
        manifest: manifest.clone(),
        digest,
        commit,
        committed: false,
        defect: None,
        ratified: false,
        extinct: false,
        in_line: false,
        approvals,
        closings,
        more_closings,
        holders: Vec::new(),
        parent_holders: Vec::new(),
        shares_here: Vec::new(),
        complete_on: Vec::new(),
        lost: Vec::new(),
        complete_but_lost_on: Vec::new(),
    }
}

/// The first directory whose name is what it should be. A copy on which it has another name must not hide what stands where it
/// should on the others.
fn directory(ceremony: &Ceremony<'_>) -> String {
    let names = || ceremony.dirs.iter().map(|dir| dir.name);
    let generation = ceremony.plan.generation;
    let right = [generation_directory(generation), crowded_directory(generation, &ceremony.id)];
    let rightly_named = names().find(|name| right.iter().any(|right| right == name));
    rightly_named.or_else(|| names().next()).unwrap_or_default().to_owned()
}

fn parent_of(generations: &[GenerationState], child: &GenerationState) -> Option<usize> {
    let parent = child.manifest.plan.parent?;
    generations.iter().position(|state| state.digest == parent)
}

/// In ascending order of generations, so that a parent is decided before its children.
fn decide_committed(snapshot: &Snapshot, generations: &mut [GenerationState]) {
    let relied_on = relied_on(snapshot, generations);
    for place in 0..generations.len() {
        let state = &generations[place];
        let parent = parent_of(generations, state).map(|parent| &generations[parent]);
        let stands = relied_on.contains(&state.digest);
        let defect = if state.manifest.plan.parent.is_some() && parent.is_none() {
            Some("the generation that it follows is not here".to_owned())
        } else if parent.is_some_and(|parent| !parent.committed) {
            Some("the generation that it follows is not committed".to_owned())
        } else if stands {
            // What k and the roster are is not for it to say: those who stand for it are k of the vault.
            let parent = parent.map(|parent| (&parent.manifest, parent.digest));
            check_plan_follows(&snapshot.founding, parent, &state.manifest.plan).err().map(|error| error.to_string())
        } else {
            let parent = parent.map(|parent| (&parent.manifest, parent.digest));
            let followed = check_manifest_follows(&snapshot.founding, parent, &state.manifest, &state.approvals);
            followed.err().map(|error| error.to_string())
        };
        let closed = state.generation > 1 || state.closings.len() == state.manifest.plan.n();
        let committed = defect.is_none() && (stands || (state.commit && closed));
        let state = &mut generations[place];
        state.committed = committed;
        state.defect = defect;
    }
}

/// The generations that what follows them stands for: k custodians approved a plan that names the manifest by its digest, and
/// its succession key signed what came of that. Nobody makes such a one without having seen the COMMIT, the approvals and, of
/// generation 1, the closings of all founders; so what happens to these later, on every copy that is left, does not close the vault.
fn relied_on(snapshot: &Snapshot, generations: &[GenerationState]) -> BTreeSet<Digest> {
    let mut relied_on = BTreeSet::new();
    for child in generations.iter().rev() {
        let Some(parent) = parent_of(generations, child).map(|place| &generations[place]) else { continue };
        // How many approvals it takes, and whose, is for the founding body to say, of all that stand for each other.
        let of_the_vault = |state: &GenerationState| {
            let plan = &state.manifest.plan;
            let founding = &snapshot.founding;
            plan.vault == snapshot.vault && plan.k == founding.k && plan.roster == founding.roster
        };
        if !of_the_vault(parent) || !of_the_vault(child) {
            continue;
        }
        let follows = || {
            let parent = Some((&parent.manifest, parent.digest));
            check_manifest_follows(&snapshot.founding, parent, &child.manifest, &child.approvals).is_ok()
        };
        let closed: BTreeSet<u8> = child.manifest.closings.iter().map(|entry| entry.index).collect();
        let all = parent.manifest.plan.roster.iter().all(|entry| closed.contains(&entry.index));
        if (relied_on.contains(&child.digest) || (child.commit && follows())) && (parent.generation > 1 || all) {
            relied_on.insert(parent.digest);
        }
    }
    relied_on
}

/// Of several closings of one custodian, the one that counts for what follows is the one that a committed child lists.
fn prefer_listed_closings(generations: &mut [GenerationState]) {
    let listed: BTreeSet<(Digest, u8, Digest)> = generations
        .iter()
        .filter(|child| child.committed)
        .filter_map(|child| Some((child.manifest.plan.parent?, &child.manifest.closings)))
        .flat_map(|(parent, closings)| closings.iter().map(move |entry| (parent, entry.index, entry.digest)))
        .collect();
    for state in generations {
        for closing in &state.more_closings {
            let index = closing.body().index;
            if listed.contains(&(state.digest, index, closing.digest())) {
                state.closings.insert(index, closing.clone());
            }
        }
    }
}

/// For each generation, the custodians who signed their share key of it away, each with the places of the later generations
/// whose closings say so.
type Gone = Vec<BTreeMap<u8, Vec<usize>>>;

/// > Custodian i holds generation g while no valid closing by i of a later generation, committed and in the line of g,
/// > lists in `destroyed` the share key that manifest g names for i.
fn decide_holders(generations: &mut [GenerationState], lines: &[BTreeSet<usize>]) -> Gone {
    let mut gone: Gone = vec![BTreeMap::new(); generations.len()];
    for (at, later) in generations.iter().enumerate().filter(|(_, state)| state.committed) {
        // Every valid one: a key that its custodian signed away once is gone, whatever else was signed.
        for (&place, closing) in lines[at].iter().flat_map(|place| later.more_closings.iter().map(move |c| (place, c)))
        {
            let index = closing.body().index;
            let key = generations[place].manifest.share_key(index);
            if key.is_some_and(|key| closing.body().destroyed.contains(&key.public)) {
                gone[place].entry(index).or_default().push(at);
            }
        }
    }
    for (state, gone) in generations.iter_mut().zip(&gone) {
        let roster = state.manifest.plan.roster.iter().map(|entry| entry.index);
        state.holders = roster.filter(|index| !gone.contains_key(index)).collect();
        state.extinct = state.holders.len() < usize::from(state.manifest.plan.k);
    }
    gone
}

fn decide_ratified(generations: &mut [GenerationState], lines: &[BTreeSet<usize>], gone: &Gone) {
    for place in 0..generations.len() {
        let state = &generations[place];
        let proven = state.closings.len() >= usize::from(state.manifest.plan.k);
        let ratified = match state.manifest.plan.parent {
            None => state.committed && state.generation == 1,
            // All of them: one that was committed and never ratified may stand between.
            Some(_) => {
                let extinct = |before: &usize| {
                    let k = usize::from(generations[*before].manifest.plan.k);
                    holders_for(generations, lines, gone, *before, place).len() < k
                };
                state.committed && proven && lines[place].iter().all(extinct)
            }
        };
        let parent = parent_of(generations, state);
        let holders = parent.map(|parent| holders_for(generations, lines, gone, parent, place));
        generations[place].parent_holders = holders.unwrap_or_default();
        generations[place].ratified = ratified;
    }
}

/// The custodians who hold the generation at `before`, by closings in the line of the one at `place` alone, ascending. A
/// custodian who closed another branch has given up the key of what both follow, and kept the one of that branch: counted
/// here too, k custodians could be left who open it.
fn holders_for(
    generations: &[GenerationState],
    lines: &[BTreeSet<usize>],
    gone: &Gone,
    before: usize,
    place: usize,
) -> Vec<u8> {
    let in_line = |later: &usize| *later == place || lines[place].contains(later) || lines[*later].contains(&place);
    let is_gone = |index: &u8| gone[before].get(index).is_some_and(|says| says.iter().any(in_line));
    let roster = generations[before].manifest.plan.roster.iter().map(|entry| entry.index);
    roster.filter(|index| !is_gone(index)).collect()
}

/// For each committed generation, the places of all before it; for any other nothing: of these anybody who can write to a copy
/// can make long chains, and what is asked of a line is asked of committed ones. A parent stands before its children.
fn lines_of_committed(generations: &[GenerationState]) -> Vec<BTreeSet<usize>> {
    let mut lines: Vec<BTreeSet<usize>> = Vec::with_capacity(generations.len());
    for state in generations {
        let parent = state.committed.then(|| parent_of(generations, state)).flatten();
        let before = parent.and_then(|parent| Some((parent, lines.get(parent)?.clone())));
        lines.push(before.map(|(parent, line)| line.into_iter().chain([parent]).collect()).unwrap_or_default());
    }
    lines
}

/// The places of all generations before `state`, as far as they are here.
fn ancestors(generations: &[GenerationState], state: &GenerationState) -> BTreeSet<usize> {
    let mut places = BTreeSet::new();
    let mut next = parent_of(generations, state);
    while let Some(place) = next {
        places.insert(place);
        next = parent_of(generations, &generations[place]);
    }
    places
}

/// Whether the generation in `place`, or one that follows it, is ratified.
fn leads_to_a_ratified_one(generations: &[GenerationState], place: usize) -> bool {
    let ratified = generations.iter().enumerate().filter(|(_, state)| state.ratified);
    let mut leads = ratified.map(|(at, state)| at == place || ancestors(generations, state).contains(&place));
    leads.any(|leads| leads)
}

/// Follows the committed generations from 1; at a fork only if exactly one branch leads to a ratified one.
fn walk(generations: &[GenerationState]) -> (Vec<usize>, Vec<Fork>) {
    let (mut line, mut forks) = (Vec::new(), Vec::new());
    let mut parent = None;
    loop {
        let is_child =
            |place: &usize| generations[*place].committed && generations[*place].manifest.plan.parent == parent;
        let children: Vec<usize> = (0..generations.len()).filter(is_child).collect();
        let ratified: Vec<usize> =
            children.iter().copied().filter(|place| leads_to_a_ratified_one(generations, *place)).collect();
        let next = match (children.as_slice(), ratified.as_slice()) {
            ([], _) => return (line, forks),
            ([only], _) => Some(*only),
            (_, [settled]) => Some(*settled),
            _ => None,
        };
        if children.len() > 1 {
            let settled = next.map(|place| generations[place].digest);
            let children = children.iter().map(|place| generations[*place].digest).collect();
            forks.push(Fork { parent, children, settled });
        }
        let Some(next) = next else { return (line, forks) };
        line.push(next);
        parent = Some(generations[next].digest);
    }
}

//! How the verdict is reached: line, files, fates.

use std::collections::{BTreeMap, BTreeSet};

use super::NUMBER_WINDOW;
use super::collect::{Ceremony, ceremonies};
use super::files::{Bench, Looked};
use super::findings::Findings;
use super::line::{Line, line};
use super::{CopyState, Fate, Fork, GenerationState, Judgement, Known, Severity, Stage, Unfinished, outside};
use crate::encoding::Digest;
use crate::transcript::place::Place;
use crate::transcript::record::{Record, RecordBody};
use crate::transcript::signed::Signed;
use crate::transcript::snapshot::Snapshot;

pub(super) fn verdict(snapshot: &Snapshot) -> Judgement {
    let mut findings = Findings::new(snapshot);
    outside::strangers(snapshot, &mut findings);
    let ceremonies = ceremonies(snapshot, &mut findings);
    let Line { manifests, mut generations, line, forks } = line(snapshot, &ceremonies);
    let mut missing = vec![0; snapshot.copies.len()];
    for ceremony in &ceremonies {
        let place = made(&generations, ceremony.id);
        let state = place.map(|place| &generations[place]);
        let dead = match state {
            // On the branch that a settled fork left, no closing says so, and its secrets may be gone all the same.
            Some(state) if state.committed && (state.extinct || state.in_line) => state.extinct,
            _ => is_dead(&generations, &line, ceremony),
        };
        let listed_closings = state.map(|state| listed_closings(&generations, state.digest)).unwrap_or_default();
        let followed = state.is_some_and(|state| manifests.values().any(|m| m.plan.parent == Some(state.digest)));
        let is_last = state.is_some_and(|state| state.committed && !has_committed_child(&generations, state.digest));
        let bench =
            Bench { snapshot, ceremony, state, manifests: &manifests, listed_closings, followed, is_last, dead };
        let Looked { missing: counts, lost, complete_but_lost } = bench.look(&mut findings);
        let whole = (0..counts.len()).filter(|copy| counts[*copy] == Some(0)).collect();
        let shares = bench.shares();
        if let Some(place) = place {
            generations[place].shares_here = shares;
            generations[place].complete_on = whole;
            generations[place].lost = lost;
            generations[place].complete_but_lost_on = complete_but_lost;
        }
        missing.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count.unwrap_or_default());
    }
    let in_line: Vec<&GenerationState> = line.iter().map(|&place| &generations[place]).collect();
    closings_are_there(&in_line, &mut findings);
    outside::heads(snapshot, &ceremonies, in_line.last().copied(), &mut findings);
    outside::inbox(snapshot, &ceremonies, &in_line, &mut findings);
    let (records, whole) = outside::records(snapshot, &in_line, &mut findings);
    for (copy, whole) in whole.iter().enumerate() {
        let absent = records.iter().filter(|record| !whole.contains(&record.digest())).count();
        if absent > 0 {
            let what = format!("lacks {absent} of {} records that other copies have", records.len());
            findings.note(
                copy,
                "records".to_owned(),
                &what,
                "bring this copy up to date: `claviger copy sync` with all copies",
            );
            missing[copy] += 2 * absent;
        }
    }
    report_forks(&forks, &mut findings);
    let abandoned = abandoned(snapshot, &ceremonies);
    let fates: BTreeMap<Digest, Fate> =
        ceremonies.iter().map(|ceremony| (ceremony.id, fate(&generations, &line, &abandoned, ceremony))).collect();
    report_contradictions(&fates, &abandoned, &records, &mut findings);
    let unfinished = unfinished(&generations, &ceremonies, &fates);
    let highest_number = highest_number(snapshot, &ceremonies, &records);
    let findings = findings.into_sorted();
    let copies = copies(snapshot, &missing, &findings);
    let directories = directories(snapshot, &ceremonies);
    let known = |ceremony: Ceremony<'_>| {
        let is_signed = ceremony.plan.vault == snapshot.vault && !ceremony.approvals.is_empty();
        (ceremony.id, Known { plan: ceremony.plan, fate: fates[&ceremony.id], is_signed })
    };
    let ceremonies = ceremonies.into_iter().map(known).collect();
    Judgement {
        vault: snapshot.vault,
        founding: snapshot.founding.clone(),
        practice: snapshot.founding.practice,
        copies,
        generations,
        findings,
        fork: forks.iter().find(|fork| fork.settled.is_none()).or(forks.first()).cloned(),
        unfinished,
        highest_number,
        records,
        ceremonies,
        abandoned,
        line,
        directories,
    }
}

/// The generation of a ceremony that counts: the committed one, or else one with COMMIT, or else any.
fn made(generations: &[GenerationState], ceremony: Digest) -> Option<usize> {
    let made = (0..generations.len()).filter(|&place| generations[place].ceremony == ceremony);
    made.max_by_key(|&place| (generations[place].committed, generations[place].commit, std::cmp::Reverse(place)))
}

fn has_committed_child(generations: &[GenerationState], parent: Digest) -> bool {
    generations.iter().any(|state| state.committed && state.manifest.plan.parent == Some(parent))
}

/// Whether a ceremony outside of the line can never come into it: a ratified generation stands where its own would, or
/// later. That what it consumes is extinct is not enough: in an unsettled fork that holds for every branch, and one of
/// them is to be opened.
fn is_dead(generations: &[GenerationState], line: &[usize], ceremony: &Ceremony<'_>) -> bool {
    line.iter()
        .map(|&place| &generations[place])
        .any(|state| state.ratified && state.generation >= ceremony.plan.generation && state.ceremony != ceremony.id)
}

fn fate(
    generations: &[GenerationState],
    line: &[usize],
    abandoned: &BTreeSet<Digest>,
    ceremony: &Ceremony<'_>,
) -> Fate {
    let state = made(generations, ceremony.id).map(|place| &generations[place]);
    match state {
        Some(state) if state.in_line => Fate::Committed,
        _ if is_dead(generations, line, ceremony) => Fate::DeadSibling,
        Some(state) if state.committed => Fate::Committed,
        _ if abandoned.contains(&ceremony.id) => Fate::Abandoned,
        _ => Fate::Unfinished,
    }
}

fn listed_closings(generations: &[GenerationState], parent: Digest) -> BTreeSet<(u8, Digest)> {
    let children = generations.iter().filter(|state| state.committed && state.manifest.plan.parent == Some(parent));
    children.flat_map(|state| &state.manifest.closings).map(|entry| (entry.index, entry.digest)).collect()
}

/// Closings that a child lists must be there, and be the ones it lists. Another closing of the same manifest by the same
/// custodian proves the same: it was signed on a copy that did not have the first one.
fn closings_are_there(line: &[&GenerationState], findings: &mut Findings<'_>) {
    for pair in line.windows(2) {
        let [parent, child] = pair else { continue };
        for listed in &child.manifest.closings {
            let stem = parent.manifest.plan.custodian(listed.index).map(|entry| entry.stem()).unwrap_or_default();
            let file = parent.path(&format!("closings/{stem}.json"));
            match parent.closings.get(&listed.index) {
                Some(closing) if closing.digest() == listed.digest => {}
                Some(_) => {
                    let what = "is another closing by this custodian than the one that the next manifest lists";
                    findings.note_everywhere(file, what, "nothing needs to be done: both prove the same");
                }
                None => {
                    let what = "is not the closing that the next manifest lists, or is missing";
                    findings.wrong_everywhere(file, what, "look for a copy that has it");
                }
            }
        }
    }
}

fn report_forks(forks: &[Fork], findings: &mut Findings<'_>) {
    for fork in forks {
        let children: Vec<String> = fork.children.iter().map(Digest::short).collect();
        let children = children.join(", ");
        match fork.settled {
            None => {
                let what =
                    format!("a fork: the generations {children} follow the same one, and nothing says which counts");
                let hint = "find out who held which ceremony; `claviger resume` asks which of them is finished";
                findings.wrong_everywhere(String::new(), &what, hint);
            }
            Some(settled) => {
                let short = settled.short();
                let what =
                    format!("a fork, settled: of the generations {children}, {short} is ratified; the others are dead");
                findings.note_everywhere(String::new(), &what, "find out who held the other ceremony, and why");
            }
        }
    }
}

fn report_contradictions(
    fates: &BTreeMap<Digest, Fate>,
    abandoned: &BTreeSet<Digest>,
    records: &[Signed<Record>],
    findings: &mut Findings<'_>,
) {
    let recorded = records.iter().filter_map(|record| match &record.body().body {
        RecordBody::Abandoned(body) => Some(body.ceremony),
        RecordBody::Check(_) | RecordBody::Refused(_) | RecordBody::Revealed(_) => None,
    });
    let said: BTreeSet<Digest> = recorded.chain(abandoned.iter().copied()).collect();
    for id in said.iter().filter(|id| fates.get(*id) == Some(&Fate::Committed)) {
        let what = format!("ceremony {} is recorded as abandoned, and yet it is committed", id.short());
        findings.wrong_everywhere(String::new(), &what, "find out who recorded that, and on which copies");
    }
}

/// Those that a plan names which k custodians approved. A record of it is signed by one custodian, who reports it and cannot
/// decide it: then one could let tokens leave a ceremony that is committed on a copy that is away.
fn abandoned(snapshot: &Snapshot, ceremonies: &[Ceremony<'_>]) -> BTreeSet<Digest> {
    let approved = ceremonies.iter().filter(|ceremony| ceremony.is_approved(snapshot));
    approved.flat_map(|ceremony| ceremony.plan.abandons.iter().map(|abandoned| abandoned.ceremony)).collect()
}

fn unfinished(
    generations: &[GenerationState],
    ceremonies: &[Ceremony<'_>],
    fates: &BTreeMap<Digest, Fate>,
) -> Vec<Unfinished> {
    let mut unfinished: Vec<Unfinished> = Vec::new();
    for ceremony in ceremonies {
        let state = made(generations, ceremony.id).map(|place| &generations[place]);
        let open = match fates.get(&ceremony.id) {
            Some(Fate::Unfinished) => true,
            // The last of a line alone can be unratified with nothing committed on top.
            Some(Fate::Committed) => {
                state.is_some_and(|state| !state.ratified && !has_committed_child(generations, state.digest))
            }
            Some(Fate::Abandoned | Fate::DeadSibling) | None => false,
        };
        if !open {
            continue;
        }
        let stage = match state {
            None => Stage::Gathering,
            Some(state) if state.commit && state.defect.is_none() => Stage::Committed,
            Some(_) => Stage::Staged,
        };
        let mut approvals = BTreeMap::new();
        for approval in &ceremony.approvals {
            approvals.entry(approval.body().index).or_insert_with(|| approval.clone());
        }
        unfinished.push(Unfinished {
            id: ceremony.id,
            number: ceremony.plan.number,
            directory: ceremony.dirs.first().map(|dir| dir.name.to_owned()).unwrap_or_default(),
            plan: ceremony.plan.clone(),
            stage,
            approvals: state.map_or(approvals, |state| state.approvals.clone()),
            manifest: state.map(|state| state.digest),
        });
    }
    unfinished.sort_by_key(|ceremony| (ceremony.number, ceremony.id));
    unfinished
}

/// What k custodians approved counts as it is. Plans and records that fewer stand behind count too, for the number may be
/// on a token, but only within [`NUMBER_WINDOW`]: nobody can use the numbers up alone.
fn highest_number(snapshot: &Snapshot, ceremonies: &[Ceremony<'_>], records: &[Signed<Record>]) -> u64 {
    let approved = ceremonies.iter().filter(|ceremony| ceremony.is_approved(snapshot));
    let approved = approved.map(|ceremony| ceremony.plan.number).max().unwrap_or(0);
    let recorded = records.iter().filter_map(|record| match &record.body().body {
        RecordBody::Abandoned(body) => Some(body.number),
        RecordBody::Check(_) | RecordBody::Refused(_) | RecordBody::Revealed(_) => None,
    });
    let claimed = ceremonies.iter().map(|ceremony| ceremony.plan.number).chain(recorded);
    let believed = claimed.filter(|number| *number <= approved.saturating_add(NUMBER_WINDOW));
    believed.max().unwrap_or(0).max(approved)
}

fn copies(snapshot: &Snapshot, missing: &[usize], findings: &[super::Finding]) -> Vec<CopyState> {
    let state = |(view, missing): (&crate::transcript::snapshot::CopyView, &usize)| {
        let here = |finding: &super::Finding| {
            finding.severity == Severity::Wrong && finding.copy.as_deref() == Some(view.path.as_str())
        };
        CopyState {
            path: view.path.clone(),
            id: view.mark().filter(|mark| mark.vault == snapshot.vault).map(|mark| mark.id),
            missing: *missing,
            wrong: findings.iter().any(here),
        }
    };
    snapshot.copies.iter().zip(missing).map(state).collect()
}

fn directories(snapshot: &Snapshot, ceremonies: &[Ceremony<'_>]) -> BTreeMap<(usize, String), Option<Digest>> {
    let mut directories = BTreeMap::new();
    for (copy, view) in snapshot.copies.iter().enumerate() {
        for path in view.files.keys() {
            if let Place::Generation(name, _) = Place::of(path) {
                directories.insert((copy, name.to_owned()), None);
            }
        }
    }
    for ceremony in ceremonies {
        let dirs = ceremony.dirs.iter().map(|dir| ((dir.copy, dir.name.to_owned()), Some(ceremony.id)));
        directories.extend(dirs);
    }
    directories
}

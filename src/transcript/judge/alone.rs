//! Whether one copy would do if all others were lost.

use super::{GenerationState, JudgeError, Judgement, Severity, judge};
use crate::transcript::snapshot::{Content, CopyView, Snapshot};

/// Whether copy `place` of `snapshot` alone proves and holds what all copies together do: the current generation is as
/// committed and ratified by what stands there as by everything, and is complete there. In a fork that holds for the last
/// generation of every branch, for people may choose any. Mark, founding body and policy must be right in any case, and
/// are all that there is before the founding; but a policy that no copy has right is nobody's fault more than another's, and
/// neither is an item that is lost.
pub fn serves_alone(snapshot: &Snapshot, place: usize, together: &Judgement) -> bool {
    let Some(alone) = alone(snapshot, place) else { return false };
    match together.current() {
        Ok(current) => holds(&alone, current),
        Err(JudgeError::Fork { .. }) => together.tips().into_iter().all(|tip| holds(&alone, tip)),
        Err(JudgeError::NotFounded) => true,
    }
}

/// The same for one generation of all copies together, whatever there is besides.
pub fn serves_generation_alone(snapshot: &Snapshot, place: usize, generation: &GenerationState) -> bool {
    alone(snapshot, place).is_some_and(|alone| holds(&alone, generation))
}

/// The verdict over one copy, if its mark, its founding body and its policy are right.
fn alone(snapshot: &Snapshot, place: usize) -> Option<Judgement> {
    let alone = Snapshot::new(vec![snapshot.copies.get(place)?.clone()]).ok()?;
    if alone.vault != snapshot.vault {
        return None;
    }
    let verdict = judge(&alone);
    let policy = |view: &CopyView| view.files.get("policy.toml").map(Content::digest) == Some(snapshot.founding.policy);
    let policy_is_here = snapshot.copies.iter().any(policy);
    let head = |file: &str| matches!(file, "vault.json" | "copy.json") || file == "policy.toml" && policy_is_here;
    let wrong = |finding: &super::Finding| finding.severity == Severity::Wrong && head(&finding.file);
    if verdict.findings.iter().any(wrong) { None } else { Some(verdict) }
}

fn holds(alone: &Judgement, state: &GenerationState) -> bool {
    alone.generation(&state.digest).is_some_and(|here| {
        // What no copy has is nobody's fault more than another's.
        let has_what_there_is = here.lost == state.lost && !here.complete_but_lost_on.is_empty();
        here.committed == state.committed && here.ratified == state.ratified && has_what_there_is
    })
}

//! Whether one copy would do if all others were lost.

use super::{GenerationState, JudgeError, Judgement, Severity, judge};
use crate::transcript::snapshot::Snapshot;

/// Whether copy `place` of `snapshot` alone proves and holds what all copies together do: the current generation is as
/// committed and ratified by what stands there as by everything, and is complete there. In a fork that holds for the last
/// generation of every branch, for people may choose any. Mark, founding body and policy must be right in any case, and
/// are all that there is before the founding.
pub fn serves_alone(snapshot: &Snapshot, place: usize, together: &Judgement) -> bool {
    let Some(view) = snapshot.copies.get(place) else { return false };
    let Ok(alone) = Snapshot::new(vec![view.clone()]) else { return false };
    if alone.vault != snapshot.vault {
        return false;
    }
    let verdict = judge(&alone);
    let head = |file: &str| matches!(file, "vault.json" | "policy.toml" | "copy.json");
    let wrong = |finding: &super::Finding| finding.severity == Severity::Wrong && head(&finding.file);
    if verdict.findings.iter().any(wrong) {
        return false;
    }
    let holds = |state: &GenerationState| {
        verdict.generation(&state.digest).is_some_and(|here| {
            here.committed == state.committed && here.ratified == state.ratified && !here.complete_on.is_empty()
        })
    };
    match together.current() {
        Ok(current) => holds(current),
        Err(JudgeError::Fork { .. }) => together.tips().into_iter().all(holds),
        Err(JudgeError::NotFounded) => true,
    }
}

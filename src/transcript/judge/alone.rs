//! Whether one copy would do if all others were lost.

use super::{Judgement, Severity, judge};
use crate::transcript::snapshot::Snapshot;

/// Whether copy `place` of `snapshot` alone proves and holds what all copies together do: the current generation is as
/// committed and ratified by what stands there as by everything, and is complete there. Before the founding, and in a fork,
/// where there is no current generation, its mark, founding body and policy must be right.
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
    let Ok(current) = together.current() else { return true };
    verdict.generation(&current.digest).is_some_and(|here| {
        here.committed == current.committed && here.ratified == current.ratified && !here.complete_on.is_empty()
    })
}

//! The commit: one signature by the succession key, on as many copies as the policy asks for. Made last.

use crate::encoding::{Digest, Document};
use crate::transcript::{CeremonyKind, Plan};
use crate::vault::layout;

use super::setting::{required, write};
use super::stage::Staged;
use super::{CeremonyError, Setting};

/// Evidence that a generation is committed on enough copies, or, for generation 1, complete. Consumed by round 2.
pub struct Committed {
    pub(super) id: Digest,
    pub(super) manifest: Digest,
    pub(super) plan: Plan,
    /// On how many copies a closing must stand.
    pub(super) copies: usize,
}

/// Signs the manifest. The old root's last key is gone when this returns.
///
/// # Errors
/// [`CeremonyError::AfterCommit`] where it stands on some copies and not on enough; then `resume` goes on.
pub fn commit(setting: &mut Setting<'_>, staged: Staged) -> Result<Committed, CeremonyError> {
    let Staged { id, directory, manifest, succession } = staged;
    let bytes = manifest.encode();
    let digest = Digest::of(&bytes);
    let signature = succession.sign(&bytes).to_der();
    drop(succession);
    let required = required(&setting.policy, &manifest.plan);
    let written = write(setting.copies, &setting.policy, &manifest.plan, &layout::commit(&directory), &signature);
    setting.rejudge()?;
    let outcome = written.and_then(|()| verify(setting, &digest, required));
    let stands = setting.judgement.generation(&digest).is_some_and(|state| state.commit);
    let generation = manifest.plan.generation;
    match outcome {
        Ok(()) => Ok(Committed { id, manifest: digest, plan: manifest.plan, copies: required }),
        Err(error) if stands => Err(CeremonyError::after_commit(generation)(error)),
        Err(error) => Err(error),
    }
}

/// What stands on the copies is judged as anyone would judge it, before any token relies on it: committed, and complete on
/// as many copies as the ceremony asks for, each of which would do alone.
fn verify(setting: &Setting<'_>, digest: &Digest, required: usize) -> Result<(), CeremonyError> {
    let unread = || CeremonyError::StageCheck { reason: "it cannot be read back".to_owned() };
    let state = setting.judgement.generation(digest).ok_or_else(unread)?;
    let founding = state.manifest.plan.kind == CeremonyKind::Found && state.commit;
    if let Some(reason) = state.defect.clone().filter(|_| !founding && !state.committed) {
        return Err(CeremonyError::StageCheck { reason });
    }
    let have = setting.standing(state, &state.complete_on)?;
    if have < required {
        return Err(CeremonyError::TooFewCopies { wanted: required, have });
    }
    if founding || state.committed { Ok(()) } else { Err(unread()) }
}

//! The commit: one signature by the succession key, on as many copies as the policy asks for. Made last.

use crate::encoding::{Digest, Document};
use crate::transcript::{CeremonyKind, Manifest, Plan};
use crate::vault::layout;

use super::setting::write;
use super::stage::Staged;
use super::{CeremonyError, Setting};

/// Evidence that a generation is committed on enough copies, or, for generation 1, complete. Consumed by round 2.
pub struct Committed {
    pub(super) id: Digest,
    pub(super) manifest: Digest,
    pub(super) plan: Plan,
}

/// Signs the manifest. The old root's last key is gone when this returns.
///
/// # Errors
/// [`CeremonyError`]; where some copies have the commit and others not, the ceremony is committed and can be resumed.
pub fn commit(setting: &mut Setting<'_>, staged: Staged) -> Result<Committed, CeremonyError> {
    let Staged { id, directory, manifest, succession } = staged;
    let bytes = manifest.encode();
    let signature = succession.sign(&bytes);
    drop(succession);
    let path = layout::commit(&directory);
    write(setting.copies, &setting.policy, &manifest.plan, &path, &signature.to_der())?;
    setting.rejudge()?;
    verify(setting, &manifest)?;
    Ok(Committed { id, manifest: Digest::of(&bytes), plan: manifest.plan })
}

/// What stands on the copies is judged as anyone would judge it, before any token relies on it.
fn verify(setting: &Setting<'_>, manifest: &Manifest) -> Result<(), CeremonyError> {
    let digest = manifest.digest();
    let state = setting.judgement.generation(&digest);
    let complete = state.is_some_and(|state| {
        (state.committed || manifest.plan.kind == CeremonyKind::Found && state.commit) && !state.complete_on.is_empty()
    });
    if complete {
        Ok(())
    } else {
        let defect = state.and_then(|state| state.defect.clone());
        Err(CeremonyError::StageCheck { reason: defect.unwrap_or_else(|| "it cannot be read back".to_owned()) })
    }
}

//! `resume`: round 2 of a ceremony that was committed and interrupted, with any k; the reveal under the same grant.

use crate::encoding::Time;
use crate::transcript::{CeremonyKind, GenerationState, Stage};

use super::close::close;
use super::commit::Committed;
use super::reveal::{Target, reveal};
use super::script::{Script, Step, Walk};
use super::{CeremonyError, Setting, rotate};

/// Finishes what was interrupted.
///
/// # Errors
/// [`CeremonyError::NothingToResume`], or what stopped it again.
pub fn resume(setting: &mut Setting<'_>, target: &Target) -> Result<(), CeremonyError> {
    setting.check_tokens()?;
    target.check()?;
    let generation = waiting(setting)?;
    let plan = generation.manifest.plan.clone();
    let mut walk = Walk::resume(Script::of(plan.kind)?, Step::Close);
    setting.room.say(&format!(
        "Ceremony {} ({}, number {}) made generation {}. Any {} custodians can finish it.",
        generation.ceremony.short(),
        super::setting::describe(&plan),
        plan.number,
        plan.generation,
        if plan.kind == CeremonyKind::Found { plan.roster.len() } else { usize::from(plan.k) },
    ));
    require_copies(setting, &generation).map_err(CeremonyError::after_commit(plan.generation))?;
    walk.enter(Step::Close, setting.room)?;
    let committed = Committed { id: generation.ceremony, manifest: generation.digest, plan: plan.clone() };
    let after_commit = || CeremonyError::after_commit(plan.generation);
    let ratified = close(setting, committed).map_err(after_commit())?;
    rotate::finish(setting, &ratified);
    if let Some(grant) = &plan.grant {
        if Time::now() > grant.until {
            setting.room.warn(&format!(
                "The grant for {} ended at {}: nothing is revealed. Run `claviger recover` with a new grant.",
                grant.item, grant.until
            ));
            return Ok(());
        }
        walk.enter(Step::Reveal, setting.room)?;
        reveal(setting, ratified, target).map_err(after_commit())?;
    }
    walk.enter(Step::End, setting.room)?;
    Ok(())
}

/// The ceremony to finish: committed and not ratified, or ratified with a grant that has not ended.
fn waiting(setting: &Setting<'_>) -> Result<GenerationState, CeremonyError> {
    let judgement = &setting.judgement;
    let founding = judgement
        .unfinished
        .iter()
        .find(|unfinished| unfinished.stage == Stage::Committed && unfinished.plan.kind == CeremonyKind::Found);
    if let Some(state) = founding.and_then(|unfinished| judgement.generation_of(&unfinished.id)) {
        return Ok(state.clone());
    }
    let current = judgement.current()?;
    let grant_open = current.manifest.plan.grant.as_ref().is_some_and(|grant| Time::now() <= grant.until);
    if !current.ratified || grant_open {
        return Ok(current.clone());
    }
    Err(CeremonyError::NothingToResume)
}

/// The commit must stand on as many copies as the ceremony asked for, before round 2 destroys anything.
fn require_copies(setting: &mut Setting<'_>, generation: &GenerationState) -> Result<(), CeremonyError> {
    let required = super::setting::required(&setting.policy, &generation.manifest.plan);
    let have = generation.complete_on.len();
    if have < required {
        return Err(CeremonyError::TooFewCopies { wanted: required, have });
    }
    Ok(())
}

//! `resume`: round 2 of a ceremony that was committed and interrupted, with any k; the reveal under the same grant.

use crate::encoding::Time;
use crate::room::Way;
use crate::transcript::{CeremonyKind, GenerationState, RecordBody, Stage};

use super::branch::{Question, choose};
use super::close::close;
use super::commit::Committed;
use super::plan::read_aloud;
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
        "Ceremony {} ({}, number {}) made generation {}. It takes {} custodians to finish it, best those who were in it.",
        generation.ceremony.short(),
        super::setting::describe(&plan),
        plan.number,
        plan.generation,
        if plan.kind == CeremonyKind::Found { plan.roster.len() } else { usize::from(plan.k) },
    ));
    if generation.complete_on.is_empty() && plan.kind != CeremonyKind::Found {
        return Err(CeremonyError::NotWhole { generation: plan.generation });
    }
    let copies = copies(setting, &generation).map_err(CeremonyError::after_commit(plan.generation))?;
    agree(setting, &generation, target).map_err(CeremonyError::after_commit(plan.generation))?;
    walk.enter(Step::Close, setting.room)?;
    let committed = Committed { id: generation.ceremony, manifest: generation.digest, plan: plan.clone(), copies };
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
fn waiting(setting: &mut Setting<'_>) -> Result<GenerationState, CeremonyError> {
    let judgement = &setting.judgement;
    let founding = judgement
        .unfinished
        .iter()
        .find(|unfinished| unfinished.stage == Stage::Committed && unfinished.plan.kind == CeremonyKind::Found);
    if let Some(state) = founding.and_then(|unfinished| judgement.generation_of(&unfinished.id)) {
        return Ok(state.clone());
    }
    if let Some(branch) = branch(setting)? {
        return Ok(branch);
    }
    let current = setting.judgement.current()?;
    let grant_open = current.manifest.plan.grant.as_ref().is_some_and(|grant| Time::now() <= grant.until);
    if !current.ratified || grant_open {
        return Ok(current.clone());
    }
    Err(CeremonyError::NothingToResume)
}

/// In a fork people say which branch to finish. The tokens of the higher number went on from the lower one, and not back.
fn branch(setting: &mut Setting<'_>) -> Result<Option<GenerationState>, CeremonyError> {
    let warning = "Two ceremonies have followed the same generation (a fork). The one with the highest number is the one that can be finished; if it cannot, `claviger recover` or `claviger rotate` goes on over it.";
    let question = Question { warning, question: "Which is to be finished?" };
    let forked = !setting.judgement.tips().is_empty();
    match choose(setting, &question)? {
        None if forked => Err(CeremonyError::Declined),
        branch => Ok(branch),
    }
}

/// What is finished is read aloud, and what is shown to whom; people begin, or not.
fn agree(setting: &mut Setting<'_>, generation: &GenerationState, target: &Target) -> Result<(), CeremonyError> {
    let plan = &generation.manifest.plan;
    for line in read_aloud(plan) {
        setting.room.say(&format!("   {line}"));
    }
    if plan.grant.as_ref().is_some_and(|grant| Time::now() > grant.until) {
        setting.room.warn("The grant is over: the ceremony is finished, and nothing is revealed.");
    } else if plan.grant.is_some() {
        setting.room.say(&format!("   Shown:       {target}"));
        for time in revealed(setting, generation) {
            setting.room.warn(&format!("It was shown before, at {time}."));
        }
    }
    if setting.room.confirm("Is this what shall be finished? Begin?")? { Ok(()) } else { Err(CeremonyError::Declined) }
}

/// When the credential of this generation's grant was revealed.
fn revealed(setting: &Setting<'_>, generation: &GenerationState) -> Vec<Time> {
    let records = setting.judgement.records.iter().map(crate::transcript::Signed::body);
    let revealed = records.filter(|record| match &record.body {
        RecordBody::Revealed(revealed) => revealed.ceremony == generation.ceremony,
        _ => false,
    });
    revealed.map(|record| record.time).collect()
}

/// On how many copies a closing must stand. The commit must stand on as many as the ceremony asked for before round 2
/// destroys anything, unless people say that no more can be had.
fn copies(setting: &mut Setting<'_>, generation: &GenerationState) -> Result<usize, CeremonyError> {
    let required = super::setting::required(&setting.policy, &generation.manifest.plan);
    let writable = super::plan::writable(setting.copies, &setting.judgement);
    let have = setting.standing(generation, &writable)?;
    if have >= required {
        return Ok(required);
    }
    let few = CeremonyError::TooFewCopies { wanted: required, have };
    setting.room.warn(&format!("{few}."));
    let stop = Way { word: "stop", meaning: "stop here, and come back with the other media" };
    let go = Way { word: "go", meaning: "no more can be had: finish with what is here" };
    if have == 0 || setting.room.choose("What now?", &[stop, go])? == 0 { Err(few) } else { Ok(have) }
}

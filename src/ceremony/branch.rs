//! A fork: two committed generations follow one, and neither leads to a ratified one. People say with which they go on.
//! Only the tokens decide whether it can be: they went on to the higher number, and never go back. Once it is ratified, or
//! one that follows it, the others can never be.

use crate::room::Way;
use crate::transcript::{GenerationState, JudgeError};

use super::setting::describe;
use super::{CeremonyError, Setting};

/// What people are asked in a fork.
pub(super) struct Question<'q> {
    /// What can be done, as a sentence.
    pub(super) warning: &'q str,
    /// Which branch?
    pub(super) question: &'q str,
}

/// The last committed generation of the branch that people choose; `None` without an unsettled fork, or if they stop.
///
/// # Errors
/// What the room cannot ask.
pub(super) fn choose(
    setting: &mut Setting<'_>,
    question: &Question<'_>,
) -> Result<Option<GenerationState>, CeremonyError> {
    let tips: Vec<GenerationState> = setting.judgement.tips().into_iter().cloned().collect();
    if tips.is_empty() {
        return Ok(None);
    }
    let words: Vec<(String, String)> = tips.iter().map(|tip| words(setting, tip)).collect();
    let mut ways = vec![Way { word: "stop", meaning: "stop here; nothing is changed" }];
    ways.extend(words.iter().map(|(word, meaning)| Way { word, meaning }));
    setting.room.warn(question.warning);
    let chosen = setting.room.choose(question.question, &ways)?;
    Ok(chosen.checked_sub(1).and_then(|chosen| tips.into_iter().nth(chosen)))
}

fn words(setting: &Setting<'_>, tip: &GenerationState) -> (String, String) {
    let plan = &tip.manifest.plan;
    let mut meaning = format!("{}, begun {}: {}", describe(plan), plan.started, tip.digest.words());
    let before = setting.judgement.line_to(tip);
    let over: Vec<String> = before
        .iter()
        .filter(|state| !state.in_line && state.digest != tip.digest)
        .map(|state| state.manifest.plan.number.to_string())
        .collect();
    if !over.is_empty() {
        meaning += &format!(" (it went on over number {})", over.join(", "));
    }
    (plan.number.to_string(), meaning)
}

/// The last generation of the branch that `recover` and `rotate` go on over; `None` without an unsettled fork.
///
/// # Errors
/// [`JudgeError::Fork`] if people stop, and where ratified generations stand on more than one branch.
pub(super) fn to_go_on_over(setting: &mut Setting<'_>) -> Result<Option<GenerationState>, CeremonyError> {
    let Err(JudgeError::Fork { fork }) = setting.judgement.current() else { return Ok(None) };
    let judgement = &setting.judgement;
    let tips = judgement.tips();
    let mut branches = tips.iter().flat_map(|tip| judgement.line_to(tip));
    // That cannot come about by the rules: nothing is built on it.
    if branches.any(|state| state.ratified && !state.in_line) {
        return Err(JudgeError::Fork { fork }.into());
    }
    let warning = "Two ceremonies have followed the same generation (a fork). `claviger resume` finishes the one with the highest number, if its cards are here. If it cannot be finished, a new ceremony can go on over it.";
    let question = Question { warning, question: "Over which does this ceremony go on?" };
    choose(setting, &question)?.map(Some).ok_or_else(|| JudgeError::Fork { fork }.into())
}

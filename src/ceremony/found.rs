//! `found`: both rounds with all n founders; no predecessor.

use crate::encoding::{Document, Nonce16, Time};
use crate::transcript::{CeremonyKind, Judgement, Plan, Stage};

use super::plan::{Sofar, abandoned, copies, exceptions};
use super::rotate::two_rounds;
use super::script::{Script, Step, Walk};
use super::{CeremonyError, Setting};

/// Founds the vault whose founding body stands on the copies.
///
/// # Errors
/// [`CeremonyError`]. Nothing is sealed before the vault is founded: what was begun can be begun again.
pub fn found(setting: &mut Setting<'_>) -> Result<(), CeremonyError> {
    setting.check_tokens()?;
    refuse_founded(&setting.judgement)?;
    let mut walk = Walk::begin(Script::of(CeremonyKind::Found)?);
    two_rounds(setting, &mut walk, Sofar::default(), &mut plan)?;
    walk.enter(Step::End, setting.room)?;
    setting.room.say(&format!("The vault is founded. Its words: {}", setting.judgement.vault.words()));
    Ok(())
}

/// A vault is founded once.
///
/// # Errors
/// [`CeremonyError::Founded`].
pub fn refuse_founded(judgement: &Judgement) -> Result<(), CeremonyError> {
    let generation = judgement.current().ok().map(|current| current.generation);
    if judgement.is_founded() { Err(CeremonyError::Founded { generation }) } else { Ok(()) }
}

fn plan(setting: &mut Setting<'_>, sofar: &mut Sofar) -> Result<Plan, CeremonyError> {
    let founding = &setting.judgement.founding;
    let (k, policy, roster) = (founding.k, founding.policy, founding.roster.clone());
    let committed = setting.judgement.unfinished.iter().find(|unfinished| unfinished.stage == Stage::Committed);
    if let Some(unfinished) = committed {
        return Err(CeremonyError::Unfinished { ceremony: unfinished.id, number: unfinished.number });
    }
    let abandons = abandoned(setting, sofar)?;
    let copies = copies(setting, None, sofar)?;
    Ok(Plan {
        format: Plan::FORMAT.to_owned(),
        vault: setting.judgement.vault,
        practice: setting.judgement.practice,
        kind: CeremonyKind::Found,
        number: setting.judgement.highest_number.max(sofar.above) + 1,
        generation: 1,
        parent: None,
        started: Time::now(),
        random: Nonce16::random()?,
        copies,
        k,
        policy,
        roster,
        grant: None,
        admits: Vec::new(),
        abandons,
        exceptions: exceptions(setting, sofar),
    })
}

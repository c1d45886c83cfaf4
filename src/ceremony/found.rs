//! `found`: both rounds with all n founders; no predecessor.

use crate::encoding::{Document, Nonce16, Time};
use crate::transcript::{CeremonyKind, Plan, Stage};

use super::close::close;
use super::commit::commit;
use super::open::open;
use super::plan::{Sofar, copies};
use super::rotate::{agree, finish, preflight};
use super::script::{Script, Step, Walk};
use super::stage::stage;
use super::{CeremonyError, Setting};

/// Founds the vault whose founding body stands on the copies.
///
/// # Errors
/// [`CeremonyError`]. Nothing is sealed before the vault is founded: what was begun can be begun again.
pub fn found(setting: &mut Setting<'_>) -> Result<(), CeremonyError> {
    setting.check_tokens()?;
    let mut walk = Walk::begin(Script::of(CeremonyKind::Found)?);
    preflight(setting, &mut walk)?;
    let mut sofar = Sofar::default();
    let opened = loop {
        walk.enter(Step::Plan, setting.room)?;
        let plan = plan(setting, &mut sofar)?;
        agree(setting.room, &plan)?;
        walk.enter(Step::Approve, setting.room)?;
        match open(setting, plan) {
            Ok(opened) => break opened,
            Err(CeremonyError::Again { above, exception }) => {
                sofar.above = above;
                sofar.exceptions.extend(exception.map(|exception| *exception));
                setting.rejudge()?;
                walk.again();
                setting.room.say("The ceremony begins again with a new plan. Those who approved the one before approve once more.");
            }
            Err(error) => return Err(error),
        }
    };
    walk.enter(Step::Stage, setting.room)?;
    let staged = stage(setting, opened)?;
    walk.enter(Step::Commit, setting.room)?;
    let committed = commit(setting, staged)?;
    walk.enter(Step::Close, setting.room)?;
    let ratified = close(setting, committed)?;
    finish(setting, &ratified);
    walk.enter(Step::End, setting.room)?;
    setting.room.say(&format!("The vault is founded. Its words: {}", setting.judgement.vault.words()));
    Ok(())
}

fn plan(setting: &mut Setting<'_>, sofar: &mut Sofar) -> Result<Plan, CeremonyError> {
    let founding = &setting.judgement.founding;
    let (k, policy, roster) = (founding.k, founding.policy, founding.roster.clone());
    let committed = setting.judgement.unfinished.iter().find(|unfinished| unfinished.stage == Stage::Committed);
    if let Some(unfinished) = committed {
        return Err(CeremonyError::Unfinished { ceremony: unfinished.id, number: unfinished.number });
    }
    let abandons = super::plan::abandoned(setting, sofar)?;
    let copies = copies(setting, sofar)?;
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
        exceptions: super::plan::exceptions(setting, sofar),
    })
}

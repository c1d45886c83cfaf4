//! `check`: one card after the other proves that its share key works, and signs that it did. Nothing is opened.

use crate::encoding::{Digest, Document, Time};
use crate::policy::{Policy, Touch};
use crate::room::Room;
use crate::token::anchor::Anchor;
use crate::token::custody;
use crate::transcript::{CheckBody, GenerationState, Record, RecordBody, RosterEntry, Signer};
use crate::vault::Copies;

use super::attendance::{Admittance, Desk, Round, ServeError, Visit};
use super::script::{Script, Step, Walk};
use super::setting::write_record;
use super::{CeremonyError, Setting, rotate};

/// Checks cards until people stop, or every custodian was here.
///
/// # Errors
/// [`CeremonyError`].
pub fn check(setting: &mut Setting<'_>) -> Result<(), CeremonyError> {
    setting.check_tokens()?;
    let current = setting.judgement.current()?.clone();
    let mut walk = Walk::begin(Script::check()?);
    rotate::preflight(setting, &mut walk)?;
    walk.enter(Step::Prove, setting.room)?;
    let Setting { copies, policy, source, room, .. } = setting;
    let roster = current.manifest.plan.roster.clone();
    let mut round = Round::for_anybody(current.manifest.plan.vault, &roster);
    let mut desk = Proving { current: &current, copies, policy };
    for done in 1..=roster.len() {
        match round.next(*source, *room, &mut desk) {
            // Nobody else wants to: those who were there are on record.
            Err(CeremonyError::NotEnough { .. }) if done > 1 => break,
            served => served?,
        };
        if done < roster.len() && !room.confirm("Is another custodian here to be checked?")? {
            break;
        }
    }
    walk.enter(Step::End, setting.room)?;
    Ok(())
}

struct Proving<'a> {
    current: &'a GenerationState,
    copies: &'a Copies,
    policy: &'a Policy,
}

impl Desk for Proving<'_> {
    type Outcome = ();

    fn admit(
        &mut self,
        entry: &RosterEntry,
        anchor: Option<&Anchor>,
        _room: &mut dyn Room,
    ) -> Result<Admittance, CeremonyError> {
        if let Some(anchor) = anchor.filter(|anchor| anchor.closed > self.current.generation) {
            return Ok(Admittance::Turned(super::open::describe(&super::admission::Hindrance::Ahead {
                closed: anchor.closed,
            })));
        }
        let what = format!("{}, with your PIN your card proves its share key and signs that it did.", entry.name);
        Ok(Admittance::Welcome(vec![what]))
    }

    fn serve(&mut self, visit: &mut Visit<'_, '_>, room: &mut dyn Room) -> Result<(), ServeError> {
        let index = visit.entry.index;
        let manifest = &self.current.manifest;
        let key = manifest
            .share_key(index)
            .ok_or_else(|| ServeError::Excluded("the generation has no share key for it".to_owned()))?;
        let held = visit.anchor.as_ref().and_then(|anchor| {
            anchor.keys.iter().find(|held| held.public == Some(key.public) && !held.spent).map(|held| held.slot)
        });
        let slot = match held {
            Some(slot) => slot,
            None => key.slot.parse().map_err(|_| ServeError::Excluded("its slot is unknown".to_owned()))?,
        };
        if self.policy.touch != Touch::Never {
            room.say("If the card blinks, touch it now.");
        }
        custody::prove_key(visit.piv, slot, &key.public)?;
        let body = RecordBody::Check(CheckBody { share_key: key.public });
        let by = Signer::Custodian(index);
        let plan = &manifest.plan;
        let record = Record::new(plan.vault, plan.generation, Time::now(), by, body).map_err(CeremonyError::from)?;
        let bytes = record.encode();
        let signature = visit.sign(&bytes)?.to_der();
        let digest = Digest::of(&bytes);
        write_record(self.copies, &digest, &bytes, &signature)?;
        room.say(&format!("{}'s card works. It can be taken out.", visit.entry.name));
        Ok(())
    }
}

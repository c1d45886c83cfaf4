//! Round 2: k custodians of the new generation prove that its shares open, and destroy their older share keys.
//!
//! For each custodian, in one transaction: the token opens its new envelope, the share is checked; only then every older
//! share key of this vault on this token is destroyed and seen to be gone; the anchor says *closed*; the closing is
//! signed. Cut anywhere, it can be done again.

use std::collections::BTreeSet;
use std::path::Path;

use crate::encoding::{Document, PublicKey, Time};
use crate::fault::inspect;
use crate::policy::{Policy, Touch};
use crate::room::Room;
use crate::sharing::CheckedShare;
use crate::token::TokenError;
use crate::token::anchor::Anchor;
use crate::token::custody;
use crate::token::piv::{Piv, SlotKey};
use crate::token::slot::Slot;
use crate::transcript::{CeremonyKind, Checked, Closing, GenerationState, Half, Judgement, Plan, RosterEntry};
use crate::vault::{Copies, Standing, layout};

use super::admission::{Welcome, may_close};
use super::anchored::completed;
use super::attendance::{Admittance, Desk, Round, ServeError, Visit};
use super::commit::Committed;
use super::open::{describe, open_share, refused, sealed_share};
use super::{CeremonyError, Setting};

/// Evidence that the generation is ratified, with k of its shares if there is something to reveal. Consumed by the reveal.
pub struct Ratified {
    pub(super) generation: GenerationState,
    pub(super) shares: Vec<CheckedShare>,
}

impl Ratified {
    /// The number of the generation.
    pub fn generation(&self) -> u64 {
        self.generation.generation
    }
}

/// Holds round 2.
///
/// # Errors
/// [`CeremonyError`]; the generation stays committed, and `resume` goes on.
pub fn close(setting: &mut Setting<'_>, committed: Committed) -> Result<Ratified, CeremonyError> {
    let generation = state(setting, &committed)?;
    let plan = &committed.plan;
    let needed = if plan.kind == CeremonyKind::Found { plan.roster.len() } else { usize::from(plan.k) };
    let mut round = Round::new(plan.vault, &plan.roster, needed);
    let mut shares = Vec::new();
    {
        let Setting { copies, judgement, policy, source, room, .. } = setting;
        let mut desk = ClosingDesk { committed: &committed, generation: &generation, copies, judgement, policy };
        shares.extend(round.run(*source, *room, &mut desk)?.into_iter().filter_map(|(_, share)| share));
    }
    loop {
        setting.rejudge()?;
        let generation = state(setting, &committed)?;
        if generation.ratified {
            return Ok(Ratified { generation, shares });
        }
        let missing = still_needed(setting, &generation, plan)?;
        let Setting { copies, judgement, policy, source, room, .. } = setting;
        room.say(&format!(
            "The generation before can still be opened: {} more of {} must close.",
            missing.needed,
            missing.names.join(", ")
        ));
        round.need(1);
        let mut desk = ClosingDesk { committed: &committed, generation: &generation, copies, judgement, policy };
        let next = round.next(*source, *room, &mut desk).map_err(|error| match error {
            CeremonyError::NotEnough { .. } => {
                CeremonyError::NotExtinct { needed: missing.needed, holders: missing.names.clone() }
            }
            error => error,
        });
        shares.extend(next?.1);
    }
}

fn state(setting: &Setting<'_>, committed: &Committed) -> Result<GenerationState, CeremonyError> {
    let state = setting.judgement.generation(&committed.manifest).cloned();
    state.ok_or_else(|| CeremonyError::StageCheck { reason: "the committed generation is gone".to_owned() })
}

struct Missing {
    needed: usize,
    names: Vec<String>,
}

/// Who must close besides, so that the generation before is extinct. An absentee who stood in keeps its old key.
fn still_needed(setting: &Setting<'_>, generation: &GenerationState, plan: &Plan) -> Result<Missing, CeremonyError> {
    let parent = plan.parent.and_then(|parent| setting.judgement.generation(&parent));
    let Some(parent) = parent else {
        return Err(CeremonyError::StageCheck { reason: "not all founders' closings hold".to_owned() });
    };
    let renewed: BTreeSet<u8> = generation.manifest.approvals.iter().map(|approval| approval.index).collect();
    let held = &generation.parent_holders;
    let holders: Vec<u8> = held.iter().copied().filter(|index| renewed.contains(index)).collect();
    let needed = (held.len() + 1).saturating_sub(usize::from(parent.manifest.plan.k));
    let names = holders
        .iter()
        .filter_map(|&index| parent.manifest.plan.custodian(index))
        .map(|entry| entry.name.to_string())
        .collect();
    if holders.is_empty() {
        return Err(CeremonyError::NotExtinct { needed, holders: names });
    }
    Ok(Missing { needed, names })
}

struct ClosingDesk<'a> {
    committed: &'a Committed,
    generation: &'a GenerationState,
    copies: &'a Copies,
    judgement: &'a Judgement,
    policy: &'a Policy,
}

impl Desk for ClosingDesk<'_> {
    type Outcome = Option<CheckedShare>;

    fn admit(
        &mut self,
        entry: &RosterEntry,
        anchor: Option<&Anchor>,
        _room: &mut dyn Room,
    ) -> Result<Admittance, CeremonyError> {
        let Committed { plan, id, manifest, .. } = self.committed;
        if let Err(reason) = sealed_share(self.copies, self.generation, entry) {
            return Ok(Admittance::Turned(reason));
        }
        let mut what = format!(
            "{}, with your PIN your card opens its share of generation {}; then its older share keys of this vault are destroyed.",
            entry.name, plan.generation
        );
        if let Some(grant) = &plan.grant {
            what += &format!(" k such shares reveal {} to {}, for {}.", grant.item, grant.requester, grant.incident);
        }
        match may_close(anchor, entry.name.as_str(), plan, id, manifest, self.judgement) {
            Ok(Welcome::Joins) => {
                let stands_in = "You were not in round 1: you prove the share that was made for you, and keep your key. Somebody who was there may have to come besides.";
                Ok(Admittance::StandsIn(vec![what, stands_in.to_owned()]))
            }
            Ok(Welcome::InThisCeremony | Welcome::HasClosed) => Ok(Admittance::Welcome(vec![what])),
            Err(hindrance) => Ok(Admittance::Turned(describe(&hindrance))),
        }
    }

    fn serve(&mut self, visit: &mut Visit<'_, '_>, room: &mut dyn Room) -> Result<Self::Outcome, ServeError> {
        let Committed { plan, id, manifest, .. } = self.committed;
        let name = visit.entry.name.as_str();
        let anchor = match may_close(visit.anchor.as_ref(), name, plan, id, manifest, self.judgement) {
            Ok(_) => visit.anchor.clone().unwrap_or_else(|| Anchor::new(plan.vault)),
            Err(hindrance) => {
                return Err(ServeError::Excluded(format!("its anchor changed: {}", describe(&hindrance))));
            }
        };
        if self.policy.touch != Touch::Never {
            room.say("If the card blinks, touch it now.");
        }
        let share = open_share(self.copies, self.generation, &plan.vault, visit, &anchor);
        let share = share.map_err(|error| refused(self.copies, plan, plan.generation, visit, error))?;
        inspect::stage(&format!("share {name}"));
        let index = visit.entry.index;
        match self.generation.closings.get(&index) {
            None => self.prove_and_close(visit, anchor)?,
            // Where it is damaged on a copy, that copy gets it; it stands already where it is needed.
            Some(closing) => self.write(visit.entry, closing.bytes(), &closing.signature().to_der(), 0)?,
        }
        room.say(&format!("{} has proven the share and closed. The card can be taken out.", visit.entry.name));
        // Only a reveal needs the shares. Otherwise none stays in memory.
        Ok(plan.grant.is_some().then_some(share))
    }
}

impl ClosingDesk<'_> {
    /// Only called with the share of this generation opened and checked on this token.
    fn prove_and_close(&mut self, visit: &mut Visit<'_, '_>, anchor: Anchor) -> Result<(), ServeError> {
        let Committed { plan, manifest, .. } = self.committed;
        let index = visit.entry.index;
        let Some(kept) = self.generation.manifest.share_key(index).map(|key| key.public) else {
            return Err(ServeError::Excluded("the generation has no share for it".to_owned()));
        };
        let destroyed = self.destroy(visit, anchor, &kept)?;
        let closing = Closing::new(plan.vault, (plan.generation, *manifest), index, kept, destroyed, Time::now())
            .map_err(CeremonyError::from)?;
        let bytes = match self.begun(visit.entry, &closing)? {
            Some(begun) => begun,
            None => closing.encode(),
        };
        let signature = visit.sign(&bytes)?.to_der();
        Ok(self.write(visit.entry, &bytes, &signature, self.committed.copies)?)
    }

    /// Writes a closing to every copy that has no valid one of this custodian; it must then stand on `required` of them. One that
    /// does not verify is as good as none, and gives way.
    fn write(&self, entry: &RosterEntry, bytes: &[u8], signature: &[u8], required: usize) -> Result<(), CeremonyError> {
        let snapshot = self.copies.snapshot()?;
        let closed_on = |copy: &Path| {
            let here = snapshot.copies.iter().find(|view| Path::new(&view.path) == copy);
            let path = |half| layout::closing(self.directory(copy), entry, half).display().to_string();
            let file = |half| here?.files.get(&path(half))?.bytes();
            let pair = file(Half::Body).zip(file(Half::Signature));
            pair.is_some_and(|(body, signature)| self.generation.is_closed_by(entry, body, signature))
        };
        let standing = |copy: &Path| match self.own_directory(copy) {
            Some(_) if closed_on(copy) => Standing::Stays,
            Some(_) => Standing::GivesWay,
            None if required == 0 => Standing::Stays,
            None => Standing::Refuses,
        };
        // The body first: where the power fails before the signature, the next attempt signs the same bytes.
        for (half, bytes) in [(Half::Body, bytes), (Half::Signature, signature)] {
            let path = |copy: &Path| layout::closing(self.directory(copy), entry, half);
            self.copies.write_new_each(path, bytes, standing)?.require(required)?;
        }
        Ok(())
    }

    /// The closing that an attendance wrote and did not sign before it was cut short, if it says the same as `closing` but
    /// for the time: so it is signed as it is. Anybody who can write to a copy can have put it there; so its time must be one
    /// between the beginning of the ceremony and now, or the custodian would be said to have proven the key in years to come.
    fn begun(&self, entry: &RosterEntry, closing: &Closing) -> Result<Option<Vec<u8>>, CeremonyError> {
        let snapshot = self.copies.snapshot()?;
        let bytes = snapshot.copies.iter().filter_map(|copy| {
            let path = layout::closing(self.directory(Path::new(&copy.path)), entry, Half::Body);
            copy.files.get(path.to_str()?)?.bytes()
        });
        let mut same = bytes.filter(|bytes| {
            Closing::read(bytes).is_ok_and(|begun| {
                let can_be = self.committed.plan.started <= begun.time && begun.time <= closing.time;
                can_be && Closing { time: closing.time, ..begun } == *closing
            })
        });
        Ok(same.next().map(<[u8]>::to_vec))
    }

    /// The ceremony's directory on a copy. A copy that missed the ceremony may have had another one under that name.
    fn directory(&self, copy: &Path) -> &str {
        self.own_directory(copy).unwrap_or(&self.generation.directory)
    }

    /// The directory on a copy that holds this ceremony.
    fn own_directory(&self, copy: &Path) -> Option<&str> {
        let place = self.judgement.copies.iter().position(|here| Path::new(&here.path) == copy)?;
        self.judgement.directory_of(place, &self.committed.id)
    }

    /// Destroys every older share key, writes *closed* into the anchor, and says which keys are gone.
    fn destroy(
        &self,
        visit: &mut Visit<'_, '_>,
        anchor: Anchor,
        kept: &PublicKey,
    ) -> Result<Vec<PublicKey>, ServeError> {
        let Committed { plan, manifest, .. } = self.committed;
        let mut anchor = anchor;
        if anchor.slot_of(kept).is_none() {
            let line = self.judgement.line_to(self.generation);
            anchor = completed(visit.piv, anchor, visit.entry.index, line.into_iter())?;
        }
        let slot = anchor.slot_of(kept).ok_or(TokenError::NotInAnchor { public: *kept })?;
        let (mut anchor, gone) = custody::destroy_older_keys(visit.piv, visit.session, anchor, kept)?;
        let mut gone: BTreeSet<PublicKey> = gone.into_iter().collect();
        let earlier: BTreeSet<PublicKey> = self.earlier_keys(visit.entry.index).filter(|key| key != kept).collect();
        // Keys that the anchor no longer names: an attendance that was cut short had destroyed them.
        if !earlier.is_subset(&gone) {
            seen_to_be_gone(visit.piv, &earlier)?;
            gone.extend(earlier);
        }
        anchor.closed = plan.generation;
        anchor.manifest = Some(*manifest);
        anchor.ceremony = None;
        custody::write_anchor(visit.piv, visit.session, anchor, slot)?;
        Ok(gone.into_iter().collect())
    }

    /// Share keys of this custodian in the generations that led to this one, which the closing must name as gone.
    fn earlier_keys(&self, index: u8) -> impl Iterator<Item = PublicKey> {
        let generation = self.committed.plan.generation;
        let line = self.judgement.line_to(self.generation).into_iter();
        line.filter(move |earlier| earlier.generation < generation)
            .filter_map(move |earlier| earlier.manifest.share_key(index).map(|key| key.public))
    }
}

/// None of `keys` is in any retired slot.
fn seen_to_be_gone(piv: &mut Piv<'_>, keys: &BTreeSet<PublicKey>) -> Result<(), TokenError> {
    for slot in Slot::retired() {
        match piv.slot_key(slot)? {
            SlotKey::P256(public) if keys.contains(&public) => return Err(TokenError::NotDestroyed { slot, public }),
            SlotKey::P256(_) | SlotKey::Empty | SlotKey::Other | SlotKey::Unknown => {}
        }
    }
    Ok(())
}

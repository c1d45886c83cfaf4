//! Round 1: k custodians approve the plan, their tokens make new share keys, and open the current generation's shares.
//!
//! For each custodian, in one transaction: the token's anchor says that it is in this ceremony; a new share key in a free
//! slot; the approval, signed and durable; only then the envelope is opened, and the share checked. Nothing old is
//! destroyed here.

use std::collections::{BTreeMap, BTreeSet};

use crate::encoding::{Digest, Document, Time};
use crate::fault::inspect;
use crate::policy::{Policy, Touch};
use crate::room::{Room, Way};
use crate::sharing::CheckedShare;
use crate::token::anchor::Anchor;
use crate::token::attestation::Roots;
use crate::transcript::{
    Approval, CeremonyKind, ExceptionKind, GenerationState, Judgement, Plan, Record, RecordBody, RosterEntry, Signed,
    Signer,
};
use crate::vault::{Copies, Failure, layout};

use super::admission::may_join;
use super::attendance::{Admittance, Desk, Round, ServeError, Visit, sign};
use super::plan::{exception, read_aloud};
use super::setting::{id, required, write_record};
use super::{CeremonyError, Setting};

mod envelope;
mod hindrance;
mod share_key;

pub(super) use envelope::{open_share, refused, sealed_share};
pub(super) use hindrance::describe;
use share_key::without_shares;

/// Evidence that enough custodians approved the plan and opened their shares. Consumed by the next stage.
pub struct Opened {
    pub(super) plan: Plan,
    pub(super) id: Digest,
    pub(super) directory: String,
    pub(super) approvals: BTreeMap<u8, Signed<Approval>>,
    pub(super) shares: Vec<CheckedShare>,
}

/// Holds round 1 for `plan`. The plan is durable on all copies that it names before any token is touched.
///
/// # Errors
/// [`CeremonyError::Again`] when the ceremony must begin again with another plan; otherwise what stopped it.
pub fn open(setting: &mut Setting<'_>, plan: Plan) -> Result<Opened, CeremonyError> {
    let id = id(&plan);
    let directory = layout::directory(&setting.judgement, plan.generation, &id);
    let Setting { copies, judgement, policy, roots, source, room, .. } = setting;
    let written = copies.write_new(&layout::plan(&directory), &plan.encode())?;
    if !written.on.is_empty() && set_failed_ones_aside(copies, &written.failures, *room) {
        // No token is touched for a plan that names a copy on which it does not stand: nobody could ever say of such a copy
        // that the ceremony was not committed there. On how many copies people go on, the next plan asks.
        return Err(CeremonyError::Again { above: plan.number, exception: None });
    }
    written.require(required(policy, &plan))?;
    inspect::stage("plan");
    let parent = plan.parent.and_then(|parent| judgement.generation(&parent)).cloned();
    let needed = if plan.kind == CeremonyKind::Found { plan.roster.len() } else { usize::from(plan.k) };
    let roster = parent.as_ref().map_or(&plan.roster, |parent| &parent.manifest.plan.roster).clone();
    let mut desk = Approving {
        plan: &plan,
        id,
        directory: &directory,
        parent: parent.as_ref(),
        copies,
        judgement,
        policy,
        roots,
        approvals: BTreeMap::new(),
        abandonment_recorded: false,
        without_shares: without_shares(copies, judgement, &plan)?,
    };
    let opened = Round::new(plan.vault, &roster, needed).run(*source, *room, &mut desk)?;
    let approvals = desk.approvals;
    let shares = opened.into_iter().filter_map(|(_, share)| share).collect();
    Ok(Opened { id, directory, approvals, shares, plan })
}

/// Names the copies that did not take the plan, and what is written to in their place. Whether there were any that should have.
fn set_failed_ones_aside(copies: &Copies, failures: &[Failure], room: &mut dyn Room) -> bool {
    let before = copies.written_to();
    let failed = copies.set_aside(failures);
    for failure in &failed {
        let (copy, why) = (failure.copy.display(), crate::error::sentence(&failure.error));
        room.warn(&format!("{copy}: {why}. Nothing more of this ceremony is written there."));
    }
    for (copy, id) in copies.written_to().into_iter().filter(|copy| !before.contains(copy)) {
        if let Some((failed, _)) = before.iter().find(|(_, other)| *other == id) {
            let (copy, failed) = (copy.display(), failed.display());
            room.say(&format!("{copy} has the same mark as {failed}, and is written to in its place."));
        }
    }
    !failed.is_empty()
}

struct Approving<'a> {
    plan: &'a Plan,
    id: Digest,
    directory: &'a str,
    parent: Option<&'a GenerationState>,
    copies: &'a Copies,
    judgement: &'a Judgement,
    policy: &'a Policy,
    roots: &'a Roots,
    approvals: BTreeMap<u8, Signed<Approval>>,
    abandonment_recorded: bool,
    /// Ceremonies that the plan abandons, of which no copy has a share.
    without_shares: BTreeSet<Digest>,
}

impl Desk for Approving<'_> {
    type Outcome = Option<CheckedShare>;

    fn admit(
        &mut self,
        entry: &RosterEntry,
        anchor: Option<&Anchor>,
        room: &mut dyn Room,
    ) -> Result<Admittance, CeremonyError> {
        if let Some(reason) = self.has_a_conflict(entry, room)? {
            return Ok(Admittance::Turned(reason));
        }
        if let Some(Err(reason)) = self.parent.map(|parent| sealed_share(self.copies, parent, entry)) {
            return Ok(Admittance::Turned(reason));
        }
        let turned = match may_join(anchor, entry.name.as_str(), self.plan, &self.id, self.judgement) {
            Ok(_) => return Ok(Admittance::Welcome(self.read_aloud(entry))),
            Err(hindrance) => hindrance,
        };
        self.stand_back(entry, turned, room).map(Admittance::Turned)
    }

    fn serve(&mut self, visit: &mut Visit<'_, '_>, room: &mut dyn Room) -> Result<Self::Outcome, ServeError> {
        let name = visit.entry.name.as_str();
        if let Err(hindrance) = may_join(visit.anchor.as_ref(), name, self.plan, &self.id, self.judgement) {
            return Err(ServeError::Excluded(format!("its anchor changed: {}", describe(&hindrance))));
        }
        self.record_abandonment(visit)?;
        let anchor = self.make_share_key(visit, room)?;
        let Some(parent) = self.parent else {
            room.say(&format!("{name} has approved. The card can be taken out."));
            return Ok(None);
        };
        if self.policy.touch != Touch::Never {
            room.say("If the card blinks, touch it now.");
        }
        let share = open_share(self.copies, parent, &self.plan.vault, visit, &anchor);
        let share = share.map_err(|error| refused(self.copies, self.plan, parent.generation, visit, error))?;
        inspect::stage(&format!("share {name}"));
        room.say(&format!("{name} has approved, and the share is right. The card can be taken out."));
        Ok(Some(share))
    }
}

impl Approving<'_> {
    fn read_aloud(&self, entry: &RosterEntry) -> Vec<String> {
        let first = format!("{}, this is what you approve with your PIN:", entry.name);
        let plan = read_aloud(self.plan).into_iter().map(|line| format!("   {line}"));
        std::iter::once(first).chain(plan).collect()
    }

    /// Requester and approver are different people, unless the policy or an exception says otherwise.
    fn has_a_conflict(&self, entry: &RosterEntry, room: &mut dyn Room) -> Result<Option<String>, CeremonyError> {
        let requester = self.plan.grant.as_ref().map(|grant| grant.requester.as_str());
        let excepted = self.plan.exceptions.iter().any(|e| e.kind == ExceptionKind::Roles);
        if !self.policy.separate_roles
            || excepted
            || !requester.is_some_and(|requester| requester.trim().eq_ignore_ascii_case(entry.name.as_str()))
        {
            return Ok(None);
        }
        let without = Way { word: "without", meaning: "go on with other custodians" };
        let except =
            Way { word: "except", meaning: "let the requester approve; an exception that k custodians approve" };
        let question = format!("{} asked for this credential, and so may not approve it. What now?", entry.name);
        if room.choose(&question, &[without, except])? == 0 {
            return Ok(Some("the requester does not approve".to_owned()));
        }
        let happened = format!("{} is both", entry.name);
        Err(self.again(exception(
            ExceptionKind::Roles,
            "requester and approver differ".to_owned(),
            happened,
            entry.name.to_string(),
        )))
    }

    fn again(&self, exception: crate::transcript::Exception) -> CeremonyError {
        CeremonyError::Again { above: self.plan.number, exception: Some(Box::new(exception)) }
    }

    /// The first custodian of the ceremony signs the records of what it declares abandoned.
    fn record_abandonment(&mut self, visit: &mut Visit<'_, '_>) -> Result<(), ServeError> {
        // Before generation 1 there is nothing that a record could belong to: the plan that all founders approve says it.
        if self.abandonment_recorded || self.parent.is_none() {
            return Ok(());
        }
        for abandoned in &self.plan.abandons {
            let generation = self.plan.generation.saturating_sub(1);
            let by = Signer::Custodian(visit.entry.index);
            let body = RecordBody::Abandoned(abandoned.clone());
            let record =
                Record::new(self.plan.vault, generation, Time::now(), by, body).map_err(CeremonyError::from)?;
            let bytes = record.encode();
            let signature = visit.sign(&bytes)?;
            let digest = Digest::of(&bytes);
            write_record(self.copies, &digest, &bytes, &signature.to_der())?;
        }
        self.abandonment_recorded = true;
        Ok(())
    }
}

impl Visit<'_, '_> {
    /// The custodian's signature over `bytes`; the PIN is sent again in the same transaction, as slot 9C wants it.
    pub(super) fn sign(&mut self, bytes: &[u8]) -> Result<crate::encoding::Signature, ServeError> {
        Ok(sign(self.piv, self.session, bytes)?)
    }
}

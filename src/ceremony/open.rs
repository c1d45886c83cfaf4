//! Round 1: k custodians approve the plan, their tokens make new share keys, and open the current generation's shares.
//!
//! For each custodian, in one transaction: the token's anchor says that it is in this ceremony; a new share key in a free
//! slot; the approval, signed and durable; only then the envelope is opened, and the share checked. Nothing old is
//! destroyed here.

use std::collections::BTreeMap;

use crate::encoding::{Digest, Document, Time};
use crate::policy::{Attestation as Demand, Policy, Touch};
use crate::room::{Room, Way};
use crate::sealing::share::{ShareEnvelope, ShareRecord};
use crate::sharing::{self, CheckedShare, Commitments};
use crate::token::anchor::{Anchor, CeremonyMark};
use crate::token::attestation::{self, Roots};
use crate::token::custody;
use crate::token::piv::TouchPolicy;
use crate::token::slot::Slot;
use crate::transcript::{
    Approval, Attestation, CeremonyKind, Class, ExceptionKind, GenerationState, Judgement, Plan, Record, RecordBody,
    RefusedBody, RosterEntry, ShareKey, Signed, Signer, Verdict,
};
use crate::vault::{Copies, layout};

use super::admission::{Hindrance, may_join};
use super::attendance::{Admittance, Desk, Round, ServeError, Visit, sign};
use super::attested::in_words;
use super::plan::{exception, lost, read_aloud};
use super::setting::{id, write, write_record, write_signed};
use super::{CeremonyError, Setting};

/// No share envelope is larger, in bytes.
const ENVELOPE_LIMIT: usize = 16 * 1024;

/// Evidence that enough custodians approved the plan and opened their shares. Consumed by the next stage.
pub struct Opened {
    pub(super) plan: Plan,
    pub(super) id: Digest,
    pub(super) directory: String,
    pub(super) approvals: BTreeMap<u8, Signed<Approval>>,
    pub(super) shares: Vec<CheckedShare>,
}

/// Holds round 1 for `plan`. The plan is durable on the copies before any token is touched.
///
/// # Errors
/// [`CeremonyError::Again`] when the ceremony must begin again with another plan; otherwise what stopped it.
pub fn open(setting: &mut Setting<'_>, plan: Plan) -> Result<Opened, CeremonyError> {
    let id = id(&plan);
    let directory = layout::directory(&setting.judgement, plan.generation, &id);
    let Setting { copies, judgement, policy, roots, source, room, .. } = setting;
    write(copies, policy, &plan, &layout::plan(&directory), &plan.encode())?;
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
    };
    let opened = Round::new(plan.vault, &roster, needed).run(*source, *room, &mut desk)?;
    let approvals = desk.approvals;
    let shares = opened.into_iter().filter_map(|(_, share)| share).collect();
    Ok(Opened { id, directory, approvals, shares, plan })
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

    /// What happens when the rules do not let the token in. The reason, if the ceremony goes on without it.
    fn stand_back(
        &self,
        entry: &RosterEntry,
        hindrance: Hindrance,
        room: &mut dyn Room,
    ) -> Result<String, CeremonyError> {
        let name = &entry.name;
        match hindrance {
            Hindrance::Number { shown } => {
                room.say(&format!(
                    "{name}'s token has been in a ceremony with number {shown}: this one begins again above it."
                ));
                Err(CeremonyError::Again { above: shown, exception: None })
            }
            Hindrance::Elsewhere { ceremony, number, started } => {
                let custodian = name.to_string();
                let error = CeremonyError::Elsewhere { custodian, ceremony, number, started: started.to_string() };
                room.warn(&format!("{error}."));
                let what = format!("ceremony {} (number {number}, begun {started})", ceremony.short());
                let question = format!(
                    "Nothing was changed on {name}'s token. The copy that {what} was written to can be brought, or not. What now?"
                );
                let stop = Way { word: "stop", meaning: "stop here, and come back with that copy as a further VAULT" };
                let without = Way { word: "without", meaning: "go on without this token" };
                let gone = Way {
                    word: "lost",
                    meaning: "no copy of that ceremony can be had, ever; an exception that k custodians approve",
                };
                match room.choose(&question, &[stop, without, gone])? {
                    0 => Err(error),
                    1 => Ok(format!("it is in {what}")),
                    _ => Err(CeremonyError::Again {
                        above: number,
                        exception: Some(Box::new(lost(ceremony.to_string(), number))),
                    }),
                }
            }
            Hindrance::NoAnchor => {
                room.warn(&format!("{name}'s token carries no readable note of this vault (its anchor)."));
                let without = Way { word: "without", meaning: "go on without this token" };
                let except =
                    Way { word: "except", meaning: "let it take part; an exception that k custodians approve" };
                if room.choose("What now?", &[without, except])? == 0 {
                    return Ok(describe(&Hindrance::NoAnchor));
                }
                let happened = format!("none on {name}'s token");
                let subject = name.to_string();
                Err(self.again(exception(ExceptionKind::AnchorMissing, "an anchor".to_owned(), happened, subject)))
            }
            other => Ok(describe(&other)),
        }
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

    /// The token joins, makes its share key, and signs the approval, which is durable when this returns.
    fn make_share_key(&mut self, visit: &mut Visit<'_, '_>, room: &mut dyn Room) -> Result<Anchor, ServeError> {
        let index = visit.entry.index;
        let anchor = visit.anchor.clone().unwrap_or_else(|| Anchor::new(self.plan.vault));
        let made = anchor.keys.iter().find(|key| key.made == self.plan.number && !key.spent).cloned();
        let in_this = anchor.ceremony.as_ref().is_some_and(|ceremony| ceremony.id == self.id);
        let made = made.filter(|_| in_this).and_then(|key| Some((key.slot, key.public?)));
        let (slot, public, anchor) = match made {
            Some((slot, public)) => (slot, public, anchor),
            None => {
                let made = custody::new_share_key(visit.piv, visit.session, self.joined(anchor), touch(self.policy))?;
                if made.touch.is_none() && self.policy.touch != Touch::Never {
                    room.warn("This card cannot ask for a touch: its share key works with the PIN alone.");
                }
                (made.slot, made.public, made.anchor)
            }
        };
        if !self.approvals.contains_key(&index) {
            let attestation = self.attest(visit, slot, &public, room)?;
            let class = if self.plan.practice { Class::Software } else { Class::Renewing };
            let share_key = ShareKey { public, slot: slot.to_string(), class, attestation };
            self.approve(visit, share_key)?;
        }
        Ok(anchor)
    }

    fn joined(&self, mut anchor: Anchor) -> Anchor {
        anchor.ceremony = Some(CeremonyMark {
            id: self.id,
            number: self.plan.number,
            consumes: self.plan.parent,
            started: self.plan.started,
        });
        anchor.number = self.plan.number;
        anchor
    }

    fn attest(
        &self,
        visit: &mut Visit<'_, '_>,
        slot: Slot,
        public: &crate::encoding::PublicKey,
        room: &mut dyn Room,
    ) -> Result<Attestation, ServeError> {
        let attestation = attestation::attestation_of(visit.piv, slot, public, self.roots)?;
        let name = &visit.entry.name;
        let trusted = matches!(attestation.verdict, Verdict::Yubico | Verdict::PolicyRoot)
            || self.plan.practice && attestation.verdict == Verdict::Drill;
        let subject = name.to_string();
        let excepted =
            self.plan.exceptions.iter().any(|e| e.kind == ExceptionKind::Attestation && e.subject == subject);
        if !self.plan.practice && attestation.verdict == Verdict::Drill {
            return Err(ServeError::Excluded("it is a software token, and this is a real vault".to_owned()));
        }
        if self.policy.attestation == Demand::Recorded || trusted || excepted {
            return Ok(attestation);
        }
        let without = Way { word: "without", meaning: "go on without this token" };
        let except = Way { word: "except", meaning: "let it take part; an exception that k custodians approve" };
        let verdict = in_words(attestation.verdict);
        let question =
            format!("The policy wants tokens whose maker attests the key; {name}'s says: {verdict}. What now?");
        if room.choose(&question, &[without, except]).map_err(CeremonyError::from)? == 0 {
            return Err(ServeError::Excluded(format!("its key is not attested as the policy asks ({verdict})")));
        }
        let expected = "a key attested by the maker".to_owned();
        Err(self.again(exception(ExceptionKind::Attestation, expected, verdict.to_string(), subject)).into())
    }

    fn approve(&mut self, visit: &mut Visit<'_, '_>, share_key: ShareKey) -> Result<(), ServeError> {
        let index = visit.entry.index;
        let approval = Approval::new(self.plan.clone(), index, share_key, Time::now()).map_err(CeremonyError::from)?;
        let bytes = approval.encode();
        let signature = visit.sign(&bytes)?.to_der();
        let signed = Signed::verify(&bytes, &signature, &visit.entry.signing_key)
            .map_err(|error| CeremonyError::StageCheck { reason: crate::error::sentence(&error) })?;
        let path = |half| layout::approval(self.directory, visit.entry, half);
        write_signed(self.copies, self.policy, self.plan, path, &bytes, &signature)?;
        self.approvals.insert(index, signed);
        Ok(())
    }
}

impl Visit<'_, '_> {
    /// The custodian's signature over `bytes`; the PIN is sent again in the same transaction, as slot 9C wants it.
    pub(super) fn sign(&mut self, bytes: &[u8]) -> Result<crate::encoding::Signature, ServeError> {
        Ok(sign(self.piv, self.session, bytes)?)
    }
}

/// The envelope of `generation` for a custodian, as far as it can be checked without a token: digest, stanza, curve point.
/// Looked at before anybody is asked for a PIN. What is wrong with it keeps this custodian out, and nobody else.
pub(super) fn sealed_share(
    copies: &Copies,
    generation: &GenerationState,
    entry: &RosterEntry,
) -> Result<ShareEnvelope, String> {
    let manifest = &generation.manifest;
    let key = manifest.share_key(entry.index);
    let envelope = manifest.envelopes.iter().find(|envelope| envelope.index == entry.index);
    let (Some(key), Some(envelope)) = (key, envelope) else {
        return Err("the generation has no share for it".to_owned());
    };
    let path = layout::share(&generation.directory, entry);
    let bytes = copies
        .read_file(&path, envelope.digest, ENVELOPE_LIMIT)
        .map_err(|error| format!("{}; another copy may have it", crate::error::sentence(&error)))?;
    ShareEnvelope::parse(&bytes, &key.public).map_err(|error| crate::error::sentence(&error))
}

/// Opens the envelope of `generation` for the custodian at the desk, and checks the share.
pub(super) fn open_share(
    copies: &Copies,
    generation: &GenerationState,
    vault: &Digest,
    visit: &mut Visit<'_, '_>,
    anchor: &Anchor,
) -> Result<CheckedShare, ServeError> {
    let manifest = &generation.manifest;
    let index = visit.entry.index;
    let sealed = sealed_share(copies, generation, visit.entry).map_err(ServeError::Excluded)?;
    let Some(key) = manifest.share_key(index) else {
        return Err(ServeError::Excluded("the generation has no share for it".to_owned()));
    };
    let slot = anchor.keys.iter().find(|held| held.public == Some(key.public) && !held.spent).map(|held| held.slot);
    let slot = match slot {
        Some(slot) => slot,
        None => key.slot.parse().map_err(|_| ServeError::Excluded("its slot is unknown".to_owned()))?,
    };
    let shared = visit.piv.ecdh(slot, sealed.encapsulated())?;
    let commitments = Commitments::new(manifest.commitments.clone()).map_err(CeremonyError::from)?;
    let record = ShareRecord {
        vault: *vault,
        generation: generation.generation,
        index,
        k: manifest.plan.k,
        n: u8::try_from(manifest.plan.roster.len()).unwrap_or(u8::MAX),
        commitments: commitments.digest(),
    };
    let bad = |reason: String| ServeError::Excluded(reason);
    let share = sealed.open(shared, &record).map_err(|error| bad(crate::error::sentence(&error)))?;
    sharing::check(&commitments, index, share).map_err(|error| bad(crate::error::sentence(&error)))
}

/// A share that is not right is on record, signed by the token that holds it. The record is no condition of anything: a
/// token that cannot sign it is excluded all the same.
pub(super) fn refused(
    copies: &Copies,
    plan: &Plan,
    generation: u64,
    visit: &mut Visit<'_, '_>,
    error: ServeError,
) -> ServeError {
    let ServeError::Excluded(reason) = &error else { return error };
    let reason: String = reason.chars().filter(|c| !c.is_control()).take(400).collect();
    let body = RecordBody::Refused(RefusedBody { ceremony: id(plan), reason });
    let by = Signer::Custodian(visit.entry.index);
    if let Ok(record) = Record::new(plan.vault, generation, Time::now(), by, body) {
        let bytes = record.encode();
        if let Ok(signature) = visit.sign(&bytes) {
            let _ = write_record(copies, &Digest::of(&bytes), &bytes, &signature.to_der());
        }
    }
    error
}

fn touch(policy: &Policy) -> TouchPolicy {
    match policy.touch {
        Touch::Always => TouchPolicy::Always,
        Touch::Cached => TouchPolicy::Cached,
        Touch::Never => TouchPolicy::Never,
    }
}

/// The hindrance as a clause.
pub(super) fn describe(hindrance: &Hindrance) -> String {
    match hindrance {
        Hindrance::NoAnchor => "it carries no readable anchor of this vault".to_owned(),
        Hindrance::Ahead { closed } => {
            format!(
                "it has closed generation {closed}, which this copy does not have: this copy is old, bring a newer one"
            )
        }
        Hindrance::OtherLine { closed } => {
            format!(
                "it has closed another generation {closed} than the one in this copy: bring the copy that has that one"
            )
        }
        Hindrance::Elsewhere { ceremony, number, started } => {
            format!("it is in ceremony {} (number {number}, begun {started})", ceremony.short())
        }
        Hindrance::Number { shown } | Hindrance::CannotGoBack { shown } => {
            format!("it has been in a ceremony with number {shown}, and never goes back")
        }
    }
}

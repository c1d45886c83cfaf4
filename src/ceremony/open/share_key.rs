//! The token joins: a new share key in a free slot, what the card says of it, and the signed approval.

use std::collections::BTreeSet;

use crate::encoding::{Digest, Document, PublicKey, Time};
use crate::policy::{Attestation as Demand, Policy, Touch};
use crate::room::{Room, Way};
use crate::token::TokenError;
use crate::token::anchor::{Anchor, AnchorKey, CeremonyMark};
use crate::token::piv::{SlotKey, TouchPolicy};
use crate::token::slot::Slot;
use crate::token::{attestation, custody};
use crate::transcript::{Approval, Attestation, Class, ExceptionKind, Judgement, Plan, ShareKey, Signed, Verdict};
use crate::vault::{Copies, layout};

use super::Approving;
use crate::ceremony::CeremonyError;
use crate::ceremony::anchored::completed;
use crate::ceremony::attendance::{ServeError, Visit};
use crate::ceremony::attested::in_words;
use crate::ceremony::plan::exception;
use crate::ceremony::setting::write_signed;

impl Approving<'_> {
    /// The token joins, makes its share key, and signs the approval, which is durable when this returns.
    pub(super) fn make_share_key(
        &mut self,
        visit: &mut Visit<'_, '_>,
        room: &mut dyn Room,
    ) -> Result<Anchor, ServeError> {
        let index = visit.entry.index;
        let anchor = self.anchor(visit)?;
        let made = anchor.keys.iter().find(|key| key.made == self.plan.number && !key.spent).cloned();
        let in_this = anchor.ceremony.as_ref().is_some_and(|ceremony| ceremony.id == self.id);
        let made = made.filter(|_| in_this).and_then(|key| Some((key.slot, key.public?)));
        let (slot, public, anchor) = match made {
            Some((slot, public)) => (slot, public, anchor),
            None if let Some((slot, public, anchor)) = self.unused_key(visit, &anchor)? => (slot, public, anchor),
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

    /// The anchor, with the key that the current generation's share is sealed to, where somebody took it out of the anchor.
    fn anchor(&self, visit: &mut Visit<'_, '_>) -> Result<Anchor, TokenError> {
        let anchor = visit.anchor.clone().unwrap_or_else(|| Anchor::new(self.plan.vault));
        let index = visit.entry.index;
        let Some(parent) = self.parent else { return Ok(anchor) };
        match parent.manifest.share_key(index) {
            Some(key) if anchor.slot_of(&key.public).is_none() => {
                completed(visit.piv, anchor, index, self.judgement.line_to(parent).into_iter())
            }
            _ => Ok(anchor),
        }
    }

    /// The key that this token made in a ceremony that this plan abandons, if no share was ever written there: nothing was
    /// sealed to it, and it serves again. Otherwise every attempt that is broken off would cost a slot.
    fn unused_key(
        &self,
        visit: &mut Visit<'_, '_>,
        anchor: &Anchor,
    ) -> Result<Option<(Slot, PublicKey, Anchor)>, TokenError> {
        let Some(left) = anchor.ceremony.as_ref().filter(|left| self.without_shares.contains(&left.id)) else {
            return Ok(None);
        };
        let key = anchor.keys.iter().find(|key| key.made == left.number && !key.spent);
        let Some((slot, public)) = key.and_then(|key| Some((key.slot, key.public?))) else { return Ok(None) };
        if visit.piv.proven_slot_key(slot)? != SlotKey::P256(public) {
            return Ok(None);
        }
        let mut anchor = self.joined(anchor.clone());
        anchor.set(AnchorKey { slot, public: Some(public), made: self.plan.number, spent: false });
        let anchor = custody::write_anchor(visit.piv, visit.session, anchor, slot)?;
        Ok(Some((slot, public, anchor)))
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

    /// Whether another custodian has this share key: a token that copies one is named, and stops nobody.
    fn is_taken(&self, index: u8, public: &PublicKey) -> bool {
        let standing =
            self.parent.iter().flat_map(|parent| &parent.manifest.share_keys).map(|key| (key.index, key.public));
        let approved = self.approvals.iter().map(|(index, approval)| (*index, approval.body().share_key.public));
        standing.chain(approved).any(|(other, key)| other != index && key == *public)
    }

    fn approve(&mut self, visit: &mut Visit<'_, '_>, share_key: ShareKey) -> Result<(), ServeError> {
        let index = visit.entry.index;
        if self.is_taken(index, &share_key.public) {
            return Err(ServeError::Excluded("it shows a share key that another custodian has".to_owned()));
        }
        let approval = Approval::new(self.plan.clone(), index, share_key, Time::now())
            .map_err(|error| ServeError::Excluded(crate::error::sentence(&error)))?;
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

/// The ceremonies that `plan` abandons (all their copies are here) that never came to write a share.
pub(super) fn without_shares(
    copies: &Copies,
    judgement: &Judgement,
    plan: &Plan,
) -> Result<BTreeSet<Digest>, CeremonyError> {
    let snapshot = copies.snapshot()?;
    // A copy that cannot be read any more may have one.
    let here = snapshot.copies.iter().map(|copy| &copy.path);
    if !here.eq(judgement.copies.iter().map(|copy| &copy.path)) {
        return Ok(BTreeSet::new());
    }
    let has_shares = |ceremony: &Digest| {
        snapshot.copies.iter().enumerate().any(|(place, copy)| {
            let Some(directory) = judgement.directory_of(place, ceremony) else { return false };
            let begin = format!("generations/{directory}/");
            let unread = copy.unread.iter().map(|unread| &unread.file);
            // What cannot be read may be one.
            let hidden = |file: &String| begin.strip_prefix(file.as_str()).is_some_and(|rest| rest.starts_with('/'));
            if unread.clone().any(hidden) {
                return true;
            }
            let files = copy.files.keys().chain(unread).chain(&copy.empty);
            let mut files = files.filter_map(|file| file.strip_prefix(&begin));
            files.any(|file| file.starts_with("shares/") || file == "manifest.json" || file == "COMMIT")
        })
    };
    let abandoned = plan.abandons.iter().map(|abandoned| abandoned.ceremony);
    Ok(abandoned.filter(|ceremony| !has_shares(ceremony)).collect())
}

fn touch(policy: &Policy) -> TouchPolicy {
    match policy.touch {
        Touch::Always => TouchPolicy::Always,
        Touch::Cached => TouchPolicy::Cached,
        Touch::Never => TouchPolicy::Never,
    }
}

//! What a ceremony is held with: the copies and what they prove, the policy, the tokens, the people.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::encoding::{Digest, Document, Nonce16, Time};
use crate::policy::Policy;
use crate::room::Room;
use crate::token::attestation::Roots;
use crate::token::channel::Source;
use crate::transcript::{
    CeremonyKind, ExceptionKind, GenerationState, Half, Judgement, Plan, Snapshot, judge, serves_generation_alone,
};
use crate::vault::{Copies, VaultError, layout};

use super::CeremonyError;

/// What a ceremony is held with.
pub struct Setting<'s> {
    /// The copies of the vault that are here.
    pub copies: &'s Copies,
    /// What they prove; made anew by [`Setting::rejudge`].
    pub judgement: Judgement,
    /// The vault's policy, its digest checked.
    pub policy: Policy,
    /// No copy here has it: `policy` is [`Policy::strictest`].
    pub policy_is_lost: bool,
    /// Attestation roots: the maker's and the policy's.
    pub roots: Roots,
    /// The tokens.
    pub source: &'s mut dyn Source,
    /// The people.
    pub room: &'s mut dyn Room,
    /// What the machine's preflight found, one clause each.
    pub weaknesses: Vec<String>,
}

impl Setting<'_> {
    /// Reads all copies again and judges them.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn rejudge(&mut self) -> Result<(), VaultError> {
        self.judgement = judge(&self.copies.snapshot()?);
        Ok(())
    }

    /// On how many of the copies at these places in [`Judgement::copies`] the generation stands and could be opened if all
    /// others were lost; copies with one id are one. A copy that is damaged otherwise does not count, but for the last one:
    /// one on which the generation is complete is always one.
    ///
    /// # Errors
    /// [`VaultError`].
    pub(super) fn standing(&self, generation: &GenerationState, places: &[usize]) -> Result<usize, VaultError> {
        let complete: Vec<usize> =
            places.iter().copied().filter(|place| generation.complete_on.contains(place)).collect();
        let snapshot = self.copies.snapshot()?;
        let ids: BTreeSet<Nonce16> = complete
            .iter()
            .filter(|place| {
                self.view(&snapshot, **place).is_some_and(|view| serves_generation_alone(&snapshot, view, generation))
            })
            .filter_map(|place| self.judgement.copies[*place].id)
            .collect();
        Ok(ids.len().max(usize::from(!complete.is_empty())))
    }

    /// The place in the snapshot of the copy at this place in [`Judgement::copies`].
    pub(super) fn view(&self, snapshot: &Snapshot, place: usize) -> Option<usize> {
        snapshot.copies.iter().position(|view| view.path == self.judgement.copies[place].path)
    }

    /// A drill vault takes software tokens only, a real vault none.
    ///
    /// # Errors
    /// [`CeremonyError::WrongTokens`].
    pub fn check_tokens(&self) -> Result<(), CeremonyError> {
        let practice = self.judgement.practice;
        if self.source.software() == practice { Ok(()) } else { Err(CeremonyError::WrongTokens { practice }) }
    }
}

/// On how many copies a file must stand before the ceremony of `plan` goes on: the policy's number, or the one with which the
/// exception that was approved begins.
pub(super) fn required(policy: &Policy, plan: &Plan) -> usize {
    let wanted = usize::from(policy.copies);
    let excepted = plan.exceptions.iter().find(|exception| exception.kind == ExceptionKind::Copies);
    excepted.map_or(wanted, |exception| {
        let said = exception.happened.split(' ').next().and_then(|number| number.parse().ok());
        said.unwrap_or(plan.copies.len()).clamp(1, wanted.max(1))
    })
}

/// Writes a new file to every copy; it must then stand on as many as the ceremony asks for.
pub(super) fn write(
    copies: &Copies,
    policy: &Policy,
    plan: &Plan,
    path: &Path,
    bytes: &[u8],
) -> Result<(), CeremonyError> {
    copies.write_new(path, bytes)?.require(required(policy, plan))?;
    Ok(())
}

/// Writes a signed document and its signature; the body first: without its signature it is unfinished.
pub(super) fn write_signed(
    copies: &Copies,
    policy: &Policy,
    plan: &Plan,
    path: impl Fn(Half) -> PathBuf,
    bytes: &[u8],
    signature: &[u8],
) -> Result<(), CeremonyError> {
    write(copies, policy, plan, &path(Half::Body), bytes)?;
    write(copies, policy, plan, &path(Half::Signature), signature)
}

/// Writes a record and its signature: on every copy that takes it, and on one at least. A medium that fails now is no
/// reason to keep k custodians from a credential; the record reaches it when the copies are merged.
pub(super) fn write_record(
    copies: &Copies,
    digest: &Digest,
    bytes: &[u8],
    signature: &[u8],
) -> Result<(), CeremonyError> {
    copies.write_new(&layout::record(digest, Half::Signature), signature)?.require(1)?;
    copies.write_new(&layout::record(digest, Half::Body), bytes)?.require(1)?;
    Ok(())
}

/// The clock must not stand before what is on record.
pub(super) fn clock_is_behind(judgement: &Judgement, now: Time) -> Option<Time> {
    let records = judgement.records.iter().map(|record| record.body().time);
    let plans = judgement.generations.iter().map(|generation| generation.manifest.plan.started);
    records.chain(plans).max().filter(|last| *last > now)
}

/// What the ceremony is, in one line for people.
pub(super) fn describe(plan: &Plan) -> String {
    match (plan.kind, &plan.grant) {
        (CeremonyKind::Recover, Some(grant)) => format!("recover {} for {}", grant.item, grant.requester),
        (kind, _) => kind.to_string(),
    }
}

/// The id of a ceremony.
pub(super) fn id(plan: &Plan) -> Digest {
    plan.digest()
}

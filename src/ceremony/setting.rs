//! What a ceremony is held with: the copies and what they prove, the policy, the tokens, the people.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::encoding::{Digest, Document, Nonce16, Time};
use crate::policy::Policy;
use crate::room::Room;
use crate::token::attestation::Roots;
use crate::token::channel::Source;
use crate::transcript::{CeremonyKind, ExceptionKind, Half, Judgement, Plan, judge, serves_alone};
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

    /// The ids of those copies, of these places in [`Judgement::copies`], that would do if all others were lost. Copies with
    /// one id are one.
    ///
    /// # Errors
    /// [`VaultError`].
    pub(super) fn would_do_alone(&self, places: &[usize]) -> Result<BTreeSet<Nonce16>, VaultError> {
        let snapshot = self.copies.snapshot()?;
        let alone = |place: &&usize| {
            let view = snapshot.copies.iter().position(|view| view.path == self.judgement.copies[**place].path);
            view.is_some_and(|view| serves_alone(&snapshot, view, &self.judgement))
        };
        Ok(places.iter().filter(alone).filter_map(|place| self.judgement.copies[*place].id).collect())
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

//! Share envelopes: looked at without a token, opened by one, and what is on record when a share is wrong.

use crate::encoding::{Digest, Document, Time};
use crate::sealing::share::{MAX_ENVELOPE, ShareEnvelope, ShareRecord};
use crate::sharing::{self, CheckedShare, Commitments};
use crate::token::anchor::Anchor;
use crate::transcript::{GenerationState, Plan, Record, RecordBody, RefusedBody, RosterEntry, Signer};
use crate::vault::{Copies, layout};

use crate::ceremony::CeremonyError;
use crate::ceremony::attendance::{ServeError, Visit};
use crate::ceremony::setting::{id, write_record};

/// The envelope of `generation` for a custodian, as far as it can be checked without a token: digest, stanza, curve point.
/// Looked at before anybody is asked for a PIN. What is wrong with it keeps this custodian out, and nobody else.
pub(in crate::ceremony) fn sealed_share(
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
        .read_file(&path, envelope.digest, MAX_ENVELOPE)
        .map_err(|error| format!("{}; another copy may have it", crate::error::sentence(&error)))?;
    ShareEnvelope::parse(&bytes, &key.public).map_err(|error| crate::error::sentence(&error))
}

/// Opens the envelope of `generation` for the custodian at the desk, and checks the share.
pub(in crate::ceremony) fn open_share(
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
pub(in crate::ceremony) fn refused(
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

//! The files outside of generations: founding body, policy, copy marks, records, inbox, and what does not belong.

use std::collections::{BTreeMap, BTreeSet};

use super::GenerationState;
use super::collect::Ceremony;
use super::files::chain;
use super::findings::{Findings, OTHER_COPY};
use crate::encoding::{Digest, Nonce16, PublicKey};
use crate::transcript::document::Checked;
use crate::transcript::founding::{CopyMark, Founding};
use crate::transcript::manifest::Manifest;
use crate::transcript::place::{Half, Place};
use crate::transcript::record::{Record, Signer};
use crate::transcript::signed::{Signed, SignedError};
use crate::transcript::snapshot::{CopyView, Snapshot};

/// What is not the file of a vault, or could not be read.
pub(super) fn strangers<'a>(snapshot: &'a Snapshot, findings: &mut Findings<'a>) {
    for path in &snapshot.foreign {
        let what = format!("{path} is a copy of another vault; nothing of it was used");
        findings.note_everywhere(String::new(), &what, "leave it out, or give the path of the copy that is meant");
    }
    for (copy, view) in snapshot.copies.iter().enumerate() {
        for unread in &view.unread {
            findings.wrong(copy, unread.file.clone(), &unread.why, OTHER_COPY);
        }
        for path in &view.empty {
            findings.note(copy, path.clone(), "is empty: it was never finished, and is ignored", "");
        }
        for path in view.files.keys() {
            match Place::of(path) {
                Place::Part => findings.note(copy, path.clone(), "was never finished, and is ignored", ""),
                Place::Unknown => {
                    findings.wrong(
                        copy,
                        path.clone(),
                        "is not a file of a vault",
                        "remove it, if nobody knows why it is here",
                    );
                }
                _ => {}
            }
        }
    }
}

/// `vault.json`, `copy.json` and `policy.toml` of each copy.
pub(super) fn heads<'a>(
    snapshot: &'a Snapshot,
    ceremonies: &[Ceremony<'_>],
    current: Option<&GenerationState>,
    findings: &mut Findings<'a>,
) {
    // A plan vouches for a policy only if k custodians approved it.
    let approved = ceremonies.iter().filter(|ceremony| ceremony.is_approved(snapshot));
    let after = current.map_or(0, |current| current.generation);
    let mut policies: BTreeSet<Digest> =
        approved.filter(|ceremony| ceremony.plan.generation > after).map(|ceremony| ceremony.plan.policy).collect();
    policies.insert(current.map_or(snapshot.founding.policy, |current| current.manifest.plan.policy));
    let mut seen: BTreeMap<Nonce16, usize> = BTreeMap::new();
    let planned: BTreeSet<Nonce16> = ceremonies.iter().flat_map(|c| c.plan.copies.iter().copied()).collect();
    for (copy, view) in snapshot.copies.iter().enumerate() {
        let bytes = |file: &str| view.files.get(file).and_then(|content| content.bytes());
        match bytes("vault.json") {
            // In a founding each copy gets its mark first.
            None if ceremonies.is_empty() && view.mark().is_some_and(|mark| mark.vault == snapshot.vault) => {
                let what = "is missing: `claviger found` was interrupted while it laid the copies out";
                let hint = "run `claviger found` again, with the same policy and enrolments";
                findings.note(copy, "vault.json".to_owned(), what, hint);
            }
            None => findings.wrong(copy, "vault.json".to_owned(), "is missing", OTHER_COPY),
            Some(bytes) if Digest::of(bytes) == snapshot.vault => {}
            Some(bytes) => {
                let error = Founding::read(bytes).err();
                let what = error.map_or_else(|| "is not the founding body of this vault".to_owned(), |e| chain(&e));
                findings.wrong(copy, "vault.json".to_owned(), &what, OTHER_COPY);
            }
        }
        match bytes("policy.toml") {
            None => findings.wrong(copy, "policy.toml".to_owned(), "is missing", OTHER_COPY),
            Some(bytes) if policies.contains(&Digest::of(bytes)) => {}
            Some(_) => {
                let what = "is not the policy that was approved";
                let hint =
                    "put the approved policy.toml back, from another copy; this version cannot change a vault's policy";
                findings.wrong(copy, "policy.toml".to_owned(), what, hint);
            }
        }
        mark(snapshot, copy, bytes("copy.json"), (&mut seen, &planned), findings);
    }
}

fn mark<'a>(
    snapshot: &'a Snapshot,
    copy: usize,
    bytes: Option<&[u8]>,
    (seen, planned): (&mut BTreeMap<Nonce16, usize>, &BTreeSet<Nonce16>),
    findings: &mut Findings<'a>,
) {
    let file = "copy.json".to_owned();
    let again = "nothing is written to this copy until `claviger copy sync` with all copies gives it a mark";
    let mark = match bytes.map(CopyMark::read) {
        None => return findings.wrong(copy, file, "is missing", again),
        Some(Err(error)) => return findings.wrong(copy, file, &chain(&error), again),
        Some(Ok(mark)) => mark,
    };
    if mark.vault != snapshot.vault {
        findings.wrong(copy, file.clone(), "names another vault than the vault.json that counts", OTHER_COPY);
        let vouched = |view: &CopyView| view.mark().is_some_and(|mark| mark.vault == snapshot.vault);
        if !snapshot.copies.iter().any(vouched) {
            let what = "is not what copy.json beside it names (one of the two was changed)";
            findings.wrong(copy, "vault.json".to_owned(), what, OTHER_COPY);
        }
    }
    if let Some(other) = seen.insert(mark.id, copy) {
        let what = format!("is the same as that of {}: one was copied by hand", snapshot.copies[other].path);
        findings.wrong(
            copy,
            file.clone(),
            &what,
            "use only one of the two, or give both to `claviger copy sync`: one gets a mark of its own",
        );
    }
    if !planned.is_empty() && !planned.contains(&mark.id) {
        findings.note(
            copy,
            file,
            "names a copy that no ceremony was planned on",
            "right, if it was added since the last ceremony",
        );
    }
}

/// The key of whoever signed a record.
fn signer(snapshot: &Snapshot, line: &BTreeMap<u64, &Manifest>, record: &Record) -> Option<PublicKey> {
    match record.by {
        Signer::Custodian(index) => {
            let entry = snapshot.founding.roster.get(usize::from(index).checked_sub(1)?)?;
            Some(entry.signing_key)
        }
        Signer::Succession(generation) => line.get(&generation).map(|manifest| manifest.succession_key),
    }
}

/// Verifies the records; returns the valid ones by time, and by copy which stems are whole there.
pub(super) fn records<'a>(
    snapshot: &'a Snapshot,
    line: &[&GenerationState],
    findings: &mut Findings<'a>,
) -> (Vec<Signed<Record>>, Vec<BTreeSet<Digest>>) {
    let manifests: BTreeMap<u64, &Manifest> = line.iter().map(|state| (state.generation, &state.manifest)).collect();
    let mut valid: BTreeMap<Digest, Signed<Record>> = BTreeMap::new();
    let mut whole = vec![BTreeSet::new(); snapshot.copies.len()];
    for (copy, view) in snapshot.copies.iter().enumerate() {
        for (path, content) in &view.files {
            let Place::Record(stem, half) = Place::of(path) else { continue };
            let twin = format!("records/{stem}.{}", if half == Half::Body { "sig" } else { "json" });
            let Some(twin) = view.files.get(&twin).and_then(|twin| twin.bytes()) else {
                findings.note(copy, path.clone(), "stands here without its other half, and does not count", "");
                continue;
            };
            if half == Half::Signature {
                continue;
            }
            let bytes = content.bytes().unwrap_or_default();
            if Digest::of(bytes) != stem {
                findings.wrong(copy, path.clone(), "is not what its name says: its digest differs", OTHER_COPY);
                continue;
            }
            let verified = Signed::verify_by(bytes, twin, &snapshot.memory, |record: &Record| {
                (record.vault == snapshot.vault).then_some(())?;
                signer(snapshot, &manifests, record)
            });
            match verified {
                Ok(record) => {
                    whole[copy].insert(stem);
                    valid.insert(stem, record);
                }
                // The name holds the body to its digest: what does not fit is the signature.
                Err(error @ (SignedError::Signature(_) | SignedError::Forged { .. })) => {
                    findings.wrong(copy, format!("records/{stem}.sig"), &chain(&error), OTHER_COPY);
                }
                Err(error) => findings.wrong(copy, path.clone(), &chain(&error), OTHER_COPY),
            }
        }
    }
    let listed = line.iter().flat_map(|state| state.manifest.records.iter().copied());
    for digest in listed.collect::<BTreeSet<_>>() {
        if !valid.contains_key(&digest) {
            let what = "is named in a manifest and on none of the copies";
            findings.wrong_everywhere(format!("records/{digest}.json"), what, "look for a copy that has it");
        }
    }
    let mut valid: Vec<_> = valid.into_values().collect();
    valid.sort_by_key(|record| (record.body().time, record.digest()));
    (valid, whole)
}

/// Inbox files that a plan names must be what it names; those of ratified generations may go.
pub(super) fn inbox<'a>(
    snapshot: &'a Snapshot,
    ceremonies: &[Ceremony<'_>],
    line: &[&GenerationState],
    findings: &mut Findings<'a>,
) {
    let done: BTreeSet<Digest> = line.iter().filter(|state| state.ratified).map(|state| state.ceremony).collect();
    let open = |c: &&Ceremony<'_>| !done.contains(&c.id) && c.plan.generation > done.len() as u64;
    for (copy, view) in snapshot.copies.iter().enumerate() {
        for (path, content) in &view.files {
            let Place::Inbox(file) = Place::of(path) else { continue };
            let digest = content.digest();
            let other = |other: &&CopyView| other.files.get(path).is_some_and(|content| content.digest() != digest);
            if let Some(other) = snapshot.copies[..copy].iter().find(other) {
                // Of the inbox, and not of the file: nothing says which of the two is wrong.
                let what =
                    format!("{file} differs from the file of this name on {}: they are two proposals", other.path);
                findings.note(
                    copy,
                    "inbox".to_owned(),
                    &what,
                    "give one of them another name, or remove it if it is not wanted",
                );
            }
            let named = |c: &Ceremony<'_>, same: bool| {
                c.plan.admits.iter().any(|a| a.file == file && (a.digest == digest) == same)
            };
            if ceremonies.iter().filter(open).any(|c| named(c, false)) {
                findings.wrong(
                    copy,
                    path.clone(),
                    "is not the file that a plan admits: its digest differs",
                    OTHER_COPY,
                );
            }
            if ceremonies.iter().any(|c| done.contains(&c.id) && named(c, true)) {
                findings.note(copy, path.clone(), "was admitted, and is not needed any more", "");
            }
        }
    }
}

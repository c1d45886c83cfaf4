//! The next generation: a new root, n new shares, every item sealed anew, all of it checked before anything is signed.
//!
//! The old root exists from the first line of [`stage`] to its end, as the two keys that are derived from it; the new
//! root, until its shares are sealed and checked.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::credential::Kind;
use crate::encoding::{Digest, Document, Name};
use crate::fault::inspect;
use crate::policy::Policy;
use crate::sealing::item::{self, ItemRecord};
use crate::sealing::root::{InboxIdentity, SuccessionKey, VaultIdentity, vault_identity};
use crate::sealing::share::{ShareRecord, seal_share};
use crate::secret::SecretBytes;
use crate::sharing::{self, Commitments, Split, Threshold};
use crate::transcript::{
    Checked, ExceptionKind, GenerationState, INBOX_IDENTITY, IndexedDigest, IndexedShareKey, ItemEntry, Manifest, Plan,
    Refused, Signer, check_manifest_follows,
};
use crate::vault::{Copies, VaultError, layout};

use super::open::Opened;
use super::setting::{required, write};
use super::{CeremonyError, Setting};

/// Evidence that the next generation is written and checked, and not yet committed. Consumed by the commit.
pub struct Staged {
    pub(super) id: Digest,
    pub(super) directory: String,
    pub(super) manifest: Manifest,
    pub(super) succession: SuccessionKey,
}

/// Makes the next generation out of what round 1 opened.
///
/// # Errors
/// [`CeremonyError`]; nothing is committed, and the current generation stands.
pub fn stage(setting: &mut Setting<'_>, opened: Opened) -> Result<Staged, CeremonyError> {
    let Opened { plan, id, directory, approvals, shares } = opened;
    let parent = plan.parent.and_then(|parent| setting.judgement.generation(&parent)).cloned();
    let old = match &parent {
        Some(parent) => {
            let commitments = Commitments::new(parent.manifest.commitments.clone())?;
            let root = sharing::combine(&commitments, shares)?;
            Some(Keys::derive(&root, &plan.vault, parent.generation)?)
        }
        None => None,
    };

    let n =
        u8::try_from(plan.roster.len()).map_err(|_| CeremonyError::Threshold { k: plan.k, n: plan.roster.len() })?;
    let Split { root, shares, commitments } = sharing::split(&Threshold::new(plan.k, n)?)?;
    let new = Keys::derive(&root, &plan.vault, plan.generation)?;
    drop(root);
    inspect::stage("roots");

    let share_keys: Vec<IndexedShareKey> = plan
        .roster
        .iter()
        .filter_map(|entry| match (approvals.get(&entry.index), &parent) {
            (Some(approval), _) => Some(IndexedShareKey::new(entry.index, approval.body().share_key.clone())),
            (None, Some(parent)) => parent.manifest.share_key(entry.index).cloned(),
            (None, None) => None,
        })
        .collect();

    let writer = Writer { copies: setting.copies, policy: &setting.policy, plan: &plan, directory: &directory };
    let envelopes = writer.envelopes(&share_keys, shares, &commitments)?;
    let carried = writer.items(parent.as_ref(), old.as_ref(), &new)?;
    let closings = parent.as_ref().map(closings).unwrap_or_default();
    let records = unfolded_records(setting, parent.as_ref());

    let manifest = Manifest {
        format: Manifest::FORMAT.to_owned(),
        commitments: commitments.points().to_vec(),
        share_keys,
        vault_recipient: new.identity.recipient(),
        succession_key: new.succession.public(),
        inbox_recipient: carried.inbox_recipient,
        inbox_identity: carried.inbox_identity,
        envelopes,
        items: carried.items,
        refused: carried.refused,
        approvals: approvals
            .iter()
            .map(|(&index, approval)| IndexedDigest { index, digest: approval.digest() })
            .collect(),
        closings,
        records,
        plan,
    };
    // A manifest that nobody could read again must not be committed, whatever a token or a record put into it.
    Manifest::read(&manifest.encode())
        .map_err(|error| CeremonyError::StageCheck { reason: crate::error::sentence(&error) })?;
    let follows = parent.as_ref().map(|parent| (&parent.manifest, parent.digest));
    check_manifest_follows(&setting.judgement.founding, follows, &manifest, &approvals)
        .map_err(|error| CeremonyError::StageCheck { reason: crate::error::sentence(&error) })?;
    check_items(setting.copies, &manifest, &directory, &new.identity)?;
    write(setting.copies, &setting.policy, &manifest.plan, &layout::manifest(&directory), &manifest.encode())?;

    inspect::stage("sealed");
    let succession = match old {
        Some(old) => old.succession,
        None => new.succession,
    };
    Ok(Staged { id, directory, manifest, succession })
}

/// What is derived from a root.
pub(super) struct Keys {
    pub(super) identity: VaultIdentity,
    pub(super) succession: SuccessionKey,
}

impl Keys {
    pub(super) fn derive(root: &crate::secret::Root, vault: &Digest, generation: u64) -> Result<Self, CeremonyError> {
        let identity = vault_identity(root, vault, generation);
        Ok(Self { identity, succession: SuccessionKey::derive(root, vault, generation)? })
    }
}

fn closings(parent: &GenerationState) -> Vec<IndexedDigest> {
    parent.closings.iter().map(|(&index, closing)| IndexedDigest { index, digest: closing.digest() }).collect()
}

/// As many records of each signer are folded into one manifest: nobody alone can make it too large to be read.
const RECORDS_OF_ONE: usize = 64;

/// The records that no manifest of the line has folded in yet, sorted; of each signer the oldest. How many are left for the
/// next generation is said.
fn unfolded_records(setting: &mut Setting<'_>, parent: Option<&GenerationState>) -> Vec<Digest> {
    let Some(parent) = parent else { return Vec::new() };
    let line = setting.judgement.line_to(parent).into_iter();
    let folded: BTreeSet<Digest> = line.flat_map(|generation| generation.manifest.records.iter().copied()).collect();
    let unfolded = setting.judgement.records.iter().filter(|record| !folded.contains(&record.digest()));
    let (records, left) = oldest_of_each(unfolded.map(|record| (record.body().by, record.digest())));
    if left > 0 {
        setting.room.warn(&format!(
            "There are more records than one generation takes ({RECORDS_OF_ONE} of each signer): {left} are left for the next one."
        ));
    }
    records
}

/// Of `records`, which stand by time, the first [`RECORDS_OF_ONE`] of each signer, sorted; and how many are left.
fn oldest_of_each(records: impl Iterator<Item = (Signer, Digest)>) -> (Vec<Digest>, usize) {
    let (mut taken, mut left) = (Vec::new(), 0);
    let mut counts: BTreeMap<(bool, u64), usize> = BTreeMap::new();
    for (signer, digest) in records {
        // The succession keys count as one: each takes k shares, and there are ever more of them.
        let signer = match signer {
            Signer::Custodian(index) => (true, u64::from(index)),
            Signer::Succession(_) => (false, 0),
        };
        let count = counts.entry(signer).or_default();
        *count += 1;
        if *count <= RECORDS_OF_ONE { taken.push(digest) } else { left += 1 }
    }
    taken.sort();
    (taken, left)
}

/// Why every proposal is refused where the plan leaves the inbox identity behind.
const INBOX_LOST: &str =
    "the inbox identity that it was sealed to is lost: seal it anew, to the new recipient of the inbox";

/// What the items of the parent became.
struct Carried {
    items: Vec<ItemEntry>,
    refused: Vec<Refused>,
    inbox_recipient: String,
    inbox_identity: Digest,
}

struct Writer<'a> {
    copies: &'a Copies,
    policy: &'a Policy,
    plan: &'a Plan,
    directory: &'a str,
}

impl Writer<'_> {
    /// Seals every custodian's share to the custodian's share key, and checks every share against the commitments.
    fn envelopes(
        &self,
        keys: &[IndexedShareKey],
        shares: Vec<(u8, crate::secret::ShareValue)>,
        commitments: &Commitments,
    ) -> Result<Vec<IndexedDigest>, CeremonyError> {
        let n = u8::try_from(shares.len()).unwrap_or(u8::MAX);
        let mut envelopes = Vec::with_capacity(shares.len());
        for ((index, share), key) in shares.into_iter().zip(keys) {
            let record = ShareRecord {
                vault: self.plan.vault,
                generation: self.plan.generation,
                index,
                k: self.plan.k,
                n,
                commitments: commitments.digest(),
            };
            let sealed = seal_share(&key.public, &record, &share)?;
            sharing::check(commitments, index, share)?;
            let custodian = self
                .plan
                .custodian(index)
                .ok_or_else(|| CeremonyError::StageCheck { reason: format!("share {index} has no custodian") })?;
            let path = layout::share(self.directory, custodian);
            write(self.copies, self.policy, self.plan, &path, &sealed)?;
            envelopes.push(IndexedDigest { index, digest: Digest::of(&sealed) });
        }
        Ok(envelopes)
    }

    /// Seals every item of the parent anew, but those that the plan leaves behind (also where one turns up now: what was
    /// approved is what is done), makes the next credential of the granted one, admits what the plan names.
    fn items(
        &self,
        parent: Option<&GenerationState>,
        old: Option<&Keys>,
        new: &Keys,
    ) -> Result<Carried, CeremonyError> {
        let inbox = match (parent, old) {
            (Some(parent), Some(old)) if !self.leaves_behind(INBOX_IDENTITY) => self.inbox_identity(parent, old)?,
            _ => InboxIdentity::generate(),
        };
        let recipient = new.identity.recipient();
        let payload = inbox.payload();
        let path = layout::inbox_identity(self.directory);
        let record = ItemRecord::inbox_identity(self.plan.vault);
        let inbox_identity = self.seal(&path, &recipient, &record, || Ok(Box::new(payload.expose_secret())))?;

        let (admitted, refused) = self.admissions(&inbox, &recipient)?;
        let mut items = BTreeMap::new();
        if let (Some(parent), Some(old)) = (parent, old) {
            for item in &parent.manifest.items {
                if !admitted.contains_key(&item.name) && !self.leaves_behind(item.name.as_str()) {
                    items.insert(item.name.clone(), self.carry(parent, old, item, &recipient)?);
                }
            }
        }
        items.extend(admitted);
        let items = items.into_values().collect();
        Ok(Carried { items, refused, inbox_recipient: inbox.recipient(), inbox_identity })
    }

    fn leaves_behind(&self, subject: &str) -> bool {
        self.plan.excepts(ExceptionKind::ItemLost, subject)
    }

    fn record(&self, name: &Name, kind: &Name) -> ItemRecord {
        ItemRecord { vault: self.plan.vault, name: name.clone(), kind: kind.clone() }
    }

    fn inbox_identity(&self, parent: &GenerationState, old: &Keys) -> Result<InboxIdentity, CeremonyError> {
        let path = layout::inbox_identity(&parent.directory);
        let file = self.copies.open_file(&path, parent.manifest.inbox_identity)?;
        let record = ItemRecord::inbox_identity(self.plan.vault);
        let mut payload = Zeroizing::new(Vec::with_capacity(256));
        item::open_item(&old.identity, &record, file)?
            .take(256)
            .read_to_end(&mut payload)
            .map_err(CeremonyError::io("reading the inbox identity"))?;
        Ok(InboxIdentity::from_payload(&SecretBytes::new(payload))?)
    }

    /// Seals what `payload` gives, streaming; it is asked again where a medium fails while it is written.
    fn seal<'p>(
        &self,
        path: &Path,
        recipient: &str,
        record: &ItemRecord,
        mut payload: impl FnMut() -> Result<Box<dyn Read + 'p>, CeremonyError>,
    ) -> Result<Digest, CeremonyError> {
        let (digest, written) = self.copies.write_stream(path, |writer| -> Result<(), CeremonyError> {
            Ok(item::seal_item(recipient, record, writer, &mut payload()?)?)
        })?;
        written.require(required(self.policy, self.plan))?;
        Ok(digest)
    }

    fn carry(
        &self,
        parent: &GenerationState,
        old: &Keys,
        item: &ItemEntry,
        recipient: &str,
    ) -> Result<ItemEntry, CeremonyError> {
        let record = self.record(&item.name, &item.kind);
        let from = layout::item(&parent.directory, &item.name);
        let open = || -> Result<_, CeremonyError> {
            Ok(item::open_item(&old.identity, &record, self.copies.open_file(&from, item.digest)?)?)
        };
        let path = layout::item(self.directory, &item.name);
        let mut public = item.public.clone();
        let granted = self.plan.grant.as_ref().filter(|grant| grant.item == item.name);
        let digest = match granted {
            None => self.seal(&path, recipient, &record, || Ok(Box::new(open()?)))?,
            Some(grant) => {
                let kind = Kind::try_from(&item.kind)?;
                self.seal(&path, recipient, &record, || {
                    let rule = &self.policy.password;
                    let next = kind.renew(Box::new(open()?), grant.credential, rule, self.plan.generation)?;
                    public = object(next.public);
                    Ok(next.payload)
                })?
            }
        };
        Ok(ItemEntry { name: item.name.clone(), kind: item.kind.clone(), digest, admitted: item.admitted, public })
    }

    /// Opens the proposals that the plan names; one that cannot become an item is refused, and stops nothing.
    fn admissions(
        &self,
        inbox: &InboxIdentity,
        recipient: &str,
    ) -> Result<(BTreeMap<Name, ItemEntry>, Vec<Refused>), CeremonyError> {
        let (mut admitted, mut refused) = (BTreeMap::new(), Vec::new());
        let plan = self.plan;
        let inbox_is_lost = self.leaves_behind(INBOX_IDENTITY);
        for admission in &plan.admits {
            if inbox_is_lost {
                let (file, digest, reason) = (admission.file.clone(), admission.digest, INBOX_LOST.to_owned());
                refused.push(Refused { file, digest, reason });
                continue;
            }
            match self.admit(admission, inbox, recipient) {
                Ok(item) => {
                    admitted.insert(item.name.clone(), item);
                }
                // Also one that is gone from the inbox, or was changed there, since the plan was made.
                Err(
                    error @ (CeremonyError::Sealing(_)
                    | CeremonyError::Credential(_)
                    | CeremonyError::Vault(VaultError::Missing { .. })),
                ) => {
                    let reason = crate::error::sentence(&error).chars().filter(|c| !c.is_control()).take(400).collect();
                    refused.push(Refused { file: admission.file.clone(), digest: admission.digest, reason });
                }
                Err(error) => return Err(error),
            }
        }
        refused.sort_by(|a, b| a.file.cmp(&b.file));
        Ok((admitted, refused))
    }

    fn admit(
        &self,
        admission: &crate::transcript::Admission,
        inbox: &InboxIdentity,
        recipient: &str,
    ) -> Result<ItemEntry, CeremonyError> {
        let from = layout::inbox(&admission.file);
        let open = || -> Result<_, CeremonyError> {
            Ok(item::open_inbox(&[inbox], self.copies.open_file(&from, admission.digest)?)?)
        };
        let kind = Kind::try_from(&admission.kind)?;
        // Read to its end before anything is written: a proposal that does not open leaves nothing behind.
        std::io::copy(&mut kind.admit(Box::new(open()?))?.payload, &mut std::io::sink())
            .map_err(crate::credential::CredentialError::Read)?;
        let record = self.record(&admission.name, &admission.kind);
        let path = layout::item(self.directory, &admission.name);
        let mut public = Map::new();
        let digest = self.seal(&path, recipient, &record, || {
            let prepared = kind.admit(Box::new(open()?))?;
            public = object(prepared.public);
            Ok(prepared.payload)
        })?;
        let (name, kind) = (admission.name.clone(), admission.kind.clone());
        Ok(ItemEntry { name, kind, digest, admitted: self.plan.generation, public })
    }
}

/// What a kind says in the manifest: an object, by every kind.
fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Opens every sealed file of the new generation to its end with the new identity.
fn check_items(
    copies: &Copies,
    manifest: &Manifest,
    directory: &str,
    identity: &VaultIdentity,
) -> Result<(), CeremonyError> {
    let vault = manifest.plan.vault;
    let items = manifest.items.iter().map(|item| {
        let record = ItemRecord { vault, name: item.name.clone(), kind: item.kind.clone() };
        (layout::item(directory, &item.name), record, item.digest)
    });
    let inbox = (layout::inbox_identity(directory), ItemRecord::inbox_identity(vault), manifest.inbox_identity);
    for (path, record, digest) in items.chain([inbox]) {
        let sealed = copies.open_file(&path, digest)?;
        let mut payload = item::open_item(identity, &record, sealed)?;
        std::io::copy(&mut payload, &mut std::io::sink()).map_err(CeremonyError::io("opening an item again"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_alone_makes_a_manifest_too_large() {
        let one = |signer: Signer, count: usize| {
            (0..count).map(move |number| (signer, Digest::of(format!("{signer:?} {number}").as_bytes())))
        };
        let flood = one(Signer::Custodian(3), 60_000)
            .chain(one(Signer::Succession(2), 100))
            .chain(one(Signer::Succession(3), 2));
        let few: Vec<_> = one(Signer::Custodian(1), 5).collect();
        let (taken, left) = oldest_of_each(flood.chain(few.iter().copied()));
        assert_eq!((taken.len(), left), (64 + 64 + 5, 60_000 - 64 + 38));
        assert!(taken.is_sorted() && few.iter().all(|(_, digest)| taken.contains(digest)));
        let oldest: Vec<_> = one(Signer::Custodian(3), 64).collect();
        assert!(oldest.iter().all(|(_, digest)| taken.contains(digest)), "the oldest come first");
        // 255 custodians and the succession keys, each with as many as are taken: far below what a document may have.
        const { assert!(256 * RECORDS_OF_ONE * 67 < crate::transcript::document::MAX_DOCUMENT / 3) };
    }
}

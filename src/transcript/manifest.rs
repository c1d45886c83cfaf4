//! The manifest of a generation: what was done (`docs/format.md`, 3.5).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::approval::{Attestation, Class, ShareKey, check_attestation, check_share_key};
use super::document::{Checked, DocumentError, ascending, distinct, document, integer, is_file_name, is_text};
use super::document::{object, rule};
use super::plan::Plan;
use crate::encoding::{Digest, Document, Name, PublicKey};

/// A share key and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexedShareKey {
    /// The custodian.
    pub index: u8,
    /// The key.
    pub public: PublicKey,
    /// Its slot, two hex digits.
    pub slot: String,
    /// What its token can do.
    pub class: Class,
    /// How it is known to be on a token.
    pub attestation: Attestation,
}

impl IndexedShareKey {
    /// The share key of custodian `index`.
    pub fn new(index: u8, key: ShareKey) -> Self {
        let ShareKey { public, slot, class, attestation } = key;
        Self { index, public, slot, class, attestation }
    }

    /// Without the index.
    pub fn share_key(&self) -> ShareKey {
        let Self { public, slot, class, attestation, .. } = self.clone();
        ShareKey { public, slot, class, attestation }
    }
}

/// A file of a custodian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexedDigest {
    /// The custodian.
    pub index: u8,
    /// Digest of the file.
    pub digest: Digest,
}

/// An item of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemEntry {
    /// Its name.
    pub name: Name,
    /// Its kind of credential.
    pub kind: Name,
    /// Digest of `items/NAME.age`.
    pub digest: Digest,
    /// The generation in which it came in or was replaced.
    #[serde(deserialize_with = "integer")]
    pub admitted: u64,
    /// Public data, by kind.
    #[serde(deserialize_with = "object")]
    pub public: Map<String, Value>,
}

/// A proposal of the plan that did not become an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// File name in `inbox/`.
    pub file: String,
    /// Digest of that file.
    pub digest: Digest,
    /// Free text.
    pub reason: String,
}

/// `manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `claviger/v1 manifest`.
    pub format: String,
    /// The plan in full.
    pub plan: Plan,
    /// k public keys: root*G, a1*G, ... (Feldman).
    pub commitments: Vec<PublicKey>,
    /// By index, for all n.
    pub share_keys: Vec<IndexedShareKey>,
    /// `age1...`, from this generation's root.
    pub vault_recipient: String,
    /// From this generation's root.
    pub succession_key: PublicKey,
    /// `age1...`.
    pub inbox_recipient: String,
    /// Digest of `inbox-identity.age`.
    pub inbox_identity: Digest,
    /// By index, for all n.
    pub envelopes: Vec<IndexedDigest>,
    /// By name.
    pub items: Vec<ItemEntry>,
    /// By file.
    pub refused: Vec<Refused>,
    /// By index; at least k (generation 1: all n).
    pub approvals: Vec<IndexedDigest>,
    /// The parent's closings, by index; none for generation 1.
    pub closings: Vec<IndexedDigest>,
    /// Sorted.
    pub records: Vec<Digest>,
}

document!(Manifest, "claviger/v1 manifest");

impl Manifest {
    /// The member `format` for a manifest that is made field by field; [`Checked::check`] it before it is written.
    pub fn format_name() -> String {
        Self::FORMAT.to_owned()
    }

    /// The generation.
    pub fn generation(&self) -> u64 {
        self.plan.generation
    }

    /// The share key of custodian `index`.
    pub fn share_key(&self, index: u8) -> Option<&IndexedShareKey> {
        self.share_keys.get(usize::from(index).checked_sub(1)?)
    }

    /// The item with this name.
    pub fn item(&self, name: &Name) -> Option<&ItemEntry> {
        self.items.iter().find(|item| item.name == *name)
    }
}

impl Checked for Manifest {
    fn check(&self) -> Result<(), DocumentError> {
        self.plan.check()?;
        rule::<Self>(self.plan.format == Plan::FORMAT, "the plan is a plan")?;
        rule::<Self>(self.commitments.len() == usize::from(self.plan.k), "there are k commitments")?;
        let indices = || self.plan.roster.iter().map(|entry| entry.index);
        let keys = self.share_keys.iter().map(|key| key.index);
        rule::<Self>(keys.eq(indices()), "there is one share key for each custodian, by index")?;
        rule::<Self>(distinct(self.share_keys.iter().map(|key| key.public)), "the share keys differ")?;
        for key in &self.share_keys {
            check_share_key::<Self>(&self.plan, &key.slot, key.class)?;
            check_attestation::<Self>(&key.attestation)?;
        }
        let envelopes = self.envelopes.iter().map(|envelope| envelope.index);
        rule::<Self>(envelopes.eq(indices()), "there is one envelope for each custodian, by index")?;
        for recipient in [&self.vault_recipient, &self.inbox_recipient] {
            let good = recipient.starts_with("age1")
                && recipient.len() <= 100
                && recipient.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
            rule::<Self>(good, "recipients are age1...")?;
        }
        self.check_lists()
    }
}

impl Manifest {
    fn check_lists(&self) -> Result<(), DocumentError> {
        rule::<Self>(ascending(self.items.iter().map(|item| &item.name)), "items are sorted by name")?;
        let admitted = self.items.iter().all(|item| (1..=self.generation()).contains(&item.admitted));
        rule::<Self>(admitted, "items are admitted in this generation or an earlier one")?;
        rule::<Self>(ascending(self.refused.iter().map(|refused| &refused.file)), "refused is sorted by file")?;
        let texts = self.refused.iter().all(|refused| is_file_name(&refused.file) && is_text(&refused.reason));
        rule::<Self>(texts, "texts are short, without control characters")?;
        let on_roster = |list: &[IndexedDigest]| {
            ascending(list.iter().map(|entry| entry.index))
                && list.iter().all(|entry| self.plan.custodian(entry.index).is_some())
        };
        rule::<Self>(on_roster(&self.approvals), "approvals are sorted by index")?;
        let needed = if self.generation() == 1 { self.plan.n() } else { usize::from(self.plan.k) };
        rule::<Self>(self.approvals.len() >= needed, "there are k approvals; all n in generation 1")?;
        rule::<Self>(on_roster(&self.closings), "closings are sorted by index")?;
        rule::<Self>(self.generation() > 1 || self.closings.is_empty(), "generation 1 has no earlier closings")?;
        rule::<Self>(ascending(&self.records), "records are sorted")
    }
}

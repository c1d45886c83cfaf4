//! Synthetic vaults in memory, with software keys: what a ceremony would leave, and what goes wrong with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer as _;
use serde_json::Map;

use super::*;
use crate::encoding::{Digest, Document, Name, Nonce16, PublicKey, Signature, Time};
use crate::transcript::place::{crowded_directory, generation_directory};

mod documents;
mod flips;
mod lost;
mod rules;
mod stood_for;
mod verdicts;

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn time(text: &str) -> Time {
    text.parse().unwrap()
}

/// A key that is the same in every run.
pub(crate) fn key(seed: &str) -> SigningKey {
    SigningKey::from_slice(Digest::of(seed.as_bytes()).as_bytes()).unwrap()
}

pub(crate) fn public(key: &SigningKey) -> PublicKey {
    PublicKey::from_sec1(key.verifying_key().to_sec1_point(true).as_bytes()).unwrap()
}

pub(crate) fn sign(key: &SigningKey, bytes: &[u8]) -> Vec<u8> {
    Signature::normalised(key.sign(bytes)).to_der()
}

const NAMES: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

/// One generation as it was made.
#[derive(Clone)]
pub(crate) struct Made {
    pub directory: String,
    pub manifest: Manifest,
    pub digest: Digest,
}

impl Made {
    pub fn path(&self, file: &str) -> String {
        format!("generations/{}/{file}", self.directory)
    }

    pub fn succession(&self) -> SigningKey {
        key(&format!("succession {}", self.manifest.plan.digest()))
    }
}

/// A vault that is being made. `files` stand on every copy.
#[derive(Clone)]
pub(crate) struct World {
    pub founding: Founding,
    pub vault: Digest,
    pub files: BTreeMap<String, Vec<u8>>,
    pub copies: Vec<Nonce16>,
}

impl World {
    /// A k-of-n vault with two copies and nothing but its head.
    pub fn new(k: u8, n: u8) -> Self {
        let roster = (1..=n).zip(NAMES).map(|(index, custodian)| RosterEntry {
            index,
            name: name(custodian),
            group: (index > 1).then(|| name("ops")),
            signing_key: public(&Self::signer(index)),
        });
        let policy = b"format = \"claviger/v1 policy\"\n".to_vec();
        let random = Nonce32::from_bytes([7; 32]);
        let founding = Founding::new(false, k, Digest::of(&policy), random, roster.collect()).unwrap();
        let files = BTreeMap::from([("vault.json".to_owned(), founding.encode()), ("policy.toml".to_owned(), policy)]);
        let copies = vec![Nonce16::from_bytes([1; 16]), Nonce16::from_bytes([2; 16])];
        Self { vault: founding.digest(), founding, files, copies }
    }

    /// A founded and ratified vault.
    pub fn founded(k: u8, n: u8) -> (Self, Made) {
        let mut world = Self::new(k, n);
        let plan = world.plan(None, 1);
        let first = world.make(None, plan, &(1..=n).collect::<Vec<_>>());
        world.close_all(&[&first], &(1..=n).collect::<Vec<_>>());
        (world, first)
    }

    pub fn signer(index: u8) -> SigningKey {
        key(&format!("signing key {index}"))
    }

    pub fn plan(&self, parent: Option<&Made>, number: u64) -> Plan {
        let generation = parent.map_or(1, |parent| parent.manifest.generation() + 1);
        Plan {
            format: Plan::format_name(),
            vault: self.vault,
            practice: false,
            kind: if parent.is_some() { CeremonyKind::Rotate } else { CeremonyKind::Found },
            number,
            generation,
            parent: parent.map(|parent| parent.digest),
            started: time("2026-01-31T10:00:00Z").plus(86_400 * number as i64),
            random: Nonce16::from_bytes([number as u8; 16]),
            copies: self.copies.clone(),
            k: self.founding.k,
            policy: self.founding.policy,
            roster: self.founding.roster.clone(),
            grant: None,
            admits: Vec::new(),
            abandons: Vec::new(),
            exceptions: Vec::new(),
        }
    }

    pub fn share_key(plan: &Plan, index: u8) -> ShareKey {
        ShareKey {
            public: public(&key(&format!("share key {index} {}", plan.digest()))),
            slot: "82".to_owned(),
            class: Class::Renewing,
            attestation: Attestation::none(),
        }
    }

    pub fn directory(&self, plan: &Plan) -> String {
        let plain = generation_directory(plan.generation);
        match self.files.get(&format!("generations/{plain}/plan.json")) {
            Some(other) if *other != plan.encode() => crowded_directory(plan.generation, &plan.digest()),
            _ => plain,
        }
    }

    pub fn put(&mut self, path: String, bytes: Vec<u8>) -> Digest {
        let digest = Digest::of(&bytes);
        self.files.insert(path, bytes);
        digest
    }

    pub fn put_signed(&mut self, path: String, bytes: Vec<u8>, key: &SigningKey) -> Digest {
        self.put(format!("{path}.sig"), sign(key, &bytes));
        self.put(format!("{path}.json"), bytes)
    }

    pub fn stem(&self, index: u8) -> String {
        self.founding.roster[usize::from(index) - 1].stem()
    }

    /// Plan and approvals.
    pub fn gather(&mut self, plan: &Plan, attendees: &[u8]) -> Vec<IndexedDigest> {
        let directory = self.directory(plan);
        self.put(format!("generations/{directory}/plan.json"), plan.encode());
        let mut approvals = Vec::new();
        for &index in attendees {
            let approval = Approval::new(plan.clone(), index, Self::share_key(plan, index), plan.started).unwrap();
            let path = format!("generations/{directory}/approvals/{}", self.stem(index));
            let digest = self.put_signed(path, approval.encode(), &Self::signer(index));
            approvals.push(IndexedDigest { index, digest });
        }
        approvals
    }

    /// The manifest that follows, with its sealed files; nothing is signed.
    pub fn stage(&mut self, parent: Option<&Made>, plan: &Plan, approvals: Vec<IndexedDigest>) -> Manifest {
        let directory = self.directory(plan);
        let share_keys = plan.roster.iter().map(|entry| {
            let attends = approvals.iter().any(|approval| approval.index == entry.index);
            match parent.filter(|_| !attends) {
                Some(parent) => parent.manifest.share_key(entry.index).unwrap().clone(),
                None => IndexedShareKey::new(entry.index, Self::share_key(plan, entry.index)),
            }
        });
        let share_keys = share_keys.collect();
        let mut sealed = |file: String| {
            let bytes = format!("age {file} {}", plan.digest()).into_bytes();
            self.put(format!("generations/{directory}/{file}"), bytes)
        };
        let shares = plan.roster.iter().map(|entry| {
            let digest = sealed(format!("shares/{}.age", entry.stem()));
            IndexedDigest { index: entry.index, digest }
        });
        let envelopes = shares.collect();
        let mut items: BTreeMap<Name, ItemEntry> = BTreeMap::new();
        for item in parent.map_or(&[][..], |parent| &parent.manifest.items) {
            let digest = sealed(format!("items/{}.age", item.name));
            items.insert(item.name.clone(), ItemEntry { digest, ..item.clone() });
        }
        for admission in &plan.admits {
            let (name, kind) = (admission.name.clone(), admission.kind.clone());
            let digest = sealed(format!("items/{name}.age"));
            let entry = ItemEntry { name: name.clone(), kind, digest, admitted: plan.generation, public: Map::new() };
            items.insert(name, entry);
        }
        let inbox_identity = sealed("inbox-identity.age".to_owned());
        Manifest {
            format: Manifest::format_name(),
            plan: plan.clone(),
            commitments: (0..plan.k).map(|i| public(&key(&format!("commitment {i} {}", plan.digest())))).collect(),
            share_keys,
            vault_recipient: "age1vault".to_owned(),
            succession_key: public(&key(&format!("succession {}", plan.digest()))),
            inbox_recipient: "age1inbox".to_owned(),
            inbox_identity,
            envelopes,
            items: items.into_values().collect(),
            refused: Vec::new(),
            approvals,
            closings: parent.map(|parent| self.closings(parent)).unwrap_or_default(),
            records: Vec::new(),
        }
    }

    fn closings(&self, made: &Made) -> Vec<IndexedDigest> {
        let entries = self.founding.roster.iter().filter_map(|entry| {
            let bytes = self.files.get(&made.path(&format!("closings/{}.json", entry.stem())))?;
            Some(IndexedDigest { index: entry.index, digest: Digest::of(bytes) })
        });
        let entries = entries.collect::<Vec<_>>();
        if made.manifest.generation() == 0 { Vec::new() } else { entries }
    }

    /// Writes the manifest and COMMIT over it.
    pub fn commit(&mut self, parent: Option<&Made>, manifest: Manifest) -> Made {
        let directory = self.directory(&manifest.plan);
        let made = Made { directory, digest: manifest.digest(), manifest };
        let bytes = made.manifest.encode();
        let commit = sign(&parent.unwrap_or(&made).succession(), &bytes);
        self.put(made.path("manifest.json"), bytes);
        self.put(made.path("COMMIT"), commit);
        made
    }

    pub fn make(&mut self, parent: Option<&Made>, plan: Plan, attendees: &[u8]) -> Made {
        let approvals = self.gather(&plan, attendees);
        let manifest = self.stage(parent, &plan, approvals);
        self.commit(parent, manifest)
    }

    /// A closing of the last of `line` by `index`, who destroys every other key of the line.
    pub fn closing(line: &[&Made], index: u8) -> Closing {
        let (made, earlier) = line.split_last().unwrap();
        let kept = made.manifest.share_key(index).unwrap().public;
        let mut destroyed: Vec<PublicKey> =
            earlier.iter().map(|made| made.manifest.share_key(index).unwrap().public).collect();
        destroyed.sort();
        destroyed.dedup();
        destroyed.retain(|key| *key != kept);
        let plan = &made.manifest.plan;
        let of = (plan.generation, made.digest);
        Closing::new(plan.vault, of, index, kept, destroyed, plan.started.plus(3600)).unwrap()
    }

    pub fn close_all(&mut self, line: &[&Made], custodians: &[u8]) {
        for &index in custodians {
            let path = line.last().unwrap().path(&format!("closings/{}", self.stem(index)));
            self.put_signed(path, Self::closing(line, index).encode(), &Self::signer(index));
        }
    }

    pub fn record(&mut self, record: &Record, key: &SigningKey) -> Digest {
        self.put_signed(format!("records/{}", record.stem()), record.encode(), key)
    }

    pub fn copy_json(&self, copy: usize) -> Vec<u8> {
        CopyMark::new(self.copies[copy], self.vault).encode()
    }

    /// One copy as it would be read.
    pub fn view(&self, copy: usize) -> CopyView {
        let mut files: BTreeMap<String, Content> =
            self.files.iter().map(|(path, bytes)| (path.clone(), content(path, bytes))).collect();
        files.insert("copy.json".to_owned(), content("copy.json", &self.copy_json(copy)));
        CopyView { path: format!("/copy/{}", copy + 1), files, ..CopyView::default() }
    }

    pub fn judge(&self) -> Judgement {
        judge(&Snapshot::new(vec![self.view(0), self.view(1)]).unwrap())
    }

    pub fn judge_one(&self) -> Judgement {
        judge(&Snapshot::new(vec![self.view(0)]).unwrap())
    }
}

pub(crate) fn content(path: &str, bytes: &[u8]) -> Content {
    if Place::of(path).is_sealed() {
        Content::Sealed { size: bytes.len() as u64, digest: Digest::of(bytes) }
    } else {
        Content::Bytes(Arc::from(bytes))
    }
}

/// A grant of an hour for this item.
fn grant_of(item: &str) -> Grant {
    Grant {
        item: name(item),
        credential: Which::Installed,
        incident: String::new(),
        reason: String::new(),
        requester: String::new(),
        from: time("2026-01-01T00:00:00Z"),
        until: time("2026-01-01T01:00:00Z"),
    }
}

/// Three generations of a 2-of-3 vault: founded; alice and bob; bob and carol, with an item.
pub(crate) fn three_generations() -> (World, [Made; 3]) {
    let (mut world, first) = World::founded(2, 3);
    let plan = world.plan(Some(&first), 2);
    let second = world.make(Some(&first), plan, &[1, 2]);
    world.close_all(&[&first, &second], &[1, 2]);
    let mut plan = world.plan(Some(&second), 3);
    let digest = Digest::of(b"proposal");
    let (kind, file) = (name("opaque"), "root-password.age".to_owned());
    plan.admits.push(Admission { name: name("root-password"), kind, file, digest, replaces: None });
    let third = world.make(Some(&second), plan, &[2, 3]);
    world.close_all(&[&first, &second, &third], &[2, 3]);
    (world, [first, second, third])
}

//! What the targets start from: keys that are the same in every run, a software token, and a vault in memory whose every
//! key is known, so that what a custodian could sign can be signed.

use std::collections::BTreeMap;
use std::sync::Arc;

use claviger::encoding::{Digest, Document, Name, Nonce16, PublicKey, Signature, Time};
use claviger::transcript::place::{crowded_directory, generation_directory};
use claviger::transcript::{
    Admission, Approval, Attestation, CeremonyKind, CheckBody, Class, Closing, Content, CopyMark, CopyView, Founding,
    IndexedDigest, IndexedShareKey, ItemEntry, Manifest, Nonce32, Place, Plan, Record, RecordBody, RosterEntry,
    ShareKey, Signer,
};
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer as _;

/// A prepared software token (PIN 123456) with a share key and an anchor of the vault SHA-256("vault").
pub const TOKEN: &[u8] = include_bytes!("../seeds/alice.token");
/// The share key that is on it.
pub const TOKEN_SHARE_KEY: &str = include_str!("../seeds/alice.share-key");

/// A private key, the same in every run.
pub fn secret(label: &str) -> p256::SecretKey {
    p256::SecretKey::from_slice(Digest::of(label.as_bytes()).as_bytes()).expect("in range, but for one in 2^32")
}

/// The public half.
pub fn public(key: &SigningKey) -> PublicKey {
    PublicKey::from_sec1(key.verifying_key().to_sec1_point(true).as_bytes()).expect("a key")
}

/// A signature file by `key`.
pub fn sign(key: &SigningKey, bytes: &[u8]) -> Vec<u8> {
    Signature::normalised(key.sign(bytes)).to_der()
}

/// A generation that was made.
#[derive(Clone)]
pub struct Made {
    /// Its directory under `generations/`.
    pub directory: String,
    /// What was done.
    pub manifest: Manifest,
    /// Digest of the manifest.
    pub digest: Digest,
}

impl Made {
    /// A path in its directory.
    pub fn path(&self, file: &str) -> String {
        format!("generations/{}/{file}", self.directory)
    }
}

/// A vault that is being made: the files of every copy.
#[derive(Clone)]
pub struct World {
    /// The founding body.
    pub founding: Founding,
    /// By path.
    pub files: BTreeMap<String, Vec<u8>>,
}

const NAMES: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

impl World {
    /// Nothing but its head. Different `label`, different vault.
    pub fn new(label: &str, k: u8, n: u8) -> Self {
        let roster = (1..=n).zip(NAMES).map(|(index, custodian)| RosterEntry {
            index,
            name: custodian.parse().expect("a name"),
            group: None,
            signing_key: public(&Self::signer(index)),
        });
        let policy = b"format = \"claviger/v1 policy\"\nname = \"fuzz\"\nowner = \"tests\"\nthreshold = 2\n".to_vec();
        let random = Nonce32::from_bytes(*Digest::of(label.as_bytes()).as_bytes());
        let founding = Founding::new(true, k, Digest::of(&policy), random, roster.collect()).expect("a founding body");
        let files = BTreeMap::from([("vault.json".to_owned(), founding.encode()), ("policy.toml".to_owned(), policy)]);
        Self { founding, files }
    }

    /// Founded and ratified.
    pub fn founded(label: &str, k: u8, n: u8) -> (Self, Made) {
        let mut world = Self::new(label, k, n);
        let everybody: Vec<u8> = (1..=n).collect();
        let plan = world.plan(None, 1);
        let first = world.make(None, plan, &everybody);
        world.close(&[&first], &everybody);
        (world, first)
    }

    /// Three generations of a 2-of-3: the first extinct, the second ratified with an item, a record and an inbox file.
    pub fn ratified() -> (Self, [Made; 2]) {
        let (mut world, first) = Self::founded("a vault", 2, 3);
        let mut plan = world.plan(Some(&first), 2);
        let name: Name = "root-password".parse().expect("a name");
        let (kind, file) = ("opaque".parse().expect("a name"), "root-password.opaque.age".to_owned());
        plan.admits.push(Admission { name, kind, file, digest: Digest::of(b"proposal"), replaces: None });
        let second = world.make(Some(&first), plan, &[1, 2]);
        world.close(&[&first, &second], &[1, 2]);
        let body = RecordBody::Check(CheckBody { share_key: second.manifest.share_keys[0].public });
        world.record(Signer::Custodian(1), 2, body, &Self::signer(1));
        world.files.insert("inbox/next.opaque.age".to_owned(), b"age another proposal".to_vec());
        (world, [first, second])
    }

    /// The signing key of a custodian.
    pub fn signer(index: u8) -> SigningKey {
        secret(&format!("signing key {index}")).into()
    }

    /// The vault id.
    pub fn vault(&self) -> Digest {
        self.founding.digest()
    }

    /// A rotation of `parent`, or the founding.
    pub fn plan(&self, parent: Option<&Made>, number: u64) -> Plan {
        let day = i64::try_from(number).unwrap_or(0) * 86_400;
        let started = "2026-01-31T10:00:00Z".parse::<Time>().expect("a time").plus(day);
        Plan {
            format: Plan::FORMAT.to_owned(),
            vault: self.vault(),
            practice: true,
            kind: if parent.is_some() { CeremonyKind::Rotate } else { CeremonyKind::Found },
            number,
            generation: parent.map_or(1, |parent| parent.manifest.generation() + 1),
            parent: parent.map(|parent| parent.digest),
            started,
            random: Nonce16::from_bytes([number as u8; 16]),
            copies: vec![Self::copy_id(0), Self::copy_id(1)],
            k: self.founding.k,
            policy: self.founding.policy,
            roster: self.founding.roster.clone(),
            grant: None,
            admits: Vec::new(),
            abandons: Vec::new(),
            exceptions: Vec::new(),
        }
    }

    /// The id of a copy.
    pub fn copy_id(copy: u8) -> Nonce16 {
        Nonce16::from_bytes([copy + 1; 16])
    }

    /// The key that a custodian's token makes in a ceremony.
    pub fn share_key(plan: &Plan, index: u8) -> ShareKey {
        let label = format!("share key {index} {}", plan.digest());
        let (public, slot) = (public(&secret(&label).into()), "82".to_owned());
        ShareKey { public, slot, class: Class::Software, attestation: Attestation::none() }
    }

    /// Where this plan's directory is, or would be.
    pub fn directory(&self, plan: &Plan) -> String {
        let plain = generation_directory(plan.generation);
        match self.files.get(&format!("generations/{plain}/plan.json")) {
            Some(other) if *other != plan.encode() => crowded_directory(plan.generation, &plan.digest()),
            _ => plain,
        }
    }

    fn put(&mut self, path: String, bytes: Vec<u8>) -> Digest {
        let digest = Digest::of(&bytes);
        self.files.insert(path, bytes);
        digest
    }

    /// A document and its signature.
    pub fn put_signed(&mut self, stem: &str, bytes: Vec<u8>, key: &SigningKey) -> Digest {
        self.put(format!("{stem}.sig"), sign(key, &bytes));
        self.put(format!("{stem}.json"), bytes)
    }

    /// The stem of a custodian's files.
    pub fn stem(&self, index: u8) -> String {
        self.founding.roster[usize::from(index) - 1].stem()
    }

    /// Plan and approvals.
    pub fn gather(&mut self, plan: &Plan, attendees: &[u8]) -> Vec<IndexedDigest> {
        let directory = self.directory(plan);
        self.put(format!("generations/{directory}/plan.json"), plan.encode());
        let approve = |&index: &u8| {
            let key = Self::share_key(plan, index);
            let approval = Approval::new(plan.clone(), index, key, plan.started).expect("an approval");
            let stem = format!("generations/{directory}/approvals/{}", self.stem(index));
            IndexedDigest { index, digest: self.put_signed(&stem, approval.encode(), &Self::signer(index)) }
        };
        attendees.iter().map(approve).collect()
    }

    /// The manifest that follows, and its sealed files.
    pub fn stage(&mut self, parent: Option<&Made>, plan: &Plan, approvals: Vec<IndexedDigest>) -> Manifest {
        let directory = self.directory(plan);
        let share_key = |entry: &RosterEntry| match parent {
            Some(parent) if !approvals.iter().any(|approval| approval.index == entry.index) => {
                parent.manifest.share_keys[usize::from(entry.index) - 1].clone()
            }
            _ => IndexedShareKey::new(entry.index, Self::share_key(plan, entry.index)),
        };
        let share_keys = plan.roster.iter().map(share_key).collect();
        let closings = parent.map(|parent| self.closings(parent)).unwrap_or_default();
        let mut sealed = |file: String| {
            let bytes = format!("age {file} {}", plan.digest()).into_bytes();
            self.put(format!("generations/{directory}/{file}"), bytes)
        };
        let envelope = |entry: &RosterEntry| IndexedDigest {
            index: entry.index,
            digest: sealed(format!("shares/{}.age", entry.stem())),
        };
        let envelopes = plan.roster.iter().map(envelope).collect();
        let mut items: BTreeMap<Name, ItemEntry> = BTreeMap::new();
        for item in parent.map_or(&[][..], |parent| &parent.manifest.items) {
            let digest = sealed(format!("items/{}.age", item.name));
            items.insert(item.name.clone(), ItemEntry { digest, ..item.clone() });
        }
        for admission in &plan.admits {
            let (name, kind) = (admission.name.clone(), admission.kind.clone());
            let digest = sealed(format!("items/{name}.age"));
            let (admitted, public) = (plan.generation, Default::default());
            items.insert(name.clone(), ItemEntry { name, kind, digest, admitted, public });
        }
        let inbox_identity = sealed("inbox-identity.age".to_owned());
        let commitment = |i: u8| public(&secret(&format!("commitment {i} {}", plan.digest())).into());
        Manifest {
            format: Manifest::FORMAT.to_owned(),
            plan: plan.clone(),
            commitments: (0..plan.k).map(commitment).collect(),
            share_keys,
            vault_recipient: format!("age1vault{}", plan.generation),
            succession_key: public(&Self::succession(plan)),
            inbox_recipient: "age1inbox".to_owned(),
            inbox_identity,
            envelopes,
            items: items.into_values().collect(),
            refused: Vec::new(),
            approvals,
            closings,
            records: Vec::new(),
        }
    }

    /// The succession key of the generation that a plan makes.
    pub fn succession(plan: &Plan) -> SigningKey {
        secret(&format!("succession {}", plan.digest())).into()
    }

    fn closings(&self, made: &Made) -> Vec<IndexedDigest> {
        let listed = |entry: &RosterEntry| {
            let bytes = self.files.get(&made.path(&format!("closings/{}.json", entry.stem())))?;
            Some(IndexedDigest { index: entry.index, digest: Digest::of(bytes) })
        };
        self.founding.roster.iter().filter_map(listed).collect()
    }

    /// Writes a manifest, and COMMIT over it.
    pub fn commit(&mut self, parent: Option<&Made>, manifest: Manifest) -> Made {
        let made = Made { directory: self.directory(&manifest.plan), digest: manifest.digest(), manifest };
        let bytes = made.manifest.encode();
        let by = Self::succession(&parent.unwrap_or(&made).manifest.plan);
        self.put(made.path("COMMIT"), sign(&by, &bytes));
        self.put(made.path("manifest.json"), bytes);
        made
    }

    /// Round 1 to COMMIT.
    pub fn make(&mut self, parent: Option<&Made>, plan: Plan, attendees: &[u8]) -> Made {
        let approvals = self.gather(&plan, attendees);
        let manifest = self.stage(parent, &plan, approvals);
        self.commit(parent, manifest)
    }

    /// A closing of the last of `line`, in which every other key of the line was destroyed.
    pub fn closing(line: &[&Made], index: u8) -> Closing {
        let (made, earlier) = line.split_last().expect("a generation");
        let key = |made: &Made| made.manifest.share_keys[usize::from(index) - 1].public;
        let mut destroyed: Vec<PublicKey> = earlier.iter().map(|made| key(made)).collect();
        destroyed.retain(|destroyed| *destroyed != key(made));
        destroyed.sort();
        destroyed.dedup();
        let plan = &made.manifest.plan;
        let of = (plan.generation, made.digest);
        Closing::new(plan.vault, of, index, key(made), destroyed, plan.started.plus(3600)).expect("a closing")
    }

    /// Closings of the last of `line` by these custodians.
    pub fn close(&mut self, line: &[&Made], custodians: &[u8]) {
        for &index in custodians {
            let stem = line.last().expect("a generation").path(&format!("closings/{}", self.stem(index)));
            self.put_signed(&stem, Self::closing(line, index).encode(), &Self::signer(index));
        }
    }

    /// A record, signed by `key`.
    pub fn record(&mut self, by: Signer, generation: u64, body: RecordBody, key: &SigningKey) -> Digest {
        let time = "2026-03-01T00:00:00Z".parse().expect("a time");
        let record = Record::new(self.vault(), generation, time, by, body).expect("a record");
        self.put_signed(&format!("records/{}", record.stem()), record.encode(), key)
    }

    /// One copy, as it would be read.
    pub fn view(&self, copy: u8) -> CopyView {
        let mut files: BTreeMap<String, Content> =
            self.files.iter().map(|(path, bytes)| (path.clone(), content(path, bytes))).collect();
        let mark = CopyMark::new(Self::copy_id(copy), self.vault()).encode();
        files.insert("copy.json".to_owned(), content("copy.json", &mark));
        CopyView { path: format!("/copy/{}", copy + 1), files, ..CopyView::default() }
    }
}

/// A file as it would be read: all of a document, size and digest of what is sealed.
pub fn content(path: &str, bytes: &[u8]) -> Content {
    if Place::of(path).is_sealed() {
        Content::Sealed { size: bytes.len() as u64, digest: Digest::of(bytes) }
    } else {
        Content::Bytes(Arc::from(bytes))
    }
}

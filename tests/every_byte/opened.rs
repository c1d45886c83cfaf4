//! What the program would take from a copy on disk, and what opens with the tokens' own keys.

use std::io::Read;
use std::path::Path;

use claviger::encoding::{Digest, PublicKey};
use claviger::sealing::item::{ItemRecord, open_item};
use claviger::sealing::root::{VaultIdentity, vault_identity};
use claviger::sealing::share::{ShareEnvelope, ShareRecord};
use claviger::secret::{ShareValue, SharedX};
use claviger::sharing::{self, Commitments};
use claviger::transcript::{GenerationFile, GenerationState, Place};
use claviger::vault::Copies;

use crate::harness::scene::Scene;
use crate::vaults::Vault;

/// The first copy of a vault on disk, with every key that its tokens have.
pub struct Opener {
    vault: &'static Vault,
    directory: tempfile::TempDir,
    copies: Copies,
    keys: Vec<p256::SecretKey>,
    identity: VaultIdentity,
}

impl Opener {
    /// Of the scene as it stands: the tokens hold the current generation.
    pub fn new(vault: &'static Vault, scene: &Scene) -> Self {
        let directory = crate::harness::world::quick_dir();
        for (path, bytes) in &vault.copies[0] {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        let copies = Copies::open(&[directory.path().to_owned()]).unwrap();
        let keys = keys(&scene.place.path("tokens"));
        let identity = identity(vault, &keys);
        Self { vault, directory, copies, keys, identity }
    }

    /// Whether the program takes these bytes for the file that a signed document names by `digest`.
    pub fn takes(&self, path: &str, changed: &[u8], digest: Digest) -> bool {
        let file = self.directory.path().join(path);
        std::fs::write(&file, changed).unwrap();
        let taken = self.copies.open_file(Path::new(path), digest).is_ok();
        std::fs::write(&file, &self.vault.copies[0][path]).unwrap();
        taken
    }

    /// Whether these bytes, in the place of a sealed file, open with the right keys.
    pub fn opens(&self, state: &GenerationState, path: &str, bytes: &[u8]) -> bool {
        let vault = self.vault.both.vault;
        let Place::Generation(_, file) = Place::of(path) else { panic!("{path} is not sealed") };
        let record = match file {
            GenerationFile::Share(stem) => return share(state, vault, stem, bytes, &self.keys).is_some(),
            GenerationFile::InboxIdentity => ItemRecord::inbox_identity(vault),
            GenerationFile::Item(name) => {
                let item = state.manifest.items.iter().find(|item| item.name.as_str() == name).unwrap();
                ItemRecord { vault, name: item.name.clone(), kind: item.kind.clone() }
            }
            _ => panic!("{path} is not sealed"),
        };
        let opened = open_item(&self.identity, &record, bytes);
        opened.is_ok_and(|mut payload| payload.read_to_end(&mut Vec::new()).is_ok())
    }
}

/// Every key in a retired slot of every token.
fn keys(tokens: &Path) -> Vec<p256::SecretKey> {
    let mut keys = Vec::new();
    for token in std::fs::read_dir(tokens).unwrap() {
        let card: serde_json::Value = serde_json::from_slice(&std::fs::read(token.unwrap().path()).unwrap()).unwrap();
        let slots = card["keys"].as_object().unwrap().iter().filter(|(slot, _)| ("82"..="95").contains(&slot.as_str()));
        let scalar = |key: &serde_json::Value| hex::decode(key["scalar"].as_str().unwrap()).unwrap();
        keys.extend(slots.map(|(_, key)| p256::SecretKey::from_slice(&scalar(key)).unwrap()));
    }
    keys
}

/// The share in an envelope, if it opens.
fn share(
    state: &GenerationState,
    vault: Digest,
    stem: &str,
    bytes: &[u8],
    keys: &[p256::SecretKey],
) -> Option<(u8, ShareValue)> {
    let plan = &state.manifest.plan;
    let index = plan.roster.iter().find(|entry| entry.stem() == stem).unwrap().index;
    let public = state.manifest.share_key(index).unwrap().public;
    let key = keys.iter().find(|key| PublicKey::from(key.public_key()) == public).expect("the token has its key");
    let envelope = ShareEnvelope::parse(bytes, &public).ok()?;
    let shared = key.diffie_hellman(envelope.encapsulated().as_p256());
    let shared = SharedX::fill(|bytes| bytes.copy_from_slice(shared.raw_secret_bytes()));
    let commitments = Commitments::new(state.manifest.commitments.clone()).unwrap().digest();
    let n = u8::try_from(plan.n()).unwrap();
    let record = ShareRecord { vault, generation: state.generation, index, k: plan.k, n, commitments };
    Some((index, envelope.open(shared, &record).ok()?))
}

/// What opens the current generation's items.
fn identity(vault: &Vault, keys: &[p256::SecretKey]) -> VaultIdentity {
    let state = vault.both.current().unwrap();
    let commitments = Commitments::new(state.manifest.commitments.clone()).unwrap();
    let shares = state.manifest.plan.roster.iter().take(state.manifest.plan.k.into()).map(|entry| {
        let path = state.path(&format!("shares/{}.age", entry.stem()));
        let (index, value) = share(state, vault.both.vault, &entry.stem(), &vault.copies[0][&path], keys).unwrap();
        sharing::check(&commitments, index, value).unwrap()
    });
    let root = sharing::combine(&commitments, shares.collect()).unwrap();
    vault_identity(&root, &vault.both.vault, state.generation)
}

//! Bits flipped.

use claviger::encoding::{Digest, Document};
use claviger::transcript::{Approval, Checked, Closing, CopyMark, Manifest, Place, Plan, Record};
use claviger::transcript::{Founding, GenerationFile, Half, Judgement, Signed};

use crate::opened::Opener;
use crate::vaults::{SCENE, Vault, claims_no_more, is_free, is_located, shares, stands, vaults, with};

/// Whether everything is done, or a sample.
pub fn complete() -> bool {
    std::env::var_os("CLAVIGER_TEST_EVERY_BIT").is_some()
}

/// Whether each bit is flipped under whole verdicts too.
fn literally() -> bool {
    std::env::var("CLAVIGER_TEST_EVERY_BIT").is_ok_and(|value| value == "literally")
}

/// The files whose bytes differ between the three vaults: in the later ones, only those of the ceremony that is not finished.
pub fn files_to_change(vault: &'static Vault) -> impl Iterator<Item = (&'static String, &'static Vec<u8>)> {
    let all = vault.name == "ratified";
    vault.copies[0].iter().filter(move |(path, _)| all || path.starts_with("generations/000004/"))
}

/// A copy that stands alone: the change is found at its place, and nothing is claimed beyond what was proven.
fn alone(vault: &Vault, path: &str, changed: &[u8], what: &str) {
    let Some(judgement) = vault.judged_alone(with(&vault.view(), path, changed)) else {
        return assert_eq!(path, "vault.json", "{what}");
    };
    if is_free(path) {
        assert_eq!(judgement.findings, vault.alone.findings, "{what}: a free file has no effect");
    } else if judgement.vault != vault.alone.vault {
        // Another founding body is another vault: its twelve words differ, and the copy's mark contradicts it.
        assert_eq!(path, "vault.json", "{what}");
        return assert!(is_located(&judgement, path), "{what}: {:?}", judgement.findings);
    } else if rests_on_nothing(vault, path) {
        // What people are told to do is the same, whatever the manifest says now.
        let told = |judgement: &Judgement| {
            let stages: Vec<_> = judgement.unfinished.iter().map(|begun| (begun.id, begun.stage)).collect();
            (judgement.current().unwrap().digest, stages, judgement.next_number())
        };
        assert!(is_located(&judgement, path) || told(&judgement) == told(&vault.alone), "{what}");
    } else {
        assert!(is_located(&judgement, path), "{what}: {:?}", judgement.findings);
    }
    claims_no_more(&vault.alone, &judgement, what);
}

/// A manifest that was written and not signed yet: no decision rests on it until there is a COMMIT.
fn rests_on_nothing(vault: &Vault, path: &str) -> bool {
    vault.name == "staged" && path == "generations/000004/manifest.json"
}

/// The other copy stands beside it. Of two manifests that nobody signed, nothing says which is the right one: that they
/// differ is said of either.
fn beside(vault: &Vault, path: &str, changed: &[u8], what: &str) {
    let judgement = vault.judged_beside(with(&vault.view(), path, changed));
    if rests_on_nothing(vault, path) {
        assert!(judgement.findings.iter().any(|finding| finding.file == path), "{what}: {:?}", judgement.findings);
        assert_eq!(judgement.current().unwrap().digest, vault.both.current().unwrap().digest, "{what}");
        return claims_no_more(&vault.both, &judgement, what);
    }
    assert!(is_free(path) || is_located(&judgement, path), "{what}: {:?}", judgement.findings);
    stands(&vault.both, &judgement, what);
}

/// Whole verdicts: each byte with one bit of it in the complete sweep, the bit going round (`literally`: with each of its bits);
/// a sample of bytes otherwise.
pub fn a_flipped_bit_is_found_and_located_and_proves_nothing() {
    let (mut flips, mut dice) = (0_u64, 7_usize);
    for vault in vaults() {
        assert!(shares(&vault.view(), &vault.view(), "vault.json") || vault.view().files.len() > 20);
        for (path, bytes) in files_to_change(vault) {
            let (alone_every, beside_every) =
                if complete() { (1, 7) } else { (bytes.len() / 3 + 1, bytes.len() / 2 + 1) };
            let mut byte = if complete() { 0 } else { dice % alone_every.min(bytes.len()) };
            while byte < bytes.len() {
                let bits = if literally() { 0..8 } else { dice % 8..dice % 8 + 1 };
                for bit in bits {
                    let mut changed = bytes.clone();
                    changed[byte] ^= 1 << bit;
                    let what = format!("{}: {path} byte {byte} bit {bit}", vault.name);
                    alone(vault, path, &changed, &what);
                    if byte % beside_every < alone_every {
                        beside(vault, path, &changed, &what);
                    }
                    flips += 1;
                }
                dice = dice.wrapping_mul(5).wrapping_add(3) % 8191;
                byte += alone_every;
            }
        }
    }
    println!("{flips} bits flipped under whole verdicts");
}

/// What a decision rests on is under a digest that somebody signed: each bit of each document, signature and sealed file, all
/// eight of every byte in the complete sweep. Either the program does not read it or take it for what was signed, or it
/// reads as something else, and the signature beside it is none over it.
pub fn no_signature_covers_a_flipped_bit() {
    let (mut flips, mut read) = (0_u64, 0_u64);
    let (scene, vault) = (&SCENE.0, &SCENE.1);
    let opener = Opener::new(vault, scene);
    for (path, bytes) in vault.copies[0].iter().filter(|(path, _)| !is_free(path)) {
        assert_ne!(is_believed(vault, &opener, path, bytes), None, "{path} as it is");
        assert_ne!(is_believed(vault, &opener, path, bytes), Some(false), "{path} as it is");
        // Eight neighbours share a byte: an odd step goes through all bits.
        let step = if complete() { 1 } else { (bytes.len() * 8 / 60) | 1 };
        for bit in (0..bytes.len() * 8).step_by(step) {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let reads = is_believed(vault, &opener, path, &changed);
            assert_ne!(reads, Some(true), "{path} bit {bit} is covered by nothing");
            flips += 1;
            read += u64::from(reads == Some(false));
        }
    }
    println!("{flips} bits flipped; {read} left a document that reads, and that nobody signed");
}

/// What the program makes of these bytes in the place of that file. `None`: they do not read. `Some(false)`: they read as
/// something else than what stood there, or as nothing that anybody signed. `Some(true)`: they are believed.
fn is_believed(vault: &Vault, opener: &Opener, path: &str, changed: &[u8]) -> Option<bool> {
    let files = &vault.copies[0];
    let twin = |from: &str, to: &str| files[&path.replace(from, to)].clone();
    let signed = |half: Half| match half {
        Half::Body => (changed.to_vec(), twin(".json", ".sig")),
        Half::Signature => (twin(".sig", ".json"), changed.to_vec()),
    };
    let founding = &vault.both.founding;
    let key = |index: u8| Some(founding.roster.get(usize::from(index).checked_sub(1)?)?.signing_key);
    match Place::of(path) {
        // Another founding body is another vault.
        Place::Vault => Founding::read(changed).ok().map(|read| read == *founding),
        Place::Policy => opener.takes(path, changed, founding.policy).then_some(true),
        // Not signed: the id is only a name, which signed plans list.
        Place::CopyMark => CopyMark::read(changed).ok().map(|mark| CopyMark::read(&files[path]).unwrap() == mark),
        Place::Record(digest, half) => {
            let (body, signature) = signed(half);
            let record = Signed::verify_by(&body, &signature, &vault.memory, |record: &Record| match record.by {
                claviger::transcript::Signer::Custodian(index) => key(index),
                claviger::transcript::Signer::Succession(generation) => {
                    let state = vault.both.generations.iter().find(|state| state.generation == generation);
                    state.map(|state| state.manifest.succession_key)
                }
            });
            record.ok().map(|record| record.digest() == digest)
        }
        Place::Generation(directory, file) => {
            let state = vault.both.generations.iter().find(|state| state.directory == directory).unwrap();
            // Sealed files are found by the digest that the manifest names, and open with the right keys only as they are.
            let sealed = |digest: Digest| {
                (opener.takes(path, changed, digest) || opener.opens(state, path, changed)).then_some(true)
            };
            match file {
                GenerationFile::Plan => Plan::read(changed).ok().map(|plan| plan == state.manifest.plan),
                GenerationFile::Manifest => Manifest::read(changed).ok().map(|manifest| manifest == state.manifest),
                GenerationFile::Commit => {
                    let parent =
                        vault.both.generations.iter().find(|parent| Some(parent.digest) == state.manifest.plan.parent);
                    let key = parent.unwrap_or(state).manifest.succession_key;
                    let signature = claviger::encoding::Signature::from_der(changed).ok()?;
                    Some(vault.memory.verifies(&signature, &key, &state.manifest.encode()))
                }
                GenerationFile::Approval(_, half) => {
                    let (body, signature) = signed(half);
                    let by = |approval: &Approval| key(approval.index);
                    Signed::verify_by(&body, &signature, &vault.memory, by).ok().map(|_| true)
                }
                GenerationFile::Closing(_, half) => {
                    let (body, signature) = signed(half);
                    let by = |closing: &Closing| key(closing.index);
                    Signed::verify_by(&body, &signature, &vault.memory, by).ok().map(|_| true)
                }
                GenerationFile::Share(stem) => {
                    let custodian = state.manifest.plan.roster.iter().find(|entry| entry.stem() == stem).unwrap();
                    let envelope = state.manifest.envelopes.iter().find(|entry| entry.index == custodian.index);
                    sealed(envelope.unwrap().digest)
                }
                GenerationFile::Item(name) => {
                    sealed(state.manifest.items.iter().find(|item| item.name.as_str() == name).unwrap().digest)
                }
                GenerationFile::InboxIdentity => sealed(state.manifest.inbox_identity),
            }
        }
        Place::Inbox(_) | Place::Part | Place::Unknown => panic!("{path} is of no vault, or free"),
    }
}

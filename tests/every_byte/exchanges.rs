//! Files that are somebody else's, or another time's; files that end too early or too late; signed documents where they do
//! not belong, and documents signed by who must not.

use claviger::encoding::{Digest, Document};
use claviger::transcript::{
    Closing, CopyView, GenerationFile, Judgement, Place, RecordBody, RefusedBody, Signer, Snapshot, judge,
};
use p256::ecdsa::SigningKey;

use crate::flips::{complete, files_to_change};
use crate::vaults::{Vault, claims_no_more, is_free, is_located, stands, vaults, with, without};
use crate::world::{self, Made, World};

/// With both, alone and beside a whole copy. `path` is where the change is.
fn found(vault: &Vault, path: &str, changed: CopyView, what: &str) {
    let beside = vault.judged_beside(changed.clone());
    assert!(
        is_free(path) || is_located(&beside, path) || beside.copies[1].missing > 0,
        "{what}: {:?}",
        beside.findings
    );
    stands(&vault.both, &beside, what);
    let Some(alone) = vault.judged_alone(changed).filter(|alone| alone.vault == vault.alone.vault) else {
        return assert_eq!(path, "vault.json", "{what}");
    };
    let less = alone.generations.len() < vault.alone.generations.len() || !is_noted(vault, path);
    assert!(is_free(path) || less || alone.findings != vault.alone.findings, "{what}: nothing is noticed");
    claims_no_more(&vault.alone, &alone, what);
}

/// Whether something that stands says that this file must be there. Nothing does for the last thing that a ceremony wrote:
/// without it, a copy that is alone is what it was before that. It proves less, and the other copies say so.
fn is_noted(vault: &Vault, path: &str) -> bool {
    let signed_and_last = path.ends_with("COMMIT") || path.contains("/closings/") || path.starts_with("records/");
    let last = vault.both.generations.iter().map(|state| state.directory.as_str()).max().unwrap_or_default();
    // Nothing rests on what is staged and not committed.
    !(vault.name == "staged" || signed_and_last && (path.starts_with("records/") || path.contains(last)))
}

/// Each file removed; each replaced by the file of the same kind of every other generation, and of another vault.
pub fn files_of_other_generations_and_vaults_are_found() {
    let (other, _) = World::ratified();
    let mut exchanged = 0;
    for vault in vaults() {
        let files = &vault.copies[0];
        for (path, bytes) in files_to_change(vault) {
            found(vault, path, without(&vault.view(), path), &format!("{}: {path} removed", vault.name));
            let same =
                files.iter().chain(&other.files).filter(|(from, theirs)| is_same_kind(path, from) && *theirs != bytes);
            for (place, (from, theirs)) in same.enumerate() {
                // By default two for each file, which differ from file to file.
                if complete() || (place + path.len()) % 5 == 0 {
                    let what = format!("{}: {path} replaced by {from}", vault.name);
                    found(vault, path, with(&vault.view(), path, theirs), &what);
                    exchanged += 1;
                }
            }
        }
    }
    println!("{exchanged} files exchanged");
}

/// The same file of another generation, custodian, or vault.
fn is_same_kind(path: &str, other: &str) -> bool {
    let kind = |path: &str| match Place::of(path) {
        Place::Generation(_, file) => match file {
            GenerationFile::Approval(_, half) => format!("approval {half:?}"),
            GenerationFile::Closing(_, half) => format!("closing {half:?}"),
            GenerationFile::Share(_) => "share".to_owned(),
            GenerationFile::Item(_) => "item".to_owned(),
            other => format!("{other:?}"),
        },
        Place::Record(_, half) => format!("record {half:?}"),
        place => format!("{place:?}"),
    };
    kind(path) == kind(other)
}

/// Empty, half, without its last byte, with one more.
pub fn files_that_are_cut_or_have_more_are_found() {
    for vault in vaults() {
        for (number, (path, bytes)) in files_to_change(vault).enumerate() {
            let cut = |length: usize| bytes[..length].to_vec();
            let more = |more: &[u8]| [bytes, more].concat();
            let changes = [
                cut(0),
                more(b"\n"),
                cut(bytes.len() / 2),
                more(b"\0"),
                cut(bytes.len() - 1),
                more(b"{}"),
                more(bytes),
            ];
            for (which, changed) in changes.iter().enumerate() {
                if complete() || which == number % changes.len() {
                    let what = format!("{}: {path} with {} bytes of {}", vault.name, changed.len(), bytes.len());
                    found(vault, path, with(&vault.view(), path, changed), &what);
                }
            }
        }
    }
}

/// Every signed pair in the place of every other one; and, in a vault whose every key is known, what a custodian can sign
/// that does not say what was done.
pub fn signed_documents_in_the_place_of_others_are_found() {
    let vault = vaults()[0];
    let files = &vault.copies[0];
    let stems: Vec<&str> = files.keys().filter_map(|path| path.strip_suffix(".sig")).collect();
    for (number, to) in stems.iter().enumerate() {
        let others = stems.iter().enumerate().filter(|(place, _)| complete() || (number + place) % 6 == 0);
        for (_, from) in others.filter(|(_, from)| *from != to) {
            let pair = |half: &str| files[&format!("{from}.{half}")].clone();
            let changed = with(&vault.view(), &format!("{to}.json"), &pair("json"));
            let changed = with(&changed, &format!("{to}.sig"), &pair("sig"));
            let what = format!("{from} in the place of {to}");
            let beside = vault.judged_beside(changed.clone());
            assert!(is_located(&beside, &format!("{to}.json")), "{what}: {:?}", beside.findings);
            stands(&vault.both, &beside, &what);
            claims_no_more(&vault.alone, &vault.judged_alone(changed).unwrap(), &what);
        }
    }
    println!("{} signed documents in each other's place", stems.len());
    signed_by_who_must_not();
}

/// A vault with a committed generation on top of a ratified one, in which carol attended nothing.
fn signed_by_who_must_not() {
    let (mut world, [first, second]) = World::ratified();
    let plan = world.plan(Some(&second), 3);
    let third = world.make(Some(&second), plan, &[1, 2]);
    let before = judged(&world);
    assert!(before.is_sound() && !before.current().unwrap().ratified);
    let line = [&first, &second, &third];
    let stranger: SigningKey = world::secret("a stranger").into();
    // Closings of the third: by a stranger in alice's and bob's name; by carol in theirs; of another generation's manifest.
    for (who, key) in [("a stranger", stranger.clone()), ("carol", World::signer(3))] {
        for index in [1, 2] {
            let closing = World::closing(&line, index);
            let after = with_closing(&world, &third, index, closing, &key);
            judges_the_same(&before, &after, &format!("{who} closes for custodian {index}"), true);
        }
    }
    let replayed = World::closing(&line[..2], 1);
    judges_the_same(&before, &with_closing(&world, &third, 1, replayed, &World::signer(1)), "a closing replayed", true);
    // Carol says that she has destroyed what she holds, in each generation: her word is about her key alone.
    let theirs = third.manifest.share_keys[0].public;
    let mut boast = World::closing(&line, 3);
    boast.destroyed = vec![theirs];
    let after = with_closing(&world, &third, 3, boast, &World::signer(3));
    let after = judged(&after);
    assert!(!after.current().unwrap().ratified, "one closing of two");
    assert_eq!(after.holders(&second.digest), before.holders(&second.digest), "carol destroyed nobody's key");
    // A whole generation by carol alone: her approval twice, her own succession key, her own COMMIT.
    let mut forged = world.clone();
    let plan = forged.plan(Some(&third), 4);
    let mut approvals = forged.gather(&plan, &[3]);
    let stem = format!("generations/{}/approvals/{}", forged.directory(&plan), forged.stem(1));
    let as_alice =
        claviger::transcript::Approval::new(plan.clone(), 1, World::share_key(&plan, 1), plan.started).unwrap();
    let digest = forged.put_signed(&stem, as_alice.encode(), &World::signer(3));
    approvals.insert(0, claviger::transcript::IndexedDigest { index: 1, digest });
    let manifest = forged.stage(Some(&third), &plan, approvals);
    let made = forged.commit(Some(&third), manifest);
    let after = judged(&forged);
    assert!(!after.generation(&made.digest).unwrap().committed, "committed by one");
    assert_eq!(after.current().unwrap().digest, third.digest);
    assert!(after.findings.iter().any(|finding| finding.file.starts_with(&stem)), "{:?}", after.findings);
    // Records: in another's name, and of a generation that does not exist.
    for (by, generation, key) in [(1, 2, World::signer(3)), (9, 2, World::signer(3)), (3, 2, stranger)] {
        let mut with_record = world.clone();
        let body = RefusedBody { ceremony: Digest::of(b"x"), reason: "nothing".to_owned() };
        let digest = with_record.record(Signer::Custodian(by), generation, RecordBody::Refused(body), &key);
        let after = judged(&with_record);
        assert_eq!(after.records.len(), before.records.len(), "a record that its custodian did not sign");
        assert!(after.findings.iter().any(|finding| finding.file.contains(&digest.to_string())));
    }
}

fn judged(world: &World) -> Judgement {
    judge(&Snapshot::new(vec![world.view(0), world.view(1)]).unwrap())
}

fn with_closing(world: &World, made: &Made, index: u8, closing: Closing, key: &SigningKey) -> World {
    let mut world = world.clone();
    let stem = made.path(&format!("closings/{}", world.stem(index)));
    world.put_signed(&stem, closing.encode(), key);
    world
}

/// The document is found, and changes nothing of the verdict.
fn judges_the_same(before: &Judgement, world: &World, what: &str, found: bool) {
    let after = judged(world);
    claims_no_more(before, &after, what);
    assert_eq!(before.current().unwrap().closings.len(), after.current().unwrap().closings.len(), "{what}: it counts");
    assert_eq!(found, !after.is_sound(), "{what}: {:?}", after.findings);
    let named = |finding: &claviger::transcript::Finding| finding.file.contains("/closings/");
    assert!(!found || after.findings.iter().any(named), "{what}: {:?}", after.findings);
}

//! `docs/way-out.py` agrees with the vectors, and with what this implementation seals today.
//!
//! Runs Debian's Python with `python3-cryptography`, as someone without claviger would.

use std::path::Path;
use std::process::Command;

use claviger::encoding::{Digest, PublicKey};
use claviger::sealing::root::{SuccessionKey, vault_identity};
use claviger::sealing::share::{ShareRecord, seal_share, tag_recipient};
use claviger::sharing::{Threshold, split};
use p256::SecretKey;
use serde_json::json;

/// Checks every vector below `dir` and returns what the script says at the end.
fn check(dir: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/check_way_out.py");
    let output = Command::new("/usr/bin/python3").arg(script).arg(dir).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn write(dir: &Path, kind: &str, name: &str, vector: &serde_json::Value) {
    std::fs::create_dir_all(dir.join(kind)).unwrap();
    std::fs::write(dir.join(kind).join(format!("{name}.json")), vector.to_string()).unwrap();
}

#[test]
fn the_way_out_agrees_with_the_vectors() {
    let text = check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"));
    assert!(text.ends_with("42 vectors, 0 failed\n"), "{text}");
}

#[test]
fn the_way_out_opens_what_is_sealed_today() {
    let dir = tempfile::tempdir().unwrap();
    let split = split(&Threshold::new(3, 5).unwrap()).unwrap();
    let points: Vec<_> = split.commitments.points().iter().map(PublicKey::to_string).collect();
    let attending = split.shares.iter().skip(1).take(3);
    let shares: serde_json::Map<_, _> =
        attending.map(|(index, share)| (index.to_string(), hex::encode(share.expose_secret()).into())).collect();
    let root = hex::encode(split.root.expose_secret());
    write(dir.path(), "sharing", "fresh", &json!({ "root": &root, "commitments": points, "shares": shares }));

    let vault = Digest::of(b"a vault");
    let identity = vault_identity(&split.root, &vault, 3);
    let succession = SuccessionKey::derive(&split.root, &vault, 3).unwrap();
    for (index, share) in &split.shares {
        let scalar = [*index; 32];
        let key = PublicKey::from(SecretKey::from_slice(&scalar).unwrap().public_key());
        let record =
            ShareRecord { vault, generation: 3, index: *index, k: 3, n: 5, commitments: split.commitments.digest() };
        let envelope = seal_share(&key, &record, share).unwrap();
        let vector = json!({
            "expect": "opens", "share_key": hex::encode(scalar), "recipient": key, "age_recipient": tag_recipient(&key),
            "vault": vault, "generation": 3, "index": index, "k": 3, "n": 5, "commitments": record.commitments,
            "share": hex::encode(share.expose_secret()), "envelope": hex::encode(envelope),
        });
        write(dir.path(), "envelope", &format!("fresh-{index}"), &vector);
    }
    let derived = json!({
        "root": root, "vault": vault, "generation": 3, "vault_recipient": identity.recipient(),
        "succession_key": succession.public(),
    });
    write(dir.path(), "derivation", "fresh", &derived);
    assert_eq!(check(dir.path()), "7 vectors, 0 failed\n");
}

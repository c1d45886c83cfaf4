//! A changed byte in any file is found, and located.

use super::*;

/// The stem of a signed document's two files: where only the pair is wrong, either is named.
fn stem(path: &str) -> &str {
    path.trim_end_matches(".json").trim_end_matches(".sig")
}

fn flipped(view: &CopyView, path: &str, byte: usize, bit: u8) -> CopyView {
    let mut view = view.clone();
    let changed = match &view.files[path] {
        Content::Bytes(bytes) => {
            let mut bytes = bytes.to_vec();
            bytes[byte] ^= 1 << bit;
            Content::Bytes(bytes.into())
        }
        Content::Sealed { size, digest } => {
            let mut bytes = *digest.as_bytes();
            bytes[byte % 32] ^= 1 << bit;
            Content::Sealed { size: *size, digest: Digest::from_bytes(bytes) }
        }
    };
    view.files.insert(path.to_owned(), changed);
    view
}

fn small() -> (World, Made) {
    let (mut world, first) = World::founded(1, 1);
    let plan = world.plan(Some(&first), 2);
    let second = world.make(Some(&first), plan, &[1]);
    world.close_all(&[&first, &second], &[1]);
    let body = RecordBody::Check(record::CheckBody { share_key: second.manifest.share_keys[0].public });
    let record = Record::new(world.vault, 2, time("2026-03-01T00:00:00Z"), Signer::Custodian(1), body).unwrap();
    world.record(&record, &World::signer(1));
    (world, second)
}

/// Flips bits all over every file of a copy that stands alone.
#[test]
fn a_changed_byte_of_a_lone_copy_is_found() {
    let (world, second) = small();
    let view = world.view(0);
    let sound = judge(&Snapshot::new(vec![view.clone()]).unwrap());
    assert_eq!(sound.findings, Vec::new());
    for (path, content) in &view.files {
        let extinct = matches!(Place::of(path), Place::Generation("000001", _)) && !path.contains("closings");
        let size = content.bytes().map_or(32, <[u8]>::len);
        // Steps without a common factor with 8, so that every bit of a byte is hit somewhere.
        let step = if extinct { 11 } else { 5 };
        for byte in (0..size).step_by(step) {
            let changed = flipped(&view, path, byte, (byte % 8) as u8);
            let Ok(snapshot) = Snapshot::new(vec![changed]) else {
                assert_eq!(path, "vault.json");
                continue;
            };
            let judgement = judge(&snapshot);
            let named = judgement
                .findings
                .iter()
                .any(|finding| finding.copy.as_deref() == Some("/copy/1") && stem(&finding.file) == stem(path));
            assert!(named, "{path} byte {byte}: {:?}", judgement.findings);
            let trusted = judgement.current().map(|state| state.digest);
            assert!(trusted.is_err() || trusted.is_ok_and(|digest| known(&sound, digest)), "{path} byte {byte}");
        }
    }
    assert!(known(&sound, second.digest));
}

fn known(sound: &Judgement, digest: Digest) -> bool {
    sound.generation(&digest).is_some()
}

/// With a whole copy beside it, a damaged one takes nothing away, and is named alone.
#[test]
fn a_changed_byte_beside_a_whole_copy_does_no_harm() {
    let (world, second) = small();
    let (view, whole) = (world.view(0), world.view(1));
    for (path, content) in view.files.iter().filter(|(path, _)| path.contains("000002") || !path.contains('/')) {
        let size = content.bytes().map_or(32, <[u8]>::len);
        for byte in (0..size).step_by(7) {
            let changed = flipped(&view, path, byte, 7 - (byte % 8) as u8);
            let judgement = judge(&Snapshot::new(vec![changed, whole.clone()]).unwrap());
            assert_eq!(judgement.vault, world.vault, "{path} byte {byte}");
            assert_eq!(judgement.current().unwrap().digest, second.digest, "{path} byte {byte}");
            assert!(judgement.current().unwrap().ratified, "{path} byte {byte}");
            let named =
                |finding: &&Finding| finding.copy.as_deref() == Some("/copy/1") && stem(&finding.file) == stem(path);
            assert!(judgement.findings.iter().any(|finding| named(&finding)), "{path} byte {byte}");
            let blamed = judgement.findings.iter().any(|finding| finding.copy.as_deref() == Some("/copy/2"));
            assert!(!blamed || path == "copy.json", "{path} byte {byte}: {:?}", judgement.findings);
        }
    }
}

//! Every document of a vault, of enrolments and of anchors; signature files; paths and single values.
//!
//! The first byte says what the rest is read as; its top bit, that the rest is brought into canonical form first, so that
//! the rules behind the form are reached. What is believed has one form: it is written again as it was read, and so does
//! an independent JSON writer. An enrolment's signature verifies under the bare curve library.

use std::fmt::Display;
use std::str::FromStr;

use claviger::encoding::{Digest, Document, Name, Nonce16, PublicKey, Signature, Time};
use claviger::token::anchor::Anchor;
use claviger::token::firmware::Version;
use claviger::token::slot::Slot;
use claviger::transcript::document::is_file_name;
use claviger::transcript::{Approval, Checked, Closing, CopyMark, Enrolment, Founding, Manifest, Place, Plan, Record};
use p256::ecdsa::signature::Verifier;
use serde_json::Value;

/// How many readers there are.
pub const KINDS: u8 = 13;
const CANONICAL: u8 = 0x80;

/// Reads one input.
pub fn run(bytes: &[u8]) {
    let Some((&selector, rest)) = bytes.split_first() else { return };
    let brought;
    let rest = match serde_json::from_slice::<Value>(rest) {
        Ok(value) if selector & CANONICAL != 0 => {
            brought = claviger::encoding::canonical(&value);
            &brought
        }
        _ => rest,
    };
    match (selector & !CANONICAL) % KINDS {
        0 => drop(document::<Founding>(rest)),
        1 => drop(document::<CopyMark>(rest)),
        2 => drop(document::<Plan>(rest)),
        3 => drop(document::<Approval>(rest)),
        4 => drop(document::<Manifest>(rest)),
        5 => drop(document::<Closing>(rest)),
        6 => drop(document::<Record>(rest)),
        7 => enrolment(rest),
        8 => anchor(rest),
        9 => signature(rest),
        10 => place(rest),
        11 => values(rest),
        _ => words(rest),
    }
}

/// The form that RFC 8785 has for a document without fractions and with ASCII member names: the sorted map of another
/// library, written by it.
fn form(bytes: &[u8]) -> Vec<u8> {
    let value: Value = serde_json::from_slice(bytes).expect("what was believed is JSON");
    serde_json::to_vec(&value).expect("values are written")
}

fn document<T: Checked + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> Option<T> {
    let document = T::read(bytes).ok()?;
    assert_eq!(document.encode(), bytes, "written as it was read");
    assert_eq!(form(bytes), bytes, "one form");
    assert_eq!(document.digest(), Digest::of(bytes));
    assert!(bytes.is_ascii() || std::str::from_utf8(bytes).is_ok());
    assert_eq!(T::read(&document.encode()).ok().as_ref(), Some(&document));
    Some(document)
}

fn enrolment(bytes: &[u8]) {
    let Some(enrolment) = document::<Enrolment>(bytes) else { return };
    let Ok(Value::Object(mut members)) = serde_json::from_slice(bytes) else { unreachable!() };
    let signature = members.remove("signature").expect("a member");
    let signature = hex::decode(signature.as_str().expect("text")).expect("hex");
    let signature = p256::ecdsa::Signature::from_der(&signature).expect("DER");
    let key = p256::ecdsa::VerifyingKey::from(enrolment.signing_key.as_p256());
    let signed = serde_json::to_vec(&Value::Object(members)).expect("written");
    assert!(key.verify(&signed, &signature).is_ok(), "believed without a signature");
}

fn anchor(bytes: &[u8]) {
    let Ok(anchor) = Anchor::parse(bytes) else { return };
    assert_eq!(anchor.encode(), bytes);
    assert_eq!(form(bytes), bytes);
}

fn signature(bytes: &[u8]) {
    let Ok(signature) = Signature::from_der(bytes) else { return };
    assert_eq!(signature.to_der(), bytes, "one form");
    assert!(bytes.len() <= 72);
    let parsed = p256::ecdsa::Signature::from_der(bytes).expect("DER");
    assert_eq!(parsed.normalize_s(), parsed, "low s");
    written_as_read::<Signature>(&hex::encode(bytes));
}

/// A path has one meaning, and that meaning one path.
fn place(bytes: &[u8]) {
    let Ok(path) = std::str::from_utf8(bytes) else { return };
    let again = match Place::of(path) {
        Place::Vault => "vault.json".to_owned(),
        Place::Policy => "policy.toml".to_owned(),
        Place::CopyMark => "copy.json".to_owned(),
        Place::Generation(directory, file) => format!("generations/{directory}/{}", file.path()),
        Place::Record(digest, half) => format!("records/{digest}.{}", half.extension()),
        Place::Inbox(file) => format!("inbox/{file}"),
        Place::Part | Place::Unknown => path.to_owned(),
    };
    assert_eq!(again, path);
    if !matches!(Place::of(path), Place::Part | Place::Unknown) {
        let outside = path.split('/').any(|part| part.is_empty() || part == "." || part == "..");
        assert!(!outside && path.split('/').count() <= 4, "{path:?} leads out of a copy");
    }
    if is_file_name(path) {
        assert!(!path.contains('/') && !path.contains('\0') && path != ".." && !path.is_empty());
    }
}

fn written_as_read<T: FromStr + Display>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), text, "one written form");
    }
}

fn values(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    written_as_read::<Digest>(text);
    written_as_read::<Nonce16>(text);
    written_as_read::<PublicKey>(text);
    written_as_read::<Signature>(text);
    written_as_read::<Name>(text);
    written_as_read::<Time>(text);
    written_as_read::<Slot>(text);
    written_as_read::<Version>(text);
    if let Ok(key) = PublicKey::from_sec1(bytes) {
        assert_eq!(PublicKey::from_sec1(&key.to_bytes()).ok(), Some(key));
        assert_eq!(PublicKey::from_sec1(&key.to_uncompressed()).ok(), Some(key));
    }
}

/// Words name a digest only if they are its words.
fn words(bytes: &[u8]) {
    let Some((digest, text)) = bytes.split_first_chunk::<32>() else { return };
    let (digest, text) = (Digest::from_bytes(*digest), String::from_utf8_lossy(text).into_owned());
    assert!(digest.is_named_by(&digest.words()) && digest.words().split(' ').count() == 12);
    if digest.is_named_by(&text) {
        let plain = text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(plain == digest.words() || plain == digest.to_string());
    }
}

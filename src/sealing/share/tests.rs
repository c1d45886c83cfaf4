use p256::elliptic_curve::sec1::ToSec1Point;
use p256::{NonZeroScalar, ProjectivePoint, SecretKey};

use super::*;
use crate::error::Advice;
use crate::sharing::scalar_of;

struct Vector {
    json: serde_json::Value,
    file: String,
}

impl Vector {
    fn all() -> Vec<Self> {
        let files = std::fs::read_dir("tests/vectors/envelope").unwrap().map(|file| file.unwrap().path());
        let vectors: Vec<_> = files
            .map(|path| Self {
                json: serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap(),
                file: path.display().to_string(),
            })
            .collect();
        assert!(vectors.len() > 30);
        vectors
    }

    fn text(&self, member: &str) -> &str {
        self.json[member].as_str().unwrap()
    }

    fn record(&self) -> ShareRecord {
        let small = |member: &str| u8::try_from(self.json[member].as_u64().unwrap()).unwrap();
        ShareRecord {
            vault: self.text("vault").parse().unwrap(),
            generation: self.json["generation"].as_u64().unwrap(),
            index: small("index"),
            k: small("k"),
            n: small("n"),
            commitments: self.text("commitments").parse().unwrap(),
        }
    }

    fn open(&self) -> Result<ShareValue, SealingError> {
        let recipient = self.text("recipient").parse().unwrap();
        let envelope = ShareEnvelope::parse(&hex::decode(self.text("envelope")).unwrap(), &recipient)?;
        let shared = ecdh(self.text("share_key"), envelope.encapsulated());
        envelope.open(shared, &self.record())
    }
}

/// What a token does.
fn ecdh(private: &str, point: &PublicKey) -> SharedX {
    let mut bytes = [0; 32];
    hex::decode_to_slice(private, &mut bytes).unwrap();
    let product = point.as_p256().to_projective() * *scalar_of(&bytes).unwrap();
    let product = p256::PublicKey::from_affine(product.to_affine()).unwrap();
    SharedX::fill(|x| x.copy_from_slice(&product.to_sec1_point(false).as_bytes()[1..33]))
}

/// The reason as the vectors name it.
fn reason(error: &SealingError) -> String {
    match error {
        SealingError::EnvelopeSize { .. } => "size".to_owned(),
        SealingError::Header(_) => "header".to_owned(),
        SealingError::Stanzas { .. } => "stanzas".to_owned(),
        SealingError::Stanza { .. } => "stanza".to_owned(),
        SealingError::OtherRecipient => "other-recipient".to_owned(),
        SealingError::Decapsulation => "decapsulation".to_owned(),
        SealingError::Decrypt(_) => "decrypt".to_owned(),
        SealingError::Read(_) => "read".to_owned(),
        SealingError::Record { field, .. } => format!("record {field}"),
        SealingError::ShareText => "share".to_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn envelopes_of_another_implementation_open_or_are_refused_for_the_stated_reason() {
    for vector in Vector::all() {
        match vector.open() {
            Ok(share) => {
                assert_eq!(vector.text("expect"), "opens", "{}", vector.file);
                assert_eq!(hex::encode(share.expose_secret()), vector.text("share"), "{}", vector.file);
            }
            Err(error) => {
                assert_eq!(vector.text("expect"), reason(&error), "{}: {error}", vector.file);
                assert!(error.hint().is_some());
            }
        }
    }
}

#[test]
fn what_needs_no_secret_is_checked_without_one() {
    for vector in Vector::all() {
        let recipient: PublicKey = vector.text("recipient").parse().unwrap();
        let early = ["size", "header", "stanzas", "stanza", "other-recipient"].contains(&vector.text("expect"));
        let parsed = ShareEnvelope::parse(&hex::decode(vector.text("envelope")).unwrap(), &recipient);
        assert_eq!(parsed.is_err(), early, "{}", vector.file);
    }
}

fn key(number: u64) -> (String, PublicKey) {
    let scalar = NonZeroScalar::new(number.into()).unwrap();
    let public = p256::PublicKey::from_affine((ProjectivePoint::GENERATOR * *scalar).to_affine()).unwrap();
    (hex::encode(SecretKey::from(scalar).to_bytes()), public.into())
}

fn sealed() -> (ShareRecord, Vec<u8>) {
    let record = ShareRecord {
        vault: Digest::of(b"vault"),
        generation: u64::MAX,
        index: 255,
        k: 128,
        n: 255,
        commitments: Digest::of(b"commitments"),
    };
    let share = ShareValue::fill(|bytes| bytes.copy_from_slice(&[0xab; 32]));
    (record, seal_share(&key(7).1, &record, &share).unwrap())
}

#[test]
fn the_recipient_is_written_as_age_writes_it() {
    let vector = &Vector::all()[0];
    assert_eq!(tag_recipient(&vector.text("recipient").parse().unwrap()), vector.text("age_recipient"));
    // The example of the age crate.
    let text = "age1tag1qt8lw0ual6avlwmwatk888yqnmdamm7xfd0wak53ut6elz5c4swx2yqdj4e";
    let (_, bytes) = bech32::decode(text).unwrap();
    assert_eq!(tag_recipient(&PublicKey::from_sec1(&bytes).unwrap()), text);
}

#[test]
fn a_sealed_share_opens_for_its_key_and_no_other() {
    let (record, bytes) = sealed();
    assert!(bytes.len() < 1200, "{}", bytes.len());
    let (private, public) = key(7);
    let envelope = ShareEnvelope::parse(&bytes, &public).ok().unwrap();
    let shared = ecdh(&private, envelope.encapsulated());
    assert_eq!(envelope.open(shared, &record).ok().unwrap().expose_secret(), &[0xab; 32]);

    assert!(matches!(ShareEnvelope::parse(&bytes, &key(8).1), Err(SealingError::OtherRecipient)));
    let envelope = ShareEnvelope::parse(&bytes, &public).ok().unwrap();
    let shared = ecdh(&key(8).0, envelope.encapsulated());
    assert!(matches!(envelope.open(shared, &record), Err(SealingError::Decapsulation)));
}

#[test]
fn no_changed_byte_goes_unnoticed() {
    let (record, bytes) = sealed();
    let (private, public) = key(7);
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        let opened = ShareEnvelope::parse(&changed, &public).and_then(|envelope| {
            let shared = ecdh(&private, envelope.encapsulated());
            envelope.open(shared, &record)
        });
        assert!(opened.is_err(), "byte {place} of {}", bytes.len());
    }
}

#[test]
fn refusals_do_not_repeat_the_share() {
    let (record, bytes) = sealed();
    let (private, public) = key(7);
    let envelope = ShareEnvelope::parse(&bytes, &public).ok().unwrap();
    let shared = ecdh(&private, envelope.encapsulated());
    let expected = ShareRecord { commitments: Digest::of(b"others"), ..record };
    let error = envelope.open(shared, &expected).err().unwrap();
    assert!(!format!("{error} {error:?}").contains("abab"));
}

//! The share envelope: what is checked before a PIN is asked for, and the opening with a software key.
//!
//! The first byte chooses: the rest is the file; or its plaintext, sealed as it should be; or stanzas around the right one.
//! Only an envelope of at most 4096 bytes with one `p256tag` stanza passes; only the plaintext of the format opens; and no
//! envelope opens with another answer than the key's.

use std::str::FromStr;

use claviger::encoding::{Digest, PublicKey};
use claviger::sealing::SealingError;
use claviger::sealing::share::{MAX_ENVELOPE, ShareEnvelope, ShareRecord, tag_recipient};
use claviger::secret::SharedX;

use super::stanzas::Header;
use super::world;

/// Reads one input.
pub fn run(bytes: &[u8]) {
    let Some((&selector, rest)) = bytes.split_first() else { return };
    match selector % 3 {
        0 => raw(rest),
        1 => plaintext(rest),
        _ => header(rest),
    }
}

/// The share key whose envelopes are read.
pub fn key() -> p256::SecretKey {
    world::secret("the share key of the envelopes")
}

/// What every envelope should say.
pub fn record() -> ShareRecord {
    let (vault, commitments) = (Digest::of(b"vault"), Digest::of(b"commitments"));
    ShareRecord { vault, generation: 7, index: 2, k: 2, n: 3, commitments }
}

/// The plaintext up to the share, as `docs/format.md`, 5.3 has it.
pub fn start() -> String {
    let (vault, commitments) = (Digest::of(b"vault"), Digest::of(b"commitments"));
    format!("claviger/v1 share\nvault {vault}\ngeneration 7\nindex 2\nk 2\nn 3\ncommitments {commitments}\nshare ")
}

fn public() -> PublicKey {
    PublicKey::from(key().public_key())
}

fn recipient() -> age::tag::Recipient {
    age::tag::Recipient::from_str(&tag_recipient(&public())).expect("a recipient")
}

/// What the token answers for the envelope's point, with one bit changed if asked for.
fn answer(envelope: &ShareEnvelope, change: u8) -> SharedX {
    let peer = envelope.encapsulated().as_p256();
    let shared = key().diffie_hellman(peer);
    SharedX::fill(|bytes| {
        bytes.copy_from_slice(shared.raw_secret_bytes());
        bytes[31] ^= change;
    })
}

fn raw(bytes: &[u8]) {
    let Ok(envelope) = ShareEnvelope::parse(bytes, &public()) else { return };
    assert!(bytes.len() <= MAX_ENVELOPE && bytes.starts_with(b"age-encryption.org/v1\n"));
    let line = |line: &&[u8]| line.starts_with(b"-> p256tag ");
    assert_eq!(bytes.split(|byte| *byte == b'\n').filter(line).count(), 1, "exactly one stanza");
    let again = ShareEnvelope::parse(bytes, &public()).expect("as before");
    let wrong = answer(&again, 1);
    let other = again.open(wrong, &record());
    assert!(matches!(other, Err(SealingError::Decapsulation)), "opened with another answer");
    let shared = answer(&envelope, 0);
    let _ = envelope.open(shared, &record());
}

fn plaintext(bytes: &[u8]) {
    let header = Header { before: Vec::new(), after: Vec::new(), times: 1 };
    let sealed = header.seal(&recipient(), bytes);
    let envelope = match ShareEnvelope::parse(&sealed, &public()) {
        Ok(envelope) => envelope,
        Err(error) => {
            assert!(sealed.len() > MAX_ENVELOPE, "{error}");
            return;
        }
    };
    let shared = answer(&envelope, 0);
    let opened = envelope.open(shared, &record()).ok();
    let digits = bytes.strip_prefix(start().as_bytes()).and_then(|rest| rest.strip_suffix(b"\n"));
    let hex = |digits: &&[u8]| digits.len() == 64 && digits.iter().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    let expected = digits.filter(hex).map(|digits| hex::decode(digits).expect("hex"));
    assert_eq!(opened.map(|share| share.expose_secret().to_vec()), expected);
}

fn header(bytes: &[u8]) {
    let (header, rest) = Header::read(bytes);
    let sealed = header.seal(&recipient(), &[start().as_bytes(), &[b'0'; 64], b"\n", rest].concat());
    let good = header.is_plain() && sealed.len() <= MAX_ENVELOPE;
    let Ok(envelope) = ShareEnvelope::parse(&sealed, &public()) else { return assert!(!good) };
    assert!(good, "one stanza, and what it is");
    let shared = answer(&envelope, 0);
    assert_eq!(envelope.open(shared, &record()).is_ok(), rest.is_empty());
}

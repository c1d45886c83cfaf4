//! The X.509 certificates that tokens hold: anchors, and the chains of attestation.
//!
//! The first byte chooses: the rest is a certificate that claims to be an anchor; or the anchor's JSON, put into one and
//! signed as it should be; or changes to the signed part of a good one, signed again; or a chain of attestation; or a
//! policy's root. An anchor that is believed is signed by the signing key, as another X.509 reader sees it, and has the
//! one form; a chain that leads to a root is about the key, and every signature in it that others can read holds.

use claviger::encoding::{Digest, Document, PublicKey, Signature};
use claviger::token::TokenError;
use claviger::token::anchor::{self, Anchor};
use claviger::token::attestation::{Attestation, Roots, Verdict};
use p256::ecdsa::signature::{Signer, Verifier};
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

use super::world;

/// Reads one input.
pub fn run(bytes: &[u8]) {
    let Some((&selector, rest)) = bytes.split_first() else { return };
    match selector % 5 {
        0 => anchor_certificate(rest),
        1 => anchor_json(rest),
        2 => changed_body(rest),
        3 => chain(rest),
        _ => root(rest),
    }
}

/// The signing key of the token whose anchors are read.
pub fn signing_key() -> p256::ecdsa::SigningKey {
    world::secret("the signing key of the anchors").into()
}

fn signing_public() -> PublicKey {
    world::public(&signing_key())
}

/// The share key that the anchors are about.
pub fn subject() -> PublicKey {
    world::public(&world::secret("the share key of the anchors").into())
}

/// A good certificate for `anchor`.
pub fn certificate(anchor: &Anchor, subject: &PublicKey) -> Vec<u8> {
    let sign =
        |message: &[u8]| -> Result<Signature, TokenError> { Ok(Signature::normalised(signing_key().sign(message))) };
    anchor::certificate(anchor, subject, &signing_public(), sign).expect("signed")
}

/// The part that is signed, found by walking the two outer headers by hand.
fn signed_part(der: &[u8]) -> &[u8] {
    let header = |bytes: &[u8]| match bytes[1] {
        short @ 0..=0x7f => (2, usize::from(short)),
        0x81 => (3, usize::from(bytes[2])),
        _ => (4, usize::from(bytes[2]) << 8 | usize::from(bytes[3])),
    };
    let inner = &der[header(der).0..];
    let (start, length) = header(inner);
    &inner[..start + length]
}

fn believed(der: &[u8]) -> Option<(Anchor, PublicKey)> {
    let (anchor, subject) = anchor::read(der, &signing_public()).ok()??;
    let parsed = Certificate::from_der(der).expect("another reader reads it");
    assert_eq!(parsed.to_der().expect("written"), der, "DER");
    let signature = p256::ecdsa::Signature::from_der(parsed.signature().raw_bytes()).expect("DER");
    let body = parsed.tbs_certificate().to_der().expect("written");
    let key = p256::ecdsa::VerifyingKey::from(signing_public().as_p256());
    assert!(key.verify(&body, &signature).is_ok(), "believed without a signature");
    assert_eq!(signed_part(&certificate(&anchor, &subject)), body, "one form");
    let sound =
        (anchor.closed == 0) == anchor.manifest.is_none() && anchor.sequence < 1 << 52 && anchor.number < 1 << 52;
    assert!(sound, "an anchor that contradicts itself");
    Some((anchor, subject))
}

fn anchor_certificate(bytes: &[u8]) {
    believed(bytes);
}

fn anchor_json(bytes: &[u8]) {
    let value = serde_json::from_slice::<serde_json::Value>(bytes);
    let Ok(anchor) =
        value.map_err(drop).and_then(|value| Anchor::parse(&claviger::encoding::canonical(&value)).map_err(drop))
    else {
        return;
    };
    if anchor.encode().len() > 60_000 {
        return;
    }
    if let Some(found) = believed(&certificate(&anchor, &subject())) {
        assert_eq!(found, (anchor, subject()));
    }
}

/// The anchor that is changed.
pub fn base() -> Anchor {
    let mut anchor = Anchor::new(Digest::of(b"vault"));
    (anchor.sequence, anchor.closed, anchor.number) = (9, 3, 5);
    anchor.manifest = Some(Digest::of(b"manifest"));
    anchor
}

/// Each change: two bytes of place, one of what is to be there.
fn changed_body(bytes: &[u8]) {
    let good = certificate(&base(), &subject());
    let mut body = signed_part(&good).to_vec();
    for change in bytes.chunks_exact(3).take(8) {
        let place = (usize::from(change[0]) << 8 | usize::from(change[1])) % body.len();
        body[place] = change[2];
    }
    let signature: p256::ecdsa::Signature = signing_key().sign(&body);
    let signature = Signature::normalised(signature).to_der();
    let algorithm = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    let mut bits = vec![0x03, signature.len() as u8 + 1, 0];
    bits.extend_from_slice(&signature);
    let contents = [&body[..], &algorithm, &bits].concat();
    let size = (contents.len() as u16).to_be_bytes();
    let der = [&[0x30, 0x82, size[0], size[1]], &contents[..]].concat();
    if body == signed_part(&good) {
        assert_eq!(believed(&der), Some((base(), subject())));
    } else {
        believed(&der);
    }
}

/// Certificates, each after its length in two bytes.
fn chain(bytes: &[u8]) {
    let mut certificates = Vec::new();
    let mut rest = bytes;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(after.len());
        certificates.push(&after[..length]);
        rest = &after[length..];
        if certificates.len() == 9 {
            break;
        }
    }
    let parsed: Vec<_> = certificates.iter().map(|der| Certificate::from_der(der).ok()).collect();
    let about = parsed.first().and_then(Option::as_ref).and_then(|leaf| {
        let key = leaf.tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes();
        PublicKey::from_sec1(key).ok()
    });
    let hex = certificates.iter().map(hex::encode).collect();
    let claims = Attestation { certificates: hex, ..Attestation::none() };
    let roots = Roots::new(&[]).expect("the roots that come with claviger");
    let judged = claims.judged_again(&about.unwrap_or_else(subject), &roots);
    assert_eq!(judged.certificates, claims.certificates);
    let _ = judged.is_fips();
    let other = claims.judged_again(&world::public(&world::secret("another").into()), &roots);
    assert!(certificates.is_empty() || other.verdict == Verdict::Invalid, "about another key");
    if matches!(judged.verdict, Verdict::Invalid | Verdict::None) {
        return;
    }
    for pair in parsed.windows(2) {
        let [Some(issued), Some(issuer)] = pair else { continue };
        assert_eq!(issued.tbs_certificate().issuer(), issuer.tbs_certificate().subject());
        let key = issuer.tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes();
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(key);
        let signature = p256::ecdsa::Signature::from_der(issued.signature().raw_bytes());
        if let (Ok(key), Ok(signature), Ok(body)) = (key, signature, issued.tbs_certificate().to_der()) {
            assert!(key.verify(&body, &signature).is_ok(), "a chain without a signature");
        }
    }
}

fn root(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    if let Err(error) = Roots::new(&[text]) {
        assert_eq!(error.number, 1);
    }
}

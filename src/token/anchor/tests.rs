use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer;

use super::*;
use crate::encoding::{EncodingError, Signature};
use crate::token::TokenError;
use crate::token::piv::container;

fn key(seed: u8) -> (SigningKey, PublicKey) {
    let secret = p256::SecretKey::from_slice(&[seed; 32]).unwrap();
    let public = secret.public_key().into();
    (SigningKey::from(secret), public)
}

fn sign(key: &SigningKey) -> impl FnOnce(&[u8]) -> Result<Signature, TokenError> {
    move |message| Ok(Signature::normalised(key.sign(message)))
}

/// With every slot in use, and numbers as large as life makes them.
fn full() -> Anchor {
    let mut anchor = Anchor::new(Digest::of(b"vault"));
    anchor.sequence = 9_999_999;
    anchor.closed = 999_999;
    anchor.manifest = Some(Digest::of(b"manifest"));
    anchor.number = 999_999;
    anchor.ceremony = Some(CeremonyMark {
        id: Digest::of(b"ceremony"),
        number: 999_999,
        consumes: Some(Digest::of(b"parent")),
        started: "2026-01-31T23:59:59Z".parse().unwrap(),
    });
    for (slot, seed) in Slot::retired().zip(1..) {
        anchor.set(AnchorKey { slot, public: Some(key(seed).1), made: 999_999, spent: false });
    }
    anchor
}

#[test]
fn twenty_keys_fit_into_a_container() {
    let (signer, signing_key) = key(99);
    let der = certificate(&full(), &key(1).1, &signing_key, sign(&signer)).unwrap();
    let stored = container(&der).len() + 4;
    assert!(stored <= 3052, "{stored}");
    assert_eq!(read(&der, &signing_key).unwrap().unwrap(), (full(), key(1).1));
}

#[test]
fn openssl_reads_it_and_verifies_it_under_the_signing_keys_certificate() {
    let (signer, signing_key) = key(99);
    let der = certificate(&full(), &key(1).1, &signing_key, sign(&signer)).unwrap();
    let issuer = certificate::signing_key_certificate(&signing_key, sign(&signer)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, der: &[u8]| {
        let path = dir.path().join(name);
        let pem = der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, der).unwrap();
        std::fs::write(&path, pem).unwrap();
        path
    };
    let (share, issuer) = (write("share.pem", &der), write("issuer.pem", &issuer));

    let openssl = |arguments: &[&std::ffi::OsStr]| {
        let output = std::process::Command::new("openssl").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let text = openssl(&["x509".as_ref(), "-noout".as_ref(), "-text".as_ref(), "-in".as_ref(), share.as_ref()]);
    let vault = Digest::of(b"vault").to_string();
    for expected in [
        "Subject: CN = claviger share, O = ",
        "Issuer: CN = claviger signing key, serialNumber = ",
        "ecdsa-with-SHA256",
        "Key Agreement",
        "2.25.1633837924",
        "claviger/v1 anchor",
        &vault[..16],
    ] {
        let plain = text.replace(" = ", "=").replace(' ', "");
        assert!(plain.contains(&expected.replace(" = ", "=").replace(' ', "")), "{expected} in {text}");
    }
    openssl(&["verify".as_ref(), "-CAfile".as_ref(), issuer.as_ref(), share.as_ref()]);
}

#[test]
fn a_certificate_that_is_no_anchor_is_none() {
    let (signer, signing_key) = key(99);
    let own = certificate::signing_key_certificate(&signing_key, sign(&signer)).unwrap();
    assert!(read(&own, &signing_key).unwrap().is_none());
    assert!(read(b"not a certificate", &signing_key).unwrap().is_none());
    assert!(read(&[], &signing_key).unwrap().is_none());
}

#[test]
fn an_anchor_of_another_signing_key_does_not_count() {
    let (signer, signing_key) = key(99);
    let der = certificate(&full(), &key(1).1, &signing_key, sign(&signer)).unwrap();
    assert!(matches!(read(&der, &key(98).1), Err(AnchorError::Signature)));
}

#[test]
fn no_byte_of_an_anchor_can_be_changed() {
    let (signer, signing_key) = key(99);
    let der = certificate(&full(), &key(1).1, &signing_key, sign(&signer)).unwrap();
    for at in 0..der.len() {
        let mut changed = der.clone();
        changed[at] ^= 1;
        // In the extension's identifier a change makes it somebody else's certificate; elsewhere it is damage.
        assert!(!matches!(read(&changed, &signing_key), Ok(Some(_))), "byte {at}");
    }
    assert!(read(&der[..der.len() - 1], &signing_key).is_err());
    assert!(read(&[&der[..], &[0]].concat(), &signing_key).is_err());
}

#[test]
fn what_contradicts_itself_is_refused_although_it_is_signed() {
    let (signer, signing_key) = key(99);
    let changes: [fn(&mut Anchor); 4] = [
        |anchor| anchor.manifest = None,
        |anchor| anchor.closed = 0,
        |anchor| anchor.number = 1,
        |anchor| anchor.keys.reverse(),
    ];
    for change in changes {
        let mut anchor = full();
        change(&mut anchor);
        let der = certificate(&anchor, &key(1).1, &signing_key, sign(&signer)).unwrap();
        assert!(matches!(read(&der, &signing_key), Err(AnchorError::Contradiction)), "{anchor:?}");
    }
    let mut anchor = full();
    anchor.format = "claviger/v2 anchor".to_owned();
    let der = certificate(&anchor, &key(1).1, &signing_key, sign(&signer)).unwrap();
    let error = read(&der, &signing_key).unwrap_err();
    assert!(matches!(error, AnchorError::Document(EncodingError::Format { .. })), "{error:?}");
}

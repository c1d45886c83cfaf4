//! The X.509 certificate that carries an anchor (RFC 5280; `docs/format.md`, 6.2). It has one form only: whoever reads
//! one builds it again from what it says and compares, so that nothing in it is left unread.

use sha2::{Digest as _, Sha256};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::oid::ObjectIdentifier;

use crate::encoding::{Digest, Document, PublicKey, Signature};
use crate::token::TokenError;
use crate::token::anchor::{Anchor, AnchorError};
use crate::token::piv::{SlotKey, certificate_key};
use crate::token::tlv;

/// The private extension that holds the anchor.
const ANCHOR: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.25.1633837924");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const SERIAL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.5");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const PRIME256V1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

const SEQUENCE: u32 = 0x30;
const SET: u32 = 0x31;
const BIT_STRING: u32 = 0x03;
const OCTET_STRING: u32 = 0x04;
const UTF8_STRING: u32 = 0x0c;
const PRINTABLE_STRING: u32 = 0x13;

/// The certificate (DER) for `subject` that carries `anchor`, signed by `sign`, which is given the bytes to sign.
///
/// # Errors
/// Whatever `sign` returns.
pub fn certificate(
    anchor: &Anchor,
    subject: &PublicKey,
    signing_key: &PublicKey,
    sign: impl FnOnce(&[u8]) -> Result<Signature, TokenError>,
) -> Result<Vec<u8>, TokenError> {
    let body = anchor_body(anchor, subject, signing_key);
    let signature = sign(&body)?;
    Ok(signed(&body, &signature))
}

/// A self-signed certificate for a signing key, so that standard tools see what 9C is for.
///
/// # Errors
/// Whatever `sign` returns.
pub fn signing_key_certificate(
    signing_key: &PublicKey,
    sign: impl FnOnce(&[u8]) -> Result<Signature, TokenError>,
) -> Result<Vec<u8>, TokenError> {
    let name = signing_name(signing_key);
    // Certificate authority; digitalSignature and keyCertSign.
    let authority = sequence(&[&[0x01, 0x01, 0xff]]);
    let extensions = [extension(&BASIC_CONSTRAINTS, true, &authority), extension(&KEY_USAGE, true, &[3, 2, 2, 0x84])];
    let serial = Sha256::digest(signing_key.to_bytes());
    let body = certificate_body(&serial, &name, &name, signing_key, &extensions.concat());
    let signature = sign(&body)?;
    Ok(signed(&body, &signature))
}

/// Reads a certificate: the anchor and the subject key. `None`: it is not an anchor.
///
/// # Errors
/// [`AnchorError`] if it claims to be an anchor and is not a good one of `signing_key`.
pub fn read(der: &[u8], signing_key: &PublicKey) -> Result<Option<(Anchor, PublicKey)>, AnchorError> {
    let claims = der.windows(ANCHOR.as_bytes().len()).any(|bytes| bytes == ANCHOR.as_bytes());
    if !claims {
        return Ok(None);
    }
    let parsed = Certificate::from_der(der).map_err(|_| AnchorError::Form)?;
    let extensions = parsed.tbs_certificate().extensions();
    let mut ours = extensions.into_iter().flatten().filter(|extension| extension.extn_id == ANCHOR);
    let Some(extension) = ours.next() else { return Ok(None) };
    let json = tlv::only(extension.extn_value.as_bytes(), OCTET_STRING).ok_or(AnchorError::Form)?;
    let Some(SlotKey::P256(subject)) = certificate_key(der) else { return Err(AnchorError::Form) };
    let signature = parsed.signature().as_bytes().ok_or(AnchorError::Form)?;
    let signature = Signature::from_der(signature).map_err(|_| AnchorError::Signature)?;

    // What counts is what the signing key signed; the document is only read after that.
    let body = signed_body(der).ok_or(AnchorError::Form)?;
    if !signature.verifies(signing_key, body) {
        return Err(AnchorError::Signature);
    }
    let anchor = Anchor::parse(json).map_err(AnchorError::Document)?;
    if signed(&anchor_body(&anchor, &subject, signing_key), &signature) != der {
        return Err(AnchorError::Form);
    }
    anchor.check()?;
    Ok(Some((anchor, subject)))
}

/// The first element in the certificate's sequence, with its header.
fn signed_body(der: &[u8]) -> Option<&[u8]> {
    let parts = tlv::only(der, SEQUENCE)?;
    let (_, _, rest) = tlv::read(parts)?;
    parts.get(..parts.len() - rest.len())
}

fn anchor_body(anchor: &Anchor, subject: &PublicKey, signing_key: &PublicKey) -> Vec<u8> {
    let json = anchor.encode();
    let mut serial = Sha256::new();
    serial.update(&json);
    serial.update(subject.to_bytes());
    let vault = anchor.vault.to_string();
    let name = sequence(&[
        &name_part(&COMMON_NAME, UTF8_STRING, "claviger share"),
        &name_part(&ORGANIZATION, UTF8_STRING, vault.get(..16).unwrap_or_default()),
    ]);
    let extensions = [
        // keyAgreement
        extension(&KEY_USAGE, true, &[3, 2, 3, 0x08]),
        extension(&ANCHOR, false, &element(OCTET_STRING, &[&json])),
    ];
    certificate_body(&serial.finalize(), &signing_name(signing_key), &name, subject, &extensions.concat())
}

/// TBSCertificate (RFC 5280, 4.1.2), version 3.
fn certificate_body(serial: &[u8], issuer: &[u8], subject: &[u8], key: &PublicKey, extensions: &[u8]) -> Vec<u8> {
    // Sixteen bytes, positive, and not to be shortened.
    let mut number: Vec<u8> = serial.iter().take(16).copied().collect();
    if let Some(first) = number.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    // From 2000-01-01; without an end (RFC 5280, 4.1.2.5).
    let validity = sequence(&[&element(0x17, &[b"000101000000Z"]), &element(0x18, &[b"99991231235959Z"])]);
    let algorithm = sequence(&[&oid(&EC_PUBLIC_KEY), &oid(&PRIME256V1)]);
    let key = sequence(&[&algorithm, &element(BIT_STRING, &[&[0], &key.to_uncompressed()])]);
    sequence(&[
        &[0xa0, 3, 2, 1, 2],
        &element(0x02, &[&number]),
        &sequence(&[&oid(&ECDSA_WITH_SHA256)]),
        issuer,
        &validity,
        subject,
        &key,
        &element(0xa3, &[&sequence(&[extensions])]),
    ])
}

fn signed(body: &[u8], signature: &Signature) -> Vec<u8> {
    let algorithm = sequence(&[&oid(&ECDSA_WITH_SHA256)]);
    sequence(&[body, &algorithm, &element(BIT_STRING, &[&[0], &signature.to_der()])])
}

fn signing_name(signing_key: &PublicKey) -> Vec<u8> {
    let fingerprint = Digest::of(&signing_key.to_bytes()).to_string();
    sequence(&[
        &name_part(&COMMON_NAME, UTF8_STRING, "claviger signing key"),
        &name_part(&SERIAL_NUMBER, PRINTABLE_STRING, fingerprint.get(..16).unwrap_or_default()),
    ])
}

fn name_part(kind: &ObjectIdentifier, string: u32, text: &str) -> Vec<u8> {
    element(SET, &[&sequence(&[&oid(kind), &element(string, &[text.as_bytes()])])])
}

fn extension(kind: &ObjectIdentifier, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[0x01, 0x01, 0xff] } else { &[] };
    sequence(&[&oid(kind), critical, &element(OCTET_STRING, &[value])])
}

fn oid(oid: &ObjectIdentifier) -> Vec<u8> {
    element(0x06, &[oid.as_bytes()])
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(SEQUENCE, parts)
}

fn element(tag: u32, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    tlv::push(&mut out, tag, &parts.concat());
    out
}

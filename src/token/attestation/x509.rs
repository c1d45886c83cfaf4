//! As much of X.509 as attestation needs (RFC 5280), read with tolerance: cards write lengths that are not minimal DER,
//! and a signature is over the bytes as they are.

use der::oid::ObjectIdentifier;
use p256::ecdsa::signature::Verifier;
use rsa::pkcs1::DecodeRsaPublicKey;
use sha2::{Digest as _, Sha256, Sha512};

use crate::encoding::PublicKey;
use crate::token::tlv;

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const PRIME256V1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const SHA512_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");

/// The parts of a certificate, borrowed from its bytes.
pub(super) struct Parts<'a> {
    /// What the signature is over.
    body: &'a [u8],
    /// Contents of the issuer's and the subject's name.
    pub(super) issuer: &'a [u8],
    pub(super) subject: &'a [u8],
    /// Contents of subjectPublicKeyInfo.
    key: &'a [u8],
    extensions: Vec<(&'a [u8], &'a [u8])>,
    algorithm: &'a [u8],
    signature: &'a [u8],
}

/// Takes the element `tag` off the front.
fn take<'a>(rest: &mut &'a [u8], tag: u32) -> Option<&'a [u8]> {
    let (found, value, after) = tlv::read(rest)?;
    if found != tag {
        return None;
    }
    *rest = after;
    Some(value)
}

impl<'a> Parts<'a> {
    /// `None` if it is no version 3 certificate, or an extension comes twice.
    pub(super) fn read(der: &'a [u8]) -> Option<Self> {
        let mut rest = tlv::only(der, 0x30)?;
        let whole = rest;
        let mut body = take(&mut rest, 0x30)?;
        let signed = whole.get(..whole.len() - rest.len())?;
        let algorithm = take(&mut take(&mut rest, 0x30)?, 0x06)?;
        let signature = bits(take(&mut rest, 0x03)?)?;

        take(&mut body, 0xa0)?;
        take(&mut body, 0x02)?;
        take(&mut body, 0x30)?;
        let issuer = take(&mut body, 0x30)?;
        take(&mut body, 0x30)?;
        let subject = take(&mut body, 0x30)?;
        let key = take(&mut body, 0x30)?;
        let extensions = match body {
            [] => Vec::new(),
            more => extensions(tlv::find(more, 0xa3)?)?,
        };
        Some(Self { body: signed, issuer, subject, key, extensions, algorithm, signature })
    }

    /// The P-256 key that the certificate is about.
    pub(super) fn p256_key(&self) -> Option<PublicKey> {
        let mut rest = self.key;
        let mut algorithm = take(&mut rest, 0x30)?;
        let curve = take(&mut algorithm, 0x06)? == EC_PUBLIC_KEY.as_bytes()
            && take(&mut algorithm, 0x06)? == PRIME256V1.as_bytes();
        let point = bits(take(&mut rest, 0x03)?)?;
        if curve { PublicKey::from_sec1(point).ok() } else { None }
    }

    fn rsa_key(&self) -> Option<rsa::RsaPublicKey> {
        let mut rest = self.key;
        let mut algorithm = take(&mut rest, 0x30)?;
        let is_rsa = take(&mut algorithm, 0x06)? == RSA.as_bytes();
        let key = bits(take(&mut rest, 0x03)?)?;
        if is_rsa { rsa::RsaPublicKey::from_pkcs1_der(key).ok() } else { None }
    }

    /// The value of an extension.
    pub(super) fn extension(&self, id: &ObjectIdentifier) -> Option<&'a [u8]> {
        self.extensions.iter().find(|(oid, _)| *oid == id.as_bytes()).map(|(_, value)| *value)
    }

    /// Whether it may issue certificates: some attestation certificates do not say, which counts as yes.
    fn may_issue(&self) -> bool {
        let Some(value) = self.extension(&BASIC_CONSTRAINTS) else { return true };
        // > BasicConstraints ::= SEQUENCE { cA BOOLEAN DEFAULT FALSE, pathLenConstraint INTEGER OPTIONAL }
        tlv::only(value, 0x30).and_then(|constraints| tlv::find(constraints, 0x01)).is_some_and(|ca| ca == [0xff])
    }

    /// Whether this certificate issued `other`: names and signature.
    pub(super) fn issued(&self, other: &Parts) -> bool {
        self.subject == other.issuer && self.may_issue() && self.verifies(other).unwrap_or(false)
    }

    fn verifies(&self, other: &Parts) -> Option<bool> {
        if other.algorithm == ECDSA_WITH_SHA256.as_bytes() {
            let key = p256::ecdsa::VerifyingKey::from(self.p256_key()?.as_p256());
            let signature = p256::ecdsa::Signature::from_der(other.signature).ok()?;
            return Some(key.verify(other.body, &signature).is_ok());
        }
        let key = self.rsa_key()?;
        let verified = if other.algorithm == SHA256_WITH_RSA.as_bytes() {
            key.verify(rsa::Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(other.body), other.signature)
        } else if other.algorithm == SHA512_WITH_RSA.as_bytes() {
            key.verify(rsa::Pkcs1v15Sign::new::<Sha512>(), &Sha512::digest(other.body), other.signature)
        } else {
            return None;
        };
        Some(verified.is_ok())
    }
}

/// The contents of a BIT STRING of whole bytes.
fn bits(value: &[u8]) -> Option<&[u8]> {
    value.split_first().filter(|(unused, _)| **unused == 0).map(|(_, bits)| bits)
}

fn extensions(contents: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut rest = tlv::only(contents, 0x30)?;
    let mut found: Vec<(&[u8], &[u8])> = Vec::new();
    while !rest.is_empty() {
        let mut extension = take(&mut rest, 0x30)?;
        let id = take(&mut extension, 0x06)?;
        // critical, if it is written
        let _ = take(&mut extension, 0x01);
        let value = take(&mut extension, 0x04)?;
        if found.iter().any(|(other, _)| *other == id) {
            return None;
        }
        found.push((id, value));
    }
    Some(found)
}

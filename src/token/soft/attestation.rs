//! Attestation: certificates that say how a key was made, with the extensions that Yubico documents.
//!
//! Leaf (slot) <- F9 certificate (object 5FFF01) <- root. The root of drills is public on purpose and proves nothing.

use der::Decode;
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use sha2::{Digest, Sha256};

use super::SoftCard;
use super::keys::{ATTESTATION, made_here, point};
use super::objects::ATTESTATION_CERTIFICATE;
use super::state::Key;
use super::wire::{Command, INTERNAL, Refusal, WRONG_DATA, WRONG_P1P2, WRONG_SLOT, elements, tlv};

const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
/// 1.3.6.1.4.1.41482.3, to which one more byte is added.
const YUBICO: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xc4, 0x0a, 0x03];

/// Who signs the attestation certificates of software cards.
#[derive(Clone)]
pub struct AttestationRoot {
    key: p256::SecretKey,
    name: String,
}

impl AttestationRoot {
    /// The root of all drills. Its private key is computed from this source code: whoever wants to can attest anything
    /// under it, so that it proves nothing about a token except that it is not a real one.
    pub fn dangerous_drill() -> Self {
        Self::from_seed("claviger drill attestation root", b"claviger drill attestation root: public on purpose")
    }

    /// A root whose key is derived from `seed`, for tests of what is trusted and what not.
    pub fn from_seed(name: &str, seed: &[u8]) -> Self {
        let mut scalar = Sha256::digest(seed);
        loop {
            if let Ok(key) = p256::SecretKey::from_slice(&scalar) {
                return Self { key, name: name.to_owned() };
            }
            scalar = Sha256::digest(scalar);
        }
    }

    /// The self-signed certificate, DER; the same bytes every time.
    ///
    /// # Errors
    /// [`super::SoftError::Signature`] if the library refuses to sign, which it does not.
    pub fn certificate(&self) -> Result<Vec<u8>, super::SoftError> {
        let name = common_name(&self.name);
        let authority = constraints(None);
        certificate(1, &name, &name, &point(&self.key), &authority, &self.key).ok_or(super::SoftError::Signature)
    }

    /// The certificate of a card's F9 key.
    pub(super) fn issue(&self, public: &[u8], serial: u32) -> Option<Vec<u8>> {
        let subject = common_name("claviger software PIV attestation");
        certificate(serial.max(2), &common_name(&self.name), &subject, public, &constraints(Some(0)), &self.key)
    }
}

impl SoftCard {
    /// ATTEST (Yubico): P1 the slot. Only for keys made on the card.
    pub(super) fn attest(&mut self, command: &Command) -> Result<Vec<u8>, Refusal> {
        let slot = command.p1;
        if command.p2 != 0 {
            return Err(WRONG_P1P2);
        }
        if slot == ATTESTATION {
            return Err(WRONG_SLOT);
        }
        let key = self.state.keys.get(&slot).filter(|key| made_here(key)).ok_or(WRONG_DATA)?;
        let signer = self.state.keys.get(&ATTESTATION).and_then(Key::secret).ok_or(WRONG_DATA)?;
        let issuer = self.attestation_name().ok_or(WRONG_DATA)?;
        let public = point(&key.secret().ok_or(INTERNAL)?);
        let (major, minor, patch) = self.state.firmware;
        let extensions = [
            extension(&[YUBICO, &[3]].concat(), false, &[major, minor, patch]),
            extension(&[YUBICO, &[7]].concat(), false, &integer(self.state.serial)),
            extension(&[YUBICO, &[8]].concat(), false, &[key.pin, key.touch]),
            // USB-A keychain.
            extension(&[YUBICO, &[9]].concat(), false, &[1]),
        ]
        .concat();
        let subject = common_name(&format!("YubiKey PIV Attestation {slot:x}"));
        certificate(1, &issuer, &subject, &public, &extensions, &signer).ok_or(INTERNAL)
    }

    /// The subject of the certificate in 5FFF01, DER.
    fn attestation_name(&self) -> Option<Vec<u8>> {
        use der::Encode;
        let object = self.state.objects.get(&ATTESTATION_CERTIFICATE)?;
        let fields = elements(&object.0)?;
        let (_, der) = fields.into_iter().find(|(tag, _)| *tag == 0x70)?;
        let certificate = x509_cert::Certificate::from_der(der).ok()?;
        certificate.tbs_certificate().subject().to_der().ok()
    }
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

fn oid(bytes: &[u8]) -> Vec<u8> {
    tlv(0x06, bytes)
}

fn integer(value: u32) -> Vec<u8> {
    let mut bytes: Vec<u8> = value.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    if bytes.first().is_none_or(|byte| byte & 0x80 != 0) {
        bytes.insert(0, 0);
    }
    tlv(0x02, &bytes)
}

fn common_name(name: &str) -> Vec<u8> {
    let attribute = sequence(&[&oid(COMMON_NAME), &tlv(0x0c, name.as_bytes())]);
    sequence(&[&tlv(0x31, &attribute)])
}

fn extension(id: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { tlv(0x01, &[0xff]) } else { Vec::new() };
    sequence(&[&oid(id), &critical, &tlv(0x04, value)])
}

/// basicConstraints of an authority.
fn constraints(path: Option<u32>) -> Vec<u8> {
    let path = path.map(integer).unwrap_or_default();
    extension(BASIC_CONSTRAINTS, true, &sequence(&[&tlv(0x01, &[0xff]), &path]))
}

/// An X.509 v3 certificate (RFC 5280, 4.1), ecdsa-with-SHA256.
fn certificate(
    serial: u32,
    issuer: &[u8],
    subject: &[u8],
    public: &[u8],
    extensions: &[u8],
    signer: &p256::SecretKey,
) -> Option<Vec<u8>> {
    let algorithm = sequence(&[&oid(ECDSA_WITH_SHA256)]);
    let validity = sequence(&[&tlv(0x17, b"200101000000Z"), &tlv(0x18, b"20520101000000Z")]);
    let bits = |bytes: &[u8]| tlv(0x03, &[&[0], bytes].concat());
    let key = sequence(&[&sequence(&[&oid(EC_PUBLIC_KEY), &oid(P256)]), &bits(public)]);
    let version = tlv(0xa0, &integer(2));
    let extensions = tlv(0xa3, &sequence(&[extensions]));
    let body = sequence(&[&version, &integer(serial), &algorithm, issuer, &validity, subject, &key, &extensions]);
    let signature: p256::ecdsa::Signature =
        SigningKey::from(signer.clone()).sign_prehash(&Sha256::digest(&body)).ok()?;
    Some(sequence(&[&body, &algorithm, &bits(signature.to_der().as_bytes())]))
}

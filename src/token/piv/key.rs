//! Keys in slots: making, using, attesting and destroying them (SP 800-73-4 part 2, 3.2.4 and 3.3.2; Yubico's extensions).

use p256::ecdsa;
use sha2::{Digest as _, Sha256};
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};
use zeroize::Zeroizing;

use crate::encoding::{PublicKey, Signature};
use crate::fault::inspect;
use crate::secret::SharedX;
use crate::token::TokenError;
use crate::token::apdu::{Command, Status};
use crate::token::piv::{Destroyed, PinPolicy, Piv, SlotKey, TouchPolicy};
use crate::token::slot::Slot;
use crate::token::tlv;

/// Algorithm identifier of ECC P-256 (SP 800-78-4, table 6-2).
const P256: u8 = 0x11;

/// The base point of P-384, uncompressed (SEC 2 v2.0, 2.5.1).
const P384_BASE: [u8; 97] = hex_bytes(
    b"04aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7\
      3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f",
);

/// Lower-case hex that is written in this file.
const fn hex_bytes(text: &[u8; 194]) -> [u8; 97] {
    const fn digit(c: u8) -> u8 {
        if c <= b'9' { c - b'0' } else { c - b'a' + 10 }
    }
    let mut bytes = [0; 97];
    let mut i = 0;
    while i < 97 {
        bytes[i] = digit(text[2 * i]) << 4 | digit(text[2 * i + 1]);
        i += 1;
    }
    bytes
}

/// What GET METADATA said of a key reference.
pub(crate) enum Metadata {
    /// The card does not know the command, or says nothing.
    Untold,
    /// The card says that there is no key.
    NoKey,
    /// Elements as Yubico documents them: 01 algorithm, 02 policies, 04 public key, 05 default.
    Told(Zeroizing<Vec<u8>>),
}

impl Metadata {
    /// The elements, if there are any.
    pub(crate) fn present(&self) -> Option<&[u8]> {
        match self {
            Self::Told(data) => Some(data),
            Self::Untold | Self::NoKey => None,
        }
    }
}

impl Piv<'_> {
    pub(crate) fn metadata(&mut self, reference: u8) -> Result<Metadata, TokenError> {
        let answer = self.ask("GET METADATA", &Command::new(0xf7, 0, reference, &[]))?;
        Ok(match answer.status {
            Status::Success if !answer.data.is_empty() => Metadata::Told(answer.data),
            Status::NoReference | Status::NotFound => Metadata::NoKey,
            _ => Metadata::Untold,
        })
    }

    /// What is in a slot: by metadata if the card has it, else by attestation, else by the certificate, which proves
    /// nothing about the key.
    ///
    /// # Errors
    /// [`TokenError::Channel`]; [`TokenError::Malformed`] for an answer that no card gives.
    pub fn slot_key(&mut self, slot: Slot) -> Result<SlotKey, TokenError> {
        match self.proven_slot_key(slot)? {
            SlotKey::Unknown => Ok(self
                .certificate(slot)?
                .map_or(SlotKey::Unknown, |der| certificate_key(&der).unwrap_or(SlotKey::Unknown))),
            known => Ok(known),
        }
    }

    /// What the card itself says is in a slot: by metadata or attestation only.
    pub(crate) fn proven_slot_key(&mut self, slot: Slot) -> Result<SlotKey, TokenError> {
        match self.metadata(slot.reference())? {
            Metadata::NoKey => return Ok(SlotKey::Empty),
            Metadata::Told(data) => return metadata_key(&data),
            Metadata::Untold => {}
        }
        // Imported keys are not attested: silence says nothing.
        let attested = self.attest(slot)?;
        Ok(attested.map_or(SlotKey::Unknown, |der| certificate_key(&der).unwrap_or(SlotKey::Unknown)))
    }

    /// Whether the card tells what is in its slots (firmware 5.3 and later).
    pub(crate) fn has_metadata(&mut self, slot: Slot) -> Result<bool, TokenError> {
        Ok(!matches!(self.metadata(slot.reference())?, Metadata::Untold))
    }

    /// Makes a P-256 key in a slot; whatever key was there is gone. Needs the management key.
    ///
    /// # Errors
    /// [`TokenError::Refused`]: with [`Status::NotSupported`] or [`Status::WrongData`] if the card does not know a policy.
    pub fn generate(&mut self, slot: Slot, pin: PinPolicy, touch: TouchPolicy) -> Result<PublicKey, TokenError> {
        self.generate_with(slot, &[0x80, 1, P256, 0xaa, 1, pin as u8, 0xab, 1, touch as u8])
    }

    /// Makes a P-256 key with the PIN policy only, for cards that know no touch policy.
    pub(crate) fn generate_without_touch(&mut self, slot: Slot, pin: PinPolicy) -> Result<PublicKey, TokenError> {
        self.generate_with(slot, &[0x80, 1, P256, 0xaa, 1, pin as u8])
    }

    fn generate_with(&mut self, slot: Slot, control: &[u8]) -> Result<PublicKey, TokenError> {
        const NAME: &str = "GENERATE";
        let data = tlv::element(0xac, control);
        let answer = self.demand(NAME, &Command::new(0x47, 0, slot.reference(), &data))?;
        let malformed = TokenError::Malformed { command: NAME };
        let public = tlv::only(&answer, 0x7f49).and_then(|key| tlv::find(key, 0x86));
        public.and_then(|point| PublicKey::from_sec1(point).ok()).ok_or(malformed)
    }

    /// Signs `message` (SHA-256 on the host, ECDSA on the card) and verifies the signature with `expected`.
    ///
    /// # Errors
    /// [`TokenError::TouchOrPinMissing`]; [`TokenError::BadSignature`] if it does not verify.
    pub fn sign(&mut self, slot: Slot, expected: &PublicKey, message: &[u8]) -> Result<Signature, TokenError> {
        const NAME: &str = "GENERAL AUTHENTICATE (sign)";
        let digest = Sha256::digest(message);
        let answer = self.authenticate(NAME, slot, 0x81, &digest)?;
        let signature = ecdsa::Signature::from_der(&answer).map_err(|_| TokenError::Malformed { command: NAME })?;
        let signature = Signature::normalised(signature);
        if signature.verifies(expected, message) { Ok(signature) } else { Err(TokenError::BadSignature { slot }) }
    }

    /// One Diffie-Hellman with the key in `slot`: the x-coordinate of the shared point.
    ///
    /// # Errors
    /// [`TokenError::TouchOrPinMissing`] if the card's conditions are not met.
    pub fn ecdh(&mut self, slot: Slot, peer: &PublicKey) -> Result<SharedX, TokenError> {
        const NAME: &str = "GENERAL AUTHENTICATE (ECDH)";
        let answer = self.authenticate(NAME, slot, 0x85, &peer.to_uncompressed())?;
        SharedX::try_fill(|shared| {
            let x: &[u8; 32] = answer.as_slice().try_into().map_err(|_| TokenError::Malformed { command: NAME })?;
            shared.copy_from_slice(x);
            inspect::secret("ecdh", shared);
            Ok(())
        })
    }

    /// > 7C { 82 (response, empty), 81 (challenge) or 85 (exponentiation) } (SP 800-73-4 part 2, table 7)
    fn authenticate(
        &mut self,
        name: &'static str,
        slot: Slot,
        tag: u32,
        value: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, TokenError> {
        let mut template = Vec::with_capacity(value.len() + 8);
        tlv::push(&mut template, 0x82, &[]);
        tlv::push(&mut template, tag, value);
        let data = tlv::element(0x7c, &template);
        let answer = self.ask(name, &Command::new(0x87, P256, slot.reference(), &data))?;
        match answer.status {
            Status::Success => {}
            Status::SecurityStatus => return Err(TokenError::TouchOrPinMissing { slot }),
            status => return Err(TokenError::Refused { command: name, status }),
        }
        let value = tlv::only(&answer.data, 0x7c).and_then(|template| tlv::find(template, 0x82));
        value.map(|value| Zeroizing::new(value.to_vec())).ok_or(TokenError::Malformed { command: name })
    }

    /// Whether a slot whose contents the card does not tell (no metadata, and imported keys are not attested) has no key
    /// of any kind that such cards know: none of them answers, and none wants a PIN or a touch. The PIN must be verified.
    pub(crate) fn is_vacant(&mut self, slot: Slot) -> Result<bool, TokenError> {
        // P-256, P-384: the base point; RSA 1024, 2048: the number 1. A key that is there is used, and nothing comes of it.
        let p256 = PublicKey::from(
            p256::PublicKey::from_affine(p256::AffinePoint::GENERATOR)
                .map_err(|_| TokenError::Malformed { command: "GENERAL AUTHENTICATE (probe)" })?,
        );
        let point256 = p256.to_uncompressed();
        let one = |size: usize| [vec![0; size - 1], vec![1]].concat();
        let probes = [
            (P256, 0x85, point256.to_vec()),
            (0x14, 0x85, P384_BASE.to_vec()),
            (0x06, 0x81, one(128)),
            (0x07, 0x81, one(256)),
        ];
        for (algorithm, tag, value) in probes {
            let mut template = Vec::with_capacity(value.len() + 8);
            tlv::push(&mut template, 0x82, &[]);
            tlv::push(&mut template, tag, &value);
            let data = tlv::element(0x7c, &template);
            let command = Command::new(0x87, algorithm, slot.reference(), &data);
            match self.ask("GENERAL AUTHENTICATE (probe)", &command)?.status {
                Status::WrongData
                | Status::WrongParameters
                | Status::NotSupported
                | Status::NoReference
                | Status::NotFound => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The card's statement that it made the key in `slot` (a certificate, DER); `None` if it makes none.
    ///
    /// # Errors
    /// [`TokenError::Channel`] or [`TokenError::Malformed`].
    pub fn attest(&mut self, slot: Slot) -> Result<Option<Vec<u8>>, TokenError> {
        let answer = self.ask("ATTEST", &Command::new(0xf9, slot.reference(), 0, &[]))?;
        let told = answer.status == Status::Success && !answer.data.is_empty();
        Ok(told.then(|| answer.data.to_vec()))
    }

    /// Destroys the key in `slot`: deletes it where the card can, and otherwise makes another over it. Needs the
    /// management key. What it destroys is the caller's responsibility.
    ///
    /// # Errors
    /// [`TokenError::Refused`] if the card does neither.
    pub fn delete_key(&mut self, slot: Slot) -> Result<Destroyed, TokenError> {
        match self.delete_only(slot)? {
            true => Ok(Destroyed::Deleted),
            false => self.generate(slot, PinPolicy::Always, TouchPolicy::Never).map(Destroyed::Replaced),
        }
    }

    /// Deletes the key in `slot`; `false` if the card cannot delete.
    pub(crate) fn delete_only(&mut self, slot: Slot) -> Result<bool, TokenError> {
        const NAME: &str = "DELETE KEY";
        // Whether the card can is asked of the card: F6 is unknown to firmware before 5.7.
        let answer = self.ask(NAME, &Command::quiet(0xf6, 0xff, slot.reference(), &[]))?;
        match answer.status {
            // No key there: as good as deleted.
            Status::Success | Status::NoReference | Status::NotFound => Ok(true),
            Status::UnknownInstruction | Status::NotSupported | Status::WrongParameters => Ok(false),
            status => Err(TokenError::Refused { command: NAME, status }),
        }
    }
}

fn metadata_key(data: &[u8]) -> Result<SlotKey, TokenError> {
    let malformed = || TokenError::Malformed { command: "GET METADATA" };
    match tlv::find(data, 0x01) {
        Some([P256]) => {
            let public = tlv::find(data, 0x04).and_then(|key| tlv::find(key, 0x86)).ok_or_else(malformed)?;
            PublicKey::from_sec1(public).map(SlotKey::P256).map_err(|_| malformed())
        }
        Some([_]) => Ok(SlotKey::Other),
        _ => Err(malformed()),
    }
}

/// The key that a certificate is about; `None` if it is no certificate that can be read.
pub(crate) fn certificate_key(der: &[u8]) -> Option<SlotKey> {
    let certificate = Certificate::from_der(der).ok()?;
    let info = certificate.tbs_certificate().subject_public_key_info().to_der().ok()?;
    use p256::pkcs8::DecodePublicKey;
    Some(p256::PublicKey::from_public_key_der(&info).map_or(SlotKey::Other, |key| SlotKey::P256(key.into())))
}

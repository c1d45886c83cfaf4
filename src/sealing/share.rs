//! The share envelope: an age file to a share key, opened with one ECDH of a token (`docs/format.md`, 5.3).
//!
//! The stanza is C2SP `p256tag`: HPKE (RFC 9180) in base mode with DHKEM(P-256, HKDF-SHA256), HKDF-SHA256 and
//! ChaCha20Poly1305. A token gives only the x-coordinate of the Diffie-Hellman point, so the decapsulation is finished
//! here. Everything that can be checked without a secret is checked by [`ShareEnvelope::parse`], before anybody is asked for a
//! PIN or a touch.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::str::FromStr;

use age_core::format::{FileKey, Stanza};
use age_core::secrecy::ExposeSecret;
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::encoding::{Digest, PublicKey};
use crate::fault::inspect;
use crate::sealing::{SealingError, hpke, is_grease};
use crate::secret::{ShareValue, SharedX};

#[cfg(test)]
mod tests;

/// The largest envelope, in bytes. What is written has less than 1,200.
pub const MAX_ENVELOPE: usize = 4096;
/// The largest plaintext, in bytes.
const MAX_PLAINTEXT: usize = 1024;

const STANZA: &str = "p256tag";
const TAG_SALT: &[u8] = b"age-encryption.org/p256tag";

/// What an envelope says besides the share. It has to match the manifest in every line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareRecord {
    /// The vault id.
    pub vault: Digest,
    /// The generation that the share is of.
    pub generation: u64,
    /// The custodian's index, from 1.
    pub index: u8,
    /// The threshold.
    pub k: u8,
    /// The number of custodians.
    pub n: u8,
    /// [`Commitments::digest`](crate::sharing::Commitments::digest).
    pub commitments: Digest,
}

impl ShareRecord {
    /// The plaintext up to the share: every line that does not depend on it, and the word `share`.
    fn text(&self) -> String {
        let Self { vault, generation, index, k, n, commitments } = self;
        format!(
            "claviger/v1 share\nvault {vault}\ngeneration {generation}\nindex {index}\nk {k}\nn {n}\n\
             commitments {commitments}\nshare "
        )
    }
}

/// The age recipient of a share key: `age1tag1...`.
pub fn tag_recipient(key: &PublicKey) -> String {
    let prefix = bech32::Hrp::parse_unchecked("age1tag");
    // 67 characters: below the 90 that Bech32 allows, which is the one way to fail.
    bech32::encode_lower::<bech32::Bech32>(prefix, &key.to_bytes()).expect("33 bytes are not too many for Bech32")
}

/// Seals a share to a custodian's share key.
///
/// # Errors
/// [`SealingError::Write`] or [`SealingError::Encrypt`], neither of which depends on the input.
pub fn seal_share(recipient: &PublicKey, record: &ShareRecord, share: &ShareValue) -> Result<Vec<u8>, SealingError> {
    let recipient = age::tag::Recipient::from_str(&tag_recipient(recipient))
        .map_err(|_| SealingError::Recipient { found: recipient.to_string() })?;
    let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))
        .map_err(SealingError::Encrypt)?;
    let mut plaintext = Zeroizing::new(Vec::with_capacity(MAX_PLAINTEXT));
    plaintext.extend_from_slice(record.text().as_bytes());
    let mut digits = Zeroizing::new([0; 64]);
    // 64 digits are what 32 bytes take.
    hex::encode_to_slice(share.expose_secret(), &mut *digits).expect("32 bytes are 64 hex digits");
    plaintext.extend_from_slice(&*digits);
    plaintext.push(b'\n');

    let mut envelope = Vec::new();
    let mut writer = encryptor.wrap_output(&mut envelope).map_err(SealingError::Write)?;
    writer.write_all(&plaintext).and_then(|()| writer.finish()).map_err(SealingError::Write)?;
    Ok(envelope)
}

/// An envelope that is addressed to the expected share key, as far as can be known without a secret.
pub struct ShareEnvelope {
    bytes: Vec<u8>,
    recipient: PublicKey,
    encapsulated: PublicKey,
}

impl ShareEnvelope {
    /// Checks an envelope for `recipient`: size, age header, exactly one `p256tag` stanza and nothing else but grease, the
    /// stanza's tag, the point on the curve. Nothing secret is needed, no token is asked.
    ///
    /// # Errors
    /// [`SealingError::EnvelopeSize`], [`SealingError::Header`], [`SealingError::Stanzas`], [`SealingError::Stanza`],
    /// [`SealingError::OtherRecipient`].
    pub fn parse(bytes: &[u8], recipient: &PublicKey) -> Result<Self, SealingError> {
        if bytes.len() > MAX_ENVELOPE {
            return Err(SealingError::EnvelopeSize { found: bytes.len() });
        }
        let seen = Stanzas::default();
        let decryptor = age::Decryptor::new_buffered(bytes).map_err(SealingError::Header)?;
        // An identity that matches nothing: age shows it the stanzas and then says that no key matched.
        let _ = decryptor.decrypt(std::iter::once(&seen as &dyn age::Identity));
        let stanza = the_stanza(seen.0.take())?;
        let (tag, encapsulated) = arguments(&stanza)?;
        if tag != expected_tag(&encapsulated, recipient) {
            return Err(SealingError::OtherRecipient);
        }
        Ok(Self { bytes: bytes.to_vec(), recipient: *recipient, encapsulated })
    }

    /// The point that the token does its ECDH with.
    pub fn encapsulated(&self) -> &PublicKey {
        &self.encapsulated
    }

    /// Opens the envelope with what the token answered.
    ///
    /// # Errors
    /// [`SealingError::Decapsulation`] if it is not the answer of the share key; [`SealingError::Decrypt`] or [`SealingError::Read`] if the file was
    /// altered; [`SealingError::Record`] if it is not the envelope of `expected`; [`SealingError::ShareText`].
    pub fn open(self, shared: SharedX, expected: &ShareRecord) -> Result<ShareValue, SealingError> {
        let identity = Decapsulation {
            shared,
            encapsulated: self.encapsulated,
            recipient: self.recipient,
            refused: Cell::new(false),
        };
        let decryptor = age::Decryptor::new_buffered(&self.bytes[..]).map_err(SealingError::Header)?;
        let reader = decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity)).map_err(|error| {
            if identity.refused.get() { SealingError::Decapsulation } else { SealingError::Decrypt(error) }
        })?;
        let mut plaintext = Zeroizing::new(Vec::with_capacity(MAX_PLAINTEXT + 1));
        let mut reader = reader.take(MAX_PLAINTEXT as u64 + 1);
        reader.read_to_end(&mut plaintext).map_err(SealingError::Read)?;
        share_of(&plaintext, expected)
    }
}

/// The share in a plaintext, every byte of which but the share is known beforehand.
fn share_of(plaintext: &[u8], expected: &ShareRecord) -> Result<ShareValue, SealingError> {
    let text = expected.text();
    let Some(rest) = plaintext.strip_prefix(text.as_bytes()) else {
        return Err(different_line(plaintext, &text));
    };
    let digits = rest.strip_suffix(b"\n").filter(|digits| digits.len() == 64).ok_or(SealingError::ShareText)?;
    if digits.iter().any(u8::is_ascii_uppercase) {
        return Err(SealingError::ShareText);
    }
    ShareValue::try_fill(|bytes| hex::decode_to_slice(digits, bytes)).map_err(|_| SealingError::ShareText)
}

/// Names the first line that differs, and never what was found: it could be the share.
fn different_line(plaintext: &[u8], text: &str) -> SealingError {
    let mut found = plaintext.split(|byte| *byte == b'\n');
    let line = text.lines().find(|line| found.next() != Some(line.as_bytes())).unwrap_or("share");
    let (field, expected) = line.split_once(' ').unwrap_or((line, ""));
    let field = if line == "claviger/v1 share" { "format" } else { field };
    SealingError::Record { field: field.to_owned(), expected: expected.to_owned() }
}

/// An identity that only looks.
#[derive(Default)]
struct Stanzas(RefCell<Vec<Stanza>>);

impl age::Identity for Stanzas {
    fn unwrap_stanza(&self, _: &Stanza) -> Option<Result<FileKey, age::DecryptError>> {
        None
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, age::DecryptError>> {
        let copies = stanzas.iter().map(|stanza| Stanza {
            tag: stanza.tag.clone(),
            args: stanza.args.clone(),
            body: stanza.body.clone(),
        });
        self.0.borrow_mut().extend(copies);
        None
    }
}

/// The identity that stands for a token's answer.
struct Decapsulation {
    shared: SharedX,
    encapsulated: PublicKey,
    recipient: PublicKey,
    refused: Cell<bool>,
}

impl age::Identity for Decapsulation {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, age::DecryptError>> {
        if stanza.tag != STANZA {
            return None;
        }
        let key = hpke::open(&self.shared, &self.encapsulated, &self.recipient, TAG_SALT, &stanza.body);
        if let Some(key) = &key {
            inspect::secret("file-key", key.expose_secret());
        }
        self.refused.set(key.is_none());
        Some(key.ok_or(age::DecryptError::DecryptionFailed))
    }
}

fn the_stanza(stanzas: Vec<Stanza>) -> Result<Stanza, SealingError> {
    let mut meant: Vec<_> = stanzas.into_iter().filter(|stanza| !is_grease(stanza)).collect();
    match (meant.pop(), meant.len()) {
        (Some(stanza), 0) if stanza.tag == STANZA => Ok(stanza),
        (last, _) => {
            let found = meant.into_iter().chain(last).map(|stanza| stanza.tag).collect();
            Err(SealingError::Stanzas { expected: STANZA, found })
        }
    }
}

/// > -> p256tag [tag, 4 bytes] [enc, 65 bytes]; the body is the HPKE ciphertext of the file key (16 bytes and a tag of 16).
fn arguments(stanza: &Stanza) -> Result<([u8; 4], PublicKey), SealingError> {
    let [tag, enc] = &stanza.args[..] else {
        return Err(SealingError::Stanza { what: "number of arguments" });
    };
    let tag = BASE64_STANDARD_NO_PAD.decode(tag).ok().and_then(|tag| <[u8; 4]>::try_from(tag).ok());
    let tag = tag.ok_or(SealingError::Stanza { what: "tag" })?;
    let enc = BASE64_STANDARD_NO_PAD.decode(enc).ok().filter(|enc| enc.len() == 65);
    let enc = enc.and_then(|enc| PublicKey::from_sec1(&enc).ok());
    let enc = enc.ok_or(SealingError::Stanza { what: "curve point" })?;
    if stanza.body.len() != 32 {
        return Err(SealingError::Stanza { what: "body" });
    }
    Ok((tag, enc))
}

/// > HKDF-Extract-SHA-256(ikm = enc || SHA-256(recipient)[:4], salt = "age-encryption.org/p256tag")[:4]
fn expected_tag(encapsulated: &PublicKey, recipient: &PublicKey) -> [u8; 4] {
    let mut ikm = [0; 69];
    ikm[..65].copy_from_slice(&encapsulated.to_uncompressed());
    ikm[65..].copy_from_slice(&Digest::of(&recipient.to_bytes()).as_bytes()[..4]);
    let (prk, _) = Hkdf::<Sha256>::extract(Some(TAG_SALT), &ikm);
    [prk[0], prk[1], prk[2], prk[3]]
}

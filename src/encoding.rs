//! The small values that all documents share, each with one written form (`docs/format.md`, section 1).

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::elliptic_curve::sec1::ToSec1Point;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// What was read is not in its one written form.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodingError {
    /// Not a digest, public key, name, slot, time or signature.
    #[error("{found:?} is not {expected}")]
    Value {
        /// What was expected, with its form.
        expected: &'static str,
        /// What was found, shortened.
        found: String,
    },
    /// Not JSON, or not this document.
    #[error("not a document of the form {format}")]
    Document {
        /// The expected `format`.
        format: &'static str,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// The member `format` names another kind or version.
    #[error("a document of the form {found:?} where {format} was expected")]
    Format {
        /// The expected `format`.
        format: &'static str,
        /// The one that was found.
        found: String,
    },
    /// Parses, but its bytes are not the canonical form.
    #[error("not the canonical form (RFC 8785) of a document {format}")]
    NotCanonical {
        /// The expected `format`.
        format: &'static str,
    },
}

fn value_error(expected: &'static str, found: &str) -> EncodingError {
    EncodingError::Value { expected, found: found.chars().take(80).collect() }
}

macro_rules! string_serde {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

fn lower_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let lower = text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    (lower && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
}

/// A SHA-256 digest, 32 bytes; written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// From its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first eight hex digits: for people, never for a decision.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }

    /// The first 16 bytes as twelve BIP-39 words (128 bits and 4 check bits), to be read aloud.
    pub fn words(&self) -> String {
        let mut entropy = [0; 16];
        entropy.copy_from_slice(&self.0[..16]);
        // 16 bytes is one of the five lengths that BIP-39 knows.
        bip39::Mnemonic::from_entropy(&entropy).map(|words| words.to_string()).unwrap_or_default()
    }

    /// Whether `words` (any white space, any case) are the words of this digest; the 64 hex digits are accepted too.
    pub fn is_named_by(&self, words: &str) -> bool {
        let words = words.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        words == self.words() || words == self.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = EncodingError;

    fn from_str(text: &str) -> Result<Self, EncodingError> {
        lower_hex(text).map(Self).ok_or_else(|| value_error("a digest of 64 lower-case hex digits", text))
    }
}

string_serde!(Digest);

/// 16 random bytes; written as 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Nonce16([u8; 16]);

impl Nonce16 {
    /// From its 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// A fresh one from the operating system.
    ///
    /// # Errors
    /// If the operating system has no randomness to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Nonce16 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for Nonce16 {
    type Err = EncodingError;

    fn from_str(text: &str) -> Result<Self, EncodingError> {
        lower_hex(text).map(Self).ok_or_else(|| value_error("32 lower-case hex digits", text))
    }
}

string_serde!(Nonce16);

/// A P-256 public key; written as 66 lower-case hex digits (SEC1 compressed, 33 bytes).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(p256::PublicKey);

impl PublicKey {
    /// SEC1 compressed, 33 bytes.
    pub fn to_bytes(&self) -> [u8; 33] {
        let mut bytes = [0; 33];
        bytes.copy_from_slice(self.0.to_sec1_point(true).as_bytes());
        bytes
    }

    /// SEC1 uncompressed, 65 bytes: 04 || X || Y.
    pub fn to_uncompressed(&self) -> [u8; 65] {
        let mut bytes = [0; 65];
        bytes.copy_from_slice(self.0.to_sec1_point(false).as_bytes());
        bytes
    }

    /// From SEC1 bytes, compressed or not; the point is checked to be on the curve and not the identity.
    ///
    /// # Errors
    /// [`EncodingError::Value`].
    pub fn from_sec1(bytes: &[u8]) -> Result<Self, EncodingError> {
        p256::PublicKey::from_sec1_bytes(bytes)
            .map(Self)
            .map_err(|_| value_error("a P-256 public key (SEC1)", &hex::encode(bytes)))
    }

    /// For the curve library.
    pub fn as_p256(&self) -> &p256::PublicKey {
        &self.0
    }
}

impl From<p256::PublicKey> for PublicKey {
    fn from(key: p256::PublicKey) -> Self {
        Self(key)
    }
}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.to_bytes().cmp(&other.to_bytes())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.to_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = EncodingError;

    fn from_str(text: &str) -> Result<Self, EncodingError> {
        let expected = "a P-256 public key of 66 lower-case hex digits (SEC1 compressed)";
        let bytes = lower_hex::<33>(text).ok_or_else(|| value_error(expected, text))?;
        Self::from_sec1(&bytes).map_err(|_| value_error(expected, text))
    }
}

string_serde!(PublicKey);

/// An ECDSA P-256 signature with SHA-256: strict DER, s in the lower half of the order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signature(p256::ecdsa::Signature);

impl Signature {
    /// From a signer's output, which may have either s; normalised to the lower one.
    pub fn normalised(signature: p256::ecdsa::Signature) -> Self {
        Self(signature.normalize_s())
    }

    /// From the bytes of a signature file.
    ///
    /// # Errors
    /// [`EncodingError::Value`] if it is not strict DER, out of range, or its s is high.
    pub fn from_der(der: &[u8]) -> Result<Self, EncodingError> {
        let expected = "an ECDSA P-256 signature (strict DER, low s)";
        let error = || value_error(expected, &hex::encode(&der[..der.len().min(40)]));
        let signature = p256::ecdsa::Signature::from_der(der).map_err(|_| error())?;
        let same = signature.to_der().as_bytes() == der && signature.normalize_s() == signature;
        same.then_some(Self(signature)).ok_or_else(error)
    }

    /// DER, at most 72 bytes.
    pub fn to_der(&self) -> Vec<u8> {
        self.0.to_der().as_bytes().to_vec()
    }

    /// Whether `key` made this signature over `message`.
    pub fn verifies(&self, key: &PublicKey, message: &[u8]) -> bool {
        let prehash = Sha256::digest(message);
        // Three parts of a fixed length: no two triples of key, message and signature have the same name.
        let name = Sha256::new().chain_update(key.to_bytes()).chain_update(prehash).chain_update(self.0.to_bytes());
        let name: [u8; 32] = name.finalize().into();
        if VERIFIED.with_borrow(|verified| verified.contains(&name)) {
            return true;
        }
        let key = p256::ecdsa::VerifyingKey::from(key.as_p256());
        let good = key.verify_prehash(prehash.as_slice(), &self.0).is_ok();
        if good {
            VERIFIED.with_borrow_mut(|verified| {
                if verified.len() >= REMEMBERED {
                    verified.clear();
                }
                verified.insert(name);
            });
        }
        good
    }
}

/// How many good signatures are remembered; each takes 32 bytes.
const REMEMBERED: usize = 10_000;

thread_local! {
    /// Signatures that were good, by SHA-256 over key, digest of the message, and signature. A ceremony judges the same files
    /// again and again: they are read anew every time, and what the same key signed is not computed anew.
    static VERIFIED: RefCell<BTreeSet<[u8; 32]>> = const { RefCell::new(BTreeSet::new()) };
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.to_der()))
    }
}

impl FromStr for Signature {
    type Err = EncodingError;

    fn from_str(text: &str) -> Result<Self, EncodingError> {
        let expected = "an ECDSA signature in hex (strict DER, low s)";
        if text.bytes().any(|c| c.is_ascii_uppercase()) {
            return Err(value_error(expected, text));
        }
        let der = hex::decode(text).map_err(|_| value_error(expected, text))?;
        Self::from_der(&der)
    }
}

string_serde!(Signature);

/// The name of a custodian, group, item or kind: 1 to 63 of `a-z 0-9 -`, not starting or ending with `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Name(String);

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = EncodingError;

    fn from_str(text: &str) -> Result<Self, EncodingError> {
        let good = (1..=63).contains(&text.len())
            && text.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !text.starts_with('-')
            && !text.ends_with('-');
        good.then(|| Self(text.to_owned()))
            .ok_or_else(|| value_error("a name (1 to 63 of a-z, 0-9 and -, not starting or ending with -)", text))
    }
}

string_serde!(Name);

/// A point in time, whole seconds, UTC; written `2026-01-31T23:59:59Z` (RFC 3339).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Time(jiff::Timestamp);

impl Time {
    /// Now, by the machine's clock.
    pub fn now() -> Self {
        let seconds = jiff::Timestamp::now().as_second().saturating_add(crate::fault::clock_offset());
        Self(jiff::Timestamp::from_second(seconds).unwrap_or_default())
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub fn unix(&self) -> i64 {
        self.0.as_second()
    }

    /// Later by `seconds`; the latest time there is if that is too far.
    pub fn plus(&self, seconds: i64) -> Self {
        Self(jiff::Timestamp::from_second(self.unix().saturating_add(seconds)).unwrap_or(jiff::Timestamp::MAX))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime("%Y-%m-%dT%H:%M:%SZ"))
    }
}

impl FromStr for Time {
    type Err = EncodingError;

    fn from_str(text: &str) -> Result<Self, EncodingError> {
        let expected = "a time like 2026-01-31T23:59:59Z";
        let time = text.parse().map(Self).map_err(|_| value_error(expected, text))?;
        (time.to_string() == text).then_some(time).ok_or_else(|| value_error(expected, text))
    }
}

string_serde!(Time);

/// A JSON document with one canonical form (RFC 8785) and a member `format`.
///
/// Implementors derive `Serialize` and `Deserialize` with `deny_unknown_fields`, and have a field `format: Format<Self>`
/// or fill it in by hand.
pub trait Document: Serialize + DeserializeOwned {
    /// For example `claviger/v1 manifest`.
    const FORMAT: &'static str;

    /// The member `format` as it was read.
    fn format(&self) -> &str;

    /// Parses the canonical bytes of a document.
    ///
    /// # Errors
    /// [`EncodingError`] if it is not this kind of document or not canonical.
    fn parse(bytes: &[u8]) -> Result<Self, EncodingError> {
        let document: Self =
            serde_json::from_slice(bytes).map_err(|source| EncodingError::Document { format: Self::FORMAT, source })?;
        if document.format() != Self::FORMAT {
            return Err(EncodingError::Format { format: Self::FORMAT, found: document.format().to_owned() });
        }
        if document.encode() != bytes {
            return Err(EncodingError::NotCanonical { format: Self::FORMAT });
        }
        Ok(document)
    }

    /// The canonical bytes.
    fn encode(&self) -> Vec<u8> {
        canonical(self)
    }

    /// The digest of the canonical bytes.
    fn digest(&self) -> Digest {
        Digest::of(&self.encode())
    }
}

/// The canonical JSON of `value` (RFC 8785).
///
/// # Panics
/// If `value` has a map with keys that are not strings: a mistake of the program, never of its input.
pub fn canonical<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(value).expect("documents have string keys and plain values")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_a_digest_and_a_changed_one_is_not_named() {
        let digest = Digest::of(b"vault");
        let words = digest.words();
        assert_eq!(words.split(' ').count(), 12);
        assert!(digest.is_named_by(&words.to_uppercase().replace(' ', "  \n")));
        assert!(!Digest::of(b"other").is_named_by(&words));
    }

    #[test]
    fn values_have_one_form_only() {
        assert!("A".repeat(64).parse::<Digest>().is_err());
        assert!("2026-01-31T23:59:59+00:00".parse::<Time>().is_err());
        assert!("2026-01-31T23:59:59Z".parse::<Time>().is_ok());
        for bad in ["", "-a", "a-", "A", "a b", "é"] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }
}

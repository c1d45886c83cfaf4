//! What is derived from a root, and the inbox identity (`docs/format.md`, 5.2 and 5.4).

use std::str::FromStr;

use age::secrecy::ExposeSecret;
use hkdf::Hkdf;
use p256::ecdsa::signature::Signer;
use p256::elliptic_curve::bigint::U256;
use p256::elliptic_curve::ops::Reduce;
use p256::{NonZeroScalar, Scalar};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use crate::encoding::{Digest, PublicKey, Signature};
use crate::fault::inspect;
use crate::sealing::SealingError;
use crate::secret::{self, Root, SecretBytes};

const VAULT_IDENTITY: &[u8] = b"claviger/v1 vault identity";
const SUCCESSION: &[u8] = b"claviger/v1 succession";

/// The length of `AGE-SECRET-KEY-1...`: prefix, separator, 52 characters for 32 bytes, 6 of checksum.
const IDENTITY_LENGTH: usize = 74;

/// The age identity of one generation: it opens the items and the inbox identity.
pub struct VaultIdentity(pub(super) Box<age::x25519::Identity>);

/// The vault identity that follows from a root.
pub fn vault_identity(root: &Root, vault: &Digest, generation: u64) -> VaultIdentity {
    VaultIdentity(secret::apart(|| identity_of(root, vault, generation)))
}

fn identity_of(root: &Root, vault: &Digest, generation: u64) -> Box<age::x25519::Identity> {
    let mut scalar = Zeroizing::new([0; 32]);
    derive(root, vault, generation, VAULT_IDENTITY, &mut *scalar);
    inspect::secret("identity", &*scalar);
    let prefix = bech32::Hrp::parse_unchecked("AGE-SECRET-KEY-");
    let mut text = Zeroizing::new(String::with_capacity(IDENTITY_LENGTH));
    // Writing 32 bytes into a string fails neither for want of room nor for the length, which is below 90.
    let written = bech32::encode_upper_to_fmt::<bech32::Bech32, _>(&mut *text, prefix, &*scalar);
    debug_assert!(written.is_ok() && text.len() == IDENTITY_LENGTH);
    inspect::secret("identity", text.as_bytes());
    // Any 32 bytes are an X25519 scalar, and this is their one written form.
    Box::new(age::x25519::Identity::from_str(&text).expect("32 bytes in Bech32 are an age identity"))
}

impl VaultIdentity {
    /// `age1...`: what the manifest calls `vault_recipient`.
    pub fn recipient(&self) -> String {
        self.0.to_public().to_string()
    }
}

/// The key that signs the manifest of the next generation: ECDSA P-256 with SHA-256.
pub struct SuccessionKey(Box<p256::ecdsa::SigningKey>);

impl SuccessionKey {
    /// The succession key that follows from a root.
    ///
    /// # Errors
    /// [`SealingError::Succession`] if it comes out as zero, which no root that will ever be drawn does.
    pub fn derive(root: &Root, vault: &Digest, generation: u64) -> Result<Self, SealingError> {
        secret::apart(|| {
            let mut wide = Zeroizing::new([0; 48]);
            derive(root, vault, generation, SUCCESSION, &mut *wide);
            inspect::secret("succession", &*wide);
            let scalar = Zeroizing::new(reduce(&wide));
            let key = Option::<NonZeroScalar>::from(NonZeroScalar::new(*scalar)).ok_or(SealingError::Succession)?;
            let key = Zeroizing::new(key);
            Ok(Self(Box::new(p256::ecdsa::SigningKey::from(*key))))
        })
    }

    /// What the manifest calls `succession_key`.
    pub fn public(&self) -> PublicKey {
        PublicKey::from(p256::PublicKey::from(self.0.verifying_key()))
    }

    /// A signature over `bytes` (hashed here with SHA-256), deterministic (RFC 6979), low s.
    pub fn sign(&self, bytes: &[u8]) -> Signature {
        secret::apart(|| Signature::normalised(self.0.sign(bytes)))
    }
}

/// The identity that inbox files are sealed to. It outlives rotations, carried in every generation.
pub struct InboxIdentity(pub(super) Box<age::x25519::Identity>);

impl InboxIdentity {
    /// A fresh random one.
    pub fn generate() -> Self {
        Self(secret::apart(|| Box::new(age::x25519::Identity::generate())))
    }

    /// From the payload of `inbox-identity.age`: `AGE-SECRET-KEY-1...` and LF.
    ///
    /// # Errors
    /// [`SealingError::InboxIdentity`].
    pub fn from_payload(payload: &SecretBytes) -> Result<Self, SealingError> {
        let text = std::str::from_utf8(payload.expose_secret()).ok();
        let text = text.and_then(|text| text.strip_suffix('\n')).filter(|text| text.len() == IDENTITY_LENGTH);
        let identity = text.and_then(|text| secret::apart(|| age::x25519::Identity::from_str(text).ok().map(Box::new)));
        identity.map(Self).ok_or(SealingError::InboxIdentity)
    }

    /// What `inbox-identity.age` holds.
    pub fn payload(&self) -> SecretBytes {
        let text = self.0.to_string();
        let mut payload = Zeroizing::new(Vec::with_capacity(IDENTITY_LENGTH + 1));
        payload.extend_from_slice(text.expose_secret().as_bytes());
        inspect::secret("inbox", &payload);
        payload.push(b'\n');
        SecretBytes::new(payload)
    }

    /// `age1...`: what the manifest calls `inbox_recipient`.
    pub fn recipient(&self) -> String {
        self.0.to_public().to_string()
    }
}

/// HKDF-SHA256(ikm = root, salt = vault id || generation as u64 big-endian, info).
fn derive(root: &Root, vault: &Digest, generation: u64, info: &[u8], okm: &mut [u8]) {
    let mut salt = [0; 40];
    salt[..32].copy_from_slice(vault.as_bytes());
    salt[32..].copy_from_slice(&generation.to_be_bytes());
    let hkdf = Hkdf::<Sha256>::new(Some(&salt), root.expose_secret());
    // RFC 5869, 2.3: at most 255 * 32 bytes; the callers want 32 and 48.
    hkdf.expand(info, okm).expect("48 bytes are not too many for HKDF");
}

/// A 48-byte big-endian integer modulo the order of P-256.
fn reduce(wide: &[u8; 48]) -> Scalar {
    let mut halves = Zeroizing::new([[0; 32]; 2]);
    halves[0][16..].copy_from_slice(&wide[..16]);
    halves[1].copy_from_slice(&wide[16..]);
    let mut high = U256::from_be_slice(&halves[0]);
    let mut low = U256::from_be_slice(&halves[1]);
    // 2^256 mod order, from the largest number that fits.
    let shift = <Scalar as Reduce<U256>>::reduce(&U256::MAX) + Scalar::ONE;
    let scalar = <Scalar as Reduce<U256>>::reduce(&high) * shift + <Scalar as Reduce<U256>>::reduce(&low);
    high.zeroize();
    low.zeroize();
    scalar
}

static_assertions::assert_not_impl_any!(VaultIdentity: Clone, Copy, std::fmt::Debug, PartialEq, serde::Serialize);
static_assertions::assert_not_impl_any!(SuccessionKey: Clone, Copy, std::fmt::Debug, PartialEq, serde::Serialize);
static_assertions::assert_not_impl_any!(InboxIdentity: Clone, Copy, std::fmt::Debug, PartialEq, serde::Serialize);

#[cfg(test)]
mod tests {
    use super::*;

    /// `tests/vectors/derivation/*.json`, computed by another implementation (`generate.py` beside them).
    #[test]
    fn derivations_agree_with_the_vectors() {
        let mut seen = 0;
        for file in std::fs::read_dir("tests/vectors/derivation").unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let vector: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let text = |name: &str| vector[name].as_str().unwrap().to_owned();
            let root = Root::fill(|bytes| hex::decode_to_slice(text("root"), bytes).unwrap());
            let vault: Digest = text("vault").parse().unwrap();
            let generation = vector["generation"].as_u64().unwrap();

            let identity = vault_identity(&root, &vault, generation);
            assert_eq!(identity.0.to_string().expose_secret(), text("vault_identity"), "{path:?}");
            assert_eq!(identity.recipient(), text("vault_recipient"), "{path:?}");
            let succession = SuccessionKey::derive(&root, &vault, generation).unwrap();
            assert_eq!(succession.public().to_string(), text("succession_key"), "{path:?}");
            seen += 1;
        }
        assert!(seen >= 3);
    }

    #[test]
    fn wide_numbers_are_reduced() {
        assert_eq!(reduce(&[0; 48]), Scalar::ZERO);
        let mut order = [0; 48];
        let hex = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
        hex::decode_to_slice(hex, &mut order[16..]).unwrap();
        assert_eq!(reduce(&order), Scalar::ZERO);
        order[47] += 1;
        assert_eq!(reduce(&order), Scalar::ONE);
        // 2^256 = (2^128)^2
        let mut power = [0; 48];
        power[15] = 1;
        let mut root = [0; 48];
        root[31] = 1;
        assert_eq!(reduce(&power), reduce(&root) * reduce(&root));
    }

    #[test]
    fn a_succession_signature_is_low_and_verifies() {
        let root = Root::fill(|bytes| bytes[31] = 7);
        let key = SuccessionKey::derive(&root, &Digest::of(b"vault"), 1).unwrap();
        for message in 0u8..16 {
            let signature = key.sign(&[message]);
            assert!(signature.verifies(&key.public(), &[message]));
            assert!(Signature::from_der(&signature.to_der()).is_ok());
            assert!(!signature.verifies(&key.public(), &[message + 1]));
        }
        let other = SuccessionKey::derive(&root, &Digest::of(b"vault"), 2).unwrap();
        assert_ne!(other.public(), key.public());
    }

    #[test]
    fn an_inbox_identity_survives_its_payload() {
        let identity = InboxIdentity::generate();
        let payload = identity.payload();
        assert_eq!(InboxIdentity::from_payload(&payload).ok().unwrap().recipient(), identity.recipient());
        let good = payload.expose_secret();
        let bad = [
            b"".to_vec(),
            b"\n".to_vec(),
            good[..good.len() - 1].to_vec(),
            [good, b"\n"].concat(),
            [b" ", good].concat(),
            good.to_ascii_lowercase().repeat(2),
            identity.recipient().into_bytes(),
            vec![0xff; IDENTITY_LENGTH + 1],
        ];
        for bytes in bad {
            let refused = InboxIdentity::from_payload(&SecretBytes::new(Zeroizing::new(bytes.clone())));
            assert!(matches!(refused, Err(SealingError::InboxIdentity)), "{bytes:?}");
        }
    }
}

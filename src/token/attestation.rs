//! What a card's attestation proves (`docs/format.md`, 3.4): that the key was made on a card of a maker, with which
//! policies. Chains are followed by names and signatures; dates are not looked at, since the clock of an offline machine
//! proves nothing and Yubico's certificates do not expire in practice.
//!
//! It proves less than it seems: the key that attests is shared by many YubiKeys and can be replaced, and before firmware
//! 5.7 it could be extracted (YSA-2024-03).

mod x509;

#[cfg(test)]
mod tests;

use der::oid::ObjectIdentifier;
use serde::{Deserialize, Serialize};

use crate::encoding::PublicKey;
use crate::error::{Advice, Exit};
use crate::token::TokenError;
use crate::token::firmware::Version;
use crate::token::piv::{ATTESTATION_CERTIFICATE, PinPolicy, Piv, TouchPolicy};
use crate::token::slot::Slot;
use crate::token::soft::AttestationRoot;
use crate::token::tlv;
use x509::Parts;

/// Yubico's roots, PEM; `firmware-notes/README.md` says where they come from.
const YUBICO_ROOTS: [&str; 2] = [
    include_str!("../../firmware-notes/attestation/roots/yubico-piv-root-ca-serial-263751.pem"),
    include_str!("../../firmware-notes/attestation/roots/yubico-attestation-root-1.pem"),
];
/// What is between Yubico's second root and the cards; the cards do not carry it.
const YUBICO_INTERMEDIATES: [&str; 5] = [
    include_str!("../../firmware-notes/attestation/intermediates/yubico-attestation-intermediate-a-1.pem"),
    include_str!("../../firmware-notes/attestation/intermediates/yubico-attestation-intermediate-b-1.pem"),
    include_str!("../../firmware-notes/attestation/intermediates/yubico-piv-attestation-a-1.pem"),
    include_str!("../../firmware-notes/attestation/intermediates/yubico-piv-attestation-b-1.pem"),
    include_str!("../../firmware-notes/attestation/intermediates/yubico-piv-attestation-b2-1.pem"),
];
/// The longest way from a card's own certificates to a root.
const LONGEST_CHAIN: usize = 6;

const FIRMWARE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.3");
const SERIAL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.7");
const POLICIES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.8");
const FORM_FACTOR: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.9");
const FIPS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.10");

/// How far an attestation can be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// To one of Yubico's roots.
    Yubico,
    /// To a root of the policy.
    PolicyRoot,
    /// A consistent chain to a root that nobody vouches for.
    UnrecognisedRoot,
    /// To the root of software tokens.
    Drill,
    /// The card makes none.
    None,
    /// It contradicts itself or the key in the slot.
    Invalid,
}

/// What a card says of a key, and what that is worth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    /// What it is worth.
    pub verdict: Verdict,
    /// Firmware version.
    pub firmware: Option<Version>,
    /// Serial number.
    pub serial: Option<u32>,
    /// PIN policy of the key.
    pub pin_policy: Option<PinPolicy>,
    /// Touch policy of the key.
    pub touch_policy: Option<TouchPolicy>,
    /// DER in lower-case hex, leaf first.
    pub certificates: Vec<String>,
}

impl Attestation {
    /// Of a card that makes none.
    pub fn none() -> Self {
        Self {
            verdict: Verdict::None,
            firmware: None,
            serial: None,
            pin_policy: None,
            touch_policy: None,
            certificates: Vec::new(),
        }
    }

    /// Follows the certificates of an attestation that was read from a document again. A document whose own claims are
    /// not what this returns was not written by an honest reader of the same roots.
    pub fn judged_again(&self, public: &PublicKey, roots: &Roots) -> Self {
        let decoded: Result<Vec<_>, _> = self.certificates.iter().map(hex::decode).collect();
        match decoded {
            Ok(certificates) => judge(&certificates, public, roots),
            Err(_) => Self { verdict: Verdict::Invalid, certificates: self.certificates.clone(), ..Self::none() },
        }
    }

    /// Whether the card says that it is a FIPS model.
    pub fn is_fips(&self) -> bool {
        self.certificates.iter().filter_map(|text| hex::decode(text).ok()).any(|der| {
            Parts::read(&der).is_some_and(|parts| {
                let form_factor = parts.extension(&FORM_FACTOR).map(unwrapped).and_then(<[u8]>::last);
                parts.extension(&FIPS).is_some() || form_factor.is_some_and(|form| form & 0x80 != 0)
            })
        })
    }
}

/// The roots that count, and what is known to be between them and cards.
pub struct Roots {
    roots: Vec<(Verdict, Vec<u8>)>,
    intermediates: Vec<Vec<u8>>,
}

impl Roots {
    /// Yubico's roots, the root of software tokens, and those of the policy (one PEM certificate each).
    ///
    /// # Errors
    /// [`RootError`] if one is no certificate.
    pub fn new(policy: &[String]) -> Result<Self, RootError> {
        let mut roots = Vec::new();
        for pem in YUBICO_ROOTS {
            roots.push((Verdict::Yubico, decoded(pem).ok_or(RootError { number: 0 })?));
        }
        // Before the policy's: no policy makes a software token a real one.
        roots.push((
            Verdict::Drill,
            AttestationRoot::dangerous_drill().certificate().map_err(|_| RootError { number: 0 })?,
        ));
        for (number, pem) in policy.iter().enumerate() {
            roots.push((Verdict::PolicyRoot, decoded(pem).ok_or(RootError { number: number + 1 })?));
        }
        let intermediates = YUBICO_INTERMEDIATES.iter().filter_map(|pem| decoded(pem)).collect();
        Ok(Self { roots, intermediates })
    }

    /// Who vouches for the last certificate that the card gave.
    fn follow(&self, last: &[u8]) -> Verdict {
        let mut current = last;
        for _ in 0..LONGEST_CHAIN {
            let Some(parts) = Parts::read(current) else { return Verdict::Invalid };
            let issued = |der: &[u8]| Parts::read(der).is_some_and(|issuer| issuer.issued(&parts));
            if let Some((verdict, _)) = self.roots.iter().find(|(_, root)| root == current || issued(root)) {
                return *verdict;
            }
            match self.intermediates.iter().find(|der| issued(der)) {
                Some(next) => current = next,
                None => return Verdict::UnrecognisedRoot,
            }
        }
        Verdict::UnrecognisedRoot
    }
}

fn decoded(pem: &str) -> Option<Vec<u8>> {
    let (label, der) = der::pem::decode_vec(pem.trim().as_bytes()).ok()?;
    (label == "CERTIFICATE" && Parts::read(&der).is_some()).then_some(der)
}

/// A root of the policy cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("attestation root {number} of the policy is not a PEM certificate")]
pub struct RootError {
    /// Which, from 1.
    pub number: usize,
}

impl Advice for RootError {
    fn hint(&self) -> Option<String> {
        Some("each entry of attestation_roots is one certificate, from BEGIN to END CERTIFICATE".to_owned())
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

/// Attests the key in `slot`, which must be `public`. What cannot be proven is a verdict, not an error.
///
/// # Errors
/// [`TokenError::Channel`] or [`TokenError::Malformed`].
pub fn attestation_of(piv: &mut Piv, slot: Slot, public: &PublicKey, roots: &Roots) -> Result<Attestation, TokenError> {
    let Some(leaf) = piv.attest(slot)? else { return Ok(Attestation::none()) };
    let object = piv.object(ATTESTATION_CERTIFICATE)?;
    let issuer = object.as_deref().and_then(|contents| tlv::find(contents, 0x70)).map(<[u8]>::to_vec);
    let certificates: Vec<_> = [Some(leaf), issuer].into_iter().flatten().collect();
    Ok(judge(&certificates, public, roots))
}

/// Judges a chain (DER, leaf first) about the key `public`.
pub fn judge(certificates: &[Vec<u8>], public: &PublicKey, roots: &Roots) -> Attestation {
    let mut attestation =
        Attestation { certificates: certificates.iter().map(hex::encode).collect(), ..Attestation::none() };
    let Some(leaf) = certificates.first() else { return attestation };
    attestation.verdict = verdict(certificates, public, roots);
    // What an attestation says that proves nothing is not repeated.
    if let (Some(parts), true) = (Parts::read(leaf), attestation.verdict != Verdict::Invalid) {
        read_claims(&parts, &mut attestation);
    }
    attestation
}

fn verdict(certificates: &[Vec<u8>], public: &PublicKey, roots: &Roots) -> Verdict {
    let parts: Option<Vec<_>> = certificates.iter().map(|der| Parts::read(der)).collect();
    let (Some(parts), Some(last)) = (parts, certificates.last()) else { return Verdict::Invalid };
    let about_it = parts.first().and_then(Parts::p256_key).as_ref() == Some(public);
    let linked = parts.windows(2).all(|pair| matches!(pair, [issued, issuer] if issuer.issued(issued)));
    if about_it && linked && certificates.len() <= LONGEST_CHAIN { roots.follow(last) } else { Verdict::Invalid }
}

fn read_claims(leaf: &Parts, attestation: &mut Attestation) {
    attestation.firmware = leaf.extension(&FIRMWARE).map(unwrapped).and_then(|value| match value {
        [major, minor, patch] => Some(Version::new(*major, *minor, *patch)),
        _ => None,
    });
    attestation.serial = leaf.extension(&SERIAL).and_then(|value| tlv::only(value, 0x02)).and_then(integer);
    if let Some([pin, touch]) = leaf.extension(&POLICIES).map(unwrapped) {
        attestation.pin_policy = match pin {
            1 => Some(PinPolicy::Never),
            2 => Some(PinPolicy::Once),
            3 => Some(PinPolicy::Always),
            _ => None,
        };
        attestation.touch_policy = match touch {
            1 => Some(TouchPolicy::Never),
            2 => Some(TouchPolicy::Always),
            3 => Some(TouchPolicy::Cached),
            _ => None,
        };
    }
}

/// Values are bare bytes; some firmware wraps them into an OCTET STRING.
fn unwrapped(value: &[u8]) -> &[u8] {
    tlv::only(value, 0x04).unwrap_or(value)
}

fn integer(bytes: &[u8]) -> Option<u32> {
    let digits = bytes.iter().skip_while(|byte| **byte == 0);
    digits.clone().count().le(&4).then(|| digits.fold(0_u32, |number, byte| number << 8 | u32::from(*byte)))
}

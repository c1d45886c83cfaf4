//! Enrolment files: a future custodian's signing key with proof that the token has it (`docs/format.md`, 6.3).

use serde::{Deserialize, Serialize};

use super::approval::{Attestation, Class, check_attestation};
use super::document::{Checked, DocumentError, document, rule};
use crate::encoding::{Document, Name, PublicKey, Signature, Time, canonical};

/// An enrolment file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// `claviger/v1 enrolment`.
    pub format: String,
    /// The custodian's name.
    pub name: Name,
    /// For example a site or a team.
    pub group: Option<Name>,
    /// The key in slot 9C.
    pub signing_key: PublicKey,
    /// What the token can do.
    pub class: Class,
    /// How the signing key is known to be on a token.
    pub attestation: Attestation,
    /// When.
    pub time: Time,
    /// By `signing_key`, over the canonical form without this member.
    pub signature: Signature,
}

document!(Enrolment, "claviger/v1 enrolment");

/// What is signed: the document without its signature.
#[derive(Serialize)]
struct Unsigned<'a> {
    format: &'a str,
    name: &'a Name,
    group: &'a Option<Name>,
    signing_key: &'a PublicKey,
    class: Class,
    attestation: &'a Attestation,
    time: Time,
}

impl Enrolment {
    /// Makes an enrolment: `sign` is given the bytes to be signed and returns the token's signature over them.
    ///
    /// # Errors
    /// Whatever `sign` returns.
    pub fn sign<E>(
        name: Name,
        group: Option<Name>,
        (signing_key, class, attestation): (PublicKey, Class, Attestation),
        time: Time,
        sign: impl FnOnce(&[u8]) -> Result<Signature, E>,
    ) -> Result<Self, E> {
        let format = Self::FORMAT;
        let (group_ref, attestation_ref) = (&group, &attestation);
        let bytes = canonical(&Unsigned {
            format,
            name: &name,
            group: group_ref,
            signing_key: &signing_key,
            class,
            attestation: attestation_ref,
            time,
        });
        let signature = sign(&bytes)?;
        Ok(Self { format: format.to_owned(), name, group, signing_key, class, attestation, time, signature })
    }

    /// The bytes that `signature` is over.
    pub fn signed_bytes(&self) -> Vec<u8> {
        canonical(&Unsigned {
            format: &self.format,
            name: &self.name,
            group: &self.group,
            signing_key: &self.signing_key,
            class: self.class,
            attestation: &self.attestation,
            time: self.time,
        })
    }
}

impl Checked for Enrolment {
    fn check(&self) -> Result<(), DocumentError> {
        check_attestation::<Self>(&self.attestation)?;
        let proven = self.signature.verifies(&self.signing_key, &self.signed_bytes());
        rule::<Self>(proven, "the signature is by the signing key over all other members")
    }
}

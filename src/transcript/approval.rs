//! Approvals, and what they say of a token's new share key (`docs/format.md`, 3.4).

use serde::{Deserialize, Serialize};

use super::document::{Checked, DocumentError, document, rule};
use super::plan::Plan;
use crate::encoding::{Document, PublicKey, Time};
pub use crate::token::attestation::{Attestation, Verdict};
pub use crate::token::custody::Class;

/// Every rule for an attestation in a document: certificates are lower-case hex, few and small.
pub(super) fn check_attestation<T: Document>(attestation: &Attestation) -> Result<(), DocumentError> {
    let good = attestation.certificates.iter().all(|certificate| {
        (2..=8192).contains(&certificate.len())
            && certificate.len() % 2 == 0
            && certificate.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
    });
    let few = attestation.certificates.len() <= 8;
    rule::<T>(good && few, "certificates are at most 8 of at most 4096 bytes, in hex")
}

/// A share key as its token made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareKey {
    /// The key.
    pub public: PublicKey,
    /// Its slot: two hex digits, `82` to `95`, `9c` or `9d`.
    pub slot: String,
    /// What its token can do.
    pub class: Class,
    /// How it is known to be on a token.
    pub attestation: Attestation,
}

/// Whether `text` is `82` to `95`, `9c` or `9d`.
pub(super) fn is_slot(text: &str) -> bool {
    matches!(text.as_bytes(), [b'8', b'2'..=b'9' | b'a'..=b'f'] | [b'9', b'0'..=b'5' | b'c' | b'd'])
}

/// `approvals/NN-NAME.json`: signed by the custodian's signing key before anything is opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// `claviger/v1 approval`.
    pub format: String,
    /// All that will be done.
    pub plan: Plan,
    /// The custodian.
    pub index: u8,
    /// The key that the custodian's token made in this ceremony.
    pub share_key: ShareKey,
    /// When.
    pub time: Time,
}

document!(Approval, "claviger/v1 approval");

impl Approval {
    /// An approval with `format` filled in.
    ///
    /// # Errors
    /// [`DocumentError::Rule`].
    pub fn new(plan: Plan, index: u8, share_key: ShareKey, time: Time) -> Result<Self, DocumentError> {
        let approval = Self { format: Self::FORMAT.to_owned(), plan, index, share_key, time };
        approval.check()?;
        Ok(approval)
    }
}

impl Checked for Approval {
    fn check(&self) -> Result<(), DocumentError> {
        self.plan.check()?;
        rule::<Self>(self.plan.format == Plan::FORMAT, "the plan is a plan")?;
        rule::<Self>(self.plan.custodian(self.index).is_some(), "the index is on the roster")?;
        check_share_key::<Self>(&self.plan, &self.share_key.slot, self.share_key.class)?;
        check_attestation::<Self>(&self.share_key.attestation)
    }
}

/// Checks slot and class: software tokens in practice vaults, and nothing else there.
pub(super) fn check_share_key<T: Document>(plan: &Plan, slot: &str, class: Class) -> Result<(), DocumentError> {
    rule::<T>(is_slot(slot), "a slot is 82 to 95, 9c or 9d")?;
    rule::<T>(plan.practice == (class == Class::Software), "software tokens stand in practice vaults, and only they")
}

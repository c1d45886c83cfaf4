//! Approvals, and what they say of a token's new share key (`docs/format.md`, 3.4).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::document::{Checked, DocumentError, document, is_text, optional_integer, rule};
use super::plan::Plan;
use crate::encoding::{Document, PublicKey, Time};

/// What a token can do about its share keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Makes a new one for each generation, and destroys the old.
    Renewing,
    /// Has one for ever.
    Fixed,
    /// A software token; in practice vaults only.
    Software,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Renewing => "renewing",
            Self::Fixed => "fixed",
            Self::Software => "software",
        })
    }
}

/// What an attestation proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// A chain to a root of Yubico.
    Yubico,
    /// A chain to a root that the policy names.
    PolicyRoot,
    /// A chain to a root that nobody named.
    UnrecognisedRoot,
    /// A software token of a practice vault.
    Drill,
    /// The card cannot attest.
    None,
    /// What the card gave does not verify.
    Invalid,
}

/// What is known of how a share key was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    /// What it proved.
    pub verdict: Verdict,
    /// For example `5.7.1`.
    pub firmware: Option<String>,
    /// The card's serial, if it gives one; never an identity.
    #[serde(deserialize_with = "optional_integer")]
    pub serial: Option<u64>,
    /// For example `once`.
    pub pin_policy: Option<String>,
    /// For example `always`.
    pub touch_policy: Option<String>,
    /// DER in lower-case hex, leaf first.
    pub certificates: Vec<String>,
}

impl Attestation {
    /// Nothing but a verdict.
    pub fn bare(verdict: Verdict) -> Self {
        let (firmware, serial, pin_policy, touch_policy) = (None, None, None, None);
        Self { verdict, firmware, serial, pin_policy, touch_policy, certificates: Vec::new() }
    }

    pub(super) fn check<T: Document>(&self) -> Result<(), DocumentError> {
        let texts = [&self.firmware, &self.pin_policy, &self.touch_policy];
        rule::<T>(
            texts.into_iter().flatten().all(|text| is_text(text)),
            "texts are short, without control characters",
        )?;
        let good = self.certificates.iter().all(|certificate| {
            (2..=8192).contains(&certificate.len())
                && certificate.len() % 2 == 0
                && certificate.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
        });
        rule::<T>(good && self.certificates.len() <= 8, "certificates are at most 8 of at most 4096 bytes, in hex")
    }
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
        self.share_key.attestation.check::<Self>()
    }
}

/// Checks slot and class: software tokens in practice vaults, and nothing else there.
pub(super) fn check_share_key<T: Document>(plan: &Plan, slot: &str, class: Class) -> Result<(), DocumentError> {
    rule::<T>(is_slot(slot), "a slot is 82 to 95, 9c or 9d")?;
    rule::<T>(plan.practice == (class == Class::Software), "software tokens stand in practice vaults, and only they")
}

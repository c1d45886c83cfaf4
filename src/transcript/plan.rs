//! The plan of a ceremony: all that will be done, fixed before any token is touched (`docs/format.md`, 3.3 and 3.9).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::document::{Checked, DocumentError, MAX_INTEGER, ascending, document, integer, is_file_name, is_text, rule};
use super::founding::{RosterEntry, check_roster};
use crate::encoding::{Digest, Document, Name, Nonce16, Time};

/// What a ceremony does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CeremonyKind {
    /// Makes generation 1, with all n founders.
    Found,
    /// Reveals one item, out of the generation that it makes.
    Recover,
    /// Makes the next generation and reveals nothing.
    Rotate,
}

impl fmt::Display for CeremonyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Found => "found",
            Self::Recover => "recover",
            Self::Rotate => "rotate",
        })
    }
}

/// Which credential of an item a grant names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Which {
    /// The one that is installed on the target.
    Installed,
    /// The one that comes next.
    Next,
}

/// What a recover ceremony permits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The item.
    pub item: Name,
    /// Which of its credentials.
    pub credential: Which,
    /// Free text: the incident.
    pub incident: String,
    /// Free text: why.
    pub reason: String,
    /// Free text: for whom.
    pub requester: String,
    /// Not before.
    pub from: Time,
    /// Not after.
    pub until: Time,
}

/// An inbox file that is to become an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admission {
    /// The item's name.
    pub name: Name,
    /// The item's kind.
    pub kind: Name,
    /// File name in `inbox/`.
    pub file: String,
    /// Digest of that file.
    pub digest: Digest,
    /// Digest of the sealed item that is replaced.
    pub replaces: Option<Digest>,
}

/// An uncommitted ceremony that is declared abandoned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Abandoned {
    /// Its id.
    pub ceremony: Digest,
    /// Its number.
    #[serde(deserialize_with = "integer")]
    pub number: u64,
    /// The copies it was planned on, every one of which was present; sorted.
    pub copies: Vec<Nonce16>,
}

impl Abandoned {
    pub(super) fn is_sound(&self) -> bool {
        self.number > 0 && !self.copies.is_empty() && ascending(&self.copies)
    }
}

/// What an exception departs from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExceptionKind {
    /// No copy of ceremony `subject` can be had.
    CeremonyLost,
    /// The token of custodian `subject` carries no readable anchor.
    AnchorMissing,
    /// The token of custodian `subject` is not attested as the policy asks.
    Attestation,
    /// The grant is longer than the policy allows.
    GrantLimit,
    /// Requester and approvers are not different people.
    Roles,
    /// Fewer copies than the policy asks for.
    Copies,
    /// The clock cannot be right.
    Clock,
    /// Something that preflight reported.
    Preflight,
    /// The generation that is consumed was committed and never ratified (ceremony `subject` cannot be finished).
    Unratified,
    /// The sealed file of item `subject` of the parent is on no copy that can be had: the item is left behind. With
    /// [`INBOX_IDENTITY`] as subject, the inbox identity is, and a new one is made.
    ItemLost,
}

/// What [`ExceptionKind::ItemLost`] calls the inbox identity; no item can have this name.
pub const INBOX_IDENTITY: &str = "inbox-identity.age";

impl fmt::Display for ExceptionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CeremonyLost => "a lost ceremony",
            Self::AnchorMissing => "no anchor",
            Self::Attestation => "attestation",
            Self::GrantLimit => "the limit of grants",
            Self::Roles => "separate roles",
            Self::Copies => "copies",
            Self::Clock => "the clock",
            Self::Preflight => "the machine",
            Self::Unratified => "an unfinished ceremony",
            Self::ItemLost => "a lost item",
        })
    }
}

/// A departure from the policy. It holds only because k approvals carry the plan that names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// What it departs from.
    pub kind: ExceptionKind,
    /// Free text.
    pub expected: String,
    /// Free text.
    pub happened: String,
    /// A ceremony id, a custodian's name, an item's name, [`INBOX_IDENTITY`], or empty.
    pub subject: String,
    /// Free text: who decided.
    pub decided_by: String,
}

/// `plan.json`: its digest is the ceremony id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// `claviger/v1 plan`.
    pub format: String,
    /// The vault id.
    pub vault: Digest,
    /// As in the founding body.
    pub practice: bool,
    /// What is done.
    pub kind: CeremonyKind,
    /// The ceremony's number, from 1.
    #[serde(deserialize_with = "integer")]
    pub number: u64,
    /// The generation that will be made.
    #[serde(deserialize_with = "integer")]
    pub generation: u64,
    /// Digest of the manifest that is consumed; none for generation 1.
    pub parent: Option<Digest>,
    /// When the plan was made.
    pub started: Time,
    /// Makes the ceremony id unique.
    pub random: Nonce16,
    /// Ids of the copies where this plan was made durable, sorted.
    pub copies: Vec<Nonce16>,
    /// The threshold that follows.
    pub k: u8,
    /// Digest of the policy that follows.
    pub policy: Digest,
    /// The roster that follows.
    pub roster: Vec<RosterEntry>,
    /// Only in `recover`.
    pub grant: Option<Grant>,
    /// By name.
    pub admits: Vec<Admission>,
    /// Sorted by number, then ceremony.
    pub abandons: Vec<Abandoned>,
    /// In the order in which they were decided.
    pub exceptions: Vec<Exception>,
}

document!(Plan, "claviger/v1 plan");

impl Plan {
    /// The member `format` for a plan that is made field by field; [`Checked::check`] it before it is written.
    pub fn format_name() -> String {
        Self::FORMAT.to_owned()
    }

    /// The custodian with this index, if it is on the roster.
    pub fn custodian(&self, index: u8) -> Option<&RosterEntry> {
        self.roster.get(usize::from(index).checked_sub(1)?)
    }

    /// Whether an exception of this kind names this subject.
    pub fn excepts(&self, kind: ExceptionKind, subject: &str) -> bool {
        self.exceptions.iter().any(|exception| exception.kind == kind && exception.subject == subject)
    }

    /// Number of custodians.
    pub fn n(&self) -> usize {
        self.roster.len()
    }
}

impl Checked for Plan {
    fn check(&self) -> Result<(), DocumentError> {
        rule::<Self>(self.number > 0, "the ceremony's number is at least 1")?;
        rule::<Self>(self.number <= MAX_INTEGER, "the ceremony's number is at most 2^53-1")?;
        rule::<Self>(self.generation > 0, "the generation is at least 1")?;
        rule::<Self>((self.generation == 1) == self.parent.is_none(), "generation 1 alone has no parent")?;
        let found = self.kind == CeremonyKind::Found;
        rule::<Self>((self.generation == 1) == found, "generation 1 alone is founded")?;
        rule::<Self>(self.grant.is_some() == (self.kind == CeremonyKind::Recover), "recover alone has a grant")?;
        rule::<Self>(!self.copies.is_empty() && ascending(&self.copies), "the copies are at least one, and sorted")?;
        check_roster::<Self>(self.k, &self.roster)?;
        if let Some(grant) = &self.grant {
            rule::<Self>(grant.from < grant.until, "a grant ends after it begins")?;
            let texts = [&grant.incident, &grant.reason, &grant.requester];
            rule::<Self>(texts.into_iter().all(|text| is_text(text)), "texts are short, without control characters")?;
        }
        rule::<Self>(ascending(self.admits.iter().map(|admission| &admission.name)), "admits are sorted by name")?;
        rule::<Self>(self.admits.iter().all(|admission| is_file_name(&admission.file)), "admits name inbox files")?;
        let abandons = self.abandons.iter().map(|abandoned| (abandoned.number, abandoned.ceremony));
        rule::<Self>(ascending(abandons), "abandons are sorted by number and ceremony")?;
        rule::<Self>(self.abandons.iter().all(Abandoned::is_sound), "abandons name numbers and sorted copies")?;
        let texts = self.exceptions.iter().flat_map(|e| [&e.expected, &e.happened, &e.subject, &e.decided_by]);
        rule::<Self>(texts.into_iter().all(|text| is_text(text)), "texts are short, without control characters")
    }
}

//! Records: what happened besides ceremonies (`docs/format.md`, 3.8).

use serde::{Deserialize, Serialize};

use super::document::{Checked, DocumentError, ascending, document, integer, is_text, rule};
use super::plan::Which;
use crate::encoding::{Digest, Document, Name, PublicKey, Time};

/// Whose signature a record carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signer {
    /// The signing key of the custodian with this index in the roster of the record's generation.
    Custodian(u8),
    /// The succession key of this generation, which takes k shares.
    Succession(u64),
}

/// The kind of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordKind {
    /// A token answered with its share key.
    Check,
    /// A ceremony is abandoned.
    Abandoned,
    /// An attempt was stopped.
    Refused,
    /// A credential is about to be shown.
    Revealed,
}

/// Where a credential was revealed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RevealedTo {
    /// The terminal's alternate screen.
    Screen,
    /// A new file.
    File,
    /// The standard input of a command.
    Command,
}

/// What a record says, by its kind. The members differ, so that the body alone tells the kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RecordBody {
    /// A token answered with its share key.
    Check(CheckBody),
    /// A ceremony is abandoned.
    Abandoned(super::plan::Abandoned),
    /// An attempt was stopped.
    Refused(RefusedBody),
    /// A credential is about to be shown.
    Revealed(RevealedBody),
}

/// The token answered an ECDH with this key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckBody {
    /// The key.
    pub share_key: PublicKey,
}

/// An attempt that was stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusedBody {
    /// Its id.
    pub ceremony: Digest,
    /// Free text.
    pub reason: String,
}

/// A credential is about to be shown; durable before the first byte is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevealedBody {
    /// The ceremony whose grant it is.
    pub ceremony: Digest,
    /// The item.
    pub item: Name,
    /// Which of its credentials.
    pub credential: Which,
    /// Free text, as in the grant.
    pub incident: String,
    /// Free text, as in the grant.
    pub requester: String,
    /// Where it goes.
    pub to: RevealedTo,
}

impl RecordBody {
    /// Its kind.
    pub fn kind(&self) -> RecordKind {
        match self {
            Self::Check(_) => RecordKind::Check,
            Self::Abandoned(_) => RecordKind::Abandoned,
            Self::Refused(_) => RecordKind::Refused,
            Self::Revealed(_) => RecordKind::Revealed,
        }
    }
}

/// `records/<digest>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// `claviger/v1 record`.
    pub format: String,
    /// The vault id.
    pub vault: Digest,
    /// The generation whose roster names the signer.
    #[serde(deserialize_with = "integer")]
    pub generation: u64,
    /// What it is.
    pub kind: RecordKind,
    /// When.
    pub time: Time,
    /// Who signed it.
    pub by: Signer,
    /// What it says.
    pub body: RecordBody,
}

document!(Record, "claviger/v1 record");

impl Record {
    /// A record with `format` and `kind` filled in.
    ///
    /// # Errors
    /// [`DocumentError::Rule`].
    pub fn new(
        vault: Digest,
        generation: u64,
        time: Time,
        by: Signer,
        body: RecordBody,
    ) -> Result<Self, DocumentError> {
        let record = Self { format: Self::FORMAT.to_owned(), vault, generation, kind: body.kind(), time, by, body };
        record.check()?;
        Ok(record)
    }

    /// File name in `records/`, without `.json` or `.sig`.
    pub fn stem(&self) -> String {
        self.digest().to_string()
    }
}

impl Checked for Record {
    fn check(&self) -> Result<(), DocumentError> {
        rule::<Self>(self.generation > 0, "the generation is at least 1")?;
        rule::<Self>(self.kind == self.body.kind(), "the body is of the record's kind")?;
        if let Signer::Succession(generation) = self.by {
            rule::<Self>(generation <= super::document::MAX_INTEGER, "integers are at most 2^53-1")?;
        }
        let texts: Vec<&String> = match &self.body {
            RecordBody::Check(_) => Vec::new(),
            RecordBody::Abandoned(body) => {
                rule::<Self>(body.number > 0 && ascending(&body.copies), "it names a number and sorted copies")?;
                Vec::new()
            }
            RecordBody::Refused(body) => vec![&body.reason],
            RecordBody::Revealed(body) => vec![&body.incident, &body.requester],
        };
        rule::<Self>(texts.into_iter().all(|text| is_text(text)), "texts are short, without control characters")
    }
}

//! age files: share envelopes to tokens, items to the vault, proposals to the inbox (`docs/format.md`, 5.2 to 5.5).
//!
//! The file format is the `age` crate's work. What is added is what the format asks for beyond age: which stanzas a file
//! may have, what its plaintext begins with, and the opening of an envelope with a token's ECDH.

use age_core::format::Stanza;

use crate::error::{Advice, Exit};

mod hpke;
pub mod item;
pub mod root;
pub mod share;

/// A stanza that an age implementation adds so that readers keep ignoring what they do not know.
fn is_grease(stanza: &Stanza) -> bool {
    stanza.tag.ends_with("-grease")
}

/// An age file that cannot be made, or is not what it has to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealingError {
    /// Larger than any envelope is.
    #[error("a share envelope of {found} bytes, where at most 4096 are allowed")]
    EnvelopeSize {
        /// Bytes found.
        found: usize,
    },
    /// Not an age file, or of another version.
    #[error("not an age file that this version reads")]
    Header(#[source] age::DecryptError),
    /// An age file in ASCII armour.
    #[error("an age file in ASCII armour, where a binary one is expected")]
    Armoured,
    /// The header of the age file does not end.
    #[error("the header of the age file has more than {limit} bytes")]
    HeaderSize {
        /// Bytes allowed.
        limit: u64,
    },
    /// Not exactly one stanza of the expected type.
    #[error("the age file is sealed to {found:?}, where exactly one {expected} is expected")]
    Stanzas {
        /// The type of the one stanza.
        expected: &'static str,
        /// The types found, without grease.
        found: Vec<String>,
    },
    /// The stanza is not well formed.
    #[error("the p256tag stanza of the envelope has a malformed {what}")]
    Stanza {
        /// Which part.
        what: &'static str,
    },
    /// The stanza's tag is not the one of this share key.
    #[error("the envelope is sealed to another share key")]
    OtherRecipient,
    /// The token's answer does not open the stanza.
    #[error("the answer of the token does not open the envelope")]
    Decapsulation,
    /// age could not open the file.
    #[error("the age file cannot be opened")]
    Decrypt(#[source] age::DecryptError),
    /// The plaintext is a record of something else.
    #[error("the sealed record is not the expected one: its {field} is not {expected:?}")]
    Record {
        /// The first member or line that differs.
        field: String,
        /// What it should say.
        expected: String,
    },
    /// The last line of an envelope is not a share.
    #[error("the envelope holds no share of 32 bytes in hex")]
    ShareText,
    /// A plaintext that passes itself off as an item.
    #[error("the plaintext begins like a record of claviger's own, and an inbox takes none")]
    LooksLikeRecord,
    /// Not an `age1...` recipient.
    #[error("{found:?} is not an age recipient")]
    Recipient {
        /// What was found.
        found: String,
    },
    /// The payload of `inbox-identity.age` is not an identity.
    #[error("the sealed inbox identity is not an age identity")]
    InboxIdentity,
    /// A derived key is zero.
    #[error("the succession key cannot be derived from this root")]
    Succession,
    /// age could not make the file.
    #[error("the age file cannot be made")]
    Encrypt(#[source] age::EncryptError),
    /// The source failed, or its content was altered or cut short.
    #[error("cannot read, or what is read was altered or cut short")]
    Read(#[source] std::io::Error),
    /// The destination failed.
    #[error("cannot write the age file")]
    Write(#[source] std::io::Error),
}

impl Advice for SealingError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::EnvelopeSize { .. }
            | Self::Header(_)
            | Self::HeaderSize { .. }
            | Self::Stanzas { .. }
            | Self::Stanza { .. }
            | Self::OtherRecipient
            | Self::Decrypt(_)
            | Self::Record { .. }
            | Self::ShareText
            | Self::InboxIdentity => {
                "this file is damaged or not the one it should be: `claviger verify` names it, and another copy of the \
                 vault may have the right one"
            }
            Self::Armoured => "make it again with `claviger seal`, or with `age` without `-a`",
            Self::Decapsulation => {
                "the token holds another key than the vault believes: go on with another custodian, and run `claviger \
                 check` with this one later"
            }
            Self::LooksLikeRecord => "seal the bare credential itself, with `claviger seal` or `age -r`",
            Self::Recipient { .. } => "take the recipient from `claviger recipient VAULT`",
            Self::Succession | Self::Encrypt(_) => "start the ceremony again; nothing was changed",
            Self::Read(_) => "read the file from another copy or medium",
            Self::Write(_) => "check that the medium has room and can be written to",
        };
        Some(hint.to_owned())
    }

    fn exit(&self) -> Exit {
        match self {
            Self::EnvelopeSize { .. }
            | Self::Header(_)
            | Self::Armoured
            | Self::HeaderSize { .. }
            | Self::Stanzas { .. }
            | Self::Stanza { .. }
            | Self::OtherRecipient
            | Self::Decapsulation
            | Self::Decrypt(_)
            | Self::Record { .. }
            | Self::ShareText
            | Self::LooksLikeRecord
            | Self::InboxIdentity
            | Self::Read(_) => Exit::Verification,
            Self::Recipient { .. } | Self::Succession | Self::Encrypt(_) | Self::Write(_) => Exit::Usage,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_as_people_read_them() {
        let io = || std::io::Error::from(std::io::ErrorKind::InvalidData);
        let errors = [
            SealingError::EnvelopeSize { found: 5000 },
            SealingError::Header(age::DecryptError::InvalidHeader),
            SealingError::Armoured,
            SealingError::HeaderSize { limit: 65536 },
            SealingError::Stanzas { expected: "X25519", found: vec!["scrypt".to_owned()] },
            SealingError::Stanza { what: "tag" },
            SealingError::OtherRecipient,
            SealingError::Decapsulation,
            SealingError::Decrypt(age::DecryptError::NoMatchingKeys),
            SealingError::Record { field: "generation".to_owned(), expected: "7".to_owned() },
            SealingError::ShareText,
            SealingError::LooksLikeRecord,
            SealingError::Recipient { found: "age1x".to_owned() },
            SealingError::InboxIdentity,
            SealingError::Succession,
            SealingError::Encrypt(age::EncryptError::MissingRecipients),
            SealingError::Read(io()),
            SealingError::Write(io()),
        ];
        insta::assert_snapshot!(crate::error::told(&errors));
    }
}

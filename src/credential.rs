//! Kinds of credentials: what a ceremony does with an item's payload (`docs/format.md`, 5.4).
//!
//! The engine knows four movements. *Admit*: a proposal becomes a payload. *Renew*: a use under a grant. *Reveal*: one
//! credential is written out. To carry an item over unchanged needs no kind at all
//! ([`reseal`](crate::sealing::item::reseal)).

use std::io::{Read, Write};
use std::str::FromStr;

use zeroize::Zeroizing;

use crate::encoding::Name;
use crate::error::{Advice, Exit};
use crate::policy::PasswordRule;
pub use crate::transcript::Which;

mod opaque;
mod password;

/// The kinds that this version knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bytes that a person made and has to replace. There is no next one.
    Opaque,
    /// A password: the installed one, the next one, and those before.
    Password,
}

/// A payload to be sealed, and what the manifest says of it.
pub struct Prepared<'r> {
    /// The payload.
    pub payload: Box<dyn Read + 'r>,
    /// The manifest's member `public` for this item.
    pub public: serde_json::Value,
}

impl Kind {
    /// Every kind of this version.
    pub const ALL: [Self; 2] = [Self::Opaque, Self::Password];

    /// Its name in file names and documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opaque => "opaque",
            Self::Password => "password",
        }
    }

    /// Whether a use makes a next credential. Otherwise a person has to replace it.
    pub fn renews(self) -> bool {
        match self {
            Self::Opaque => false,
            Self::Password => true,
        }
    }

    /// What is sealed into the inbox, looked at before: what can never be a credential of this kind is refused at once, and
    /// not at the next ceremony.
    ///
    /// # Errors
    /// As [`Kind::admit`].
    pub fn check_proposal<'r>(self, secret: Box<dyn Read + 'r>) -> Result<Box<dyn Read + 'r>, CredentialError> {
        match self {
            Self::Opaque => Ok(secret),
            Self::Password => Ok(Box::new(ZeroizingReader::new(password::check(secret)?))),
        }
    }

    /// Makes a payload of an inbox file's plaintext.
    ///
    /// # Errors
    /// [`CredentialError::Shape`] if it cannot be a credential of this kind; [`CredentialError::Read`].
    pub fn admit<'r>(self, proposal: Box<dyn Read + 'r>) -> Result<Prepared<'r>, CredentialError> {
        match self {
            Self::Opaque => Ok(opaque::unchanged(proposal)),
            Self::Password => password::admit(proposal),
        }
    }

    /// The payload after a use under a grant: what the grant named is `installed`, and there is a fresh `next` where the kind has
    /// one. `generation` is the one that is being made.
    ///
    /// # Errors
    /// [`CredentialError::NoNext`] if the grant names one that does not exist; [`CredentialError::Payload`]; [`CredentialError::Read`];
    /// [`CredentialError::Randomness`].
    pub fn renew<'r>(
        self,
        payload: Box<dyn Read + 'r>,
        granted: Which,
        rule: &PasswordRule,
        generation: u64,
    ) -> Result<Prepared<'r>, CredentialError> {
        match self {
            Self::Opaque => opaque::used(payload, granted),
            Self::Password => password::renew(payload, granted, rule, generation),
        }
    }

    /// Writes one credential out, and nothing else: no line feed after it. After [`Kind::renew`] the one that was granted is
    /// [`Which::Installed`].
    ///
    /// # Errors
    /// [`CredentialError::NoNext`], [`CredentialError::Payload`], [`CredentialError::Read`], [`CredentialError::Write`].
    pub fn reveal(self, payload: &mut dyn Read, which: Which, out: &mut dyn Write) -> Result<(), CredentialError> {
        match self {
            Self::Opaque => opaque::reveal(payload, which, out),
            Self::Password => password::reveal(payload, which, out),
        }
    }
}

/// Reads out of one block, which is zeroed when it is dropped.
struct ZeroizingReader {
    bytes: Zeroizing<Vec<u8>>,
    read: usize,
}

impl ZeroizingReader {
    fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self { bytes, read: 0 }
    }
}

impl Read for ZeroizingReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = (&self.bytes[self.read..]).read(buffer)?;
        self.read += read;
        Ok(read)
    }
}

impl TryFrom<&Name> for Kind {
    type Error = CredentialError;

    fn try_from(name: &Name) -> Result<Self, CredentialError> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == name.as_str());
        known.ok_or_else(|| CredentialError::UnknownKind { found: name.clone() })
    }
}

impl From<Kind> for Name {
    fn from(kind: Kind) -> Self {
        // `opaque` and `password` are names.
        Self::from_str(kind.as_str()).expect("the name of a kind is a name")
    }
}

/// A payload that cannot be taken, renewed or shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// A kind of another version, or a mistyped one.
    #[error("{found} is no kind of credential that this version knows")]
    UnknownKind {
        /// What was found.
        found: Name,
    },
    /// What was proposed cannot be a credential of that kind.
    #[error("this is no {kind}: {problem}")]
    Shape {
        /// The kind.
        kind: &'static str,
        /// What is wrong with it. Never the content.
        problem: &'static str,
    },
    /// There is no next credential.
    #[error("this item has no next credential")]
    NoNext,
    /// The sealed payload is not what the kind writes.
    #[error("the sealed payload is not that of a {kind}")]
    Payload {
        /// The kind.
        kind: &'static str,
    },
    /// The operating system has no randomness to give.
    #[error("the operating system gave no random bytes")]
    Randomness(#[source] getrandom::Error),
    /// The source failed, or its content was altered or cut short.
    #[error("cannot read the credential, or it was altered or cut short")]
    Read(#[source] std::io::Error),
    /// The destination failed.
    #[error("cannot write the credential out")]
    Write(#[source] std::io::Error),
}

impl Advice for CredentialError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::UnknownKind { .. } => {
                let known = Kind::ALL.map(Kind::as_str).join(", ");
                return Some(format!("use one of: {known}; or a version of claviger that knows this kind"));
            }
            Self::Shape { kind: "password", .. } => {
                "seal exactly the password, without a line feed (`printf %s`), or seal the file with `--kind opaque`"
            }
            Self::Shape { .. } => "seal it again with another kind",
            Self::NoNext => "ask for the installed credential",
            Self::Payload { .. } | Self::Read(_) => "use another copy of the vault",
            Self::Randomness(_) => "restart the machine, or use another one",
            Self::Write(_) => "check that the destination has room and can be written to, then run `claviger resume`",
        };
        Some(hint.to_owned())
    }

    fn exit(&self) -> Exit {
        match self {
            Self::UnknownKind { .. } | Self::Shape { .. } | Self::Randomness(_) | Self::Write(_) => Exit::Usage,
            Self::NoNext => Exit::Refused,
            Self::Payload { .. } | Self::Read(_) => Exit::Verification,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_known_by_name() {
        for kind in Kind::ALL {
            assert_eq!(Kind::try_from(&Name::from(kind)).ok(), Some(kind));
        }
        for unknown in ["ssh-ca", "inbox-identity"] {
            assert!(matches!(Kind::try_from(&unknown.parse().unwrap()), Err(CredentialError::UnknownKind { .. })));
        }
    }

    #[test]
    fn errors_as_people_read_them() {
        let io = || std::io::Error::from(std::io::ErrorKind::InvalidData);
        let errors = [
            CredentialError::UnknownKind { found: "ssh-ca".parse().unwrap() },
            CredentialError::Shape { kind: "password", problem: "it is empty" },
            CredentialError::NoNext,
            CredentialError::Payload { kind: "password" },
            CredentialError::Randomness(getrandom::Error::UNEXPECTED),
            CredentialError::Read(io()),
            CredentialError::Write(io()),
        ];
        insta::assert_snapshot!(crate::error::told(&errors));
    }
}

//! The top error: every module's error, and what only the command line can get wrong.

use std::path::PathBuf;

use crate::ceremony::CeremonyError;
use crate::error::{Advice, Exit};
use crate::policy::PolicyError;
use crate::room::RoomError;
use crate::sealing::SealingError;
use crate::token::TokenError;
use crate::token::channel::ChannelError;
use crate::transcript::{DocumentError, JudgeError};
use crate::vault::VaultError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// A ceremony.
    #[error(transparent)]
    Ceremony(#[from] CeremonyError),
    /// The copies.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// What the copies say.
    #[error(transparent)]
    Judge(#[from] JudgeError),
    /// A document.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A reader.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The people.
    #[error(transparent)]
    Room(#[from] RoomError),
    /// Sealing.
    #[error(transparent)]
    Sealing(#[from] SealingError),
    /// The policy.
    #[error("{file}: {source}")]
    Policy {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: Box<PolicyError>,
    },
    /// A duration on the command line.
    #[error("--for: {0}")]
    Duration(#[source] Box<PolicyError>),
    /// The vault is another one than was expected.
    #[error("this is not the vault that was expected: its words are: {found}")]
    OtherVault {
        /// The words of the vault that is there.
        found: String,
    },
    /// A file or pipe.
    #[error("{what} failed")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// `verify` found something wrong.
    #[error("{} wrong with this vault", if *wrong == 1 { "1 thing is".to_owned() } else { format!("{wrong} things are") })]
    NotSound {
        /// How many.
        wrong: usize,
    },
    /// `status` found that no copy here has all of the current generation.
    #[error("no copy that is here has all of the current generation (see above)")]
    NotWhole,
    /// Copies that are not up to date after `copy`.
    #[error("{}", match copies {
        0 => "the copies are up to date with each other, and something is wrong on all of them (see above)".to_owned(),
        1 => "1 copy is not up to date (see above)".to_owned(),
        copies => format!("{copies} copies are not up to date (see above)"),
    })]
    CopiesBehind {
        /// How many.
        copies: usize,
        /// Something on the copies is wrong, and not only a medium that cannot be written.
        wrong: bool,
    },
    /// People did not want a copy to be removed.
    #[error("{} is kept, and nothing was changed", copy.display())]
    Kept {
        /// The copy.
        copy: PathBuf,
    },
    /// `status` found something overdue.
    #[error("something is overdue (see above)")]
    Overdue,
    /// Several tokens where one is wanted, or none.
    #[error("{present} cards are here, and exactly one is wanted")]
    OneToken {
        /// How many there are.
        present: usize,
    },
    /// What was typed twice differs.
    #[error("what was typed the second time is not the same")]
    TypedTwice,
    /// Nothing to seal.
    #[error("there is nothing to seal")]
    NothingToSeal,
    /// The command line does not make sense.
    #[error("{0}")]
    Arguments(String),
    /// The drill did not end as it must.
    #[error("the drill failed: {0}")]
    Drill(String),
}

impl Failure {
    /// An error of a file or pipe, with what was tried.
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

impl Advice for Failure {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Ceremony(error) => return error.hint(),
            Self::Vault(error) => return error.hint(),
            Self::Judge(error) => return error.hint(),
            Self::Document(error) => return error.hint(),
            Self::Token(error) => return error.hint(),
            Self::Channel(error) => return error.hint(),
            Self::Room(error) => return error.hint(),
            Self::Sealing(error) => return error.hint(),
            Self::Policy { source, .. } | Self::Duration(source) => return source.hint(),
            Self::OtherVault { .. } => {
                "do not use this copy: compare the words with the ones that were written down at the founding"
            }
            Self::Io { .. } => "mend the cause and run the command again; the vault is as it was",
            Self::NotSound { .. } => {
                "run `claviger copy sync` with all copies: it repairs what another copy has right; find out how it came about"
            }
            Self::NotWhole => "bring the vault's other copies, and run `claviger copy sync` with all of them",
            Self::CopiesBehind { copies: 0, .. } => {
                "bring more of the vault's copies, if there are any, and run the same command with all of them"
            }
            Self::CopiesBehind { .. } => {
                "what could be done is done, and stays; mend what is said above and run the same command again"
            }
            Self::Kept { .. } => "run the command again if it shall go after all",
            Self::Overdue => "hold `claviger check VAULT` or `claviger rotate VAULT` soon; nothing is lost meanwhile",
            Self::OneToken { present: 0 } => "insert the custodian's card and run the command again",
            Self::OneToken { .. } => "leave only the custodian's card in, and run the command again",
            Self::TypedTwice => "run the command again",
            Self::NothingToSeal => "give a FILE, or pass the secret on standard input",
            Self::Arguments(_) => "`claviger COMMAND --help` shows how it is called",
            Self::Drill(_) => "this is a defect of claviger or of this machine: keep what was printed",
        };
        Some(hint.to_owned())
    }

    fn culprits(&self) -> Vec<String> {
        match self {
            Self::Ceremony(error) => error.culprits(),
            Self::Vault(error) => error.culprits(),
            Self::Judge(error) => error.culprits(),
            Self::Token(error) => error.culprits(),
            _ => Vec::new(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Ceremony(error) => error.exit(),
            Self::Vault(error) => error.exit(),
            Self::Judge(error) => error.exit(),
            Self::Document(error) => error.exit(),
            Self::Token(error) => error.exit(),
            Self::Channel(error) => error.exit(),
            Self::Room(error) => error.exit(),
            Self::Sealing(error) => error.exit(),
            Self::Policy { source, .. } | Self::Duration(source) => source.exit(),
            Self::OtherVault { .. } | Self::NotSound { .. } | Self::NotWhole | Self::Drill(_) => Exit::Verification,
            Self::CopiesBehind { wrong: true, .. } => Exit::Verification,
            Self::OneToken { .. } | Self::TypedTwice | Self::Kept { .. } => Exit::Person,
            Self::Overdue => Exit::Refused,
            Self::CopiesBehind { .. } | Self::Io { .. } | Self::NothingToSeal | Self::Arguments(_) => Exit::Usage,
        }
    }
}

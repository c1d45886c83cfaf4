//! The command line: one file for each command under `cli/`.
//!
//! Each command turns its arguments into a plan and runs it. Standard output carries data only (`recipient`, `status`,
//! `verify`, lists, a drill's story); what a ceremony says goes to the terminal.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};

use crate::encoding::Name;
use crate::token::channel::Source;
use crate::token::pcsc::PcscSource;
use crate::token::soft::SoftSource;
use crate::token::trace;

pub mod check;
pub mod copy;
pub mod drill;
pub mod enrol;
pub mod failure;
pub mod found;
pub mod given;
pub mod open;
pub mod recipient;
pub mod recover;
pub mod resume;
pub mod rotate;
pub mod seal;
pub mod status;
pub mod token;
pub mod verify;

pub use failure::Failure;

/// Offline, hardware-token-backed custody for break-glass credentials.
#[derive(Debug, Parser)]
#[command(name = "claviger", version, propagate_version = true, disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 done, 1 verification failed, 2 usage, 3 token or person, 4 interrupted and \
                        resumable, 5 refused by policy.")]
pub struct Arguments {
    /// Where the tokens are: `pcsc` (smart-card readers) or `soft:DIR` (software tokens, drills only).
    #[arg(long, global = true, default_value = "pcsc", value_name = "pcsc|soft:DIR")]
    pub tokens: Tokens,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// A whole life on software tokens: enrol, found, seal, recover, rotate, verify.
    Drill(drill::Drill),
    /// Look at the tokens that are present.
    #[command(subcommand)]
    Token(token::Token),
    /// Prepare a custodian's token and write its enrolment file.
    Enrol(enrol::Enrol),
    /// Found a vault: every founder approves, and proves the share.
    Found(found::Found),
    /// Print the inbox recipient; anyone can seal to it with stock `age`.
    Recipient(recipient::Recipient),
    /// Seal a secret into the inbox; no ceremony and no token needed.
    Seal(seal::Seal),
    /// Recover an item: k custodians approve, rotate the vault, and only then see the credential.
    Recover(recover::Recover),
    /// Make a new generation, and admit what is in the inbox.
    Rotate(rotate::Rotate),
    /// Prove that custodians' cards work; nothing is opened.
    Check(check::Check),
    /// Finish a ceremony that was interrupted.
    Resume(resume::Resume),
    /// The media that a vault is on: one more, all up to date, one less.
    #[command(subcommand)]
    Copy(copy::Copy),
    /// Where the vault stands, and what to do next.
    Status(status::Status),
    /// Check every byte of a vault; needs no token and trusts nothing but the vault's words.
    Verify(verify::Verify),
}

/// Answers `claviger --version` with the digest of the program, which takes a moment to compute and so is not in every help.
pub fn answers_version() -> bool {
    let mut arguments = std::env::args_os().skip(1);
    let asked =
        arguments.next().is_some_and(|first| first == "--version" || first == "-V") && arguments.next().is_none();
    if asked {
        let digest =
            crate::process::own_digest().map_or_else(|_| "not readable".to_owned(), |digest| digest.to_string());
        crate::report::line(&format!("claviger {} (SHA-256 of this program: {digest})", env!("CARGO_PKG_VERSION")));
    }
    asked
}

impl Arguments {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure`], which knows its hint, its culprits and its exit code.
    pub fn run(self) -> Result<(), Failure> {
        let tokens = &self.tokens;
        match self.command {
            Command::Drill(drill) => drill.run(),
            Command::Token(token) => token.run(tokens),
            Command::Enrol(enrol) => enrol.run(tokens),
            Command::Found(found) => found.run(tokens),
            Command::Recipient(recipient) => recipient.run(),
            Command::Seal(seal) => seal.run(),
            Command::Recover(recover) => recover.run(tokens),
            Command::Rotate(rotate) => rotate.run(tokens),
            Command::Check(check) => check.run(tokens),
            Command::Resume(resume) => resume.run(tokens),
            Command::Copy(copy) => copy.run(),
            Command::Status(status) => status.run(),
            Command::Verify(verify) => verify.run(),
        }
    }
}

/// Where tokens come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tokens {
    /// Smart-card readers.
    Pcsc,
    /// A directory of software tokens.
    Soft(PathBuf),
}

impl FromStr for Tokens {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "pcsc" => Ok(Self::Pcsc),
            Some(("soft", dir)) if !dir.is_empty() => Ok(Self::Soft(dir.into())),
            _ => Err("expected `pcsc` or `soft:DIR`".to_owned()),
        }
    }
}

impl Tokens {
    /// Opens the source.
    ///
    /// # Errors
    /// [`Failure::Channel`] if pcscd does not answer or the directory cannot be read.
    pub fn source(&self) -> Result<Box<dyn Source>, Failure> {
        let source: Box<dyn Source> = match self {
            Self::Pcsc => Box::new(PcscSource::new()?),
            Self::Soft(dir) => Box::new(SoftSource::open(dir)?),
        };
        trace::source(source).map_err(Failure::io("opening the file that CLAVIGER_APDU_LOG names"))
    }
}

/// The vault that a command is about.
#[derive(Debug, Args)]
pub struct VaultArguments {
    /// The vault's words: nothing is done with a vault that has others.
    #[arg(long, value_name = "WORDS", env = "CLAVIGER_EXPECT")]
    pub expect: Option<String>,
}

/// `NAME` of an item, a custodian or a kind.
pub(crate) fn name(text: &str) -> Result<Name, String> {
    text.parse().map_err(|_| "a name has 1 to 63 of a-z, 0-9 and -, and does not start or end with -".to_owned())
}

/// Whether `path` names an existing directory.
pub(crate) fn is_directory(path: &Path) -> bool {
    path.is_dir()
}

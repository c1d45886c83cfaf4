//! What can stop a ceremony.

use std::path::{Path, PathBuf};

use crate::credential::CredentialError;
use crate::encoding::{Digest, EncodingError};
use crate::error::{Advice, Exit};
use crate::policy::PolicyError;
use crate::room::RoomError;
use crate::sealing::SealingError;
use crate::sharing::SharingError;
use crate::token::TokenError;
use crate::token::attestation::RootError;
use crate::token::channel::ChannelError;
use crate::transcript::{DocumentError, JudgeError};
use crate::vault::VaultError;

use super::script::ScriptError;

/// What can stop a ceremony.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CeremonyError {
    /// The copies.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// What the copies say.
    #[error(transparent)]
    Judge(#[from] JudgeError),
    /// A document that was made here breaks a rule.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A value that was made here has no written form.
    #[error(transparent)]
    Encoding(#[from] EncodingError),
    /// A token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A reader.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The people.
    #[error(transparent)]
    Room(#[from] RoomError),
    /// Shares.
    #[error(transparent)]
    Sharing(#[from] SharingError),
    /// Envelopes and items.
    #[error(transparent)]
    Sealing(#[from] SealingError),
    /// A credential.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// An attestation root of the policy.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The script.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// A file or a pipe of this machine.
    #[error("{what} failed")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The file for the credential cannot be made. Nothing of the credential is left there.
    #[error("the credential cannot be written to {}", path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The grant is longer than the policy allows.
    #[error("the policy allows grants of at most {limit} seconds, and {asked} were asked for")]
    GrantTooLong {
        /// The policy's limit.
        limit: i64,
        /// What was asked for.
        asked: i64,
    },
    /// The operating system has no randomness.
    #[error("the operating system has no randomness to give")]
    Randomness(#[from] getrandom::Error),
    /// Ctrl-C between two questions.
    #[error("stopped by Ctrl-C")]
    Interrupted,
    /// People said no to the plan.
    #[error("the plan was not approved, and nothing was begun")]
    Declined,
    /// Fewer custodians than needed.
    #[error("{} needed and {served} took part{}", custodians(*needed), listed(excluded))]
    NotEnough {
        /// How many must take part.
        needed: usize,
        /// How many did.
        served: usize,
        /// Who could not, and why.
        excluded: Vec<String>,
    },
    /// A token is in a ceremony that these copies do not know to be settled.
    #[error("{custodian}'s token is in ceremony {} (number {number}, begun {started}), which these copies do not have", ceremony.short())]
    Elsewhere {
        /// Whose token.
        custodian: String,
        /// The ceremony.
        ceremony: Digest,
        /// Its number.
        number: u64,
        /// When it began.
        started: String,
    },
    /// An uncommitted ceremony was begun on copies that are not here.
    #[error("ceremony {} (number {number}) was begun on {missing} more copies than are here", ceremony.short())]
    CopiesMissing {
        /// The ceremony.
        ceremony: Digest,
        /// Its number.
        number: u64,
        /// How many of its copies are not here.
        missing: usize,
    },
    /// Fewer copies than the policy asks for.
    #[error("the policy wants {wanted} complete copies of the vault, and {have} {} here", if *have == 1 { "is" } else { "are" })]
    TooFewCopies {
        /// What the policy asks for.
        wanted: usize,
        /// What is here.
        have: usize,
    },
    /// What the next generation should carry is on no copy that is here, and people did not want to go on without it.
    #[error("of generation {generation}, no copy that is here has this as it was sealed: {}", files.join(", "))]
    FilesLost {
        /// The generation.
        generation: u64,
        /// Paths in the directory of the generation.
        files: Vec<String>,
    },
    /// The item that is asked for is on no copy that is here.
    #[error(
        "the sealed file of {item} in generation {generation} is right on no copy that is here: its credential cannot be had from these copies"
    )]
    ItemLost {
        /// The item.
        item: String,
        /// The generation.
        generation: u64,
    },
    /// A file of a committed generation is on no copy that is here.
    #[error("generation {generation} is complete on none of the copies that are here")]
    NotWhole {
        /// The generation.
        generation: u64,
    },
    /// A ceremony must be finished first.
    #[error("ceremony {} (number {number}) is committed and not finished", ceremony.short())]
    Unfinished {
        /// The ceremony.
        ceremony: Digest,
        /// Its number.
        number: u64,
    },
    /// `found` on a vault that is founded.
    #[error("this vault is founded already{}", generation.map(|generation| format!(": generation {generation} is current")).unwrap_or_default())]
    Founded {
        /// The current generation, if that is sure.
        generation: Option<u64>,
    },
    /// There is nothing to resume.
    #[error("no ceremony is waiting to be finished")]
    NothingToResume,
    /// The item is not in the vault.
    #[error("the vault has no item {item}; it has {have}")]
    NoItem {
        /// What was asked for.
        item: String,
        /// What there is.
        have: String,
    },
    /// The grant is over.
    #[error("the grant for {item} is from {from} to {until}, and the clock says {now}")]
    GrantOver {
        /// The item.
        item: String,
        /// When it begins.
        from: String,
        /// When it ends.
        until: String,
        /// What this machine's clock says.
        now: String,
    },
    /// A software token for a real vault, or a card for a drill vault.
    #[error("{}", if *practice { "this is a drill vault: it takes software tokens only" } else { "this is a real vault: it takes no software token" })]
    WrongTokens {
        /// Whether the vault is for drills.
        practice: bool,
    },
    /// Enrolments that cannot found a vault.
    #[error("these enrolments cannot found a vault: {reason}")]
    Enrolments {
        /// Why.
        reason: String,
    },
    /// The policy's threshold does not go with the number of founders.
    #[error(
        "the policy asks for {k} of {n} custodians; a threshold is at least 2, more than half, and not more than all, of at most 255"
    )]
    Threshold {
        /// k.
        k: u8,
        /// n.
        n: usize,
    },
    /// `policy.toml` is not the one that the custodians approved.
    #[error("policy.toml is not the policy that the custodians approved")]
    PolicyChanged,
    /// The next generation did not come out right; nothing was committed.
    #[error("the next generation failed its own check: {reason}")]
    StageCheck {
        /// What was wrong.
        reason: String,
    },
    /// The old generation has too many holders still.
    #[error("the generation before can still be opened: {needed} more of these must close: {}", holders.join(", "))]
    NotExtinct {
        /// How many must close.
        needed: usize,
        /// Who still hold a share of it.
        holders: Vec<String>,
    },
    /// The command that should receive the credential failed.
    #[error("the command {command} did not take the credential: {reason}")]
    Command {
        /// The command.
        command: String,
        /// What happened.
        reason: String,
    },
    /// What stopped a ceremony after its commit.
    #[error("{source}")]
    AfterCommit {
        /// The generation that is committed.
        generation: u64,
        /// What happened.
        source: Box<CeremonyError>,
    },
    /// Begin again, with a higher number or a further exception. Handled by the compositions, never shown.
    #[error("the ceremony must begin again above number {above}")]
    Again {
        /// The number to begin above.
        above: u64,
        /// What the next plan must name besides.
        exception: Option<Box<crate::transcript::Exception>>,
    },
}

fn custodians(needed: usize) -> String {
    if needed == 1 { "one custodian is".to_owned() } else { format!("{needed} custodians are") }
}

fn listed(excluded: &[String]) -> String {
    if excluded.is_empty() { String::new() } else { format!("; not able to: {}", excluded.join(", ")) }
}

impl CeremonyError {
    /// The same error after the commit of `generation`: `resume` is the way on.
    pub(super) fn after_commit(generation: u64) -> impl FnOnce(Self) -> Self {
        move |error| match error {
            Self::AfterCommit { .. } | Self::GrantOver { .. } => error,
            error => Self::AfterCommit { generation, source: Box::new(error) },
        }
    }

    /// An error of the file for the credential.
    pub(super) fn output(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| {
            let source = match source.kind() {
                kind @ std::io::ErrorKind::AlreadyExists => {
                    std::io::Error::new(kind, "something of that name is there already")
                }
                _ => source,
            };
            Self::Output { path, source }
        }
    }

    /// An error of a file or pipe, with what was tried.
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

impl Advice for CeremonyError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Vault(error) => return error.hint(),
            Self::Judge(error) => return error.hint(),
            Self::Document(error) => return error.hint(),
            Self::Token(error) => return error.hint(),
            Self::Channel(error) => return error.hint(),
            Self::Room(error) => return error.hint(),
            Self::Sharing(error) => return error.hint(),
            Self::Sealing(error) => return error.hint(),
            Self::Credential(error) => return error.hint(),
            Self::Policy(error) => return error.hint(),
            Self::Encoding(_) | Self::Script(_) | Self::StageCheck { .. } => {
                "nothing was committed and nothing is lost; run the command again, and keep this message for the people who maintain claviger"
            }
            Self::Io { .. } => "nothing is lost; mend the cause",
            Self::Output { source, .. } => match source.kind() {
                std::io::ErrorKind::AlreadyExists => "nothing was overwritten; give another name with --out FILE",
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                    "nothing of it is left there; give a place with room with --out FILE, or use the screen"
                }
                _ => {
                    "nothing of it is left there; give a directory that is there and can be written to with --out FILE, or use the screen"
                }
            },
            Self::GrantTooLong { .. } => "ask for less with --for",
            Self::Randomness(_) => "run the command on another machine",
            Self::Interrupted => "nothing is lost; `claviger status VAULT` says where the vault stands",
            Self::Declined => "run the command again when you are ready",
            Self::NotEnough { .. } => {
                "nothing is lost and nothing was revealed; bring the other custodians, and any newer copy that is asked for above"
            }
            Self::Elsewhere { .. } => {
                "bring the medium that that ceremony was written to, and give its directory as a further VAULT; nothing was changed on this token"
            }
            Self::CopiesMissing { .. } => "bring the other copies and give their directories as further VAULTs",
            Self::TooFewCopies { .. } => {
                "bring the vault's other media and give each as a further VAULT; a directory that was copied by hand does not count"
            }
            Self::FilesLost { .. } => {
                "nothing was changed; bring the vault's other copies and give each as a further VAULT; if none has what is missing, run the command again and answer `without`"
            }
            Self::ItemLost { .. } => {
                "nothing was changed; bring the vault's other copies and give each as a further VAULT; the other items can be recovered without it"
            }
            Self::NotWhole { .. } => {
                "bring the vault's other copies and give each as a further VAULT; where no copy has the missing shares, closings or items, `claviger recover` or `claviger rotate` goes on over this generation, without the items that are lost"
            }
            Self::Unfinished { .. } => "run `claviger resume VAULT`, best with the custodians who were in it",
            Self::Founded { .. } => {
                "nothing was changed; `claviger status VAULT` says where it stands. Another copy of it is made by `claviger copy add`, another vault in new or empty directories"
            }
            Self::NothingToResume => "`claviger status VAULT` says where the vault stands",
            Self::NoItem { .. } => {
                "`claviger status VAULT` lists the items; a sealed proposal becomes one by `claviger rotate VAULT`"
            }
            Self::GrantOver { .. } => "nothing was revealed; run `claviger recover` with a new grant",
            Self::WrongTokens { practice: true } => "use --tokens soft:DIR with the drill's directory of tokens",
            Self::WrongTokens { practice: false } => "leave --tokens away, and use the custodians' cards",
            Self::Enrolments { .. } => {
                "ask the custodian in question for a new file: claviger enrol --name NAME -o FILE"
            }
            Self::Threshold { .. } => "change `threshold` in the policy",
            Self::Root(_) => "the policy must hold the root as PEM, from -----BEGIN CERTIFICATE----- on",
            Self::PolicyChanged => {
                "put the policy.toml back that belongs to this vault, or bring a copy that has it; if none has, run the command again and answer `go`"
            }
            Self::NotExtinct { .. } => "bring one of them; nothing is revealed before",
            Self::Command { .. } => "mend the command, or use the screen or --out FILE",
            Self::AfterCommit { generation, source } => {
                let what = source.hint().map(|hint| format!("{hint}; then ")).unwrap_or_default();
                let who = match **source {
                    Self::NotExtinct { .. } => "",
                    _ => ", and any k custodians can finish it",
                };
                return Some(format!(
                    "{what}run `claviger resume VAULT`: generation {generation} is committed and nothing is lost{who}"
                ));
            }
            Self::Again { .. } => return None,
        };
        Some(hint.to_owned())
    }

    fn culprits(&self) -> Vec<String> {
        match self {
            Self::AfterCommit { source, .. } => source.culprits(),
            Self::Elsewhere { custodian, .. } => vec![custodian.clone()],
            Self::NotEnough { excluded, .. } => excluded.clone(),
            Self::NotExtinct { holders, .. } => holders.clone(),
            Self::Token(error) => error.culprits(),
            Self::Vault(error) => error.culprits(),
            Self::Judge(error) => error.culprits(),
            _ => Vec::new(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Vault(error) => error.exit(),
            Self::Judge(error) => error.exit(),
            Self::Document(error) => error.exit(),
            Self::Token(error) => error.exit(),
            Self::Channel(error) => error.exit(),
            Self::Room(error) => error.exit(),
            Self::Sharing(error) => error.exit(),
            Self::Sealing(error) => error.exit(),
            Self::Credential(error) => error.exit(),
            Self::Policy(error) => error.exit(),
            Self::StageCheck { .. } | Self::PolicyChanged => Exit::Verification,
            Self::Encoding(_)
            | Self::Script(_)
            | Self::Io { .. }
            | Self::Output { .. }
            | Self::Randomness(_)
            | Self::NoItem { .. }
            | Self::Root(_)
            | Self::Founded { .. }
            | Self::NothingToResume => Exit::Usage,
            Self::Interrupted | Self::Declined | Self::NotEnough { .. } => Exit::Person,
            Self::AfterCommit { .. }
            | Self::Unfinished { .. }
            | Self::NotWhole { .. }
            | Self::NotExtinct { .. }
            | Self::Command { .. }
            | Self::Again { .. } => Exit::Resumable,
            Self::Elsewhere { .. }
            | Self::CopiesMissing { .. }
            | Self::TooFewCopies { .. }
            | Self::FilesLost { .. }
            | Self::ItemLost { .. }
            | Self::GrantOver { .. }
            | Self::GrantTooLong { .. }
            | Self::WrongTokens { .. }
            | Self::Enrolments { .. }
            | Self::Threshold { .. } => Exit::Refused,
        }
    }
}

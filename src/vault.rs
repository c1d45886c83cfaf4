//! The copies of a vault on disk: reading them with suspicion, writing them durably, bringing them together
//! (`docs/format.md`, section 2).
//!
//! A file is never changed once it has its name. It is written as `NAME.part`, brought to the medium, given its name only
//! if nothing has that name, and read back. Rename alone is not relied on: removable media are often FAT. A damaged file
//! is removed when the right bytes stand beside it as `NAME.part`, and not before. Every change goes through [`disk`], and
//! nothing else changes a file.
//!
//! Not promised here: that what was read is right. That is said by [`crate::transcript::judge()`].

pub mod add;
pub mod cleanup;
pub mod copies;
pub mod copy;
pub mod create;
pub mod disk;
pub mod layout;
pub mod mark;
pub mod medium;
pub mod merge;
pub mod repair;
pub mod sync;
pub mod withdraw;

mod read;
mod settle;
mod write;

use std::io;
use std::path::PathBuf;

use crate::encoding::Digest;
use crate::error::{Advice, Exit};
use crate::transcript::snapshot::SnapshotError;

pub use add::add;
pub use cleanup::{Cleaned, cleanup};
pub use copies::{Copies, Failure, Lock, Standing, Unavailable, Written};
pub use create::create;
pub use medium::Medium;
pub use merge::Merged;
pub use sync::{Synced, SyncedCopy, sync};
pub use withdraw::{Withdrawal, consider};

/// A copy of a vault could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// None of the paths is a copy that can be read.
    #[error("no copy of a vault can be read: {}", list(tried))]
    NoCopy {
        /// What was tried, and why it failed.
        tried: Vec<Failure>,
    },
    /// The copies show no vault.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The directory has neither founding body nor copy mark.
    #[error("{} holds no copy of a vault", copy.display())]
    NoVault {
        /// The directory.
        copy: PathBuf,
    },
    /// The copy has no good mark of its own, so nothing is written there.
    #[error("{} has no good copy.json, so nothing is written there", copy.display())]
    Unmarked {
        /// The copy.
        copy: PathBuf,
    },
    /// The copy could not be written when the ceremony began; so its plan does not name it, and nothing is written there.
    #[error("nothing is written to {}: {}", copy.display(), if *full { "it is full" } else { "it cannot be written" })]
    SetAside {
        /// The copy.
        copy: PathBuf,
        /// It has too little room for one more generation.
        full: bool,
    },
    /// The copy has the mark of another one that is here, so that no plan can name it, and nothing is written there.
    #[error("nothing is written to {}: it has the mark of another copy", copy.display())]
    Twin {
        /// The copy.
        copy: PathBuf,
    },
    /// A copy that was there when the copies were opened is not there any more, or is of another vault now.
    #[error("a copy was taken away or exchanged while it was in use")]
    Changed,
    /// Another process works on this copy.
    #[error("{} is in use by another claviger", copy.display())]
    InUse {
        /// The copy.
        copy: PathBuf,
    },
    /// The same directory was given twice.
    #[error("{} and {} are the same directory", first.display(), second.display())]
    Same {
        /// A path.
        first: PathBuf,
        /// Another path to the same place.
        second: PathBuf,
    },
    /// The directory is a copy of another vault.
    #[error("{} is a copy of another vault", copy.display())]
    OtherVault {
        /// The directory.
        copy: PathBuf,
    },
    /// A copy may not be given a mark of its own yet.
    #[error("{} does not count as a copy: {reason}", copy.display())]
    Incomplete {
        /// The copy.
        copy: PathBuf,
        /// What stands against it, as a clause.
        reason: String,
    },
    /// A copy may not be given another mark, for an unfinished ceremony names the one that it has.
    #[error("{} is a copy already, and ceremony number {number} was begun on it and not finished", copy.display())]
    InCeremony {
        /// The copy.
        copy: PathBuf,
        /// Number of the ceremony.
        number: u64,
    },
    /// The copy that is to go is not here.
    #[error("{} is not here, so nothing is removed from it: {why}", copy.display())]
    NotHere {
        /// Its path.
        copy: PathBuf,
        /// Why it cannot be read.
        why: String,
    },
    /// No other copy that counts would be left.
    #[error("{} is the last copy that counts among those that are here", copy.display())]
    LastCopy {
        /// The copy.
        copy: PathBuf,
    },
    /// The copy has what no other one that counts has, or has right.
    #[error("{} has files that no other copy here has right: {}", copy.display(), files.join(", "))]
    OnlyThere {
        /// The copy.
        copy: PathBuf,
        /// The first of these files.
        files: Vec<String>,
    },
    /// The directory in which a copy was to be made is not there.
    #[error("cannot make {}: {} is not there", copy.display(), missing.display())]
    NoParent {
        /// The new copy.
        copy: PathBuf,
        /// The first directory on the way to it that is missing.
        missing: PathBuf,
    },
    /// A new vault cannot be made in a directory that has something in it.
    #[error("{} is not empty, so no vault is made there (found {found})", copy.display())]
    NotEmpty {
        /// The directory.
        copy: PathBuf,
        /// The first thing that was found.
        found: String,
    },
    /// A copy cannot be made in a directory that has something else in it.
    #[error("{} is not empty, so no copy is made there (found {found})", copy.display())]
    Occupied {
        /// The directory.
        copy: PathBuf,
        /// The first thing that was found.
        found: String,
    },
    /// A copy cannot be made in another one: what is in a copy and not of the vault makes it wrong.
    #[error("{} and {} would be copies one inside the other", copy.display(), new.display())]
    Nested {
        /// The copy that is there.
        copy: PathBuf,
        /// The one that was to be made.
        new: PathBuf,
    },
    /// Something was written on fewer copies than are needed.
    #[error("{file} could be written on {actual} of the {expected} copies that are needed: {}", list(failures))]
    TooFewCopies {
        /// Path in the copies.
        file: String,
        /// How many are needed.
        expected: usize,
        /// On how many it stands.
        actual: usize,
        /// Why not on the others.
        failures: Vec<Failure>,
    },
    /// There is more below `generations` than a vault ever has, so the copy is set aside.
    #[error("{} has more in `generations` than any vault has, and is set aside", copy.display())]
    TooMuch {
        /// The copy.
        copy: PathBuf,
    },
    /// A file of this name with other contents is there already. It is never overwritten.
    #[error("{} already has another {file}", copy.display())]
    Conflict {
        /// The copy.
        copy: PathBuf,
        /// Path in the copy.
        file: String,
    },
    /// What was read back is not what was written.
    #[error("{file} on {} does not read back as it was written", copy.display())]
    Altered {
        /// The copy.
        copy: PathBuf,
        /// Path in the copy.
        file: String,
    },
    /// A symbolic link, FIFO, device or directory stands where a file or directory of the vault should.
    #[error("{file} on {} is {found}, not {expected}", copy.display())]
    NotRegular {
        /// The copy.
        copy: PathBuf,
        /// Path in the copy.
        file: String,
        /// What it is.
        found: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// No copy has this file with this digest.
    #[error("no copy has {file} as it was signed (digest {})", digest.short())]
    Missing {
        /// Path in the copies.
        file: String,
        /// Which it should be.
        digest: Digest,
    },
    /// The program asked for a path that is not of a vault, or may not be removed.
    #[error("{file} is not a path that may be written or removed in a vault")]
    Path {
        /// The path.
        file: String,
    },
    /// The system refused.
    #[error("cannot {action} {file} on {}: {}", copy.display(), reason(source))]
    Io {
        /// The copy.
        copy: PathBuf,
        /// Path in the copy.
        file: String,
        /// What was tried: `write`, `read`.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The system has no randomness to give.
    #[error("the system has no random bytes to give")]
    Random,
}

fn list(failures: &[Failure]) -> String {
    failures.iter().map(|failure| failure.error.to_string()).collect::<Vec<_>>().join("; ")
}

/// What happened, in words for people who do not know errno.
fn reason(error: &io::Error) -> String {
    if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) {
        return "the medium has an error there".to_owned();
    }
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "it is full".to_owned(),
        io::ErrorKind::FileTooLarge => "the file is too large for it".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => "it is read-only".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::NotFound => "it is not there".to_owned(),
        _ => error.to_string(),
    }
}

impl Advice for VaultError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoCopy { .. } => "check the path, and that the medium is mounted",
            Self::Snapshot(error) => return error.hint(),
            Self::Changed => "run the command again, with all copies in place",
            Self::NoVault { .. } => "check the path, and that the medium is mounted",
            Self::Unmarked { .. } => "use another copy; `claviger verify` says what is wrong with this one",
            Self::OtherVault { .. } => {
                "nothing was changed there; give a new or empty directory, or a copy of this vault"
            }
            Self::Incomplete { .. } => {
                "bring the vault's other copies and run `claviger copy sync` with all of them; the files are left as they are"
            }
            Self::InCeremony { .. } => {
                "nothing was changed: its mark shows that nothing was committed on it, and another mark could not; bring it up to date by `claviger copy sync` with all copies, or hold the next ceremony first, with it, and then run this again"
            }
            Self::NotHere { .. } => {
                "check the path, and that the medium is mounted; a copy that is lost needs no command: make another with `claviger copy add`"
            }
            Self::LastCopy { .. } => "give the copies that stay as well; without one that counts nothing is removed",
            Self::OnlyThere { .. } => {
                "nothing was removed; run `claviger copy sync` with all copies first; what differs from another file of its name stays where it is: put a file of the inbox under another name, if it is wanted"
            }
            Self::SetAside { full: true, .. } => {
                "make room on it (nothing that is in the vault), or use another medium: `claviger copy add`"
            }
            Self::SetAside { .. } => "remount it for writing, or use another medium: `claviger copy add`",
            Self::Twin { .. } => {
                "it was copied by hand; `claviger copy sync` with both brings it up to date and gives it a mark of its own"
            }
            Self::InUse { .. } => "finish or stop the other claviger first",
            Self::Same { .. } => "give each copy once; copies belong on different media",
            Self::NoParent { .. } => {
                "check that the medium is mounted; if the directory is to be a new one, make it first: nothing was written"
            }
            Self::NotEmpty { .. } => {
                "give a new or empty directory; an interrupted founding goes on with the same copies, enrolments and policy"
            }
            Self::Occupied { .. } => {
                "nothing was changed there; give a new or empty directory, or one that holds a copy of this vault, begun or made by hand"
            }
            Self::Nested { .. } => {
                "nothing was changed; give a directory outside of the vault's copies, best on another medium"
            }
            Self::TooFewCopies { failures, .. } => {
                return failures
                    .iter()
                    .find_map(|failure| failure.error.hint())
                    .or_else(|| Some("bring more of the vault's copies".to_owned()));
            }
            Self::TooMuch { .. } => {
                "use another copy; if this is the only one, make a copy of its directory, and remove from that what does not belong \
                 there"
            }
            Self::Conflict { .. } => {
                "nothing was overwritten; keep both copies as they are, and run `claviger verify` with all of them"
            }
            Self::Altered { .. } => "this medium cannot be trusted: use another one",
            Self::NotRegular { .. } => "find out who put it there, remove it, and try again",
            Self::Missing { .. } => "give another copy of the vault as well: run the command with both paths",
            Self::Path { .. } => "this is a mistake of the program; please report it",
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "make room on it (nothing that is in the vault), or use another medium"
                }
                io::ErrorKind::ReadOnlyFilesystem => "remount it for writing, or open its write protection",
                io::ErrorKind::PermissionDenied => "run claviger as the user who owns the copy",
                _ => "check that the medium is there and whole, or use another copy",
            },
            Self::Random => "use another machine",
        };
        Some(hint.to_owned())
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Snapshot(error) => error.exit(),
            Self::TooMuch { .. }
            | Self::Conflict { .. }
            | Self::Altered { .. }
            | Self::Missing { .. }
            | Self::Incomplete { .. } => Exit::Verification,
            Self::InCeremony { .. } | Self::LastCopy { .. } | Self::OnlyThere { .. } => Exit::Refused,
            Self::NoCopy { .. }
            | Self::TooFewCopies { .. }
            | Self::Changed
            | Self::NoVault { .. }
            | Self::Unmarked { .. }
            | Self::InUse { .. }
            | Self::Same { .. }
            | Self::NoParent { .. }
            | Self::NotEmpty { .. }
            | Self::Occupied { .. }
            | Self::Nested { .. }
            | Self::OtherVault { .. }
            | Self::NotHere { .. }
            | Self::SetAside { .. }
            | Self::Twin { .. }
            | Self::NotRegular { .. }
            | Self::Path { .. }
            | Self::Io { .. }
            | Self::Random => Exit::Usage,
        }
    }
}

#[cfg(test)]
mod tests;

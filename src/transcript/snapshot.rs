//! What was read from the copies of a vault, before any of it is believed (`docs/format.md`, section 2).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::document::Checked;
use super::founding::{CopyMark, Founding};
use super::place::Place;
use super::signed::Memory;
use crate::encoding::{Digest, Nonce16};
use crate::error::{Advice, Exit};

/// What stands in one file of one copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A document, signature or policy: all its bytes.
    Bytes(Arc<[u8]>),
    /// A sealed file, of which only size (bytes) and digest are kept.
    Sealed {
        /// Size in bytes.
        size: u64,
        /// SHA-256 of the file.
        digest: Digest,
    },
}

impl Content {
    /// Digest of the file.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Bytes(bytes) => Digest::of(bytes),
            Self::Sealed { digest, .. } => *digest,
        }
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Sealed { size, .. } => *size,
        }
    }

    /// The bytes of a document.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Sealed { .. } => None,
        }
    }
}

/// Something about a file that could not be read as a file of a vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Path in the copy.
    pub file: String,
    /// Why, as a clause: `is a symbolic link`.
    pub why: String,
}

/// Everything that was read from one copy.
#[derive(Debug, Clone, Default)]
pub struct CopyView {
    /// Where it is, for people.
    pub path: String,
    /// Files by path in the copy, `/` between components.
    pub files: BTreeMap<String, Content>,
    /// What could not be read.
    pub unread: Vec<Unread>,
    /// Paths of files without any bytes: on FAT a file can have its name, and not yet its size, when the power fails.
    pub empty: Vec<String>,
}

impl CopyView {
    /// The mark in `copy.json`, if there is a good one.
    pub fn mark(&self) -> Option<CopyMark> {
        CopyMark::read(self.files.get("copy.json")?.bytes()?).ok()
    }

    /// Whether nothing but policy and mark is here, which a founding writes before anything else.
    fn is_laid_out_only(&self) -> bool {
        let laid_out = |file: &String| matches!(Place::of(file), Place::Policy | Place::CopyMark | Place::Part);
        self.unread.is_empty() && self.files.keys().all(laid_out)
    }

    fn founding(&self) -> Option<(Digest, Founding)> {
        let bytes = self.files.get("vault.json")?.bytes()?;
        Some((Digest::of(bytes), Founding::read(bytes).ok()?))
    }
}

/// Copies of one vault, as they were read.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The vault id.
    pub vault: Digest,
    /// The founding body.
    pub founding: Founding,
    /// The copies of this vault, whole or damaged.
    pub copies: Vec<CopyView>,
    /// Paths of copies that are of another vault; nothing of them was used.
    pub foreign: Vec<String>,
    /// The signatures that were verified already.
    pub(super) memory: Memory,
}

impl Snapshot {
    /// Finds out which vault the copies are of: that of the first copy whose `vault.json` and `copy.json` agree, or
    /// else of the first that has a `vault.json`. Copies of other vaults are set aside.
    ///
    /// # Errors
    /// [`SnapshotError`] if no copy has a founding body.
    pub fn new(copies: Vec<CopyView>) -> Result<Self, SnapshotError> {
        let agrees = |copy: &&CopyView| {
            let (founding, mark) = (copy.founding(), copy.mark());
            founding.zip(mark).is_some_and(|((vault, _), mark)| vault == mark.vault)
        };
        let chosen = copies.iter().find(agrees).or_else(|| copies.iter().find(|copy| copy.founding().is_some()));
        let Some((vault, founding)) = chosen.and_then(CopyView::founding) else {
            let nothing_begun = copies.iter().all(CopyView::is_laid_out_only);
            let copies = copies.into_iter().map(|copy| copy.path).collect();
            let error =
                if nothing_begun { SnapshotError::NotBegun { copies } } else { SnapshotError::NoFounding { copies } };
            return Err(error);
        };
        let (copies, foreign): (Vec<_>, Vec<_>) = copies.into_iter().partition(|copy| {
            let named = [copy.founding().map(|(vault, _)| vault), copy.mark().map(|mark| mark.vault)];
            named.contains(&Some(vault)) || named == [None, None]
        });
        let foreign = foreign.into_iter().map(|copy| copy.path).collect();
        Ok(Self { vault, founding, copies, foreign, memory: Memory::default() })
    }

    /// The same, with what was verified before: for whoever judges many snapshots that are much alike.
    pub fn remembering(mut self, memory: &Memory) -> Self {
        self.memory = memory.clone();
        self
    }

    /// Ids of the copies that have a good mark.
    pub fn ids(&self) -> Vec<Nonce16> {
        self.copies.iter().filter_map(|copy| copy.mark().map(|mark| mark.id)).collect()
    }
}

/// The copies show no vault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// No copy has a `vault.json` that reads as one.
    #[error("no vault.json can be read as the founding body of a vault, in: {}", copies.join(", "))]
    NoFounding {
        /// The paths that were tried.
        copies: Vec<String>,
    },
    /// There is none, and nothing that comes after it either: a founding was interrupted at its very beginning.
    #[error("nothing but a policy and a mark is there yet, of a vault that has not been founded: {}", copies.join(", "))]
    NotBegun {
        /// The paths that were tried.
        copies: Vec<String>,
    },
}

impl Advice for SnapshotError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NoFounding { .. } => {
                Some("check the path; if it is right, this copy is damaged: give another one".to_owned())
            }
            Self::NotBegun { .. } => Some(
                "if `claviger found` was interrupted here, run it again with the same files: nothing was sealed yet. If this \
                 vault was founded long ago, the files of this copy are gone: give another one"
                    .to_owned(),
            ),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::NoFounding { .. } => Exit::Verification,
            Self::NotBegun { .. } => Exit::Resumable,
        }
    }
}

//! Paths in a copy (`docs/format.md`, section 2). Relative, `/` between components.

use std::path::PathBuf;

use crate::encoding::{Digest, Name};
use crate::transcript::place::{crowded_directory, generation_directory};
use crate::transcript::{GenerationFile, Half, Judgement, RosterEntry};

/// `vault.json`.
pub const VAULT: &str = "vault.json";
/// `policy.toml`.
pub const POLICY: &str = "policy.toml";
/// `copy.json`.
pub const COPY: &str = "copy.json";

/// The directory that a new ceremony takes: the number of its generation, or, where any copy has another ceremony
/// there, the number and the ceremony's id.
pub fn directory(judgement: &Judgement, generation: u64, ceremony: &Digest) -> String {
    let plain = generation_directory(generation);
    if judgement.directories().any(|(name, of)| name == plain && of != Some(*ceremony)) {
        crowded_directory(generation, ceremony)
    } else {
        plain
    }
}

/// A file in `generations/<directory>/`.
pub fn generation(directory: &str, file: GenerationFile<'_>) -> PathBuf {
    PathBuf::from(format!("generations/{directory}/{}", file.path()))
}

/// `plan.json`.
pub fn plan(directory: &str) -> PathBuf {
    generation(directory, GenerationFile::Plan)
}

/// `manifest.json`.
pub fn manifest(directory: &str) -> PathBuf {
    generation(directory, GenerationFile::Manifest)
}

/// `COMMIT`.
pub fn commit(directory: &str) -> PathBuf {
    generation(directory, GenerationFile::Commit)
}

/// `inbox-identity.age`.
pub fn inbox_identity(directory: &str) -> PathBuf {
    generation(directory, GenerationFile::InboxIdentity)
}

/// `shares/NN-NAME.age`.
pub fn share(directory: &str, custodian: &RosterEntry) -> PathBuf {
    generation(directory, GenerationFile::Share(&custodian.stem()))
}

/// `items/NAME.age`.
pub fn item(directory: &str, name: &Name) -> PathBuf {
    generation(directory, GenerationFile::Item(name.as_str()))
}

/// `approvals/NN-NAME.json` or `.sig`.
pub fn approval(directory: &str, custodian: &RosterEntry, half: Half) -> PathBuf {
    generation(directory, GenerationFile::Approval(&custodian.stem(), half))
}

/// `closings/NN-NAME.json` or `.sig`.
pub fn closing(directory: &str, custodian: &RosterEntry, half: Half) -> PathBuf {
    generation(directory, GenerationFile::Closing(&custodian.stem(), half))
}

/// `records/<digest>.json` or `.sig`.
pub fn record(digest: &Digest, half: Half) -> PathBuf {
    PathBuf::from(format!("records/{digest}.{}", half.extension()))
}

/// `inbox/<file>`.
pub fn inbox(file: &str) -> PathBuf {
    PathBuf::from(format!("inbox/{file}"))
}

//! What the vault's owner decided (`docs/format.md`, section 7). Parsing only, no I/O.

use std::path::PathBuf;

/// A parsed policy. Its digest is taken over the file's bytes, not over this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub name: String,
    pub owner: String,
    /// k. Checked against the roster when a vault is founded.
    pub threshold: u8,
    pub copies: u8,
    pub media: Vec<PathBuf>,
    /// Seconds.
    pub grant_limit: i64,
    pub separate_roles: bool,
    pub touch: Touch,
    pub attestation: Attestation,
    /// PEM.
    pub attestation_roots: Vec<String>,
    pub check_days: u32,
    pub rotate_days: u32,
    pub password: PasswordRule,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch { Always, Cached, Never }
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attestation { Recorded, Required }

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordRule { pub length: u16, pub alphabet: String }

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {}

impl Policy {
    pub fn parse(text: &str) -> Result<Self, PolicyError> { todo!() }
    /// A commented policy file.
    pub fn template(name: &str, owner: &str, threshold: u8, copies: u8) -> String { todo!() }
}
/// `90m`, `4h`, `2d` in seconds. Also for `--for`.
pub fn duration(text: &str) -> Result<i64, PolicyError> { todo!() }

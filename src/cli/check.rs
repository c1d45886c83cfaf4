//! `claviger check`.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, Tokens, VaultArguments, open};
use crate::ceremony;

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// The vault's copies.
    #[arg(required = true, value_name = "VAULT")]
    pub paths: Vec<PathBuf>,
    /// Which vault it is.
    #[command(flatten)]
    pub vault: VaultArguments,
}

impl Check {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn run(self, tokens: &Tokens) -> Result<(), Failure> {
        open::hold(&self.paths, self.vault.expect.as_deref(), tokens, |setting| Ok(ceremony::check::check(setting)?))
    }
}

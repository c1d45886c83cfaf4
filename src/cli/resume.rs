//! `claviger resume`.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, Tokens, VaultArguments, open, recover};
use crate::ceremony;

/// Arguments of `resume`.
#[derive(Debug, Args)]
pub struct Resume {
    /// The vault's copies.
    #[arg(required = true, value_name = "VAULT")]
    pub paths: Vec<PathBuf>,
    /// Write the credential (if one was granted) to this new file, mode 0600.
    #[arg(long, value_name = "FILE", conflicts_with = "to")]
    pub out: Option<PathBuf>,
    /// Pass the credential (if one was granted) to this shell command on its standard input.
    #[arg(long, value_name = "COMMAND")]
    pub to: Option<String>,
    /// Which vault it is.
    #[command(flatten)]
    pub vault: VaultArguments,
}

impl Resume {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn run(self, tokens: &Tokens) -> Result<(), Failure> {
        let target = recover::target(self.out, self.to);
        open::hold(&self.paths, self.vault.expect.as_deref(), tokens, |setting| {
            Ok(ceremony::resume::resume(setting, &target)?)
        })
    }
}

//! `claviger status`.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, VaultArguments, open};
use crate::encoding::Time;
use crate::report;

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// The vault's copies.
    #[arg(required = true, value_name = "VAULT")]
    pub paths: Vec<PathBuf>,
    /// For programs.
    #[arg(long)]
    pub json: bool,
    /// Which vault it is.
    #[command(flatten)]
    pub vault: VaultArguments,
}

impl Status {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn run(self) -> Result<(), Failure> {
        let vault = open::open(&self.paths, self.vault.expect.as_deref())?;
        let policy = open::policy(&vault).ok();
        if self.json {
            report::json(&report::status::json(&vault.judgement, policy.as_ref(), Time::now()));
        } else {
            report::text(&report::status::text(&vault.judgement, policy.as_ref(), Time::now()));
        }
        Ok(())
    }
}

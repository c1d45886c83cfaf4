//! `claviger verify`.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, VaultArguments, open};
use crate::report;
use crate::transcript::Severity;

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct Verify {
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

impl Verify {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure::NotSound`] after the report, if something is wrong.
    pub fn run(self) -> Result<(), Failure> {
        let vault = open::open(&self.paths, self.vault.expect.as_deref())?;
        let judgement = &vault.judgement;
        if self.json {
            report::json(&report::verify::json(judgement, vault.copies.unavailable()));
        } else {
            report::text(&report::verify::text(judgement, vault.copies.unavailable()));
        }
        let wrong = judgement.findings.iter().filter(|finding| finding.severity == Severity::Wrong).count();
        if wrong == 0 { Ok(()) } else { Err(Failure::NotSound { wrong }) }
    }
}

//! `claviger recipient`.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, VaultArguments, open};
use crate::report;
use crate::transcript::{JudgeError, Judgement};

/// Arguments of `recipient`.
#[derive(Debug, Args)]
pub struct Recipient {
    /// The vault's copies.
    #[arg(required = true, value_name = "VAULT")]
    pub paths: Vec<PathBuf>,
    /// Which vault it is.
    #[command(flatten)]
    pub vault: VaultArguments,
}

impl Recipient {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn run(self) -> Result<(), Failure> {
        let vault = open::open(&self.paths, self.vault.expect.as_deref())?;
        let recipient = inbox_recipient(&vault.judgement)?;
        if self.vault.expect.is_none() {
            report::remark(&format!("vault: {}", vault.judgement.vault.words()));
        }
        report::line(&recipient);
        Ok(())
    }
}

/// The inbox recipient of the last ratified generation: what is not ratified is not believed without tokens.
pub(super) fn inbox_recipient(judgement: &Judgement) -> Result<String, Failure> {
    let ratified = judgement.ratified_head().ok_or(JudgeError::NotFounded)?;
    Ok(ratified.manifest.inbox_recipient.clone())
}

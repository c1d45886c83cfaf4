//! `claviger status`.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, VaultArguments, open};
use crate::encoding::Time;
use crate::report::{self, status::Terms};
use crate::transcript::Severity;

/// Where no copy has the policy: what a policy says by default.
const CHECK_DAYS: u32 = 90;
const ROTATE_DAYS: u32 = 365;

/// Arguments of `status`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 nothing is wrong (a ceremony may wait to be finished, a copy may be behind), 1 something is \
    wrong or no copy here has all of the current generation, 5 a check or the rotation is overdue."
)]
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
    /// After the report: [`Failure::NotSound`] if something is wrong; [`Failure::NotWhole`]; [`Failure::Overdue`] if a check
    /// or a rotation is overdue.
    pub fn run(self) -> Result<(), Failure> {
        let vault = open::open(&self.paths, self.vault.expect.as_deref())?;
        let policy = open::policy(&vault).ok();
        vault.copies.set_full_ones_aside(&vault.copies.snapshot()?, &vault.judgement);
        let media = vault.copies.media();
        let terms = Terms {
            name: policy.as_ref().map(|policy| policy.name.as_str()),
            now: Time::now(),
            check_days: policy.as_ref().map_or(CHECK_DAYS, |policy| policy.check_days.into()),
            rotate_days: policy.as_ref().map_or(ROTATE_DAYS, |policy| policy.rotate_days.into()),
            copies: policy.as_ref().map_or(1, |policy| policy.copies.into()),
            unavailable: vault.copies.unavailable(),
            foreign: vault.copies.foreign(),
            media: &media,
        };
        if self.json {
            report::json(&report::status::json(&vault.judgement, &terms));
        } else {
            report::text(&report::status::text(&vault.judgement, &terms));
        }
        let judgement = &vault.judgement;
        let wrong = judgement.findings.iter().filter(|finding| finding.severity == Severity::Wrong).count();
        match wrong {
            0 if report::status::is_nowhere_whole(judgement) => Err(Failure::NotWhole),
            0 if report::status::is_overdue(judgement, &terms) => Err(Failure::Overdue),
            0 => Ok(()),
            wrong => Err(Failure::NotSound { wrong }),
        }
    }
}

//! `claviger verify`.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, VaultArguments, open};
use crate::report;
use crate::transcript::{ExceptionKind, Finding, GenerationState, Judgement, Severity};

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
        let mut vault = open::open(&self.paths, self.vault.expect.as_deref())?;
        if let Ok(policy) = open::policy(&vault) {
            let long = long_grants(&vault.judgement, policy.grant_limit);
            vault.judgement.findings.extend(long);
        }
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

/// Grants that are longer than the policy allows: k custodians approved them, and a reviewer should know.
pub fn long_grants(judgement: &Judgement, limit: i64) -> Vec<Finding> {
    let policy = judgement.current().map_or(judgement.founding.policy, |current| current.manifest.plan.policy);
    let long = judgement.generations.iter().filter(|generation| {
        let plan = &generation.manifest.plan;
        let excepted = plan.exceptions.iter().any(|exception| exception.kind == ExceptionKind::GrantLimit);
        let long = plan.grant.as_ref().is_some_and(|grant| grant.until > grant.from.plus(limit));
        long && plan.policy == policy && !excepted
    });
    let finding = |generation: &GenerationState| Finding {
        severity: Severity::Note,
        copy: None,
        file: generation.path("manifest.json"),
        what: format!("its grant is longer than the {limit} seconds that the policy allows"),
        hint: "find out who asked for that, and why it was approved".to_owned(),
    };
    long.map(finding).collect()
}

//! `claviger found`.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, Tokens, given, open};
use crate::ceremony::{self, CeremonyError};
use crate::encoding::{Digest, Document};
use crate::policy::Policy;
use crate::room::terminal::Terminal;
use crate::transcript::document::MAX_DOCUMENT;
use crate::transcript::{Checked, Class, Enrolment, Founding, Nonce32, RosterEntry};
use crate::vault;

/// Arguments of `found`.
#[derive(Debug, Args)]
pub struct Found {
    /// The new vault's copies (directories), then one enrolment file for each custodian.
    #[arg(required = true, value_name = "VAULT> <ENROLMENT")]
    pub arguments: Vec<PathBuf>,
    /// The policy.
    #[arg(long, value_name = "FILE")]
    pub policy: PathBuf,
}

impl Found {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn run(self, tokens: &Tokens) -> Result<(), Failure> {
        Terminal::open()?;
        let (enrolments, paths): (Vec<_>, Vec<_>) = self.arguments.iter().cloned().partition(|path| path.is_file());
        if paths.is_empty() || enrolments.is_empty() {
            return Err(Failure::Arguments("expected VAULT (once for each copy), then ENROLMENT files".to_owned()));
        }
        let bytes = given::read(&self.policy, open::POLICY_LIMIT)?;
        let policy = open::parse_policy(&self.policy, &String::from_utf8_lossy(&bytes))?;
        let enrolments = read(&enrolments)?;
        let paths = prepare(&paths, &policy, &bytes, &enrolments)?;
        open::hold(&paths, None, tokens, |setting| Ok(ceremony::found::found(setting)?))
    }
}

/// Lays the vault out on its copies, or finds it laid out by an earlier attempt with the same founders and policy.
///
/// # Errors
/// [`Failure`]; nothing is written if the founders or the policy do not fit.
pub fn prepare(
    paths: &[PathBuf],
    policy: &Policy,
    policy_bytes: &[u8],
    enrolments: &[Enrolment],
) -> Result<Vec<PathBuf>, Failure> {
    let practice = practice(enrolments)?;
    let n = enrolments.len();
    if n > 255 || policy.threshold < 2 || usize::from(policy.threshold) > n || usize::from(policy.threshold) * 2 <= n {
        return Err(CeremonyError::Threshold { k: policy.threshold, n }.into());
    }
    let roster = (1..=255)
        .zip(enrolments)
        .map(|(index, enrolment)| RosterEntry {
            index,
            name: enrolment.name.clone(),
            group: enrolment.group.clone(),
            signing_key: enrolment.signing_key,
        })
        .collect();
    let random = Nonce32::random().map_err(CeremonyError::from)?;
    let founding = Founding::new(practice, policy.threshold, Digest::of(policy_bytes), random, roster)
        .map_err(|error| CeremonyError::Enrolments { reason: crate::error::sentence(&error) })?;
    let paths = with_media(paths, policy);
    let founding = begun(&paths, &founding)?.unwrap_or(founding);
    vault::create(&paths, &founding, policy_bytes)?;
    Ok(paths)
}

/// The paths given, or, with a single one, also the media of the policy, relative to that one.
fn with_media(paths: &[PathBuf], policy: &Policy) -> Vec<PathBuf> {
    let mut all = paths.to_vec();
    if let [only] = paths {
        all.extend(policy.media.iter().map(|medium| only.join(medium)));
    }
    all
}

/// The founding body of an interrupted founding with the same founders, threshold and policy: it goes on as that vault.
///
/// # Errors
/// [`CeremonyError::Founded`] if it was not interrupted.
fn begun(paths: &[PathBuf], wanted: &Founding) -> Result<Option<Founding>, Failure> {
    let same = |founding: &Founding| {
        let Founding { practice, k, policy, roster, .. } = founding;
        (practice, k, policy, roster) == (&wanted.practice, &wanted.k, &wanted.policy, &wanted.roster)
    };
    let standing: Vec<(&PathBuf, Founding)> =
        paths.iter().filter_map(|path| Some((path, vault::create::standing(path).filter(same)?))).collect();
    let Some((_, founding)) = standing.first() else { return Ok(None) };
    let vault = founding.digest();
    let here = standing.iter().filter(|(_, founding)| founding.digest() == vault);
    let here: Vec<PathBuf> = here.map(|(path, _)| (*path).clone()).collect();
    ceremony::found::refuse_founded(&open::open(&here, None)?.judgement)?;
    Ok(Some(founding.clone()))
}

fn practice(enrolments: &[Enrolment]) -> Result<bool, Failure> {
    let software = enrolments.iter().filter(|enrolment| enrolment.class == Class::Software).count();
    match software {
        0 => Ok(false),
        all if all == enrolments.len() => Ok(true),
        _ => {
            let reason = "some are software tokens (for drills), and some are cards".to_owned();
            Err(CeremonyError::Enrolments { reason }.into())
        }
    }
}

fn read(paths: &[PathBuf]) -> Result<Vec<Enrolment>, Failure> {
    paths
        .iter()
        .map(|path| {
            let bytes = given::read(path, MAX_DOCUMENT)?;
            Enrolment::read(&bytes).map_err(|error| {
                let reason = format!("{}: {}", path.display(), crate::error::sentence(&error));
                CeremonyError::Enrolments { reason }.into()
            })
        })
        .collect()
}

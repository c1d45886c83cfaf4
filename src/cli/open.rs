//! Opening the vault that a command is about: its copies, whether it is the expected one, its policy.

use std::path::{Path, PathBuf};

use crate::ceremony::{CeremonyError, Setting};
use crate::encoding::Digest;
use crate::interrupt;
use crate::policy::Policy;
use crate::process;
use crate::report;
use crate::room::terminal::Terminal;
use crate::room::{Room, Way};
use crate::token::attestation::Roots;
use crate::token::channel::Source;
use crate::transcript::{Judgement, Severity, judge};
use crate::vault::{Copies, layout};

use super::{Failure, Tokens};

/// No policy is larger, in bytes.
pub const POLICY_LIMIT: usize = 1 << 20;

/// A vault, read and judged.
pub struct OpenVault {
    /// Its copies.
    pub copies: Copies,
    /// What they prove.
    pub judgement: Judgement,
}

/// Reads all copies of a vault and judges them.
///
/// # Errors
/// [`Failure::OtherVault`] if `expect` names another vault.
pub fn open(paths: &[PathBuf], expect: Option<&str>) -> Result<OpenVault, Failure> {
    let copies = Copies::open(paths)?;
    let judgement = judge(&copies.snapshot()?);
    check_expected(&judgement.vault, expect)?;
    Ok(OpenVault { copies, judgement })
}

/// # Errors
/// [`Failure::OtherVault`].
pub fn check_expected(vault: &Digest, expect: Option<&str>) -> Result<(), Failure> {
    match expect {
        Some(words) if !vault.is_named_by(words) => Err(Failure::OtherVault { found: vault.words() }),
        _ => Ok(()),
    }
}

/// The vault's policy: a `policy.toml` of any copy whose digest is the one that was approved.
///
/// # Errors
/// [`Failure::Ceremony`] if no copy has it.
pub fn policy(vault: &OpenVault) -> Result<Policy, Failure> {
    let current = vault.judgement.current().map(|current| current.manifest.plan.policy);
    let digest = current.unwrap_or(vault.judgement.founding.policy);
    let bytes = vault
        .copies
        .read_file(Path::new(layout::POLICY), digest, POLICY_LIMIT)
        .map_err(|_| CeremonyError::PolicyChanged)?;
    let text = String::from_utf8_lossy(&bytes);
    parse_policy(Path::new(layout::POLICY), &text)
}

/// # Errors
/// [`Failure::Policy`] with the file's name.
pub fn parse_policy(file: &Path, text: &str) -> Result<Policy, Failure> {
    Policy::parse(text).map_err(|source| Failure::Policy { file: file.to_owned(), source: Box::new(source) })
}

/// Holds a ceremony: takes the terminal, the copies (locked and merged) and the tokens, and runs `ceremony`.
///
/// # Errors
/// Exit code 2 at once without a terminal; otherwise what stopped the ceremony.
pub fn hold(
    paths: &[PathBuf],
    expect: Option<&str>,
    tokens: &Tokens,
    ceremony: impl FnOnce(&mut Setting<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut room = Terminal::open()?;
    interrupt::install().map_err(Failure::io("listening for Ctrl-C"))?;
    hold_in(&mut room, paths, expect, || tokens.source(), ceremony)
}

/// The same with these people; `source` is opened last.
///
/// # Errors
/// What stopped the ceremony.
pub fn hold_in<'s>(
    room: &mut dyn Room,
    paths: &[PathBuf],
    expect: Option<&str>,
    source: impl FnOnce() -> Result<Box<dyn Source + 's>, Failure>,
    ceremony: impl FnOnce(&mut Setting<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut vault = open(paths, expect)?;
    let _lock = vault.copies.lock()?;
    let merged = vault.copies.merge()?;
    for (copy, file) in &merged.added {
        room.say(&format!("{} got {file} from another copy.", copy.display()));
    }
    for failure in &merged.failures {
        room.warn(&format!("{}: {}.", failure.copy.display(), crate::error::sentence(&failure.error)));
    }
    let snapshot = vault.copies.snapshot()?;
    vault.judgement = judge(&snapshot);
    for failure in vault.copies.settle(&snapshot, &vault.judgement) {
        room.warn(&format!("{}: {}.", failure.copy.display(), crate::error::sentence(&failure.error)));
    }
    let found = policy(&vault);
    introduce(&vault, found.as_ref().ok(), room)?;
    let policy_is_lost = found.is_err();
    let policy = found.or_else(|error| without_policy(&vault, error, room))?;
    let roots = Roots::new(&policy.attestation_roots).map_err(CeremonyError::from)?;
    let mut source = source()?;
    let OpenVault { copies, judgement } = vault;
    let weaknesses = if judgement.practice { Vec::new() } else { process::weaknesses() };
    let mut setting = Setting {
        copies: &copies,
        judgement,
        policy,
        roots,
        source: source.as_mut(),
        room,
        weaknesses,
        policy_is_lost,
    };
    ceremony(&mut setting)
}

/// No copy here has the policy that was approved. That is no reason to keep k custodians from a credential: they may go on
/// with the strictest rules, and a plan names that as an exception.
fn without_policy(vault: &OpenVault, error: Failure, room: &mut dyn Room) -> Result<Policy, Failure> {
    let k = vault.judgement.current().map_or(vault.judgement.founding.k, |current| current.manifest.plan.k);
    let policy = Policy::strictest(k);
    room.warn(&format!("{}. No copy here has that policy.", crate::error::sentence(&error)));
    room.say(&format!(
        "Nothing that was sealed is lost. The policy stays the one that was approved: put it back when you have it. Without it the strictest rules hold: {} copies, grants of at most {} hours, requester and approvers are different people, keys are attested by their maker and want a touch, passwords are made by the default rule.",
        policy.copies,
        policy.grant_limit / 3600
    ));
    let stop = Way { word: "stop", meaning: "stop here, and come back with a copy that has it, or with the file" };
    let go =
        Way { word: "go", meaning: "go on without it; the plan names that as an exception that k custodians approve" };
    if room.choose("The policy is not here. What now?", &[stop, go])? == 0 { Err(error) } else { Ok(policy) }
}

/// Which vault this is, and what is wrong with its copies.
fn introduce(vault: &OpenVault, policy: Option<&Policy>, room: &mut dyn Room) -> Result<(), Failure> {
    let judgement = &vault.judgement;
    if judgement.practice {
        room.warn("A DRILL: this vault was founded with software tokens, and protects nothing.");
    }
    let own_digest = || process::own_digest().map_or_else(|_| "not readable".to_owned(), |digest| digest.to_string());
    room.say(&format!("claviger {}, SHA-256 of this program: {}", env!("CARGO_PKG_VERSION"), own_digest()));
    let name = policy.map_or_else(String::new, |policy| format!(" \"{}\"", policy.name));
    room.say(&format!("Vault{name}: {}", judgement.vault.words()));
    let wrong: Vec<_> = judgement.findings.iter().filter(|finding| finding.severity == Severity::Wrong).collect();
    for finding in &wrong {
        let copy = finding.copy.as_deref().unwrap_or("every copy");
        room.warn(&format!("{copy}: {}: {}", finding.file, finding.what));
    }
    let lacking = judgement.copies.iter().filter(|copy| copy.missing > 0);
    for copy in lacking.clone() {
        room.warn(&format!(
            "{} lacks {} files that other copies have, and could not get them.",
            copy.path, copy.missing
        ));
    }
    if !wrong.is_empty() || lacking.count() > 0 {
        let paths = vault.copies.paths();
        let command = report::copies::sync_command(paths.iter().map(PathBuf::as_path));
        room.say(&format!(
            "What other copies have right, this brings to all of them, before or after the ceremony: {command}"
        ));
    }
    if wrong.is_empty()
        || room.confirm("Something is wrong with these copies (see above). Go on with what is right?")?
    {
        Ok(())
    } else {
        Err(Failure::NotSound { wrong: wrong.len() })
    }
}

//! `claviger copy`: the media that a vault is on.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::open::{self, OpenVault};
use super::{Failure, VaultArguments};
use crate::report;
use crate::room::Room;
use crate::room::terminal::Terminal;
use crate::transcript::JudgeError;
use crate::vault::medium::{Medium, on_one_medium};
use crate::vault::withdraw::Withdrawal;
use crate::vault::{self, Synced, VaultError};

/// Which of the commands.
#[derive(Debug, Subcommand)]
pub enum Copy {
    /// Make one more copy, on one more medium; also makes a directory that was copied by hand a copy of its own, with a new mark.
    Add(Add),
    /// Bring copies up to date: add what is missing, repair what is damaged, remove what nobody needs. Needs no card.
    Sync(Sync),
    /// Take a copy out of service and remove its files.
    Remove(Remove),
}

/// Arguments of `copy add`.
#[derive(Debug, Args)]
#[command(override_usage = "claviger copy add [OPTIONS] <VAULT>... <NEW>")]
pub struct Add {
    /// The vault's copies, then the new one: a directory that is new or empty, or that was begun or copied by hand.
    #[arg(required = true, num_args = 2.., value_names = ["VAULT", "NEW"])]
    pub paths: Vec<PathBuf>,
    /// Which vault it is.
    #[command(flatten)]
    pub vault: VaultArguments,
}

/// Arguments of `copy sync`.
#[derive(Debug, Args)]
pub struct Sync {
    /// The vault's copies.
    #[arg(required = true, value_name = "VAULT")]
    pub paths: Vec<PathBuf>,
    /// Which vault it is.
    #[command(flatten)]
    pub vault: VaultArguments,
}

/// Arguments of `copy remove`.
#[derive(Debug, Args)]
#[command(override_usage = "claviger copy remove [OPTIONS] <VAULT>... <COPY>")]
pub struct Remove {
    /// The copies that stay, then the one that goes.
    #[arg(required = true, num_args = 2.., value_names = ["VAULT", "COPY"])]
    pub paths: Vec<PathBuf>,
    /// Which vault it is.
    #[command(flatten)]
    pub vault: VaultArguments,
}

impl Copy {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(),
            Self::Sync(sync) => sync.run(),
            Self::Remove(remove) => remove.run(&mut Terminal::open()?),
        }
    }
}

/// The copies that are there already or stay, and the one that it is about.
fn split(paths: &[PathBuf]) -> Result<(&[PathBuf], &Path), Failure> {
    match paths.split_last() {
        Some((last, others)) if !others.is_empty() => Ok((others, last)),
        _ => Err(Failure::Arguments("expected VAULT (once for each copy), then the copy that it is about".to_owned())),
    }
}

impl Add {
    fn run(self) -> Result<(), Failure> {
        let (paths, new) = split(&self.paths)?;
        let mut vault = open::open(paths, self.vault.expect.as_deref())?;
        let _lock = vault.copies.lock()?;
        let synced = vault::add(&vault.copies, new)?;
        report::text(&report::copies::synced(&synced, vault.copies.unavailable(), vault.copies.foreign()));
        for remark in remarks(&vault, &synced, new) {
            report::remark(&remark);
        }
        // The others are named, but whether the new one counts is the question.
        let up_to_date = synced.copies.last().is_some_and(|copy| copy.is_up_to_date());
        if up_to_date { Ok(()) } else { Err(behind(&synced, 1)) }
    }
}

/// What people must know of a new copy.
fn remarks(vault: &OpenVault, synced: &Synced, new: &Path) -> Vec<String> {
    let mut remarks = Vec::new();
    let others = vault.copies.paths();
    let mut paths = others.clone();
    paths.push(new.to_owned());
    if let Some((first, second)) = on_one_medium(&paths) {
        let (first, second) = (first.display(), second.display());
        remarks.push(format!("{first} and {second} are on the same medium: what destroys one destroys both"));
    }
    if Medium::at(new).is_some_and(|medium| medium.volatile) {
        remarks.push(format!("{} is in memory: it is gone when the machine is switched off", new.display()));
    }
    let current = synced.judgement.current().ok();
    if current.is_some_and(|current| !current.complete_on.contains(&(synced.copies.len() - 1))) {
        remarks.push(
            "the current generation is not whole on it: no copy here has everything; bring the others".to_owned(),
        );
    }
    if let Ok(policy) = open::policy(vault) {
        let real = |path: &Path| std::fs::canonicalize(path).ok();
        let listed = others.iter().flat_map(|copy| policy.media.iter().map(move |medium| copy.join(medium)));
        if !policy.media.is_empty() && !listed.into_iter().any(|medium| real(&medium) == real(new)) {
            remarks.push(
                "the policy's `media` does not list it, and is signed and stays as it is: give the path of this copy as a further VAULT, every time".to_owned(),
            );
        }
    }
    remarks
}

impl Sync {
    fn run(self) -> Result<(), Failure> {
        let mut vault = open::open(&self.paths, self.vault.expect.as_deref())?;
        let lock = vault.copies.lock()?;
        let copies = &vault.copies;
        let synced = vault::sync(copies, &lock)?;
        report::text(&report::copies::synced(&synced, copies.unavailable(), copies.foreign()));
        let all = synced.copies.len() + copies.unavailable().len() + copies.foreign().len();
        let good = synced.copies.iter().filter(|copy| copy.is_up_to_date()).count();
        let everywhere = synced
            .judgement
            .findings
            .iter()
            .any(|finding| finding.copy.is_none() && finding.severity == crate::transcript::Severity::Wrong);
        if good == all && !everywhere { Ok(()) } else { Err(behind(&synced, all - good)) }
    }
}

fn behind(synced: &Synced, copies: usize) -> Failure {
    // Copies that agree with each other cannot say which branch of a fork counts: people do.
    if let (0, Err(fork @ JudgeError::Fork { .. })) = (copies, synced.judgement.current()) {
        return fork.into();
    }
    Failure::CopiesBehind { copies, wrong: !synced.judgement.is_sound() }
}

impl Remove {
    /// Runs the command with these people.
    ///
    /// # Errors
    /// [`Failure`]; [`Failure::Kept`] if they say no.
    pub fn run(&self, room: &mut dyn Room) -> Result<(), Failure> {
        let (others, copy) = split(&self.paths)?;
        // Only what is given is looked at: whoever removes a copy says which ones stay.
        let mut vault = open::open(&self.paths, self.vault.expect.as_deref())?;
        let _lock = vault.copies.lock()?;
        if let Some(gone) = vault.copies.unavailable().iter().find(|unavailable| unavailable.path == copy) {
            return Err(VaultError::NotHere { copy: copy.to_owned(), why: gone.why.clone() }.into());
        }
        if vault.copies.foreign().iter().any(|foreign| foreign == copy) {
            return Err(VaultError::OtherVault { copy: copy.to_owned() }.into());
        }
        let withdrawal = vault::consider(&vault.copies, copy)?;
        let wanted = open::policy(&vault).map_or(1, |policy| usize::from(policy.copies));
        warn(room, &withdrawal, wanted);
        let question = format!(
            "Take {} out of service and remove the vault's files from it? {} given here stay.",
            copy.display(),
            if others.len() == 1 { "The other copy".to_owned() } else { format!("The other {} copies", others.len()) }
        );
        if !room.confirm(&question)? {
            return Err(Failure::Kept { copy: copy.to_owned() });
        }
        let strangers = withdrawal.strangers.clone();
        withdrawal.carry_out(&vault.copies)?;
        room.say(&format!("{} is not a copy any more.", copy.display()));
        for stranger in strangers {
            room.say(&format!("{} was left there: it is no file of a vault.", stranger.escape_debug()));
        }
        room.warn(
            "Flash media and disks keep what was removed. Old ciphertext that must not come back: destroy the medium.",
        );
        Ok(())
    }
}

fn warn(room: &mut dyn Room, withdrawal: &Withdrawal, wanted: usize) {
    let copy = withdrawal.path.display();
    if withdrawal.left < wanted {
        let left = withdrawal.left;
        let have = if left == 1 { "1 good one".to_owned() } else { format!("{left} good ones") };
        room.warn(&format!(
            "The policy wants {wanted} copies of the vault, and {have} would be left of those given here."
        ));
    }
    for number in &withdrawal.begun {
        room.warn(&format!(
            "Ceremony number {number} was begun on {copy} and never committed. Without this copy the next ceremony can record it as abandoned only by an exception that k custodians approve. To avoid that, hold the next ceremony first, with this copy."
        ));
    }
    if let Some(first) = withdrawal.damaged.first() {
        let number = withdrawal.damaged.len();
        room.warn(&format!(
            "{number} of its files are damaged, and no other copy given here has them right, for example {first}. Bring the other copies first, if there are any."
        ));
    }
}

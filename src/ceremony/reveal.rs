//! The reveal: k shares of the ratified generation give the item under the grant. Takes [`Ratified`] by value.
//!
//! A record, signed by the new generation's succession key, is durable before the first byte is shown.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use zeroize::Zeroizing;

use crate::credential::{CredentialError, Kind};
use crate::encoding::{Digest, Document, Time};
use crate::fault::{self, inspect};
use crate::sealing::item::{self, ItemRecord};
use crate::secret::{self, SecretBytes};
use crate::sharing::{self, Commitments};
use crate::transcript::{Grant, ItemEntry, Record, RecordBody, RevealedBody, RevealedTo, Signer, Which};
use crate::vault::layout;

use super::close::Ratified;
use super::setting::{id, write_record};
use super::stage::Keys;
use super::{CeremonyError, Setting};

use new_file::NewFile;

mod new_file;

/// What fits on a screen, in bytes; longer credentials go to a file or a command.
const SCREEN_LIMIT: u64 = 64 * 1024;

/// Where the credential goes.
#[derive(Debug, Clone)]
pub enum Target {
    /// The terminal's alternate screen.
    Screen,
    /// A new file of mode 0600.
    File(PathBuf),
    /// The standard input of a command, run by `sh -c`.
    Command(String),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Screen => f.write_str("on this screen"),
            Self::File(path) => write!(f, "to the new file {}", path.display()),
            Self::Command(command) => write!(f, "to the command {command}"),
        }
    }
}

impl Target {
    /// What can be known before the ceremony begins: that the file is not there, and can be made.
    ///
    /// # Errors
    /// [`CeremonyError::Output`].
    pub fn check(&self) -> Result<(), CeremonyError> {
        let Self::File(path) = self else { return Ok(()) };
        NewFile::check(path).map_err(CeremonyError::output(path))
    }
}

/// Reveals the credential that the grant of the ratified generation names.
///
/// # Errors
/// [`CeremonyError::GrantOver`], or why it could not be shown; `resume` may reveal it again until the grant ends.
pub fn reveal(setting: &mut Setting<'_>, ratified: Ratified, target: &Target) -> Result<(), CeremonyError> {
    inspect::stage("reveal");
    secret::apart(|| under_the_grant(setting, ratified, target))?;
    inspect::stage("revealed");
    Ok(())
}

fn under_the_grant(setting: &mut Setting<'_>, ratified: Ratified, target: &Target) -> Result<(), CeremonyError> {
    let Ratified { generation, shares } = ratified;
    let manifest = &generation.manifest;
    let plan = &manifest.plan;
    let grant = plan.grant.as_ref().ok_or(CeremonyError::NothingToResume)?;
    // A clock that stands before the grant says nothing about its end.
    let now = Time::now();
    if now > grant.until || now < grant.from {
        let [from, until, now] = [grant.from, grant.until, now].map(|time| time.to_string());
        return Err(CeremonyError::GrantOver { item: grant.item.to_string(), from, until, now });
    }
    let item = manifest.item(&grant.item).ok_or_else(|| no_item(&grant.item.to_string(), &manifest.items))?;
    let commitments = Commitments::new(manifest.commitments.clone())?;
    let keys = {
        let root = sharing::combine(&commitments, first_k(shares, plan.k))?;
        Keys::derive(&root, &plan.vault, generation.generation)?
    };
    let to = match target {
        Target::Screen => RevealedTo::Screen,
        Target::File(_) => RevealedTo::File,
        Target::Command(_) => RevealedTo::Command,
    };
    inspect::stage("keys");
    make_record(setting, &generation.manifest, grant, to, &keys)?;
    fault::point("reveal:before");
    let sealed = setting.copies.open_file(&layout::item(&generation.directory, &item.name), item.digest)?;
    let record = ItemRecord { vault: plan.vault, name: item.name.clone(), kind: item.kind.clone() };
    let payload = secret::apart(|| item::open_item(&keys.identity, &record, sealed).map(Box::new))?;
    drop(keys);
    deliver(setting, grant, item, payload, target)?;
    fault::point("reveal:after");
    Ok(())
}

/// The error that names the items that there are.
pub(super) fn no_item(item: &str, items: &[ItemEntry]) -> CeremonyError {
    let names: Vec<&str> = items.iter().map(|item| item.name.as_str()).collect();
    let have = if names.is_empty() { "none yet".to_owned() } else { names.join(", ") };
    CeremonyError::NoItem { item: item.to_owned(), have }
}

fn first_k(mut shares: Vec<sharing::CheckedShare>, k: u8) -> Vec<sharing::CheckedShare> {
    shares.truncate(usize::from(k));
    shares
}

fn make_record(
    setting: &mut Setting<'_>,
    manifest: &crate::transcript::Manifest,
    grant: &Grant,
    to: RevealedTo,
    keys: &Keys,
) -> Result<(), CeremonyError> {
    let plan = &manifest.plan;
    let body = RecordBody::Revealed(RevealedBody {
        ceremony: id(plan),
        item: grant.item.clone(),
        credential: grant.credential,
        incident: grant.incident.clone(),
        requester: grant.requester.clone(),
        to,
    });
    let by = Signer::Succession(plan.generation);
    let record = Record::new(plan.vault, plan.generation, Time::now(), by, body)?;
    let bytes = record.encode();
    let signature = keys.succession.sign(&bytes).to_der();
    let digest = Digest::of(&bytes);
    write_record(setting.copies, &digest, &bytes, &signature)
}

fn deliver(
    setting: &mut Setting<'_>,
    grant: &Grant,
    item: &ItemEntry,
    mut payload: Box<dyn Read>,
    target: &Target,
) -> Result<(), CeremonyError> {
    let kind = Kind::try_from(&item.kind)?;
    // The use made the granted credential the installed one.
    let which = Which::Installed;
    match target {
        Target::Screen => {
            let mut shown = Zeroizing::new(Vec::with_capacity(SCREEN_LIMIT as usize));
            let mut limited = Limited { writer: &mut shown, left: SCREEN_LIMIT };
            secret::apart(|| kind.reveal(&mut payload, which, &mut limited))?;
            // The payload has more in it than what is shown: also the credential that comes next.
            drop(payload);
            let title = format!("{} ({}), incident {}, until {}:", item.name, item.kind, grant.incident, grant.until);
            setting.room.show_secret(&title, &SecretBytes::new(shown))?;
            setting.room.say("The credential was shown, and the screen is cleared.");
        }
        Target::File(path) => {
            let output = || CeremonyError::output(path);
            let mut new = NewFile::begin(path).map_err(output())?;
            secret::apart(|| kind.reveal(&mut payload, which, new.file())).map_err(|error| match error {
                CredentialError::Write(error) => output()(error),
                error => error.into(),
            })?;
            drop(payload);
            new.finish().map_err(output())?;
            setting
                .room
                .say(&format!("The credential is in {} (mode 0600). Delete it when it was used.", path.display()));
        }
        Target::Command(command) => pass_on(command, kind, which, payload)?,
    }
    Ok(())
}

fn pass_on(command: &str, kind: Kind, which: Which, mut payload: Box<dyn Read>) -> Result<(), CeremonyError> {
    let failed = |reason: String| CeremonyError::Command { command: command.to_owned(), reason };
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let written = match child.stdin.take() {
        Some(mut stdin) => secret::apart(|| kind.reveal(&mut payload, which, &mut stdin))
            .map_err(|error| crate::error::sentence(&error)),
        None => Err("it has no standard input".to_owned()),
    };
    drop(payload);
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        return Err(failed(format!("it ended with {status}")));
    }
    written.map_err(failed)
}

/// Refuses to grow past what was reserved, so that no copy of a secret is left behind.
struct Limited<'a> {
    writer: &'a mut Vec<u8>,
    left: u64,
}

impl Write for Limited<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let length = bytes.len() as u64;
        if length > self.left {
            return Err(std::io::Error::other("it is too long for a screen: use --out FILE or --to COMMAND"));
        }
        self.left -= length;
        self.writer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

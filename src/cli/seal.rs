//! `claviger seal`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use clap::Args;
use subtle::ConstantTimeEq;

use super::recipient::inbox_recipient;
use super::{Failure, VaultArguments, open};
use crate::ceremony::CeremonyError;
use crate::credential::Kind;
use crate::encoding::{Name, Nonce16};
use crate::report;
use crate::room::Room;
use crate::room::terminal::Terminal;
use crate::sealing::item;
use crate::secret::SecretBytes;
use crate::vault::{Copies, Written, layout};

/// Arguments of `seal`.
#[derive(Debug, Args)]
pub struct Seal {
    /// The vault's copies, the item's name, and a file; without one, standard input, or a question at the terminal.
    #[arg(required = true, value_name = "VAULT> <NAME> [FILE")]
    pub arguments: Vec<OsString>,
    /// The kind of credential: opaque or password.
    #[arg(long, default_value = "opaque", value_parser = super::name)]
    pub kind: Name,
    /// Which vault it is.
    #[command(flatten)]
    pub vault: VaultArguments,
}

impl Seal {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn run(self) -> Result<(), Failure> {
        let (paths, name, file) = split(&self.arguments)?;
        let mut vault = open::open(&paths, self.vault.expect.as_deref())?;
        let recipient = inbox_recipient(&vault.judgement)?;
        let secret = secret(file, &name)?;
        let _lock = vault.copies.lock()?;
        let mut secret = Some(secret);
        let (file, written) = into_inbox(&vault.copies, &recipient, &name, &self.kind, || {
            // Standard input can be read once only.
            secret.take().ok_or(Failure::NothingToSeal)
        })?;
        if self.vault.expect.is_none() {
            report::remark(&format!("vault: {}", vault.judgement.vault.words()));
        }
        let places: Vec<String> = written.on.iter().map(|path| path.display().to_string()).collect();
        report::remark(&format!("sealed as inbox/{file} in {}", places.join(" and ")));
        report::remark("it becomes an item when custodians approve it: claviger rotate");
        for failure in &written.failures {
            report::remark(&format!("not in {}: {}", failure.copy.display(), crate::error::sentence(&failure.error)));
        }
        Ok(())
    }
}

/// Seals what `secret` gives into the inbox of every copy, in constant memory. Returns the file's name.
///
/// # Errors
/// [`Failure`]; then nothing stands in the inbox.
pub(super) fn into_inbox<'s>(
    copies: &Copies,
    recipient: &str,
    name: &Name,
    kind: &Name,
    mut secret: impl FnMut() -> Result<Box<dyn Read + 's>, Failure>,
) -> Result<(String, Written), Failure> {
    let credential = Kind::try_from(kind).map_err(CeremonyError::from)?;
    let random = Nonce16::random().map_err(CeremonyError::from)?.to_string();
    let file = format!("{name}.{kind}.{}.age", &random[..8]);
    let path = layout::inbox(&file);
    let (_, written) = copies.write_stream(&path, |writer| -> Result<(), Failure> {
        let mut checked = credential.check_proposal(secret()?).map_err(CeremonyError::from)?;
        Ok(item::seal_to_inbox(recipient, &mut checked, writer)?)
    })?;
    Ok((file, written))
}

/// VAULT..., NAME, [FILE]: the leading arguments that are directories are copies.
fn split(arguments: &[OsString]) -> Result<(Vec<PathBuf>, Name, Option<PathBuf>), Failure> {
    let wrong = |text: &str| Failure::Arguments(text.to_owned());
    let copies = arguments.iter().take_while(|argument| super::is_directory(Path::new(argument))).count().max(1);
    let paths = arguments[..copies].iter().map(PathBuf::from).collect();
    let mut rest = arguments[copies..].iter();
    let name = rest.next().ok_or_else(|| wrong("expected VAULT (once for each copy), NAME, and perhaps FILE"))?;
    let name = name.to_str().ok_or_else(|| wrong("NAME is not text"))?;
    let name = super::name(name).map_err(|error| Failure::Arguments(format!("NAME {name:?}: {error}")))?;
    let file = rest.next().map(PathBuf::from);
    if rest.next().is_some() { Err(wrong("too many arguments after NAME")) } else { Ok((paths, name, file)) }
}

fn secret(file: Option<PathBuf>, name: &Name) -> Result<Box<dyn Read>, Failure> {
    if let Some(path) = file {
        let what = format!("reading {}", path.display());
        return Ok(Box::new(File::open(path).map_err(Failure::io(what))?));
    }
    if !io::stdin().is_terminal() {
        // Not through the library's buffer, which lives as long as the program.
        let input = io::stdin().as_fd().try_clone_to_owned().map_err(Failure::io("reading standard input"))?;
        return Ok(Box::new(File::from(input)));
    }
    let mut room = Terminal::open()?;
    let first = room.ask_secret(&format!("The secret for {name} (it is not shown):"))?;
    let second = room.ask_secret("Once more:")?;
    match (first, second) {
        (Some(first), Some(second)) if bool::from(first.expose_secret().ct_eq(second.expose_secret())) => {
            Ok(Box::new(Typed { secret: first, read: 0 }))
        }
        (None, _) => Err(Failure::NothingToSeal),
        _ => Err(Failure::TypedTwice),
    }
}

/// Reads a typed secret out of the one block that holds it.
struct Typed {
    secret: SecretBytes,
    read: usize,
}

impl Read for Typed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = &self.secret.expose_secret()[self.read..];
        let length = left.len().min(buffer.len());
        buffer[..length].copy_from_slice(&left[..length]);
        self.read += length;
        Ok(length)
    }
}

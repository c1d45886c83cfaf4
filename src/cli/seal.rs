//! `claviger seal`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use subtle::ConstantTimeEq;

use super::recipient::inbox_recipient;
use super::{Failure, VaultArguments, open};
use crate::credential::Kind;
use crate::encoding::Name;
use crate::report;
use crate::room::Room;
use crate::room::terminal::Terminal;
use crate::sealing::item;
use crate::secret::SecretBytes;
use crate::vault::layout;

/// Arguments of `seal`.
#[derive(Debug, Args)]
pub struct Seal {
    /// The vault's copies, the item's name, and a file; without one, standard input, or a question at the terminal.
    #[arg(required = true, num_args = 2.., value_names = ["VAULT", "NAME", "FILE"])]
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
        let kind = Kind::try_from(&self.kind).map_err(crate::ceremony::CeremonyError::from)?;
        let mut vault = open::open(&paths, self.vault.expect.as_deref())?;
        let recipient = inbox_recipient(&vault.judgement)?;
        let mut secret = secret(file, &name)?;
        let mut secret = kind.check_proposal(&mut secret).map_err(crate::ceremony::CeremonyError::from)?;
        let mut sealed = Vec::new();
        item::seal_to_inbox(&recipient, &mut secret, &mut sealed)?;
        let _lock = vault.copies.lock()?;
        let file = layout::proposal_file(&name, &self.kind, &crate::encoding::Digest::of(&sealed));
        let written = vault.copies.write_new(&layout::inbox_file(&file), &sealed)?.at_least(1)?;
        if self.vault.expect.is_none() {
            report::remark(&format!("vault: {}", vault.judgement.vault.words()));
        }
        report::remark(&format!("sealed as inbox/{file}, on {}", written.places()));
        report::remark("it becomes an item when custodians approve it: claviger rotate");
        Ok(())
    }
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
        return Ok(Box::new(io::stdin()));
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

//! `claviger enrol`.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::{Failure, Tokens};
use crate::ceremony::enrolment::enrol;
use crate::encoding::{Document, Name};
use crate::interrupt;
use crate::room::Room;
use crate::room::terminal::Terminal;
use crate::vault::disk;

/// Arguments of `enrol`.
#[derive(Debug, Args)]
pub struct Enrol {
    /// The custodian's name: letters a-z, digits and -.
    #[arg(long, value_parser = super::name)]
    pub name: Name,
    /// The custodian's group, for example a department.
    #[arg(long, value_parser = super::name)]
    pub group: Option<Name>,
    /// The enrolment file to write; it must not exist.
    #[arg(short, long = "output", value_name = "FILE")]
    pub output: PathBuf,
}

impl Enrol {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn run(self, tokens: &Tokens) -> Result<(), Failure> {
        let mut room = Terminal::open()?;
        interrupt::install().map_err(Failure::io("listening for Ctrl-C"))?;
        let what = format!("writing {}", self.output.display());
        if self.output.symlink_metadata().is_ok() {
            return Err(Failure::io(what)(std::io::ErrorKind::AlreadyExists.into()));
        }
        let mut source = tokens.source()?;
        let enrolment = enrol(source.as_mut(), &mut room, &self.name, self.group)?;
        let mut file = disk::create_file(&self.output, 0o644).map_err(Failure::io(what.clone()))?;
        file.write_all(&enrolment.encode()).and_then(|()| file.give()).map_err(Failure::io(what))?;
        let key = crate::encoding::Digest::of(&enrolment.signing_key.to_bytes()).words();
        room.say(&format!("{}'s enrolment is in {}.", enrolment.name, self.output.display()));
        room.say(&format!("Read the signing key's words to whoever founds the vault: {key}"));
        Ok(())
    }
}

//! `claviger drill`: a whole life on software tokens, through the same code as the real thing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Failure, found, open, seal};
use crate::ceremony::enrolment::enrol;
use crate::ceremony::recover::{Request, recover};
use crate::ceremony::reveal::Target;
use crate::ceremony::rotate::rotate;
use crate::ceremony::{Setting, found as founding};
use crate::credential::Kind;
use crate::encoding::{Document, Name};
use crate::policy::Policy;
use crate::report;
use crate::room::Room;
use crate::room::scripted::Scripted;
use crate::secret::Pin;
use crate::token::channel::Source;
use crate::token::piv::Piv;
use crate::token::soft::{self, SoftCardOptions, SoftSource};
use crate::transcript::{Enrolment, Which};

/// Example names; plainly so. More custodians are numbered.
const NAMES: [&str; 6] = ["alice", "bob", "carol", "dan", "erin", "frank"];
/// What is sealed and must come back.
const PASSWORD: &str = "correct-horse-battery-staple-2048";
const RECOVERY_KIT: &str = "example recovery kit\nline two\n";

/// Arguments of `drill`.
#[derive(Debug, Args)]
pub struct Drill {
    /// How many example custodians.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=255))]
    pub custodians: u8,
    /// How many of them it takes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=255))]
    pub threshold: u8,
    /// Leave the drill's vault and tokens in this new directory, to play with.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

impl Drill {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure::Drill`] if anything does not come out as it must.
    pub fn run(self) -> Result<(), Failure> {
        let (k, n) = (self.threshold, self.custodians);
        if k < 2 || k > n || u16::from(k) * 2 <= u16::from(n) {
            return Err(crate::ceremony::CeremonyError::Threshold { k, n: usize::from(n) }.into());
        }
        let scratch = Scratch::new(self.dir)?;
        let mut life = Life::begin(scratch.path(), n, k)?;
        life.enrol_everybody()?;
        life.found()?;
        life.seal("root-password", "password", PASSWORD)?;
        life.seal("recovery-kit", "opaque", RECOVERY_KIT)?;
        life.rotate("Rotate: what was sealed becomes items")?;
        life.recover()?;
        life.rotate("Rotate once more, as the calendar says")?;
        life.verify()?;
        life.farewell(scratch.kept());
        Ok(())
    }
}

/// The drill's directory: given and kept, or temporary and removed.
struct Scratch {
    path: PathBuf,
    temporary: bool,
}

impl Scratch {
    fn new(given: Option<PathBuf>) -> Result<Self, Failure> {
        let temporary = given.is_none();
        let path = match given {
            Some(path) => path,
            None => {
                let number = crate::encoding::Nonce16::random().map_err(crate::ceremony::CeremonyError::from)?;
                std::env::temp_dir().join(format!("claviger-drill-{number}"))
            }
        };
        let what = format!("making the directory {}", path.display());
        if std::fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Failure::Arguments(format!("{} is not empty", path.display())));
        }
        std::fs::create_dir_all(path.join("enrolments")).map_err(Failure::io(what.clone()))?;
        std::fs::create_dir_all(path.join("tokens")).map_err(Failure::io(what))?;
        Ok(Self { path, temporary })
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn kept(&self) -> bool {
        !self.temporary
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.temporary {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

struct Life {
    dir: PathBuf,
    names: Vec<Name>,
    pins: BTreeMap<String, String>,
    k: u8,
    room: Scripted,
    source: SoftSource,
}

impl Life {
    fn begin(dir: &Path, n: u8, k: u8) -> Result<Self, Failure> {
        let names: Vec<Name> = (0..n).map(example_name).collect::<Result<_, _>>()?;
        let pins: BTreeMap<String, String> = names
            .iter()
            .zip(1..)
            .map(|(name, number)| (name.to_string(), format!("{:06}", 246_000 + number)))
            .collect();
        let tokens = dir.join("tokens");
        for (name, serial) in names.iter().zip(1000..) {
            let options = SoftCardOptions { firmware: (5, 7, 1), serial, ..SoftCardOptions::default() };
            soft::create_token(&tokens, name.as_str(), options)?;
        }
        let mut source = SoftSource::open(&tokens)?;
        for presence in source.present()? {
            let name = presence.reader.trim_end_matches(".token").to_owned();
            let mut link = source.connect(&presence)?;
            let mut piv = Piv::select(link.begin()?)?;
            let new = pins.get(&name).ok_or_else(|| Failure::Drill(format!("a token of nobody's: {name}")))?;
            piv.change_pin(&pin("123456")?, &pin(new)?)?;
        }
        let room = Scripted::new(pins.clone());
        Ok(Self { dir: dir.to_owned(), names, pins, k, room, source })
    }

    fn paths(&self) -> Vec<PathBuf> {
        vec![self.dir.join("vault"), self.dir.join("vault-copy")]
    }

    fn enrolment(&self, name: &Name) -> PathBuf {
        self.dir.join("enrolments").join(format!("{name}.json"))
    }

    fn enrol_everybody(&mut self) -> Result<(), Failure> {
        self.room.act("Enrol: every custodian's token makes a signing key and proves that it holds it");
        for name in self.names.clone() {
            let enrolment = enrol(&mut self.source, &mut self.room, &name, None)?;
            let path = self.enrolment(&name);
            let what = format!("writing {}", path.display());
            std::fs::write(path, enrolment.encode()).map_err(Failure::io(what))?;
        }
        Ok(())
    }

    fn found(&mut self) -> Result<(), Failure> {
        self.room.act("Found");
        let text = Policy::template("drill", "nobody: this is a drill", self.k, 2);
        let policy_file = self.dir.join("policy.toml");
        std::fs::write(&policy_file, &text).map_err(Failure::io("writing the policy"))?;
        let policy = open::parse_policy(&policy_file, &text)?;
        let enrolments = self
            .names
            .iter()
            .map(|name| {
                let bytes = std::fs::read(self.enrolment(name)).map_err(Failure::io("reading an enrolment"))?;
                Ok(<Enrolment as crate::transcript::Checked>::read(&bytes)?)
            })
            .collect::<Result<Vec<_>, Failure>>()?;
        found::prepare(&self.paths(), &policy, text.as_bytes(), &enrolments)?;
        self.hold(|setting| Ok(founding::found(setting)?))
    }

    fn hold(&mut self, ceremony: impl FnOnce(&mut Setting<'_>) -> Result<(), Failure>) -> Result<(), Failure> {
        let paths = self.paths();
        open::hold_in(&mut self.room, &paths, None, || Ok(Box::new(&mut self.source)), ceremony)
    }

    fn seal(&mut self, name: &str, kind: &str, secret: &str) -> Result<(), Failure> {
        self.room.act(&format!("Seal {name}: anybody can, without a token"));
        let vault = open::open(&self.paths(), None)?;
        let recipient = super::recipient::inbox_recipient(&vault.judgement)?;
        let (name, kind) = (parsed(name)?, parsed(kind)?);
        Kind::try_from(&kind).map_err(crate::ceremony::CeremonyError::from)?;
        let (file, _) = seal::into_inbox(&vault.copies, &recipient, &name, &kind, || Ok(Box::new(secret.as_bytes())))?;
        self.room.say(&format!("{recipient}\nis the inbox; the secret is in inbox/{file}"));
        Ok(())
    }

    fn rotate(&mut self, title: &str) -> Result<(), Failure> {
        self.room.act(title);
        self.hold(|setting| Ok(rotate(setting)?))
    }

    fn recover(&mut self) -> Result<(), Failure> {
        self.room.act("Recover: the identity provider is down, and root-password is needed");
        let request = Request {
            item: parsed("root-password")?,
            credential: Which::Installed,
            incident: "DRILL-1".to_owned(),
            reason: "a drill".to_owned(),
            requester: "the drill".to_owned(),
            lasts: 3600,
        };
        let attending = self.pins.iter().rev().take(usize::from(self.k));
        let attending = attending.map(|(name, pin)| (name.clone(), pin.clone())).collect();
        self.room.attend(attending);
        let held = self.hold(|setting| Ok(recover(setting, &request, &Target::Screen)?));
        self.room.attend(self.pins.clone());
        held?;
        match self.room.shown() {
            [shown] if shown.expose_secret() == PASSWORD.as_bytes() => {
                self.room.say("The credential that came out equals the one that was sealed.");
                Ok(())
            }
            _ => Err(Failure::Drill("what was recovered is not what was sealed".to_owned())),
        }
    }

    fn verify(&mut self) -> Result<(), Failure> {
        self.room.act("Verify: no token, no state, every byte");
        let vault = open::open(&self.paths(), None)?;
        report::text(&report::verify::text(&vault.judgement, vault.copies.unavailable()));
        let ratified = vault.judgement.ratified_head().map(|generation| generation.generation);
        if vault.judgement.is_sound() && ratified == Some(4) {
            Ok(())
        } else {
            Err(Failure::Drill(format!("verify is not content, or generation 4 is not ratified ({ratified:?})")))
        }
    }

    fn farewell(&mut self, kept: bool) {
        self.room.act("The drill is over, and everything held");
        if !kept {
            self.room.say("Nothing of it is left. With --dir DIR it stays, to play with.");
            return;
        }
        let dir = self.dir.display().to_string();
        self.room.say(&format!("The vault is in {dir}/vault and {dir}/vault-copy; the tokens are in {dir}/tokens."));
        for (name, pin) in &self.pins.clone() {
            self.room.say(&format!("   {name}'s PIN: {pin}"));
        }
        self.room.say(&format!(
            "Try: claviger --tokens soft:{dir}/tokens recover {dir}/vault {dir}/vault-copy root-password --incident PLAY-1 --reason practice --requester me"
        ));
    }
}

fn example_name(index: u8) -> Result<Name, Failure> {
    match NAMES.get(usize::from(index)) {
        Some(name) => parsed(name),
        None => parsed(&format!("custodian-{:03}", u16::from(index) + 1)),
    }
}

fn parsed(name: &str) -> Result<Name, Failure> {
    super::name(name).map_err(Failure::Drill)
}

fn pin(text: &str) -> Result<Pin, Failure> {
    Pin::new(zeroize::Zeroizing::new(text.as_bytes().to_vec())).map_err(|error| Failure::Drill(error.to_string()))
}

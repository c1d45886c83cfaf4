//! Ceremonies in the test's own process: no terminal, no program to start, many of them in a second.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use claviger::ceremony::{check, found, recover, resume, reveal::Target, rotate};
use claviger::cli::{self, Failure, open};
use claviger::encoding::Document;
use claviger::policy::Policy;
use claviger::room::{Room, RoomError, Way};
use claviger::secret::{Pin, SecretBytes};
use claviger::token::channel::Source;
use claviger::token::soft::SoftSource;
use claviger::transcript::{Checked, Enrolment, Which};
use zeroize::Zeroizing;

use super::crew::{NAMES, pin};
use super::scene::ITEM;

/// The question and the words offered give the place of the way.
pub type Chooser = Box<dyn FnMut(&str, &[&str]) -> usize>;

/// People in the test's own process.
#[derive(Default)]
pub struct People {
    /// PINs of those who take part, by name.
    pub pins: BTreeMap<String, String>,
    /// Words for the choices that come; the first way when there are none left.
    pub choices: VecDeque<String>,
    /// Who chooses when no words are left; without it, the first way is taken.
    pub chooser: Option<Chooser>,
    /// What was shown.
    pub shown: Vec<String>,
    /// Everything that was said, asked and answered, line by line.
    pub screen: String,
    /// How often a PIN was given.
    pub pins_given: usize,
    /// A file to which what is shown is added at once: a killed run leaves it.
    pub witness: Option<PathBuf>,
}

impl People {
    /// The custodians with these indices (from 0) take part.
    pub fn of(indices: &[usize]) -> Self {
        let pins = indices.iter().map(|&index| (NAMES[index].to_owned(), pin(index))).collect();
        Self { pins, ..Self::default() }
    }

    /// Types these words at the choices that come.
    pub fn choosing(mut self, words: &[&str]) -> Self {
        self.choices = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Has `choose` choose.
    pub fn led_by(mut self, choose: impl FnMut(&str, &[&str]) -> usize + 'static) -> Self {
        self.chooser = Some(Box::new(choose));
        self
    }

    fn line(&mut self, text: &str) {
        self.screen.push_str(text);
        self.screen.push('\n');
    }
}

impl Room for People {
    fn act(&mut self, title: &str) {
        self.line(title);
    }

    fn say(&mut self, text: &str) {
        self.line(text);
    }

    fn warn(&mut self, text: &str) {
        self.line(&format!("! {text}"));
    }

    fn confirm(&mut self, question: &str) -> Result<bool, RoomError> {
        self.line(&format!("{question} yes"));
        Ok(true)
    }

    fn ask(&mut self, question: &str) -> Result<String, RoomError> {
        self.line(question);
        Ok(String::new())
    }

    fn choose(&mut self, question: &str, ways: &[Way<'_>]) -> Result<usize, RoomError> {
        let words: Vec<&str> = ways.iter().map(|way| way.word).collect();
        let chosen = match self.choices.pop_front() {
            None => self.chooser.as_mut().map_or(0, |choose| choose(question, &words)),
            Some(word) => words.iter().position(|offered| *offered == word).unwrap_or_else(|| {
                panic!("{question} offers {words:?}, not {word}\n{}", self.screen);
            }),
        };
        self.line(&format!("{question} {words:?} {}", words[chosen]));
        Ok(chosen)
    }

    fn ask_pin(&mut self, who: &str, prompt: &str) -> Result<Option<Pin>, RoomError> {
        self.line(prompt);
        let Some(pin) = self.pins.get(who) else { return Ok(None) };
        self.pins_given += 1;
        Ok(Some(Pin::new(Zeroizing::new(pin.clone().into_bytes())).unwrap()))
    }

    fn ask_secret(&mut self, prompt: &str) -> Result<Option<SecretBytes>, RoomError> {
        self.line(prompt);
        Ok(None)
    }

    fn show_secret(&mut self, title: &str, secret: &SecretBytes) -> Result<(), RoomError> {
        self.line(title);
        if let Some(path) = &self.witness {
            std::fs::write(path, secret.expose_secret()).unwrap();
        }
        self.shown.push(String::from_utf8(secret.expose_secret().to_vec()).unwrap());
        Ok(())
    }
}

/// What is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// `found`, with the enrolments and the policy in the site.
    Found,
    /// `recover` of [`ITEM`].
    Recover,
    /// `recover` of this item, with a grant for so many seconds.
    RecoverOf(&'static str, i64),
    /// `rotate`.
    Rotate,
    /// `check`.
    Check,
    /// `resume`.
    Resume,
}

/// A directory with `vault`, other copies, `tokens`, `policy.toml` and enrolments, as [`super::crew::Place`] lays it out.
#[derive(Debug, Clone)]
pub struct Site {
    /// Where it is.
    pub dir: PathBuf,
}

impl Site {
    /// Holds a ceremony on these copies, through all that the command line does but the terminal.
    ///
    /// # Errors
    /// What the command line would print.
    pub fn hold(&self, command: Command, vaults: &[&str], people: &mut People) -> Result<(), Failure> {
        let mut source = SoftSource::open(&self.dir.join("tokens")).unwrap();
        self.hold_with(command, vaults, people, &mut source)
    }

    /// The same with another source of tokens.
    ///
    /// # Errors
    /// What the command line would print.
    pub fn hold_with(
        &self,
        command: Command,
        vaults: &[&str],
        people: &mut People,
        source: &mut dyn Source,
    ) -> Result<(), Failure> {
        let mut paths: Vec<PathBuf> = vaults.iter().map(|vault| self.dir.join(vault)).collect();
        if command == Command::Found {
            paths = self.lay_out(&paths)?;
        }
        open::hold_in(
            people,
            &paths,
            None,
            || Ok(Box::new(source)),
            |setting| {
                match command {
                    Command::Found => found::found(setting)?,
                    Command::Recover => recover::recover(setting, &request(ITEM, 3600), &Target::Screen)?,
                    Command::RecoverOf(item, lasts) => {
                        recover::recover(setting, &request(item, lasts), &Target::Screen)?;
                    }
                    Command::Rotate => rotate::rotate(setting)?,
                    Command::Check => check::check(setting)?,
                    Command::Resume => resume::resume(setting, &Target::Screen)?,
                }
                Ok(())
            },
        )
    }

    fn lay_out(&self, paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
        let policy = std::fs::read(self.dir.join("policy.toml")).unwrap();
        let enrolments = NAMES.iter().filter_map(|name| std::fs::read(self.dir.join(format!("{name}.json"))).ok());
        let enrolments: Vec<Enrolment> = enrolments.map(|bytes| Enrolment::read(&bytes).unwrap()).collect();
        let parsed = Policy::parse(std::str::from_utf8(&policy).unwrap()).unwrap();
        cli::found::prepare(paths, &parsed, &policy, &enrolments)
    }
}

/// What is asked for.
pub fn request(item: &str, lasts: i64) -> recover::Request {
    recover::Request {
        item: item.parse().unwrap(),
        credential: Which::Installed,
        incident: "INC-7".to_owned(),
        reason: "the identity provider is down".to_owned(),
        requester: "operations".to_owned(),
        lasts,
    }
}

/// The whole of an error, as the command line would print it.
pub fn told(failure: &Failure) -> String {
    claviger::error::sentence(failure)
}

//! A process that holds a ceremony and kills itself at one of its points.

use std::cell::Cell;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Program, Stdio};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use claviger::token::channel::{ChannelError, Link, Presence, Source};
use claviger::token::pcsc::PcscSource;

use crate::ground::{Run, VAULTS};
use crate::harness::Pcscd;
use crate::harness::inside::{Command, People, Site, told};
use crate::truth::plain_name;

const SITE: &str = "CLAVIGER_CRASH_SITE";
const COMMAND: &str = "CLAVIGER_CRASH_COMMAND";
const WHO: &str = "CLAVIGER_CRASH_WHO";
const OUTSIDE: &str = "CLAVIGER_CRASH_OUTSIDE";
const POINT: &str = "CLAVIGER_CRASH_POINT";
const TIME: &str = "CLAVIGER_CRASH_TIME";
const ON_CARDS: &str = "CLAVIGER_CRASH_ON_CARDS";
/// What the process says of itself: files outside of the site.
const SHOWN: &str = "shown";
const NAMES: &str = "points";
const ENDED: &str = "ended";
const SIGKILL: i32 = 9;

/// A new process has the locks of this one, on cards and copies, until it becomes another program: nobody here holds a
/// ceremony while one is started.
static STARTING: RwLock<()> = RwLock::new(());

/// While this is held, no process is started.
pub fn nobody_starts() -> RwLockReadGuard<'static, ()> {
    STARTING.read().unwrap_or_else(PoisonError::into_inner)
}

/// The program that holds the ceremonies: this test, without what debuggers want to know of it, which every ceremony would
/// read to say its own digest.
pub fn program(dir: &Path) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let bare = dir.join("crash");
    let stripped = Program::new("strip").arg("-o").arg(&bare).arg(&this).stderr(Stdio::null()).status();
    if stripped.is_ok_and(|status| status.success()) { bare } else { this }
}

/// A point of a run, by its name and how often that was passed: an age file has a stanza of random length, which is written
/// in more or fewer pieces, so that numbers would mean other points in every run.
pub struct Point {
    name: String,
    time: usize,
}

impl Point {
    /// The point with this number, from 1.
    pub fn of(names: &[String], number: usize) -> Self {
        let name = plain_name(Path::new(&names[number - 1]));
        let time = names[..number].iter().filter(|other| plain_name(Path::new(other)) == name).count();
        Self { name, time }
    }

    /// Whether every run passes it.
    fn is_certain(&self) -> bool {
        !self.name.starts_with("append")
    }
}

/// Where a process holds a run.
pub struct Stage<'a> {
    /// [`program`].
    pub program: &'a Path,
    pub run: &'a Run,
    /// Who is there.
    pub who: &'a [usize],
    /// Copies, tokens, enrolments.
    pub site: &'a Path,
    /// A directory for what the process says of itself.
    pub outside: &'a Path,
    /// Who has the cards; without it, they are the software tokens of the site.
    pub pcscd: Option<&'a Pcscd>,
}

/// What a process left behind.
pub struct Left {
    /// What was shown.
    pub shown: String,
    /// The names of the points that were passed.
    pub names: Vec<String>,
    /// How the ceremony ended, if it came to an end: what the command line would print, if it failed.
    pub ended: Option<Result<(), String>>,
}

impl Stage<'_> {
    /// The run is held by a process that is killed at this point. `None`: the run had no such point.
    pub fn kill(&self, point: &Point) -> Option<Left> {
        let output = self.start(Some(point)).wait_with_output().unwrap();
        let left = self.left();
        if left.ended.is_some() && !point.is_certain() {
            assert_eq!(left.ended, Some(Ok(())));
            return None;
        }
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.signal(), Some(SIGKILL), "it was not killed: {:?} {said}", left.ended);
        Some(left)
    }

    /// Starts the process, which kills itself at this point, or goes on to the end of the ceremony.
    pub fn start(&self, point: Option<&Point>) -> Child {
        let home = self.home();
        std::fs::create_dir(&home).unwrap();
        let who: Vec<String> = self.who.iter().map(usize::to_string).collect();
        let mut program = Program::new(self.program);
        program
            .args(["--exact", "a_run_that_is_killed", "--ignored", "--test-threads", "1"])
            .env(SITE, self.site)
            .env(OUTSIDE, self.outside)
            .env(COMMAND, format!("{:?}", self.run.command))
            .env(WHO, who.join(","))
            // Temporary files, if there were any, would be found on the site.
            .env("TMPDIR", &home)
            .env("HOME", &home)
            .current_dir(&home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if let Some(point) = point {
            program.env(POINT, &point.name).env(TIME, point.time.to_string());
        }
        if let Some((name, socket)) = self.pcscd.map(Pcscd::environment) {
            program.env(name, socket).env(ON_CARDS, "1");
        }
        let _starting = STARTING.write().unwrap_or_else(PoisonError::into_inner);
        program.spawn().unwrap()
    }

    /// What it left behind, when it has ended.
    pub fn left(&self) -> Left {
        let count = std::fs::read_dir(self.home()).unwrap().count();
        assert_eq!(count, 0, "it left temporary files behind");
        std::fs::remove_dir(self.home()).unwrap();
        let text = |name: &str| std::fs::read_to_string(self.outside.join(name)).ok();
        let ended = |said: String| if said.is_empty() { Ok(()) } else { Err(said) };
        Left {
            shown: text(SHOWN).unwrap_or_default(),
            names: text(NAMES).expect("it began").lines().map(str::to_owned).collect(),
            ended: text(ENDED).map(ended),
        }
    }

    fn home(&self) -> PathBuf {
        self.site.join("home")
    }
}

/// The process that is killed.
pub fn be_killed() {
    let Some(site) = std::env::var_os(SITE) else { return };
    let text = |name: &str| std::env::var(name).unwrap();
    let command = match text(COMMAND).as_str() {
        "Found" => Command::Found,
        "Recover" => Command::Recover,
        "Rotate" => Command::Rotate,
        "Check" => Command::Check,
        "Resume" => Command::Resume,
        other => panic!("{other}"),
    };
    let who: Vec<usize> = text(WHO).split(',').map(|index| index.parse().unwrap()).collect();
    let outside = PathBuf::from(text(OUTSIDE));
    // A card that was pulled is waited for.
    let wait = |words: &[&str]| words.iter().position(|word| *word == "other").unwrap_or(0);
    let mut people = People::of(&who).led_by(move |_, words| wait(words));
    people.witness = Some(outside.join(SHOWN));
    let point = std::env::var(POINT).ok();
    let mut left = std::env::var(TIME).map_or(0, |time| time.parse::<usize>().unwrap());
    let mut log = std::fs::File::create(outside.join(NAMES)).unwrap();
    let _watch = claviger::fault::watch(move |name| {
        writeln!(log, "{name}").unwrap();
        let Some(point) = &point else { return };
        left -= usize::from(plain_name(Path::new(name)) == *point);
        if left == 0 {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    });
    let site = Site { dir: site.into() };
    let held = match std::env::var_os(ON_CARDS) {
        Some(_) => site.hold_with(command, &VAULTS, &mut people, &mut InReaders::open()),
        None => site.hold(command, &VAULTS, &mut people),
    };
    std::fs::write(outside.join(ENDED), held.as_ref().map_or_else(told, |()| String::new())).unwrap();
}

/// Cards in readers, for a vault that was founded with the same cards as software tokens, and takes no others: that is asked
/// first. From then on they are cards, which come and go.
struct InReaders {
    cards: PcscSource,
    asked: Cell<bool>,
}

impl InReaders {
    fn open() -> Self {
        Self { cards: PcscSource::new().unwrap(), asked: Cell::new(false) }
    }
}

impl Source for InReaders {
    fn software(&self) -> bool {
        !self.asked.replace(true)
    }

    fn present(&mut self) -> Result<Vec<Presence>, ChannelError> {
        self.cards.present()
    }

    fn wait(&mut self, seen: &[Presence]) -> Result<(), ChannelError> {
        self.cards.wait(seen)
    }

    fn connect(&mut self, presence: &Presence) -> Result<Box<dyn Link>, ChannelError> {
        self.cards.connect(presence)
    }
}

//! A process that holds a ceremony and kills itself at one of its points.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command as Program, Stdio};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use crate::ground::{Run, VAULTS};
use crate::harness::inside::{Command, People, Site};
use crate::truth::plain_name;

const SITE: &str = "CLAVIGER_CRASH_SITE";
const COMMAND: &str = "CLAVIGER_CRASH_COMMAND";
const WHO: &str = "CLAVIGER_CRASH_WHO";
const WITNESS: &str = "CLAVIGER_CRASH_WITNESS";
const POINT: &str = "CLAVIGER_CRASH_POINT";
const LOG: &str = "CLAVIGER_CRASH_LOG";
const TIME: &str = "CLAVIGER_CRASH_TIME";
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

/// Holds the run in a process of its own, which is killed at this point: what was shown, and the names of the points that it
/// passed. `None`: the run had no such point.
pub fn kill(program: &Path, run: &Run, site: &Path, outside: &Path, point: &Point) -> Option<(String, Vec<String>)> {
    let (log, witness, home) = (outside.join("points"), outside.join("shown"), site.join("home"));
    std::fs::create_dir(&home).unwrap();
    let who: Vec<String> = run.who.iter().map(usize::to_string).collect();
    let starting = STARTING.write().unwrap_or_else(PoisonError::into_inner);
    let child = Program::new(program)
        .args(["--exact", "a_run_that_is_killed", "--ignored", "--test-threads", "1"])
        .env(SITE, site)
        .env(COMMAND, format!("{:?}", run.command))
        .env(WHO, who.join(","))
        .env(WITNESS, &witness)
        .env(POINT, &point.name)
        .env(TIME, point.time.to_string())
        .env(LOG, &log)
        // Temporary files, if there were any, would be found on the site.
        .env("TMPDIR", &home)
        .env("HOME", &home)
        .current_dir(&home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    drop(starting);
    let output = child.unwrap().wait_with_output().unwrap();
    let said = || String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.code().is_some() && !point.is_certain() {
        assert!(said().contains(TO_ITS_END), "{}", said());
        return None;
    }
    assert_eq!(output.status.signal(), Some(SIGKILL), "it was not killed: {}", said());
    let names = std::fs::read_to_string(log).unwrap();
    let names = names.lines().map(str::to_owned).collect::<Vec<_>>();
    let left = std::fs::read_dir(&home).unwrap().count();
    assert_eq!(left, 0, "it left temporary files behind");
    std::fs::remove_dir(&home).unwrap();
    Some((std::fs::read_to_string(witness).unwrap_or_default(), names))
}

const TO_ITS_END: &str = "it went on to its end: Ok(())";

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
    let mut people = People::of(&who);
    people.witness = Some(text(WITNESS).into());
    let (point, mut left) = (text(POINT), text(TIME).parse::<usize>().unwrap());
    let mut log = std::fs::File::create(text(LOG)).unwrap();
    let _watch = claviger::fault::watch(move |name| {
        writeln!(log, "{name}").unwrap();
        left -= usize::from(plain_name(Path::new(name)) == point);
        if left == 0 {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    });
    let held = Site { dir: site.into() }.hold(command, &VAULTS, &mut people);
    panic!("it went on to its end: {held:?}");
}

//! A process that holds a ceremony and kills itself at one of its points.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command as Program, Stdio};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use crate::ground::{Run, VAULTS};
use crate::harness::inside::{Command, People, Site};

const SITE: &str = "CLAVIGER_CRASH_SITE";
const COMMAND: &str = "CLAVIGER_CRASH_COMMAND";
const WHO: &str = "CLAVIGER_CRASH_WHO";
const WITNESS: &str = "CLAVIGER_CRASH_WITNESS";
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

/// Holds the run in a process of its own, which is killed at point `number`: what was shown, and the names of the points that
/// it passed.
pub fn kill(program: &Path, run: &Run, site: &Path, outside: &Path, number: usize) -> (String, Vec<String>) {
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
        .env("CLAVIGER_FAULT_AT", number.to_string())
        .env("CLAVIGER_FAULT_LOG", &log)
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
    assert_eq!(output.status.signal(), Some(SIGKILL), "it was not killed: {}", said());
    let names = std::fs::read_to_string(log).unwrap();
    let names = names.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect();
    let left = std::fs::read_dir(&home).unwrap().count();
    assert_eq!(left, 0, "it left temporary files behind");
    std::fs::remove_dir(&home).unwrap();
    (std::fs::read_to_string(witness).unwrap_or_default(), names)
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
    let mut people = People::of(&who);
    people.witness = Some(text(WITNESS).into());
    let held = Site { dir: site.into() }.hold(command, &VAULTS, &mut people);
    panic!("it went on to its end: {held:?}");
}

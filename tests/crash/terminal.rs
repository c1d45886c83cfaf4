//! The program itself, at a terminal: it passes the points that a ceremony in a test's process passes.

use std::path::Path;

use crate::ground::{Run, VAULTS, runs};
use crate::harness::Terminal;
use crate::harness::crew::Crew;
use crate::harness::inside::Command;
use crate::harness::scene::{RECOVER, SECRET};
use crate::image::directory;
use crate::next::go_on;
use crate::truth::{examine, passed};

/// What a shell says of a process that was killed.
const SIGKILL: i32 = 128 + 9;

/// Cuts a recover at so many points.
pub fn sample(cuts: usize) {
    let run = runs(2, 3).into_iter().find(|run| run.command == Command::Recover).unwrap();
    let watched = run.watched();
    let (names, count) = (passed(&watched.names), watched.names.len());
    for cut in 1..=cuts {
        // An odd step at the beginning of each part, so that points before and after something are met. Not at the very end:
        // another run may have fewer.
        let point = (2 * cut - 1) * count / (2 * cuts) + cut % 2;
        let (dir, outside) = (directory(), directory());
        run.lay_out(dir.path());
        let (shown, here) = kill_at_terminal(dir.path(), outside.path(), &run, point);
        let here = passed(&here);
        assert_eq!(here, names[..here.len()], "the program passes other points");
        assert_eq!(shown.is_empty(), here.iter().all(|name| name != "reveal/after"), "point {point}");
        let standing = examine(dir.path(), &run, &shown);
        let subsets = run.subsets();
        go_on(dir.path(), &run, &standing, &subsets[cut % subsets.len()], cut);
    }
    println!("{cuts} of {count} points of the program at a terminal");
}

fn kill_at_terminal(site: &Path, outside: &Path, run: &Run, point: usize) -> (String, Vec<String>) {
    let log = outside.join("points");
    let tokens = format!("soft:{}", site.join("tokens").display());
    let vaults = VAULTS.map(|vault| site.join(vault).display().to_string());
    let args: Vec<&str> = ["--tokens", &tokens, RECOVER[0]]
        .into_iter()
        .chain(vaults.iter().map(String::as_str))
        .chain(RECOVER[1..].iter().copied())
        .collect();
    let environment = [("CLAVIGER_FAULT_AT", point.to_string()), ("CLAVIGER_FAULT_LOG", log.display().to_string())];
    let mut terminal = Terminal::claviger(&args, &environment);
    let code = Crew::of(&run.who).hold(&mut terminal, || {});
    assert_eq!(code, SIGKILL, "it was not killed: {}", terminal.screen());
    let names = std::fs::read_to_string(log).unwrap();
    let names = names.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect();
    let shown = String::from_utf8_lossy(terminal.raw()).contains(SECRET);
    (if shown { SECRET.to_owned() } else { String::new() }, names)
}

//! The program itself, at a terminal: it passes the points that a ceremony in a test's process passes.

use std::path::Path;

use crate::ground::{Run, VAULTS, runs};
use crate::harness::Terminal;
use crate::harness::crew::Crew;
use crate::harness::inside::Command;
use crate::harness::scene::{RECOVER, SECRET};
use crate::image::directory;
use crate::next::go_on;
use crate::truth::{examine, plain_name};

/// What a shell says of a process that was killed.
const SIGKILL: i32 = 128 + 9;

/// Cuts a recover at so many points, the last of them after the reveal.
pub fn sample(cuts: usize) {
    let run = runs(2, 3).into_iter().find(|run| run.command == Command::Recover).unwrap();
    let watched = run.watched();
    let names: Vec<String> = watched.names.iter().map(|name| plain_name(Path::new(name))).collect();
    let revealed = names.iter().position(|name| name == "reveal/after").unwrap() + 1;
    for cut in 1..=cuts {
        // An odd step at the beginning of each part, so that points before and after something are met.
        let point = if cut == cuts { revealed } else { cut * revealed / cuts + cut % 2 };
        let (dir, outside) = (directory(), directory());
        run.lay_out(dir.path());
        let (shown, passed) = kill_at_terminal(dir.path(), outside.path(), &run, point);
        assert_eq!(passed, names[..point], "the program passes other points");
        assert_eq!(shown.is_empty(), cut < cuts, "point {point}");
        let standing = examine(dir.path(), &run, &shown);
        let subsets = run.subsets();
        go_on(dir.path(), &run, &standing, &subsets[cut % subsets.len()], cut);
    }
    println!("{cuts} of {} points of the program at a terminal", names.len());
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
    let names = names.lines().map(|line| plain_name(Path::new(line.split_once(' ').unwrap().1))).collect();
    let shown = String::from_utf8_lossy(terminal.raw()).contains(SECRET);
    (if shown { SECRET.to_owned() } else { String::new() }, names)
}

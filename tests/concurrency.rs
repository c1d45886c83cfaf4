//! Two ceremonies at once: on one copy, on pairs of copies that overlap, and where the file system lies about locks.

#[path = "harness/harness.rs"]
mod harness;

use harness::Terminal;
use harness::crew::{CONFIRM, Crew, PIN, SHOWN};
use harness::scene::{RECOVER, SECRET, Scene};

const BOTH: [&str; 2] = ["vault", "copy"];
const LIES: [(&str, &str); 1] = [("CLAVIGER_FAULT_NO_LOCKS", "1")];

/// What became of a ceremony.
#[derive(Debug)]
struct Outcome {
    code: i32,
    shown: Vec<String>,
    screen: String,
}

fn end(mut crew: Crew, mut terminal: Terminal) -> Outcome {
    let code = crew.hold(&mut terminal, || {});
    Outcome { code, shown: crew.shown, screen: terminal.screen().to_owned() }
}

#[test]
fn explore() {
    let scene = Scene::new(2, 3);
    let places = ["yes or no", "alice has approved", "is written to every copy", "alice has proven", "Press any key"];
    for second in [&RECOVER[..], &["rotate"], &["resume"]] {
        for who in [[0, 1], [1, 2]] {
            for until in places {
                let mut first = Crew::of(&[0, 1]);
                let mut terminal = scene.start_in(&RECOVER, &BOTH, &LIES);
                first.hold_until(&mut terminal, until);
                if until == "yes or no" { terminal.type_line("yes"); }
                let crew = Crew::of(&who);
                let other = end(crew, scene.start_in(second, &BOTH, &LIES));
                let one = end(first, terminal);
                let last = |o: &Outcome| o.screen.lines().filter(|l| l.contains("claviger: ")).map(str::to_owned).collect::<Vec<_>>();
                println!("### {until} | {} {who:?}: first {} shown {:?} {:?}\n      second {} shown {:?} {:?}", second[0], one.code, one.shown, last(&one), other.code, other.shown, last(&other));
                println!("      tries {:?} verify {}", scene.tries(), scene.verify(&BOTH).0);
                let seen = scene.hold(&["resume"], &BOTH, &[0, 1]);
                println!("      resume {}", seen.code);
                scene.recovers(&BOTH, &[0, 2]);
            }
        }
    }
}

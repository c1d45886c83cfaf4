//! The power fails in the middle of a ceremony: whatever is then on the copies and the tokens, it is told rightly, and the
//! next people go on from there and get the credential.
//!
//! `found`, `rotate`, `resume`, `check` and `recover` are held for a 2-of-3 and a 3-of-4, and cut at their points
//! ([`claviger::fault`]): before and after every change of a file, every sync, every APDU, and the reveal. One point is one
//! process that holds the ceremony through all that the command line does but the terminal, and kills itself there (SIGKILL:
//! no destructor runs, no error is returned). The files of software tokens are no part of this: that a card is in the state
//! before a command or in the one after, and in none between, is the card's promise.
//!
//! What a SIGKILL leaves is what stands on the file system at that point, no more and no less: the system keeps what was
//! written. (What a power cut may lose of it is another test's matter.) So one run that is watched shows what every kill
//! leaves. Most points change nothing: there are a few hundred *states*. From each state every k custodians go on, alone. Each
//! kill is held to the state of its point (the same files, the same keys and containers on the cards, the same verdict), is
//! examined like it, and of every few the next people go on. Together: every point, with every choice of k people.
//!
//! Answers of cards that are lost are another matter, for then the program goes on: the card is pulled at each command that
//! changes it, after it was executed and before, inserted again at once, or gone while a further custodian is there; and,
//! between every two changes of anything, at one command that only reads.
//!
//! After each: [`truth`] says what must hold, [`next`] how the next people go on. By default a sample is cut;
//! `CLAVIGER_TEST_EVERY_POINT=1` goes on from every state and kills at the first and the last point of each;
//! `CLAVIGER_TEST_EVERY_POINT=literally` cuts the points between, and all commands that only read, as well. `CLAVIGER_TEST_RUNS=recover,found` holds only these.

#[path = "harness/harness.rs"]
mod harness;

#[path = "crash/ground.rs"]
mod ground;
#[path = "crash/image.rs"]
mod image;
#[path = "crash/killed.rs"]
mod killed;
#[path = "crash/next.rs"]
mod next;
#[path = "crash/sweep.rs"]
mod sweep;
#[path = "crash/terminal.rs"]
mod terminal;
#[path = "crash/truth.rs"]
mod truth;

use sweep::{Sample, all, sweep};

fn sweep_all(k: usize, n: usize, sample: Sample) {
    let place = image::directory();
    let program = killed::program(place.path());
    let threads = if all() { 2 } else { 1 };
    let mut failures = Vec::new();
    for run in ground::chosen_runs(k, n) {
        let figures = sweep(&run, &program, sample, threads);
        println!("{figures}");
        failures.extend(figures.failures());
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n\n"));
}

#[test]
fn every_ceremony_of_2_of_3_is_finished_by_whoever_comes_next() {
    sweep_all(2, 3, Sample { states: 2, kills: 2, losses: 1 });
}

#[test]
fn every_ceremony_of_3_of_4_is_finished_by_whoever_comes_next() {
    sweep_all(3, 4, Sample { states: 1, kills: 1, losses: 1 });
}

#[test]
fn the_program_at_a_terminal_passes_the_same_points_and_leaves_the_same() {
    terminal::sample(if all() { 24 } else { 6 });
}

#[test]
#[ignore = "not a test: the process that the others kill"]
fn a_run_that_is_killed() {
    killed::be_killed();
}

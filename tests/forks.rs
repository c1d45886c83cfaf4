//! Two copies of a vault that went their own ways, cut at every point of the two rounds, whoever attends: nothing is lost,
//! nothing is shown twice, and people are told the way on.
//!
//! `CLAVIGER_TEST_EVERY_FORK=1` takes every state; otherwise a sample is taken, which `CLAVIGER_TEST_SEED` chooses.

#[path = "harness/harness.rs"]
mod harness;

#[path = "forks/kind.rs"]
mod kind;
#[path = "forks/laws.rs"]
mod laws;
#[path = "forks/sweep.rs"]
mod sweep;

use claviger::encoding::Digest;
use harness::inside::Command;
use harness::world::{Frame, Held, World};
use sweep::{BOTH, CAREFUL, HASTY, Sweep};

/// How much of it is taken.
struct Extent {
    /// Every choice of people who hold the first ceremony, and each copy for the second.
    complete: bool,
    /// Of the states of the first and of the second ceremony: how many at most.
    states: (usize, usize),
    /// How many choices of people come second, and next.
    people: (usize, usize),
    random: u64,
}

impl Extent {
    /// `CLAVIGER_TEST_EVERY_FORK=1`: complete. `=N`: so many states of each ceremony at most, and every choice of people.
    fn new(sample: ((usize, usize), (usize, usize)), complete: ((usize, usize), (usize, usize))) -> Self {
        let every: Option<usize> = std::env::var("CLAVIGER_TEST_EVERY_FORK").ok().map(|every| every.parse().unwrap());
        let ((first, second), people) = if every.is_some() { complete } else { sample };
        let at_most = every.filter(|every| *every > 1).unwrap_or(ALL);
        let seed = std::env::var("CLAVIGER_TEST_SEED").map_or(7, |seed| seed.parse().unwrap());
        println!("CLAVIGER_TEST_SEED={seed}");
        let states = (first.min(at_most), second.min(at_most));
        Self { complete: every.is_some(), states, people, random: 0x9e37_79b9_7f4a_7c15 ^ seed }
    }

    /// xorshift64.
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// Who holds the first ceremony.
    fn first(&mut self, sweep: &Sweep) -> Vec<Vec<usize>> {
        let at_most = if self.complete { ALL } else { 1 };
        self.some(sweep.first_attendees(), at_most)
    }

    /// At most so many, in their order.
    fn some<T>(&mut self, mut all: Vec<T>, at_most: usize) -> Vec<T> {
        while all.len() > at_most {
            let place = self.random() as usize % all.len();
            all.remove(place);
        }
        all
    }
}
const ALL: usize = usize::MAX;

/// Two ceremonies on two copies that do not know of each other.
fn apart(sweep: &mut Sweep, extent: &mut Extent) {
    let base = sweep.base.clone();
    let mut begun = std::collections::HashSet::new();
    for first in extent.first(sweep) {
        let held = sweep.hold(&base, Command::Recover, &["vault"], &first, HASTY);
        assert_eq!(held.people.shown.len(), 1, "{}", held.people.screen);
        let states = sweep.states(&held);
        println!("the first ceremony, by {first:?}: {} states", states.len());
        let at_most = extent.states.0;
        for state in extent.some(states, at_most) {
            let at_most = extent.people.0;
            for second in extent.some(sweep.attendees(), at_most) {
                if !begun.insert(sweep.case(&state.world, &second)) {
                    continue;
                }
                let left = format!("{first:?} cut after {}, then {second:?}", state.point);
                println!("{} cases, {left}", sweep.figures.cases);
                for held in second_ceremony(sweep, &state.world, &second) {
                    leave(sweep, extent, &held, &left);
                }
            }
        }
    }
}

/// On the other copy: by people who stop where a token is in a ceremony that they do not have, and by people who say that
/// it is lost.
fn second_ceremony(sweep: &mut Sweep, world: &World, who: &[usize]) -> Vec<Held> {
    let careful = sweep.hold(world, Command::Recover, &["copy"], who, CAREFUL);
    let taken_part = sweep.have_moved_on(world, who);
    assert_eq!(careful.result.is_err(), taken_part, "{who:?}:\n{}", careful.people.screen);
    assert!(!taken_part || careful.people.shown.is_empty());
    let stopped = laws::stop(&careful).is_some_and(|stop| stop.contains("which these copies do not have"));
    let mut held = vec![careful];
    if stopped {
        held.push(sweep.hold(world, Command::Recover, &["copy"], who, HASTY));
    }
    held
}

/// Cut at any state, and taken up.
fn leave(sweep: &mut Sweep, extent: &mut Extent, held: &Held, left: &str) {
    let mut states = sweep.states(held);
    let last = states.pop();
    let at_most = extent.states.1 - 1;
    let mut states = extent.some(states, at_most);
    states.extend(last);
    for Frame { point, world } in states {
        let at_most = extent.people.1;
        let who = extent.some(sweep.attendees(), at_most);
        let alone = extent.some(BOTH.to_vec(), 1);
        sweep.take_up(&world, &format!("{left} cut after {point}"), &who, &alone);
    }
}

fn report(sweep: &Sweep, start: std::time::Instant) {
    let figures = &sweep.figures;
    println!(
        "{} cases of {} kinds, {} ceremonies held, {} credentials recovered, {:.0?}",
        figures.cases,
        figures.kinds.len(),
        figures.held,
        figures.recovered,
        start.elapsed()
    );
    figures.stops.iter().for_each(|(stop, count)| println!("{count:6} {stop}"));
    assert!(figures.failures.is_empty(), "{} failures:\n{}", figures.failures.len(), figures.failures.join("\n\n"));
}

#[test]
fn two_copies_of_2_of_3_that_went_their_own_ways() {
    let start = std::time::Instant::now();
    let mut extent = Extent::new(((2, 2), (1, 1)), ((ALL, ALL), (ALL, ALL)));
    let mut sweep = Sweep::new(2, 3);
    apart(&mut sweep, &mut extent);
    report(&sweep, start);
}

#[test]
fn two_copies_of_3_of_5_that_went_their_own_ways() {
    let start = std::time::Instant::now();
    let mut extent = Extent::new(((1, 1), (1, 1)), ((6, 4), (ALL, 2)));
    let mut sweep = Sweep::new(3, 5);
    apart(&mut sweep, &mut extent);
    report(&sweep, start);
}

/// A first ceremony on both copies, of which one lags behind; a second one on one of them.
fn two_crashes(sweep: &mut Sweep, extent: &mut Extent) {
    let base = sweep.base.clone();
    let mut begun: std::collections::HashSet<Digest> = std::collections::HashSet::new();
    for first in extent.first(sweep) {
        let held = sweep.hold(&base, Command::Recover, &BOTH, &first, CAREFUL);
        let states = torn(sweep, &held);
        println!("the first ceremony, by {first:?}: {} states of two copies", states.len());
        let at_most = extent.states.0;
        for (point, world) in extent.some(states, at_most) {
            let at_most = extent.people.0;
            for second in extent.some(sweep.attendees(), at_most) {
                if !begun.insert(sweep.case(&world, &second)) {
                    continue;
                }
                let copies = if extent.complete { BOTH.to_vec() } else { extent.some(BOTH.to_vec(), 1) };
                println!("{} cases, {first:?} cut after {point}, then {second:?}", sweep.figures.cases);
                for copy in copies {
                    let left = format!("{first:?} cut after {point}, then {second:?} with {copy} alone");
                    for held in with_one(sweep, &world, copy, &second) {
                        leave(sweep, extent, &held, &left);
                    }
                }
            }
        }
    }
}

/// What a power cut leaves on two copies: one has all that was written, the other lacks the last files, up to two documents.
fn torn(sweep: &mut Sweep, held: &Held) -> Vec<(String, World)> {
    let mut states = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    let written: Vec<usize> =
        (1..held.frames.len()).filter(|at| held.frames[*at].point.starts_with("write:")).collect();
    for (at, frame) in held.frames.iter().enumerate() {
        let earlier = written.iter().rev().filter(|before| **before <= at).take(2).map(|before| before - 1);
        for behind in earlier {
            for copy in BOTH {
                let mut world = frame.world.clone();
                let old = held.frames[behind].world.copies[copy].clone();
                world.copies.insert(copy.to_owned(), old);
                if seen.insert(sweep.kind(&world)) {
                    states.push((format!("{} with {copy} behind", frame.point), world));
                }
            }
        }
    }
    states
}

/// What the program tells people to do with one copy, as far as they come.
fn with_one(sweep: &mut Sweep, world: &World, copy: &str, who: &[usize]) -> Vec<Held> {
    let held = sweep.hold(world, Command::Recover, &[copy], who, HASTY);
    let resume = laws::stop(&held).is_some_and(|stop| stop.contains("claviger resume"));
    let next = resume.then(|| sweep.hold(held.world(), Command::Resume, &[copy], who, HASTY));
    [Some(held), next].into_iter().flatten().collect()
}

#[test]
fn two_crashes_in_a_row_on_different_copies() {
    let start = std::time::Instant::now();
    let mut extent = Extent::new(((2, 1), (1, 1)), ((ALL, ALL), (ALL, 1)));
    let mut sweep = Sweep::new(2, 3);
    two_crashes(&mut sweep, &mut extent);
    report(&sweep, start);
}

#[test]
fn a_custodian_who_has_closed_on_a_copy_that_is_away_closes_again_and_both_closings_are_right() {
    let mut sweep = Sweep::new(2, 3);
    let base = sweep.base.clone();
    let held = sweep.hold(&base, Command::Recover, &BOTH, &[0, 1], CAREFUL);
    let closed = held.frames.iter().position(|frame| frame.point.ends_with("closings/01-alice.sig")).unwrap();
    // The other copy never got it: its medium lost what was written last.
    let mut world = held.frames[closed].world.clone();
    let committed = held.frames.iter().rposition(|frame| frame.point.ends_with("/COMMIT")).unwrap();
    world.copies.insert("copy".to_owned(), held.frames[committed].world.copies["copy"].clone());
    // Some time later: the second closing of the same custodian says another time.
    claviger::fault::shift_clock(60);
    let alone = sweep.hold(&world, Command::Resume, &["copy"], &[0, 1], HASTY);
    assert_eq!(alone.people.shown.len(), 1, "{}", alone.people.screen);
    let next = sweep.hold(alone.world(), Command::Recover, &["copy"], &[0, 1], HASTY);
    let closing = |copy: &str| next.world().copies[copy]["generations/000003/closings/01-alice.json"].clone();
    assert_ne!(closing("vault"), closing("copy"));
    for copies in [&BOTH[..], &["copy"], &["vault"]] {
        let judgement = next.world().judgement(copies);
        assert!(judgement.is_sound(), "{copies:?}: {:?}", judgement.findings);
    }
    // The copy that was away comes first: its closing is not the one that generation 4 lists.
    let outcome = sweep.go_on(next.world(), &BOTH, &[1, 2], CAREFUL);
    assert!(outcome.recovered && outcome.told.is_empty(), "{:?}", outcome.told);
    let judgement = outcome.world.judgement(&["vault"]);
    let second = judgement.findings.iter().any(|finding| finding.what.contains("another closing by this custodian"));
    assert!(second && judgement.is_sound(), "{:?}", judgement.findings);
}

#[test]
fn a_file_that_one_branch_has_lost_does_not_keep_people_from_the_other() {
    let mut sweep = Sweep::new(2, 3);
    let base = sweep.base.clone();
    let committed = |held: &Held| {
        let commit = held.frames.iter().position(|frame| frame.point.ends_with("/COMMIT")).unwrap();
        held.frames[commit].world.clone()
    };
    let first = sweep.hold(&base, Command::Recover, &["vault"], &[0, 1], HASTY);
    let second = sweep.hold(&committed(&first), Command::Recover, &["copy"], &[0, 1], HASTY);
    let fork = committed(&second);
    for copy in BOTH {
        let mut world = fork.clone();
        let tree = world.copies.get_mut(copy).unwrap();
        let of_carol = |path: &&String| path.starts_with("generations/000003") && path.contains("/shares/03");
        let lost = tree.keys().find(of_carol).unwrap().clone();
        tree.remove(&lost);
        let outcome = sweep.go_on(&world, &BOTH, &[0, 1], CAREFUL);
        assert!(outcome.recovered, "{lost} is gone from {copy}: {:?}", outcome.told);
    }
}

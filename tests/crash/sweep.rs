//! One run, cut everywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use claviger::token::soft::SoftSource;

use crate::ground::{Run, VAULTS};
use crate::harness::Pull;
use crate::harness::inside::{People, told};
use crate::harness::lossy::{LossySource, Then};
use crate::image::{Image, Recorder, State, directory};
use crate::killed::{Left, Point, Stage, nobody_starts};
use crate::next::go_on;
use crate::truth::{examine, passed};

/// How much of a sweep is done when not all is.
#[derive(Clone, Copy)]
pub struct Sample {
    pub states: usize,
    pub kills: usize,
    pub losses: usize,
}

/// Whether everything is to be cut.
pub fn all() -> bool {
    std::env::var_os("CLAVIGER_TEST_EVERY_POINT").is_some()
}

/// Whether also the points are cut at which nothing changes.
fn all_points() -> bool {
    std::env::var("CLAVIGER_TEST_EVERY_POINT").is_ok_and(|text| text == "literally")
}

/// One thing to do.
enum Job {
    /// From a state that stood at some point, this choice of people.
    State(usize, Vec<usize>, usize),
    /// Killed at this point.
    Kill(usize),
    /// The card of this command is pulled.
    Loss(u64, Pull, Then),
}

/// What was done.
#[derive(Default)]
pub struct Figures {
    name: String,
    points: usize,
    apdus: usize,
    states: usize,
    merged: usize,
    kills: AtomicUsize,
    as_watched: AtomicUsize,
    ways: AtomicUsize,
    losses: AtomicUsize,
    by_itself: AtomicUsize,
    ceremonies: AtomicUsize,
    failures: Mutex<Vec<String>>,
    seconds: f64,
}

impl Figures {
    pub fn failures(self) -> Vec<String> {
        self.failures.into_inner().unwrap()
    }
}

fn add(counter: &AtomicUsize, number: usize) {
    counter.fetch_add(number, Ordering::Relaxed);
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        write!(
            f,
            "{}: {} points ({} APDUs), {} states ({} when merged); {} states x choices gone on from; {} points killed, {} as watched; {} APDUs \
             lost, {} finished by themselves; {} ceremonies held; {} failures; {:.0} s",
            self.name,
            self.points,
            self.apdus,
            self.states,
            self.merged,
            count(&self.ways),
            count(&self.kills),
            count(&self.as_watched),
            count(&self.losses),
            count(&self.by_itself),
            count(&self.ceremonies),
            self.failures.lock().unwrap().len(),
            self.seconds,
        )
    }
}

/// Cuts the run at every point, or at a sample of them.
pub fn sweep(run: &Run, program: &Path, sample: Sample, threads: usize) -> Figures {
    let start = Instant::now();
    let watched = run.watched();
    let jobs = jobs(run, &watched, sample);
    let apdus = watched.names.iter().filter(|name| name.starts_with("apdu:after")).count();
    let mut figures = Figures {
        name: run.name(),
        points: watched.names.len(),
        apdus,
        states: watched.states.len(),
        merged: watched.states.iter().map(|state| merged(&state.image)).collect::<BTreeSet<_>>().len(),
        ..Figures::default()
    };
    let shapes = Mutex::new(BTreeMap::new());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((number, job)) = next_of(&jobs, &next) {
                    let bench = Bench { run, watched: &watched, program, figures: &figures, shapes: &shapes };
                    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| bench.hold(job, number)));
                    if let Err(panic) = done {
                        let why = panic.downcast_ref::<String>().cloned();
                        let why = why.or_else(|| panic.downcast_ref::<&str>().map(|why| (*why).to_owned()));
                        let why = format!("{}: {}: {}", run.name(), bench.describe(job), why.unwrap_or_default());
                        eprintln!("{why}");
                        figures.failures.lock().unwrap().push(why);
                    }
                }
            });
        }
    });
    figures.seconds = start.elapsed().as_secs_f64();
    figures
}

fn next_of<'j>(jobs: &'j [Job], next: &AtomicUsize) -> Option<(usize, &'j Job)> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    Some((number, jobs.get(number)?))
}

/// Of `count` things about `wanted`, spread over all of them, from 0.
fn spread(count: usize, wanted: usize) -> Vec<usize> {
    if all() || wanted >= count {
        return (0..count).collect();
    }
    (0..wanted).map(|place| (2 * place + 1) * count / (2 * wanted)).collect()
}

fn jobs(run: &Run, watched: &Recorder, sample: Sample) -> Vec<Job> {
    let subsets = run.subsets();
    let mut jobs = Vec::new();
    let mut seen = BTreeSet::new();
    for (turn, state) in spread(watched.states.len(), sample.states).into_iter().enumerate() {
        let is_new = seen.insert(merged(&watched.states[state].image));
        for (number, who) in subsets.iter().enumerate() {
            // Every choice of people from what the copies are together, and one from whatever is the same when merged.
            if all() && is_new || number == turn % subsets.len() {
                jobs.push(Job::State(state, who.clone(), turn + number));
            }
        }
    }
    jobs.extend(kills(watched, sample.kills).into_iter().map(Job::Kill));
    jobs.extend(losses(watched, sample.losses));
    jobs
}

/// What is left of a site when the copies have been merged: the first thing that every command does. Files that were never
/// finished do not count, nor does it which copy has a file; but it does which copies a ceremony without COMMIT was begun on.
fn merged(image: &Image) -> BTreeMap<PathBuf, Arc<Vec<u8>>> {
    let counts = |path: &&PathBuf| path.extension().is_none_or(|extension| extension != "part");
    let place = |path: &PathBuf| match path.strip_prefix("copy") {
        Ok(inside) if !inside.ends_with("copy.json") => Path::new("vault").join(inside),
        _ => path.clone(),
    };
    let begun = image.files.keys().filter(counts).filter_map(|path| {
        let mut below = path.iter();
        let (copy, generations, directory) = (below.next()?, below.next()?, below.next()?);
        let commit =
            |copy: &str| image.files.contains_key(&Path::new(copy).join("generations").join(directory).join("COMMIT"));
        let begun = generations == "generations" && below.next().is_some() && !VAULTS.iter().any(|copy| commit(copy));
        begun.then(|| Path::new(copy).join("begun").join(directory))
    });
    let files = image.files.keys().filter(counts).map(|path| (place(path), image.files[path].clone()));
    files.chain(begun.map(|path| (path, Arc::default()))).collect()
}

/// The points at which processes are killed.
fn kills(watched: &Recorder, wanted: usize) -> Vec<usize> {
    let points: Vec<usize> = if all_points() {
        (1..=watched.names.len()).collect()
    } else {
        let ends = |state: &State| [state.points[0], state.points[state.points.len() - 1]];
        watched.states.iter().flat_map(ends).collect::<BTreeSet<_>>().into_iter().collect()
    };
    spread(points.len(), wanted).into_iter().map(|place| points[place]).collect()
}

/// Commands to cards. Those that change the card, in every way; of those that only read, one between every two changes of
/// anything: what the next people find is the same there, and a command that changes nothing and whose answer is lost is one
/// that never came.
fn losses(watched: &Recorder, wanted: usize) -> Vec<Job> {
    let after = |(place, name): (usize, &String)| name.starts_with("apdu:after").then_some(place + 1);
    let apdus: Vec<usize> = watched.names.iter().enumerate().filter_map(after).collect();
    let mut last = None;
    let mut chosen = Vec::new();
    for (number, point) in apdus.iter().enumerate() {
        let state = watched.states.iter().position(|state| state.points.contains(point));
        let changes = state.is_some_and(|state| watched.states[state].points[0] == *point);
        if changes || state != last || all_points() {
            chosen.push((number as u64 + 1, changes));
        }
        last = state;
    }
    let mut jobs = Vec::new();
    for (turn, place) in spread(chosen.len(), wanted).into_iter().enumerate() {
        let (number, changes) = chosen[place];
        let (then, other) = match turn.is_multiple_of(2) {
            true => (Then::Inserted, Then::Gone),
            false => (Then::Gone, Then::Inserted),
        };
        jobs.push(Job::Loss(number, Pull::AfterCommand, then));
        if all() && changes {
            jobs.push(Job::Loss(number, Pull::AfterCommand, other));
            jobs.push(Job::Loss(number, Pull::BeforeCommand, then));
            jobs.push(Job::Loss(number, Pull::BeforeCommand, other));
        }
    }
    jobs
}

struct Bench<'a> {
    run: &'a Run,
    watched: &'a Recorder,
    program: &'a Path,
    figures: &'a Figures,
    /// The shapes of states that were looked at.
    shapes: &'a Mutex<BTreeMap<usize, String>>,
}

impl Bench<'_> {
    fn describe(&self, job: &Job) -> String {
        match job {
            Job::State(state, who, _) => {
                let point = self.watched.states[*state].points[0];
                format!("state {state} (point {point}, {}), then {who:?}", self.watched.names[point - 1])
            }
            Job::Kill(point) => format!("killed at point {point} ({})", self.watched.names[point - 1]),
            Job::Loss(apdu, when, then) => format!("APDU {apdu} lost ({when:?}, then {then:?})"),
        }
    }

    fn hold(&self, job: &Job, turn: usize) {
        match job {
            Job::State(state, who, turn) => {
                let dir = directory();
                self.watched.states[*state].image.lay_out(dir.path());
                let first = self.watched.states[*state].points[0];
                let standing = examine(dir.path(), self.run, self.shown_by(&self.watched.names[..first]));
                add(&self.figures.ceremonies, go_on(dir.path(), self.run, &standing, who, *turn));
                add(&self.figures.ways, 1);
            }
            Job::Kill(point) => self.killed(*point, turn),
            Job::Loss(apdu, when, then) => self.lost(*apdu, *when, *then, turn),
        }
    }

    /// What had been shown when the run had passed these points.
    fn shown_by(&self, names: &[String]) -> &'static str {
        if names.iter().any(|name| name == "reveal:after") { crate::harness::scene::SECRET } else { "" }
    }

    fn killed(&self, point: usize, turn: usize) {
        let (dir, outside) = (directory(), directory());
        self.run.lay_out(dir.path());
        let (program, site, outside) = (self.program, dir.path(), outside.path());
        let stage = Stage { program, run: self.run, who: &self.run.who, site, outside, pcscd: None };
        let Some(Left { shown, names, .. }) = stage.kill(&Point::of(&self.watched.names, point)) else { return };
        let standing = examine(dir.path(), self.run, &shown);
        add(&self.figures.kills, 1);
        assert_eq!(shown, self.shown_by(&names));
        // A certificate may be a byte longer or shorter in every run, and so come in one APDU more.
        if passed(&names) == passed(&self.watched.names[..point]) {
            assert_eq!(standing.shape, self.shape_at(point), "what a kill leaves is not what stood there");
            add(&self.figures.as_watched, 1);
        }
        let subsets = self.run.subsets();
        if !all() || turn.is_multiple_of(goes_on()) {
            let who = &subsets[turn % subsets.len()];
            add(&self.figures.ceremonies, 1 + go_on(dir.path(), self.run, &standing, who, turn / subsets.len()));
        }
    }

    fn shape_at(&self, point: usize) -> String {
        let state = self.watched.states.iter().position(|state| state.points.contains(&point)).unwrap();
        if let Some(shape) = self.shapes.lock().unwrap().get(&state) {
            return shape.clone();
        }
        let dir = directory();
        self.watched.states[state].image.lay_out(dir.path());
        let shown = self.shown_by(&self.watched.names[..point]);
        let shape = examine(dir.path(), self.run, shown).shape;
        self.shapes.lock().unwrap().insert(state, shape.clone());
        shape
    }

    /// A card is pulled while it answers. Whoever is there goes on as the program offers; if that does not finish it, the
    /// next people do, the card that was pulled among them.
    fn lost(&self, apdu: u64, when: Pull, then: Then, turn: usize) {
        let dir = directory();
        let site = self.run.lay_out(dir.path());
        let everybody: Vec<usize> = (0..self.run.n).collect();
        let mut people = People::of(if then == Then::Gone { &everybody } else { &self.run.who });
        let source = SoftSource::open(&dir.path().join("tokens")).unwrap();
        let mut source = LossySource::new(source, apdu, when, then);
        let alone = nobody_starts();
        let held = site.hold_with(self.run.command, &VAULTS, &mut people, &mut source);
        drop(alone);
        assert!(source.pulled().is_some(), "no card was pulled");
        assert!(!people.screen.contains("Something is wrong"), "{}", people.screen);
        add(&self.figures.losses, 1);
        add(&self.figures.ceremonies, 1);
        let shown = people.shown.first().map(String::as_str).unwrap_or_default();
        let standing = examine(dir.path(), self.run, shown);
        match held {
            Ok(()) => {
                assert!(standing.ratified && standing.next.is_none(), "it is not finished: {}", standing.shape);
                add(&self.figures.by_itself, 1);
            }
            Err(error) => {
                assert!(shown.is_empty(), "it was shown, and then {}\n{}", told(&error), people.screen);
                let subsets = self.run.subsets();
                let who = &subsets[turn % subsets.len()];
                let held = go_on(dir.path(), self.run, &standing, who, turn / subsets.len());
                add(&self.figures.ceremonies, held);
            }
        }
    }
}

/// In the complete sweep, after every how many kills the next people go on: from the state that stood there every choice of
/// people goes on anyway, and what the kill left was held to be the same.
fn goes_on() -> usize {
    std::env::var("CLAVIGER_TEST_GO_ON").ok().and_then(|text| text.parse().ok()).unwrap_or(8)
}

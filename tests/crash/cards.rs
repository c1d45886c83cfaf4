//! The same runs on virtual cards, in the readers of a real pcscd: the process is killed before and after each APDU, and
//! each answer is lost by pulling the card.
//!
//! The cards are those of the site: put into the readers before a run, and taken back into the site's files after it, so that
//! what must hold after a run on software tokens is held to what is on the cards here.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use claviger::token::soft::SoftCard;
use tempfile::TempDir;

use crate::ground::Run;
use crate::harness::crew::{NAMES, virtual_yubikey};
use crate::harness::{Pcscd, Pull, VirtualCard};
use crate::image::directory;
use crate::killed::{Left, Point, Stage};
use crate::next::go_on;
use crate::truth::{Standing, examine, passed};

/// Longest time that a run may take, with a card that is pulled and inserted again.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was done.
#[derive(Default)]
pub struct Figures {
    name: String,
    points: usize,
    kills: usize,
    as_on_software: usize,
    losses: usize,
    by_itself: usize,
    ceremonies: usize,
    seconds: f64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, points, kills, as_on_software, losses, by_itself, ceremonies, seconds } = self;
        write!(
            f,
            "{name} on cards: {points} points at APDUs; {kills} killed, {as_on_software} as on software tokens; {losses} answers lost, \
             {by_itself} finished by themselves; {ceremonies} ceremonies held by the next people; {seconds:.0} s"
        )
    }
}

/// How much is cut.
#[derive(Clone, Copy)]
pub struct Extent {
    /// Points at which a process is killed, spread over the run.
    pub kills: usize,
    /// Answers that are lost.
    pub losses: usize,
    /// After every how many kills the next people go on.
    pub goes_on: usize,
}

/// Cards in readers.
pub struct Readers {
    pcscd: Pcscd,
    cards: Vec<VirtualCard>,
}

impl Readers {
    /// So many.
    pub fn with_cards(n: usize) -> Self {
        let pcscd = Pcscd::start(n);
        let mut cards: Vec<_> = (0..n).map(|index| virtual_yubikey(100 + index as u32, (5, 7, 1))).collect();
        cards.iter_mut().enumerate().for_each(|(reader, card)| pcscd.insert(reader, card));
        Self { pcscd, cards }
    }

    /// Cuts the run at its APDUs.
    pub fn sweep(&mut self, run: &Run, program: &Path, extent: Extent) -> Figures {
        let start = Instant::now();
        let software = passed(&run.watched().names);
        let mut sweep = CardSweep { readers: self, run, program, software, figures: Figures::default() };
        let (names, answers) = sweep.uncut();
        let apdus: Vec<usize> = (1..=names.len()).filter(|number| names[number - 1].starts_with("apdu:")).collect();
        for (turn, place) in spread(apdus.len(), extent.kills).into_iter().enumerate() {
            let goes_on = turn.is_multiple_of(extent.goes_on).then_some(turn / extent.goes_on);
            sweep.kill(&Point::of(&names, apdus[place]), goes_on);
        }
        for (turn, place) in spread(answers.len(), extent.losses).into_iter().enumerate() {
            let (card, number) = answers[place];
            sweep.lose(card, number, turn);
        }
        Figures { name: run.name(), points: apdus.len(), seconds: start.elapsed().as_secs_f64(), ..sweep.figures }
    }
}

struct CardSweep<'a> {
    readers: &'a mut Readers,
    run: &'a Run,
    program: &'a Path,
    /// The points that the run passes on software tokens.
    software: Vec<String>,
    figures: Figures,
}

impl CardSweep<'_> {
    /// The names of the points of a run that is not cut, and all commands: card, and number among its commands from 0.
    fn uncut(&self) -> (Vec<String>, Vec<(usize, u64)>) {
        let (dir, outside) = self.begin();
        let count = |card: &VirtualCard| card.commands().len() as u64;
        let before: Vec<u64> = self.readers.cards.iter().map(count).collect();
        let stage = self.stage(&self.run.who, dir.path(), outside.path());
        stage.start(None).wait().unwrap();
        let left = stage.left();
        assert_eq!(left.ended, Some(Ok(())));
        let counts = self.readers.cards.iter().zip(before).map(|(card, before)| count(card) - before);
        let commands = counts.enumerate().flat_map(|(card, count)| (0..count).map(move |number| (card, number)));
        (left.names, commands.collect())
    }

    /// The process is killed at this point. The next people go on, if anybody does in this turn.
    fn kill(&mut self, point: &Point, goes_on: Option<usize>) {
        let (dir, outside) = self.begin();
        let Some(Left { shown, names, .. }) = self.stage(&self.run.who, dir.path(), outside.path()).kill(point) else {
            return;
        };
        self.take(dir.path());
        let standing = examine(dir.path(), self.run, &shown);
        self.figures.kills += 1;
        self.figures.as_on_software += usize::from(self.software.starts_with(&passed(&names)));
        if let Some(turn) = goes_on {
            self.figures.ceremonies += self.next(dir.path(), &standing, turn);
        }
    }

    /// Card `card` is pulled after it executed one more command than `number`, and inserted again when pcscd has seen that
    /// it is gone. All custodians are there.
    fn lose(&mut self, card: usize, number: u64, turn: usize) {
        let (dir, outside) = self.begin();
        self.readers.cards[card].pull_after(number, Pull::AfterCommand);
        let everybody: Vec<usize> = (0..self.run.n).collect();
        let child = self.stage(&everybody, dir.path(), outside.path()).start(None);
        let (said, pulled) = self.wait_and_insert(child, card);
        let what = format!("{}, answer {} of {}'s card lost", self.run.name(), number + 1, NAMES[card]);
        let left = self.stage(&everybody, dir.path(), outside.path()).left();
        self.take(dir.path());
        // A certificate may be a byte longer or shorter in every run, and so come in one APDU more.
        assert!(pulled || left.ended == Some(Ok(())), "{what}: {:?}", left.ended);
        self.figures.losses += usize::from(pulled);
        let standing = examine(dir.path(), self.run, &left.shown);
        match left.ended.unwrap_or_else(|| panic!("{what}: {said}")) {
            Ok(()) => {
                assert!(standing.ratified && standing.next.is_none(), "{what}: not finished: {}", standing.shape);
                self.figures.by_itself += usize::from(pulled);
            }
            Err(said) => {
                assert!(left.shown.is_empty(), "{what}: it was shown, and then {said}");
                println!("{what}: {said}");
                self.figures.ceremonies += self.next(dir.path(), &standing, turn);
            }
        }
    }

    fn next(&self, site: &Path, standing: &Standing, turn: usize) -> usize {
        let subsets = self.run.subsets();
        go_on(site, self.run, standing, &subsets[turn % subsets.len()], turn / subsets.len())
    }

    /// A new site, whose cards are in the readers.
    fn begin(&self) -> (TempDir, TempDir) {
        let (dir, outside) = (directory(), directory());
        self.run.lay_out(dir.path());
        for (card, name) in self.readers.cards.iter().zip(NAMES) {
            let bytes = std::fs::read(token(dir.path(), name)).unwrap();
            *card.state() = SoftCard::from_bytes(&bytes).unwrap();
        }
        (dir, outside)
    }

    /// What has become of the cards is the site's.
    fn take(&self, site: &Path) {
        for (card, name) in self.readers.cards.iter().zip(NAMES) {
            std::fs::write(token(site, name), card.state().to_bytes()).unwrap();
        }
    }

    fn stage<'a>(&'a self, who: &'a [usize], site: &'a Path, outside: &'a Path) -> Stage<'a> {
        Stage { program: self.program, run: self.run, who, site, outside, pcscd: Some(&self.readers.pcscd) }
    }

    /// Waits for the process; the card that is pulled meanwhile is inserted again. What the process said, and whether the
    /// card was pulled.
    fn wait_and_insert(&mut self, child: Child, card: usize) -> (String, bool) {
        let (say, said) = channel();
        std::thread::spawn(move || say.send(child.wait_with_output()));
        let until = Instant::now() + PATIENCE;
        let Readers { pcscd, cards } = &mut *self.readers;
        let mut again = false;
        loop {
            let ended = said.recv_timeout(Duration::from_millis(20)).ok();
            if !again && cards[card].pulled() {
                again = true;
                pcscd.insert(card, &mut cards[card]);
            }
            if let Some(output) = ended {
                cards[card].pull_never();
                return (String::from_utf8_lossy(&output.unwrap().stdout).into_owned(), again);
            }
            assert!(Instant::now() < until, "the process does not end");
        }
    }
}

fn token(site: &Path, name: &str) -> PathBuf {
    site.join("tokens").join(format!("{name}.token"))
}

/// Of `count` places at most `wanted`, spread over all of them.
fn spread(count: usize, wanted: usize) -> Vec<usize> {
    let wanted = wanted.min(count);
    (0..wanted).map(|place| (2 * place + 1) * count / (2 * wanted)).collect::<BTreeSet<_>>().into_iter().collect()
}

//! One ceremony after the other, each on the copies that its people have, each cut at any state; and whoever comes next.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use claviger::encoding::Digest;

use super::kind::{Known, Reader, kind};
use super::laws;
use crate::harness::crew::NAMES;
use crate::harness::inside::{Command, People, Site};
use crate::harness::scene::SECRET;
use crate::harness::world::{self, Card, Frame, Held, World};

/// Both copies.
pub const BOTH: [&str; 2] = ["vault", "copy"];

/// How people choose where the program leaves it to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Manner {
    /// "No copy of it can be had": they say so at once; otherwise they stop.
    pub lost: bool,
    /// They go on over what is committed and not finished; otherwise they stop.
    pub over: bool,
}

/// They stop wherever they can, but for too few copies.
pub const CAREFUL: Manner = Manner { lost: false, over: false };
/// They say that what is not here is lost.
pub const HASTY: Manner = Manner { lost: true, over: false };

impl Manner {
    fn choose(self, question: &str, words: &[&str]) -> usize {
        let place = |word: &str| words.iter().position(|offered| *offered == word);
        if question == "Which is to be finished?" {
            // The first branch has the highest number, and is said to be the one that can be.
            return 1;
        }
        if question == "Over which does this ceremony go on?" && self.over {
            return 1;
        }
        let wanted = [("lost", self.lost), ("over", self.over), ("go", true)];
        wanted.iter().filter(|(_, wants)| *wants).find_map(|(word, _)| place(word)).unwrap_or(0)
    }

    fn people(self, who: &[usize]) -> People {
        People::of(who).led_by(move |question, words| self.choose(question, words))
    }
}

/// What was counted.
#[derive(Debug, Default)]
pub struct Figures {
    /// Ceremonies held, to their end or to a stop.
    pub held: usize,
    /// States in which the vault was left and taken up again.
    pub cases: usize,
    /// Kinds of these.
    pub kinds: BTreeSet<Digest>,
    /// Credentials that came out.
    pub recovered: usize,
    /// How people were stopped, and how often.
    pub stops: BTreeMap<String, usize>,
    /// What must not have happened.
    pub failures: Vec<String>,
}

/// What became of an attempt to go on.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The credential came out.
    pub recovered: bool,
    /// How it was left.
    pub world: World,
    /// What people were told, in order.
    pub told: Vec<String>,
}

/// A vault and all that was done with it.
pub struct Sweep {
    /// Threshold.
    pub k: usize,
    /// Custodians.
    pub n: usize,
    /// The vault at rest.
    pub base: World,
    /// What was counted.
    pub figures: Figures,
    reader: Reader,
    lawful: HashSet<Digest>,
    /// Names that can be exchanged without another state at rest: custodian `i` is then called as `[i]` is.
    symmetries: Vec<Vec<usize>>,
    site: Site,
    _dir: tempfile::TempDir,
    gone_on: HashMap<Digest, Outcome>,
}

impl Sweep {
    /// With a founded vault.
    pub fn new(k: usize, n: usize) -> Self {
        let dir = world::quick_dir();
        let base = world::founded(k, n);
        let mut reader = Reader::default();
        let own: Vec<usize> = (0..n).collect();
        let as_it_is = kind(&base, &mut reader, &own);
        let mut symmetries = permutations(n);
        symmetries.retain(|called| kind(&base, &mut reader, called) == as_it_is);
        Self {
            k,
            n,
            base,
            figures: Figures::default(),
            symmetries,
            reader,
            lawful: HashSet::new(),
            site: Site { dir: dir.path().to_owned() },
            _dir: dir,
            gone_on: HashMap::new(),
        }
    }

    /// All custodians.
    pub fn everybody(&self) -> Vec<usize> {
        (0..self.n).collect()
    }

    /// Whether the token of one of these is in a ceremony, or has closed one since the vault was at rest.
    pub fn have_moved_on(&mut self, world: &World, who: &[usize]) -> bool {
        let (base, cards) = (self.reader.cards(&self.base), self.reader.cards(world));
        let closed = |card: &Card| card.anchor.as_ref().map(|anchor| anchor.closed);
        let moved = |name: &str| {
            let card = &cards[name];
            let is_in_one = card.anchor.as_ref().is_some_and(|anchor| anchor.ceremony.is_some());
            is_in_one || closed(card) != closed(&base[name])
        };
        who.iter().any(|index| moved(NAMES[*index]))
    }

    /// Every choice of k custodians.
    pub fn attendees(&self) -> Vec<Vec<usize>> {
        choices(self.k, self.n)
    }

    /// Those of them that are not another one with the names exchanged.
    pub fn first_attendees(&self) -> Vec<Vec<usize>> {
        let renamed = |who: &[usize], called: &[usize]| {
            let mut who: Vec<usize> = who.iter().map(|index| called[*index]).collect();
            who.sort_unstable();
            who
        };
        let least = |who: &Vec<usize>| self.symmetries.iter().all(|called| renamed(who, called) >= *who);
        self.attendees().into_iter().filter(least).collect()
    }

    /// Holds a ceremony and holds it to the laws.
    pub fn hold(&mut self, world: &World, command: Command, copies: &[&str], who: &[usize], manner: Manner) -> Held {
        let held = world::hold(&self.site, world, command, copies, who, manner.people(who));
        self.figures.held += 1;
        self.figures.recovered += usize::from(!held.people.shown.is_empty());
        laws::people(&held);
        for frame in &held.frames {
            self.law(frame);
        }
        for world in &held.reveals {
            laws::nothing_else_opens(world, &mut self.reader);
        }
        if let Some(stop) = laws::stop(&held) {
            *self.figures.stops.entry(laws::plain(&stop)).or_default() += 1;
        }
        held
    }

    /// A state, unless one of its kind was held to the laws before.
    fn law(&mut self, frame: &Frame) {
        let kind = self.kind(&frame.world);
        if self.lawful.insert(Digest::of(kind.as_bytes())) {
            let lawful = laws::state(&frame.world, &mut self.reader);
            lawful.unwrap_or_else(|wrong| panic!("after {}: {wrong}\n{kind}", frame.point));
        }
    }

    /// The kind of a state.
    pub fn kind(&mut self, world: &World) -> String {
        let own = self.everybody();
        kind(world, &mut self.reader, &own)
    }

    /// What a state and these people are, whatever their names.
    pub fn case(&mut self, world: &World, who: &[usize]) -> Digest {
        let symmetries = std::mem::take(&mut self.symmetries);
        let mut named = |called: &Vec<usize>| {
            let who: Vec<usize> = who.iter().map(|index| called[*index]).collect();
            format!("{}{who:?}", kind(world, &mut self.reader, called))
        };
        let least = symmetries.iter().map(&mut named).min().unwrap();
        self.symmetries = symmetries;
        Digest::of(least.as_bytes())
    }

    /// The states of a ceremony, one of each kind.
    pub fn states(&mut self, held: &Held) -> Vec<Frame> {
        let mut seen = BTreeSet::new();
        held.frames.iter().filter(|frame| seen.insert(self.kind(&frame.world))).cloned().collect()
    }

    /// The vault is left like this: whoever comes next, with both copies or with one and then both, gets the credential.
    /// Both copies with each of these choices of people, each of the copies of `alone` with one of them.
    pub fn take_up(&mut self, world: &World, left: &str, who: &[Vec<usize>], alone: &[&str]) {
        self.figures.cases += 1;
        let kind = self.case(world, &[]);
        if !self.figures.kinds.insert(kind) {
            return;
        }
        let taken = catch_unwind(AssertUnwindSafe(|| self.must_be_taken_up(world, left, who, alone)));
        if let Err(panic) = taken {
            let why = panic.downcast_ref::<String>().cloned();
            let why = why.or_else(|| panic.downcast_ref::<&str>().map(|why| (*why).to_owned()));
            self.figures.failures.push(format!("{left}: {}", why.unwrap_or_default()));
        }
    }

    fn must_be_taken_up(&mut self, world: &World, left: &str, who: &[Vec<usize>], alone: &[&str]) {
        let everybody = self.everybody();
        for who in who {
            let outcome = self.go_on(world, &BOTH, who, CAREFUL);
            if !outcome.recovered {
                self.is_explained(world, who, &outcome, left);
                self.must_recover(&outcome, &everybody, left);
            }
        }
        for (place, copy) in alone.iter().enumerate() {
            let who = &who[(self.figures.cases + place) % who.len()];
            let manner = if self.figures.cases.is_multiple_of(2) { HASTY } else { CAREFUL };
            let outcome = self.go_on(world, &[copy], who, manner);
            self.must_recover(&outcome, &everybody, left);
        }
    }

    fn must_recover(&mut self, left: &Outcome, who: &[usize], state: &str) {
        let outcome = self.go_on(&left.world, &BOTH, who, CAREFUL);
        let kind = self.kind(&left.world);
        let told = left.told.iter().chain(&outcome.told).cloned().collect::<Vec<_>>().join("\n");
        assert!(outcome.recovered, "{state}: everybody with both copies is locked out:\n{told}\n{kind}");
    }

    /// These people, with both copies, did not get it: one of them has closed another branch, and is named.
    fn is_explained(&mut self, world: &World, who: &[usize], outcome: &Outcome, state: &str) {
        let ceremonies = self.reader.ceremonies(world);
        let judgement = world.judgement(&BOTH);
        let ratified = judgement.ratified_head().map(|head| head.generation);
        let counts = |known: &&Known| known.committed && ratified.is_none_or(|head| known.plan.generation >= head);
        let last = ceremonies.iter().filter(counts).max_by_key(|known| known.plan.number).unwrap();
        let (_, manifest) = last.manifest.as_ref().unwrap();
        let cards = self.reader.cards(world);
        let holds = |index: &&usize| {
            let key = manifest.share_key(**index as u8 + 1).unwrap().public;
            cards[NAMES[**index]].has(&key)
        };
        let without: Vec<&str> = who.iter().filter(|index| !holds(index)).map(|index| NAMES[*index]).collect();
        let told = outcome.told.join("\n");
        let named = without.iter().any(|name| told.contains(name));
        let kind = self.kind(world);
        assert!(named, "{state}: {who:?} hold number {}, and are locked out:\n{told}\n{kind}", last.plan.number);
    }

    /// These people do as they are told until the credential comes out or nothing they are told is left to be done.
    pub fn go_on(&mut self, world: &World, copies: &[&str], who: &[usize], manner: Manner) -> Outcome {
        let case = self.case(world, who);
        let key = Digest::of(format!("{case}{copies:?}{manner:?}").as_bytes());
        if let Some(outcome) = self.gone_on.get(&key) {
            return outcome.clone();
        }
        let outcome = self.as_told(world, copies, who, manner);
        self.gone_on.insert(key, outcome.clone());
        outcome
    }

    fn as_told(&mut self, world: &World, copies: &[&str], who: &[usize], manner: Manner) -> Outcome {
        let mut told: Vec<String> = Vec::new();
        let mut world = world.clone();
        let mut command = Command::Recover;
        let mut manner = manner;
        for _ in 0..6 {
            let held = self.hold(&world, command, copies, who, manner);
            world = held.world().clone();
            if held.people.shown.contains(&SECRET.to_owned()) {
                return Outcome { recovered: true, world, told };
            }
            let before = (command, manner);
            let Some(stop) = laws::stop(&held) else {
                // Finished without showing anything.
                command = Command::Recover;
                continue;
            };
            let resume = stop.contains("claviger resume");
            told.push(stop);
            match command {
                Command::Recover if resume => command = Command::Resume,
                // It cannot be finished with these people: they go on over it.
                Command::Resume if !manner.over => {
                    command = Command::Recover;
                    manner.over = true;
                }
                _ => {}
            }
            if (command, manner) == before {
                break;
            }
        }
        Outcome { recovered: false, world, told }
    }
}

/// Every choice of `k` of `n`.
pub fn choices(k: usize, n: usize) -> Vec<Vec<usize>> {
    let all = (0_u32..1 << n).filter(|set| set.count_ones() as usize == k);
    all.map(|set| (0..n).filter(|index| set & (1 << index) != 0).collect()).collect()
}

fn permutations(n: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for next in 0..n {
        let insert = |shorter: Vec<usize>| {
            (0..=shorter.len()).map(move |place| {
                let mut longer = shorter.clone();
                longer.insert(place, next);
                longer
            })
        };
        all = all.into_iter().flat_map(insert).collect();
    }
    all
}

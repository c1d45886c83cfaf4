//! What a ceremony costs: people, cards, time. `cargo nextest run --test figures --no-capture` prints the figures; the bounds
//! fail when a change makes it dearer.

#[path = "harness/harness.rs"]
mod harness;

use std::cell::Cell;
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use claviger::ceremony::Setting;
use claviger::ceremony::recover::{Request, recover};
use claviger::ceremony::reveal::Target;
use claviger::cli::open;
use claviger::room::scripted::Scripted;
use claviger::token::attestation::Roots;
use claviger::token::channel::{Channel, ChannelError, Link, Presence, Source};
use claviger::token::soft::{SoftSource, Statistics};
use claviger::transcript::Which;
use harness::crew::{self, Crew, NAMES, OneReader, Place};
use harness::{Pcscd, VirtualCard};
use zeroize::Zeroizing;

const BUILD: &str = if cfg!(debug_assertions) { "debug build" } else { "release build" };

fn recover_args(place: &Place) -> Vec<String> {
    let [vault, copy] = ["vault", "copy"].map(|name| place.text(name));
    let grant = ["--incident", "INC-7", "--reason", "a measurement", "--requester", "operations"];
    [&["recover", &vault, &copy, "root-password"], &grant[..]].concat().into_iter().map(str::to_owned).collect()
}

fn hold(reader: &mut OneReader<'_>, pcscd: &Pcscd, args: &[String], who: &[usize]) -> Crew {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut terminal = crew::claviger("pcsc", &args, Some(pcscd));
    let mut crew = Crew::of(who);
    let code = crew.hold_reading(&mut terminal, |screen| reader.swap(screen, who));
    assert_eq!(code, 0, "{}", terminal.screen());
    crew
}

/// Five cards enrolled one after the other in the first reader; the fourth and the fifth never come again.
fn enrol<'p>(place: &Place, pcscd: &'p Pcscd) -> OneReader<'p> {
    let cards = (0..5).map(|index| crew::virtual_yubikey(7_000_000 + index, (5, 7, 1)));
    let mut reader = OneReader::new(pcscd, cards.collect());
    for (index, name) in NAMES.iter().enumerate() {
        reader.insert(index);
        let args = ["enrol", "--name", name, "-o", &place.text(&format!("{name}.json"))].map(str::to_owned);
        hold(&mut reader, pcscd, &args, &[index]);
    }
    reader.clear();
    reader
}

fn found_args(place: &Place) -> Vec<String> {
    let files = ["vault", "copy", "policy.toml"].map(|name| place.text(name));
    let mut args =
        vec!["found".to_owned(), files[0].clone(), files[1].clone(), "--policy".to_owned(), files[2].clone()];
    args.extend(NAMES.iter().map(|name| place.text(&format!("{name}.json"))));
    args
}

fn rotate_args(place: &Place) -> Vec<String> {
    vec!["rotate".to_owned(), place.text("vault"), place.text("copy")]
}

fn statistics(cards: &[VirtualCard]) -> Vec<Statistics> {
    cards.iter().map(VirtualCard::statistics).collect()
}

/// Prints a row for each custodian who came and holds the bounds.
fn report(title: &str, before: &[Statistics], after: &[Statistics], insertions: &[u32], crew: &Crew) {
    println!("\n{title} ({BUILD}), for each custodian:");
    println!("  custodian    APDUs  PIN entries  PIN VERIFYs  touches  insertions");
    for (index, name) in NAMES.iter().enumerate().take(3) {
        let apdus = after[index].apdus - before[index].apdus;
        let verifies = after[index].verifies - before[index].verifies;
        let touches = after[index].touches - before[index].touches;
        let typed = crew.pins_typed / 3;
        println!("  {name:<10} {apdus:>7}  {typed:>11}  {verifies:>11}  {touches:>7}  {:>10}", insertions[index]);
        assert!(apdus <= 270, "{name}: {apdus} APDUs");
        assert!(verifies <= 8, "{name}: {verifies} VERIFYs");
        assert!(touches <= 2, "{name}: {touches} touches");
        assert!(insertions[index] <= 2, "{name}: {} insertions", insertions[index]);
    }
    assert_eq!(crew.pins_typed, 6, "a PIN is typed once in each round");
}

#[test]
fn a_recover_with_a_single_reader() {
    let place = Place::new(3);
    let pcscd = Pcscd::start(1);
    let mut reader = enrol(&place, &pcscd);
    hold(&mut reader, &pcscd, &found_args(&place), &[0, 1, 2, 3, 4]);
    place.seal("root-password", "password", b"a-password-to-measure");
    reader.clear();
    hold(&mut reader, &pcscd, &rotate_args(&place), &[0, 1, 2]);
    reader.clear();
    let (before, earlier) = (statistics(&reader.cards), reader.insertions.clone());
    let crew = hold(&mut reader, &pcscd, &recover_args(&place), &[0, 1, 2]);
    let insertions: Vec<u32> = reader.insertions.iter().zip(earlier).map(|(now, before)| now - before).collect();
    report("recover, 3 of 5, a single reader", &before, &statistics(&reader.cards), &insertions, &crew);
}

#[test]
fn a_recover_with_a_reader_each() {
    let place = Place::new(3);
    let pcscd = Pcscd::start(3);
    let mut reader = enrol(&place, &pcscd);
    hold(&mut reader, &pcscd, &found_args(&place), &[0, 1, 2, 3, 4]);
    place.seal("root-password", "password", b"a-password-to-measure");
    reader.clear();
    hold(&mut reader, &pcscd, &rotate_args(&place), &[0, 1, 2]);
    reader.clear();
    let mut cards = std::mem::take(&mut reader.cards);
    let before = statistics(&cards);
    for (index, card) in cards.iter_mut().enumerate().take(3) {
        pcscd.insert(index, card);
    }
    let args = recover_args(&place);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut terminal = crew::claviger("pcsc", &args, Some(&pcscd));
    let mut crew = Crew::of(&[0, 1, 2]);
    assert_eq!(crew.hold(&mut terminal, || panic!("no card is swapped")), 0, "{}", terminal.screen());
    report("recover, 3 of 5, a reader each", &before, &statistics(&cards), &[1; 3], &crew);
}

/// Counts the time that is spent in the tokens.
struct Timed {
    inner: SoftSource,
    spent: Rc<Cell<Duration>>,
}

struct TimedLink(Box<dyn Link>, Rc<Cell<Duration>>);

struct TimedChannel<'a>(Box<dyn Channel + 'a>, Rc<Cell<Duration>>);

fn timed<T>(spent: &Cell<Duration>, action: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = action();
    spent.set(spent.get() + start.elapsed());
    done
}

impl Source for Timed {
    fn software(&self) -> bool {
        true
    }

    fn present(&mut self) -> Result<Vec<Presence>, ChannelError> {
        timed(&self.spent, || self.inner.present())
    }

    fn wait(&mut self, seen: &[Presence]) -> Result<(), ChannelError> {
        self.inner.wait(seen)
    }

    fn connect(&mut self, presence: &Presence) -> Result<Box<dyn Link>, ChannelError> {
        let link = timed(&self.spent, || self.inner.connect(presence))?;
        Ok(Box::new(TimedLink(link, self.spent.clone())))
    }
}

impl Link for TimedLink {
    fn begin(&mut self) -> Result<Box<dyn Channel + '_>, ChannelError> {
        let spent = self.1.clone();
        let channel = timed(&spent, || self.0.begin())?;
        Ok(Box::new(TimedChannel(channel, self.1.clone())))
    }
}

impl Channel for TimedChannel<'_> {
    fn transmit(&mut self, apdu: &[u8]) -> Result<Zeroizing<Vec<u8>>, ChannelError> {
        let spent = self.1.clone();
        timed(&spent, || self.0.transmit(apdu))
    }
}

#[test]
fn the_program_itself_in_a_recover_with_twenty_items() {
    let place = Place::new(3);
    crew::found_on_software_tokens(&place, 5);
    for number in 0..20 {
        let kind = if number % 2 == 0 { "password" } else { "opaque" };
        place.seal(&format!("item-{number}"), kind, b"what twenty items hold");
    }
    let args = rotate_args(&place);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut terminal = crew::claviger(&place.soft(), &args, None);
    assert_eq!(Crew::of(&[0, 1, 2]).hold(&mut terminal, || {}), 0, "{}", terminal.screen());

    let paths: [PathBuf; 2] = ["vault", "copy"].map(|name| place.path(name));
    let pins = (0..3).map(|index| (NAMES[index].to_owned(), crew::pin(index))).collect();
    let mut room = Scripted::quiet(pins);
    let spent = Rc::new(Cell::new(Duration::ZERO));
    let mut source = Timed { inner: SoftSource::open(&place.path("tokens")).unwrap(), spent: spent.clone() };
    let request = Request {
        item: "item-4".parse().unwrap(),
        credential: Which::Installed,
        incident: "INC-1".to_owned(),
        reason: "a measurement".to_owned(),
        requester: "operations".to_owned(),
        lasts: 600,
    };
    let start = Instant::now();
    let vault = open::open(&paths, None).unwrap();
    let policy = open::policy(&vault).unwrap();
    let mut setting = Setting {
        copies: &vault.copies,
        judgement: vault.judgement,
        policy,
        roots: Roots::new(&[]).unwrap(),
        source: &mut source,
        room: &mut room,
        weaknesses: Vec::new(),
        policy_is_lost: false,
    };
    recover(&mut setting, &request, &Target::Screen).unwrap();
    let total = start.elapsed();
    assert_eq!(room.shown().len(), 1);
    let own = total - spent.get();
    println!(
        "\nrecover, 3 of 5, 20 items ({BUILD}): {own:.2?} of the program's own, {:.2?} in software tokens",
        spent.get()
    );
    assert!(own < Duration::from_secs(20), "{own:?}");
}

#[test]
fn start_up() {
    let mut times: Vec<Duration> = (0..15)
        .map(|_| {
            let start = Instant::now();
            assert!(Command::new(env!("CARGO_BIN_EXE_claviger")).arg("--version").output().unwrap().status.success());
            start.elapsed()
        })
        .collect();
    times.sort();
    println!("\nclaviger --version ({BUILD}): {:.1?} (median of {})", times[times.len() / 2], times.len());
    assert!(times[times.len() / 2] < Duration::from_secs(1));
}

//! Whole ceremonies on virtual YubiKeys through a real pcscd, by people at a terminal.

#[path = "harness/harness.rs"]
mod harness;

use harness::crew::{self, Crew, NAMES, OneReader, Place};
use harness::{Pcscd, VirtualCard};

const SECRET: &str = "the-last-key-they-have";

fn cards() -> Vec<VirtualCard> {
    let firmware = [(5, 4, 3), (5, 7, 1), (5, 4, 3), (5, 7, 4), (5, 7, 1)];
    firmware.iter().zip(5_000_000..).map(|(firmware, serial)| crew::virtual_yubikey(serial, *firmware)).collect()
}

fn recover_args(place: &Place) -> Vec<String> {
    let (vault, copy) = (place.text("vault"), place.text("copy"));
    [
        "recover",
        &vault,
        &copy,
        "root-password",
        "--incident",
        "INC-7",
        "--reason",
        "the identity provider is down",
        "--requester",
        "operations",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn run(place: &Place, pcscd: &Pcscd, args: &[String], who: &[usize], swap: impl FnMut()) -> Crew {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut terminal = crew::claviger("pcsc", &args, Some(pcscd));
    let mut crew = Crew::of(who);
    let code = crew.hold(&mut terminal, swap);
    assert_eq!(code, 0, "{}", terminal.screen());
    let _ = place;
    crew
}

#[test]
fn three_of_five_with_five_readers() {
    let place = Place::new(3);
    let pcscd = Pcscd::start(5);
    let mut cards = cards();
    for (index, card) in cards.iter_mut().enumerate() {
        pcscd.insert(index, card);
        let output = place.text(&format!("{}.json", NAMES[index]));
        let args = ["enrol", "--name", NAMES[index], "-o", &output].map(str::to_owned);
        run(&place, &pcscd, &args, &[index], || {});
        pcscd.remove(index, card);
    }
    for (index, card) in cards.iter_mut().enumerate() {
        pcscd.insert(index, card);
    }
    assert_eq!(crew::found(&place, "pcsc", &[0, 1, 2, 3, 4], Some(&pcscd), || {}), 0);
    place.seal("root-password", "password", SECRET.as_bytes());
    let (vault, copy) = (place.text("vault"), place.text("copy"));
    let rotate = ["rotate".to_owned(), vault.clone(), copy.clone()];
    // dan and erin are absent from the first ceremonies.
    run(&place, &pcscd, &rotate, &[0, 1, 2], || {});
    let crew = run(&place, &pcscd, &recover_args(&place), &[0, 1, 2], || {});
    assert_eq!(crew.shown, [SECRET]);
    // They attend a later one without having done anything in between.
    run(&place, &pcscd, &rotate, &[2, 3, 4], || {});
    let verified = place.quietly(&["verify", "--json", &vault, &copy]);
    let verified: serde_json::Value = serde_json::from_str(&verified).unwrap();
    assert_eq!(verified["generations"].as_array().map(Vec::len), Some(4), "{verified}");
}

/// Generation `number` is the last, and ratified.
#[track_caller]
fn assert_at(verified: &serde_json::Value, number: usize) {
    let generations = verified["generations"].as_array().unwrap();
    assert_eq!(generations.len(), number, "{verified}");
    assert_eq!(generations[number - 1]["ratified"], true, "{verified}");
    assert_eq!(verified["ratified"], verified["current"], "{verified}");
}

/// The same as `run`, where every card takes its turn in the one reader.
fn run_swapping(reader: &mut OneReader<'_>, pcscd: &Pcscd, args: &[String], who: &[usize]) -> Crew {
    if args[0] != "enrol" {
        reader.clear();
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut terminal = crew::claviger("pcsc", &args, Some(pcscd));
    let mut crew = Crew::of(who);
    let code = crew.hold_reading(&mut terminal, |screen| reader.swap(screen, who));
    assert_eq!(code, 0, "{}", terminal.screen());
    crew
}

#[test]
fn three_of_five_with_a_single_reader() {
    let place = Place::new(3);
    let pcscd = Pcscd::start(1);
    let mut reader = OneReader::new(&pcscd, cards());
    for (index, name) in NAMES.iter().enumerate() {
        reader.insert(index);
        let output = place.text(&format!("{name}.json"));
        let args = ["enrol", "--name", name, "-o", &output].map(str::to_owned);
        run_swapping(&mut reader, &pcscd, &args, &[index]);
    }
    let (vault, copy) = (place.text("vault"), place.text("copy"));
    let mut found =
        vec!["found".to_owned(), vault.clone(), copy.clone(), "--policy".to_owned(), place.text("policy.toml")];
    found.extend(NAMES.iter().map(|name| place.text(&format!("{name}.json"))));
    run_swapping(&mut reader, &pcscd, &found, &[0, 1, 2, 3, 4]);
    place.seal("root-password", "password", SECRET.as_bytes());
    let rotate = ["rotate".to_owned(), vault.clone(), copy.clone()];
    // dan and erin are absent from the first ceremonies.
    run_swapping(&mut reader, &pcscd, &rotate, &[0, 1, 2]);
    let before = reader.insertions.clone();
    let crew = run_swapping(&mut reader, &pcscd, &recover_args(&place), &[0, 1, 2]);
    assert_eq!(crew.shown, [SECRET]);
    // Once in each round; the card that was last in the first round stays for the second.
    let insertions: u32 = reader.insertions.iter().sum::<u32>() - before.iter().sum::<u32>();
    assert!(insertions <= 6, "{before:?} {:?}", reader.insertions);
    assert_eq!(crew.pins_typed, 6);
    // They attend a later one without having done anything in between.
    run_swapping(&mut reader, &pcscd, &rotate, &[2, 3, 4]);
    let crew = run_swapping(&mut reader, &pcscd, &recover_args(&place), &[0, 3, 4]);
    assert_eq!(crew.shown, [SECRET]);
    place.quietly(&["verify", &vault, &copy]);
    let verified: serde_json::Value =
        serde_json::from_str(&place.quietly(&["verify", "--json", &vault, &copy])).unwrap();
    assert_at(&verified, 5);
    for card in &reader.cards {
        // VERIFY without a PIN asks for the tries; no other answer than success or three tries left was ever given.
        let verifies = card.commands().into_iter().filter(|line| line.starts_with("0020 0080"));
        assert!(verifies.into_iter().all(|line| line.ends_with("9000") || line.ends_with("63C3")));
    }
}

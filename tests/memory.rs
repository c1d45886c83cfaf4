//! Secrets in memory.

#[path = "harness/harness.rs"]
mod harness;

use harness::crew::{self, Crew, NAMES};
use harness::scene::RECOVER;
use harness::table::Table;
use harness::watch::Watch;
use harness::{Terminal, VirtualCard};

const CREDENTIAL: &str = "zQ4-wT9v_Xp2!mK7";
const VAULTS: [&str; 2] = ["vault", "copy"];

fn pin(index: usize) -> String {
    ["kX9#qLz", "Wp4!sTd8", "u7$Rm2y"][index].to_owned()
}

fn change_pin(card: &VirtualCard, index: usize) {
    let padded = |pin: &str| {
        let mut bytes = [0xff; 8];
        bytes[..pin.len()].copy_from_slice(pin.as_bytes());
        bytes
    };
    let mut state = card.state();
    let select = [&[0, 0xa4, 4, 0, 9][..], &[0xa0, 0, 0, 3, 8, 0, 0, 0x10, 0], &[0]].concat();
    assert!(state.answer(&select).ends_with(&[0x90, 0]));
    let change = [&[0, 0x24, 0, 0x80, 16][..], &padded(&crew::pin(index)), &padded(&pin(index))].concat();
    assert_eq!(state.answer(&change), [0x90, 0]);
}

fn crew(who: &[usize]) -> Crew {
    let mut crew = Crew::of(who);
    crew.pins = who.iter().map(|&index| (NAMES[index].to_owned(), pin(index))).collect();
    crew
}

fn run(table: &Table, watch: &Watch, command: &[&str], who: &[usize]) {
    let mut all = vec!["--tokens".to_owned(), "pcsc".to_owned()];
    all.extend(harness::scene::arguments(&table.place, command, &VAULTS));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let (name, socket) = table.pcscd.environment();
    let environment = [watch.environment(), (name, socket.to_str().unwrap())];
    let mut terminal = Terminal::claviger(&all, &environment);
    let mut crew = crew(who);
    assert_eq!(crew.hold(&mut terminal, || {}), 0, "{}", terminal.screen());
    for look in watch.looks() {
        println!("{:24} {:9} {:?}", look.stage, look.bytes, look.found);
    }
}

#[test]
fn explore() {
    let table = Table::enrolled(2, 3);
    let watch = Watch::start();
    for (index, name) in NAMES.iter().enumerate().take(3) {
        change_pin(&table.cards[index], index);
        watch.plant(&format!("pin {name}"), pin(index).as_bytes());
    }
    watch.plant("credential", CREDENTIAL.as_bytes());
    let enrolments: Vec<String> = (0..3).map(|index| table.place.text(&format!("{}.json", NAMES[index]))).collect();
    let policy = table.place.text("policy.toml");
    let mut found = vec!["found"];
    found.extend(enrolments.iter().map(String::as_str));
    found.extend(["--policy", &policy]);
    println!("== found");
    run(&table, &watch, &found, &[0, 1, 2]);
    table.place.seal(harness::scene::ITEM, "password", CREDENTIAL.as_bytes());
    println!("== rotate");
    run(&table, &watch, &["rotate"], &[0, 1]);
    println!("== recover");
    run(&table, &watch, &RECOVER, &[0, 1]);
    println!("{:?}", watch.kinds());
}

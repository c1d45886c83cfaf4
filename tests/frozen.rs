//! Vaults of format version 1 that were made long ago (`tests/vectors/frozen-v1`): at rest, and at every stage at which a
//! ceremony was cut. Every later version judges them as they were judged then, goes on from them, and gets the credential.

#[path = "harness/harness.rs"]
mod harness;

#[path = "frozen/make.rs"]
mod make;
#[path = "frozen/store.rs"]
mod store;

use claviger::transcript::{Judgement, Severity, Stage};
use claviger::vault::{Copies, VaultError, consider};
use harness::crew;
use harness::inside::{Command, People, Site, told};
use harness::scene::{SECRET, flat, without_terminal};
use harness::world::{World, hold, quick_dir};
use store::Store;

/// Both copies of every frozen vault.
pub const BOTH: [&str; 2] = ["vault", "copy"];
/// The item of kind `password`.
pub const LOGIN: &str = "root-login";
/// Its credential when the vaults were frozen.
pub const PASSWORD: &str = "Frozen-in-version-1";

/// How the names of foundings begin.
const FOUNDING: &str = "founding-";

/// What a vault is judged to be, in words that stand beside it.
fn verdict(judgement: &Judgement) -> String {
    let mut lines = Vec::new();
    match judgement.current() {
        Ok(current) => {
            let state = if current.ratified { "ratified" } else { "not ratified" };
            lines.push(format!("current {} {state}", current.generation));
        }
        Err(error) => lines.push(format!("current none: {}", error.to_string().split(':').next().unwrap_or_default())),
    }
    let holders = judgement.current().map(|current| current.holders.len()).unwrap_or_default();
    lines.push(format!("holders {holders}"));
    for unfinished in &judgement.unfinished {
        let stage = match unfinished.stage {
            Stage::Gathering => "gathering",
            Stage::Staged => "staged",
            Stage::Committed => "committed",
        };
        let approvals = unfinished.approvals.len();
        lines.push(format!("unfinished {} {} {stage}, {approvals} approvals", unfinished.number, unfinished.plan.kind));
    }
    for generation in &judgement.generations {
        let states = [
            (generation.committed, "committed"),
            (generation.ratified, "ratified"),
            (generation.extinct, "extinct"),
            (generation.in_line, "in line"),
        ];
        let states: Vec<&str> = states.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
        let plan = &generation.manifest.plan;
        let exceptions: Vec<String> = plan.exceptions.iter().map(|exception| exception.kind.to_string()).collect();
        lines.push(format!(
            "generation {} by {} {}: {}; {} closings; exceptions {exceptions:?}; items {}",
            generation.generation,
            plan.number,
            plan.kind,
            states.join(", "),
            generation.closings.len(),
            generation.manifest.items.len(),
        ));
    }
    for copy in &judgement.copies {
        // How many files it lacks is for the program to count; that it lacks some is what is frozen.
        let state = if copy.missing == 0 { "whole" } else { "behind" };
        lines.push(format!("copy {}: {state}, wrong {}", copy.path, copy.wrong));
    }
    let records: Vec<String> =
        judgement.records.iter().map(|record| format!("{:?}", record.body().body.kind())).collect();
    lines.push(format!("records {records:?}"));
    let wrong = judgement.findings.iter().filter(|finding| finding.severity == Severity::Wrong);
    lines.extend(wrong.map(|finding| format!("wrong {}", finding.what.split(':').next().unwrap_or_default())));
    lines.push(String::new());
    lines.join("\n")
}

/// What the program says is to be done, until the item comes out. The commands, and how each ended.
fn go_on(site: &Site, mut world: World, who: &[usize]) -> (String, World) {
    let mut done = Vec::new();
    let mut command = Command::Recover;
    for _ in 0..4 {
        let held = hold(site, &world, command, &BOTH, who, guided(who));
        world = held.world().clone();
        let name = if command == Command::Resume { "resume" } else { "recover" };
        let end = match &held.result {
            Ok(()) if held.people.shown == [SECRET] => "shown".to_owned(),
            Ok(()) if held.people.screen.contains("nothing is revealed. Run `claviger recover`") => {
                "the grant is over".to_owned()
            }
            Ok(()) => panic!("{}", held.people.screen),
            Err(failure) => {
                let hint = claviger::error::Advice::hint(failure).unwrap_or_default();
                assert!(hint.contains("claviger resume"), "{}: {hint}", told(failure));
                "resume it".to_owned()
            }
        };
        done.push(format!("{name}: {end}"));
        command = match end.as_str() {
            "shown" => return (done.join("\n") + "\n", world),
            "resume it" => Command::Resume,
            _ => Command::Recover,
        };
    }
    panic!("{done:?}");
}

/// People who do as the program says: the branch with the highest number; they stop otherwise.
pub fn guided(who: &[usize]) -> People {
    People::of(who).led_by(|question, _| usize::from(question == "Which is to be finished?"))
}

#[test]
fn every_frozen_vault_is_judged_as_then_and_its_credential_comes_out() {
    let store = Store::checked_in();
    let names = store.names();
    assert!(names.len() >= 15, "frozen vaults are only ever added: {names:?}");
    let dir = quick_dir();
    let site = Site { dir: dir.path().to_owned() };
    for name in names.into_iter().filter(|name| !name.starts_with(FOUNDING)) {
        let world = store.read(&name);
        assert_eq!(verdict(&world.judgement(&BOTH)), store.expected(&name, "verdict"), "{name}");
        let (way, after) = go_on(&site, world, &store.who(&name));
        assert_eq!(way, store.expected(&name, "way"), "{name}");
        let judgement = after.judgement(&BOTH);
        let sound = judgement.findings.iter().all(|finding| finding.severity == Severity::Note);
        assert!(sound && judgement.unfinished.is_empty(), "{name}: {:?}", judgement.findings);
        assert!(judgement.current().unwrap().ratified, "{name}");
    }
}

/// A founding that was cut goes on as the same vault, and its shares open it.
#[test]
fn every_frozen_founding_goes_on() {
    let store = Store::checked_in();
    let names: Vec<String> = store.names().into_iter().filter(|name| name.starts_with(FOUNDING)).collect();
    assert!(names.len() >= 2, "{names:?}");
    for name in names {
        let dir = quick_dir();
        let site = Site { dir: dir.path().to_owned() };
        let world = store.read(&name);
        let before = world.judgement(&BOTH);
        assert_eq!(verdict(&before), store.expected(&name, "verdict"), "{name}");
        world.lay(&site, &BOTH, &[0, 1, 2]);
        for (file, bytes) in world.copies["enrolments"].iter().chain(&world.copies["vault"]) {
            if !file.contains('/') {
                std::fs::write(site.dir.join(file), &**bytes).unwrap();
            }
        }
        let committed = before.unfinished.iter().any(|ceremony| ceremony.stage == Stage::Committed);
        let command = if committed { Command::Resume } else { Command::Found };
        for (command, who) in [(command, &[0, 1, 2][..]), (Command::Rotate, &[0, 2])] {
            let mut people = People::of(who);
            site.hold(command, &BOTH, &mut people).unwrap_or_else(|error| panic!("{name}: {error}\n{}", people.screen));
        }
        let after = World::take(&site.dir, &BOTH).judgement(&BOTH);
        assert!(after.is_sound() && after.unfinished.is_empty(), "{name}: {:?}", after.findings);
        let current = after.current().unwrap();
        assert!(after.vault == before.vault && current.generation == 2 && current.ratified, "{name}");
    }
}

#[test]
fn the_frozen_password_comes_out_and_the_frozen_proposal_is_admitted() {
    let store = Store::checked_in();
    let dir = quick_dir();
    let site = Site { dir: dir.path().to_owned() };
    let world = store.read("at-rest");
    let held = hold(&site, &world, Command::RecoverOf(LOGIN, 600), &BOTH, &[1, 2], guided(&[1, 2]));
    assert_eq!(held.people.shown, [PASSWORD], "{}", held.people.screen);
    let held = hold(&site, held.world(), Command::Rotate, &BOTH, &[0, 2], guided(&[0, 2]));
    held.result.as_ref().unwrap();
    let items = held.world().judgement(&BOTH).current().unwrap().manifest.items.len();
    assert_eq!(items, world.judgement(&BOTH).current().unwrap().manifest.items.len() + 1);
}

/// `copy sync` cannot settle a fork, and says who can; `copy remove` leaves the last good shares of either branch alone.
#[test]
fn in_the_frozen_fork_the_last_good_shares_stay() {
    let store = Store::checked_in();
    let dir = quick_dir();
    let site = Site { dir: dir.path().to_owned() };
    store.read("fork").lay(&site, &BOTH, &store.who("fork"));
    let paths = BOTH.map(|copy| site.dir.join(copy));
    let [vault, copy] = paths.each_ref().map(|path| path.to_str().unwrap());
    let (code, said) = without_terminal(&["copy", "sync", vault, copy]);
    let said = flat(&said);
    assert!(code == 1 && said.contains("run `claviger resume VAULT`") && !said.contains("0 copies"), "{said}");
    for (path, mut bytes) in crew::tree(&paths[1]) {
        if path.parent().unwrap().ends_with("shares") {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(path, bytes).unwrap();
        }
    }
    let copies = Copies::open(&paths).unwrap();
    let error = consider(&copies, &paths[0]).unwrap_err();
    assert!(matches!(error, VaultError::LastCopy { .. }), "{error}");
    assert!(consider(&copies, &paths[1]).is_ok());
}

/// Where a new set of frozen vaults is made. See the README beside those that are checked in.
fn new_set() -> std::path::PathBuf {
    std::env::var_os("CLAVIGER_FROZEN_DIR").expect("CLAVIGER_FROZEN_DIR names a directory").into()
}

#[test]
#[ignore = "writes files; what is checked in is never made again"]
fn make_a_new_set() {
    let store = Store::create(&new_set());
    let work = quick_dir();
    let site = Site { dir: work.path().to_owned() };
    for (name, who, world) in make::states(&site) {
        store.write(&name, &who, &world);
        store.expect(&name, "verdict", &verdict(&world.judgement(&BOTH)));
    }
}

#[test]
#[ignore = "writes files; what is checked in is never made again"]
fn make_new_foundings() {
    let store = Store::create(&new_set());
    for (name, world) in make::foundings() {
        store.write(&name, &[0, 1, 2], &world);
        store.expect(&name, "verdict", &verdict(&world.judgement(&BOTH)));
    }
}

#[test]
#[ignore = "writes files; what is checked in is never written again"]
fn say_what_is_done_with_a_new_set() {
    let store = Store::at(&new_set());
    let work = quick_dir();
    let site = Site { dir: work.path().to_owned() };
    for name in store.names() {
        let (way, _) = go_on(&site, store.read(&name), &store.who(&name));
        store.expect(&name, "way", &way);
    }
}

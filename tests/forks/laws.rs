//! What must hold in every state, and of everything that people read.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use claviger::encoding::Digest;
use claviger::error::Advice;
use claviger::transcript::Manifest;

use super::kind::{Known, Reader};
use crate::harness::inside::told;
use crate::harness::scene::SECRET;
use crate::harness::world::{Card, Held, World};

/// What stopped people: exit code, error and hint, with whatever differs between runs left out.
pub fn stop(held: &Held) -> Option<String> {
    let failure = held.result.as_ref().err()?;
    let hint = failure.hint().unwrap_or_default();
    Some(format!("{} | {} | {}", failure.exit() as i32, told(failure), hint))
}

/// The same without ids, names, numbers and times.
pub fn plain(text: &str) -> String {
    let is_word = |word: &str| {
        let core = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let hex = core.len() >= 8 && core.chars().all(|c| c.is_ascii_hexdigit());
        !hex && !core.chars().any(|c| c.is_ascii_digit())
    };
    let names = |word: &str| crate::harness::crew::NAMES.iter().any(|name| word.contains(name));
    let words = text.split_whitespace().map(|word| match (names(word), is_word(word)) {
        (true, _) => "NAME",
        (_, false) => "N",
        _ => word,
    });
    let mut words: Vec<&str> = words.collect();
    words.dedup();
    words.join(" ")
}

/// Every way in which people are stopped: exit code, what happened, what to do now.
const STOPS: [(i32, &str, &str); 9] = [
    (1, "two generations follow the same one (a fork)", "run `claviger resume VAULT`"),
    (3, "needed and", "bring the other custodians"),
    (4, "needed and", "run `claviger resume VAULT`"),
    (4, "is committed and not finished", "run `claviger resume VAULT`"),
    (4, "the generation before can still be opened", "bring one of them"),
    (4, "is complete on none of the copies", "goes on over this generation"),
    (5, "which these copies do not have", "bring the medium that that ceremony was written to"),
    (5, "more copies than are here", "bring the other copies"),
    (5, "complete copies of the vault", "bring the vault's other media"),
];

/// What people read and what came out, when one ceremony ended or stopped.
pub fn people(held: &Held) {
    let screen = &held.people.screen;
    if let Err(failure) = &held.result {
        let (code, what, hint) = (failure.exit() as i32, told(failure), failure.hint().unwrap_or_default());
        let mut stops = STOPS.iter();
        let known = stops.any(|stop| stop.0 == code && what.contains(stop.1) && hint.contains(stop.2));
        assert!(known, "no way on is named: {code}, {what}, {hint}\n{screen}");
    }
    if screen.contains("Something is wrong with these copies") {
        let causes = ["a fork: the generations", "is recorded as abandoned, and yet it is committed"];
        let named = screen.lines().any(|line| line.starts_with('!') && causes.iter().any(|cause| line.contains(cause)));
        assert!(named, "something is wrong, and nobody says what:\n{screen}");
    }
    assert!(held.people.shown.iter().all(|shown| shown == SECRET), "{:?}", held.people.shown);
    assert!(held.people.shown.len() <= held.reveals.len());
}

/// One state.
pub fn state(world: &World, reader: &mut Reader) -> Result<(), String> {
    let cards = reader.cards(world);
    if !cards.values().all(|card| card.tries == 3 && card.refused_pins == 0) {
        return Err("a PIN try was lost".to_owned());
    }
    let known = reader.ceremonies(world);
    if !opens(world, &known, &cards) {
        return Err("nothing opens any more".to_owned());
    }
    one_child(world, &known)
}

/// Some committed generation has all its items and at least k envelopes whose keys are on the tokens.
fn opens(world: &World, known: &[Known], cards: &BTreeMap<String, Rc<Card>>) -> bool {
    known.iter().filter(|known| known.committed).any(|known| {
        let Some((_, manifest)) = &known.manifest else { return false };
        let stands = |file: String, digest: Digest| {
            known.directories.iter().any(|(copy, directory)| {
                let found = world.copies[copy].get(&format!("generations/{directory}/{file}"));
                found.is_some_and(|bytes| Digest::of(bytes) == digest)
            })
        };
        let items = manifest.items.iter().all(|item| stands(format!("items/{}.age", item.name), item.digest));
        items && openers(manifest, cards, &stands).len() >= usize::from(manifest.plan.k)
    })
}

fn openers(
    manifest: &Manifest,
    cards: &BTreeMap<String, Rc<Card>>,
    stands: &impl Fn(String, Digest) -> bool,
) -> BTreeSet<u8> {
    let can = |index: u8, digest: Digest| {
        let entry = manifest.plan.custodian(index).unwrap();
        let key = manifest.share_key(index).unwrap().public;
        stands(format!("shares/{}.age", entry.stem()), digest) && cards[entry.name.as_str()].has(&key)
    };
    manifest.envelopes.iter().filter(|e| can(e.index, e.digest)).map(|e| e.index).collect()
}

/// A credential is about to be shown: of every other generation, on whatever copy, the tokens hold fewer than k keys.
pub fn nothing_else_opens(world: &World, reader: &mut Reader) {
    let copies: Vec<&str> = world.copies.keys().map(String::as_str).collect();
    let judgement = world.judgement(&copies);
    let head = judgement.ratified_head().expect("shown, and nothing is ratified");
    let cards = reader.cards(world);
    for known in reader.ceremonies(world).iter().filter(|known| known.committed) {
        let (digest, manifest) = known.manifest.as_ref().unwrap();
        let holders = holders(manifest, &cards);
        let opens = holders >= usize::from(manifest.plan.k);
        assert!(
            !opens || *digest == head.digest,
            "generation {} still opens with {holders} tokens",
            manifest.plan.generation
        );
    }
}

/// How many tokens hold the key that this manifest names for their custodian.
pub fn holders(manifest: &Manifest, cards: &BTreeMap<String, Rc<Card>>) -> usize {
    let holds = |index: u8| {
        let name = &manifest.plan.custodian(index).unwrap().name;
        cards[name.as_str()].has(&manifest.share_key(index).unwrap().public)
    };
    manifest.envelopes.iter().filter(|envelope| holds(envelope.index)).count()
}

/// All copies together: of the children of one generation at most one is ratified, and at most one was shown.
fn one_child(world: &World, known: &[Known]) -> Result<(), String> {
    let mut shown: BTreeMap<Option<Digest>, Digest> = BTreeMap::new();
    for known in known.iter().filter(|known| was_shown(world, &known.id)) {
        if shown.insert(known.plan.parent, known.id).is_some() {
            return Err("two ceremonies that consumed one generation were shown".to_owned());
        }
    }
    // With fewer than two children that have a COMMIT there is nothing to compare.
    let parents: Vec<_> = known.iter().filter(|known| known.committed).map(|known| known.plan.parent).collect();
    if parents.iter().collect::<BTreeSet<_>>().len() == parents.len() {
        return Ok(());
    }
    let mut ratified = BTreeMap::new();
    let all: Vec<&str> = world.copies.keys().map(String::as_str).collect();
    for copies in all.iter().map(std::slice::from_ref).chain([&all[..]]) {
        for state in world.judgement(copies).generations.iter().filter(|state| state.ratified) {
            if *ratified.entry(state.manifest.plan.parent).or_insert(state.digest) != state.digest {
                return Err("two children of one generation are ratified".to_owned());
            }
        }
    }
    Ok(())
}

fn was_shown(world: &World, ceremony: &Digest) -> bool {
    let records = world.copies.values().flatten();
    let mut records = records.filter(|(path, _)| path.starts_with("records/") && path.ends_with(".json"));
    records.any(|(_, bytes)| {
        let text = String::from_utf8_lossy(bytes);
        text.contains("\"kind\":\"revealed\"") && text.contains(&ceremony.to_string())
    })
}

//! The verdict over a vault whose files are not what they were.
//!
//! The input is a list of changes to the files of a copy: bytes flipped, files removed, exchanged, renamed, cut, replaced,
//! documents edited and brought into canonical form, and signed by carol, one of three custodians of whom two are needed.
//! Whatever she does with every file: no generation is committed or ratified that was not before, nobody else's key counts
//! as destroyed that did not before, the same comes out for the copies in any order, and with a whole copy beside it the
//! same generation is current. What is shown of it moves no cursor.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use claviger::encoding::{Digest, canonical};
use claviger::report;
use claviger::transcript::snapshot::Unread;
use claviger::transcript::{Content, CopyView, Judgement, Memory, Place, Snapshot, judge};
use serde_json::Value;

use super::world::{self, Made, World};

/// How many changes are made at most.
const MOST_CHANGES: usize = 24;

/// Reads one input.
pub fn run(bytes: &[u8]) {
    let Some((&selector, rest)) = bytes.split_first() else { return };
    let base = &bases()[usize::from(selector % 3)];
    let memory = memory();
    let mut changed = base.world.view(0);
    let mut sealed = sealed_bytes(&base.world);
    let mut rest = rest;
    for _ in 0..MOST_CHANGES {
        let [how, file, other, length, after @ ..] = rest else { break };
        let (data, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        change(&base.world, &mut changed, &mut sealed, (*how, *file, *other), data);
    }
    let views = match selector >> 4 & 3 {
        0 => vec![changed],
        1 => vec![base.world.view(1), changed],
        2 => vec![changed, base.world.view(1)],
        _ => vec![changed.clone(), CopyView { path: "/copy/3".to_owned(), ..changed }],
    };
    let whole = matches!(selector >> 4 & 3, 1 | 2);
    let Some(judgement) = judged(&views, &memory) else { return assert!(!whole, "a whole copy is a vault") };
    if judgement.vault != base.judgement.vault {
        // Then people who compare the words see it; a whole copy that comes first says so.
        return assert!(selector >> 4 & 3 != 1, "the first copy says which vault it is");
    }
    hold(&base.judgement, &judgement, whole);
    let turned: Vec<CopyView> = views.iter().rev().cloned().collect();
    if let Some(turned) = judged(&turned, &memory).filter(|turned| turned.vault == judgement.vault) {
        assert_eq!(facts(&judgement), facts(&turned), "the order of the copies decides something");
    }
    show(&judgement);
}

struct Base {
    world: World,
    judgement: Judgement,
}

/// Ratified; committed and not ratified on top of that; staged on top of that, with one approval.
fn bases() -> &'static [Base; 3] {
    static BASES: std::sync::OnceLock<[Base; 3]> = std::sync::OnceLock::new();
    BASES.get_or_init(|| [base(|_, _| {}), base(committed), base(staged)])
}

/// The vaults that are changed, by the lower two bits of the first byte modulo 3.
pub fn worlds() -> Vec<World> {
    bases().iter().map(|base| base.world.clone()).collect()
}

fn base(more: impl Fn(&mut World, &Made)) -> Base {
    let (mut world, [_, second]) = World::ratified();
    more(&mut world, &second);
    let views = [world.view(0), world.view(1)];
    let judgement = judged(&views, &Memory::default()).expect("a vault");
    assert!(judgement.is_sound(), "{:?}", judgement.findings);
    Base { world, judgement }
}

fn committed(world: &mut World, second: &Made) {
    let plan = world.plan(Some(second), 3);
    world.make(Some(second), plan, &[1, 2]);
}

fn staged(world: &mut World, second: &Made) {
    let plan = world.plan(Some(second), 3);
    let approvals = world.gather(&plan, &[1, 2]);
    let manifest = world.stage(Some(second), &plan, approvals);
    let path = format!("generations/{}/manifest.json", world.directory(&plan));
    world.files.insert(path, claviger::encoding::Document::encode(&manifest));
}

/// The signatures of the vault are verified once; what the inputs bring is forgotten now and then.
fn memory() -> Memory {
    thread_local! {
        static MEMORY: RefCell<(Memory, u32)> = RefCell::new((Memory::default(), 0));
    }
    MEMORY.with_borrow_mut(|(memory, used)| {
        *used += 1;
        if *used % 5000 == 0 {
            *memory = Memory::default();
        }
        memory.clone()
    })
}

fn judged(views: &[CopyView], memory: &Memory) -> Option<Judgement> {
    Some(judge(&Snapshot::new(views.to_vec()).ok()?.remembering(memory)))
}

/// Sealed files are bytes only here: of a copy, claviger keeps their digests.
fn sealed_bytes(world: &World) -> BTreeMap<String, Vec<u8>> {
    world.files.iter().filter(|(path, _)| Place::of(path).is_sealed()).map(|(p, b)| (p.clone(), b.clone())).collect()
}

fn bytes_of(view: &CopyView, sealed: &BTreeMap<String, Vec<u8>>, path: &str) -> Vec<u8> {
    let kept = || sealed.get(path).cloned().unwrap_or_default();
    view.files.get(path).and_then(Content::bytes).map_or_else(kept, <[u8]>::to_vec)
}

/// One change.
fn change(
    world: &World,
    view: &mut CopyView,
    sealed: &mut BTreeMap<String, Vec<u8>>,
    (how, file, other): (u8, u8, u8),
    data: &[u8],
) {
    let paths: Vec<String> = view.files.keys().cloned().collect();
    if paths.is_empty() {
        return;
    }
    let path = paths[usize::from(file) % paths.len()].clone();
    let second = paths[usize::from(other) % paths.len()].clone();
    match how % 13 {
        0 => {
            let mut bytes = bytes_of(view, sealed, &path);
            let place = usize::from(other) * bytes.len() / 256;
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1 << (data.first().copied().unwrap_or(0) & 7);
            }
            replace(view, sealed, &path, bytes);
        }
        1 => drop(view.files.remove(&path)),
        2 => {
            let bytes = bytes_of(view, sealed, &path);
            replace(view, sealed, &second, bytes);
        }
        3 => {
            let (a, b) = (bytes_of(view, sealed, &path), bytes_of(view, sealed, &second));
            replace(view, sealed, &path, b);
            replace(view, sealed, &second, a);
        }
        4 => replace(view, sealed, &path, data.to_vec()),
        5 => {
            let mut bytes = bytes_of(view, sealed, &path);
            bytes.truncate(usize::from(other) * bytes.len() / 256);
            replace(view, sealed, &path, bytes);
        }
        6 | 7 => {
            let Some(bytes) = edited(&bytes_of(view, sealed, &path), other, data) else { return };
            let path = renamed(&path, &bytes);
            if how % 13 == 7 {
                replace(view, sealed, &twin(&path), world::sign(&World::signer(3), &bytes));
            }
            replace(view, sealed, &path, bytes);
        }
        8 => {
            let bytes = bytes_of(view, sealed, &path);
            replace(view, sealed, &twin(&path), world::sign(&World::signer(3), &bytes));
        }
        9 => {
            let bytes = bytes_of(view, sealed, &path);
            let name = String::from_utf8_lossy(data).into_owned();
            replace(view, sealed, &name, bytes);
        }
        10 => {
            let directory = |path: &str| path.split('/').take(2).collect::<Vec<_>>().join("/");
            let (from, to) = (directory(&path), String::from_utf8_lossy(data).into_owned());
            let to = if to.is_empty() { directory(&second) } else { to };
            for old in paths.iter().filter(|path| path.starts_with(&format!("{from}/"))) {
                let bytes = bytes_of(view, sealed, old);
                view.files.remove(old);
                replace(view, sealed, &format!("{to}{}", &old[from.len()..]), bytes);
            }
        }
        11 => {
            let file = String::from_utf8_lossy(data).into_owned();
            view.unread.push(Unread { file, why: "is a FIFO, not what a vault has there".to_owned() });
        }
        // Carol says what another custodian said.
        _ => {
            let bytes = bytes_of(view, sealed, &path);
            let Ok(mut document) = serde_json::from_slice::<Value>(&bytes) else { return };
            let Some(directory) = path.rsplit_once('/').map(|(directory, _)| directory.to_owned()) else { return };
            if document.get("index").is_none() {
                return;
            }
            document["index"] = 3.into();
            let bytes = edited(&canonical(&document), other, data).unwrap_or_else(|| canonical(&document));
            let stem = format!("{directory}/{}", world.stem(3));
            replace(view, sealed, &format!("{stem}.sig"), world::sign(&World::signer(3), &bytes));
            replace(view, sealed, &format!("{stem}.json"), bytes);
        }
    }
}

fn replace(view: &mut CopyView, sealed: &mut BTreeMap<String, Vec<u8>>, path: &str, bytes: Vec<u8>) {
    let content = world::content(path, &bytes);
    if let Content::Sealed { .. } = content {
        sealed.insert(path.to_owned(), bytes);
    }
    view.files.insert(path.to_owned(), content);
}

/// Records have the name of their digest.
fn renamed(path: &str, bytes: &[u8]) -> String {
    if path.starts_with("records/") { format!("records/{}.json", Digest::of(bytes)) } else { path.to_owned() }
}

fn twin(path: &str) -> String {
    path.strip_suffix(".json").map_or_else(|| path.to_owned(), |stem| format!("{stem}.sig"))
}

/// A document of which one value, anywhere in it, is another: what `data` is as JSON, or as a text.
fn edited(bytes: &[u8], which: u8, data: &[u8]) -> Option<Vec<u8>> {
    let mut document: Value = serde_json::from_slice(bytes).ok()?;
    let new = serde_json::from_slice(data).unwrap_or_else(|_| String::from_utf8_lossy(data).into_owned().into());
    let leaves = count(&document);
    let mut left = usize::from(which) % leaves.max(1);
    set(&mut document, &mut left, &new);
    Some(canonical(&document))
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(values) => values.iter().map(count).sum(),
        Value::Object(map) => map.values().map(count).sum(),
        _ => 0,
    }
}

fn set(value: &mut Value, left: &mut usize, new: &Value) -> bool {
    if *left == 0 {
        *value = new.clone();
        return true;
    }
    *left -= 1;
    match value {
        Value::Array(values) => values.iter_mut().any(|value| set(value, left, new)),
        Value::Object(map) => map.values_mut().any(|value| set(value, left, new)),
        _ => false,
    }
}

/// What stands after the changes is not more than what stood before.
fn hold(before: &Judgement, after: &Judgement, whole: bool) {
    let known: BTreeMap<Digest, _> = before.generations.iter().map(|state| (state.digest, state)).collect();
    for state in &after.generations {
        let was = known.get(&state.digest);
        if state.committed {
            assert!(was.is_some_and(|was| was.committed), "a generation is committed that k custodians did not make");
        }
        if state.ratified {
            assert!(was.is_some_and(|was| was.ratified), "a generation is ratified that k custodians did not close");
        }
        let Some(was) = was else { continue };
        for honest in [1, 2] {
            let lost = was.holders.contains(&honest) && !state.holders.contains(&honest);
            assert!(!lost, "custodian {honest} is said to have destroyed a key");
        }
    }
    if whole {
        let (was, is) = (before.current().expect("one"), after.current().expect("a whole copy is here"));
        assert_eq!((was.digest, was.ratified, was.extinct), (is.digest, is.ratified, is.extinct));
        assert_eq!(was.closings.len().min(2), is.closings.len().min(2));
    }
    let files: usize = 60 * (after.copies.len() + 1);
    assert!(after.findings.len() < 20 * files, "{} findings", after.findings.len());
    assert!(after.highest_number <= (1 << 53), "numbers stay numbers");
}

/// What must not depend on the order of the copies.
fn facts(judgement: &Judgement) -> impl PartialEq + std::fmt::Debug {
    let generations: BTreeSet<_> = judgement
        .generations
        .iter()
        .map(|state| {
            let closings: Vec<_> = state.closings.iter().map(|(index, closing)| (*index, closing.digest())).collect();
            let flags = [state.commit, state.committed, state.ratified, state.extinct, state.in_line];
            (state.digest, flags, state.holders.clone(), closings)
        })
        .collect();
    let records: Vec<_> = judgement.records.iter().map(|record| record.digest()).collect();
    let current = judgement.current().ok().map(|state| state.digest);
    (generations, records, current, judgement.highest_number)
}

fn show(judgement: &Judgement) {
    let now = "2026-06-01T00:00:00Z".parse().expect("a time");
    let terms = report::status::Terms {
        name: None,
        now,
        check_days: 90,
        rotate_days: 365,
        copies: 2,
        unavailable: &[],
        foreign: &[],
        media: &[],
    };
    for text in [report::verify::text(judgement, &[]), report::status::text(judgement, &terms)] {
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "what is shown moves the cursor");
    }
}

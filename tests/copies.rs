//! Copies that are missing, old, full, read-only, damaged, unreadable or copied by hand: each is named, a ceremony goes on
//! where enough good ones are left, and `claviger copy` brings the others up to date.
//!
//! The sweeps cut `copy add`, `sync` and `remove` at every point where the power may fail, in the test's own process; the
//! damage of every file is sampled unless `CLAVIGER_TEST_EVERY_POINT=1`.

#[path = "harness/harness.rs"]
mod harness;
#[path = "copies/in_a_ceremony.rs"]
mod in_a_ceremony;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::rc::Rc;

use claviger::cli::copy::Remove;
use claviger::cli::{Failure, VaultArguments};
use claviger::encoding::Digest;
use claviger::error::{Advice, Exit};
use claviger::fault;
use claviger::transcript::{Judgement, judge, serves_alone};
use claviger::vault::{self, Copies, VaultError};
use harness::Terminal;
use harness::crew::{self, Crew};
use harness::inside::{Command, People, Site};
use harness::scene::{RECOVER, SECRET, Scene, Seen, flat, without_terminal};

const ALL: [&str; 3] = ["vault", "copy", "third"];

fn scene() -> Scene {
    Scene::on_copies(2, 3, &ALL)
}

fn site(scene: &Scene) -> Site {
    Site { dir: scene.place.path("") }
}

/// `claviger copy WHAT` on these copies: exit code, and all that it says.
#[track_caller]
fn copy(scene: &Scene, what: &str, copies: &[&str]) -> (i32, String) {
    let paths: Vec<String> = copies.iter().map(|copy| scene.place.text(copy)).collect();
    let mut args = vec!["copy", what];
    args.extend(paths.iter().map(String::as_str));
    let (code, said) = without_terminal(&args);
    (code, flat(&said))
}

#[track_caller]
fn brings_up_to_date(scene: &Scene, copies: &[&str]) -> String {
    let (code, said) = copy(scene, "sync", copies);
    assert_eq!(code, 0, "{said}");
    let (code, verified) = scene.verify(copies);
    assert_eq!(code, 0, "{verified}");
    for alone in copies {
        assert!(scene.judgement(&[alone]).is_sound(), "{alone} alone");
    }
    said
}

/// The same in this process.
#[track_caller]
fn comes_up_to_date(scene: &Scene) {
    let dir = scene.place.path("");
    let synced = sync(&dir, &ALL);
    assert!(synced.judgement.is_sound() && synced.copies.iter().all(vault::SyncedCopy::is_up_to_date), "{synced:?}");
    assert!(verdict(&dir, &ALL[2..]).is_sound());
}

fn generation(scene: &Scene, copies: &[&str]) -> u64 {
    scene.judgement(copies).current().unwrap().generation
}

/// Changes one bit in the middle of a file.
fn damage(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let at = bytes.len() * 2 / 3;
    bytes[at] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

fn damage_current(scene: &Scene, copy: &str, file: &str) {
    let directory = scene.judgement(&[copy]).current().unwrap().directory.clone();
    damage(&scene.place.path(copy).join("generations").join(directory).join(file));
}

/// One way in which a copy can be bad: how it becomes so, what is said of it, and how the condition is mended.
struct Bad {
    name: &'static str,
    happens: fn(&Scene, &str),
    said: &'static [&'static str],
    mended: fn(&Scene, &str),
}

fn stays(_: &Scene, _: &str) {}

fn away(scene: &Scene, copy: &str) {
    std::fs::rename(scene.place.path(copy), scene.place.path(&format!("{copy}.away"))).unwrap();
}

fn back(scene: &Scene, copy: &str) {
    let _ = std::fs::remove_dir(scene.place.path(copy));
    std::fs::rename(scene.place.path(&format!("{copy}.away")), scene.place.path(copy)).unwrap();
}

const BAD: [Bad; 6] = [
    Bad {
        name: "missing",
        happens: away,
        said: &["A copy cannot be used: ", "it is not there", "claviger copy sync"],
        mended: back,
    },
    Bad {
        name: "not mounted",
        happens: |scene, copy| {
            away(scene, copy);
            std::fs::create_dir(scene.place.path(copy)).unwrap();
        },
        said: &["A copy cannot be used: ", "holds no copy of a vault", "claviger copy sync"],
        mended: back,
    },
    Bad {
        name: "a damaged document",
        happens: |scene, copy| damage_current(scene, copy, "manifest.json"),
        said: &["manifest.json", "Go on with what is right?", "claviger copy sync"],
        mended: stays,
    },
    Bad {
        name: "a damaged share",
        happens: |scene, copy| damage_current(scene, copy, "shares/03-carol.age"),
        said: &["03-carol.age", "its digest differs", "claviger copy sync"],
        mended: stays,
    },
    Bad {
        name: "without a mark",
        happens: |scene, copy| std::fs::remove_file(scene.place.path(copy).join("copy.json")).unwrap(),
        said: &["copy.json: is missing", "claviger copy sync"],
        mended: stays,
    },
    Bad {
        name: "copied by hand",
        happens: |scene, copy| {
            std::fs::remove_dir_all(scene.place.path(copy)).unwrap();
            crew::copy_tree(&scene.place.path("vault"), &scene.place.path(copy));
        },
        said: &["one was copied by hand", "claviger copy sync"],
        mended: stays,
    },
];

#[test]
fn two_good_copies_of_three_are_enough_and_the_third_catches_up() {
    let scene = scene();
    let site = site(&scene);
    for bad in BAD {
        let before = generation(&scene, &ALL);
        (bad.happens)(&scene, "third");
        let mut people = People::of(&[0, 1]);
        let held = site.hold(Command::Recover, &ALL, &mut people);
        assert!(held.is_ok(), "{}: {held:?}\n{}", bad.name, people.screen);
        assert_eq!(people.shown, [SECRET], "{}", bad.name);
        let screen = flat(&people.screen);
        for text in bad.said.iter().copied().chain([scene.place.text("third").as_str()]) {
            assert!(screen.contains(text), "{}: {text:?} is not said:\n{}", bad.name, people.screen);
        }
        assert_eq!(generation(&scene, &ALL[..2]), before + 1, "{}", bad.name);
        (bad.mended)(&scene, "third");
        comes_up_to_date(&scene);
        let ids = Copies::open(&ALL.map(|copy| scene.place.path(copy))).unwrap().ids();
        assert_eq!(ids.len(), 3, "{}", bad.name);
    }
    let (code, said) = copy(&scene, "sync", &ALL);
    assert!(code == 0 && said.contains("Nothing to do: 3 copies are up to date"), "{said}");
    scene.no_try_was_lost();
}

#[test]
fn with_one_good_copy_it_stops_before_anything_is_irreversible() {
    let scene = scene();
    let site = site(&scene);
    for bad in BAD {
        let before = (generation(&scene, &ALL), crew::tree(&scene.place.path("tokens")));
        for copy in ["copy", "third"] {
            (bad.happens)(&scene, copy);
        }
        let mut people = People::of(&[0, 1]);
        let held = site.hold(Command::Recover, &ALL, &mut people).expect_err(bad.name);
        assert_eq!(held.exit(), Exit::Refused, "{}: {held}", bad.name);
        assert!(people.screen.contains("The policy wants 2 copies of the vault"), "{}: {}", bad.name, people.screen);
        let way_on = [people.screen.clone(), held.hint().unwrap_or_default()].concat();
        assert!(way_on.contains("claviger copy sync"), "{}: {way_on}", bad.name);
        assert_eq!((people.shown.len(), people.pins_given), (0, 0), "{}", bad.name);
        assert_eq!(generation(&scene, &["vault"]), before.0, "{}", bad.name);
        assert!(crew::tree(&scene.place.path("tokens")) == before.1, "{}: a token was written", bad.name);
        for copy in ["copy", "third"] {
            (bad.mended)(&scene, copy);
        }
        comes_up_to_date(&scene);
    }
}

#[test]
fn an_old_copy_is_named_and_gets_what_it_missed() {
    let scene = scene();
    crew::copy_tree(&scene.place.path("third"), &scene.place.path("old"));
    let mut people = People::of(&[1, 2]);
    site(&scene).hold(Command::Recover, &ALL[..2], &mut people).unwrap();
    let behind = ["vault", "copy", "old"];
    for said in [scene.status(&behind), scene.verify(&behind).1] {
        let said = flat(&said);
        assert!(said.contains("NOT A BACKUP: it ends at generation 2, the vault is at 3; it lacks 1"), "{said}");
        let command = format!("-> claviger copy sync {}", behind.map(|copy| scene.place.text(copy)).join(" "));
        assert!(said.replace(' ', "").contains(&command.replace(' ', "")), "{said}");
    }
    let said = brings_up_to_date(&scene, &behind);
    assert!(said.contains("files that it lacked") && said.contains("inbox-identity.age, that nobody needs"), "{said}");
    // A ceremony does the first of it by itself.
    let mut people = People::of(&[0, 1]);
    site(&scene).hold(Command::Recover, &["vault", "third"], &mut people).unwrap();
    assert!(people.screen.contains("got generations/000003/COMMIT from another copy"), "{}", people.screen);
}

/// claviger in a mount namespace of its own, where `script` has changed what is mounted at `third`.
#[track_caller]
fn where_mounted(scene: &Scene, script: &str, command: &[&str], copies: &[&str]) -> Seen {
    let mut args = vec!["--tokens".to_owned(), scene.place.soft()];
    args.extend(command.iter().take_while(|word| matches!(**word, "copy" | "sync")).map(|word| (*word).to_owned()));
    let rest = &command[args.len() - 2..];
    match rest {
        [] => args.extend(copies.iter().map(|copy| scene.place.text(copy))),
        rest => args.extend(scene.arguments(rest, copies)),
    }
    let root = rustix::process::geteuid().is_root();
    let namespace: &[&str] = if root { &["--mount"] } else { &["--user", "--map-root-user", "--mount"] };
    let mut program = Program::new("unshare");
    let script = format!("{script}\nexec \"$@\"");
    program.args(namespace).args(["bash", "-euc", &script, &scene.place.text("third"), env!("CARGO_BIN_EXE_claviger")]);
    program.args(&args);
    let mut terminal = Terminal::run(program);
    let mut crew = Crew::of(&[0, 1]);
    let code = crew.hold(&mut terminal, || {});
    Seen { code, screen: terminal.screen().to_owned(), shown: crew.shown, pins_typed: crew.pins_typed }
}

const READ_ONLY: &str = "mount --bind $0 $0; mount -o remount,bind,ro $0";
/// A medium with room for what is there, and for two files more.
const FULL: &str =
    "mkdir -p $0.full; mount -t tmpfs -o size=4m tmpfs $0.full; cp -a $0/. $0.full; mount --bind $0.full $0
    used=$(df --output=used -k $0 | tail -1); mount -o remount,size=$((used + 8))k $0.full";

#[test]
fn a_full_and_a_read_only_medium() {
    let scene = scene();
    for (mount, word, why) in [(READ_ONLY, "CANNOT BE WRITTEN", "it is read-only"), (FULL, "FULL: ", "it is full")] {
        let before = (generation(&scene, &ALL), crew::tree(&scene.place.path("tokens")));
        // With only one good one: it stops, and nothing has happened.
        let seen = where_mounted(&scene, mount, &RECOVER, &["vault", "third"]);
        seen.expect(
            5,
            &[word, "The policy wants 2 copies of the vault", "and 1 can be written here", "claviger: hint:"],
        );
        assert_eq!(seen.reveals_nothing().pins_typed, 0);
        assert!(before == (generation(&scene, &ALL), crew::tree(&scene.place.path("tokens"))));
        // With two: it is held, and the third is behind.
        let seen = where_mounted(&scene, mount, &RECOVER, &ALL);
        assert_eq!(seen.expect(0, &[word]).shown, [SECRET]);
        assert_eq!(generation(&scene, &["third"]), before.0);
        let seen = where_mounted(&scene, mount, &["status"], &ALL);
        seen.expect(0, &[word, "NOT A BACKUP", "claviger copy sync"]);
        let seen = where_mounted(&scene, mount, &["copy", "sync"], &ALL);
        seen.expect(2, &["2 of 3 copies are up to date", "NOT UP TO DATE: cannot", why, "then run the command again"]);
        brings_up_to_date(&scene, &ALL);
    }
}

#[test]
fn a_bad_sector() {
    use std::os::unix::fs::MetadataExt;
    let scene = scene();
    let file = |file: &str| std::fs::File::open(scene.place.path("third").join(file)).unwrap();
    // Held open, so that no other file gets these inodes when they are removed.
    let held = [file("generations/000002/items/root-password.age"), file("generations/000001/manifest.json")];
    let inodes = held.each_ref().map(|file| file.metadata().unwrap().ino().to_string());
    let bad = [("CLAVIGER_FAULT_UNREADABLE", inodes.join(","))];
    let bad: Vec<(&str, &str)> = bad.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let run = |command: &[&str], copies: &[&str]| {
        let mut terminal = scene.start_in(command, copies, &bad);
        let mut crew = Crew::of(&[0, 1]);
        let code = crew.hold(&mut terminal, || {});
        Seen { code, screen: terminal.screen().to_owned(), shown: crew.shown, pins_typed: crew.pins_typed }
    };
    run(&["verify"], &ALL).expect(1, &["root-password.age", "DAMAGED", "the medium has an error there"]);
    let seen = run(&RECOVER, &["vault", "third"]);
    seen.expect(5, &["and 1 can be written here and would do alone", "claviger copy sync"]).reveals_nothing();
    assert_eq!(run(&RECOVER, &ALL).expect(0, &["claviger copy sync"]).shown, [SECRET]);
    // The good bytes come on other sectors; what cannot be read goes.
    let third = scene.place.text("third");
    let sync = [scene.place.text("vault"), scene.place.text("copy"), third.clone()];
    let args: Vec<&str> = ["copy", "sync"].into_iter().chain(sync.iter().map(String::as_str)).collect();
    let mut terminal = Terminal::claviger(&args, &bad);
    terminal.expect_exit(0);
    assert!(flat(terminal.screen()).contains("repaired generations/000001/manifest.json"), "{}", terminal.screen());
    brings_up_to_date(&scene, &ALL);
}

fn paths(dir: &Path, copies: &[&str]) -> Vec<PathBuf> {
    copies.iter().map(|copy| dir.join(copy)).collect()
}

fn open(dir: &Path, copies: &[&str]) -> Copies {
    Copies::open(&paths(dir, copies)).unwrap()
}

fn verdict(dir: &Path, copies: &[&str]) -> Judgement {
    judge(&open(dir, copies).snapshot().unwrap())
}

fn sync(dir: &Path, copies: &[&str]) -> vault::Synced {
    let mut copies = open(dir, copies);
    let lock = copies.lock().unwrap();
    vault::sync(&copies, &lock).unwrap()
}

fn add(dir: &Path, copies: &[&str], new: &str) -> Result<vault::Synced, VaultError> {
    let mut copies = open(dir, copies);
    let _lock = copies.lock()?;
    vault::add(&copies, &dir.join(new))
}

fn remove(dir: &Path, copies: &[&str]) -> (Result<(), Failure>, String) {
    let mut people = People::default();
    let remove = Remove { paths: paths(dir, copies), vault: VaultArguments { expect: None } };
    let outcome = remove.run(&mut people);
    (outcome, people.screen)
}

/// What stands on a copy, but for its mark.
fn contents(dir: &Path, copy: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let root = dir.join(copy);
    let relative = |path: &Path| path.strip_prefix(&root).unwrap().to_owned();
    let tree = crew::tree(&root).into_iter().map(|(path, bytes)| (relative(&path), bytes));
    tree.filter(|(path, _)| path != Path::new("copy.json")).collect()
}

/// The copies and nothing else, in a directory of their own.
fn likeness(dir: &Path, copies: &[&str]) -> tempfile::TempDir {
    let new = tempfile::tempdir().unwrap();
    copies.iter().filter(|copy| dir.join(copy).exists()).for_each(|copy| {
        crew::copy_tree(&dir.join(copy), &new.path().join(copy));
    });
    new
}

#[test]
fn every_damaged_file_is_repaired_from_a_copy_that_has_it_right() {
    let scene = scene();
    let dir = scene.place.path("");
    let copies = ["vault", "copy"];
    sync(&dir, &copies);
    let good = contents(&dir, "vault");
    let files: Vec<PathBuf> = good.keys().cloned().chain([PathBuf::from("copy.json")]).collect();
    let mut repaired = 0;
    for (number, file) in files.iter().enumerate() {
        let path = dir.join("vault").join(file);
        let damages: [fn(&Path); 3] = [
            damage,
            |path| std::fs::File::options().write(true).open(path).unwrap().set_len(0).unwrap(),
            |path| std::fs::File::options().write(true).open(path).unwrap().set_len(5 << 20).unwrap(),
        ];
        for (kind, damage) in damages.into_iter().enumerate().filter(|(kind, _)| every_point() || number % 9 == *kind) {
            damage(&path);
            let synced = sync(&dir, &copies);
            let (bad, other) = (&synced.copies[0], &synced.copies[1]);
            // Whatever was extinct or admitted is not put back, and whatever nobody signed is not judged.
            assert!(bad.is_up_to_date() && other.is_up_to_date(), "{} {kind}: {:?}", file.display(), bad.left);
            assert!(synced.judgement.is_sound(), "{} {kind}", file.display());
            assert!(contents(&dir, "vault") == good, "{} {kind}", file.display());
            repaired += bad.repaired.len() + usize::from(bad.marked.is_some());
        }
    }
    println!("{} files, {repaired} repairs", files.len());
    assert!(repaired >= files.len() / 4);
}

#[test]
fn nothing_is_replaced_without_right_bytes() {
    let scene = scene();
    let dir = scene.place.path("");
    let share = "generations/000002/shares/01-alice.age";
    for copy in ["vault", "copy"] {
        damage(&dir.join(copy).join(share));
    }
    std::fs::write(dir.join("vault/notes.txt"), "mine").unwrap();
    std::fs::write(dir.join("vault/movie.part"), "mine too").unwrap();
    std::fs::write(dir.join("vault/generations/000002/COMMIT.part"), "half").unwrap();
    let before = contents(&dir, "vault");
    let (code, said) = copy(&scene, "sync", &["vault", "copy"]);
    assert_eq!(code, 1, "{said}");
    for text in
        ["0 of 2 copies are up to date", share, "notes.txt: is not a file of a vault", "COMMIT.part, that nobody"]
    {
        assert!(said.contains(text), "{text}: {said}");
    }
    let after = contents(&dir, "vault");
    assert_eq!(before.len(), after.len() + 1, "only what this program began is removed");
    assert!(after.iter().all(|(path, bytes)| before[path] == *bytes));
    // The third copy has it.
    std::fs::remove_file(dir.join("vault/notes.txt")).unwrap();
    brings_up_to_date(&scene, &ALL);
}

#[test]
fn a_new_copy_counts_when_it_was_judged() {
    let scene = scene();
    let dir = scene.place.path("");
    let before = contents(&dir, "vault");
    let (code, said) = copy(&scene, "add", &["vault", "copy", "fourth"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("got its mark: it counts as a copy from now on"), "{said}");
    assert!(said.contains("are on the same medium: what destroys one destroys both"), "{said}");
    assert!(contents(&dir, "fourth") == contents(&dir, "vault") && before == contents(&dir, "vault"));
    assert_eq!(open(&dir, &["vault", "copy", "third", "fourth"]).ids().len(), 4);
    scene.recovers(&["fourth", "third"], &[0, 2]);

    // Again, and with a path that is given twice.
    let (code, said) = copy(&scene, "add", &["vault", "copy", "fourth"]);
    assert_eq!(code, 0, "{said}");
    assert!(matches!(add(&dir, &["vault", "copy"], "copy/../vault"), Err(VaultError::Same { .. })));
    // A copy in a copy would make that one wrong.
    for inside in ["copy/sub", "copy/inbox/x", "vault/../vault/new", ""] {
        let (code, said) = copy(&scene, "add", &["vault", "copy", inside]);
        assert!(code == 2 && said.contains("one inside the other"), "{inside}: {said}");
        assert!(!dir.join("copy/sub").exists() && !dir.join("vault/new").exists());
    }
    // What is not empty is not touched.
    std::fs::create_dir(dir.join("mine")).unwrap();
    std::fs::write(dir.join("mine/notes.txt"), "mine").unwrap();
    let (code, said) = copy(&scene, "add", &["vault", "mine"]);
    assert!(code == 2 && said.contains("is not empty") && said.contains("notes.txt"), "{said}");
    assert_eq!(std::fs::read_dir(dir.join("mine")).unwrap().count(), 1);
    // A copy of another vault is not touched.
    let other = Scene::new(2, 3);
    let (before, others) = (crew::tree(&other.place.path("copy")), other.place.text("copy"));
    let (code, said) = without_terminal(&["copy", "add", &scene.place.text("vault"), &others]);
    assert!(code == 2 && said.contains("is a copy of another vault"), "{said}");
    assert!(before == crew::tree(&other.place.path("copy")));
}

#[test]
fn what_is_damaged_is_not_given_to_a_new_copy() {
    let scene = scene();
    let dir = scene.place.path("");
    let share = "generations/000002/shares/03-carol.age";
    damage(&dir.join("vault").join(share));
    let (code, said) = copy(&scene, "add", &["vault", "fourth"]);
    assert_eq!(code, 1, "{said}");
    for text in ["got its mark, and does not count yet", "NOT A BACKUP", "the current generation is not whole on it"] {
        assert!(said.contains(text), "{text}: {said}");
    }
    assert!(!said.contains("it counts as a copy"), "{said}");
    assert!(!dir.join("fourth").join(share).exists());
    brings_up_to_date(&scene, &["copy", "vault", "fourth"]);
}

#[test]
fn a_copy_made_by_hand_gets_a_mark_of_its_own_after_the_other_has_all_it_has() {
    let scene = scene();
    let dir = scene.place.path("");
    crew::copy_tree(&dir.join("copy"), &dir.join("clone"));
    let id = |copy: &str| open(&dir, &[copy]).ids()[0];
    let kept = id("copy");
    // A ceremony on the clone and another copy is committed: to its plan, the clone was `copy`.
    let mut terminal = scene.start(&RECOVER, &["vault", "clone"]);
    let mut crew = Crew::of(&[0, 1]);
    crew.hold_until(&mut terminal, "Round 2");
    terminal.expect(crew::PIN);
    terminal.kill();
    terminal.expect_exit(128 + 9);
    let committed = verdict(&dir, &["clone"]).current().unwrap().digest;
    assert!(verdict(&dir, &["copy"]).generation(&committed).is_none());

    // While `copy` cannot take what the clone has, the clone keeps its mark: nobody else vouches for that COMMIT.
    std::fs::create_dir_all(dir.join("copy/generations/000003/COMMIT")).unwrap();
    let synced = sync(&dir, &["copy", "clone"]);
    assert!(synced.copies[1].marked.is_none() && !synced.copies[1].is_up_to_date());
    assert!(synced.copies[1].failures[0].to_string().contains("lacks files that are here"), "{:?}", synced.copies[1]);
    assert_eq!((id("copy"), id("clone")), (kept, kept));
    std::fs::remove_dir(dir.join("copy/generations/000003/COMMIT")).unwrap();

    let (_, said) = scene.verify(&["vault", "copy", "clone"]);
    assert!(flat(&said).contains("HAS THE SAME MARK AS"), "{said}");
    let said = flat(&{
        let (code, said) = copy(&scene, "sync", &["vault", "copy", "clone"]);
        assert_eq!(code, 0, "{said}");
        said
    });
    assert!(said.contains("got a mark of its own: it had the same mark as"), "{said}");
    assert_eq!(id("copy"), kept);
    assert_ne!(id("clone"), kept);
    assert!(
        verdict(&dir, &["copy"]).generation(&committed).unwrap().commit,
        "what was committed under its id is there"
    );
    let seen = scene.hold(&["resume"], &["vault", "copy", "clone"], &[0, 1]);
    assert_eq!(seen.expect(0, &[]).shown, [SECRET]);
    brings_up_to_date(&scene, &["vault", "copy", "third", "clone"]);
}

#[test]
fn a_clone_does_not_vouch_for_the_copy_whose_mark_it_had() {
    let scene = scene();
    let dir = scene.place.path("");
    // A ceremony that carol alone approved, on all copies.
    let seen = scene.hold(&RECOVER, &ALL, &[2]);
    seen.expect(3, &["carol has approved"]);
    let begun = verdict(&dir, &ALL).unfinished[0].id;
    crew::copy_tree(&dir.join("copy"), &dir.join("clone"));
    let (code, said) = copy(&scene, "add", &["copy", "clone"]);
    assert_eq!(code, 0, "{said}");
    // Without `copy`, the clone is not enough to call it abandoned; with it, it is.
    let seen = scene.hold(&RECOVER, &["vault", "third", "clone"], &[0, 1]);
    seen.expect(5, &["was begun on 1 more copies than are here"]).reveals_nothing();
    let seen = scene.hold(&RECOVER, &["vault", "third", "copy", "clone"], &[0, 1]);
    assert_eq!(seen.expect(0, &["never committed"]).shown, [SECRET]);
    assert!(verdict(&dir, &["clone"]).is_abandoned(&begun));
}

/// A recovery on these copies, killed when only the last of them has its COMMIT. Its manifest.
#[track_caller]
fn committed_on_the_last_alone(scene: &Scene, copies: [&str; 2]) -> Digest {
    let dir = scene.place.path("");
    let mut terminal = scene.start(&RECOVER, &copies);
    let mut crew = Crew::of(&[0, 1]);
    crew.hold_until(&mut terminal, "Round 2");
    terminal.expect(crew::PIN);
    terminal.kill();
    terminal.expect_exit(128 + 9);
    std::fs::remove_file(dir.join(copies[0]).join("generations/000003/COMMIT")).unwrap();
    let judgement = verdict(&dir, &[copies[1]]);
    let committed = judgement.current().unwrap();
    assert!(committed.generation == 3 && !committed.ratified);
    committed.digest
}

/// The ceremony that was committed on a copy that is away is not abandoned on these, whatever is tried before.
#[track_caller]
fn is_not_abandoned_without_an_exception(scene: &Scene, copies: [&str; 2]) {
    let dir = scene.place.path("");
    for before in ["", "merged", "synchronised"] {
        if before == "synchronised" {
            brings_up_to_date(scene, &copies);
        }
        let seen = scene.hold(&RECOVER, &copies, &[1, 2]);
        seen.expect(5, &["was begun on 1 more copies than are here", "It may have been committed there"]);
        seen.reveals_nothing();
        assert!(!dir.join(copies[1]).join("generations/000003").exists(), "it was never there");
    }
}

#[test]
fn a_copy_does_not_vouch_for_the_clone_that_has_its_mark() {
    let scene = scene();
    let dir = scene.place.path("");
    crew::copy_tree(&dir.join("copy"), &dir.join("clone"));
    let committed = committed_on_the_last_alone(&scene, ["vault", "clone"]);
    is_not_abandoned_without_an_exception(&scene, ["vault", "copy"]);
    // With the clone it is there.
    let seen = scene.hold(&["resume"], &["vault", "clone"], &[0, 1]);
    assert_eq!(seen.expect(0, &[]).shown, [SECRET]);
    brings_up_to_date(&scene, &["copy", "vault", "clone", "third"]);
    let judgement = verdict(&dir, &["copy"]);
    assert!(judgement.current().unwrap().digest == committed && judgement.unfinished.is_empty());
}

/// The COMMIT stood on one copy alone, and is damaged there: an older directory with the same mark does not say for it that
/// nothing was committed.
#[test]
fn a_clone_does_not_vouch_for_a_copy_whose_commit_is_damaged() {
    let scene = scene();
    let dir = scene.place.path("");
    crew::copy_tree(&dir.join("copy"), &dir.join("clone"));
    committed_on_the_last_alone(&scene, ["vault", "copy"]);
    let commit = dir.join("copy/generations/000003/COMMIT");
    let mut bytes = std::fs::read(&commit).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&commit, bytes).unwrap();
    for copies in [["vault", "copy", "clone"], ["clone", "vault", "copy"]] {
        let seen = scene.hold_with(&RECOVER, &copies, Crew::of(&[1, 2]).choosing(&["stop"]));
        assert_eq!((seen.code, seen.reveals_nothing().pins_typed), (5, 0), "{}", seen.screen);
        assert!(flat(&seen.screen).contains("may have been committed"), "{}", seen.screen);
    }
}

#[test]
fn a_copy_that_was_restored_from_an_image_does_not_vouch_for_what_was_on_it() {
    let scene = scene();
    let dir = scene.place.path("");
    crew::copy_tree(&dir.join("copy"), &dir.join("image"));
    let committed = committed_on_the_last_alone(&scene, ["vault", "copy"]);
    std::fs::rename(dir.join("copy"), dir.join("gone")).unwrap();
    std::fs::rename(dir.join("image"), dir.join("copy")).unwrap();
    is_not_abandoned_without_an_exception(&scene, ["vault", "copy"]);
    // People may decide that it is lost; k of them approve that, and it is on record.
    let seen = scene.hold_with(&RECOVER, &["vault", "copy"], Crew::of(&[1, 2]).choosing(&["lost", "lost"]));
    assert_eq!(seen.expect(0, &["a lost ceremony"]).shown, [SECRET]);
    let judgement = verdict(&dir, &["vault", "copy"]);
    assert!(judgement.current().unwrap().ratified && judgement.current().unwrap().digest != committed);
    brings_up_to_date(&scene, &["vault", "copy", "third"]);
}

#[test]
fn of_two_copies_with_one_mark_a_ceremony_writes_to_one() {
    let scene = scene();
    let dir = scene.place.path("");
    crew::copy_tree(&dir.join("copy"), &dir.join("clone"));
    let before = crew::tree(&dir.join("clone"));
    let mut terminal = scene.start(&RECOVER, &["vault", "copy", "clone"]);
    let mut crew = Crew::of(&[0, 1]);
    crew.hold_until(&mut terminal, "Round 2");
    assert!(
        flat(terminal.screen())
            .contains("one of the two was copied by hand, and nothing of this ceremony is written to")
    );
    terminal.kill();
    terminal.expect_exit(128 + 9);
    assert!(before == crew::tree(&dir.join("clone")));
    std::fs::remove_file(dir.join("vault/generations/000003/COMMIT")).unwrap();
    is_not_abandoned_without_an_exception(&scene, ["vault", "clone"]);
    let seen = scene.hold(&["resume"], &["vault", "copy", "clone"], &[0, 1]);
    assert_eq!(seen.expect(0, &[]).shown, [SECRET]);
    brings_up_to_date(&scene, &["vault", "copy", "clone", "third"]);
}

#[test]
fn a_plan_names_no_copy_that_did_not_take_it() {
    let scene = scene();
    let dir = scene.place.path("");
    // A directory where the plan should be.
    std::fs::create_dir_all(dir.join("third/generations/000003/plan.json")).unwrap();
    let seen = scene.hold(&RECOVER, &ALL, &[2]);
    seen.expect(3, &["Nothing more of this ceremony is written there", "carol has approved"]);
    let ids = open(&dir, &["vault", "copy"]).ids();
    let judgement = verdict(&dir, &["vault", "copy"]);
    let approved = judgement.unfinished.iter().find(|ceremony| !ceremony.approvals.is_empty()).unwrap();
    assert_eq!(approved.plan.copies, ids);
    // So nobody has to be asked for the third.
    let seen = scene.hold(&RECOVER, &["vault", "copy"], &[0, 1]);
    assert_eq!(seen.expect(0, &["never committed"]).shown, [SECRET]);
    std::fs::remove_dir_all(dir.join("third/generations/000003")).unwrap();
    brings_up_to_date(&scene, &ALL);
}

#[test]
fn a_directory_that_is_made_a_copy_has_a_mark_of_its_own_though_the_original_is_away() {
    let scene = scene();
    let dir = scene.place.path("");
    crew::copy_tree(&dir.join("copy"), &dir.join("clone"));
    let id = |copy: &str| open(&dir, &[copy]).ids()[0];
    let (code, said) = copy(&scene, "add", &["vault", "clone"]);
    assert!(code == 0 && said.contains("got a mark of its own: it had one already"), "{said}");
    assert_ne!(id("clone"), id("copy"));
    assert_eq!(open(&dir, &["vault", "copy", "third", "clone"]).ids().len(), 4);
    brings_up_to_date(&scene, &["vault", "copy", "third", "clone"]);
    // What cannot be a copy of its own keeps the mark that it has.
    damage(&dir.join("clone/generations/000002/shares/03-carol.age"));
    damage(&dir.join("vault/generations/000002/shares/03-carol.age"));
    let before = id("clone");
    let (code, said) = copy(&scene, "add", &["vault", "clone"]);
    assert!(code != 0 && said.contains("files on it are wrong"), "{said}");
    assert_eq!(id("clone"), before);
}

#[test]
fn a_copy_is_taken_out_of_service() {
    let scene = scene();
    let dir = scene.place.path("");
    std::fs::write(dir.join("third/notes.txt"), "mine").unwrap();
    let (outcome, said) = remove(&dir, &ALL);
    outcome.unwrap();
    assert!(said.contains("is not a copy any more") && said.contains("destroy the medium"), "{said}");
    assert!(said.contains("notes.txt was left there"), "{said}");
    assert_eq!(crew::tree(&dir.join("third")).len(), 1);
    assert_eq!(std::fs::read_dir(dir.join("third")).unwrap().count(), 1, "its directories are gone");
    scene.recovers(&["vault", "copy"], &[0, 1]);

    // Below the number of the policy it is asked for; the last is never removed.
    let (outcome, said) = remove(&dir, &["vault", "copy"]);
    outcome.unwrap();
    assert!(said.contains("The policy wants 2 copies of the vault, and 1 good one would be left"), "{said}");
    let copies = open(&dir, &["vault"]);
    assert!(matches!(vault::consider(&copies, &dir.join("vault")), Err(VaultError::LastCopy { .. })));
    let (outcome, _) = remove(&dir, &["vault", "copy"]);
    let error = outcome.unwrap_err();
    assert!(error.to_string().contains("is not here, so nothing is removed"), "{error}");
    assert!(error.hint().unwrap().contains("a copy that is lost needs no command"));
    assert_eq!(scene.verify(&["vault"]).0, 0);
}

#[test]
fn what_only_it_has_keeps_a_copy_in_service() {
    let scene = scene();
    let dir = scene.place.path("");
    let secret = scene.place.path("secret");
    std::fs::write(&secret, "x").unwrap();
    scene.place.quietly(&["seal", &scene.place.text("third"), "one-more", &scene.place.text("secret")]);
    let before = crew::tree(&dir.join("third"));
    let (outcome, _) = remove(&dir, &ALL);
    let error = outcome.unwrap_err();
    assert!(matches!(error, Failure::Vault(VaultError::OnlyThere { .. })), "{error}");
    assert!(error.to_string().contains("inbox/one-more") && error.hint().unwrap().contains("claviger copy sync"));
    // Asked on a terminal, no is the answer that Enter gives.
    sync(&dir, &ALL);
    let paths = ALL.map(|copy| scene.place.text(copy));
    let args = [&["copy", "remove"][..], &paths.each_ref().map(String::as_str)].concat();
    let mut terminal = Terminal::claviger(&args, &[] as &[(&str, &str)]);
    terminal.answer(crew::CONFIRM, "");
    terminal.expect_exit(3);
    assert!(before == crew::tree(&dir.join("third")));
    // A ceremony that was begun on it is named.
    scene.hold(&RECOVER, &ALL, &[2]).expect(3, &["carol has approved"]);
    let withdrawal = vault::consider(&open(&dir, &ALL), &dir.join("third")).unwrap();
    assert_eq!((withdrawal.left, withdrawal.begun.len()), (2, 1));
    let (outcome, said) = remove(&dir, &ALL);
    outcome.unwrap();
    assert!(said.contains("was begun on") && said.contains("only by an exception that k custodians approve"), "{said}");
}

/// Runs `act`, and ends it at the fault point number `at` (from 1). Whether it came there.
fn cut(at: u64, act: impl FnOnce()) -> bool {
    struct Cut;
    let passed = Rc::new(Cell::new(0));
    let counter = Rc::clone(&passed);
    let watch = fault::watch(move |_| {
        counter.set(counter.get() + 1);
        if counter.get() == at {
            resume_unwind(Box::new(Cut));
        }
    });
    let ended = catch_unwind(AssertUnwindSafe(act));
    drop(watch);
    match ended {
        Ok(()) => false,
        Err(panic) if panic.is::<Cut>() => true,
        Err(panic) => resume_unwind(panic),
    }
}

/// Points of each sweep that are cut when not all are.
const SAMPLE: u64 = 5;

fn every_point() -> bool {
    std::env::var_os("CLAVIGER_TEST_EVERY_POINT").is_some()
}

/// Cuts `act` at its points, each time in a new likeness of `base`, and lets `check` look at what is left. How many points
/// there are.
fn sweep(base: &Path, copies: &[&str], act: impl Fn(&Path), check: impl Fn(&Path, u64)) -> u64 {
    let counter = Rc::new(Cell::new(0));
    let dir = likeness(base, copies);
    let watch = {
        let counter = Rc::clone(&counter);
        fault::watch(move |_| counter.set(counter.get() + 1))
    };
    act(dir.path());
    drop(watch);
    let points: u64 = counter.get();
    // An odd step, so that the sample has points before and after a change.
    let step = if every_point() { 1 } else { (points / SAMPLE) as usize | 1 };
    let chosen: Vec<u64> = (1..=points).step_by(step).collect();
    println!("{points} points, {} of them cut", chosen.len());
    for at in chosen {
        let dir = likeness(base, copies);
        assert!(cut(at, || act(dir.path())), "it was not cut at point {at}");
        check(dir.path(), at);
    }
    points
}

/// A copy that does not count, or one that would do alone.
#[track_caller]
fn is_no_false_copy(dir: &Path, name: &str, copies: &[&str], at: u64) {
    let Ok(alone) = Copies::open(&[dir.join(name)]) else { return };
    if alone.ids().is_empty() {
        return;
    }
    let together = open(dir, copies).snapshot().unwrap();
    let place = copies.iter().position(|copy| *copy == name).unwrap();
    assert!(serves_alone(&together, place, &judge(&together)), "point {at}: {name} counts and would not do");
}

#[track_caller]
fn serve_on(dir: &Path, copies: &[&str], generation: u64, at: u64) {
    for copy in copies {
        let judgement = verdict(dir, &[copy]);
        assert!(judgement.is_sound(), "point {at}: {copy}: {:?}", judgement.findings);
        assert_eq!(judgement.current().unwrap().generation, generation, "point {at}: {copy}");
    }
}

#[test]
fn adding_a_copy_is_cut_anywhere() {
    let scene = scene();
    let base = scene.place.path("");
    let copies = ["vault", "copy"];
    let all = ["vault", "copy", "fourth"];
    let points = sweep(
        &base,
        &copies,
        |dir| drop(add(dir, &copies, "fourth").unwrap()),
        |dir, at| {
            serve_on(dir, &copies, 2, at);
            is_no_false_copy(dir, "fourth", &all, at);
            let synced = add(dir, &copies, "fourth").unwrap();
            assert!(synced.copies.iter().all(vault::SyncedCopy::is_up_to_date), "point {at}: {:?}", synced.copies);
            assert_eq!(contents(dir, "fourth"), contents(dir, "vault"), "point {at}");
            assert_eq!(open(dir, &all).ids().len(), 3, "point {at}");
        },
    );
    assert!(points > 100);
}

#[test]
fn removing_a_copy_is_cut_anywhere() {
    let scene = scene();
    let base = scene.place.path("");
    let points = sweep(
        &base,
        &ALL,
        |dir| remove(dir, &ALL).0.unwrap(),
        |dir, at| {
            serve_on(dir, &ALL[..2], 2, at);
            is_no_false_copy(dir, "third", &ALL, at);
            // Run again, it finishes; and instead, `copy add` makes it a copy once more.
            if Copies::open(&[dir.join("third")]).is_ok() {
                let other = likeness(dir, &ALL);
                let synced = add(other.path(), &ALL[..2], "third").unwrap();
                assert!(synced.copies[2].is_up_to_date(), "point {at}: {:?}", synced.copies[2]);
                remove(dir, &ALL).0.unwrap();
            }
            assert_eq!(std::fs::read_dir(dir.join("third")).unwrap().count(), 0, "point {at}");
            serve_on(dir, &ALL[..2], 2, at);
        },
    );
    assert!(points > 50);
}

#[test]
fn bringing_copies_up_to_date_is_cut_anywhere() {
    let scene = scene();
    let base = scene.place.path("");
    // One damaged, with files missing and a file that was never finished; one copied from it by hand, and older.
    crew::copy_tree(&base.join("copy"), &base.join("clone"));
    let damaged = ["vault.json", "generations/000001/manifest.json", "generations/000002/items/root-password.age"];
    for file in damaged {
        damage(&base.join("copy").join(file));
    }
    std::fs::remove_dir_all(base.join("copy/generations/000002/closings")).unwrap();
    std::fs::write(base.join("copy/records.part"), "").unwrap();
    std::fs::write(base.join("copy/policy.toml.part"), "half").unwrap();
    std::fs::remove_dir_all(base.join("clone/generations/000002")).unwrap();
    damage(&base.join("third/copy.json"));
    let all = ["vault", "copy", "clone", "third"];
    let whole = contents(&base, "vault");
    let before: BTreeMap<&str, _> = all.iter().map(|copy| (*copy, contents(&base, copy))).collect();
    let points = sweep(
        &base,
        &all,
        |dir| drop(sync(dir, &all)),
        |dir, at| {
            serve_on(dir, &["vault"], 2, at);
            for copy in &all[1..] {
                for (path, bytes) in
                    contents(dir, copy).iter().filter(|(path, _)| path.extension() != Some("part".as_ref()))
                {
                    let known = [before[copy].get(path), whole.get(path)].contains(&Some(bytes));
                    assert!(known, "point {at}: {copy}: {} is neither what it was nor right", path.display());
                }
            }
            assert_eq!(verdict(dir, &all).current().unwrap().generation, 2, "point {at}");
            let synced = sync(dir, &all);
            assert!(synced.judgement.is_sound(), "point {at}: {:?}", synced.judgement.findings);
            for copy in ["copy", "clone", "third"] {
                let found: BTreeMap<_, _> =
                    contents(dir, copy).into_iter().filter(|(path, _)| path != Path::new("records.part")).collect();
                assert!(found == contents(dir, "vault"), "point {at}: {copy}");
            }
            assert_eq!(open(dir, &all).ids().len(), 4, "point {at}");
            serve_on(dir, &all, 2, at);
        },
    );
    assert!(points > 60);
}

#[test]
fn a_lone_copy_with_a_damaged_mark_is_not_gone_on_with_but_mended() {
    let scene = Scene::new(2, 3);
    let mark = scene.place.path("vault").join("copy.json");
    std::fs::write(&mark, b"{").unwrap();
    let before = crew::tree(&scene.place.path(""));
    let mut people = People::of(&[0, 1]);
    let held = site(&scene).hold(Command::Recover, &["vault"], &mut people).expect_err("no copy can be written");
    assert_eq!((held.exit(), people.pins_given), (Exit::Refused, 0), "{held}");
    let command = format!("To mend it, stop here and run: claviger copy sync {}", scene.place.text("vault"));
    assert!(people.screen.contains(&command) && !people.screen.contains("\"go\""), "{}", people.screen);
    assert!(crew::tree(&scene.place.path("")) == before);
    let (_, said) = copy(&scene, "sync", &["vault"]);
    assert!(said.contains("got a new mark"), "{said}");
    let mut people = People::of(&[0, 1]).choosing(&["go"]);
    site(&scene).hold(Command::Recover, &["vault"], &mut people).unwrap();
    assert_eq!(people.shown, [SECRET]);
}

#[test]
fn the_plan_says_on_how_many_copies_a_ceremony_goes_on() {
    let scene = Scene::new(2, 3);
    for one in ["vault", "copy"] {
        damage_current(&scene, one, "shares/03-carol.age");
    }
    let mut people = People::of(&[0, 1]).choosing(&["go"]);
    site(&scene).hold(Command::Recover, &["vault", "copy"], &mut people).unwrap();
    let said = "Exception:   copies: expected 2 copies; 1 copy, which would not do alone";
    assert!(people.screen.contains(said), "{}", people.screen);
    assert_eq!(people.shown, [SECRET]);
}

#[test]
fn copies_that_agree_on_what_is_wrong_are_not_called_right() {
    let scene = Scene::new(2, 3);
    let both = ["vault", "copy"];
    for one in both {
        std::fs::remove_file(scene.place.path(one).join("generations/000002/COMMIT")).unwrap();
    }
    let (code, said) = copy(&scene, "sync", &both);
    assert_eq!(code, 1, "{said}");
    assert!(said.starts_with("WRONG on every copy: ") && !said.contains("as it was signed"), "{said}");
}

#[test]
fn a_copy_is_not_made_where_the_medium_is_not_mounted() {
    let scene = Scene::new(2, 3);
    let before = crew::tree(&scene.place.path(""));
    let (code, said) = copy(&scene, "add", &["vault", "stick/one/copy"]);
    let missing = format!("{} is not there", scene.place.text("stick"));
    assert!(code == 2 && said.contains(&missing) && said.contains("check that the medium is mounted"), "{said}");
    assert!(!said.contains("os error"), "{said}");
    assert!(crew::tree(&scene.place.path("")) == before);
}

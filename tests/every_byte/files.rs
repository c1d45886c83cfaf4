//! What stands in the place of a file on disk and is none: a link, a directory, a FIFO, a socket, eight gigabytes of nothing.

use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Instant;

use claviger::transcript::{Judgement, Memory, judge};
use claviger::vault::Copies;

use crate::flips::complete;
use crate::harness::crew::{Crew, copy_tree};
use crate::harness::scene::{RECOVER, SECRET, flat};
use crate::vaults::{SCENE, Vault, claims_no_more, is_free, stands, tree};

/// More memory than this is not taken for one damaged copy, in bytes: what is read of a vault is some hundred kilobytes.
const MOST_MEMORY: u64 = 64 << 20;

fn judged(paths: &[&Path], memory: &Memory) -> Judgement {
    let paths: Vec<PathBuf> = paths.iter().map(|path| path.to_path_buf()).collect();
    judge(&Copies::open(&paths).unwrap().snapshot().unwrap().remembering(memory))
}

/// The most memory that this process ever had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// Each file in turn becomes each of these, on one copy of two and on one that is alone.
pub fn what_is_no_file_is_found_without_waiting_for_it() {
    let (_, ratified, _, _) = &*SCENE;
    let place = tempfile::tempdir().unwrap();
    let (first, second) = (place.path().join("first"), place.path().join("second"));
    for (copy, path) in [&first, &second].into_iter().enumerate() {
        write(path, ratified, copy);
    }
    let (both, alone) = (judged(&[&second, &first], &ratified.memory), judged(&[&first], &ratified.memory));
    let (before, began) = (peak(), Instant::now());
    let mut replaced = 0;
    for (number, file) in ratified.copies[0].keys().enumerate() {
        let path = first.join(file);
        let aside = place.path().join("aside");
        std::fs::rename(&path, &aside).unwrap();
        for (which, (what, make)) in REPLACEMENTS.into_iter().enumerate() {
            if !complete() && which != number % REPLACEMENTS.len() {
                continue;
            }
            make(&path, &aside);
            let what = format!("{file} is {what}");
            let after = judged(&[&second, &first], &ratified.memory);
            let named = |finding: &claviger::transcript::Finding| {
                finding.file == *file && finding.copy.as_deref() == Some(first.to_str().unwrap())
            };
            assert!(is_free(file) || after.findings.iter().any(named), "{what}: {:?}", after.findings);
            stands(&both, &after, &what);
            if file != "vault.json" {
                let after = judged(&[&first], &ratified.memory);
                assert!(is_free(file) || after.findings.iter().any(named), "{what}: {:?}", after.findings);
                claims_no_more(&alone, &after, &what);
            }
            remove(&path);
            replaced += 1;
        }
        std::fs::rename(&aside, &path).unwrap();
    }
    assert_eq!(judged(&[&second, &first], &ratified.memory).findings, both.findings, "all is as it was");
    let taken = peak().saturating_sub(before);
    assert!(taken < MOST_MEMORY, "{taken} bytes of memory were taken");
    println!("{replaced} files replaced by what is none, in {} s", began.elapsed().as_secs());
}

type Make = fn(&Path, &Path);

const REPLACEMENTS: [(&str, Make); 7] = [
    ("a link to what it was", |path, aside| symlink(aside, path).unwrap()),
    ("a link to itself", |path, _| symlink(path, path).unwrap()),
    ("a directory", |path, _| std::fs::create_dir(path).unwrap()),
    ("a FIFO", |path, _| {
        let here = rustix::fs::CWD;
        rustix::fs::mknodat(here, path, rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
    }),
    ("a link to a device without an end", |path, _| symlink("/dev/zero", path).unwrap()),
    ("a socket", |path, _| {
        // A path of a socket is short.
        let short = path.ancestors().last().unwrap().join(format!("tmp/claviger-{}.sock", std::process::id()));
        drop(UnixListener::bind(&short).unwrap());
        std::fs::rename(&short, path)
            .or_else(|_| std::fs::remove_file(&short).and_then(|()| std::fs::create_dir(path)))
            .unwrap();
    }),
    ("eight gigabytes of zeros", |path, _| {
        std::fs::File::create(path).unwrap().set_len(8 << 30).unwrap();
        assert!(std::fs::metadata(path).unwrap().blocks() < 1000);
    }),
];

fn remove(path: &Path) {
    let kind = std::fs::symlink_metadata(path).unwrap().file_type();
    if kind.is_dir() { std::fs::remove_dir(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
}

fn write(path: &Path, vault: &Vault, copy: usize) {
    for (file, bytes) in &vault.copies[copy] {
        let file = path.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
}

/// A sample of damages of one copy: the other one gives back what is missing, and k custodians recover from it.
pub fn the_intact_copy_mends_the_damaged_one_and_recovers() {
    let (scene, ratified, _, _) = &*SCENE;
    let (vault, copy) = (scene.place.path("vault"), scene.place.path("copy"));
    // Removed, all of it but its mark: merging brings everything back.
    let before = tree(&vault);
    for file in before.keys().filter(|file| *file != "copy.json") {
        std::fs::remove_file(vault.join(file)).unwrap();
    }
    let copies = Copies::open(&[copy.clone(), vault.clone()]).unwrap();
    let merged = copies.merge().unwrap();
    assert!(merged.failures.is_empty(), "{:?}", merged.failures);
    assert_eq!(tree(&vault), before, "every byte is back");
    // Damaged where it hurts: manifest, COMMIT and an envelope of the current generation.
    for file in ["manifest.json", "COMMIT", "shares/01-alice.age"] {
        let path = vault.join("generations/000004").join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[10] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    drop(copies);
    let damaged = scene.judgement(&["copy", "vault"]);
    stands(&ratified.both, &renamed(damaged), "three files damaged");
    let whole = scene.place.path("kept");
    copy_tree(&vault, &whole);
    // The damaged copy does not count, which is an exception.
    let crew = Crew::of(&[0, 2]).choosing(&["go"]);
    let seen = scene.hold_with(&RECOVER, &["vault", "copy"], crew);
    assert_eq!(seen.expect(0, &[]).shown, [SECRET], "{}", seen.screen);
    // The damaged files were not touched: nobody overwrites what might be evidence.
    let kept = |path: &Path| std::fs::read(path.join("generations/000004/manifest.json")).unwrap();
    assert_eq!(kept(&vault), kept(&whole));
    let (code, said) = scene.verify(&["vault", "copy"]);
    assert!(code == 1 && said.contains("000004/manifest.json"), "{code}: {said}");
    // Until somebody says so.
    let paths = ["vault", "copy"].map(|copy| scene.place.text(copy));
    scene.place.quietly(&["copy", "sync", &paths[0], &paths[1]]);
    assert_eq!(scene.verify(&["vault", "copy"]).0, 0);
}

/// A proposal that is taken out of the inbox after it was planned to be admitted does not end the ceremony: it is refused.
pub fn a_proposal_that_vanishes_is_refused() {
    let scene = &SCENE.0;
    let waiting = "inbox/third.opaque.";
    let here = |copy: &str| tree(&scene.place.path(copy)).into_keys().find(|path| path.starts_with(waiting));
    assert!(here("vault").is_some(), "something waits");
    let mut terminal = scene.start(&["rotate"], &["copy", "vault"]);
    let mut crew = Crew::of(&[0, 1]);
    crew.hold_until(&mut terminal, "Is this what shall be done?");
    for copy in ["vault", "copy"] {
        std::fs::remove_file(scene.place.path(copy).join(here(copy).unwrap())).unwrap();
    }
    let code = crew.hold(&mut terminal, || {});
    let screen = flat(terminal.screen());
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("did not become an item"), "{screen}");
    let judgement = scene.judgement(&["copy"]);
    let current = judgement.current().unwrap();
    assert!(current.ratified && current.manifest.refused.len() == 1 && current.manifest.items.len() == 2);
}

/// The copies with the names that the in-memory vaults have.
fn renamed(mut judgement: Judgement) -> Judgement {
    for finding in &mut judgement.findings {
        let copy = finding.copy.take();
        finding.copy =
            copy.map(|copy| if copy.ends_with("/copy") { "/copy/2".to_owned() } else { "/copy/1".to_owned() });
    }
    judgement
}

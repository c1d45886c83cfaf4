//! Copies on a real file system.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::encoding::Document;
use crate::transcript::tests::{Made, World, sign, three_generations, time};
use crate::transcript::{Finding, Judgement, Severity, judge};

mod marks;
mod merging;

/// Two directories, each with a copy of the world.
fn on_disk(world: &World) -> (TempDir, Vec<PathBuf>) {
    let dir = tempfile::tempdir().unwrap();
    let paths = vec![dir.path().join("a"), dir.path().join("b")];
    for (copy, path) in paths.iter().enumerate() {
        for (file, bytes) in &world.files {
            put(path, file, bytes);
        }
        put(path, "copy.json", &world.copy_json(copy));
    }
    (dir, paths)
}

fn put(copy: &Path, file: &str, bytes: &[u8]) {
    let path = copy.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn verdict(copies: &Copies) -> Judgement {
    judge(&copies.snapshot().unwrap())
}

#[test]
fn what_is_on_disk_is_judged_as_it_is() {
    let (world, [_, _, third]) = three_generations();
    let (_dir, paths) = on_disk(&world);
    let copies = Copies::open(&paths).unwrap();
    assert_eq!((copies.vault(), copies.ids()), (world.vault, world.copies.clone()));
    let judgement = verdict(&copies);
    assert_eq!(judgement.findings, Vec::new());
    assert_eq!(judgement.current().unwrap().digest, third.digest);
    let media = copies.media();
    assert!(media.iter().all(|medium| medium.writable && medium.free.is_some_and(|free| free > 0)), "{media:?}");
}

#[test]
fn no_copy_a_missing_copy_and_the_same_copy_twice() {
    let (world, _) = World::founded(2, 3);
    let (dir, paths) = on_disk(&world);
    let nowhere = dir.path().join("nowhere");
    let error = Copies::open(std::slice::from_ref(&nowhere)).unwrap_err();
    assert!(matches!(error, VaultError::NoCopy { .. }) && error.to_string().contains("nowhere"));
    let copies = Copies::open(&[nowhere.clone(), paths[1].clone()]).unwrap();
    assert_eq!((copies.paths(), copies.unavailable()[0].path.clone()), (vec![paths[1].clone()], nowhere));
    symlink(&paths[0], dir.path().join("link")).unwrap();
    let same = Copies::open(&[paths[0].clone(), dir.path().join("link")]);
    assert!(matches!(same, Err(VaultError::Same { .. })));
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert!(matches!(Copies::open(std::slice::from_ref(&empty)), Err(VaultError::NoCopy { .. })));
    // A mount point without its medium is no copy, and nothing is written there.
    let copies = Copies::open(&[empty.clone(), paths[0].clone()]).unwrap();
    assert!(copies.unavailable()[0].why.contains("holds no copy"));
    copies.write_new(Path::new("inbox/x.age"), b"x").unwrap().require(1).unwrap();
    copies.merge().unwrap();
    assert!(fs::read_dir(&empty).unwrap().next().is_none());
    fs::remove_file(paths[0].join("vault.json")).unwrap();
    put(&paths[0], "copy.json", b"{}");
    let copies = Copies::open(&paths).unwrap();
    let written = copies.write_new(Path::new("inbox/y.age"), b"y").unwrap();
    assert!(matches!(written.failures[0].error, VaultError::Unmarked { .. }) && written.on == paths[1..]);
    let (_, written) = copies
        .write_stream(Path::new("inbox/z.age"), |to| {
            to.write_all(b"z").unwrap();
            Ok::<_, VaultError>(())
        })
        .unwrap();
    assert_eq!(written.on, paths[1..]);
}

#[test]
fn a_foreign_copy_is_set_aside_and_never_written() {
    let (world, _) = World::founded(2, 3);
    let (_dir, mut paths) = on_disk(&world);
    let (other, _) = World::founded(3, 4);
    let (_other_dir, other_paths) = on_disk(&other);
    paths.push(other_paths[0].clone());
    let copies = Copies::open(&paths).unwrap();
    assert_eq!(copies.foreign(), &other_paths[..1]);
    copies.write_new(Path::new("inbox/x.age"), b"x").unwrap().require(2).unwrap();
    assert!(!other_paths[0].join("inbox").exists());
    assert!(verdict(&copies).findings.iter().any(|finding| finding.what.contains("another vault")));
}

#[test]
fn media_of_the_policy_count_when_one_path_is_given() {
    let (mut world, _) = World::founded(2, 3);
    world.put("policy.toml".to_owned(), b"media = [\"../b\", \"../a\", \"../gone\"]\n".to_vec());
    let (dir, paths) = on_disk(&world);
    let copies = Copies::open(&paths[..1]).unwrap();
    assert_eq!(copies.paths(), [dir.path().join("a"), dir.path().join("a/../b")]);
    assert_eq!(copies.unavailable().len(), 1);
    let both = Copies::open(&paths).unwrap();
    assert!(both.unavailable().is_empty(), "the list is not asked when several are given");
}

#[test]
fn a_new_file_stands_on_every_copy_and_is_never_overwritten() {
    let (world, _) = World::founded(2, 3);
    let (_dir, paths) = on_disk(&world);
    let copies = Copies::open(&paths).unwrap();
    let file = Path::new("generations/000002/plan.json");
    let written = copies.write_new(file, b"one").unwrap();
    assert_eq!((written.on.len(), written.ids.clone()), (2, world.copies.clone()));
    assert!(written.require(2).unwrap().is_empty());
    assert_eq!(fs::read(paths[1].join(file)).unwrap(), b"one");
    assert!(!paths[0].join("generations/000002/plan.json.part").exists());
    copies.write_new(file, b"one").unwrap().require(2).unwrap();
    let written = copies.write_new(file, b"two").unwrap();
    assert!(written.failures.iter().all(|failure| matches!(failure.error, VaultError::Conflict { .. })));
    let error = written.require(1).unwrap_err();
    assert!(matches!(error, VaultError::TooFewCopies { expected: 1, actual: 0, .. }));
    assert!(error.hint().unwrap().contains("nothing was overwritten"));
    assert_eq!(fs::read(paths[0].join(file)).unwrap(), b"one");
}

#[test]
fn what_an_interrupted_write_left_is_replaced() {
    let (world, _) = World::founded(2, 3);
    let (_dir, paths) = on_disk(&world);
    put(&paths[0], "generations/000002/COMMIT.part", b"half of it");
    let copies = Copies::open(&paths).unwrap();
    assert!(verdict(&copies).is_sound());
    copies.write_new(Path::new("generations/000002/COMMIT"), b"whole").unwrap().require(2).unwrap();
    assert!(!paths[0].join("generations/000002/COMMIT.part").exists());
    assert_eq!(fs::read(paths[0].join("generations/000002/COMMIT")).unwrap(), b"whole");
}

#[test]
fn an_empty_file_was_never_finished() {
    let (world, first) = World::founded(2, 3);
    let (_dir, paths) = on_disk(&world);
    let closing = first.path("closings/01-alice.sig");
    let empty =
        ["records/0000000000000000000000000000000000000000000000000000000000000001.sig", "inbox/new.age", &closing];
    empty.iter().for_each(|file| put(&paths[1], file, b""));
    put(&paths[1], "notes.txt", b"");
    let copies = Copies::open(&paths).unwrap();
    let said = verdict(&copies).findings;
    for file in empty {
        let ignored = |finding: &Finding| finding.file == file && finding.what.contains("never finished");
        assert!(said.iter().any(|finding| ignored(finding) && finding.severity == Severity::Note), "{file}: {said:?}");
    }
    assert!(said.iter().any(|finding| finding.file == "notes.txt" && finding.severity == Severity::Wrong));
    copies.write_new(Path::new(empty[0]), b"whole").unwrap().require(2).unwrap();
    let stream = |writer: &mut dyn Write| -> Result<(), VaultError> {
        writer.write_all(b"sealed").unwrap();
        Ok(())
    };
    let (_, written) = copies.write_stream(Path::new(empty[1]), stream).unwrap();
    written.require(2).unwrap();
    assert!(copies.merge().unwrap().added.contains(&(paths[1].clone(), closing.clone())));
    assert_eq!(fs::read(paths[1].join(empty[0])).unwrap(), b"whole");
    assert_eq!(fs::read(paths[1].join(empty[1])).unwrap(), b"sealed");
    assert_eq!(fs::read(paths[1].join(&closing)).unwrap(), world.files[&closing]);
}

#[test]
fn a_founding_goes_on_over_what_it_left() {
    let dir = tempfile::tempdir().unwrap();
    let paths = vec![dir.path().join("a"), dir.path().join("b")];
    let world = World::new(2, 3);
    let policy = world.files["policy.toml"].clone();
    put(&paths[0], "policy.toml", &policy);
    put(&paths[0], "vault.json", b"");
    put(&paths[1], "copy.json", b"");
    assert_eq!(create(&paths, &world.founding, &policy).unwrap().ids().len(), 2);
    put(&dir.path().join("c"), "policy.toml", b"another");
    let error = create(&[dir.path().join("c")], &world.founding, &policy).unwrap_err();
    assert!(matches!(error, VaultError::NotEmpty { .. }));
}

#[test]
fn paths_that_no_vault_has_are_refused() {
    let (world, _) = World::founded(2, 3);
    let (_dir, paths) = on_disk(&world);
    let copies = Copies::open(&paths).unwrap();
    for bad in
        ["../x", "/etc/passwd", "x", "generations/000001/../x", "inbox/a/b.age", "records/x.json", "inbox/x.age.part"]
    {
        assert!(matches!(copies.write_new(Path::new(bad), b""), Err(VaultError::Path { .. })), "{bad}");
    }
    for kept in ["vault.json", "generations/000001/COMMIT", "generations/000001/manifest.json", "policy.toml"] {
        assert!(matches!(copies.remove(Path::new(kept)), Err(VaultError::Path { .. })), "{kept}");
    }
    copies.remove(Path::new("generations/000001/shares/01-alice.age")).unwrap().require(2).unwrap();
    assert!(!paths[1].join("generations/000001/shares/01-alice.age").exists());
}

#[test]
fn streams_go_to_all_copies_and_open_by_digest_from_any() {
    let (world, _) = World::founded(2, 3);
    let (_dir, paths) = on_disk(&world);
    let copies = Copies::open(&paths).unwrap();
    let file = Path::new("generations/000002/items/root.age");
    let block = vec![7; 100_000];
    let fill = |out: &mut dyn Write| -> Result<(), VaultError> {
        for _ in 0..5 {
            out.write_all(&block).map_err(|_| VaultError::Random)?;
        }
        Ok(())
    };
    let (digest, written) = copies.write_stream(file, fill).unwrap();
    written.require(2).unwrap();
    put(&paths[0], "generations/000002/items/root.age", b"changed");
    let mut bytes = Vec::new();
    copies.open_file(file, digest).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len(), 500_000);
    assert_eq!(copies.read_file(file, digest, 500_000).unwrap().len(), 500_000);
    assert!(copies.read_file(file, digest, 499_999).is_err());
    assert!(matches!(copies.write_stream(file, fill), Err(VaultError::TooFewCopies { .. })));
    put(&paths[1], "generations/000002/items/root.age", b"changed");
    assert!(matches!(copies.open_file(file, digest), Err(VaultError::Missing { .. })));
}

#[test]
fn an_error_of_the_writer_is_not_the_mediums() {
    let (world, _) = World::founded(2, 3);
    let (_dir, paths) = on_disk(&world);
    let copies = Copies::open(&paths).unwrap();
    let file = Path::new("generations/000002/items/root.age");
    let mut calls = 0;
    let failed = copies.write_stream(file, |_| {
        calls += 1;
        Err::<(), _>(VaultError::Random)
    });
    assert!(matches!(failed, Err(VaultError::Random)));
    assert_eq!(calls, 1);
    assert_eq!(fs::read_dir(paths[0].join("generations/000002/items")).unwrap().count(), 0);
}

#[test]
fn links_fifos_and_directories_in_place_of_files_are_named_and_not_followed() {
    let (world, first) = World::founded(2, 3);
    let (dir, paths) = on_disk(&world);
    let manifest = paths[0].join(first.path("manifest.json"));
    let elsewhere = dir.path().join("elsewhere");
    fs::rename(&manifest, &elsewhere).unwrap();
    symlink(&elsewhere, &manifest).unwrap();
    let plan = paths[0].join(first.path("plan.json"));
    fs::remove_file(&plan).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &plan, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let share = paths[0].join(first.path("shares/01-alice.age"));
    fs::remove_file(&share).unwrap();
    fs::create_dir(&share).unwrap();
    fs::rename(paths[0].join(first.path("closings")), dir.path().join("closings")).unwrap();
    symlink(dir.path().join("closings"), paths[0].join(first.path("closings"))).unwrap();
    symlink("/", paths[0].join("records")).unwrap();

    let copies = Copies::open(&paths).unwrap();
    let judgement = verdict(&copies);
    assert_eq!(judgement.current().unwrap().digest, first.digest, "the other copy is whole");
    for file in ["manifest.json", "plan.json", "shares/01-alice.age", "closings"] {
        let path = first.path(file);
        let here = |finding: &&crate::transcript::Finding| finding.severity == Severity::Wrong && finding.file == path;
        let found = judgement.findings.iter().find(here).unwrap_or_else(|| panic!("{file}"));
        assert_eq!(found.copy, Some(paths[0].display().to_string()));
    }
    // Nothing is written through a link either.
    let written = copies.write_new(Path::new(&first.path("closings/01-alice.json")), b"x").unwrap();
    assert!(written.failures.iter().any(|failure| matches!(failure.error, VaultError::NotRegular { .. })));
    let digest = "0".repeat(64);
    let written = copies.write_new(Path::new(&format!("records/{digest}.json")), b"x").unwrap();
    assert_eq!((written.on.len(), written.failures.len()), (1, 1));
    assert!(copies.open_file(Path::new(&first.path("manifest.json")), first.digest).is_ok(), "from the other copy");
}

#[test]
fn huge_documents_are_refused_unread() {
    let (world, first) = World::founded(2, 3);
    let (_dir, paths) = on_disk(&world);
    let file = fs::File::options().write(true).open(paths[0].join(first.path("plan.json"))).unwrap();
    file.set_len(1 << 40).unwrap();
    let judgement = verdict(&Copies::open(&paths).unwrap());
    assert!(judgement.findings.iter().any(|finding| finding.what.contains("too many for a document")));
    assert!(judgement.current().is_ok());
}

#[test]
fn a_copy_that_cannot_be_written_is_named_and_the_other_serves() {
    let (world, _) = World::founded(2, 3);
    let (_dir, paths) = on_disk(&world);
    let copies = Copies::open(&paths).unwrap();
    // A directory that nobody, root included, can write into: it is a file.
    put(&paths[0], "inbox", b"");
    let written = copies.write_new(Path::new("inbox/x.age"), b"x").unwrap();
    assert_eq!(written.on, [paths[1].clone()]);
    let error = written.require(2).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("1 of the 2 copies") && text.contains(&paths[0].display().to_string()), "{text}");
    if !rustix::process::geteuid().is_root() {
        fs::set_permissions(&paths[1], fs::Permissions::from_mode(0o555)).unwrap();
        let written = copies.write_new(Path::new("generations/000002/plan.json"), b"x").unwrap();
        assert!(written.failures[0].error.to_string().contains("permission denied"));
    }
}

#[test]
fn errors_of_media_are_said_in_words() {
    let said = |errno: rustix::io::Errno| {
        let (copy, file) = (PathBuf::from("/media/usb"), "generations/000002/COMMIT".to_owned());
        let error = VaultError::Io { copy, file, action: "write", source: errno.into() };
        format!("{error} | {}", error.hint().unwrap())
    };
    insta::assert_snapshot!(said(rustix::io::Errno::NOSPC), @"cannot write generations/000002/COMMIT on /media/usb: it is full | make room on it (nothing that is in the vault), or use another medium");
    insta::assert_snapshot!(said(rustix::io::Errno::ROFS), @"cannot write generations/000002/COMMIT on /media/usb: it is read-only | remount it for writing, or open its write protection");
    insta::assert_snapshot!(said(rustix::io::Errno::ACCESS), @"cannot write generations/000002/COMMIT on /media/usb: permission denied | run claviger as the user who owns the copy");
}

/// Runs in a process of its own, whose files cannot grow over 64 KiB: to the program that is a full medium.
#[test]
fn a_full_medium_leaves_nothing_half_written() {
    const CHILD: &str = "CLAVIGER_TEST_FULL_MEDIUM";
    if std::env::var_os(CHILD).is_none() {
        let me = std::env::current_exe().unwrap();
        let name = "vault::tests::a_full_medium_leaves_nothing_half_written";
        let mut child = std::process::Command::new(me);
        let output = child.args([name, "--exact", "--nocapture"]).env(CHILD, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let (world, _) = World::founded(2, 3);
    let (_dir, paths) = on_disk(&world);
    let copies = Copies::open(&paths).unwrap();
    // Without this the kernel ends the process instead of failing the write.
    let flag = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, flag).unwrap();
    let limit = rustix::process::Rlimit { current: Some(1 << 16), maximum: Some(1 << 16) };
    rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).unwrap();
    let written = copies.write_new(Path::new("inbox/x.age"), &vec![1; 1 << 17]).unwrap();
    assert_eq!((written.on.len(), written.failures.len()), (0, 2));
    assert!(written.failures[0].error.to_string().contains("too large"), "{}", written.failures[0].error);
    let stream = copies
        .write_stream(Path::new("inbox/y.age"), |out| out.write_all(&vec![1; 1 << 17]).map_err(|_| VaultError::Random));
    assert!(matches!(stream, Err(VaultError::TooFewCopies { actual: 0, .. })), "the medium's error, not the writer's");
    for path in &paths {
        assert_eq!(fs::read_dir(path.join("inbox")).unwrap().count(), 0);
    }
    assert!(verdict(&copies).is_sound());
}

#[test]
fn one_process_at_a_time() {
    let (world, _) = World::founded(2, 3);
    let (_dir, paths) = on_disk(&world);
    let (mut mine, mut yours) = (Copies::open(&paths).unwrap(), Copies::open(&paths[1..]).unwrap());
    let lock = mine.lock().unwrap();
    assert!(matches!(yours.lock(), Err(VaultError::InUse { .. })));
    drop(lock);
    assert!(yours.lock().is_ok());
}

#[test]
fn a_new_vault_is_made_only_where_nothing_is() {
    let dir = tempfile::tempdir().unwrap();
    let paths = vec![dir.path().join("a"), dir.path().join("b")];
    let world = World::new(2, 3);
    let policy = world.files["policy.toml"].clone();
    put(&paths[1], "notes.txt", b"mine");
    let error = create(&paths, &world.founding, &policy).unwrap_err();
    assert!(matches!(&error, VaultError::NotEmpty { found, .. } if found == "notes.txt"));
    assert!(fs::read_dir(&paths[0]).unwrap().next().is_none(), "nothing is written anywhere before all are looked at");
    fs::remove_file(paths[1].join("notes.txt")).unwrap();
    let copies = create(&paths, &world.founding, &policy).unwrap();
    assert_eq!((copies.vault(), copies.ids().len()), (world.vault, 2));
    assert_eq!(verdict(&copies).findings, Vec::new());
    // The same founding again, for example after an interruption.
    fs::remove_file(paths[1].join("copy.json")).unwrap();
    assert_eq!(create(&paths, &world.founding, &policy).unwrap().ids().len(), 2);
    let other = World::new(3, 4).founding;
    assert!(matches!(create(&paths, &other, &policy), Err(VaultError::NotEmpty { .. })));
    let same = [paths[0].clone(), paths[0].join(".")];
    assert!(matches!(create(&same, &world.founding, &policy), Err(VaultError::Same { .. })));
    assert_eq!(fs::read(paths[0].join("vault.json")).unwrap(), world.founding.encode());
}

/// A file in the way of a directory stands in the way of all that belongs into it.
#[test]
fn what_blocks_a_directory_is_said_once() {
    let (world, first) = World::founded(2, 3);
    let (_dir, paths) = on_disk(&world);
    let shares = paths[1].join(first.path("shares"));
    fs::remove_dir_all(&shares).unwrap();
    fs::write(&shares, b"in the way").unwrap();
    let merged = Copies::open(&paths).unwrap().merge().unwrap();
    let said: Vec<String> = merged.failures.iter().map(|failure| failure.error.to_string()).collect();
    assert!(said.len() == 1 && said[0].contains("is a file, not a directory"), "{said:?}");
}

//! Which copy is which, and which is written to.

use super::*;

/// Which of the two the plan named, nobody can say: neither gets from anywhere what it does not have.
#[test]
fn of_two_copies_with_one_mark_one_is_written_to_and_merging_makes_neither_a_witness() {
    let (mut world, first) = World::founded(2, 3);
    let (_dir, paths) = on_disk(&world);
    fs::copy(paths[0].join("copy.json"), paths[1].join("copy.json")).unwrap();
    world.gather(&world.plan(Some(&first), 2), &[1]);
    world.files.iter().for_each(|(file, bytes)| put(&paths[1], file, bytes));
    let copies = Copies::open(&paths).unwrap();
    copies.merge().unwrap();
    assert!(!paths[0].join("generations/000002").exists());
    let written = copies.write_new(Path::new("inbox/x.age"), b"x").unwrap();
    assert_eq!((&written.on[..], written.ids.len()), (&paths[..1], 1));
    assert!(matches!(&written.failures[0].error, VaultError::Twin { copy } if *copy == paths[1]));
    assert_eq!(copies.twins(), [(&*paths[1], &*paths[0])]);
}

#[test]
fn where_a_copy_is_set_aside_another_with_its_mark_is_written_to() {
    let (world, _) = World::founded(2, 3);
    let (_dir, paths) = on_disk(&world);
    fs::copy(paths[0].join("copy.json"), paths[1].join("copy.json")).unwrap();
    let copies = Copies::open(&paths).unwrap();
    put(&paths[0], "inbox", b"no directory");
    let file = Path::new("inbox/x.age");
    let failures = copies.write_new(file, b"x").unwrap().failures;
    assert_eq!((failures.len(), paths[1].join(file).exists()), (2, false));
    let news: Vec<&PathBuf> = copies.set_aside(&failures).iter().map(|failure| &failure.copy).collect();
    assert_eq!(news, [&paths[0]], "the other one was never tried");
    assert_eq!(copies.written_to(), [(&*paths[1], world.copies[0])]);
    assert_eq!(copies.twins(), [(&*paths[0], &*paths[1])]);
    let written = copies.write_new(file, b"x").unwrap();
    assert_eq!((&written.on[..], &written.ids[..]), (&paths[1..], &world.copies[..1]));
    assert!(matches!(written.failures[..], [Failure { error: VaultError::SetAside { full: false, .. }, .. }]));
}

#[test]
fn marks_are_read_once_more_when_the_copies_are_taken() {
    let (world, _) = World::founded(2, 3);
    let (_dir, paths) = on_disk(&world);
    let mut copies = Copies::open(&paths).unwrap();
    let ids = copies.ids();
    // Another process takes a copy out of service in between, or marks it anew.
    let mark = fs::read(paths[1].join("copy.json")).unwrap();
    fs::remove_file(paths[1].join("copy.json")).unwrap();
    let lock = copies.lock().unwrap();
    assert_eq!(copies.ids().len(), 1);
    let written = copies.write_new(Path::new("inbox/x.age"), b"x").unwrap();
    assert!(matches!(&written.failures[0].error, VaultError::Unmarked { copy } if *copy == paths[1]));
    drop(lock);
    put(&paths[1], "copy.json", &mark);
    let _lock = copies.lock().unwrap();
    assert_eq!(copies.ids(), ids);
}

/// Files that are of no vault do not push out the three that count, whatever the order in which they are read.
#[test]
fn many_files_that_do_not_belong_do_not_cost_a_copy_its_mark() {
    let (world, _) = World::founded(2, 3);
    let (_dir, paths) = on_disk(&world);
    (0..1200).for_each(|number| put(&paths[1], &format!("{number}.jpg"), b"x"));
    let mark = fs::read(paths[1].join("copy.json")).unwrap();
    let mut copies = Copies::open(&paths).unwrap();
    assert_eq!(copies.ids().len(), 2);
    let judgement = verdict(&copies);
    assert!(judgement.findings.iter().any(|finding| finding.file == "." && finding.what.contains("has more files")));
    let lock = copies.lock().unwrap();
    let synced = sync(&copies, &lock).unwrap();
    assert!(!synced.copies[1].is_up_to_date() && synced.copies[1].marked.is_none());
    assert_eq!(fs::read(paths[1].join("copy.json")).unwrap(), mark);
    // Though the three are the last that were made.
    fs::remove_file(paths[1].join("copy.json")).unwrap();
    fs::write(paths[1].join("copy.json"), &mark).unwrap();
    assert_eq!(Copies::open(&paths).unwrap().ids().len(), 2);
}

/// Another drive may read it.
#[test]
fn a_mark_that_cannot_be_read_is_not_replaced() {
    let (world, _) = World::founded(2, 3);
    let (_dir, paths) = on_disk(&world);
    let large = vec![b' '; crate::transcript::document::MAX_DOCUMENT + 1];
    put(&paths[1], "copy.json", &large);
    let mut copies = Copies::open(&paths).unwrap();
    let lock = copies.lock().unwrap();
    let synced = sync(&copies, &lock).unwrap();
    let [error] = &synced.copies[1].failures[..] else { panic!("{synced:?}") };
    assert!(error.to_string().contains("it may be good, and is not replaced"), "{error}");
    assert_eq!(fs::read(paths[1].join("copy.json")).unwrap(), large);
}

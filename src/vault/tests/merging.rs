//! Copies brought together, and what is over removed from them.

use super::*;

#[test]
fn merging_brings_copies_together_and_overwrites_nothing() {
    let (world, [first, second, third]) = three_generations();
    let (_dir, paths) = on_disk(&world);
    fs::remove_dir_all(paths[1].join("generations/000003")).unwrap();
    fs::remove_file(paths[0].join(third.path("COMMIT"))).unwrap();
    put(&paths[1], &third.path("COMMIT"), &world.files[&third.path("COMMIT")]);
    fs::remove_file(paths[1].join(second.path("plan.json"))).unwrap();
    fs::remove_file(paths[1].join(first.path("shares/01-alice.age"))).unwrap();
    put(&paths[1], &second.path("closings/01-alice.sig"), b"damaged");
    put(&paths[0], &third.path("items/mallory.age"), b"stray");
    let copies = Copies::open(&paths).unwrap();
    let merged = copies.merge().unwrap();
    assert!(merged.failures.is_empty(), "{:?}", merged.failures);
    let judgement = verdict(&copies);
    assert_eq!(judgement.current().unwrap().complete_on, [1], "on the first copy there is a stray");
    assert!(paths[0].join(third.path("COMMIT")).exists() && paths[1].join(second.path("plan.json")).exists());
    assert!(!paths[1].join(third.path("items/mallory.age")).exists(), "what is wrong is not spread");
    assert!(!paths[1].join(first.path("shares/01-alice.age")).exists(), "secrets of what is extinct are not spread");
    assert_eq!(fs::read(paths[1].join(second.path("closings/01-alice.sig"))).unwrap(), b"damaged");
    assert!(copies.merge().unwrap().added.is_empty());
}

/// A copy has an uncommitted ceremony where it was begun there, and says by it that nothing was committed there.
#[test]
fn merging_brings_a_ceremony_without_commit_to_no_copy_that_it_was_not_begun_on() {
    let (mut world, first) = World::founded(2, 3);
    let (_dir, paths) = on_disk(&world);
    let plan = world.plan(Some(&first), 2);
    world.gather(&plan, &[1]);
    world.files.iter().for_each(|(file, bytes)| put(&paths[0], file, bytes));
    let mut copies = Copies::open(&paths).unwrap();
    let nowhere_else = |copies: &Copies| {
        assert!(copies.merge().unwrap().added.is_empty());
        let judgement = verdict(copies);
        assert_eq!(judgement.findings, Vec::new());
        assert!(judgement.copies.iter().all(|copy| copy.missing == 0) && !paths[1].join("generations/000002").exists());
    };
    nowhere_else(&copies);
    let lock = copies.lock().unwrap();
    assert!(sync(&copies, &lock).unwrap().copies.iter().all(|copy| copy.is_up_to_date() && copy.is_unchanged()));
    // It does not keep the copy in service; whoever takes it out is told of it.
    assert!(consider(&copies, &paths[0]).is_ok());
    drop(lock);
    nowhere_else(&copies);
    // Part of it there: then it was begun there, and the rest comes.
    put(&paths[1], "generations/000002/plan.json", &plan.encode());
    assert_eq!(copies.merge().unwrap().added.len(), 2);
    // With a COMMIT all copies get it.
    fs::remove_dir_all(paths[1].join("generations/000002")).unwrap();
    let second = world.make(Some(&first), plan, &[1, 2]);
    world.files.iter().for_each(|(file, bytes)| put(&paths[0], file, bytes));
    copies.merge().unwrap();
    assert!(paths[1].join(second.path("COMMIT")).exists());
    assert_eq!(verdict(&copies).current().unwrap().complete_on, [0, 1]);
}

#[test]
fn merging_two_ceremonies_of_one_name_keeps_both() {
    let (world, first) = World::founded(2, 3);
    let (_dir, paths) = on_disk(&world);
    let (mut left, mut right) = (world.clone(), world.clone());
    let (one, two) = (world.plan(Some(&first), 2), world.plan(Some(&first), 3));
    left.make(Some(&first), one.clone(), &[1, 2]);
    right.make(Some(&first), two.clone(), &[2, 3]);
    for (path, world) in paths.iter().zip([&left, &right]) {
        world.files.iter().for_each(|(file, bytes)| put(path, file, bytes));
    }
    let copies = Copies::open(&paths).unwrap();
    let before = verdict(&copies);
    assert_eq!(layout::directory(&before, 2, &one.digest()), format!("000002-{}", one.digest().short()));
    assert_eq!(layout::directory(&before, 3, &one.digest()), "000003");
    assert!(copies.merge().unwrap().failures.is_empty());
    let judgement = verdict(&copies);
    let findings = &judgement.findings;
    assert!(findings.len() == 1 && findings[0].what.contains("a fork"), "{findings:?}");
    assert_eq!(judgement.unfinished.len(), 2);
    assert_eq!(judgement.directory_of(0, &two.digest()), Some(&*format!("000002-{}", two.digest().short())));
    assert_eq!(judgement.directory_of(1, &two.digest()), Some("000002"));
    assert!(judgement.copies.iter().all(|copy| copy.missing == 0));
}

#[test]
fn cleaning_removes_what_is_extinct_and_what_was_admitted() {
    let (mut world, [first, second, third]) = three_generations();
    let admitted = "inbox/root-password.age";
    world.put(admitted.to_owned(), b"proposal".to_vec());
    world.put("inbox/other.age".to_owned(), b"waiting".to_vec());
    let (_dir, paths) = on_disk(&world);
    let copies = Copies::open(&paths).unwrap();
    let snapshot = copies.snapshot().unwrap();
    let cleaned = cleanup(&copies, &snapshot, &judge(&snapshot)).unwrap();
    assert!(cleaned.failures.is_empty());
    for gone in [first.path("shares/01-alice.age"), second.path("inbox-identity.age"), admitted.to_owned()] {
        assert!(cleaned.removed.contains(&gone) && !paths[1].join(&gone).exists(), "{gone}");
    }
    for kept in [third.path("shares/01-alice.age"), first.path("COMMIT"), "inbox/other.age".to_owned()] {
        assert!(paths[0].join(&kept).exists(), "{kept}");
    }
    let judgement = verdict(&copies);
    assert_eq!(judgement.findings, Vec::new());
    let snapshot = copies.snapshot().unwrap();
    assert!(cleanup(&copies, &snapshot, &judgement).unwrap().removed.is_empty());
}

#[test]
fn an_unratified_successor_does_not_let_anything_be_removed() {
    let (mut world, first) = World::founded(2, 3);
    let plan = world.plan(Some(&first), 2);
    let second = world.make(Some(&first), plan, &[1, 2]);
    world.close_all(&[&first, &second], &[1]);
    let (_dir, paths) = on_disk(&world);
    let copies = Copies::open(&paths).unwrap();
    let snapshot = copies.snapshot().unwrap();
    assert!(cleanup(&copies, &snapshot, &judge(&snapshot)).unwrap().removed.is_empty());
}

/// Two generations that follow the first, and neither is ratified.
fn forked() -> (World, Made, [Made; 2]) {
    let (mut world, first) = World::founded(2, 3);
    let plans = [world.plan(Some(&first), 2), world.plan(Some(&first), 3)];
    let [a, b] = plans.map(|plan| world.make(Some(&first), plan, &[1, 2, 3]));
    world.close_all(&[&first, &a], &[1]);
    world.close_all(&[&first, &b], &[3]);
    (world, first, [a, b])
}

#[test]
fn an_unsettled_fork_keeps_its_branches_though_their_parent_is_extinct() {
    let (world, first, [a, b]) = forked();
    let (_dir, paths) = on_disk(&world);
    let copies = Copies::open(&paths).unwrap();
    let snapshot = copies.snapshot().unwrap();
    let judgement = judge(&snapshot);
    assert!(judgement.generation(&first.digest).unwrap().extinct && judgement.current().is_err());
    for made in [&a, &b] {
        let fate = judgement.knows_ceremony(&made.manifest.plan.digest());
        assert_eq!(fate, Some(crate::transcript::Fate::Committed));
    }
    assert!(cleanup(&copies, &snapshot, &judgement).unwrap().removed.is_empty());
    fs::remove_file(paths[1].join(a.path("shares/01-alice.age"))).unwrap();
    copies.merge().unwrap();
    assert!(paths[1].join(a.path("shares/01-alice.age")).exists());
}

/// Anyone may put something into an inbox: what would fill the other medium stays where it is.
#[test]
fn an_inbox_does_not_fill_the_other_copies() {
    let (world, _) = World::founded(2, 3);
    let (_dir, paths) = on_disk(&world);
    put(&paths[0], "inbox/large.age", b"");
    fs::File::options().write(true).open(paths[0].join("inbox/large.age")).unwrap().set_len(65 << 20).unwrap();
    put(&paths[0], "inbox/small.age", b"small");
    let merged = Copies::open(&paths).unwrap().merge().unwrap();
    assert_eq!(merged.added, [(paths[1].clone(), "inbox/small.age".to_owned())]);
    assert!(merged.failures.is_empty() && !paths[1].join("inbox/large.age").exists());
}

/// In a fork people may choose either branch: a copy with damaged shares of one does not stand for another copy.
#[test]
fn in_a_fork_the_last_good_shares_stay() {
    let (world, _, branches) = forked();
    for damaged in &branches {
        let (_dir, paths) = on_disk(&world);
        let copies = Copies::open(&paths).unwrap();
        assert_eq!(consider(&copies, &paths[0]).unwrap().left, 1);
        put(&paths[1], &damaged.path("shares/02-bob.age"), b"damaged");
        let error = consider(&copies, &paths[0]).unwrap_err();
        assert!(matches!(error, VaultError::LastCopy { .. }), "{error}");
        assert_eq!(consider(&copies, &paths[1]).unwrap().left, 1);
    }
}

/// The files that are right on one copy alone keep it in service, also where its generation is whole on another.
#[test]
fn a_copy_with_the_only_one_of_its_kind_stays() {
    let (world, [_, _, third]) = three_generations();
    let (_dir, paths) = on_disk(&world);
    put(&paths[0], "inbox/new.age", b"one proposal");
    put(&paths[1], "inbox/new.age", b"another");
    let mut copies = Copies::open(&paths).unwrap();
    let lock = copies.lock().unwrap();
    let synced = sync(&copies, &lock).unwrap();
    assert!(synced.copies.iter().all(SyncedCopy::is_up_to_date), "{synced:?}");
    for path in &paths {
        let error = consider(&copies, path).unwrap_err();
        assert!(matches!(&error, VaultError::OnlyThere { files, .. } if files == &["inbox/new.age"]), "{error}");
    }
    let said = crate::report::copies::synced(&synced, &[], &[]).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("Their inboxes differ") && said.contains("new.age differs from the file"), "{said}");
    let noticed = synced.judgement.findings.iter().filter(|finding| finding.file == "inbox");
    assert!(noticed.eq([&synced.judgement.findings[0]]) && synced.judgement.is_sound());
    put(&paths[1], "inbox/new.age", b"one proposal");
    assert!(consider(&copies, &paths[0]).is_ok());
    // What is damaged wherever else it is.
    let plan = world.files[&third.path("plan.json")].clone();
    put(&paths[1], &third.path("plan.json"), &plan[1..]);
    assert!(consider(&copies, &paths[0]).is_err());
}

/// Whoever closed twice, on copies that did not know of each other, made two valid closings.
#[test]
fn another_valid_closing_keeps_no_copy_in_service() {
    let (world, [first, second, third]) = three_generations();
    let (_dir, paths) = on_disk(&world);
    let mut again = World::closing(&[&first, &second, &third], 2);
    again.time = time("2033-01-01T00:00:00Z");
    put(&paths[1], &third.path("closings/02-bob.json"), &again.encode());
    put(&paths[1], &third.path("closings/02-bob.sig"), &sign(&World::signer(2), &again.encode()));
    let copies = Copies::open(&paths).unwrap();
    let judgement = verdict(&copies);
    assert!(judgement.is_sound() && !judgement.findings.is_empty(), "{:?}", judgement.findings);
    for path in &paths {
        assert_eq!(consider(&copies, path).unwrap().left, 1);
    }
}

/// A custodian's attempt to close was cut between the two files on one copy; on the other the same custodian closed at another
/// time. One half of each is a closing by nobody.
#[test]
fn merging_mixes_no_halves_of_two_closings() {
    let (mut world, [first, second, third]) = three_generations();
    world.close_all(&[&first, &second, &third], &[1]);
    let path = |half: &str| third.path(&format!("closings/01-alice.{half}"));
    let mut other = World::closing(&[&first, &second, &third], 1);
    other.time = other.time.plus(60);
    let (body, signature) = (other.encode(), sign(&World::signer(1), &other.encode()));
    for (kept, lost) in [("json", "sig"), ("sig", "json")] {
        for damaged in [0, 1] {
            let (_dir, paths) = on_disk(&world);
            fs::write(paths[damaged].join(path("json")), &body).unwrap();
            fs::write(paths[damaged].join(path("sig")), &signature).unwrap();
            fs::remove_file(paths[damaged].join(path(lost))).unwrap();
            let copies = Copies::open(&paths).unwrap();
            let merged = copies.merge().unwrap();
            assert!(merged.failures.is_empty(), "{:?}", merged.failures);
            // The half that stands alone goes first: cut there, the next attempt does the same.
            let added: Vec<&str> = merged.added.iter().map(|(_, file)| file.as_str()).collect();
            assert_eq!(added, [path(kept), path(lost)]);
            assert!(verdict(&copies).is_sound(), "{:?}", verdict(&copies).findings);
            for half in ["json", "sig"] {
                assert_eq!(fs::read(paths[damaged].join(path(half))).unwrap(), world.files[&path(half)]);
            }
            assert!(copies.merge().unwrap().added.is_empty());
        }
    }
}

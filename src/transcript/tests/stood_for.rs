//! What follows a generation stands for its signatures; and what is forged stands for nothing.

use super::verdicts::wrong;
use super::*;

/// What k custodians and the succession key of generation 1 put their names to stands for the founders' closings that it lists.
#[test]
fn closings_of_founders_that_are_lost_later_close_no_vault() {
    let founded = |made: &dyn Fn(&mut World, &Made)| {
        let (mut world, first) = World::founded(2, 3);
        made(&mut world, &first);
        let lost = first.path("closings/01-alice.sig");
        let views = [0, 1].map(|copy| {
            let mut view = world.view(copy);
            view.files.remove(&lost).expect("it stood there");
            view
        });
        judge(&Snapshot::new(views.to_vec()).unwrap()).current().map(|current| current.generation).ok()
    };
    let staged = |world: &mut World, first: &Made, listed: usize| {
        let plan = world.plan(Some(first), 2);
        let approvals = world.gather(&plan, &[1, 2]);
        let mut manifest = world.stage(Some(first), &plan, approvals);
        manifest.closings.truncate(listed);
        manifest
    };
    assert_eq!(founded(&|_, _| ()), None);
    assert_eq!(founded(&|world, first| drop(world.make(Some(first), world.plan(Some(first), 2), &[1, 2]))), Some(2));
    let not_committed = |world: &mut World, first: &Made| {
        let manifest = staged(world, first, 3);
        world.put("generations/000002/manifest.json".to_owned(), manifest.encode());
    };
    assert_eq!(founded(&not_committed), None);
    let not_all = |world: &mut World, first: &Made| {
        let manifest = staged(world, first, 2);
        world.commit(Some(first), manifest);
    };
    assert_eq!(founded(&not_all), None);
}

/// The same for COMMIT and approvals of any generation: what k custodians approved after it names its manifest by digest.
#[test]
fn signatures_of_a_generation_that_was_consumed_may_be_lost() {
    let (world, [first, second, third]) = three_generations();
    let without = |lost: &str| {
        let views = [0, 1].map(|copy| {
            let mut view = world.view(copy);
            view.files.remove(lost).unwrap_or_else(|| panic!("{lost} stood there"));
            view
        });
        judge(&Snapshot::new(views.to_vec()).unwrap())
    };
    let approval = |made: &Made| made.path("approvals/02-bob.sig");
    for lost in [first.path("COMMIT"), approval(&first), second.path("COMMIT"), approval(&second)] {
        let judgement = without(&lost);
        assert_eq!(judgement.current().unwrap().digest, third.digest, "{lost}");
        assert!(judgement.current().unwrap().ratified && !judgement.is_sound(), "{lost}");
        assert!(wrong(&judgement).iter().any(|finding| finding.file == lost), "{lost}: {:?}", judgement.findings);
    }
    for lost in [third.path("COMMIT"), approval(&third)] {
        assert_eq!(without(&lost).current().unwrap().digest, second.digest, "{lost}");
    }
    // One custodian's word, or a COMMIT alone, stands for nothing.
    let (mut world, first) = World::founded(2, 3);
    world.files.remove(&first.path("COMMIT")).unwrap();
    let plan = world.plan(Some(&first), 2);
    world.make(Some(&first), plan, &[1]);
    assert!(world.judge().current().is_err());
}

/// What k custodians stand for is k of the vault: not what a forged generation, and what follows it, say k and the roster are.
#[test]
fn fewer_than_k_custodians_stand_for_no_generation_that_says_fewer_do() {
    for (k, n) in [(2, 2), (2, 3), (3, 5)] {
        let (mut world, first) = World::founded(k, n);
        let smaller = |mut plan: Plan| {
            plan.k = 1;
            plan.roster.truncate(1);
            plan
        };
        let plan = smaller(world.plan(Some(&first), 2));
        // Nobody approved this one; COMMIT is by a key that whoever made it has.
        let mut manifest = world.stage(Some(&first), &plan, vec![IndexedDigest { index: 1, digest: plan.digest() }]);
        manifest.closings.truncate(1);
        let second = world.commit(None, manifest);
        let plan = smaller(world.plan(Some(&second), 3));
        let third = world.make(Some(&second), plan, &[1]);
        world.close_all(&[&first, &second, &third], &[1]);
        let judgement = world.judge();
        let states = [&second, &third].map(|made| judgement.generation(&made.digest).unwrap());
        let verdicts = states.map(|state| (state.committed, state.ratified));
        let head = judgement.current().unwrap();
        assert_eq!((verdicts, head.generation, head.extinct), ([(false, false); 2], 1, false), "{k} of {n}");
        assert!(!judgement.generation(&first.digest).unwrap().extinct, "{k} of {n}");
    }
}

/// Nor do such forged ones, one standing for the other, make a genuine generation committed that was only staged.
#[test]
fn what_is_forged_stands_for_nothing_before_it() {
    let (mut world, first) = World::founded(2, 3);
    let plan = world.plan(Some(&first), 2);
    let approvals = world.gather(&plan, &[1, 2]);
    let manifest = world.stage(Some(&first), &plan, approvals);
    let digest = world.put("generations/000002/manifest.json".to_owned(), manifest.encode());
    let staged = Made { directory: "000002".to_owned(), manifest, digest };
    let mut plan = world.plan(Some(&staged), 3);
    (plan.k, plan.roster) = (1, plan.roster[..1].to_vec());
    let forged = world.stage(Some(&staged), &plan, vec![IndexedDigest { index: 1, digest: plan.digest() }]);
    let forged = world.commit(None, forged);
    let mut plan = world.plan(Some(&forged), 4);
    (plan.k, plan.roster) = (1, plan.roster[..1].to_vec());
    let third = world.make(Some(&forged), plan, &[1]);
    let judgement = world.judge();
    for made in [&staged, &forged, &third] {
        assert!(!judgement.generation(&made.digest).unwrap().committed, "{}", made.directory);
    }
    assert_eq!(judgement.current().unwrap().digest, first.digest);
}

/// A COMMIT that was changed, of a generation whose manifest k approvals name: the manifest is right, and spreads.
#[test]
fn a_damaged_commit_does_not_blame_the_manifest_that_is_relied_on() {
    let (mut world, [_, second, third]) = three_generations();
    world.files.insert(second.path("COMMIT"), b"damaged".to_vec());
    let judgement = world.judge();
    assert_eq!(judgement.current().unwrap().digest, third.digest);
    let files: Vec<_> = wrong(&judgement).iter().map(|finding| finding.file.clone()).collect();
    assert!(files.contains(&second.path("COMMIT")) && !files.contains(&second.path("manifest.json")), "{files:?}");
}

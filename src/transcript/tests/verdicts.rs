//! Lines, forks, fates.

use super::*;
use crate::transcript::record::{CheckBody, RefusedBody};

pub(super) fn wrong(judgement: &Judgement) -> Vec<&Finding> {
    judgement.findings.iter().filter(|finding| finding.severity == Severity::Wrong).collect()
}

#[test]
fn a_ratified_line_is_sound() {
    let (world, [first, second, third]) = three_generations();
    let judgement = world.judge();
    assert_eq!(wrong(&judgement), Vec::<&Finding>::new());
    let current = judgement.current().unwrap();
    assert_eq!(current.digest, third.digest);
    assert!(current.ratified && !current.extinct);
    assert_eq!(current.holders, [1, 2, 3]);
    assert_eq!(current.complete_on, [0, 1]);
    assert!(judgement.unratified().is_none() && judgement.unfinished.is_empty() && judgement.fork.is_none());
    assert_eq!(judgement.ratified_head().unwrap().digest, third.digest);
    assert_eq!(judgement.next_number(), 4);
    // Alice holds generation 2 still, for she was not at the third; bob and carol do not.
    assert_eq!(judgement.holders(&second.digest), [1]);
    assert_eq!(judgement.holders(&first.digest), [] as [u8; 0]);
    assert!(judgement.generation(&second.digest).unwrap().extinct);
}

#[test]
fn secrets_of_extinct_generations_may_be_gone() {
    let (mut world, [first, second, third]) = three_generations();
    let sealed = |made: &Made| {
        let prefixes = ["shares/", "items/", "inbox-identity"].map(|file| made.path(file));
        move |path: &String| prefixes.iter().any(|prefix| path.starts_with(prefix))
    };
    for made in [&first, &second] {
        let gone = sealed(made);
        world.files.retain(|path, _| !gone(path));
    }
    let judgement = world.judge();
    assert!(judgement.is_sound(), "{:?}", judgement.findings);
    assert_eq!(judgement.generation(&first.digest).unwrap().complete_on, [0, 1]);
    let gone = sealed(&third);
    world.files.retain(|path, _| !gone(path));
    assert_eq!(wrong(&world.judge()).len(), 5, "three shares, an item and the inbox identity");
}

/// A damaged closing is as good as none, but where something relies on it.
#[test]
fn a_generation_is_whole_without_damaged_closings_that_nothing_relies_on() {
    let (mut world, [first, second, third]) = three_generations();
    let damaged = |world: &World, path: String, copies: usize| {
        let mut views = vec![world.view(0), world.view(1)];
        views[..copies].iter_mut().for_each(|view| drop(view.files.insert(path.clone(), content(&path, b"damaged"))));
        judge(&Snapshot::new(views).unwrap())
    };
    let whole = |judgement: &Judgement, made: &Made| judgement.generation(&made.digest).unwrap().complete_on.clone();
    for half in ["json", "sig"] {
        // Alice was not at the third; bob was, and it is ratified by his closing.
        let (alice, bob) =
            (third.path(&format!("closings/01-alice.{half}")), third.path(&format!("closings/02-bob.{half}")));
        let judgement = damaged(&world, bob.clone(), 1);
        assert!(judgement.current().unwrap().ratified && whole(&judgement, &third) == [1]);
        let judgement = damaged(&world, bob, 2);
        assert!(!judgement.is_sound() && !judgement.current().unwrap().ratified && whole(&judgement, &third) == [0, 1]);
        // What the third lists must be right in any case.
        assert_eq!(
            whole(&damaged(&world, second.path(&format!("closings/02-bob.{half}")), 2), &second),
            [] as [usize; 0]
        );
        world.close_all(&[&first, &second, &third], &[1]);
        let judgement = damaged(&world, alice, 2);
        assert!(!judgement.is_sound() && judgement.current().unwrap().ratified && whole(&judgement, &third) == [0, 1]);
    }
}

#[test]
fn founding_takes_every_founder() {
    let mut world = World::new(2, 3);
    let plan = world.plan(None, 1);
    let first = world.make(None, plan, &[1, 2, 3]);
    world.close_all(&[&first], &[1, 2]);
    let judgement = world.judge();
    assert!(matches!(judgement.current(), Err(JudgeError::NotFounded)));
    assert_eq!(judgement.unfinished.len(), 1);
    assert_eq!(judgement.unfinished[0].stage, Stage::Committed);
    assert_eq!(judgement.unfinished[0].manifest, Some(first.digest));
    world.close_all(&[&first], &[3]);
    assert!(world.judge().current().unwrap().ratified);
}

#[test]
fn stages_of_an_unfinished_ceremony() {
    let (mut world, first) = World::founded(2, 3);
    let plan = world.plan(Some(&first), 2);
    let approvals = world.gather(&plan, &[1]);
    let judgement = world.judge();
    let [unfinished] = judgement.unfinished.as_slice() else { panic!() };
    assert_eq!((unfinished.stage, unfinished.id, unfinished.number), (Stage::Gathering, plan.digest(), 2));
    assert_eq!(unfinished.approvals.keys().copied().collect::<Vec<_>>(), [1]);
    assert_eq!(judgement.knows_ceremony(&plan.digest()), Some(Fate::Unfinished));
    assert_eq!(judgement.ceremony(&plan.digest()), Some(&plan));
    assert_eq!(judgement.current().unwrap().digest, first.digest);
    drop(approvals);

    let approvals = world.gather(&plan, &[1, 2]);
    let manifest = world.stage(Some(&first), &plan, approvals);
    world.put("generations/000002/manifest.json".to_owned(), manifest.encode());
    assert_eq!(world.judge().unfinished[0].stage, Stage::Staged);
    assert!(world.judge().is_sound(), "{:?}", world.judge().findings);

    let second = world.commit(Some(&first), manifest);
    let judgement = world.judge();
    assert_eq!(judgement.unfinished[0].stage, Stage::Committed);
    assert_eq!(judgement.unratified().unwrap().digest, second.digest);
    assert_eq!(judgement.ratified_head().unwrap().digest, first.digest);
    world.close_all(&[&first, &second], &[1]);
    assert!(world.judge().unratified().is_some());
    // Carol never destroyed her key of the first generation: it was kept.
    world.close_all(&[&first, &second], &[3]);
    let judgement = world.judge();
    assert_eq!(judgement.holders(&first.digest), [2, 3]);
    assert!(judgement.unratified().is_some(), "two closings, but the first generation still opens");
    world.close_all(&[&first, &second], &[2]);
    assert!(world.judge().unratified().is_none());
}

/// 3-of-5. One branch, by alice, bob and carol, was closed by carol; the other, by alice, bob and dave, by alice and dave, and
/// by erin, who was absent and keeps her old key. Bob, carol and erin can open the first branch.
#[test]
fn what_was_closed_on_another_branch_ratifies_nothing() {
    let (mut world, first) = World::founded(3, 5);
    let [a, b] = [(2, [1, 2, 3]), (3, [1, 2, 4])].map(|(number, attendees)| {
        let plan = world.plan(Some(&first), number);
        world.make(Some(&first), plan, &attendees)
    });
    world.close_all(&[&first, &a], &[3]);
    world.close_all(&[&first, &b], &[1, 4, 5]);
    let judgement = world.judge();
    let state = |made: &Made| judgement.generation(&made.digest).unwrap();
    assert_eq!((state(&first).holders.as_slice(), state(&first).extinct), ([2, 5].as_slice(), true));
    assert_eq!(state(&b).parent_holders, [2, 3, 5]);
    assert!(!state(&a).ratified && !state(&b).ratified);
    assert_eq!(judgement.fork.as_ref().unwrap().settled, None);
    // Bob closes it too, and destroys his key of the other branch: carol and erin alone do not open that.
    world.close_all(&[&first, &b], &[2]);
    let judgement = world.judge();
    assert!(judgement.generation(&b.digest).unwrap().ratified);
    assert_eq!(judgement.fork.as_ref().unwrap().settled, Some(b.digest));
}

/// Whoever can write to a copy can put a plan there: that alone neither founds a vault nor makes a ceremony look committed.
#[test]
fn a_plan_that_nobody_approved_proves_nothing() {
    let mut world = World::new(2, 3);
    let plan = world.plan(None, 1);
    let approvals = world.gather(&plan, &[1, 2, 3]);
    let manifest = world.stage(None, &plan, approvals);
    let digest = world.put("generations/000001/manifest.json".to_owned(), manifest.encode());
    let first = Made { directory: "000001".to_owned(), manifest, digest };
    let second = world.plan(Some(&first), 2);
    world.gather(&second, &[]);
    let judgement = world.judge();
    assert!(judgement.ceremony(&second.digest()).is_some());
    assert!(!judgement.is_founded());
    assert_eq!(judgement.sign_of_a_commit(&plan.digest()), None);
    // Nor the plan of another vault of the same custodians, though they approved it there.
    let other = Plan { vault: Digest::of(b"another vault"), ..second.clone() };
    world.gather(&other, &[1, 2]);
    assert!(!world.judge().is_founded());

    world.gather(&second, &[3]);
    let judgement = world.judge();
    assert!(judgement.is_founded());
    assert_eq!(judgement.sign_of_a_commit(&plan.digest()), Some(CommitSign::Followed));
}

#[test]
fn a_fork_is_reported_and_not_chosen() {
    let (mut world, first) = World::founded(2, 3);
    let plans = [world.plan(Some(&first), 2), world.plan(Some(&first), 3)];
    let [a, b] = [(plans[0].clone(), [1, 2]), (plans[1].clone(), [2, 3])]
        .map(|(plan, attendees)| world.make(Some(&first), plan, &attendees));
    assert_ne!(a.directory, b.directory);
    let judgement = world.judge();
    assert!(matches!(judgement.current(), Err(JudgeError::Fork { .. })));
    let fork = judgement.fork.as_ref().unwrap();
    assert_eq!((fork.parent, fork.children.len(), fork.settled), (Some(first.digest), 2, None));
    assert!(wrong(&judgement).iter().any(|finding| finding.what.contains("fork")));
    assert_eq!(judgement.ratified_head().unwrap().digest, first.digest);
    // Once one is ratified, the other can never be.
    world.close_all(&[&first, &b], &[2, 3]);
    let judgement = world.judge();
    assert_eq!(judgement.current().unwrap().digest, b.digest);
    assert_eq!(judgement.fork.as_ref().unwrap().settled, Some(b.digest));
    assert_eq!(judgement.knows_ceremony(&a.manifest.plan.digest()), Some(Fate::DeadSibling));
    assert!(judgement.unfinished.is_empty() && judgement.is_sound());
}

#[test]
fn abandoned_by_k_approvals_not_by_one_record_and_never_if_committed() {
    let (mut world, first) = World::founded(2, 3);
    let lost = world.plan(Some(&first), 2);
    world.gather(&lost, &[1]);
    let copies = lost.copies.clone();
    let body = Abandoned { ceremony: lost.digest(), number: 9, copies };
    let mut later = world.plan(Some(&first), 3);
    later.abandons.push(body.clone());
    world.gather(&later, &[1]);
    assert!(!world.judge().is_abandoned(&lost.digest()), "one approval is not enough");
    world.gather(&later, &[2]);
    assert!(world.judge().is_abandoned(&lost.digest()));

    let (mut world, first) = World::founded(2, 3);
    world.gather(&lost, &[1]);
    let by = Signer::Custodian(2);
    let record = Record::new(world.vault, 1, lost.started, by, RecordBody::Abandoned(body)).unwrap();
    world.record(&record, &World::signer(1));
    assert!(!world.judge().is_abandoned(&lost.digest()), "signed by somebody else");
    world.record(&record, &World::signer(2));
    let judgement = world.judge();
    assert!(!judgement.is_abandoned(&lost.digest()), "one custodian's word");
    assert_eq!(judgement.knows_ceremony(&lost.digest()), Some(Fate::Unfinished));
    assert_eq!(judgement.next_number(), 10, "the record knows of number 9");
    assert_eq!((judgement.records.len(), judgement.unfinished.len()), (1, 1));
    world.gather(&later, &[1, 2]);
    let judgement = world.judge();
    assert!(judgement.is_abandoned(&lost.digest()));
    assert_eq!(judgement.knows_ceremony(&lost.digest()), Some(Fate::Abandoned));

    world.make(Some(&first), lost.clone(), &[1, 2]);
    let judgement = world.judge();
    assert!(!judgement.is_abandoned(&lost.digest()));
    assert_eq!(judgement.knows_ceremony(&lost.digest()), Some(Fate::Committed));
    assert!(wrong(&judgement).iter().any(|finding| finding.what.contains("abandoned")));
}

#[test]
fn a_ceremony_whose_parent_is_extinct_is_dead() {
    let (mut world, [first, ..]) = three_generations();
    let plan = world.plan(Some(&first), 7);
    world.gather(&plan, &[1]);
    let judgement = world.judge();
    assert_eq!(judgement.knows_ceremony(&plan.digest()), Some(Fate::DeadSibling));
    assert!(judgement.unfinished.is_empty());
    assert_eq!(judgement.knows_ceremony(&Digest::of(b"unknown")), None);
}

#[test]
fn numbers_cannot_be_used_up_by_one_who_claims_a_high_one() {
    let (mut world, first) = World::founded(2, 3);
    let mut plan = world.plan(Some(&first), 2);
    plan.number = (1 << 53) - 1;
    world.gather(&plan, &[]);
    assert_eq!(world.judge().next_number(), 2);
    // Nor by one custodian's approval, or record.
    let mut approved = world.clone();
    approved.gather(&plan, &[1]);
    assert_eq!(approved.judge().next_number(), 2);
    let body = Abandoned { ceremony: Digest::of(b"x"), number: (1 << 53) - 1, copies: plan.copies.clone() };
    let record =
        Record::new(world.vault, 1, plan.started, Signer::Custodian(1), RecordBody::Abandoned(body.clone())).unwrap();
    world.record(&record, &World::signer(1));
    assert_eq!(world.judge().next_number(), 2);
    // Nor by one who says how many are needed, or who approves twice.
    let mut alone = world.clone();
    let smaller = Plan { k: 1, roster: plan.roster[..1].to_vec(), ..plan.clone() };
    alone.gather(&smaller, &[1]);
    assert_eq!(alone.judge().next_number(), 2);
    let mut twice = world.clone();
    twice.gather(&plan, &[1]);
    let later = Approval::new(plan.clone(), 1, World::share_key(&plan, 1), plan.started.plus(1)).unwrap();
    let beside = "generations/000002-0123abcd";
    twice.put(format!("{beside}/plan.json"), plan.encode());
    twice.put_signed(format!("{beside}/approvals/{}", twice.stem(1)), later.encode(), &World::signer(1));
    assert_eq!(twice.judge().next_number(), 2);
    // Within the window it may be on a token.
    let near = Abandoned { number: 1000, ..body };
    let record = Record::new(world.vault, 1, plan.started, Signer::Custodian(1), RecordBody::Abandoned(near)).unwrap();
    world.record(&record, &World::signer(1));
    assert_eq!(world.judge().next_number(), 1001);
}

#[test]
fn records_are_held_to_name_signer_and_vault() {
    let (mut world, first) = World::founded(2, 3);
    let share_key = first.manifest.share_keys[0].public;
    let body = RecordBody::Check(CheckBody { share_key });
    let now = time("2026-03-01T00:00:00Z");
    let record = Record::new(world.vault, 1, now, Signer::Custodian(1), body.clone()).unwrap();
    let digest = world.record(&record, &World::signer(1));
    let refused = RecordBody::Refused(RefusedBody { ceremony: Digest::of(b"x"), reason: "wrong card".to_owned() });
    let refused = Record::new(world.vault, 1, now, Signer::Succession(1), refused).unwrap();
    world.record(&refused, &first.succession());
    assert_eq!(world.judge().records.len(), 2);
    assert!(world.judge().is_sound());

    let foreign = Record::new(Digest::of(b"other"), 1, now, Signer::Custodian(1), body).unwrap();
    let mut bad = world.clone();
    bad.record(&foreign, &World::signer(1));
    assert_eq!((wrong(&bad.judge_one()).len(), bad.judge_one().records.len()), (1, 2));

    let bytes = world.files.remove(&format!("records/{digest}.json")).unwrap();
    let other = format!("records/{}.json", Digest::of(b"another name"));
    world.put(other.replace(".json", ".sig"), sign(&World::signer(1), &bytes));
    world.put(other, bytes);
    let judgement = world.judge_one();
    assert_eq!((wrong(&judgement).len(), judgement.records.len()), (1, 1));
}

#[test]
fn partial_copies_make_one_vault() {
    let (world, [_, second, third]) = three_generations();
    let (mut left, mut right) = (world.view(0), world.view(1));
    // COMMIT only here, the closings of bob only there.
    right.files.remove(&third.path("COMMIT"));
    left.files.remove(&third.path("closings/02-bob.json"));
    left.files.remove(&third.path("closings/02-bob.sig"));
    right.files.retain(|path, _| !path.starts_with("generations/000002/"));
    let judgement = judge(&Snapshot::new(vec![left, right]).unwrap());
    assert!(judgement.is_sound(), "{:?}", judgement.findings);
    assert!(judgement.current().unwrap().ratified);
    assert_eq!(judgement.current().unwrap().complete_on, [] as [usize; 0]);
    assert_eq!(judgement.generation(&second.digest).unwrap().complete_on, [0]);
    assert_eq!(judgement.copies[0].missing, 2);
    assert!(judgement.copies[1].missing > 5);
    assert!(!judgement.findings.is_empty());
}

#[test]
fn a_copy_of_another_vault_is_set_aside() {
    let (world, _) = World::founded(2, 3);
    let (other, _) = World::founded(3, 4);
    let mut foreign = other.view(0);
    foreign.path = "/foreign".to_owned();
    let snapshot = Snapshot::new(vec![world.view(0), foreign]).unwrap();
    assert_eq!((snapshot.vault, snapshot.foreign.as_slice()), (world.vault, &["/foreign".to_owned()][..]));
    assert!(judge(&snapshot).current().is_ok());
}

#[test]
fn the_same_directory_name_for_two_ceremonies_on_two_copies() {
    let (world, first) = World::founded(2, 3);
    let (mut left, mut right) = (world.clone(), world.clone());
    let lost = world.plan(Some(&first), 2);
    left.gather(&lost, &[1]);
    let won = world.plan(Some(&first), 3);
    let second = right.make(Some(&first), won, &[2, 3]);
    right.close_all(&[&first, &second], &[2, 3]);
    let judgement = judge(&Snapshot::new(vec![left.view(0), right.view(1)]).unwrap());
    assert!(judgement.is_sound(), "{:?}", judgement.findings);
    assert_eq!(judgement.current().unwrap().digest, second.digest);
    assert_eq!(judgement.knows_ceremony(&lost.digest()), Some(Fate::DeadSibling));
    assert_eq!(judgement.ceremony_in(0, "000002"), Some(lost.digest()));
    assert_eq!(judgement.directory_of(1, &second.manifest.plan.digest()), Some("000002"));
}

/// Alice closed the second generation on two copies that did not know of each other, and only once said what she destroyed.
/// Whichever copy comes first, it is the same closing that is shown, and what she signed away is gone.
#[test]
fn two_valid_closings_of_one_custodian_make_the_same_verdict_in_every_order() {
    let (mut world, first) = World::founded(2, 3);
    let plan = world.plan(Some(&first), 2);
    let second = world.make(Some(&first), plan, &[1, 2]);
    world.close_all(&[&first, &second], &[2]);
    let stem = second.path(&format!("closings/{}", world.stem(1)));
    let once = World::closing(&[&first, &second], 1);
    let again = Closing { time: once.time.plus(60), destroyed: Vec::new(), ..once.clone() };
    let sides = [once, again].map(|closing| {
        let mut side = world.clone();
        let digest = side.put_signed(stem.clone(), closing.encode(), &World::signer(1));
        (digest, side)
    });
    let judged = |order: [usize; 2]| {
        let views = order.map(|side| sides[side].1.view(side));
        judge(&Snapshot::new(views.to_vec()).unwrap())
    };
    let lowest = sides[0].0.min(sides[1].0);
    for judgement in [judged([0, 1]), judged([1, 0])] {
        let state = judgement.generation(&second.digest).unwrap();
        assert_eq!(state.closings[&1].digest(), lowest);
        assert!(state.ratified, "either order: {:?}", judgement.findings);
        assert_eq!(judgement.holders(&first.digest), [3]);
        assert_eq!(wrong(&judgement), Vec::<&Finding>::new());
        let noted = |finding: &&Finding| finding.what.contains("is another closing than the one that counts");
        assert_eq!(judgement.findings.iter().filter(noted).count(), 1, "{:?}", judgement.findings);
    }
    // The next manifest lists one of them: that one counts, be it the lowest or not.
    for listed in [0, 1] {
        let mut world = sides[listed].1.clone();
        let plan = world.plan(Some(&second), 3);
        let third = world.make(Some(&second), plan, &[1, 2]);
        let mut other = world.clone();
        for half in ["json", "sig"] {
            let path = format!("{stem}.{half}");
            other.files.insert(path.clone(), sides[1 - listed].1.files[&path].clone());
        }
        for views in [[world.view(0), other.view(1)], [other.view(0), world.view(1)]] {
            let judgement = judge(&Snapshot::new(views.to_vec()).unwrap());
            assert_eq!(judgement.current().unwrap().digest, third.digest);
            assert_eq!(judgement.generation(&second.digest).unwrap().closings[&1].digest(), sides[listed].0);
            assert_eq!(wrong(&judgement), Vec::<&Finding>::new());
        }
    }
}

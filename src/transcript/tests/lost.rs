//! What no copy has: it is left behind by an exception that k approvals name, and never otherwise.

use super::*;
use crate::transcript::judge::{FollowError, check_plan_follows};

fn leaves_behind(subject: &str) -> Exception {
    let (kind, subject) = (ExceptionKind::ItemLost, subject.to_owned());
    let text = || "text".to_owned();
    Exception { kind, expected: text(), happened: text(), subject, decided_by: text() }
}

/// A fourth generation after [`three_generations`], whose third has an item: its defect, if it is not committed.
fn fourth(plan_of: impl FnOnce(&mut Plan, &Made), spoil: impl FnOnce(&mut Manifest, &Made)) -> Option<String> {
    let (mut world, [_, _, third]) = three_generations();
    let mut plan = world.plan(Some(&third), 4);
    plan_of(&mut plan, &third);
    let approvals = world.gather(&plan, &[1, 2]);
    let mut manifest = world.stage(Some(&third), &plan, approvals);
    spoil(&mut manifest, &third);
    let made = world.commit(Some(&third), manifest);
    let judgement = world.judge();
    let state = judgement.generation(&made.digest).expect("it reads");
    assert!(state.commit && state.committed == state.defect.is_none());
    state.defect.clone()
}

#[test]
fn an_item_is_left_behind_only_by_an_exception_that_names_it() {
    let drop_it = |manifest: &mut Manifest, _: &Made| manifest.items.clear();
    let excepted = |plan: &mut Plan, _: &Made| plan.exceptions.push(leaves_behind("root-password"));
    assert_eq!(fourth(|_, _| (), |_, _| ()), None);
    assert!(fourth(|_, _| (), drop_it).unwrap().contains("item root-password"));
    assert_eq!(fourth(excepted, drop_it), None);
    assert!(fourth(excepted, |_, _| ()).unwrap().contains("item root-password"), "carried all the same");
    // Another exception, or the same for something else, is not enough.
    let other = |plan: &mut Plan, _: &Made| {
        let kind = ExceptionKind::CeremonyLost;
        plan.exceptions.push(Exception { kind, ..leaves_behind("root-password") });
    };
    assert!(fourth(other, drop_it).unwrap().contains("item root-password"));
    let inbox = |plan: &mut Plan, _: &Made| plan.exceptions.push(leaves_behind(INBOX_IDENTITY));
    assert!(fourth(inbox, drop_it).is_some());
    for stranger in ["", "root", "ROOT-PASSWORD", "items/root-password.age", "inbox-identity"] {
        let defect = fourth(|plan, _| plan.exceptions.push(leaves_behind(stranger)), |_, _| ());
        assert!(defect.unwrap().contains("exceptions"), "{stranger:?}");
    }
}

#[test]
fn what_is_left_behind_may_be_replaced_and_is_not_what_the_grant_names() {
    let replaced = |plan: &mut Plan, third: &Made| {
        let replaces = third.manifest.items[0].digest;
        let (name, kind, file) = (name("root-password"), name("opaque"), "root.age".to_owned());
        plan.admits.push(Admission { name, kind, file, digest: Digest::of(b"p"), replaces: Some(replaces) });
        plan.exceptions.push(leaves_behind("root-password"));
    };
    assert_eq!(fourth(replaced, |_, _| ()), None);
    let refused = |manifest: &mut Manifest, _: &Made| {
        let (file, digest, reason) = ("root.age".to_owned(), Digest::of(b"p"), String::new());
        manifest.refused.push(Refused { file, digest, reason });
    };
    let refused_and_gone = |manifest: &mut Manifest, third: &Made| {
        refused(manifest, third);
        manifest.items.clear();
    };
    assert_eq!(fourth(replaced, refused_and_gone), None);
    assert!(fourth(replaced, refused).is_some(), "refused, and admitted all the same");
    let old_one = |manifest: &mut Manifest, third: &Made| {
        refused(manifest, third);
        manifest.items[0].admitted = third.manifest.items[0].admitted;
    };
    assert!(fourth(replaced, old_one).is_some(), "left behind, and carried all the same");
    let granted = |plan: &mut Plan, _: &Made| {
        plan.kind = CeremonyKind::Recover;
        plan.grant = Some(grant_of("root-password"));
        plan.exceptions.push(leaves_behind("root-password"));
    };
    assert!(fourth(granted, |manifest, _| manifest.items.clear()).unwrap().contains("exceptions"));
}

#[test]
fn the_inbox_changes_with_its_exception_and_only_then() {
    let excepted = |plan: &mut Plan, _: &Made| plan.exceptions.push(leaves_behind(INBOX_IDENTITY));
    let another = |manifest: &mut Manifest, _: &Made| manifest.inbox_recipient = "age1another".to_owned();
    assert_eq!(fourth(excepted, another), None);
    assert!(fourth(|_, _| (), another).unwrap().contains("inbox recipient"));
    assert!(fourth(excepted, |_, _| ()).unwrap().contains("inbox recipient"));
    let item = |plan: &mut Plan, _: &Made| plan.exceptions.push(leaves_behind("root-password"));
    let both = |manifest: &mut Manifest, third: &Made| {
        manifest.items.clear();
        another(manifest, third);
    };
    assert!(fourth(item, both).unwrap().contains("inbox recipient"));
    // Without the identity no proposal was opened.
    let admits = |plan: &mut Plan, _: &Made| {
        let (name, kind, file) = (name("root"), name("opaque"), "root.age".to_owned());
        plan.admits.push(Admission { name, kind, file, digest: Digest::of(b"p"), replaces: None });
    };
    let both = |plan: &mut Plan, third: &Made| {
        admits(plan, third);
        excepted(plan, third);
    };
    assert_eq!(fourth(admits, |_, _| ()), None);
    assert!(fourth(both, another).unwrap().contains("item root"));
    // There is nothing to leave behind at a founding.
    let world = World::new(2, 3);
    let mut plan = world.plan(None, 1);
    assert_eq!(check_plan_follows(&world.founding, None, &plan), Ok(()));
    plan.exceptions.push(leaves_behind(INBOX_IDENTITY));
    let followed = check_plan_follows(&world.founding, None, &plan);
    assert_eq!(followed, Err(FollowError::Parent { member: "exceptions" }));
}

#[test]
fn what_no_copy_has_is_lost_and_every_copy_that_has_the_rest_would_do() {
    let (world, [_, second, third]) = three_generations();
    let (item, inbox) = (third.path("items/root-password.age"), third.path("inbox-identity.age"));
    let judged = |spoil: &dyn Fn(usize, &mut CopyView)| {
        let mut views = [world.view(0), world.view(1)];
        views.iter_mut().enumerate().for_each(|(copy, view)| spoil(copy, view));
        let snapshot = Snapshot::new(views.to_vec()).unwrap();
        let judgement = judge(&snapshot);
        let serve: Vec<bool> = (0..2).map(|copy| serves_alone(&snapshot, copy, &judgement)).collect();
        (judgement, serve)
    };
    let changed = content(&item, b"changed");
    let (judgement, serve) = judged(&|_, _| ());
    assert!(judgement.current().unwrap().lost.is_empty() && serve == [true, true]);
    // On one copy it is right.
    let (judgement, serve) = judged(&|copy, view| drop((copy == 0).then(|| view.files.remove(&item))));
    assert!(judgement.current().unwrap().lost.is_empty() && serve == [false, true]);
    // Gone from one copy, changed on the other.
    let (judgement, serve) = judged(&|copy, view| {
        view.files.remove(&item);
        view.files.extend((copy == 1).then(|| (item.clone(), changed.clone())));
    });
    let current = judgement.current().unwrap();
    assert_eq!((current.lost.as_slice(), serve), (&["items/root-password.age".to_owned()][..], vec![true, true]));
    assert!(current.complete_on.is_empty() && current.complete_but_lost_on == [0, 1]);
    let finding = judgement.findings.iter().find(|finding| finding.file == item).unwrap();
    assert!(finding.severity == Severity::Wrong && finding.hint.contains("goes on without it"), "{finding:?}");
    // The inbox identity, and on one copy something else besides.
    let (judgement, serve) = judged(&|copy, view| {
        view.files.remove(&inbox);
        drop((copy == 0).then(|| view.files.remove(&third.path("shares/01-alice.age"))));
    });
    assert_eq!(judgement.current().unwrap().lost, ["inbox-identity.age"]);
    assert_eq!(serve, [false, true]);
    // It stands in a directory of which nothing says what it holds.
    let (judgement, _) = judged(&|copy, view| {
        let found = view.files.remove(&item).unwrap();
        let other = "generations/000003-0123abcd/items/root-password.age".to_owned();
        view.files.extend((copy == 1).then_some((other, found)));
    });
    assert!(judgement.current().unwrap().lost.is_empty());
    // The secrets of what is extinct are nobody's loss.
    let (judgement, _) = judged(&|_, view| drop(view.files.remove(&second.path("inbox-identity.age"))));
    assert!(judgement.generations.iter().all(|state| state.lost.is_empty()) && judgement.is_sound());
}

/// Whoever can write to one copy names a directory there wrongly, and damages the item in it: the other copy has it.
#[test]
fn a_wrong_name_on_one_copy_does_not_hide_what_another_has() {
    let (world, [_, _, third]) = three_generations();
    let item = third.path("items/root-password.age");
    let mut views = vec![world.view(0), world.view(1)];
    views[0].files.insert(item.clone(), content(&item, b"damaged"));
    let ours = format!("generations/{}/", third.directory);
    let moved: Vec<String> = views[0].files.keys().filter(|path| path.starts_with(&ours)).cloned().collect();
    for path in moved {
        let file = views[0].files.remove(&path).unwrap();
        views[0].files.insert(path.replace(&ours, "generations/000099/"), file);
    }
    let judgement = judge(&Snapshot::new(views).unwrap());
    let state = judgement.generation(&third.digest).unwrap();
    assert_eq!((state.directory.as_str(), &state.lost[..]), (third.directory.as_str(), &[][..] as &[String]));
    assert!(!judgement.is_sound());
}

//! Every rule that a generation can break.

use super::*;
use crate::transcript::judge::{FollowError, check_plan_follows};

/// A second generation made from what `spoil` leaves of plan and manifest; COMMIT is right each time.
fn second(plan_of: impl FnOnce(&mut Plan), spoil: impl FnOnce(&mut Manifest, &mut World)) -> (Judgement, Digest) {
    let (mut world, first) = World::founded(2, 3);
    let mut plan = world.plan(Some(&first), 2);
    plan_of(&mut plan);
    let approvals = world.gather(&plan, &[1, 2]);
    let mut manifest = world.stage(Some(&first), &plan, approvals);
    spoil(&mut manifest, &mut world);
    let made = world.commit(Some(&first), manifest);
    (world.judge(), made.digest)
}

fn defect(plan_of: impl FnOnce(&mut Plan), spoil: impl FnOnce(&mut Manifest, &mut World)) -> String {
    let (judgement, digest) = second(plan_of, spoil);
    let state = judgement.generation(&digest).expect("it reads");
    assert!(state.commit && !state.committed, "COMMIT alone must not be enough");
    assert_eq!(judgement.current().unwrap().generation, 1);
    assert_ne!(judgement.unfinished.first().map(|ceremony| ceremony.stage), Some(Stage::Committed));
    let named = judgement.findings.iter().any(|finding| {
        finding.severity == Severity::Wrong && finding.file.contains("/00000") && finding.copy.is_some()
    });
    assert!(named, "{:?}", judgement.findings);
    state.defect.clone().unwrap()
}

fn admission(replaces: Option<Digest>) -> Admission {
    let (name, kind) = (name("root"), name("opaque"));
    Admission { name, kind, file: "root.age".to_owned(), digest: Digest::of(b"p"), replaces }
}

#[test]
fn a_right_one_is_committed() {
    let (judgement, digest) = second(|_| (), |_, _| ());
    assert!(judgement.generation(&digest).unwrap().committed);
    let (judgement, digest) = second(|plan| plan.admits.push(admission(None)), |_, _| ());
    assert!(judgement.generation(&digest).unwrap().committed, "{:?}", judgement.findings);
}

#[test]
fn the_plan_must_follow() {
    assert!(defect(|plan| plan.vault = Digest::of(b"x"), |_, _| ()).contains("vault"));
    assert!(defect(|plan| plan.generation = 3, |_, _| ()).contains("generation"));
    assert!(defect(|plan| plan.number = 1, |_, _| ()).contains("number"));
    let (world, first) = World::founded(2, 3);
    let mut plan = world.plan(Some(&first), 2);
    plan.k = 3;
    let followed = check_plan_follows(&world.founding, Some((&first.manifest, first.digest)), &plan);
    assert_eq!(followed, Err(FollowError::Parent { member: "k" }));
    assert!(defect(|plan| plan.roster[2].name = name("mallory"), |_, _| ()).contains("roster"));
    assert!(defect(|plan| plan.admits.push(admission(Some(Digest::of(b"y")))), |_, _| ()).contains("admits"));
    let grant = grant_of("unknown");
    let recover = |plan: &mut Plan| {
        plan.kind = CeremonyKind::Recover;
        plan.grant = Some(grant);
    };
    assert!(defect(recover, |_, _| ()).contains("grant"));
}

#[test]
fn approvals_must_be_there_and_right() {
    let gone = |manifest: &mut Manifest, world: &mut World| {
        world.files.remove("generations/000002/approvals/01-alice.sig");
        let _ = manifest;
    };
    assert!(defect(|_| (), gone).contains("approval of alice"));
    let forged = |_: &mut Manifest, world: &mut World| {
        let bytes = world.files["generations/000002/approvals/01-alice.json"].clone();
        world.put("generations/000002/approvals/01-alice.sig".to_owned(), sign(&World::signer(2), &bytes));
    };
    assert!(defect(|_| (), forged).contains("approval of alice"));
    let unlisted = |manifest: &mut Manifest, _: &mut World| manifest.approvals[1].digest = Digest::of(b"z");
    assert!(defect(|_| (), unlisted).contains("approval of bob"));
}

#[test]
fn approvals_must_be_of_this_plan() {
    let other = |manifest: &mut Manifest, world: &mut World| {
        let mut plan = manifest.plan.clone();
        plan.random = Nonce16::from_bytes([99; 16]);
        let approval = Approval::new(plan.clone(), 1, World::share_key(&plan, 1), plan.started).unwrap();
        let path = "generations/000002/approvals/01-alice".to_owned();
        manifest.approvals[0].digest = world.put_signed(path, approval.encode(), &World::signer(1));
    };
    assert!(defect(|_| (), other).contains("alice"));
}

#[test]
fn share_keys_follow_from_approvals_and_parent() {
    let foreign = |manifest: &mut Manifest, _: &mut World| {
        manifest.share_keys[0].public = public(&key("mallory"));
    };
    assert!(defect(|_| (), foreign).contains("alice"));
    let absent = |manifest: &mut Manifest, _: &mut World| {
        manifest.share_keys[2].public = public(&key("mallory"));
    };
    assert!(defect(|_| (), absent).contains("carol"));
    let class = |manifest: &mut Manifest, _: &mut World| manifest.share_keys[2].class = Class::Fixed;
    assert!(defect(|_| (), class).contains("carol"));
}

#[test]
fn items_follow_from_parent_and_plan() {
    let admits = |plan: &mut Plan| plan.admits.push(admission(None));
    assert!(defect(admits, |manifest, _| manifest.items.clear()).contains("item root"));
    assert!(defect(admits, |manifest, _| manifest.items[0].kind = name("password")).contains("item root"));
    assert!(defect(admits, |manifest, _| manifest.items[0].admitted = 1).contains("item root"));
    let refused = |manifest: &mut Manifest, _: &mut World| {
        manifest.refused.push(Refused { file: "root.age".to_owned(), digest: Digest::of(b"p"), reason: String::new() });
    };
    assert!(defect(admits, refused).contains("item root"), "refused, and admitted all the same");
    let stray = |manifest: &mut Manifest, _: &mut World| {
        manifest.refused.push(Refused {
            file: "other.age".to_owned(),
            digest: Digest::of(b"p"),
            reason: String::new(),
        });
    };
    assert!(defect(admits, stray).contains("other.age"));
    assert!(defect(|_| (), |m, _| m.inbox_recipient = "age1other".to_owned()).contains("inbox"));
}

#[test]
fn commit_must_be_by_the_succession_key_of_the_parent() {
    let (mut world, first) = World::founded(2, 3);
    let plan = world.plan(Some(&first), 2);
    let second = world.make(Some(&first), plan, &[1, 2]);
    let bytes = second.manifest.encode();
    for forger in [second.succession(), World::signer(1)] {
        world.put(second.path("COMMIT"), sign(&forger, &bytes));
        let judgement = world.judge();
        assert_eq!(judgement.current().unwrap().generation, 1);
        assert_eq!(judgement.unfinished[0].stage, Stage::Staged);
        let named = |f: &Finding| f.severity == Severity::Wrong && f.file == second.path("COMMIT");
        assert_eq!(judgement.findings.iter().filter(|finding| named(finding)).count(), 2);
    }
}

#[test]
fn fewer_than_k_approvals_do_not_even_read() {
    let (mut world, first) = World::founded(2, 3);
    let plan = world.plan(Some(&first), 2);
    let approvals = world.gather(&plan, &[1]);
    let manifest = world.stage(Some(&first), &plan, approvals);
    let second = world.commit(Some(&first), manifest);
    let judgement = world.judge();
    assert!(judgement.generation(&second.digest).is_none());
    assert!(judgement.findings.iter().any(|finding| finding.file == second.path("manifest.json")));
}

fn with_closing(spoil: impl FnOnce(&mut Closing, &Made, &Made), key: &p256::ecdsa::SigningKey) -> Judgement {
    let (mut world, first) = World::founded(2, 3);
    let plan = world.plan(Some(&first), 2);
    let second = world.make(Some(&first), plan, &[1, 2]);
    world.close_all(&[&first, &second], &[2]);
    let mut closing = World::closing(&[&first, &second], 1);
    spoil(&mut closing, &first, &second);
    world.put_signed(second.path("closings/01-alice"), closing.encode(), key);
    world.judge()
}

#[test]
fn closings_are_held_to_every_member() {
    let alice = World::signer(1);
    assert!(with_closing(|_, _, _| (), &alice).unratified().is_none());
    type Spoil = fn(&mut Closing, &Made, &Made);
    let spoils: [Spoil; 6] = [
        |closing, _, _| closing.vault = Digest::of(b"x"),
        |closing, _, _| closing.generation = 1,
        |closing, first, _| closing.manifest = first.digest,
        |closing, _, _| closing.index = 2,
        |closing, first, _| {
            closing.share_key = first.manifest.share_keys[0].public;
            closing.destroyed.clear();
        },
        |closing, _, _| closing.destroyed.push(closing.share_key),
    ];
    for (number, spoil) in spoils.into_iter().enumerate() {
        let judgement = with_closing(spoil, &alice);
        assert!(judgement.unratified().is_some(), "spoil {number}");
        let named = |f: &Finding| f.severity == Severity::Wrong && f.file.ends_with("closings/01-alice.json");
        assert!(judgement.findings.iter().any(named), "spoil {number}: {:?}", judgement.findings);
    }
    assert!(with_closing(|_, _, _| (), &World::signer(2)).unratified().is_some(), "signed by another");
    let judgement = with_closing(|closing, _, _| closing.destroyed.clear(), &alice);
    assert!(judgement.unratified().is_some(), "alice still holds the first generation");
}

#[test]
fn a_closing_of_another_generation_is_not_replayed() {
    let (mut world, [_, second, third]) = three_generations();
    for extension in ["json", "sig"] {
        let old = world.files[&second.path(&format!("closings/01-alice.{extension}"))].clone();
        world.put(third.path(&format!("closings/01-alice.{extension}")), old);
    }
    let judgement = world.judge();
    assert!(!judgement.current().unwrap().closings.contains_key(&1));
    let named = |f: &Finding| f.severity == Severity::Wrong && f.file == third.path("closings/01-alice.json");
    assert!(judgement.findings.iter().any(named));
}

#[test]
fn files_swapped_between_generations_are_named() {
    let (world, [_, second, third]) = three_generations();
    let mut files: Vec<String> =
        ["plan.json", "manifest.json", "COMMIT", "inbox-identity.age"].map(str::to_owned).into();
    files.extend(["shares/01-alice.age", "approvals/02-bob.json", "closings/02-bob.sig"].map(str::to_owned));
    for file in files {
        let mut swapped = world.view(0);
        let (a, b) = (second.path(&file), third.path(&file));
        let (one, other) = (swapped.files[&a].clone(), swapped.files[&b].clone());
        swapped.files.insert(a.clone(), other);
        swapped.files.insert(b.clone(), one);
        let judgement = judge(&Snapshot::new(vec![swapped, world.view(1)]).unwrap());
        assert_eq!(judgement.current().unwrap().digest, third.digest, "{file}: the other copy is whole");
        let wrong = |path: &str| {
            let stem = path.trim_end_matches(".json").trim_end_matches(".sig");
            judgement.findings.iter().any(|finding| {
                finding.severity == Severity::Wrong
                    && finding.copy.as_deref() == Some("/copy/1")
                    && finding.file.starts_with(stem)
            })
        };
        assert!(wrong(&b), "{file}: {:?}", judgement.findings);
        assert!(wrong(&a) || file.ends_with(".age"), "{file}: {:?}", judgement.findings);
    }
}

#[test]
fn every_missing_file_is_named() {
    let (world, [_, _, third]) = three_generations();
    for path in world.files.keys().cloned().collect::<Vec<_>>() {
        let mut one = world.view(0);
        one.files.remove(&path);
        if path == "vault.json" {
            assert!(Snapshot::new(vec![one]).is_err());
            continue;
        }
        let judgement = judge(&Snapshot::new(vec![one.clone()]).unwrap());
        let sealed_and_over = Place::of(&path).is_sealed() && !path.contains("000003");
        let stem = path.trim_end_matches(".json").trim_end_matches(".sig");
        let named = judgement.findings.iter().any(|finding| finding.file.starts_with(stem));
        assert!(named || sealed_and_over, "{path}: {:?}", judgement.findings);
        // With the other copy, nothing is lost.
        let judgement = judge(&Snapshot::new(vec![one, world.view(1)]).unwrap());
        assert_eq!(judgement.current().unwrap().digest, third.digest, "{path}");
        assert_eq!(judgement.copies[0].missing > 0 || path == "policy.toml", !sealed_and_over, "{path}");
    }
}

#[test]
fn what_does_not_belong_is_named() {
    let (mut world, first) = World::founded(2, 3);
    let strays = [
        "notes.txt".to_owned(),
        "generations/000001/extra.json".to_owned(),
        "generations/1/plan.json".to_owned(),
        "records/short.json".to_owned(),
        "inbox/root.txt".to_owned(),
        first.path("shares/09-mallory.age"),
        first.path("items/mallory.age"),
    ];
    for stray in &strays {
        world.put(stray.clone(), b"x".to_vec());
    }
    let judgement = world.judge_one();
    for stray in &strays {
        let named = |f: &&Finding| f.severity == Severity::Wrong && f.file == *stray;
        assert!(judgement.findings.iter().any(|finding| named(&finding)), "{stray}");
    }
    let mut world = World::founded(2, 3).0;
    world.put(first.path("COMMIT.part"), b"x".to_vec());
    let judgement = world.judge_one();
    assert!(judgement.is_sound() && judgement.findings.len() == 1);
}

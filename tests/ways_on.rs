//! Nobody is locked out: lost cards, lost copies that turn up, vandalised tokens and broken-off attempts have a way on.

#[path = "harness/harness.rs"]
mod harness;

use harness::crew::{self, Crew};
use harness::scene::{RECOVER, SECRET, Scene};

const VAULTS: [&str; 2] = ["vault", "copy"];
const MISSED: [&str; 2] = ["missed", "missed-too"];
const ALL: [&str; 4] = ["missed", "missed-too", "vault", "copy"];

/// `recover` up to this text and the next PIN prompt after it; then the power fails.
#[track_caller]
fn cut_after(scene: &Scene, vaults: &[&str], mut crew: Crew, text: &str) {
    let mut terminal = scene.start(&RECOVER, vaults);
    crew.hold_until(&mut terminal, text);
    terminal.expect(crew::PIN);
    terminal.kill();
    terminal.expect_exit(128 + 9);
    assert!(crew.shown.is_empty());
}

#[test]
fn a_card_that_is_lost_after_the_commit_locks_nobody_out() {
    let scene = Scene::new(2, 3);
    cut_after(&scene, &VAULTS, Crew::of(&[0, 1]), "Round 2");
    scene.take_out("bob");
    // Alice and carol prove the new generation, and that is not enough: bob's old key lives.
    scene.hold(&["resume"], &VAULTS, &[0, 2]).expect(4, &["1 more of bob must close"]).reveals_nothing();

    let refused = scene.hold(&RECOVER, &VAULTS, &[0, 2]);
    refused.expect(4, &["is committed and not finished", "go on over it; an exception that k custodians approve"]);
    let seen = scene.hold_with(&RECOVER, &VAULTS, Crew::of(&[0, 2]).choosing(&["over"]));
    seen.expect(0, &["Exception: an unfinished ceremony", "cannot be finished"]);
    assert_eq!(seen.shown, [SECRET]);
    let judgement = scene.judgement(&VAULTS);
    assert!(judgement.is_sound() && judgement.current().unwrap().ratified);
    let open: Vec<u64> = judgement.line().filter(|g| !g.extinct).map(|g| g.generation).collect();
    assert_eq!(open, [judgement.current().unwrap().generation], "nothing before can be opened");

    // Bob finds his card again: he is a custodian like any other.
    scene.bring_back("bob");
    scene.recovers(&VAULTS, &[1, 2]);
    scene.no_try_was_lost();
}

#[test]
fn a_lost_copy_that_turns_up_before_the_commit_of_the_next_ceremony() {
    let scene = Scene::on_copies(2, 3, &ALL);
    cut_after(&scene, &VAULTS, Crew::of(&[0, 1]), "Round 2");
    // Declared lost; the next ceremony is cut in its round 1, with alice's token in it.
    cut_after(&scene, &MISSED, Crew::of(&[0, 1]).choosing(&["lost"]), "alice has approved");
    let seen = scene.hold_with(&RECOVER, &ALL, Crew::of(&[0, 1]).choosing(&["over"]));
    assert_eq!(seen.expect(0, &["Abandons:"]).shown, [SECRET]);
    assert_eq!(scene.verify(&ALL).0, 0);
    scene.recovers(&ALL, &[1, 2]);
}

#[test]
fn a_fork_is_finished_by_the_tokens_that_went_on() {
    let scene = Scene::on_copies(2, 3, &ALL);
    cut_after(&scene, &VAULTS, Crew::of(&[0, 1]), "Round 2");
    cut_after(&scene, &MISSED, Crew::of(&[0, 1]).choosing(&["lost"]), "Round 2");
    let numbers: Vec<u64> =
        [&VAULTS, &MISSED].map(|vaults| scene.judgement(vaults).current().unwrap().manifest.plan.number).to_vec();
    assert!(numbers[0] < numbers[1]);
    scene.hold(&RECOVER, &ALL, &[0, 1]).expect(1, &["two generations follow the same one (a fork)"]);
    // The older one is in nobody's token any more.
    let older = scene.hold_with(&["resume"], &ALL, Crew::of(&[0, 1]).choosing(&[&numbers[0].to_string()]));
    older.expect(4, &["(a fork)"]).reveals_nothing();
    let seen = scene.hold_with(&["resume"], &ALL, Crew::of(&[0, 1]).choosing(&[&numbers[1].to_string()]));
    assert_eq!(seen.expect(0, &["(a fork)"]).shown, [SECRET]);
    assert!(scene.judgement(&ALL).fork.is_some_and(|fork| fork.settled.is_some()));
    scene.recovers(&ALL, &[0, 2]);
    scene.no_try_was_lost();
}

#[test]
fn a_token_whose_certificates_were_wiped_takes_part_by_an_exception() {
    let scene = Scene::new(2, 3);
    let file = scene.place.path("tokens").join("alice.token");
    let mut token: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let objects = token["objects"].as_object_mut().unwrap();
    let before = objects.len();
    // The certificate containers of the retired slots (SP 800-73-4 part 1, table 3).
    objects.retain(|tag, _| !(0x5f_c10d..=0x5f_c120).contains(&u32::from_str_radix(tag, 16).unwrap()));
    assert!(objects.len() < before);
    std::fs::write(&file, serde_json::to_vec(&token).unwrap()).unwrap();

    scene.hold(&RECOVER, &VAULTS, &[0, 1, 2]).expect(0, &["carries no readable note of this vault"]);
    let old = scene.keys(0);
    let seen = scene.hold_with(&RECOVER, &VAULTS, Crew::of(&[0, 1]).choosing(&["except"]));
    seen.expect(0, &["Exception: no anchor (alice)"]);
    assert_eq!(seen.shown, [SECRET]);
    // Her old share key was not in the anchor any more, and is destroyed all the same.
    assert!(old.values().all(|key| !scene.keys(0).values().any(|left| left == key)));
    assert!(scene.judgement(&VAULTS).is_sound());
    scene.recovers(&VAULTS, &[0, 2]);
}

#[test]
fn attempts_that_are_broken_off_do_not_fill_the_slots() {
    let scene = Scene::new(2, 3);
    let before = scene.keys(0).len();
    for _ in 0..3 {
        cut_after(&scene, &VAULTS, Crew::of(&[0, 1]), "alice has approved");
        assert_eq!(
            scene.keys(0).len(),
            before + 1,
            "nothing was sealed to the key of the attempt before: it serves again"
        );
    }
    scene.recovers(&VAULTS, &[0, 1]);
    assert_eq!(scene.keys(0).len(), before);
    assert_eq!(scene.verify(&VAULTS).0, 0);
}

#[test]
fn a_policy_that_no_copy_has_right_keeps_nobody_from_recovering() {
    for damage in [false, true] {
        let scene = Scene::new(2, 3);
        let approved = std::fs::read(scene.place.path("vault/policy.toml")).unwrap();
        for vault in VAULTS {
            let path = scene.place.path(vault).join("policy.toml");
            if damage { std::fs::write(path, "threshold = 1").unwrap() } else { std::fs::remove_file(path).unwrap() }
        }
        let stopped = scene.hold_with(&RECOVER, &VAULTS, Crew::of(&[0, 1]).choosing(&["stop"]));
        let texts = ["No copy here has that policy.", "Nothing that was sealed is lost", "answer `go`"];
        stopped.expect(1, &texts).reveals_nothing();
        let seen = scene.hold_with(&RECOVER, &VAULTS, Crew::of(&[0, 1]).choosing(&["go"]));
        let exception = "Exception: the machine: expected the policy that was approved; no copy here has it, and the strictest rules hold";
        assert_eq!(seen.expect(0, &[exception]).shown, [SECRET]);
        // Interrupted after the commit: it is finished the same way.
        let mut terminal = scene.start(&RECOVER, &VAULTS);
        let mut crew = Crew::of(&[0, 1]).choosing(&["go"]);
        crew.hold_until(&mut terminal, "Round 2");
        terminal.expect(crew::PIN);
        terminal.kill();
        terminal.expect_exit(128 + 9);
        let seen = scene.hold_with(&["resume"], &VAULTS, Crew::of(&[0, 2]).choosing(&["go"]));
        assert_eq!(seen.code, 4, "bob's key of the generation before lives:\n{}", seen.screen);
        let seen = scene.hold_with(&["resume"], &VAULTS, Crew::of(&[0, 1]).choosing(&["go"]));
        assert_eq!(seen.expect(0, &[]).shown, [SECRET]);
        // The file is wrong all the same, and the policy is the one that was approved.
        let (code, said) = scene.verify(&VAULTS);
        assert!(code == 1 && said.contains("policy.toml"), "{code}: {said}");
        let state = scene.judgement(&VAULTS);
        assert_eq!(state.current().unwrap().manifest.plan.policy, state.founding.policy);
        for vault in VAULTS {
            std::fs::write(scene.place.path(vault).join("policy.toml"), &approved).unwrap();
        }
        assert_eq!(scene.verify(&VAULTS).0, 0);
        scene.recovers(&VAULTS, &[1, 2]);
        scene.no_try_was_lost();
    }
}

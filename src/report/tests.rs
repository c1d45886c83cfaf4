//! What people read, as they read it.

use super::{status, verify};
use crate::encoding::{Document, Time};
use crate::transcript::record::{CheckBody, RevealedBody, RevealedTo};
use crate::transcript::tests::{World, name, three_generations, time};
use crate::transcript::{Judgement, Record, RecordBody, Signer, Snapshot, Stage, Unfinished, Which, judge};
use crate::vault::Unavailable;

fn terms(now: &str) -> status::Terms<'static> {
    let now: Time = time(now);
    status::Terms {
        name: Some("Root of all"),
        now,
        check_days: 90,
        rotate_days: 365,
        copies: 2,
        unavailable: &[],
        foreign: &[],
        media: &[],
    }
}

fn widest(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

#[test]
fn a_good_day() {
    let (world, _) = three_generations();
    let judgement = world.judge();
    insta::assert_snapshot!(status::text(&judgement, &terms("2026-02-10T00:00:00Z")));
    insta::assert_snapshot!(verify::text(&judgement, &[]));
    assert!(!status::is_overdue(&judgement, &terms("2026-02-10T00:00:00Z")));
}

#[test]
fn a_bad_day() {
    let (mut world, [first, second, third]) = three_generations();
    let body = RevealedBody {
        ceremony: third.manifest.plan.digest(),
        item: name("root-password"),
        credential: Which::Installed,
        incident: "INC-7".to_owned(),
        requester: "dora".to_owned(),
        to: RevealedTo::Screen,
    };
    let by = Signer::Succession(3);
    let record = Record::new(world.vault, 3, time("2026-02-04T00:00:00Z"), by, RecordBody::Revealed(body)).unwrap();
    world.record(&record, &third.succession());
    let plan = world.plan(Some(&third), 4);
    let fourth = world.make(Some(&third), plan, &[1, 2]);
    world.close_all(&[&first, &second, &third, &fourth], &[1]);
    let mut damaged = world.view(0);
    let path = fourth.path("shares/02-bob.age");
    damaged.files.insert(path, crate::transcript::tests::content("inbox/x.age", b"damage"));
    let mut behind = world.view(1);
    behind.files.retain(|path, _| !path.starts_with("generations/000004/items"));
    let judgement = judge(&Snapshot::new(vec![damaged, behind]).unwrap());
    let why = "cannot open the directory on /copy/3: it is not there".to_owned();
    let unavailable = [Unavailable { path: "/copy/3".into(), why }];
    let terms = status::Terms { unavailable: &unavailable, ..terms("2027-06-01T00:00:00Z") };
    let (status, verify) = (status::text(&judgement, &terms), verify::text(&judgement, &unavailable));
    assert!(widest(&status) <= 100 && widest(&verify) <= 100, "{status}{verify}");
    insta::assert_snapshot!(status);
    insta::assert_snapshot!(verify);
    assert!(status::is_overdue(&judgement, &terms));
    let json = status::json(&judgement, &terms);
    assert_eq!(json["exposed"][0]["incident"], "INC-7");
    assert_eq!(json["unfinished"][0]["stage"], "committed");
    assert_eq!((&json["rotation_overdue"], &json["sound"]), (&true.into(), &false.into()));
    assert_eq!((&json["copies"][0]["wrong"], &json["copies"][1]["complete"]), (&true.into(), &false.into()));
    let json = verify::json(&judgement, &unavailable);
    assert_eq!((&json["findings"][0]["severity"], &json["findings"][0]["copy"]), (&"wrong".into(), &"/copy/1".into()));
    assert_eq!(json["generations"].as_array().unwrap().len(), 4);
    assert_eq!(json["unavailable"][0]["path"], "/copy/3");
}

fn only(judgement: &Judgement) -> &Unfinished {
    let [unfinished] = judgement.unfinished.as_slice() else { panic!("{:?}", judgement.unfinished) };
    unfinished
}

#[test]
fn what_to_run_is_said_for_every_stage() {
    let mut world = World::new(2, 3);
    let plan = world.plan(None, 1);
    world.gather(&plan, &[1]);
    let judgement = world.judge();
    only(&judgement);
    let text = status::text(&judgement, &terms("2026-02-10T00:00:00Z"));
    assert!(text.contains("nothing is committed") && text.contains("not founded"), "{text}");
    let first = world.make(None, plan, &[1, 2, 3]);
    world.close_all(&[&first], &[1]);
    let text = status::text(&world.judge(), &terms("2026-02-10T00:00:00Z"));
    assert!(text.contains("`claviger resume` with every founder"), "{text}");
}

#[test]
fn practice_is_said_in_the_first_line() {
    let (world, _) = World::founded(2, 3);
    let mut judgement = world.judge();
    judgement.practice = true;
    for text in [verify::text(&judgement, &[]), status::text(&judgement, &terms("2026-02-10T00:00:00Z"))] {
        assert!(text.starts_with("PRACTICE VAULT"), "{text}");
    }
}

#[test]
fn a_check_proves_the_key_that_it_names_and_no_other() {
    let (mut world, first) = World::founded(2, 3);
    let late = terms("2026-12-01T00:00:00Z");
    let proven = |world: &World, index: usize| {
        let judgement = world.judge();
        let custodians = status::custodians(&judgement, judgement.current().unwrap(), &late);
        (custodians[index].proven, custodians[index].overdue)
    };
    assert_eq!(proven(&world, 0), (Some(time("2026-02-01T11:00:00Z")), true), "the closing of the founding");
    let checked = time("2026-11-01T00:00:00Z");
    let body = |index: usize| RecordBody::Check(CheckBody { share_key: first.manifest.share_keys[index].public });
    for (by, key) in [(1, 1), (2, 0)] {
        let record = Record::new(world.vault, 1, checked, Signer::Custodian(by), body(key)).unwrap();
        world.record(&record, &World::signer(by));
    }
    assert!(proven(&world, 0).1, "alice named bob's key, bob named alice's");
    let record = Record::new(world.vault, 1, checked, Signer::Custodian(1), body(0)).unwrap();
    world.record(&record, &World::signer(1));
    assert_eq!(proven(&world, 0), (Some(checked), false));
    let text = status::text(&world.judge(), &late);
    assert!(text.contains("ONLY 1 have proven") && text.contains("2 CANNOT BE MET"), "{text}");
}

#[test]
fn a_file_name_cannot_write_on_the_terminal() {
    let (mut world, _) = World::founded(2, 3);
    world.put("x\u{1b}[2Jy\u{202e}.txt".to_owned(), Vec::new());
    let text = verify::text(&world.judge_one(), &[]);
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}') && text.contains("[2Jy"));
}

#[test]
fn in_a_fork_it_is_said_which_branch_can_be_finished() {
    let (mut world, first) = World::founded(2, 3);
    for (number, who) in [(2, [1, 2]), (3, [2, 3])] {
        let plan = world.plan(Some(&first), number);
        world.make(Some(&first), plan, &who);
    }
    let judgement = world.judge();
    assert!(judgement.current().is_err() && judgement.unfinished.len() == 2, "{judgement:?}");
    let status = status::json(&judgement, &terms("2026-02-10T00:00:00Z"));
    let next = |place: usize| status["unfinished"][place]["next"].as_str().unwrap().to_owned();
    assert!(next(0).contains("cannot be finished") && next(0).contains("ceremony 3"), "{}", next(0));
    assert!(next(1).contains("can be finished") && next(1).contains("`claviger resume` with any 2"), "{}", next(1));
    let text = status::text(&judgement, &terms("2026-02-10T00:00:00Z"));
    assert!(!text.contains("nothing else can start before"), "{text}");
}

#[test]
fn what_a_ceremony_left_behind_says_that_it_may_have_been_committed() {
    let late = terms("2026-02-10T00:00:00Z");
    let (world, [_, second, third]) = three_generations();
    let next = |world: &World| {
        let judgement = world.judge();
        let status = status::json(&judgement, &late);
        (only(&judgement).stage, status["unfinished"][0]["next"].as_str().unwrap().to_owned(), status)
    };
    let without = |gone: &dyn Fn(&str) -> bool| {
        let mut world = world.clone();
        world.files.retain(|path, _| !gone(path));
        world
    };
    let commit = third.path("COMMIT");
    let closings = third.path("closings");
    let (stage, said, status) = next(&without(&|path| path == commit));
    assert!(stage == Stage::Staged && said.contains("2 custodians have closed it"), "{said}");
    assert_eq!((&status["current"]["generation"], &status["spare"]), (&2.into(), &1.into()), "it is whole here");
    let left = |path: &str| path == commit || path.starts_with(&closings);
    let (_, said, _) = next(&without(&left));
    assert!(said.contains("nothing is committed, and nothing is lost"), "{said}");
    let shares = second.path("shares");
    let (_, said, status) = next(&without(&|path| left(path) || path.starts_with(&shares)));
    assert!(said.contains("no share of the generation before it is here") && !said.contains("nothing is"), "{said}");
    assert!(status["spare"].is_null());
    let one = second.path("shares/01-alice.age");
    let damaged = without(&|path| left(path) || path == one);
    let (_, said, _) = next(&damaged);
    assert!(
        said.contains("no COMMIT of it is here: bring the vault's other copies") && !said.contains("nothing is"),
        "{said}"
    );
    let text = status::text(&damaged.judge(), &late);
    assert!(
        text.contains("NOT WHOLE: no copy here has all of generation 2.") && text.contains("margin      not known"),
        "{text}"
    );
}

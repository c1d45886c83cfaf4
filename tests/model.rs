//! The protocol as a model, every state of it visited within small bounds; and each rule broken once, to see that the model
//! notices. What is claimed by this, and what is not: `docs/assurance.md`.
//!
//! `CLAVIGER_TEST_WHOLE_MODEL=1` checks larger bounds too.

use std::num::NonZeroUsize;

use claviger::ceremony::admission::{Hindrance, Welcome};
use claviger::encoding::{Digest, Time};
use claviger::transcript::{Fate, Stage};
use claviger_model::properties::{CLOSED, DESTROYED, ONE_LINE, OPENS, OPENS_AFTER_LOSS, REVEAL, WAY_ON};
use claviger_model::{self as model, Bounds, Mistake, Report, check};

/// What cannot come about when all copies are always there.
const NO_FORKS: [&str; 3] =
    ["a fork is not settled", "a fork is settled", "a ceremony that was declared lost is committed"];
/// What cannot come about when every custodian is needed.
const NO_ABSENTEES: [&str; 1] = ["an absentee stands in"];

/// Visits every state, and finds that everything holds, and that all but `never` comes about.
#[track_caller]
fn holds(bounds: Bounds, never: &[&str]) -> Report {
    let report = check(bounds, None, None);
    say(&bounds, &report);
    assert!(report.found.is_empty(), "{report:#?}");
    assert!(report.exhausted && report.never == never, "{report:#?}");
    report
}

fn say(bounds: &Bounds, report: &Report) {
    let mistake = bounds.mistake.map(|mistake| format!(", {mistake:?}")).unwrap_or_default();
    let all = if report.exhausted { "all visited" } else { "stopped" };
    println!("{bounds}{mistake}: {} states, {all}, {} steps deep", report.states, report.depth);
}

/// `policy` copies wanted.
fn with_policy(policy_copies: usize, bounds: Bounds) -> Bounds {
    Bounds { policy_copies, ..bounds }
}

fn coarse(bounds: Bounds) -> Bounds {
    Bounds { coarse: true, ..bounds }
}

#[test]
fn two_of_two() {
    holds(Bounds::new(2, 2, 2, 2), &NO_ABSENTEES);
    let both = with_policy(2, Bounds::new(2, 2, 2, 2));
    holds(both, &[&NO_FORKS[..2], &NO_ABSENTEES, &NO_FORKS[2..]].concat());
    holds(Bounds { few_copies: true, media_fail: true, ..both }, &NO_ABSENTEES);
    holds(Bounds { sessions: 2, ..Bounds::new(2, 2, 2, 2) }, &NO_ABSENTEES);
}

/// Also where a copy turns up as it was before, what was committed on it is not abandoned without an exception.
#[test]
fn two_of_two_with_a_restored_copy() {
    holds(RESTORED, &[&NO_FORKS[..2], &NO_ABSENTEES, &NO_FORKS[2..]].concat());
}

#[test]
fn two_of_two_with_three_ceremonies() {
    holds(coarse(Bounds::new(2, 2, 2, 3)), &NO_ABSENTEES);
}

#[test]
fn two_of_three() {
    holds(coarse(Bounds::new(2, 3, 2, 2)), &[]);
    holds(coarse(with_policy(2, Bounds::new(2, 3, 2, 2))), &NO_FORKS);
}

/// Where nobody declares a ceremony lost, any k custodians can go on from any state, whoever they are.
#[test]
fn any_two_of_three_go_on_without_false_exceptions() {
    holds(Bounds { lost: false, ..coarse(Bounds::new(2, 3, 2, 2)) }, &NO_FORKS);
}

/// Where two may be absent, one branch's closings must not count for the other. As far as it is quick; all of it is below.
#[test]
fn three_of_five() {
    let report = check(FIVE, NonZeroUsize::new(800_000), None);
    say(&FIVE, &report);
    assert!(report.found.is_empty() && report.states > 200_000, "{report:#?}");
}

#[test]
fn three_of_three() {
    holds(Bounds::new(3, 3, 2, 2), &NO_ABSENTEES);
}

/// A rule, broken; the property that does not hold then; and the bounds within which that is seen.
type Broken = (Mistake, &'static str, Bounds);

/// Two of two, two ceremonies on two copies.
const SMALL: Bounds = Bounds { coarse: true, ..Bounds::new(2, 2, 2, 2) };
/// The same with every cut.
const FINE: Bounds = Bounds::new(2, 2, 2, 2);
/// One of two copies is restored from an image.
const RESTORED: Bounds = Bounds { policy_copies: 2, restored: 1, ..FINE };
/// With absentees.
const ABSENT: Bounds = Bounds { coarse: true, ..Bounds::new(2, 3, 2, 2) };
/// Three ceremonies: branches that go on.
const LONG: Bounds = Bounds { coarse: true, ..Bounds::new(2, 2, 2, 3) };
/// Two tokens may make share keys that do not work.
const DUDS: Bounds = Bounds { coarse: true, duds: 2, ..Bounds::new(2, 3, 1, 1) };

/// Five custodians, two of them absent.
const FIVE: Bounds = Bounds { coarse: true, whole: true, ..Bounds::new(3, 5, 2, 2) };

/// Everything that is known of the protocol's rules: each is needed.
const BROKEN: [Broken; 19] = [
    (Mistake::OverwritesInRound1, OPENS, SMALL),
    (Mistake::MovesToALowerNumber, OPENS, FINE),
    (Mistake::MovesToALowerNumber, DESTROYED, LONG),
    (Mistake::GoesBack, OPENS, FINE),
    (Mistake::GoesBack, DESTROYED, SMALL),
    (Mistake::AbandonsWhatMayBeCommitted, CLOSED, FINE),
    (Mistake::SpreadsWhatWasBegun, CLOSED, RESTORED),
    (Mistake::ClosesBeforeProving, OPENS, DUDS),
    (Mistake::RevealsBeforeRatified, REVEAL, ABSENT),
    (Mistake::RatifiedWithoutExtinction, REVEAL, ABSENT),
    (Mistake::RatifiedWithoutExtinction, CLOSED, ABSENT),
    (Mistake::CountsClosingsOfOtherBranches, CLOSED, FIVE),
    (Mistake::ReusesKeyWithShare, CLOSED, SMALL),
    (Mistake::CommitCountedTooEarly, OPENS_AFTER_LOSS, Bounds { policy_copies: 2, ..FINE }),
    (Mistake::BranchByNumber, WAY_ON, LONG),
    (Mistake::ClosesAgainAfterMovingOn, OPENS, FINE),
    (Mistake::FinishesOnlyTheFirstOfABranch, WAY_ON, LONG),
    (Mistake::LineEndsAtTheFork, WAY_ON, LONG),
    (Mistake::StopsAtAFork, WAY_ON, LONG),
];

#[test]
fn each_broken_rule_is_noticed() {
    for (mistake, property, bounds) in BROKEN {
        let bounds = Bounds { mistake: Some(mistake), ..bounds };
        let report = check(bounds, None, Some(property));
        say(&bounds, &report);
        let found: Vec<&str> = report.found.iter().map(|found| found.property).collect();
        assert_eq!(found, [property], "{mistake:?}");
        assert!(report.found.iter().all(|found| !found.story.is_empty()));
    }
    // The faults that one of them needs do no harm by themselves.
    let report = check(DUDS, None, Some(OPENS));
    assert!(report.exhausted && report.states > 100, "{report:?}");
}

/// k of n with k no more than n/2, which no policy can ask for: so many attendees are too few to make the generation before
/// extinct, and nothing is ever ratified. Were it ratified by what others closed as well, there would be two lines.
#[test]
fn half_of_the_custodians_are_too_few() {
    let half = Bounds { whole: true, ..coarse(Bounds::new(2, 4, 2, 2)) };
    let counted = Bounds { mistake: Some(Mistake::CountsClosingsOfOtherBranches), ..half };
    for (bounds, property) in [(half, WAY_ON), (counted, ONE_LINE)] {
        let report = check(bounds, None, Some(property));
        say(&bounds, &report);
        assert_eq!(report.found.iter().map(|found| found.property).collect::<Vec<_>>(), [property]);
    }
}

/// Larger bounds. About a quarter of an hour of one core, and up to 8 GiB.
#[test]
fn larger_bounds() {
    if std::env::var_os("CLAVIGER_TEST_WHOLE_MODEL").is_none() {
        println!("not asked for: CLAVIGER_TEST_WHOLE_MODEL=1");
        return;
    }
    holds(Bounds::new(2, 3, 2, 2), &[]);
    holds(Bounds::new(2, 2, 2, 3), &NO_ABSENTEES);
    holds(Bounds { lost: false, ..Bounds::new(2, 3, 2, 2) }, &NO_FORKS);
    holds(Bounds { duds: 1, ..ABSENT }, &[]);
    holds(Bounds { sessions: 2, ..ABSENT }, &[]);
    holds(coarse(with_policy(2, Bounds::new(2, 3, 3, 2))), &NO_FORKS);
    holds(FIVE, &[]);
    holds(coarse(Bounds::new(3, 4, 2, 2)), &[]);
    // The code asks that *all* generations before a ratified one are extinct. Here it makes no difference: whoever holds a
    // generation holds what follows it, so that one is extinct with its parent. The rule stays: it costs nothing, and
    // need not believe what a closing says of the generation between.
    holds(Bounds { mistake: Some(Mistake::RatifiedWithParentExtinct), ..ABSENT }, &[]);
    for (bounds, limit) in
        [(coarse(Bounds::new(2, 3, 2, 3)), 60_000_000), (coarse(Bounds::new(3, 5, 2, 2)), 60_000_000)]
    {
        let report = check(bounds, NonZeroUsize::new(limit), None);
        say(&bounds, &report);
        assert!(report.found.is_empty(), "{report:#?}");
    }
}

/// The model speaks of what the code speaks of: a variant that is renamed, added or removed there is noticed here.
#[test]
fn names_are_those_of_the_code() {
    let names = |names: &[&dyn std::fmt::Debug]| -> Vec<String> {
        let text = names.iter().map(|name| format!("{name:?}"));
        text.map(|text| text.split([' ', '{']).next().unwrap_or_default().to_owned()).collect()
    };
    let (model, code) =
        ([model::Stage::Gathering, model::Stage::Staged, model::Stage::Committed], |stage| match stage {
            model::Stage::Gathering => Stage::Gathering,
            model::Stage::Staged => Stage::Staged,
            model::Stage::Committed => Stage::Committed,
        });
    model.into_iter().for_each(|stage| assert_eq!(names(&[&stage]), names(&[&code(stage)])));
    let ours = |fate| match fate {
        Fate::Committed => model::Fate::Committed,
        Fate::Abandoned => model::Fate::Abandoned,
        Fate::DeadSibling => model::Fate::DeadSibling,
        Fate::Unfinished => model::Fate::Unfinished,
    };
    for fate in [Fate::Committed, Fate::Abandoned, Fate::DeadSibling, Fate::Unfinished] {
        assert_eq!(names(&[&fate]), names(&[&ours(fate)]));
    }
    let ours = |welcome| match welcome {
        Welcome::Joins => model::Welcome::Joins,
        Welcome::InThisCeremony => model::Welcome::InThisCeremony,
        Welcome::HasClosed => model::Welcome::HasClosed,
    };
    for welcome in [Welcome::Joins, Welcome::InThisCeremony, Welcome::HasClosed] {
        assert_eq!(names(&[&welcome]), names(&[&ours(welcome)]));
    }
    // A missing anchor and an impossible number are not in the model.
    let ours = |hindrance: &Hindrance| match hindrance {
        Hindrance::NoAnchor | Hindrance::ImpossibleNumber { .. } => None,
        Hindrance::Ahead { .. } => Some(model::Hindrance::Ahead),
        Hindrance::OtherLine { .. } => Some(model::Hindrance::OtherLine),
        Hindrance::Elsewhere { .. } => Some(model::Hindrance::Elsewhere),
        Hindrance::Number { .. } => Some(model::Hindrance::Number),
        Hindrance::CannotGoBack { .. } => Some(model::Hindrance::CannotGoBack),
    };
    let elsewhere = Hindrance::Elsewhere { ceremony: Digest::of(b""), number: 1, started: Time::now() };
    let all = [
        Hindrance::Ahead { closed: 1 },
        Hindrance::OtherLine { closed: 1 },
        elsewhere,
        Hindrance::Number { shown: 1 },
        Hindrance::CannotGoBack { shown: 1 },
    ];
    for hindrance in all {
        assert_eq!(names(&[&hindrance]), names(&[&ours(&hindrance).unwrap()]));
    }
}

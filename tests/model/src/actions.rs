//! Everything that can happen next.

use crate::admission::is_settled;
use crate::config::Bounds;
use crate::judge::{Judgement, judge};
use crate::sessions;
use crate::sessions::{Attendance, Closing, Staging, consumable, left_behind, resumable};
use crate::state::{Ceremony, MAX_SESSIONS, Mask, Session, State, count, has, members, one, subsets};

/// One thing that happens. Tokens and copies are numbered as in the state before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A session merges these copies and begins a ceremony; the plan stands on `on` when it is cut off (all: it is not).
    Begin { copies: Mask, plan: Ceremony, on: Mask },
    /// Round 1 for a token. What does not reach every copy ends the session.
    Attend { session: usize, token: u8, to: Attendance },
    /// Stage and commit.
    Commit { session: usize, to: Staging },
    /// A session merges these copies and goes on with round 2 of a ceremony.
    Resume { copies: Mask, ceremony: u8 },
    /// Round 2 for a token.
    Close { session: usize, token: u8, to: Closing },
    /// Ratified: what is over is removed from the copies, and the grant's item revealed. The session ends.
    Reveal { session: usize },
    /// The machine forgets everything.
    Crash { session: usize },
    /// A copy is exchanged for an image of it, made at the founding.
    Restore { copy: u8 },
    /// A copy of a session fails, or is taken out.
    MediumFails { session: usize, copy: u8 },
}

pub fn actions(bounds: &Bounds, state: &State, actions: &mut Vec<Action>) {
    if state.sessions[..bounds.sessions].iter().any(|session| session.copies == 0) {
        for copies in subsets(state.free_copies(bounds.copies)) {
            begin_or_resume(bounds, state, copies, actions);
        }
    }
    if state.restored < bounds.restored {
        actions.extend(members(state.free_copies(bounds.copies)).map(|copy| Action::Restore { copy }));
    }
    for (place, session) in state.sessions.iter().enumerate().filter(|(_, session)| session.copies != 0) {
        actions.push(Action::Crash { session: place });
        if bounds.media_fail && count(session.copies) > 1 {
            actions.extend(members(session.copies).map(|copy| Action::MediumFails { session: place, copy }));
        }
        if session.closing { round_2(bounds, state, place, actions) } else { round_1(bounds, place, session, actions) }
    }
}

fn begin_or_resume(bounds: &Bounds, state: &State, copies: Mask, actions: &mut Vec<Action>) {
    // What is here is merged before anything is decided.
    let mut merged = *state;
    let j = sessions::merge(bounds, &mut merged, copies);
    let state = &merged;
    for ceremony in members(resumable(bounds, state, &j)) {
        let required = sessions::required(bounds, state.ceremony(ceremony));
        if bounds.few_copies || count(copies) >= required {
            actions.push(Action::Resume { copies, ceremony });
        }
    }
    let few = count(copies) < bounds.policy_copies;
    if few && !bounds.few_copies || state.begun().count() > bounds.ceremonies {
        return;
    }
    for plan in plans(bounds, state, &j, copies) {
        actions.extend(cuts(bounds, copies).map(|on| Action::Begin { copies, plan, on }));
    }
}

/// The plans that people may make of what these copies prove.
fn plans(bounds: &Bounds, state: &State, j: &Judgement, copies: Mask) -> Vec<Ceremony> {
    let (abandons, needed) = left_behind(bounds, state, j, copies);
    if needed != 0 && !bounds.lost {
        return Vec::new();
    }
    let unused = sessions::unused(bounds, j, abandons);
    // What a token may be in that these copies say nothing final of: people may declare it lost.
    let unsettled = state.begun().filter(|id| *id != 0 && !is_settled(state, j, *id));
    let optional = unsettled.fold(0, |all, id| all | one(id)) & !abandons & !needed;
    let optional = if bounds.lost { optional } else { 0 };
    // One more than any that the copies have shown, or any token.
    let mut numbers: Vec<u8> = state.tokens[..bounds.n].iter().map(|token| token.number).collect();
    numbers.push(j.highest_number);
    numbers.retain(|number| *number >= j.highest_number);
    numbers.sort_unstable();
    numbers.dedup();
    let mut plans = Vec::new();
    for parent in members(consumable(bounds, state, j)) {
        for extra in subsets(optional).chain([0]) {
            let lost = needed | extra;
            let plan = Ceremony { number: 0, parent, copies, abandons, unused, lost, attendees: 0 };
            plans.extend(numbers.iter().map(|number| Ceremony { number: number + 1, ..plan }));
        }
    }
    plans
}

/// On which copies something stands when the power fails: with `coarse`, on all.
fn cuts(bounds: &Bounds, copies: Mask) -> impl Iterator<Item = Mask> + use<> {
    let coarse = bounds.coarse;
    subsets(copies).filter(move |on| !coarse || *on == copies)
}

fn round_1(bounds: &Bounds, place: usize, session: &Session, actions: &mut Vec<Action>) {
    if count(session.served) >= bounds.k {
        for on in cuts(bounds, session.copies) {
            let cuts = [Staging::Sealed { on }, Staging::Staged { on }, Staging::Committed { on }];
            actions.extend(cuts.into_iter().map(|to| Action::Commit { session: place, to }));
        }
        return;
    }
    for token in (0..bounds.n as u8).filter(|token| !has(session.served, *token)) {
        let mut steps = vec![Attendance::Opened];
        if bounds.duds > 0 {
            steps.push(Attendance::Made { dud: true });
        }
        if bounds.whole {
            // Nothing before the end.
        } else if bounds.coarse {
            steps.push(Attendance::Made { dud: false });
        } else {
            steps.extend([Attendance::Joined, Attendance::Made { dud: false }]);
            steps.extend(subsets(session.copies).map(|on| Attendance::Approved { on }));
        }
        actions.extend(steps.into_iter().map(|to| Action::Attend { session: place, token, to }));
    }
}

fn round_2(bounds: &Bounds, state: &State, place: usize, actions: &mut Vec<Action>) {
    let session = &state.sessions[place];
    let ratified = has(judge(bounds, state, session.copies).ratified, session.ceremony);
    if ratified && count(session.served) >= bounds.k {
        actions.push(Action::Reveal { session: place });
        return;
    }
    for token in (0..bounds.n as u8).filter(|token| !has(session.served, *token)) {
        let mut steps = if bounds.whole { vec![] } else { vec![Closing::Destroyed, Closing::Anchored] };
        steps.extend(cuts(bounds, session.copies).map(|on| Closing::Closed { on }));
        actions.extend(steps.into_iter().map(|to| Action::Close { session: place, token, to }));
    }
}

const _: () = assert!(MAX_SESSIONS == 2);

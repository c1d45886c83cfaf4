//! Whether people can go on: every session has ended, these copies are all that there is, and these custodians come.
//!
//! What is tried is what the program would let them do: finish what is committed, with `resume`; or go on over it, with
//! the exception `unratified`; or begin a ceremony.

use crate::admission::is_settled;
use crate::config::Bounds;
use crate::judge::judge;
use crate::sessions::{self, Attendance, Closing, Staging, attend, close, commit, consumable, left_behind, resumable};
use crate::state::{Ceremony, Id, Mask, Session, State, count, has, members, one};

/// Whether these custodians reach a ratified generation that was not ratified before.
pub fn is_there_a_way(bounds: &Bounds, state: &State, custodians: Mask, copies: Mask) -> bool {
    let mut state = ended(bounds, state, copies);
    let j = sessions::merge(bounds, &mut state, copies);
    let unratified = resumable(bounds, &state, &j) & !j.ratified;
    if members(unratified).any(|id| finishes(bounds, state, id, custodians, copies)) {
        return true;
    }
    let (abandons, _) = left_behind(bounds, &state, &j, copies);
    let unsettled = state.begun().filter(|id| *id != 0 && !is_settled(&state, &j, *id));
    let lost = unsettled.fold(0, |all, id| all | one(id)) & !abandons;
    let numbers = state.tokens[..bounds.n].iter().map(|token| token.number);
    let number = 1 + numbers.chain([j.highest_number]).max().unwrap_or(0);
    let plan = Ceremony {
        number,
        parent: 0,
        copies,
        abandons,
        unused: sessions::unused(bounds, &j, abandons),
        lost,
        attendees: 0,
    };
    members(consumable(bounds, &state, &j)).any(|parent| {
        let teams = (1..=custodians).filter(|team| team & !custodians == 0 && count(*team) == bounds.k);
        teams.into_iter().any(|team| succeeds(bounds, state, Ceremony { parent, ..plan }, team, custodians, copies))
    })
}

/// The state when every session has crashed, with the copies that are left merged and the others gone.
pub fn ended(bounds: &Bounds, state: &State, copies: Mask) -> State {
    let mut state = *state;
    state.sessions = Default::default();
    state.destroyed_higher = false;
    state.restored = 0;
    for (place, copy) in state.copies.iter_mut().enumerate() {
        if !has(copies, place as u8) {
            *copy = Default::default();
        }
    }
    sessions::merge(bounds, &mut state, copies);
    state
}

/// `resume`: those who were in round 1 first, then those who stand in.
fn finishes(bounds: &Bounds, mut state: State, id: Id, custodians: Mask, copies: Mask) -> bool {
    let mut session = Session { copies, ceremony: id, closing: true, ..Session::default() };
    let attendees = state.ceremony(id).attendees & custodians;
    for token in members(attendees).chain(members(custodians & !attendees)) {
        if is_done(bounds, &state, &session) {
            return true;
        }
        close(bounds, &mut state, &mut session, token, Closing::Closed { on: copies });
    }
    is_done(bounds, &state, &session)
}

fn is_done(bounds: &Bounds, state: &State, session: &Session) -> bool {
    has(judge(bounds, state, session.copies).ratified, session.ceremony) && count(session.served) >= bounds.k
}

/// A whole ceremony, with `team` in round 1.
fn succeeds(bounds: &Bounds, mut state: State, plan: Ceremony, team: Mask, custodians: Mask, copies: Mask) -> bool {
    let Some(ceremony) = sessions::begin(&mut state, copies, plan) else { return false };
    let mut session = Session { copies, ceremony, ..Session::default() };
    for token in members(team) {
        if !attend(bounds, &mut state, &mut session, token, Attendance::Opened) {
            return false;
        }
    }
    commit(bounds, &mut state, &mut session, Staging::Committed { on: copies })
        && finishes(bounds, state, ceremony, custodians, copies)
}

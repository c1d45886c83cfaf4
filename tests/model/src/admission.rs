//! Whether a token may take part, as `src/ceremony/admission` decides it.

use crate::config::{Bounds, Mistake};
use crate::judge::{Fate, Judgement};
use crate::state::{Id, State, has};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Welcome {
    Joins,
    InThisCeremony,
    HasClosed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hindrance {
    Ahead,
    OtherLine,
    Elsewhere,
    Number,
    CannotGoBack,
}

/// Round 1.
pub fn may_join(bounds: &Bounds, state: &State, j: &Judgement, token: u8, id: Id) -> Result<Welcome, Hindrance> {
    check_line(bounds, state, j, token, id)?;
    let token = state.token(token);
    if token.ceremony == id {
        return Ok(Welcome::InThisCeremony);
    }
    if token.ceremony != 0 && !may_leave(state, j, token.ceremony, id) {
        return Err(Hindrance::Elsewhere);
    }
    if token.number >= state.ceremony(id).number && !bounds.makes(Mistake::MovesToALowerNumber) {
        return Err(Hindrance::Number);
    }
    Ok(Welcome::Joins)
}

/// Round 2.
pub fn may_close(bounds: &Bounds, state: &State, j: &Judgement, index: u8, id: Id) -> Result<Welcome, Hindrance> {
    let token = state.token(index);
    let number = state.ceremony(id).number;
    if state.generation(token.closed) == state.generation(id) {
        if token.closed != id {
            return Err(Hindrance::OtherLine);
        }
        let moved_on = token.number > number && !has(j.here(id).closings, index);
        if !moved_on || bounds.makes(Mistake::ClosesAgainAfterMovingOn) {
            return Ok(Welcome::HasClosed);
        }
    } else {
        check_line(bounds, state, j, index, id)?;
    }
    if token.ceremony == id {
        return Ok(Welcome::InThisCeremony);
    }
    if bounds.makes(Mistake::GoesBack) {
        return Ok(Welcome::Joins);
    }
    if token.ceremony != 0 && !is_settled(state, j, token.ceremony) {
        return Err(Hindrance::Elsewhere);
    }
    if token.number > number { Err(Hindrance::CannotGoBack) } else { Ok(Welcome::Joins) }
}

/// What the token closed must be before the generation of ceremony `id`.
fn check_line(bounds: &Bounds, state: &State, j: &Judgement, token: u8, id: Id) -> Result<(), Hindrance> {
    let closed = state.token(token).closed;
    if state.generation(closed) >= state.generation(id) {
        return Err(Hindrance::Ahead);
    }
    let before = if bounds.makes(Mistake::LineEndsAtTheFork) {
        has(j.line, closed)
    } else {
        has(j.known, closed) && state.is_before(closed, id)
    };
    if before { Ok(()) } else { Err(Hindrance::OtherLine) }
}

fn may_leave(state: &State, j: &Judgement, left: Id, plan: Id) -> bool {
    let plan = state.ceremony(plan);
    is_settled(state, j, left) || has(plan.abandons | plan.lost, left)
}

pub fn is_settled(state: &State, j: &Judgement, ceremony: Id) -> bool {
    match j.fate(state, ceremony) {
        Some(Fate::Committed | Fate::Abandoned | Fate::DeadSibling) => true,
        Some(Fate::Unfinished) => false,
        None => has(j.committed & j.extinct, state.ceremony(ceremony).parent),
    }
}

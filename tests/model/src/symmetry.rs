//! Custodians, copies and sessions have no order: of all states that differ by their names alone, one stands for all.

use crate::config::Bounds;
use crate::state::{Mask, Session, State, Token, has, one};

pub fn representative(bounds: &Bounds, state: &State) -> State {
    let orders: &[&[u8]] = match bounds.copies {
        1 => &[&[0]],
        2 => &[&[0, 1], &[1, 0]],
        _ => &[&[0, 1, 2], &[0, 2, 1], &[1, 0, 2], &[1, 2, 0], &[2, 0, 1], &[2, 1, 0]],
    };
    let mut least: Option<State> = None;
    for order in orders {
        let mut renamed = copies_in(state, order);
        renamed.sessions.sort_unstable_by(|a, b| b.cmp(a));
        let renamed = tokens_in_order(bounds, &renamed);
        if least.is_none_or(|least| renamed < least) {
            least = Some(renamed);
        }
    }
    least.unwrap_or(*state)
}

/// `order[new]` is the old name.
fn rename(mask: Mask, order: &[u8]) -> Mask {
    order.iter().enumerate().filter(|(_, old)| has(mask, **old)).fold(0, |all, (new, _)| all | one(new as u8))
}

fn copies_in(state: &State, order: &[u8]) -> State {
    let mut renamed = *state;
    for (new, old) in order.iter().enumerate() {
        renamed.copies[new] = state.copies[usize::from(*old)];
    }
    renamed.ceremonies.iter_mut().for_each(|ceremony| ceremony.copies = rename(ceremony.copies, order));
    renamed.sessions.iter_mut().for_each(|session| session.copies = rename(session.copies, order));
    renamed
}

/// Everything that anything says of one token: nothing relates one token to another, so these rows can be sorted.
type Row = (Token, u64);

fn row(state: &State, token: u8) -> Row {
    let masks = state.copies.iter().flat_map(|copy| copy.ceremonies.iter().flat_map(|d| [d.approvals, d.closings]));
    let masks = masks.chain(state.sessions.iter().flat_map(|session: &Session| [session.approved, session.served]));
    let masks = masks.chain(state.ceremonies.iter().map(|ceremony| ceremony.attendees));
    let bits = masks.fold(0, |bits, mask| bits << 1 | u64::from(has(mask, token)));
    (*state.token(token), bits)
}

fn tokens_in_order(bounds: &Bounds, state: &State) -> State {
    let mut rows: Vec<(Row, u8)> = (0..bounds.n as u8).map(|token| (row(state, token), token)).collect();
    if rows.is_sorted() {
        return *state;
    }
    rows.sort_unstable();
    let order: Vec<u8> = rows.iter().map(|(_, token)| *token).collect();
    let mut renamed = *state;
    for (new, old) in order.iter().enumerate() {
        renamed.tokens[new] = *state.token(*old);
    }
    for directory in renamed.copies.iter_mut().flat_map(|copy| &mut copy.ceremonies) {
        directory.approvals = rename(directory.approvals, &order);
        directory.closings = rename(directory.closings, &order);
    }
    for session in &mut renamed.sessions {
        session.approved = rename(session.approved, &order);
        session.served = rename(session.served, &order);
    }
    renamed.ceremonies.iter_mut().for_each(|ceremony| ceremony.attendees = rename(ceremony.attendees, &order));
    renamed
}

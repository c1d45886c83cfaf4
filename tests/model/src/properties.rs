//! What must hold in every state, and what must be possible at all (a model in which nothing happens proves nothing).

use stateright::Property;

use crate::admission::{Welcome, may_close};
use crate::judge::{Fate, judge};
use crate::protocol::Protocol;
use crate::state::{Mask, State, count, has, members, one};
use crate::way_on::{ended, is_there_a_way};

/// Invariant 1: what is revealed comes out of a generation that k tokens open, after all before it are dead.
pub const REVEAL: &str = "nothing is revealed before the generation before is extinct";
/// Invariant 2.
pub const OPENS: &str = "some generation opens with k tokens";
/// Invariant 2, when as many media are lost as the policy provides for.
pub const OPENS_AFTER_LOSS: &str = "some generation opens with k tokens after media are lost";
/// Invariant 3, as the argument needs it.
pub const DESTROYED: &str = "no closing destroys a key of a higher ceremony";
/// Invariant 5.
pub const ONE_LINE: &str = "ratified generations are one line";
/// What stands in section 2 of the design: old copies stay closed, and branches that were not ratified too.
pub const CLOSED: &str = "what is not after the ratified generation cannot be opened";
/// Invariant 11.
pub const WAY_ON: &str = "the custodians have a way on with all copies";
/// Invariant 11, with the fewest people; only without false exceptions.
pub const ANY_K: &str = "any k custodians have a way on with all copies";
/// Invariants 2 and 11 together.
pub const WAY_ON_AFTER_LOSS: &str = "the custodians have a way on after media are lost";
/// Why extinct is inherited: it makes one of the code's two rules follow from the other.
pub const INHERITED: &str = "who holds a generation holds what follows it";

pub fn properties() -> Vec<Property<Protocol>> {
    vec![
        Property::always(REVEAL, revealed_is_the_last),
        Property::always(OPENS, |model: &Protocol, state: &State| opens(model, state, model.all_copies())),
        Property::always(OPENS_AFTER_LOSS, |model: &Protocol, state: &State| {
            after_loss(model, |copies| opens(model, state, copies))
        }),
        Property::always(DESTROYED, |_, state: &State| !state.destroyed_higher),
        Property::always(ONE_LINE, ratified_are_one_line),
        Property::always(CLOSED, old_stays_closed),
        Property::always(WAY_ON, |model: &Protocol, state: &State| goes_on(model, state, model.all_copies(), Who::All)),
        Property::always(WAY_ON_AFTER_LOSS, |model: &Protocol, state: &State| {
            after_loss(model, |copies| goes_on(model, state, copies, Who::All))
        }),
        Property::always(ANY_K, |model: &Protocol, state: &State| {
            model.bounds.lost || goes_on(model, state, model.all_copies(), Who::AnyK)
        }),
        Property::always(INHERITED, extinct_is_inherited),
        Property::sometimes("an item is revealed", |model: &Protocol, state: &State| {
            state.sessions.iter().any(|session| model.reveals(state, session))
        }),
        Property::sometimes("a fork is not settled", |model: &Protocol, state: &State| model.verdict(state).fork != 0),
        Property::sometimes("a fork is settled", |model: &Protocol, state: &State| {
            let j = model.verdict(state);
            members(j.committed).any(|id| !has(j.line, id) && j.fate(state, id) == Some(Fate::DeadSibling))
        }),
        Property::sometimes("a ceremony goes on over an unratified one", |model: &Protocol, state: &State| {
            let j = model.verdict(state);
            members(j.ratified).any(|id| id != 0 && !has(j.ratified, state.ceremony(id).parent))
        }),
        Property::sometimes("an absentee stands in", |model: &Protocol, state: &State| {
            let j = model.verdict(state);
            members(j.committed).any(|id| j.here(id).closings & !state.ceremony(id).attendees != 0)
        }),
        Property::sometimes("a ceremony is abandoned", |model: &Protocol, state: &State| {
            model.verdict(state).abandoned != 0
        }),
        Property::sometimes("a share key serves again", |_: &Protocol, state: &State| {
            state.begun().any(|id| {
                state
                    .tokens
                    .iter()
                    .any(|t| !matches!(t.approved[usize::from(id)], 0) && t.approved[usize::from(id)] != id)
            })
        }),
        Property::sometimes("a ceremony that was declared lost is committed", |model: &Protocol, state: &State| {
            let committed = model.verdict(state).committed;
            state.begun().any(|id| has(committed, id) && state.ceremony(id).lost & committed != 0)
        }),
        Property::sometimes("a token has closed and is asked again", |model: &Protocol, state: &State| {
            state.sessions.iter().filter(|session| session.closing).any(|session| {
                let j = judge(&model.bounds, state, session.copies);
                (0..model.bounds.n as u8).any(|token| {
                    may_close(&model.bounds, state, &j, token, session.ceremony) == Ok(Welcome::HasClosed)
                        && !has(j.here(session.ceremony).closings, token)
                })
            })
        }),
    ]
}

/// Who comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who {
    All,
    AnyK,
}

impl Protocol {
    /// What all copies prove together.
    pub fn verdict(&self, state: &State) -> crate::judge::Judgement {
        judge(&self.bounds, state, self.all_copies())
    }
}

fn revealed_is_the_last(model: &Protocol, state: &State) -> bool {
    let Protocol { bounds, .. } = model;
    state.sessions.iter().filter(|session| model.reveals(state, session)).all(|session| {
        let id = session.ceremony;
        state.ancestors(id).all(|id| state.openers(id, bounds.n) < bounds.k)
    })
}

fn opens(model: &Protocol, state: &State, copies: Mask) -> bool {
    let j = judge(&model.bounds, state, copies);
    members(j.committed).any(|id| j.here(id).sealed && state.openers(id, model.bounds.n) >= model.bounds.k)
}

/// With every set of copies that is left when fewer are lost than the policy keeps; one that may be restored from an image
/// counts as one that may be lost.
fn after_loss(model: &Protocol, holds: impl Fn(Mask) -> bool) -> bool {
    // With fewer copies than the policy asks for, k custodians said that they know.
    if model.bounds.few_copies {
        return true;
    }
    let all = model.all_copies();
    (1..all)
        .filter(|lost| count(*lost) + usize::from(model.bounds.restored) < model.bounds.policy_copies)
        .all(|lost| holds(all & !lost))
}

fn ratified_are_one_line(model: &Protocol, state: &State) -> bool {
    let ratified = model.verdict(state).ratified;
    members(ratified).all(|one| {
        members(ratified).all(|other| one == other || state.is_before(one, other) || state.is_before(other, one))
    })
}

/// Every generation that was ever staged, on whatever copy somebody kept, but the last ratified one and those after it.
fn old_stays_closed(model: &Protocol, state: &State) -> bool {
    let j = model.verdict(state);
    let last = members(j.ratified).max_by_key(|id| state.generation(*id)).unwrap_or(0);
    let staged = state.begun().filter(|id| *id == 0 || state.ceremony(*id).attendees != 0);
    let old = staged.filter(|id| *id != last && !state.is_before(last, *id));
    old.into_iter().all(|id| state.openers(id, model.bounds.n) < model.bounds.k)
}

/// Whether all custodians together, or any k of them, have a way on with these copies.
fn goes_on(model: &Protocol, state: &State, copies: Mask, who: Who) -> bool {
    let ended = ended(&model.bounds, state, copies);
    // Of many states the same is left when their sessions end.
    let key = (crate::symmetry::representative(&model.bounds, &ended), who);
    if let Some(way) = model.ways.lock().ok().and_then(|ways| ways.get(&key).copied()) {
        return way;
    }
    let everybody = ((1u16 << model.bounds.n) - 1) as Mask;
    let needed = if who == Who::AnyK { model.bounds.k } else { model.bounds.n };
    let mut teams = (1..=everybody).filter(|team| count(*team) == needed);
    let way = teams.all(|team| is_there_a_way(&model.bounds, &ended, team, copies));
    if let Ok(mut ways) = model.ways.lock() {
        ways.insert(key, way);
    }
    way
}

fn extinct_is_inherited(model: &Protocol, state: &State) -> bool {
    let j = model.verdict(state);
    members(j.committed & !one(0)).all(|id| {
        let parent = state.ceremony(id).parent;
        (0..model.bounds.n as u8).all(|token| !j.holds(state, parent, token) || j.holds(state, id, token))
    })
}

//! The model: where it begins, what can happen, and what comes of it.

use std::collections::HashMap;
use std::sync::Mutex;

use stateright::{Model, Property};

use crate::actions::{Action, actions};
use crate::config::Bounds;
use crate::judge::judge;
use crate::properties::{Who, properties};
use crate::sessions::{self, Attendance, Closing, Staging};
use crate::state::{Mask, Session, State, count};
use crate::symmetry::representative;

/// The protocol within bounds.
pub struct Protocol {
    pub bounds: Bounds,
    /// The one property that is looked at; none: all.
    pub only: Option<&'static str>,
    /// Whether there is a way on, by what is left when every session has ended.
    pub ways: Mutex<HashMap<(State, Who), bool>>,
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::founded(self.bounds.n, self.bounds.copies)]
    }

    fn actions(&self, state: &State, all: &mut Vec<Action>) {
        actions(&self.bounds, state, all);
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = *before;
        self.happens(&mut state, action)?;
        let state = representative(&self.bounds, &state);
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = properties();
        properties.retain(|property| self.only.is_none_or(|only| only == property.name));
        properties
    }
}

impl Protocol {
    pub fn new(bounds: Bounds, only: Option<&'static str>) -> Self {
        Self { bounds, only, ways: Mutex::default() }
    }

    fn happens(&self, state: &mut State, action: Action) -> Option<()> {
        let bounds = &self.bounds;
        match action {
            Action::Begin { copies, plan, on } => {
                sessions::merge(bounds, state, copies);
                let ceremony = sessions::begin(state, on, plan)?;
                let goes_on = on == copies;
                goes_on.then(|| start(state, Session { copies, ceremony, ..Session::default() }));
            }
            Action::Resume { copies, ceremony } => {
                let j = sessions::merge(bounds, state, copies);
                let required = sessions::required(bounds, state.ceremony(ceremony)).min(count(copies));
                let complete = j.here(ceremony).sealed || crate::state::has(j.extinct, ceremony);
                if !complete {
                    return None;
                }
                let closing = Session { closing: true, required: required as u8, ..Session::default() };
                start(state, Session { copies, ceremony, ..closing });
            }
            Action::Attend { session, token, to } => {
                if matches!(to, Attendance::Made { dud: true }) && duds(state) >= bounds.duds {
                    return None;
                }
                let mut held = state.sessions[session];
                let reached = sessions::attend(bounds, state, &mut held, token, to);
                let cut = matches!(to, Attendance::Approved { on } if on != held.copies);
                state.sessions[session] = if cut { Session::default() } else { held };
                reached.then_some(())?;
            }
            Action::Commit { session, to } => {
                let mut held = state.sessions[session];
                let goes_on = sessions::commit(bounds, state, &mut held, to);
                let early = bounds.makes(crate::Mistake::CommitCountedTooEarly);
                let cut = !matches!(to, Staging::Committed { on } if on == held.copies || early);
                state.sessions[session] = if goes_on && !cut { held } else { Session::default() };
            }
            Action::Close { session, token, to } => {
                let mut held = state.sessions[session];
                sessions::close(bounds, state, &mut held, token, to).then_some(())?;
                let cut =
                    matches!(to, Closing::Closed { on } if on != held.copies || count(on) < usize::from(held.required));
                state.sessions[session] = if cut { Session::default() } else { held };
            }
            Action::Reveal { session } => {
                sessions::clean(bounds, state, state.sessions[session].copies);
                state.sessions[session] = Session::default();
            }
            Action::Crash { session } => state.sessions[session] = Session::default(),
            Action::Restore { copy } => {
                state.copies[usize::from(copy)] = crate::state::Copy::founded(bounds.n);
                state.restored += 1;
            }
            Action::MediumFails { session, copy } => state.sessions[session].copies &= !crate::state::one(copy),
        }
        Some(())
    }

    /// Whether a session that has proven the new generation would reveal the item.
    pub fn reveals(&self, state: &State, session: &Session) -> bool {
        let proven = session.closing && count(session.served) >= self.bounds.k;
        let ratified = || crate::state::has(judge(&self.bounds, state, session.copies).ratified, session.ceremony);
        proven && (self.bounds.makes(crate::Mistake::RevealsBeforeRatified) || ratified())
    }

    pub fn all_copies(&self) -> Mask {
        ((1u16 << self.bounds.copies) - 1) as Mask
    }
}

fn start(state: &mut State, session: Session) {
    if let Some(free) = state.sessions.iter_mut().find(|session| session.copies == 0) {
        *free = session;
    }
}

fn duds(state: &State) -> usize {
    state.tokens.iter().map(|token| count(token.duds)).sum()
}

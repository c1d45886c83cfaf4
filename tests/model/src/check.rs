//! Checks the model within bounds, and says what was found.

use std::num::NonZeroUsize;

use stateright::{Checker, Expectation, HasDiscoveries, Model};

use crate::config::Bounds;
use crate::protocol::Protocol;

/// A property that does not hold, and how that comes about.
#[derive(Debug)]
pub struct Found {
    /// Its name.
    pub property: &'static str,
    /// What happened, one line for each step.
    pub story: Vec<String>,
}

/// What a check came to.
#[derive(Debug)]
pub struct Report {
    /// Different states, up to the names of custodians, copies and sessions.
    pub states: usize,
    /// The longest way to a state that was visited, in steps.
    pub depth: usize,
    /// Every state that can be reached was visited.
    pub exhausted: bool,
    /// The properties that do not hold.
    pub found: Vec<Found>,
    /// What ought to be possible and never happened.
    pub never: Vec<&'static str>,
}

/// Visits every state within `bounds`, or those that `limit` steps lead to, nearest first; stops when a property is found
/// not to hold. With `only`, no other property is looked at.
pub fn check(bounds: Bounds, limit: Option<NonZeroUsize>, only: Option<&'static str>) -> Report {
    let model = Protocol::new(bounds, only);
    let mut checker = model.checker().finish_when(HasDiscoveries::AnyFailures);
    if let Some(limit) = limit {
        checker = checker.target_state_count(limit.get());
    }
    let checker = checker.spawn_bfs().join();
    let discoveries = checker.discoveries();
    let (mut found, mut never) = (Vec::new(), Vec::new());
    for property in checker.model().properties() {
        let discovery = discoveries.get(property.name);
        match property.expectation {
            Expectation::Sometimes if discovery.is_none() => never.push(property.name),
            Expectation::Always => found.extend(discovery.map(|path| {
                let actions = path.clone().into_actions();
                Found { property: property.name, story: actions.iter().map(|action| format!("{action:?}")).collect() }
            })),
            _ => {}
        }
    }
    let limited = limit.is_some_and(|limit| checker.state_count() >= limit.get());
    Report {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        exhausted: found.is_empty() && !limited,
        found,
        never,
    }
}

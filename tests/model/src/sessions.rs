//! What a session of the program does, step by step. Each function takes how far it comes before it is cut off.

use crate::admission::{Welcome, may_close, may_join};
use crate::config::{Bounds, Mistake};
use crate::judge::{Fate, Judgement, Stage, judge};
use crate::state::{Ceremony, Directory, Id, MAX_CEREMONIES, Mask, Session, State, count, has, members, one};

/// How far an attendance of round 1 comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attendance {
    /// The anchor says that the token is in the ceremony.
    Joined,
    /// The new share key is made, and in the anchor; it may be one that does not work.
    Made { dud: bool },
    /// The approval stands on these copies.
    Approved { on: Mask },
    /// The share of the parent is opened and checked.
    Opened,
}

/// How far stage and commit come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Staging {
    /// Envelopes and items stand on these copies.
    Sealed { on: Mask },
    /// The manifest too.
    Staged { on: Mask },
    /// COMMIT stands on these copies.
    Committed { on: Mask },
}

/// How far an attendance of round 2 comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Closing {
    /// The older keys are destroyed.
    Destroyed,
    /// The anchor says *closed*.
    Anchored,
    /// The closing stands on these copies.
    Closed { on: Mask },
}

/// The copies that are here are merged, before anything else.
pub fn merge(bounds: &Bounds, state: &mut State, copies: Mask) -> Judgement {
    let j = judge(bounds, state, copies);
    let mut union = j.union;
    // What is over is not spread any more.
    let over = state.begun().filter(|id| j.is_over(state, *id)).fold(0, |over, id| over | one(id));
    members(over).for_each(|id| union.ceremonies[usize::from(id)].sealed = false);
    let spreads = bounds.makes(Mistake::SpreadsWhatWasBegun);
    for copy in members(copies) {
        let copy = &mut state.copies[usize::from(copy)];
        for (mine, theirs) in copy.ceremonies.iter_mut().zip(&union.ceremonies) {
            // A ceremony without COMMIT stands where it was begun, and nowhere else.
            if *mine != Directory::default() || theirs.commit || spreads {
                mine.add(theirs);
            }
        }
    }
    j
}

/// Writes something of a ceremony to copies.
fn write(state: &mut State, on: Mask, id: Id, what: impl Fn(&mut Directory)) {
    for copy in members(on) {
        what(&mut state.copies[usize::from(copy)].ceremonies[usize::from(id)]);
    }
}

/// On how many copies a file must stand before the ceremony goes on.
pub fn required(bounds: &Bounds, plan: &Ceremony) -> usize {
    bounds.policy_copies.min(count(plan.copies))
}

/// The ceremonies that a plan made from these copies declares abandoned, and those for which it needs the exception
/// `ceremony-lost`.
pub fn left_behind(bounds: &Bounds, state: &State, j: &Judgement, copies: Mask) -> (Mask, Mask) {
    let (mut abandons, mut lost) = (0, 0);
    let unfinished = |id: &Id| j.fate(state, *id) == Some(Fate::Unfinished) && j.stage(*id) != Stage::Committed;
    for id in members(j.known).filter(unfinished) {
        let seen = members(copies).filter(|copy| state.copies[usize::from(*copy)].ceremonies[usize::from(id)].plan);
        let seen = seen.fold(0, |seen, copy| seen | one(copy));
        let missing = state.ceremony(id).copies & !seen != 0;
        if !missing || bounds.makes(Mistake::AbandonsWhatMayBeCommitted) {
            abandons |= one(id);
        } else if j.here(id).approvals != 0 {
            lost |= one(id);
        }
    }
    (abandons, lost)
}

/// The ceremonies that a plan abandons of which no share is here.
pub fn unused(bounds: &Bounds, j: &Judgement, abandons: Mask) -> Mask {
    let is_unused = |id: &Id| !j.here(*id).sealed && !j.here(*id).manifest;
    let unused = members(abandons).filter(|id| bounds.makes(Mistake::ReusesKeyWithShare) || is_unused(id));
    unused.fold(0, |unused, id| unused | one(id))
}

/// A session begins a ceremony: the plan is made durable. `None`: there is no room for a further one.
pub fn begin(state: &mut State, copies: Mask, plan: Ceremony) -> Option<Id> {
    let id = state.begun().count();
    if id >= MAX_CEREMONIES {
        return None;
    }
    state.ceremonies[id] = plan;
    write(state, copies, id as Id, |directory| directory.plan = true);
    Some(id as Id)
}

/// Round 1 for one token. False if it comes no further than it was.
pub fn attend(bounds: &Bounds, state: &mut State, session: &mut Session, index: u8, to: Attendance) -> bool {
    let (id, copies) = (session.ceremony, session.copies);
    let j = judge(bounds, state, copies);
    if may_join(bounds, state, &j, index, id).is_err() {
        return false;
    }
    let plan = *state.ceremony(id);
    join(state, index, id);
    if to == Attendance::Joined {
        return true;
    }
    let dud = matches!(to, Attendance::Made { dud: true });
    make_key(bounds, state, index, id, dud);
    if matches!(to, Attendance::Made { .. }) {
        return true;
    }
    let on = if let Attendance::Approved { on } = to { on } else { copies };
    let token = state.token_mut(index);
    token.approved[usize::from(id)] = token.made;
    write(state, on, id, |directory| directory.approvals |= one(index));
    session.approved |= one(index);
    if to != Attendance::Opened {
        return true;
    }
    if !j.here(plan.parent).sealed || !state.can_open(plan.parent, index) {
        return false;
    }
    session.served |= one(index);
    true
}

/// The anchor says that the token is in the ceremony. A key that was made in one that is now abandoned, and to which no
/// share was written, serves again.
fn join(state: &mut State, index: u8, id: Id) {
    let plan = *state.ceremony(id);
    let token = state.token_mut(index);
    if token.ceremony == id {
        return;
    }
    let left = token.ceremony;
    token.made = if left != 0 && has(plan.unused, left) { token.made } else { 0 };
    (token.ceremony, token.number) = (id, plan.number);
}

fn make_key(bounds: &Bounds, state: &mut State, index: u8, id: Id, dud: bool) {
    let parents = state.share_key(state.ceremony(id).parent, index);
    let token = state.token_mut(index);
    if token.made != 0 {
        return;
    }
    token.made = id;
    if bounds.makes(Mistake::OverwritesInRound1) {
        token.keys &= one(parents);
    }
    token.keys |= one(id);
    if dud {
        token.duds |= one(id);
    }
}

/// Stage and commit, with k shares. True if round 2 may begin.
pub fn commit(bounds: &Bounds, state: &mut State, session: &mut Session, to: Staging) -> bool {
    let (id, copies) = (session.ceremony, session.copies);
    state.ceremonies[usize::from(id)].attendees = session.approved;
    let sealed = if let Staging::Sealed { on } = to { on } else { copies };
    write(state, sealed, id, |directory| directory.sealed = true);
    let manifest = match to {
        Staging::Sealed { .. } => 0,
        Staging::Staged { on } => on,
        Staging::Committed { .. } => copies,
    };
    write(state, manifest, id, |directory| directory.manifest = true);
    let Staging::Committed { on } = to else { return false };
    write(state, on, id, |directory| directory.commit = true);
    let required = required(bounds, state.ceremony(id));
    let needed = if bounds.makes(Mistake::CommitCountedTooEarly) { 1 } else { required };
    if count(on) < needed {
        return false;
    }
    *session = Session { closing: true, approved: 0, served: 0, required: needed as u8, ..*session };
    true
}

/// Round 2 for one token. False if it comes no further than it was.
pub fn close(bounds: &Bounds, state: &mut State, session: &mut Session, index: u8, to: Closing) -> bool {
    let (id, copies) = (session.ceremony, session.copies);
    let j = judge(bounds, state, copies);
    let Ok(welcome) = may_close(bounds, state, &j, index, id) else { return false };
    let opens = j.here(id).sealed && state.can_open(id, index);
    if !opens && !bounds.makes(Mistake::ClosesBeforeProving) {
        return false;
    }
    if has(j.here(id).closings, index) {
        session.served |= if opens { one(index) } else { 0 };
        return opens && matches!(to, Closing::Closed { on } if on == copies);
    }
    debug_assert!(welcome != Welcome::HasClosed || state.token(index).closed == id);
    state.destroyed_higher |= destroys_higher(state, index, id);
    let kept = one(state.share_key(id, index));
    let token = state.token_mut(index);
    (token.keys, token.duds) = (token.keys & kept, token.duds & kept);
    if to == Closing::Destroyed {
        return true;
    }
    (token.closed, token.ceremony, token.made) = (id, 0, 0);
    let Closing::Closed { on } = to else { return true };
    write(state, on, id, |directory| directory.closings |= one(index));
    session.served |= if opens { one(index) } else { 0 };
    true
}

/// Whether closing `id` destroys a key that a share of a ceremony with a higher number is sealed to.
fn destroys_higher(state: &State, index: u8, id: Id) -> bool {
    let kept = state.share_key(id, index);
    let (number, keys) = (state.ceremony(id).number, state.token(index).keys);
    state.begun().any(|other| {
        let ceremony = state.ceremony(other);
        let key = state.share_key(other, index);
        ceremony.number > number && has(ceremony.attendees, index) && key != kept && has(keys, key)
    })
}

/// Removes from the copies what may go.
pub fn clean(bounds: &Bounds, state: &mut State, copies: Mask) {
    let j = judge(bounds, state, copies);
    for id in state.begun().filter(|id| j.may_go(state, *id)).collect::<Vec<_>>() {
        write(state, copies, id, |directory| directory.sealed = false);
    }
}

/// What `resume` may finish: the current generation, if it is not ratified; in a fork one of its branches.
pub fn resumable(bounds: &Bounds, state: &State, j: &Judgement) -> Mask {
    match j.current() {
        Some(0) => 0,
        Some(current) => one(current),
        None => j.tips(bounds, state),
    }
}

/// What `recover` and `rotate` may consume: the current generation; in a fork the last of one of its branches, over which
/// they go with the exception `unratified`.
pub fn consumable(bounds: &Bounds, state: &State, j: &Judgement) -> Mask {
    match j.current() {
        Some(current) => one(current),
        None if bounds.makes(Mistake::StopsAtAFork) => 0,
        None => j.tips(bounds, state),
    }
}

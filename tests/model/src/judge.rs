//! The verdict over copies, as `src/transcript/judge` reaches it.

use crate::config::{Bounds, Mistake};
use crate::state::{Copy, Directory, Id, MAX_CEREMONIES, Mask, State, count, has, members, one};

/// How far an unfinished ceremony came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Gathering,
    Staged,
    Committed,
}

/// What became of a ceremony.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Committed,
    Abandoned,
    DeadSibling,
    Unfinished,
}

/// What the copies prove together.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// Everything that stands on any of them.
    pub union: Copy,
    /// Ceremonies whose plan is here.
    pub known: Mask,
    pub committed: Mask,
    pub extinct: Mask,
    pub ratified: Mask,
    pub line: Mask,
    /// The last of the line.
    pub head: Id,
    /// The committed children at which the line ends, if there are several.
    pub fork: Mask,
    pub abandoned: Mask,
    pub highest_number: u8,
}

pub fn judge(bounds: &Bounds, state: &State, copies: Mask) -> Judgement {
    let mut union = Copy::default();
    for copy in members(copies) {
        let copy = &state.copies[usize::from(copy)];
        for (all, one) in union.ceremonies.iter_mut().zip(&copy.ceremonies) {
            all.add(one);
        }
    }
    let begun = || state.begun();
    let here = |id: Id| &union.ceremonies[usize::from(id)];
    let known = begun().filter(|id| here(*id).plan).fold(0, |known, id| known | one(id));
    let committed = begun().fold(0, |committed, id| {
        let parent = id == 0 || has(committed, state.ceremony(id).parent);
        if parent && is_committed(state, id, here(id)) { committed | one(id) } else { committed }
    });
    let mut judgement = Judgement {
        known,
        committed,
        extinct: 0,
        ratified: 0,
        line: 0,
        head: 0,
        fork: 0,
        abandoned: abandoned(bounds, state, &union, known),
        highest_number: 0,
        union,
    };
    for id in begun() {
        if judgement.holders(bounds, state, id) < bounds.k {
            judgement.extinct |= one(id);
        }
    }
    for id in members(committed) {
        if judgement.is_ratified(bounds, state, id) {
            judgement.ratified |= one(id);
        }
    }
    judgement.walk(bounds, state);
    let numbers = members(known | judgement.abandoned).map(|id| state.ceremony(id).number);
    judgement.highest_number = numbers.max().unwrap_or(0);
    judgement
}

fn is_committed(state: &State, id: Id, here: &Directory) -> bool {
    let attendees = state.ceremony(id).attendees;
    here.commit && here.manifest && here.approvals & attendees == attendees
}

/// Those that a plan names which k custodians approved. Records of it only report.
fn abandoned(bounds: &Bounds, state: &State, union: &Copy, known: Mask) -> Mask {
    let approved = members(known).filter(|id| count(union.ceremonies[usize::from(*id)].approvals) >= bounds.k);
    approved.fold(0, |all, id| all | state.ceremony(id).abandons)
}

impl Judgement {
    pub fn here(&self, id: Id) -> &Directory {
        &self.union.ceremonies[usize::from(id)]
    }

    /// Custodians who hold a share key of this generation, as far as valid closings say.
    fn holders(&self, bounds: &Bounds, state: &State, id: Id) -> usize {
        (0..bounds.n as u8).filter(|token| self.holds(state, id, *token)).count()
    }

    /// A closing lists every key of earlier generations of its line, except the one that it keeps.
    pub fn holds(&self, state: &State, id: Id, token: u8) -> bool {
        !members(self.committed).any(|later| self.gave_up(state, id, later, token))
    }

    /// Whether the token's closing of `later` says that its share key of `id` is destroyed.
    fn gave_up(&self, state: &State, id: Id, later: Id, token: u8) -> bool {
        has(self.here(later).closings, token)
            && state.is_before(id, later)
            && state.share_key(later, token) != state.share_key(id, token)
    }

    /// Whether fewer than k hold the generation `before`, by closings in the line of `id` alone: what was closed on another
    /// branch says nothing against that branch.
    fn is_extinct_for(&self, bounds: &Bounds, state: &State, before: Id, id: Id) -> bool {
        if bounds.makes(Mistake::CountsClosingsOfOtherBranches) {
            return has(self.extinct, before);
        }
        let in_line = |later: Id| later == id || state.is_before(later, id) || state.is_before(id, later);
        let gone = |token: u8| {
            members(self.committed)
                .filter(|later| in_line(*later))
                .any(|later| self.gave_up(state, before, later, token))
        };
        (0..bounds.n as u8).filter(|token| !gone(*token)).count() < bounds.k
    }

    fn is_ratified(&self, bounds: &Bounds, state: &State, id: Id) -> bool {
        if id == 0 {
            return true;
        }
        let closed = count(self.here(id).closings) >= bounds.k;
        let mut before = state.ancestors(id);
        closed
            && if bounds.makes(Mistake::RatifiedWithoutExtinction) {
                true
            } else if bounds.makes(Mistake::RatifiedWithParentExtinct) {
                self.is_extinct_for(bounds, state, state.ceremony(id).parent, id)
            } else {
                before.all(|ancestor| self.is_extinct_for(bounds, state, ancestor, id))
            }
    }

    fn leads_to_a_ratified_one(&self, state: &State, id: Id) -> bool {
        members(self.ratified).any(|ratified| ratified == id || state.is_before(id, ratified))
    }

    fn walk(&mut self, bounds: &Bounds, state: &State) {
        self.line = one(0);
        loop {
            let children: Mask = self.children(state, self.head);
            let settled: Vec<Id> =
                members(children).filter(|child| self.leads_to_a_ratified_one(state, *child)).collect();
            let next = match (count(children), settled.as_slice()) {
                (0, _) => return,
                (1, _) => members(children).next(),
                _ if bounds.makes(Mistake::BranchByNumber) => {
                    members(children).max_by_key(|child| state.ceremony(*child).number)
                }
                (_, [settled]) => Some(*settled),
                _ => None,
            };
            let Some(next) = next else {
                self.fork = children;
                return;
            };
            self.line |= one(next);
            self.head = next;
        }
    }

    fn children(&self, state: &State, parent: Id) -> Mask {
        let children = members(self.committed).filter(|id| *id != 0 && state.ceremony(*id).parent == parent);
        children.fold(0, |children, id| children | one(id))
    }

    /// The last committed generations of all branches of the fork.
    pub fn tips(&self, bounds: &Bounds, state: &State) -> Mask {
        if bounds.makes(Mistake::FinishesOnlyTheFirstOfABranch) {
            return self.fork;
        }
        let in_fork = |id: Id| members(self.fork).any(|child| child == id || state.is_before(child, id));
        let tips = members(self.committed).filter(|id| in_fork(*id) && self.children(state, *id) == 0);
        tips.fold(0, |tips, id| tips | one(id))
    }

    /// The current generation; none in an unsettled fork.
    pub fn current(&self) -> Option<Id> {
        (self.fork == 0).then_some(self.head)
    }

    fn is_dead(&self, state: &State, id: Id) -> bool {
        let generation = state.generation(id);
        members(self.line & self.ratified).any(|other| other != id && state.generation(other) >= generation)
    }

    /// What became of a ceremony, if anything is known of it.
    pub fn fate(&self, state: &State, id: Id) -> Option<Fate> {
        if !has(self.known, id) {
            return has(self.abandoned, id).then_some(Fate::Abandoned);
        }
        Some(if has(self.line, id) {
            Fate::Committed
        } else if self.is_dead(state, id) {
            Fate::DeadSibling
        } else if has(self.committed, id) {
            Fate::Committed
        } else if has(self.abandoned, id) {
            Fate::Abandoned
        } else {
            Fate::Unfinished
        })
    }

    pub fn stage(&self, id: Id) -> Stage {
        let here = self.here(id);
        match (here.manifest, has(self.committed, id)) {
            (false, _) => Stage::Gathering,
            (true, false) => Stage::Staged,
            (true, true) => Stage::Committed,
        }
    }

    /// Whether the secrets of a ceremony are of no use to anyone any more.
    pub fn is_over(&self, state: &State, id: Id) -> bool {
        match self.fate(state, id) {
            Some(Fate::DeadSibling) => true,
            Some(Fate::Committed) => has(self.committed & self.extinct, id),
            Some(Fate::Abandoned | Fate::Unfinished) | None => false,
        }
    }

    /// Whether its sealed files may be removed.
    pub fn may_go(&self, state: &State, id: Id) -> bool {
        let followed = !has(self.line, id)
            || members(self.line & self.ratified).any(|child| child != 0 && state.ceremony(child).parent == id);
        self.is_over(state, id) && followed
    }
}

const _: () = assert!(MAX_CEREMONIES <= Mask::BITS as usize);

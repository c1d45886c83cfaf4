//! Whether a token may take part, by what its anchor says and what the copies know. Pure.
//!
//! A token is in one ceremony at a time and moves only to a higher number; it leaves a ceremony only if that is known to
//! be settled (abandoned, committed in this line, or its parent extinct), or if k approvals declare it lost.

use crate::encoding::{Digest, Time};
use crate::token::anchor::{Anchor, CeremonyMark};
use crate::transcript::judge::NUMBER_WINDOW;
use crate::transcript::{ExceptionKind, Fate, Judgement, Plan};

/// The token may take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Welcome {
    /// It joins, or stands in.
    Joins,
    /// It is in this ceremony already (an attendance that was cut short).
    InThisCeremony,
    /// It has closed this generation already; it can open its share once more.
    HasClosed,
}

/// The token may not take part as things stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hindrance {
    /// The token has no readable anchor of this vault.
    NoAnchor,
    /// The token closed a generation that this copy does not have: the copy is old.
    Ahead {
        /// What the token closed.
        closed: u64,
    },
    /// The token closed another generation of this number than the one that this copy has.
    OtherLine {
        /// The number.
        closed: u64,
    },
    /// The token is in a ceremony that is not settled on these copies.
    Elsewhere {
        /// The ceremony.
        ceremony: Digest,
        /// Its number.
        number: u64,
        /// When it began, by that machine's clock.
        started: Time,
    },
    /// The token has been in a ceremony of this number or a higher one: begin again above it.
    Number {
        /// The highest number it has been in.
        shown: u64,
    },
    /// The token claims a number that no ceremony of this vault can have had.
    ImpossibleNumber {
        /// What it claims.
        shown: u64,
    },
    /// The token was in a ceremony of a higher number and cannot go back to this one.
    CannotGoBack {
        /// The highest number it has been in.
        shown: u64,
    },
}

/// Round 1: may a token join the ceremony of `plan`?
///
/// # Errors
/// The [`Hindrance`].
pub fn may_join(
    anchor: Option<&Anchor>,
    custodian: &str,
    plan: &Plan,
    id: &Digest,
    judgement: &Judgement,
) -> Result<Welcome, Hindrance> {
    let Some(anchor) = anchor else {
        let excused = plan.parent.is_none() || plan.excepts(ExceptionKind::AnchorMissing, custodian);
        return if excused { Ok(Welcome::Joins) } else { Err(Hindrance::NoAnchor) };
    };
    check_line(anchor, plan, judgement)?;
    if anchor.number > judgement.highest_number.saturating_add(NUMBER_WINDOW) {
        return Err(Hindrance::ImpossibleNumber { shown: anchor.number });
    }
    if let Some(ceremony) = &anchor.ceremony {
        if ceremony.id == *id {
            return Ok(Welcome::InThisCeremony);
        }
        if !may_leave(ceremony, plan, judgement) {
            let (ceremony, number, started) = (ceremony.id, ceremony.number, ceremony.started);
            return Err(Hindrance::Elsewhere { ceremony, number, started });
        }
    }
    if anchor.number >= plan.number {
        return Err(Hindrance::Number { shown: anchor.number });
    }
    Ok(Welcome::Joins)
}

/// Round 2: may a token prove and close the generation that the ceremony of `plan` committed?
///
/// # Errors
/// The [`Hindrance`].
pub fn may_close(
    anchor: Option<&Anchor>,
    custodian: &str,
    plan: &Plan,
    id: &Digest,
    manifest: &Digest,
    judgement: &Judgement,
) -> Result<Welcome, Hindrance> {
    let Some(anchor) = anchor else {
        let excused = plan.excepts(ExceptionKind::AnchorMissing, custodian);
        return if excused { Ok(Welcome::Joins) } else { Err(Hindrance::NoAnchor) };
    };
    if anchor.closed != plan.generation {
        check_line(anchor, plan, judgement)?;
    } else if anchor.manifest != Some(*manifest) {
        return Err(Hindrance::OtherLine { closed: anchor.closed });
    } else if anchor.number <= plan.number || has_closing(custodian, plan, manifest, judgement) {
        return Ok(Welcome::HasClosed);
    }
    // It closed this generation, joined a later ceremony, and these copies lack its closing: to close once more would
    // destroy the share key that it made there.
    match &anchor.ceremony {
        Some(ceremony) if ceremony.id == *id => Ok(Welcome::InThisCeremony),
        Some(ceremony) if !is_settled(ceremony, judgement) => {
            let (ceremony, number, started) = (ceremony.id, ceremony.number, ceremony.started);
            Err(Hindrance::Elsewhere { ceremony, number, started })
        }
        _ if anchor.number > plan.number => Err(Hindrance::CannotGoBack { shown: anchor.number }),
        _ => Ok(Welcome::Joins),
    }
}

/// What the token closed must be a generation before the one of `plan`. In a fork that is not in the line as far as it
/// goes, but on the branch of the plan.
fn check_line(anchor: &Anchor, plan: &Plan, judgement: &Judgement) -> Result<(), Hindrance> {
    let closed = anchor.closed;
    if closed >= plan.generation {
        return Err(Hindrance::Ahead { closed });
    }
    match anchor.manifest {
        Some(manifest) if closed > 0 && !is_before(judgement, plan, closed, &manifest) => {
            Err(Hindrance::OtherLine { closed })
        }
        _ => Ok(()),
    }
}

fn is_before(judgement: &Judgement, plan: &Plan, number: u64, manifest: &Digest) -> bool {
    let Some(parent) = plan.parent.and_then(|parent| judgement.generation(&parent)) else { return false };
    let mut before = judgement.line_to(parent).into_iter();
    before.any(|state| state.committed && state.generation == number && state.digest == *manifest)
}

/// Whether this custodian's closing of the generation is here.
fn has_closing(custodian: &str, plan: &Plan, manifest: &Digest, judgement: &Judgement) -> bool {
    let entry = plan.roster.iter().find(|entry| entry.name.as_str() == custodian);
    let state = judgement.generation(manifest);
    entry.zip(state).is_some_and(|(entry, state)| state.closings.contains_key(&entry.index))
}

fn may_leave(ceremony: &CeremonyMark, plan: &Plan, judgement: &Judgement) -> bool {
    is_settled(ceremony, judgement)
        || plan.abandons.iter().any(|abandoned| abandoned.ceremony == ceremony.id)
        || plan.excepts(ExceptionKind::CeremonyLost, &ceremony.id.to_string())
}

/// A ceremony that these copies never saw is settled too if what it consumes is extinct: someone began it on an old copy,
/// and nobody can finish it.
fn is_settled(ceremony: &CeremonyMark, judgement: &Judgement) -> bool {
    match judgement.knows_ceremony(&ceremony.id) {
        Some(Fate::Committed | Fate::Abandoned | Fate::DeadSibling) => true,
        Some(Fate::Unfinished) => false,
        None => {
            let consumed = ceremony.consumes.and_then(|parent| judgement.generation(&parent));
            consumed.is_some_and(|parent| parent.committed && parent.extinct)
        }
    }
}

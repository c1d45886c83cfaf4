//! The plan of a ceremony: what k custodians will approve, made from what the copies prove. And what people read of it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::encoding::{Digest, Document, Nonce16, Time};
use crate::transcript::document::MAX_TEXT;
use crate::transcript::{
    Abandoned, Admission, CeremonyKind, Exception, ExceptionKind, GenerationState, Grant, Judgement, Plan, Stage,
    Which, serves_alone, serves_generation_alone,
};
use crate::vault::Copies;

use super::setting::clock_is_behind;
use super::{CeremonyError, Setting, left_behind};
use crate::room::Way;

/// What a ceremony that consumes a generation is about.
pub(super) struct Purpose {
    pub(super) kind: CeremonyKind,
    pub(super) grant: Option<Grant>,
    pub(super) admits: Vec<Admission>,
}

/// What earlier attempts of the same run have shown.
#[derive(Default)]
pub(super) struct Sofar {
    /// The number must be above this.
    pub(super) above: u64,
    /// Exceptions that people decided on.
    pub(super) exceptions: Vec<Exception>,
}

/// The plan of a ceremony that consumes `parent`.
///
/// # Errors
/// [`CeremonyError::CopiesMissing`] when people do not want to go on without copies that an earlier ceremony was begun on;
/// [`CeremonyError::FilesLost`] and [`CeremonyError::ItemLost`] where no copy has what the next generation should carry.
pub(super) fn following(
    setting: &mut Setting<'_>,
    parent: &GenerationState,
    purpose: &Purpose,
    sofar: &mut Sofar,
) -> Result<Plan, CeremonyError> {
    let abandons = abandoned(setting, sofar)?;
    left_behind::decide(setting, parent, purpose, sofar)?;
    let copies = copies(setting, Some(parent), sofar)?;
    let exceptions = exceptions(setting, sofar);
    let follows = &parent.manifest.plan;
    Ok(Plan {
        format: Plan::FORMAT.to_owned(),
        vault: setting.judgement.vault,
        practice: setting.judgement.practice,
        kind: purpose.kind,
        number: setting.judgement.highest_number.max(sofar.above) + 1,
        generation: parent.generation + 1,
        parent: Some(parent.digest),
        started: Time::now(),
        random: Nonce16::random()?,
        copies,
        k: follows.k,
        policy: follows.policy,
        roster: follows.roster.clone(),
        grant: purpose.grant.clone(),
        admits: purpose.admits.clone(),
        abandons,
        exceptions,
    })
}

/// The ids of the copies that can be written, sorted; fewer than the policy asks for need an exception.
pub(super) fn copies(
    setting: &mut Setting<'_>,
    parent: Option<&GenerationState>,
    sofar: &mut Sofar,
) -> Result<Vec<Nonce16>, CeremonyError> {
    let (copies, whole) = writable_ids(setting, parent)?;
    let wanted = usize::from(setting.policy.copies);
    let have = whole;
    let happened = match have {
        // One it must stand on in any case, damaged as it is.
        0 => "1 copy, which would not do alone".to_owned(),
        1 => "1 copy".to_owned(),
        have => format!("{have} copies"),
    };
    // What people decided for another number does not hold for this one.
    sofar.exceptions.retain(|e| e.kind != ExceptionKind::Copies || have < wanted && e.happened == happened);
    if have < wanted && !sofar.exceptions.iter().any(|e| e.kind == ExceptionKind::Copies) {
        let good = if have < copies.len() { "can be written here and would do alone" } else { "can be written here" };
        let question =
            format!("The policy wants {wanted} copies of the vault on separate media, and {have} {good}. What now?");
        if have < copies.len() || setting.judgement.copies.iter().any(|copy| copy.id.is_none()) {
            let paths = setting.copies.paths();
            let command = crate::report::copies::sync_command(paths.iter().map(PathBuf::as_path));
            setting.room.warn(&format!("A damaged copy does not count. To mend it, stop here and run: {command}"));
        }
        if copies.is_empty() {
            // Nothing could be written anywhere: no exception helps.
            return Err(CeremonyError::TooFewCopies { wanted, have });
        }
        let stop = Way { word: "stop", meaning: "stop, and come back with more media (each as a further VAULT)" };
        let go = Way { word: "go", meaning: "go on with fewer; this is an exception that the custodians approve" };
        if setting.room.choose(&question, &[stop, go])? == 0 {
            return Err(CeremonyError::TooFewCopies { wanted, have });
        }
        sofar.exceptions.push(exception(ExceptionKind::Copies, format!("{wanted} copies"), happened, String::new()));
    }
    Ok(copies)
}

/// The ids of the copies here that are written to, sorted, and how many of them would do if all others were lost. A damaged
/// copy is written to and named as well: what may get a COMMIT is named. It does not count, for it is no backup.
fn writable_ids(
    setting: &Setting<'_>,
    parent: Option<&GenerationState>,
) -> Result<(Vec<Nonce16>, usize), CeremonyError> {
    let snapshot = setting.copies.snapshot()?;
    let (mut ids, mut whole) = (BTreeSet::new(), BTreeSet::new());
    for (path, id) in setting.copies.written_to() {
        ids.insert(id);
        let path = path.display().to_string();
        let serves = |view| match parent {
            Some(parent) => serves_generation_alone(&snapshot, view, parent),
            None => serves_alone(&snapshot, view, &setting.judgement),
        };
        if snapshot.copies.iter().position(|view| view.path == path).is_some_and(serves) {
            whole.insert(id);
        }
    }
    Ok((ids.into_iter().collect(), whole.len()))
}

/// Places in [`Judgement::copies`] of the copies that are written to.
pub(super) fn writable(copies: &Copies, judgement: &Judgement) -> Vec<usize> {
    let paths: Vec<String> = copies.written_to().iter().map(|(path, _)| path.display().to_string()).collect();
    (0..judgement.copies.len()).filter(|place| paths.contains(&judgement.copies[*place].path)).collect()
}

/// The ids of the copies here on which this ceremony was begun, and which show that it has no COMMIT. Of several copies with
/// one id none may hide one.
fn copies_with(judgement: &Judgement, ceremony: &Digest) -> Vec<Nonce16> {
    let with = |id: Nonce16| (0..judgement.copies.len()).filter(move |place| judgement.copies[*place].id == Some(id));
    let begun = |place: usize| judgement.directory_of(place, ceremony).is_some();
    let shows =
        |id: &Nonce16| with(*id).any(begun) && !with(*id).any(|place| judgement.may_hide_a_commit(place, ceremony));
    judgement.copies.iter().filter_map(|copy| copy.id).filter(shows).collect()
}

/// An exception that the people in the room decided on; it holds only because the approvals name it.
pub(super) fn exception(kind: ExceptionKind, expected: String, happened: String, subject: String) -> Exception {
    Exception { kind, expected, happened, subject, decided_by: "the custodians who approve this plan".to_owned() }
}

pub(super) fn exceptions(setting: &Setting<'_>, sofar: &Sofar) -> Vec<Exception> {
    let mut exceptions = sofar.exceptions.clone();
    let clock = clock_is_behind(&setting.judgement, Time::now());
    exceptions.extend(clock.map(|last| {
        let happened = format!("the clock says {}", Time::now());
        exception(ExceptionKind::Clock, format!("a time after {last}"), happened, String::new())
    }));
    if setting.policy_is_lost {
        let expected = "the policy that was approved".to_owned();
        let happened = "no copy here has it, and the strictest rules hold".to_owned();
        exceptions.push(exception(ExceptionKind::Preflight, expected, happened, String::new()));
    }
    exceptions.extend(setting.weaknesses.iter().map(|weakness| {
        // A machine may have any number of interfaces; a plan takes texts of a limited length only.
        let happened = weakness.chars().take(MAX_TEXT).collect();
        exception(ExceptionKind::Preflight, "an isolated machine".to_owned(), happened, String::new())
    }));
    exceptions
}

/// The uncommitted ceremonies that this plan declares abandoned: all copies that they were begun on are here, and none has
/// a COMMIT. Where copies are missing, people decide whether they are lost.
pub(super) fn abandoned(setting: &mut Setting<'_>, sofar: &mut Sofar) -> Result<Vec<Abandoned>, CeremonyError> {
    let unfinished: Vec<_> = setting
        .judgement
        .unfinished
        .iter()
        .filter(|ceremony| ceremony.stage != Stage::Committed)
        .map(|ceremony| {
            let seen = copies_with(&setting.judgement, &ceremony.id);
            let sign = setting.judgement.sign_of_a_commit(&ceremony.id);
            (ceremony.id, ceremony.plan.clone(), seen, ceremony.approvals.is_empty() && sign.is_none())
        })
        .collect();
    let mut abandons = Vec::new();
    for (id, plan, seen, ceremony_is_unsigned) in unfinished {
        let missing = plan.copies.iter().filter(|copy| !seen.contains(copy)).count();
        let subject = id.to_string();
        if missing == 0 {
            abandons.push(Abandoned { ceremony: id, number: plan.number, copies: plan.copies.clone() });
        } else if ceremony_is_unsigned {
            // Nobody approved it here. If a token is in it, that token says so.
        } else if !sofar.exceptions.iter().any(|e| e.kind == ExceptionKind::CeremonyLost && e.subject == subject) {
            let error = CeremonyError::CopiesMissing { ceremony: id, number: plan.number, missing };
            let mut places = 0..setting.judgement.copies.len();
            if let Some(sign) = setting.judgement.sign_of_a_commit(&id) {
                setting.room.warn(&format!("Ceremony number {} may have been committed: {sign}.", plan.number));
            } else {
                setting.room.warn(&format!("{error}. It may have been committed there."));
                if places.any(|place| setting.judgement.may_hide_a_commit(place, &id)) {
                    setting.room.warn(
                        "A copy on which what would say so is damaged counts as missing. `claviger copy sync` mends it from one that has it right.",
                    );
                }
            }
            if !declare_lost(setting.room, "that ceremony")? {
                return Err(error);
            }
            sofar.exceptions.push(lost(subject, plan.number));
        }
    }
    abandons.sort_by_key(|abandoned| (abandoned.number, abandoned.ceremony));
    Ok(abandons)
}

/// Asks whether every copy of a ceremony is lost.
pub(super) fn declare_lost(room: &mut dyn crate::room::Room, what: &str) -> Result<bool, CeremonyError> {
    let question = format!("The copy that {what} was written to can be brought, or it is lost. What now?");
    let stop = Way { word: "stop", meaning: "stop here, and come back with that copy as a further VAULT" };
    let lost = Way {
        word: "lost",
        meaning: "no copy of it can be had, ever: go on without it; an exception that k custodians approve",
    };
    Ok(room.choose(&question, &[stop, lost])? == 1)
}

/// The exception "no copy of that ceremony can be had".
pub(super) fn lost(subject: String, number: u64) -> Exception {
    let expected = format!("a copy of ceremony number {number}");
    exception(ExceptionKind::CeremonyLost, expected, "no copy of it can be had".to_owned(), subject)
}

/// What is read aloud before the ceremony begins: all that will be done, in order.
pub fn read_aloud(plan: &Plan) -> Vec<String> {
    let mut lines = vec![
        format!("Vault:       {}", plan.vault.words()),
        format!("Ceremony:    {}, number {}, begun {}", plan.kind, plan.number, plan.started),
        format!("Makes:       generation {}, {} of {} custodians", plan.generation, plan.k, plan.roster.len()),
    ];
    if plan.parent.is_none() {
        // The custodians' keys are read aloud once: whoever swapped an enrolment file is heard now.
        lines.extend(plan.roster.iter().map(|entry| {
            format!("Custodian:   {}, signing key {}", entry.name, Digest::of(&entry.signing_key.to_bytes()).words())
        }));
    }
    if let Some(grant) = &plan.grant {
        let which = match grant.credential {
            Which::Installed => "",
            Which::Next => " (the next credential, said to be installed)",
        };
        lines.push(format!("Reveals:     {}{which}, to {}", grant.item, grant.requester));
        lines.push(format!("Incident:    {}", grant.incident));
        lines.push(format!("Reason:      {}", grant.reason));
        lines.push(format!("Until:       {}", grant.until));
    }
    for admission in &plan.admits {
        let how = if admission.replaces.is_some() { "replaces the item" } else { "a new item" };
        let digest = admission.digest.short();
        lines.push(format!(
            "Admits:      {} ({}), {how}, from inbox/{} ({digest})",
            admission.name, admission.kind, admission.file
        ));
    }
    for abandoned in &plan.abandons {
        lines.push(format!(
            "Abandons:    ceremony {}, number {}, never committed",
            abandoned.ceremony.short(),
            abandoned.number
        ));
    }
    for exception in &plan.exceptions {
        let subject: String = exception.subject.chars().take(8).collect();
        let subject = if exception.subject.len() == 64 { subject } else { exception.subject.clone() };
        let whom = if subject.is_empty() { String::new() } else { format!(" ({subject})") };
        lines.push(format!(
            "Exception:   {}{whom}: expected {}; {}",
            exception.kind, exception.expected, exception.happened
        ));
    }
    lines.push(format!("This plan:   {}", plan.digest().words()));
    if plan.practice {
        lines.insert(0, "A DRILL: software tokens, nothing here protects anything.".to_owned());
    }
    lines
}

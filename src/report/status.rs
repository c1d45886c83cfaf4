//! What `claviger status` says: where the vault stands, what to run, and what will go wrong before it does.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::copies;
use super::page::{Page, count, names};
use super::verify::{stands, unavailable_json};
use crate::encoding::{Digest, Name, PublicKey, Time};
use crate::transcript::{
    GenerationFile, GenerationState, Judgement, Plan, RecordBody, RosterEntry, Severity, Signer, Stage, Unfinished,
    Which,
};
use crate::vault::{Medium, Unavailable};

const DAY: i64 = 86_400;

/// What the status is made from, besides the verdict.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// What people call the vault, by its policy.
    pub name: Option<&'a str>,
    /// The time it is.
    pub now: Time,
    /// A custodian's key that is unproven for more days is overdue.
    pub check_days: u32,
    /// A generation that is older, in days, is overdue.
    pub rotate_days: u32,
    /// On how many copies a commit must stand.
    pub copies: usize,
    /// Copies that could not be read.
    pub unavailable: &'a [Unavailable],
    /// Paths of copies that are of another vault.
    pub foreign: &'a [PathBuf],
    /// What the copies are on.
    pub media: &'a [Medium],
}

/// One custodian's key.
#[derive(Debug, Clone)]
pub struct Custodian<'a> {
    /// The entry in the roster.
    pub entry: &'a RosterEntry,
    /// Holds a share key of the current generation.
    pub holds: bool,
    /// When the key last worked: a check, an approval that made it, or a closing with it.
    pub proven: Option<Time>,
    /// That is too long ago, or never.
    pub overdue: bool,
}

/// A credential that somebody has seen.
#[derive(Debug, Clone)]
pub struct Exposed<'a> {
    /// The item.
    pub item: &'a Name,
    /// Which of its credentials.
    pub credential: Which,
    /// When it was shown.
    pub time: Time,
    /// For which incident.
    pub incident: &'a str,
    /// To whom.
    pub requester: &'a str,
}

/// The custodians of a generation, with what is known of their keys.
pub fn custodians<'a>(judgement: &'a Judgement, current: &'a GenerationState, terms: &Terms<'_>) -> Vec<Custodian<'a>> {
    let roster = current.manifest.plan.roster.iter();
    let state = |entry: &'a RosterEntry| {
        let key = current.manifest.share_key(entry.index).map(|key| key.public);
        let proven = key.and_then(|key| last_proven(judgement, entry.index, key));
        let due = terms.now.plus(-DAY * i64::from(terms.check_days));
        let holds = current.holders.contains(&entry.index);
        Custodian { entry, holds, proven, overdue: proven.is_none_or(|proven| proven < due) }
    };
    roster.map(state).collect()
}

/// When this share key last worked.
fn last_proven(judgement: &Judgement, index: u8, key: PublicKey) -> Option<Time> {
    let of_line = judgement.line().flat_map(|generation| {
        let approval = generation.approvals.get(&index).map(|approval| approval.body());
        let closing = generation.closings.get(&index).map(|closing| closing.body());
        let made = approval.filter(|approval| approval.share_key.public == key).map(|approval| approval.time);
        let closed = closing.filter(|closing| closing.share_key == key).map(|closing| closing.time);
        made.into_iter().chain(closed)
    });
    let checked = judgement.records.iter().filter_map(|record| match &record.body().body {
        RecordBody::Check(check) if check.share_key == key && record.body().by == Signer::Custodian(index) => {
            Some(record.body().time)
        }
        _ => None,
    });
    of_line.chain(checked).max()
}

/// Items whose credential was shown and that nothing has replaced since.
pub fn exposed<'a>(judgement: &'a Judgement, current: &GenerationState) -> Vec<Exposed<'a>> {
    let shown = judgement.records.iter().filter_map(|record| match &record.body().body {
        RecordBody::Revealed(body) => Some((record.body(), body)),
        _ => None,
    });
    let unreplaced = shown.filter(|(record, body)| {
        current.manifest.item(&body.item).is_some_and(|item| item.admitted <= record.generation)
    });
    unreplaced
        .map(|(record, body)| Exposed {
            item: &body.item,
            credential: body.credential,
            time: record.time,
            incident: &body.incident,
            requester: &body.requester,
        })
        .collect()
}

/// How many more keys may be lost, in words.
fn margin(custodians: &[Custodian<'_>], k: usize, check_days: u32) -> Vec<String> {
    let held = custodians.iter().filter(|custodian| custodian.holds).count();
    let fresh = custodians.iter().filter(|custodian| custodian.holds && !custodian.overdue).count();
    let say = |number: usize, whose: &str| match number.checked_sub(k) {
        None => format!("ONLY {number} {whose}: {k} CANNOT BE MET"),
        Some(0) => format!("{number} {whose}: LOSE ONE MORE AND {k} CANNOT BE MET"),
        Some(spare) => format!("{number} {whose}, {k} are needed: {spare} may be lost"),
    };
    let mut lines = vec![say(held, "of the custodians hold a key")];
    if fresh < held {
        lines.push(say(fresh, &format!("have proven theirs in the last {check_days} days")));
    }
    lines
}

/// What an unfinished ceremony waits for.
fn what_to_run(judgement: &Judgement, ceremony: &Unfinished) -> String {
    let plan = &ceremony.plan;
    let whole = judgement.current().map(is_whole_here).unwrap_or(true);
    if let Some(sign) = judgement.sign_of_a_commit(&ceremony.id) {
        let bring = "Bring the vault's other copies, and run `claviger copy sync` with all of them";
        return format!("it may have been committed: {sign}. {bring}");
    }
    match ceremony.stage {
        Stage::Committed => what_finishes(judgement, ceremony),
        _ if (0..judgement.copies.len()).any(|place| judgement.may_hide_a_commit(place, &ceremony.id)) => {
            "it may have been committed: what would say so is damaged. Bring a copy that has it right, and run `claviger copy sync`".to_owned()
        }
        Stage::Gathering | Stage::Staged if !whole => {
            "no COMMIT of it is here: bring the vault's other copies first, and run `claviger copy sync` with all of them".to_owned()
        }
        Stage::Gathering | Stage::Staged => format!(
            "nothing is committed, and nothing is lost: run `claviger {}` again, with {} it was begun on at hand",
            plan.kind,
            if plan.copies.len() == 1 { "the copy" } else { "all the copies" },
        ),
    }
}

/// How a committed ceremony is finished. In a fork that is not settled, the tokens let one branch be finished at most.
fn what_finishes(judgement: &Judgement, ceremony: &Unfinished) -> String {
    let Plan { generation, k, .. } = ceremony.plan;
    let who = if generation == 1 { "every founder".to_owned() } else { format!("any {k} custodians") };
    match judgement.tips().first().map(|tip| (tip.ceremony, tip.manifest.plan.number)) {
        Some((highest, _)) if highest == ceremony.id => format!(
            "generation {generation} is committed, on the branch of this fork that can be finished (it has the highest number): run `claviger resume` with {who}"
        ),
        Some((_, highest)) => format!(
            "generation {generation} is committed, on a branch of this fork that cannot be finished: the cards have gone on to ceremony {highest}. Run `claviger resume` for that one"
        ),
        None => format!(
            "generation {generation} is committed: run `claviger resume` with {who}; nothing else can start before"
        ),
    }
}

/// Whether a copy here has all of it.
fn is_whole_here(generation: &GenerationState) -> bool {
    !generation.complete_on.is_empty()
}

/// The verdict in one line, and what of the current generation is not here.
fn write_headline(page: &mut Page, judgement: &Judgement) {
    let wrong = judgement.findings.iter().filter(|finding| finding.severity == Severity::Wrong).count();
    let hidden = judgement.unfinished.iter().filter(|ceremony| judgement.sign_of_a_commit(&ceremony.id).is_some());
    let hidden: Vec<String> = hidden.map(|ceremony| ceremony.plan.generation.to_string()).collect();
    let hidden = match hidden.as_slice() {
        [] => String::new(),
        generations => format!(", and generation {} may have been committed", names(generations)),
    };
    let stands = stands(judgement) + &hidden;
    match wrong {
        0 => page.line(&format!("SOUND: {stands}; every file is as it was signed.")),
        wrong => {
            page.line(&format!("WRONG: {} found; {stands}.", count(wrong, "fault", "faults")));
            page.line("Run `claviger verify`: it lists them, and says where.");
        }
    }
    let Some(current) = judgement.current().ok().filter(|current| !is_whole_here(current)) else { return };
    let bring = "Bring the vault's other copies, and run `claviger copy sync` with all of them.";
    let (generation, k) = (current.generation, current.manifest.plan.k);
    let shares = current.shares_here.iter().filter(|index| current.holders.contains(index)).count();
    if shares < usize::from(k) {
        let here = count(shares, "of its shares is here", "of its shares are here");
        page.line(&format!(
            "NOT HERE: generation {generation} cannot be opened from these copies: {here}, and {k} are needed. {bring}"
        ));
    } else {
        page.line(&format!("NOT WHOLE: no copy here has all of generation {generation}. {bring}"));
        if !current.lost.is_empty() {
            page.line(&format!(
                "No copy here has {} as it was sealed. If no other copy has it, `claviger rotate`, or `claviger recover` of another item, goes on without it: an exception that {k} custodians approve.",
                names(&current.lost)
            ));
        }
    }
}

fn rotation_overdue(current: &GenerationState, terms: &Terms<'_>) -> bool {
    current.manifest.plan.started.plus(DAY * i64::from(terms.rotate_days)) < terms.now
}

/// For people.
pub fn text(judgement: &Judgement, terms: &Terms<'_>) -> String {
    let mut page = Page::default();
    if judgement.practice {
        page.line("PRACTICE VAULT: software tokens, for drills only. No real credential belongs in it.");
    }
    write_headline(&mut page, judgement);
    page.gap();
    if let Some(name) = terms.name {
        page.field("vault", name);
    }
    page.words(if terms.name.is_some() { "" } else { "vault" }, &judgement.vault);
    for ceremony in &judgement.unfinished {
        write_unfinished(&mut page, judgement, ceremony);
    }
    let Ok(current) = judgement.current() else {
        write_copies(&mut page, judgement, None, terms);
        return page.finish();
    };
    page.gap();
    let state = if current.ratified { "ratified" } else { "committed, NOT ratified" };
    let started = current.manifest.plan.started;
    page.field("generation", &format!("{}, {state}, of {started}", current.generation));
    page.words("", &current.digest);
    if let Some(head) = judgement.ratified_head().filter(|head| head.digest != current.digest) {
        page.field("", &format!("the last ratified one is generation {}", head.generation));
    }
    if rotation_overdue(current, terms) {
        page.field("", &format!("ROTATION IS OVERDUE (older than {} days): `claviger rotate`", terms.rotate_days));
    }
    write_custodians(&mut page, &custodians(judgement, current, terms), current, terms);
    write_items(&mut page, judgement, current);
    write_copies(&mut page, judgement, Some(current), terms);
    page.finish()
}

fn write_unfinished(page: &mut Page, judgement: &Judgement, ceremony: &Unfinished) {
    let plan = &ceremony.plan;
    let approved = plan.roster.iter().filter(|entry| ceremony.approvals.contains_key(&entry.index));
    let approved = names(approved.map(|entry| &entry.name));
    page.gap();
    page.field("UNFINISHED", &format!("ceremony {} ({}), begun {}", plan.number, plan.kind, plan.started));
    page.words("", &ceremony.id);
    page.field("", &format!("approved by {approved}"));
    page.field("", &format!("-> {}", what_to_run(judgement, ceremony)));
}

fn write_custodians(page: &mut Page, custodians: &[Custodian<'_>], current: &GenerationState, terms: &Terms<'_>) {
    page.gap();
    let longest = custodians.iter().map(|custodian| custodian.entry.name.as_str().len()).max().unwrap_or(0);
    for (place, custodian) in custodians.iter().enumerate() {
        let proven = match custodian.proven {
            None => "never proven".to_owned(),
            Some(time) => format!("proven {}", day(time)),
        };
        let overdue = if custodian.overdue { ", CHECK OVERDUE" } else { "" };
        let holds = if custodian.holds { "" } else { ", HOLDS NO KEY" };
        let group = custodian.entry.group.as_ref().map(|group| format!(" ({group})")).unwrap_or_default();
        let name = custodian.entry.name.as_str();
        let text = format!("{:02} {name:longest$}{group}: {proven}{overdue}{holds}", custodian.entry.index);
        page.field(if place == 0 { "custodians" } else { "" }, &text);
    }
    if custodians.iter().any(|custodian| custodian.overdue) {
        page.field("", "-> prove the overdue keys with `claviger check`");
    }
    let lines = if is_whole_here(current) {
        margin(custodians, usize::from(current.manifest.plan.k), terms.check_days)
    } else {
        vec![format!("not known: no copy here has all of generation {}", current.generation)]
    };
    for (place, line) in lines.iter().enumerate() {
        page.field(if place == 0 { "margin" } else { "" }, line);
    }
}

fn write_items(page: &mut Page, judgement: &Judgement, current: &GenerationState) {
    page.gap();
    if current.manifest.items.is_empty() {
        page.field("items", "none yet: `claviger seal`, then `claviger rotate`");
    }
    for (place, item) in current.manifest.items.iter().enumerate() {
        let label = if place == 0 { "items" } else { "" };
        let file = GenerationFile::Item(item.name.as_str()).path();
        let lost = if current.lost.contains(&file) { ", ON NO COPY HERE" } else { "" };
        page.field(label, &format!("{} ({}), since generation {}{lost}", item.name, item.kind, item.admitted));
    }
    for exposed in exposed(judgement, current) {
        let which = which(exposed.credential);
        let Exposed { item, incident, requester, time, .. } = exposed;
        let text = format!("{item}: its {which} credential was shown {} for {incident} to {requester}", day(time));
        page.field("EXPOSED", &text);
        page.below("-> change it on its target, if that is not done");
    }
}

fn which(credential: Which) -> &'static str {
    match credential {
        Which::Installed => "installed",
        Which::Next => "next",
    }
}

fn write_copies(page: &mut Page, judgement: &Judgement, current: Option<&GenerationState>, terms: &Terms<'_>) {
    page.gap();
    for (place, copy) in judgement.copies.iter().enumerate() {
        page.field("copy", &copy.path);
        let mut troubles = copies::troubles(judgement, place);
        let medium = terms.media.iter().find(|medium| medium.path.display().to_string() == copy.path);
        troubles.extend(medium.map(copies::medium_troubles).unwrap_or_default());
        if troubles.is_empty() {
            page.below("up to date");
        }
        troubles.iter().for_each(|trouble| page.below(trouble));
    }
    copies::write_unavailable(page, terms.unavailable);
    for path in terms.foreign {
        page.field("copy", &path.display().to_string());
        page.below("OF ANOTHER VAULT: nothing of it was used");
    }
    copies::write_way_on(page, judgement);
    let ids: BTreeSet<_> = judgement
        .copies
        .iter()
        .enumerate()
        .filter(|(place, _)| current.is_none_or(|current| current.complete_on.contains(place)))
        .filter_map(|(_, copy)| copy.id)
        .collect();
    if ids.len() < terms.copies {
        let whole = count(ids.len(), "copy is", "copies are");
        let wanted = terms.copies;
        // From nothing that is whole no whole copy is made.
        let make = if ids.is_empty() { "" } else { ", or make one: `claviger copy add`" };
        page.field("", &format!("-> {whole} complete; the policy wants {wanted}: bring the others{make}"));
    }
}

fn day(time: Time) -> String {
    time.to_string().chars().take(10).collect()
}

/// Whether no copy that is here has all of the current generation.
pub fn is_nowhere_whole(judgement: &Judgement) -> bool {
    judgement.current().is_ok_and(|current| !is_whole_here(current))
}

/// Whether something is overdue, so that a script can see it.
pub fn is_overdue(judgement: &Judgement, terms: &Terms<'_>) -> bool {
    judgement.current().is_ok_and(|current| {
        let checks = custodians(judgement, current, terms).iter().any(|custodian| custodian.overdue);
        checks || rotation_overdue(current, terms)
    })
}

/// For programs.
pub fn json(judgement: &Judgement, terms: &Terms<'_>) -> Value {
    let current = judgement.current().ok();
    let people = current.map(|current| custodians(judgement, current, terms)).unwrap_or_default();
    let k = current.map(|current| usize::from(current.manifest.plan.k));
    let held = people.iter().filter(|custodian| custodian.holds).count();
    json!({
        "vault": judgement.vault,
        "words": judgement.vault.words(),
        "name": terms.name,
        "practice": judgement.practice,
        "sound": judgement.is_sound(),
        "now": terms.now,
        "current": current.map(generation_json),
        "ratified": judgement.ratified_head().map(generation_json),
        "custodians": people.iter().map(custodian_json).collect::<Vec<_>>(),
        "threshold": k,
        "spare": k.filter(|_| current.is_some_and(is_whole_here)).and_then(|k| held.checked_sub(k)),
        "rotation_overdue": current.is_some_and(|current| rotation_overdue(current, terms)),
        "unfinished": judgement.unfinished.iter().map(|ceremony| unfinished_json(judgement, ceremony)).collect::<Vec<_>>(),
        "exposed": current.map(|current| exposed(judgement, current)).unwrap_or_default().iter()
            .map(|exposed| json!({
                "item": exposed.item,
                "credential": exposed.credential,
                "time": exposed.time,
                "incident": exposed.incident,
                "requester": exposed.requester,
            }))
            .collect::<Vec<_>>(),
        "copies": judgement.copies.iter().enumerate().map(|(place, copy)| json!({
            "path": copy.path,
            "id": copy.id,
            "missing": copy.missing,
            "wrong": copy.wrong,
            "complete": current.is_some_and(|current| current.complete_on.contains(&place)),
        })).collect::<Vec<_>>(),
        "unavailable": unavailable_json(terms.unavailable),
    })
}

fn generation_json(generation: &GenerationState) -> Value {
    json!({
        "generation": generation.generation,
        "manifest": generation.digest,
        "words": generation.digest.words(),
        "ratified": generation.ratified,
        "started": generation.manifest.plan.started,
        "items": generation.manifest.items,
    })
}

fn custodian_json(custodian: &Custodian<'_>) -> Value {
    json!({
        "index": custodian.entry.index,
        "name": custodian.entry.name,
        "group": custodian.entry.group,
        "holds": custodian.holds,
        "proven": custodian.proven,
        "overdue": custodian.overdue,
    })
}

fn unfinished_json(judgement: &Judgement, ceremony: &Unfinished) -> Value {
    let id: Digest = ceremony.id;
    json!({
        "ceremony": id,
        "words": id.words(),
        "number": ceremony.number,
        "kind": ceremony.plan.kind,
        "stage": match ceremony.stage {
            Stage::Gathering => "gathering",
            Stage::Staged => "staged",
            Stage::Committed => "committed",
        },
        "approved": ceremony.approvals.keys().collect::<Vec<_>>(),
        "copies": ceremony.plan.copies,
        "next": what_to_run(judgement, ceremony),
    })
}

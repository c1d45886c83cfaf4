//! What `claviger verify` says: what is committed, ratified, extinct, and what is wrong and where.

use serde_json::{Value, json};

use super::copies;
use super::page::{Page, count, names};
use crate::transcript::{Finding, GenerationState, Judgement, Severity};
use crate::vault::Unavailable;

/// For people.
pub fn text(judgement: &Judgement, unavailable: &[Unavailable]) -> String {
    let mut page = Page::default();
    if judgement.practice {
        page.line("PRACTICE VAULT: software tokens, for drills only. No real credential belongs in it.");
    }
    page.line(&headline(judgement));
    page.gap();
    page.words("vault", &judgement.vault);
    for generation in &judgement.generations {
        page.gap();
        page.field("generation", &generation_line(judgement, generation));
        page.words("", &generation.digest);
        let roster = &generation.manifest.plan.roster;
        let closed = roster.iter().filter(|entry| generation.closings.contains_key(&entry.index));
        let approved = roster.iter().filter(|entry| generation.approvals.contains_key(&entry.index));
        page.field("", &format!("approved by {}", names(approved.map(|entry| &entry.name))));
        page.field("", &format!("closed by {}", names(closed.map(|entry| &entry.name))));
        let holders = roster.iter().filter(|entry| generation.holders.contains(&entry.index));
        page.field("", &format!("keys still held by {}", names(holders.map(|entry| &entry.name))));
    }
    page.gap();
    for (place, copy) in judgement.copies.iter().enumerate() {
        page.field("copy", &copy.path);
        let troubles = copies::troubles(judgement, place);
        if troubles.is_empty() {
            page.below("has everything");
        }
        troubles.iter().for_each(|trouble| page.below(trouble));
    }
    copies::write_unavailable(&mut page, unavailable);
    copies::write_way_on(&mut page, judgement);
    for finding in &judgement.findings {
        page.gap();
        write_finding(&mut page, finding);
    }
    page.finish()
}

/// The verdict in one line.
fn headline(judgement: &Judgement) -> String {
    let wrong = judgement.findings.iter().filter(|finding| finding.severity == Severity::Wrong).count();
    let stands = stands(judgement);
    match wrong {
        0 => format!("SOUND: {stands}; every file is as it was signed."),
        wrong => format!("WRONG: {} found, listed below; {stands}.", count(wrong, "fault", "faults")),
    }
}

/// Where the vault stands, as a clause.
pub(super) fn stands(judgement: &Judgement) -> String {
    match judgement.current() {
        Ok(current) if current.ratified => format!("generation {} is ratified", current.generation),
        Ok(current) => format!("generation {} is committed and NOT ratified", current.generation),
        Err(error) => error.to_string(),
    }
}

fn generation_line(judgement: &Judgement, generation: &GenerationState) -> String {
    let plan = &generation.manifest.plan;
    let line = judgement.current().is_ok_and(|current| current.digest == generation.digest);
    let mut states = vec![state(generation)];
    if generation.extinct {
        states.push("extinct");
    }
    if line {
        states.push("current");
    }
    if generation.committed && !generation.in_line {
        states.push("not in the line");
    }
    let kind = plan.kind;
    format!("{}: {} ({kind}, ceremony {}, {})", generation.generation, states.join(", "), plan.number, plan.started)
}

fn state(generation: &GenerationState) -> &'static str {
    if generation.ratified {
        "ratified"
    } else if generation.committed {
        "committed"
    } else if generation.commit && generation.defect.is_none() {
        "waiting for all founders to close it"
    } else if generation.commit {
        "NOT VALID"
    } else {
        "not committed"
    }
}

fn write_finding(page: &mut Page, finding: &Finding) {
    let label = match finding.severity {
        Severity::Wrong => "WRONG",
        Severity::Note => "note",
    };
    let place = match (&finding.copy, finding.file.is_empty()) {
        (Some(copy), false) => format!("{copy}: {}", finding.file),
        (Some(copy), true) => copy.clone(),
        (None, false) => format!("all copies: {}", finding.file),
        (None, true) => "all copies".to_owned(),
    };
    page.field(label, &place);
    page.below(&finding.what);
    if !finding.hint.is_empty() {
        page.below(&format!("-> {}", finding.hint));
    }
}

/// For programs.
pub fn json(judgement: &Judgement, unavailable: &[Unavailable]) -> Value {
    let generations: Vec<Value> = judgement.generations.iter().map(generation_json).collect();
    let copies: Vec<Value> = judgement
        .copies
        .iter()
        .map(|copy| json!({"path": copy.path, "id": copy.id, "missing": copy.missing, "wrong": copy.wrong}))
        .collect();
    let findings: Vec<Value> = judgement
        .findings
        .iter()
        .map(|finding| {
            let severity = if finding.severity == Severity::Wrong { "wrong" } else { "note" };
            let Finding { copy, file, what, hint, .. } = finding;
            json!({"severity": severity, "copy": copy, "file": file, "what": what, "hint": hint})
        })
        .collect();
    let current = judgement.current().ok();
    json!({
        "vault": judgement.vault,
        "words": judgement.vault.words(),
        "practice": judgement.practice,
        "sound": judgement.is_sound(),
        "current": current.map(|generation| generation.digest),
        "ratified": judgement.ratified_head().map(|generation| generation.digest),
        "fork": judgement.fork.as_ref().map(|fork| json!({
            "parent": fork.parent,
            "children": fork.children,
            "settled": fork.settled,
        })),
        "generations": generations,
        "copies": copies,
        "unavailable": unavailable_json(unavailable),
        "findings": findings,
    })
}

pub(super) fn unavailable_json(unavailable: &[Unavailable]) -> Vec<Value> {
    unavailable.iter().map(|copy| json!({"path": copy.path.display().to_string(), "why": copy.why})).collect()
}

fn generation_json(generation: &GenerationState) -> Value {
    json!({
        "generation": generation.generation,
        "manifest": generation.digest,
        "words": generation.digest.words(),
        "directory": generation.directory,
        "ceremony": generation.ceremony,
        "number": generation.manifest.plan.number,
        "kind": generation.manifest.plan.kind,
        "started": generation.manifest.plan.started,
        "committed": generation.committed,
        "ratified": generation.ratified,
        "extinct": generation.extinct,
        "in_line": generation.in_line,
        "defect": generation.defect,
        "approved": generation.approvals.keys().collect::<Vec<_>>(),
        "closed": generation.closings.keys().collect::<Vec<_>>(),
        "holders": generation.holders,
        "items": generation.manifest.items.iter().map(|item| &item.name).collect::<Vec<_>>(),
        "complete_on": generation.complete_on,
    })
}

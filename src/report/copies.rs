//! What is said of a vault's copies: what is wrong with each, and what to run.

use std::path::Path;

use super::page::{Page, count};
use crate::error::Advice;
use crate::transcript::{Finding, Judgement, Severity};
use crate::vault::mark::Unmarked;
use crate::vault::{Medium, Synced, SyncedCopy, Unavailable};

/// How many files are named one by one.
const NAMED: usize = 8;

/// The command that brings these copies up to date, as it is typed.
pub fn sync_command<'a>(paths: impl IntoIterator<Item = &'a Path>) -> String {
    let paths: Vec<String> = paths.into_iter().map(|path| quoted(&path.display().to_string())).collect();
    format!("claviger copy sync {}", paths.join(" "))
}

/// As a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:=@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// What is wrong with one copy, a line for each; empty: nothing.
pub(super) fn troubles(judgement: &Judgement, place: usize) -> Vec<String> {
    let copy = &judgement.copies[place];
    let mut lines = Vec::new();
    let same = judgement.copies[..place].iter().find(|other| copy.id.is_some() && other.id == copy.id);
    match (same, copy.id) {
        (Some(other), _) => {
            let path = &other.path;
            lines.push(format!("HAS THE SAME MARK AS {path}: one was copied by hand, and both count as one"));
        }
        (None, None) => lines.push("HAS NO GOOD MARK: it does not count, and nothing is written to it".to_owned()),
        (None, Some(_)) if copy.wrong => lines.push("DAMAGED: something on it is wrong".to_owned()),
        (None, Some(_)) => {}
    }
    let Ok(current) = judgement.current() else {
        if copy.missing > 0 {
            lines.push(format!("BEHIND: it lacks {} that others have", count(copy.missing, "file", "files")));
        }
        return lines;
    };
    let lacks = count(copy.missing, "file", "files");
    let last = judgement.line().rev().find(|generation| generation.complete_on.contains(&place));
    match last.map_or(0, |last| last.generation) {
        last if last < current.generation && copy.missing > 0 => lines.push(format!(
            "NOT A BACKUP: it ends at generation {last}, the vault is at {}; it lacks {lacks}",
            current.generation
        )),
        last if last < current.generation => {
            lines.push("NOT A BACKUP: it does not have the current generation whole".to_owned());
        }
        _ if copy.missing > 0 => lines.push(format!("BEHIND: it lacks {lacks} that others have")),
        _ => {}
    }
    lines
}

/// What is wrong with the medium of a copy.
pub(super) fn medium_troubles(medium: &Medium) -> Vec<String> {
    let mut lines = Vec::new();
    if !medium.writable {
        lines.push("CANNOT BE WRITTEN: remount it for writing, or open its write protection".to_owned());
    }
    if medium.full {
        let free = medium.free.unwrap_or_default() >> 10;
        lines.push(format!("FULL: {free} KiB are free, too few for one more generation: make room on it"));
    }
    if medium.volatile {
        lines.push("GONE WHEN THE MACHINE IS SWITCHED OFF: it is in memory".to_owned());
    }
    lines
}

/// The copies that could not be read, and what to do about them.
pub(super) fn write_unavailable(page: &mut Page, unavailable: &[Unavailable]) {
    for copy in unavailable {
        page.field("copy", &copy.path.display().to_string());
        page.below(&format!("NOT READ: {}", copy.why));
        page.below("-> bring it or mount it, and run `claviger copy sync`; if it is gone for good, `claviger copy add` makes another");
    }
}

/// What to run for the copies that are here, if anything is wrong with one.
pub(super) fn write_way_on(page: &mut Page, judgement: &Judgement) {
    let troubled = (0..judgement.copies.len()).any(|place| !troubles(judgement, place).is_empty());
    if troubled && judgement.copies.len() > 1 {
        page.field("", &format!("-> {}", sync_command(judgement.copies.iter().map(|copy| Path::new(&copy.path)))));
    } else if troubled {
        page.field("", "-> give the vault's other copies too: `claviger copy sync` mends this one from them");
    }
}

/// What `claviger copy sync` and `claviger copy add` did.
pub fn synced(synced: &Synced, unavailable: &[Unavailable], foreign: &[std::path::PathBuf]) -> String {
    let mut page = Page::default();
    let all = synced.copies.len() + unavailable.len() + foreign.len();
    let good = synced.copies.iter().filter(|copy| copy.is_up_to_date()).count();
    let unchanged = synced.copies.iter().all(SyncedCopy::is_unchanged);
    let signed = if differing(synced).next().is_none() {
        "every file as it was signed."
    } else {
        "every file that is signed as it was signed. Their inboxes differ, see below."
    };
    let everywhere = || {
        let findings = synced.judgement.findings.iter();
        findings.filter(|finding| finding.copy.is_none() && finding.severity == Severity::Wrong)
    };
    page.line(&match (good == all, unchanged) {
        (true, _) if everywhere().next().is_some() => format!(
            "WRONG on every copy: {}, listed below. In all else {} up to date with each other.",
            count(everywhere().count(), "fault", "faults"),
            is(all)
        ),
        (true, true) => format!("Nothing to do: {} up to date, {signed}", is(all)),
        (true, false) => format!("Done: {} up to date, {signed}", is(all)),
        (false, _) => format!("{good} of {} up to date; what the others need is said below.", is(all)),
    });
    page.gap();
    for copy in &synced.copies {
        page.field("copy", &copy.path.display().to_string());
        write_done(&mut page, copy);
        write_left(&mut page, copy);
    }
    write_unavailable(&mut page, unavailable);
    for path in foreign {
        page.field("copy", &path.display().to_string());
        page.below("OF ANOTHER VAULT: nothing of it was used, and nothing was changed there");
    }
    for finding in everywhere() {
        page.field("WRONG", &finding.file);
        page.below(&finding.what);
        page.below(&format!("-> {}", finding.hint));
    }
    for finding in differing(synced) {
        page.field("inbox", finding.copy.as_deref().unwrap_or_default());
        page.below(&finding.what);
        page.below(&format!("-> {}", finding.hint));
    }
    page.finish()
}

/// Proposals of which two with one name differ.
fn differing(synced: &Synced) -> impl Iterator<Item = &Finding> {
    let findings = synced.judgement.findings.iter();
    findings.filter(|finding| finding.severity == Severity::Note && finding.file == "inbox")
}

fn is(copies: usize) -> String {
    count(copies, "copy is", "copies are")
}

fn write_done(page: &mut Page, copy: &SyncedCopy) {
    match &copy.marked {
        Some(Unmarked::Missing) if copy.falls_short => page.below("got its mark, and does not count yet: see below"),
        Some(Unmarked::Missing) => page.below("got its mark: it counts as a copy from now on"),
        Some(Unmarked::Damaged) => page.below(
            "got a new mark, for the one it had was damaged. A ceremony that was begun on it and never committed can be ended by an exception only",
        ),
        Some(Unmarked::Unsure) => page.below(
            "got a mark of its own: it had one already, which another directory may have as well. A ceremony that was begun on it and never committed can be ended by an exception only",
        ),
        Some(Unmarked::Cloned { of }) => page.below(&format!(
            "got a mark of its own: it had the same mark as {}, for one of the two was copied by hand",
            of.display()
        )),
        Some(Unmarked::Unreadable { .. }) | None => {}
    }
    write_files(page, "got", "that it lacked", copy.added.iter());
    for repair in copy.repaired.iter().take(NAMED) {
        page.below(&format!("repaired {}, with the bytes of {}", repair.file, repair.from.display()));
    }
    if copy.repaired.len() > NAMED {
        page.below(&format!("repaired {} more files", copy.repaired.len() - NAMED));
    }
    write_files(page, "removed", "that nobody needs", copy.removed.iter());
}

fn write_files<'a>(page: &mut Page, done: &str, why: &str, files: impl ExactSizeIterator<Item = &'a String>) {
    let number = files.len();
    if number > NAMED {
        page.below(&format!("{done} {number} files {why}"));
    } else {
        files.for_each(|file| page.below(&format!("{done} {file}, {why}")));
    }
}

fn write_left(page: &mut Page, copy: &SyncedCopy) {
    if copy.is_up_to_date() {
        page.below("up to date");
        return;
    }
    for failure in &copy.failures {
        page.below(&format!("NOT UP TO DATE: {failure}"));
        if let Some(hint) = failure.hint() {
            page.below(&format!("-> {hint}; then run the command again"));
        }
    }
    if copy.missing > 0 {
        page.below(&format!("lacks {} that others have", count(copy.missing, "file", "files")));
    }
    if copy.falls_short {
        page.below("NOT A BACKUP: what it has would not do alone, and no copy here has right what it lacks");
        page.below("-> bring more of the vault's copies, and run `claviger copy sync` with all of them");
    }
    for finding in copy.left.iter().take(NAMED) {
        page.below(&format!("WRONG: {}: {}", finding.file, finding.what));
    }
    if copy.left.len() > NAMED {
        page.below(&format!("and {} more: `claviger verify` lists them", copy.left.len() - NAMED));
    }
    if copy.failures.is_empty() && !copy.left.is_empty() {
        page.below("-> nothing here says what is right, so this was left as it is: bring more of the vault's copies; remove what is no file of a vault");
    }
}

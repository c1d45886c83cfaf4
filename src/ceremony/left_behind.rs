//! What the next generation should carry and no copy here has. People bring another copy, or go on without it: an exception
//! that k custodians approve. It is decided before a token is touched; after round 1 it could only stop the ceremony.

use crate::room::Way;
use crate::transcript::{ExceptionKind, GenerationFile, GenerationState, INBOX_IDENTITY, Judgement, Manifest};

use super::plan::{Purpose, Sofar, exception};
use super::{CeremonyError, Setting};

/// Adds to `sofar` the exceptions for all that is lost of `parent`.
///
/// # Errors
/// [`CeremonyError::ItemLost`] if it is what the grant asks for; [`CeremonyError::FilesLost`] if people want to stop.
pub(super) fn decide(
    setting: &mut Setting<'_>,
    parent: &GenerationState,
    purpose: &Purpose,
    sofar: &mut Sofar,
) -> Result<(), CeremonyError> {
    let generation = parent.generation;
    let parent = setting.judgement.generation(&parent.digest).unwrap_or(parent);
    let lost: Vec<Lost> = parent.lost.iter().filter_map(|path| Lost::of(path, parent, purpose)).collect();
    let elsewhere: Vec<Option<u64>> = lost.iter().map(|lost| earlier(&setting.judgement, parent, &lost.path)).collect();
    let (shares, k) = (parent.shares_here.len(), usize::from(parent.manifest.plan.k));
    let is_lost = |subject: &str| lost.iter().any(|lost| lost.subject == subject);
    sofar.exceptions.retain(|decided| decided.kind != ExceptionKind::ItemLost || is_lost(&decided.subject));
    let is_decided = |subject: &str| {
        sofar.exceptions.iter().any(|decided| decided.kind == ExceptionKind::ItemLost && decided.subject == subject)
    };
    let news: Vec<(&Lost, &Option<u64>)> =
        lost.iter().zip(&elsewhere).filter(|(lost, _)| !is_decided(&lost.subject)).collect();
    for (lost, elsewhere) in &news {
        setting.room.warn(&lost.warning());
        if let Some(earlier) = elsewhere {
            setting.room.warn(&format!(
                "Generation {earlier} still has it and can still be opened, until this ceremony is over: docs/way-out.md says how (`--generation`)."
            ));
        }
    }
    if !news.is_empty() && shares < k {
        setting.room.warn(&format!(
            "Of the shares of generation {generation}, {shares} are here, and {k} are needed to open it. On other copies a later one may be current: bring them first."
        ));
    }
    if let Some(item) = purpose.grant.as_ref().map(|grant| grant.item.as_str()).filter(|item| is_lost(item)) {
        return Err(CeremonyError::ItemLost { item: item.to_owned(), generation });
    }
    // Also where a proposal takes its place: nobody knows before round 1 whether that opens.
    if !news.is_empty() && !goes_on(setting)? {
        let files = news.iter().map(|(lost, _)| lost.path.clone()).collect();
        return Err(CeremonyError::FilesLost { generation, files });
    }
    let decided: Vec<_> = news.iter().map(|(lost, _)| lost.exception()).collect();
    sofar.exceptions.extend(decided);
    Ok(())
}

fn goes_on(setting: &mut Setting<'_>) -> Result<bool, CeremonyError> {
    let stop = Way {
        word: "stop",
        meaning: "stop here, with nothing changed, and come back with the vault's other copies (each as a further VAULT)",
    };
    let without = Way {
        word: "without",
        meaning: "no copy has it: go on without it, for ever; an exception that k custodians approve",
    };
    let question = "Another copy may have what is missing. What now?";
    Ok(setting.room.choose(question, &[stop, without])? == 1)
}

/// What is said when the ceremony is over, of what it left behind.
pub(super) fn afterwards(manifest: &Manifest) -> Vec<String> {
    let left = manifest.plan.exceptions.iter().filter(|exception| exception.kind == ExceptionKind::ItemLost);
    let gone = left.filter(|left| !manifest.items.iter().any(|item| item.name.as_str() == left.subject));
    gone.map(|left| match left.subject.as_str() {
        INBOX_IDENTITY => "The inbox has a new recipient: `claviger recipient` says it to those who seal with age. What was sealed to the one before cannot be opened any more, and must be sealed anew.".to_owned(),
        item => format!("The item {item} was left behind, and the vault does not have its credential any more. Set a new one on its target, and seal it with `claviger seal`."),
    })
    .collect()
}

/// A sealed file that no copy here has as it was sealed.
struct Lost {
    /// Path in the directory of the generation.
    path: String,
    /// What an exception calls it.
    subject: String,
    /// The generation.
    generation: u64,
    /// The proposal that takes its place, if it can be opened.
    replaced_by: Option<String>,
}

impl Lost {
    fn of(path: &str, parent: &GenerationState, purpose: &Purpose) -> Option<Self> {
        let subject = GenerationFile::of(path)?.lost_subject()?.to_owned();
        // With the inbox identity every proposal is lost too.
        let opens = !parent.lost.iter().any(|path| path == INBOX_IDENTITY);
        let replaces = purpose.admits.iter().find(|admission| opens && admission.name.as_str() == subject);
        let replaced_by = replaces.map(|admission| admission.file.clone());
        Some(Self { path: path.to_owned(), subject, generation: parent.generation, replaced_by })
    }

    fn is_inbox(&self) -> bool {
        self.subject == INBOX_IDENTITY
    }

    fn warning(&self) -> String {
        let Self { path, subject, generation, replaced_by } = self;
        let what = match replaced_by {
            _ if self.is_inbox() => {
                "without it nothing that waits in the inbox can be opened, and proposals must be sealed anew".to_owned()
            }
            None => format!("without it the item {subject} is lost"),
            Some(file) => {
                format!("inbox/{file} takes its place; should that not open, the item {subject} is lost")
            }
        };
        format!("No copy here has {path} of generation {generation} as it was sealed: {what}.")
    }

    fn exception(&self) -> crate::transcript::Exception {
        let Self { subject, generation, replaced_by, .. } = self;
        let (expected, then) = match replaced_by {
            _ if self.is_inbox() => ("inbox identity".to_owned(), "a new one is made, and no proposal can be opened"),
            None => (format!("item {subject}"), "it is left behind"),
            Some(_) => (format!("item {subject}"), "it is left behind, and a proposal takes its place if that opens"),
        };
        let expected = format!("the {expected} of generation {generation}");
        let happened = format!("no copy that could be brought has it: {then}");
        exception(ExceptionKind::ItemLost, expected, happened, subject.clone())
    }
}

/// The last generation before `parent` that has the file still and can be opened from these copies.
fn earlier(judgement: &Judgement, parent: &GenerationState, path: &str) -> Option<u64> {
    let handed_on = |state: &GenerationState| {
        let subject = GenerationFile::of(path).and_then(|file| file.lost_subject());
        let item = |subject| state.manifest.items.iter().any(|item| item.name.as_str() == subject);
        subject.is_some_and(|subject| subject == INBOX_IDENTITY || item(subject))
    };
    let opens = |state: &GenerationState| state.shares_here.len() >= usize::from(state.manifest.plan.k);
    let before = judgement.line_to(parent).into_iter().rev().skip(1);
    let mut has = before.filter(|state| state.committed && !state.extinct && opens(state) && handed_on(state));
    has.find(|state| !state.lost.iter().any(|lost| lost == path)).map(|state| state.generation)
}

//! Collects what was noticed.

use super::{Finding, Severity};
use crate::transcript::snapshot::Snapshot;

/// Take the file from another copy.
pub(super) const OTHER_COPY: &str =
    "`claviger copy sync` with all copies takes it from one that has it right; find out how it was changed";

/// What was noticed so far.
pub(super) struct Findings<'a> {
    snapshot: &'a Snapshot,
    list: Vec<Finding>,
}

impl<'a> Findings<'a> {
    pub fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, list: Vec::new() }
    }

    fn add(&mut self, severity: Severity, copy: Option<usize>, file: String, what: &str, hint: &str) {
        let copy = copy.and_then(|copy| self.snapshot.copies.get(copy)).map(|copy| copy.path.clone());
        self.list.push(Finding { severity, copy, file, what: what.to_owned(), hint: hint.to_owned() });
    }

    pub fn wrong(&mut self, copy: usize, file: String, what: &str, hint: &str) {
        self.add(Severity::Wrong, Some(copy), file, what, hint);
    }

    pub fn note(&mut self, copy: usize, file: String, what: &str, hint: &str) {
        self.add(Severity::Note, Some(copy), file, what, hint);
    }

    /// Wrong on all copies.
    pub fn wrong_everywhere(&mut self, file: String, what: &str, hint: &str) {
        self.add(Severity::Wrong, None, file, what, hint);
    }

    /// Noticed on all copies.
    pub fn note_everywhere(&mut self, file: String, what: &str, hint: &str) {
        self.add(Severity::Note, None, file, what, hint);
    }

    /// Wrong ones first, by copy and file.
    pub fn into_sorted(mut self) -> Vec<Finding> {
        self.list.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.cmp(b)));
        self.list.dedup();
        self.list
    }
}

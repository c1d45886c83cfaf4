//! Whether a ceremony without a COMMIT here may have been committed all the same: what would say so is damaged or missing,
//! or something stands here that nobody makes before the commit. It proves nothing, and so commits nothing; but such a
//! ceremony is not given up without people who say that no other copy can be had.

use super::{GenerationState, Judgement, Severity};
use crate::encoding::Digest;

/// What stands here though no COMMIT does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitSign {
    /// So many custodians have closed what it made.
    Closed(usize),
    /// Another ceremony consumes what it made, and a custodian approved that.
    Followed,
    /// Of the generation that it consumes, which can still be opened by all that stands here, no share is here: shares go
    /// when the generation that follows is ratified.
    ParentGone,
}

impl std::fmt::Display for CommitSign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed(1) => f.write_str("1 custodian has closed it, and no copy here has its COMMIT"),
            Self::Closed(number) => write!(f, "{number} custodians have closed it, and no copy here has its COMMIT"),
            Self::Followed => f.write_str("another ceremony has followed it, and no copy here has its COMMIT"),
            Self::ParentGone => f.write_str("no share of the generation before it is here"),
        }
    }
}

impl Judgement {
    /// Whether copy `place` may have had the COMMIT of this ceremony: what would say so there is wrong, or something on the
    /// copies says that there was one.
    pub fn may_hide_a_commit(&self, place: usize, ceremony: &Digest) -> bool {
        let Some(directory) = self.directory_of(place, ceremony) else { return false };
        let directory = format!("generations/{directory}");
        let hides = |file: &str| {
            let below = file.strip_prefix(&directory);
            file == "generations" || matches!(below, Some("" | "/COMMIT" | "/manifest.json"))
        };
        let copy = Some(self.copies[place].path.as_str());
        let mut wrong = self.findings.iter().filter(|finding| finding.severity == Severity::Wrong);
        wrong.any(|finding| finding.copy.as_deref() == copy && hides(&finding.file))
            || self.sign_of_a_commit(ceremony).is_some()
    }

    /// Whether it was committed, by its COMMIT, or by closings that nobody signs before there is one.
    pub fn was_committed(&self, ceremony: &Digest) -> bool {
        self.has_a_commit(ceremony) || matches!(self.sign_of_a_commit(ceremony), Some(CommitSign::Closed(_)))
    }

    /// What says that this ceremony, of which no COMMIT is here, was committed; none also if it is.
    pub fn sign_of_a_commit(&self, ceremony: &Digest) -> Option<CommitSign> {
        let made = || self.generations.iter().filter(|state| state.ceremony == *ceremony);
        if made().any(|state| state.commit) {
            return None;
        }
        if let Some(closed) = made().map(|state| state.closings.len()).max().filter(|closed| *closed > 0) {
            return Some(CommitSign::Closed(closed));
        }
        let signed = || self.ceremonies.values().filter(|known| known.is_signed);
        let is_followed = |state: &GenerationState| signed().any(|known| known.plan.parent == Some(state.digest));
        if made().any(is_followed) {
            return Some(CommitSign::Followed);
        }
        let parent = self.generation(&self.ceremony(ceremony)?.parent?)?;
        (!parent.extinct && parent.shares_here.is_empty()).then_some(CommitSign::ParentGone)
    }
}

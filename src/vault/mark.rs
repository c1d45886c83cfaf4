//! The mark of a copy: who may be given one, and how it is exchanged.
//!
//! Plans name copies by their marks' ids, and a ceremony is abandoned only when all of these are present. So two copies
//! with one id are one too few: whoever brings the wrong one of them would vouch for the other. A copy that was made by
//! hand gets an id of its own, and only after the copy that keeps the id has all that the other one has: whatever was
//! committed under this id is then where this id is. A new id is in no plan, and vouches for nothing. So a directory that
//! is to be made a copy gets one in any case: where its mark is from, nobody can see. Only while an unfinished ceremony names
//! the mark it has, and stands there and on no other copy with that mark, is it refused: nobody else could show that nothing
//! was committed there.

use std::path::{Path, PathBuf};

use super::VaultError;
use super::copies::Copies;
use super::layout::{COPY, VAULT};
use super::merge::lacking;
use super::repair::faulty;
use super::write;
use crate::encoding::{Document, Nonce16};
use crate::transcript::{CopyMark, Judgement, Place, Snapshot, Stage, Unfinished};

/// Why a copy needs a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmarked {
    /// It has none: a copy that is new, or whose making was interrupted.
    Missing,
    /// It does not make sense, or names another vault than the founding body beside it.
    Damaged,
    /// It stands there and could not be read this time; another drive may read it, so it is left as it is.
    Unreadable {
        /// Why, as a clause.
        why: String,
    },
    /// It has one, and is to be made a copy: by hand, it may have been copied from one that is not here and has the same.
    Unsure,
    /// It has the mark of another copy: one of the two was copied by hand.
    Cloned {
        /// The copy that keeps it.
        of: PathBuf,
    },
}

/// Why copy `place` needs a mark of its own; none: it has a good one. Of several with the same, the first keeps it.
pub(super) fn unmarked(snapshot: &Snapshot, place: usize) -> Option<Unmarked> {
    let view = &snapshot.copies[place];
    if let Some(unread) = view.unread.iter().find(|unread| unread.file == COPY) {
        return Some(Unmarked::Unreadable { why: unread.why.clone() });
    }
    let Some(mark) = view.mark().filter(|mark| mark.vault == snapshot.vault) else {
        return Some(if view.files.contains_key(COPY) { Unmarked::Damaged } else { Unmarked::Missing });
    };
    let first = snapshot.copies[..place].iter().find(|other| other.mark().as_ref() == Some(&mark))?;
    Some(Unmarked::Cloned { of: Path::new(&first.path).to_owned() })
}

/// An unfinished ceremony without COMMIT that names the mark of copy `place` and stands there, and on no other copy with that
/// mark: with another mark here, nobody could show any more that it was not committed under this one.
pub(super) fn shown_only_by(judgement: &Judgement, place: usize) -> Option<&Unfinished> {
    let id = judgement.copies[place].id?;
    let others = |other: &usize| *other != place && judgement.copies[*other].id == Some(id);
    judgement.unfinished.iter().find(|ceremony| {
        let stands = |on: usize| judgement.directory_of(on, &ceremony.id).is_some();
        let elsewhere = (0..judgement.copies.len()).filter(others).any(stands);
        ceremony.stage != Stage::Committed && ceremony.plan.copies.contains(&id) && stands(place) && !elsewhere
    })
}

/// Whether the copy is of this vault, by its founding body or by its mark.
pub(super) fn is_ours(snapshot: &Snapshot, place: usize) -> bool {
    let view = &snapshot.copies[place];
    has_founding(snapshot, place) || view.mark().is_some_and(|mark| mark.vault == snapshot.vault)
}

fn has_founding(snapshot: &Snapshot, place: usize) -> bool {
    snapshot.copies[place].files.get(VAULT).is_some_and(|content| content.digest() == snapshot.vault)
}

impl Copies {
    /// Gives copy `place` a mark of its own, if it needs one, or in any case.
    ///
    /// # Errors
    /// [`VaultError::Incomplete`] if it may not have one yet; [`VaultError::Io`].
    pub(super) fn mark(
        &self,
        snapshot: &Snapshot,
        judgement: &Judgement,
        place: usize,
        anyway: bool,
    ) -> Result<Option<Unmarked>, VaultError> {
        let Some(why) = unmarked(snapshot, place).or(anyway.then_some(Unmarked::Unsure)) else { return Ok(None) };
        let copy = &self.copies[place];
        if let Some(reason) = hindrance(snapshot, judgement, place, &why) {
            return Err(VaultError::Incomplete { copy: copy.path().to_owned(), reason });
        }
        let id = Nonce16::random().map_err(|_| VaultError::Random)?;
        write::write_over(copy, COPY, &CopyMark::new(id, snapshot.vault).encode())?;
        Ok(Some(why))
    }
}

/// Why the copy may not be given a mark.
fn hindrance(snapshot: &Snapshot, judgement: &Judgement, place: usize, why: &Unmarked) -> Option<String> {
    if let Unmarked::Unreadable { why } = why {
        return Some(format!(
            "its copy.json {why}; it may be good, and is not replaced. Try another drive, or remove it to have it replaced"
        ));
    }
    if !has_founding(snapshot, place) {
        return Some("its vault.json is not the one of this vault".to_owned());
    }
    let wrong = faulty(snapshot, judgement, place).into_iter();
    let wrong = wrong.filter(|file| !matches!(Place::of(file), Place::CopyMark | Place::Unknown)).count();
    if wrong > 0 {
        return Some(format!("files on it are wrong, {wrong} of them"));
    }
    let others = (0..snapshot.copies.len()).filter(|other| *other != place);
    // What waits in an inbox is in no generation, and may be too large to be brought over.
    let counts = |file: &String| !matches!(Place::of(file), Place::Inbox(_));
    let missing =
        others.map(|other| lacking(snapshot, judgement, other, place).iter().filter(|file| counts(file)).count());
    let missing = missing.max().unwrap_or(0);
    if missing > 0 {
        return Some(format!("it lacks files that other copies have, {missing} of them"));
    }
    if let Unmarked::Cloned { of } = why {
        let keeper = snapshot.copies.iter().position(|other| Path::new(&other.path) == of.as_path())?;
        let only_here = lacking(snapshot, judgement, place, keeper).len();
        if only_here > 0 {
            let of = of.display();
            return Some(format!("{of}, whose mark it has, lacks files that are here, {only_here} of them"));
        }
        if let Some(ceremony) = shown_only_by(judgement, place) {
            let (number, of) = (ceremony.number, of.display());
            return Some(format!(
                "ceremony number {number} was begun on it and not finished, and {of}, which has the same mark, does not have that: name this copy before {of}, which then gets another mark"
            ));
        }
    }
    None
}

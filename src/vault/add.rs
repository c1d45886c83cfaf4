//! A further copy of a vault on a further medium.
//!
//! The founding body is written first, so that an interrupted run knows its own; the mark last, when everything else was
//! read back and judged: until then the directory counts for nothing.

use std::path::{Path, PathBuf};

use super::copies::Copies;
use super::copy::Copy;
use super::create::make;
use super::layout::VAULT;
use super::mark::shown_only_by;
use super::read::{self, LOST_AND_FOUND};
use super::sync::{Synced, synchronise};
use super::{VaultError, write};
use crate::encoding::Digest;
use crate::transcript::{Checked, CopyMark, CopyView, Founding, judge};

/// Makes `new` a copy of the vault: in a new or empty directory, or where an earlier run was interrupted, or where a copy
/// of this vault is damaged or was made by hand. It gets a new mark in any case. `copies` are locked by the caller; `new` is
/// locked here. The new copy is the last of [`Synced::copies`]; whether it counts now says its mark.
///
/// # Errors
/// [`VaultError::Occupied`], [`VaultError::Nested`], [`VaultError::OtherVault`], [`VaultError::Same`] and
/// [`VaultError::InCeremony`] before anything is written there.
pub fn add(copies: &Copies, new: &Path) -> Result<Synced, VaultError> {
    let (snapshot, _) = copies.judged()?;
    refuse_nesting(copies, new)?;
    let target = make(new)?;
    if let Some(other) = copies.copies.iter().find(|other| other.is_same(&target)) {
        return Err(VaultError::Same { first: other.path().to_owned(), second: new.to_owned() });
    }
    refuse_strangers(&target, &read::view(&target)?, snapshot.vault)?;
    let _lock = target.lock()?;
    refuse_named(copies, &target)?;
    if target.file(VAULT)?.is_none() {
        let has = |view: &CopyView| view.files.get(VAULT).is_some_and(|content| content.digest() == snapshot.vault);
        let missing = || VaultError::Missing { file: VAULT.to_owned(), digest: snapshot.vault };
        let from = snapshot.copies.iter().position(has).ok_or_else(missing)?;
        write::copy_file((&copies.copies[from], VAULT), (&target, VAULT), snapshot.vault)?;
    }
    let mut paths = copies.paths();
    paths.push(new.to_owned());
    let all = Copies::open(&paths)?;
    if all.vault() != snapshot.vault || all.paths() != paths {
        return Err(VaultError::Changed);
    }
    synchronise(&all, |path| path == new, |path| path == new)
}

/// The mark that an unfinished ceremony names is not taken from a copy on which the ceremony stands: nobody else could ever
/// show that it was not committed there. Another one that is given, has the same mark, and on which it stands as well can; a
/// copy on which it does not stand shows nothing (`docs/format.md`, section 4).
fn refuse_named(copies: &Copies, target: &Copy) -> Result<(), VaultError> {
    if read::mark(target).is_none_or(|mark| mark.vault != copies.vault()) {
        return Ok(());
    }
    let mut paths = copies.paths();
    paths.push(target.path().to_owned());
    let judgement = judge(&Copies::open(&paths)?.snapshot()?);
    let path = target.path().display().to_string();
    let place = judgement.copies.iter().position(|copy| copy.path == path);
    match place.and_then(|place| shown_only_by(&judgement, place)) {
        Some(ceremony) => Err(VaultError::InCeremony { copy: target.path().to_owned(), number: ceremony.number }),
        None => Ok(()),
    }
}

/// What stands inside of a copy and is not of the vault makes that copy wrong.
fn refuse_nesting(copies: &Copies, new: &Path) -> Result<(), VaultError> {
    let Some(inner) = real(new) else { return Ok(()) };
    for copy in copies.paths() {
        let outer = real(&copy).filter(|outer| *outer != inner);
        if outer.is_some_and(|outer| inner.starts_with(&outer) || outer.starts_with(&inner)) {
            return Err(VaultError::Nested { copy, new: new.to_owned() });
        }
    }
    Ok(())
}

/// Where the path leads, through links; what is not there yet is taken to be below what is.
fn real(path: &Path) -> Option<PathBuf> {
    if let Ok(real) = path.canonicalize() {
        return Some(real);
    }
    let parent = match path.parent()? {
        parent if parent == Path::new("") && path != Path::new(".") => Path::new("."),
        parent => parent,
    };
    Some(real(parent)?.join(path.file_name()?))
}

/// A directory is taken if nothing is in it, or if what is in it is of this vault.
fn refuse_strangers(target: &Copy, view: &CopyView, vault: Digest) -> Result<(), VaultError> {
    let copy = || target.path().to_owned();
    let bytes = |file: &str| view.files.get(file).and_then(|content| content.bytes());
    let founding = bytes(VAULT).map(Digest::of);
    if founding == Some(vault) {
        return Ok(());
    }
    let mark: Option<CopyMark> = view.mark();
    let other_founding = bytes(VAULT).is_some_and(|bytes| Founding::read(bytes).is_ok());
    if other_founding || mark.as_ref().is_some_and(|mark| mark.vault != vault) {
        return Err(VaultError::OtherVault { copy: copy() });
    }
    if mark.is_some() {
        return Ok(());
    }
    let begun = format!("{VAULT}.part");
    let harmless = |file: &str| file == LOST_AND_FOUND || file == begun;
    let files = view.files.keys().map(String::as_str).chain(view.unread.iter().map(|unread| unread.file.as_str()));
    let directories =
        ["generations", "records", "inbox"].into_iter().filter(|name| target.directory(name, false).is_ok());
    match files.chain(directories).find(|file| !harmless(file)) {
        None => Ok(()),
        Some(found) => Err(VaultError::Occupied { copy: copy(), found: found.to_owned() }),
    }
}

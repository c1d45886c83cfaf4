//! The files of all copies: written on each that is written to, read from any.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use super::{Copies, Failure, Standing, Written};
use crate::encoding::Digest;
use crate::transcript::Place;
use crate::vault::copy::Copy;
use crate::vault::write::{self, Part};
use crate::vault::{VaultError, read};

impl Copies {
    pub(in crate::vault) fn each(&self, file: String, mut act: impl FnMut(&Copy) -> Result<(), VaultError>) -> Written {
        let mut written = Written { file, on: Vec::new(), ids: Vec::new(), failures: Vec::new() };
        for (place, copy) in self.copies.iter().enumerate() {
            match self.writable(place).and_then(|id| act(copy).map(|()| id)) {
                Ok(id) => {
                    written.on.push(copy.path().to_owned());
                    written.ids.push(id);
                }
                Err(error) => written.failures.push(Failure { copy: copy.path().to_owned(), error }),
            }
        }
        written
    }

    /// Writes a new file on every copy. Where exactly these bytes stand already, that counts as written.
    ///
    /// # Errors
    /// [`VaultError::Path`] if it is not a path of a vault. What fails on single copies is in [`Written::failures`].
    pub fn write_new(&self, relative: &Path, bytes: &[u8]) -> Result<Written, VaultError> {
        let file = vault_path(relative)?;
        Ok(self.each(file.clone(), |copy| write::write_new(copy, &file, bytes)))
    }

    /// Like [`Self::write_new`], with a path for each copy, for one ceremony may stand in directories of different names, and with
    /// what becomes of other bytes that stand there.
    ///
    /// # Errors
    /// As [`Self::write_new`].
    pub fn write_new_each(
        &self,
        path: impl Fn(&Path) -> PathBuf,
        bytes: &[u8],
        standing: impl Fn(&Path) -> Standing,
    ) -> Result<Written, VaultError> {
        let mut files = Vec::with_capacity(self.copies.len());
        for copy in &self.copies {
            files.push((copy.path(), vault_path(&path(copy.path()))?));
        }
        let file = files.first().map(|(_, file)| file.clone()).unwrap_or_default();
        Ok(self.each(file, |copy| match files.iter().find(|(path, _)| *path == copy.path()) {
            Some((_, file)) => match standing(copy.path()) {
                Standing::Stays => Ok(()),
                Standing::Refuses => write::write_new(copy, file, bytes),
                Standing::GivesWay => write::write_instead(copy, file, bytes),
            },
            None => Err(VaultError::Changed),
        }))
    }

    /// Writes a new file in constant memory: on the first copy that takes it, and from there to the others. `fill` is
    /// called again, from its beginning, where a medium fails while it is written.
    ///
    /// # Errors
    /// Whatever `fill` returns by itself; [`VaultError`] if no copy takes the file.
    pub fn write_stream<E: From<VaultError>>(
        &self,
        relative: &Path,
        mut fill: impl FnMut(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(Digest, Written), E> {
        let file = vault_path(relative)?;
        let mut failures = Vec::new();
        for (place, copy) in self.copies.iter().enumerate() {
            let streamed = match self.writable(place) {
                Ok(_) => stream(copy, &file, &mut fill)?,
                Err(error) => Err(error),
            };
            match streamed {
                Err(error) => failures.push(Failure { copy: copy.path().to_owned(), error }),
                Ok(digest) => {
                    let earlier: Vec<PathBuf> = failures.iter().map(|failure| failure.copy.clone()).collect();
                    let mut written = self.each(file.clone(), |other| {
                        if std::ptr::eq(other, &self.copies[place]) {
                            return Ok(());
                        }
                        write::copy_file((copy, &file), (other, &file), digest)
                    });
                    // The reason why it failed first says more than the one at the second attempt.
                    written.failures.retain(|failure| !earlier.contains(&failure.copy));
                    failures.retain(|failure| !written.on.contains(&failure.copy));
                    written.failures.append(&mut failures);
                    return Ok((digest, written));
                }
            }
        }
        Err(VaultError::TooFewCopies { file, expected: 1, actual: 0, failures }.into())
    }

    /// Opens a file on any copy on which its digest is this one; a file of a generation also where that generation has a
    /// directory of another name on a copy (`docs/format.md`, section 2).
    ///
    /// # Errors
    /// [`VaultError::Missing`].
    pub fn open_file(&self, relative: &Path, digest: Digest) -> Result<File, VaultError> {
        let file = vault_path(relative)?;
        let is_it = |mut found: File| {
            let same = read::digest_of(&found).is_ok_and(|found| found == digest);
            (same && found.rewind().is_ok()).then_some(found)
        };
        let at = |copy: &Copy, path: &str| copy.file(path).ok().flatten().and_then(is_it);
        let found = self.copies.iter().find_map(|copy| at(copy, &file));
        let elsewhere = || {
            self.copies.iter().find_map(|copy| read::same_number(copy, &file).iter().find_map(|path| at(copy, path)))
        };
        found.or_else(elsewhere).ok_or(VaultError::Missing { file, digest })
    }

    /// Reads a file of at most `limit` bytes from any copy on which its digest is this one.
    ///
    /// # Errors
    /// [`VaultError::Missing`].
    pub fn read_file(&self, relative: &Path, digest: Digest, limit: usize) -> Result<Vec<u8>, VaultError> {
        let mut file = self.open_file(relative, digest)?;
        let bytes = read::bounded(&mut file, limit).ok().flatten().filter(|bytes| Digest::of(bytes) == digest);
        bytes.ok_or_else(|| VaultError::Missing { file: relative.display().to_string(), digest })
    }

    /// Removes a sealed, inbox or unfinished file from every copy; documents are for ever.
    ///
    /// # Errors
    /// [`VaultError::Path`] for any other file. What fails on single copies is in [`Written::failures`].
    pub fn remove(&self, relative: &Path) -> Result<Written, VaultError> {
        let file = text(relative)?;
        let place = Place::of(&file);
        if !place.is_sealed() && place != Place::Part {
            return Err(VaultError::Path { file });
        }
        Ok(self.each(file.clone(), |copy| write::remove(copy, &file).map(drop)))
    }

    /// Like [`Self::remove`], on the one copy with this path.
    pub(in crate::vault) fn remove_on(&self, path: &str, relative: &Path) -> Result<Result<(), Failure>, VaultError> {
        let file = text(relative)?;
        if !Place::of(&file).is_sealed() {
            return Err(VaultError::Path { file });
        }
        let copy = self.copies.iter().find(|copy| copy.path().display().to_string() == path);
        let failure = |copy: &Copy, error| Failure { copy: copy.path().to_owned(), error };
        Ok(copy.map_or(Ok(()), |copy| write::remove(copy, &file).map(drop).map_err(|error| failure(copy, error))))
    }
}

/// One attempt at [`Copies::write_stream`]: the outer error is that of `fill`, the inner that of the medium.
fn stream<E: From<VaultError>>(
    copy: &Copy,
    file: &str,
    fill: &mut impl FnMut(&mut dyn Write) -> Result<(), E>,
) -> Result<Result<Digest, VaultError>, E> {
    match write::read_back(copy, file) {
        Ok(None) => {}
        Ok(Some(_)) => {
            return Ok(Err(VaultError::Conflict { copy: copy.path().to_owned(), file: file.to_owned() }));
        }
        Err(error) => return Ok(Err(error)),
    }
    let mut part = match Part::begin(copy, file) {
        Ok(part) => part,
        Err(error) => return Ok(Err(error)),
    };
    match fill(&mut part) {
        Ok(()) => match part.failure() {
            None => Ok(part.finish()),
            Some(failure) => {
                part.give_up();
                Ok(Err(failure))
            }
        },
        Err(error) => {
            let failure = part.failure();
            part.give_up();
            failure.map_or(Err(error), |failure| Ok(Err(failure)))
        }
    }
}

fn text(relative: &Path) -> Result<String, VaultError> {
    let text = relative.to_str().filter(|text| !text.split('/').any(|c| matches!(c, "" | "." | "..")));
    text.map(str::to_owned).ok_or_else(|| VaultError::Path { file: relative.display().to_string() })
}

/// A path that a file of a vault can have.
pub(in crate::vault) fn vault_path(relative: &Path) -> Result<String, VaultError> {
    let text = text(relative)?;
    match Place::of(&text) {
        Place::Part | Place::Unknown => Err(VaultError::Path { file: text }),
        _ => Ok(text),
    }
}

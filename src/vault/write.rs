//! Durable writes on one copy.

use std::fs::File;
use std::io::{self, Write};

use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::VaultError;
use super::copy::Copy;
use super::disk::{Directory, NewFile, Sync};
use super::read;
use crate::encoding::Digest;
use crate::fault;

/// A file that is being written under the name `NAME.part`.
pub(super) struct Part<'a> {
    copy: &'a Copy,
    directory: Directory,
    name: String,
    relative: String,
    file: NewFile,
    hash: Sha256,
    /// The error of the medium, kept apart from errors of whoever writes.
    failure: Option<io::Error>,
}

impl<'a> Part<'a> {
    /// Begins a file that is not there yet. A `.part` that an interrupted run has left is replaced.
    pub fn begin(copy: &'a Copy, relative: &str) -> Result<Self, VaultError> {
        let (directory, name) = relative.rsplit_once('/').unwrap_or(("", relative));
        let directory = copy.directory(directory, true)?;
        let part = format!("{name}.part");
        let error = |error: Errno| copy.error(relative, "write", error);
        fault::point(&format!("write:{relative}:before"));
        let file = match directory.create(&part, 0o644) {
            Err(Errno::EXIST) => directory.remove(&part).and_then(|_| directory.create(&part, 0o644)),
            created => created,
        };
        let file = file.map_err(error)?;
        let (name, relative) = (name.to_owned(), relative.to_owned());
        Ok(Self { copy, directory, name, relative, file, hash: Sha256::new(), failure: None })
    }

    /// The error of the medium, if writing failed because of it.
    pub fn failure(&mut self) -> Option<VaultError> {
        self.failure.take().map(|error| self.copy.error(&self.relative, "write", error))
    }

    /// Removes what was written so far, as well as that can be done.
    pub fn give_up(self) {
        let _ = self.directory.remove(&self.part());
    }

    /// Brings the bytes to the medium, gives the file its name, and reads it back.
    pub fn finish(mut self) -> Result<Digest, VaultError> {
        let mut named = false;
        let finished = self.try_finish(&mut named);
        match &finished {
            Ok(_) => fault::point(&format!("write:{}:after", self.relative)),
            Err(_) => {
                if named {
                    // It got its name in this very call, and does not deserve it.
                    let _ = self.directory.remove(&self.name).and_then(|_| self.directory.sync(Sync::Removal));
                }
                self.give_up();
            }
        }
        finished
    }

    /// Like [`Self::finish`], where another file has the name and is to go: first these bytes are on the medium, then the
    /// other file is removed, then these get the name. A power cut in between leaves no file of that name, which is what
    /// merging mends; never half of one.
    pub fn replace(self) -> Result<Digest, VaultError> {
        let error = |error: Errno| self.copy.error(&self.relative, "write", error);
        let contents = self.file.sync(Sync::ReplacementContents);
        let ready = contents.and_then(|()| self.directory.sync(Sync::ReplacementName)).map_err(error);
        let removed =
            ready.and_then(|()| self.clear().map_err(|error| self.copy.error(&self.relative, "remove", error)));
        match removed {
            Ok(()) => self.finish(),
            Err(error) => {
                self.give_up();
                Err(error)
            }
        }
    }

    /// Removes what has the name, if anything has.
    fn clear(&self) -> rustix::io::Result<()> {
        if self.directory.remove(&self.name)? { self.directory.sync(Sync::ReplacedRemoval) } else { Ok(()) }
    }

    fn try_finish(&mut self, named: &mut bool) -> Result<Digest, VaultError> {
        let error = |error: Errno| self.copy.error(&self.relative, "write", error);
        let written = Digest::from_bytes(self.hash.clone().finalize().into());
        self.file.sync(Sync::Contents).map_err(error)?;
        self.rename()?;
        *named = true;
        self.file.named(&self.directory, &self.name);
        if self.directory.names_hold_sizes() {
            self.file.sync(Sync::NamedContents).map_err(error)?;
        }
        self.directory.sync(Sync::Name).map_err(error)?;
        if read_back(self.copy, &self.relative)? == Some(written) {
            return Ok(written);
        }
        Err(VaultError::Altered { copy: self.copy.path().to_owned(), file: self.relative.clone() })
    }

    /// Gives the file its name, if nothing has that name, or a file that was never finished.
    fn rename(&self) -> Result<(), VaultError> {
        let error = |errno: Errno| match errno {
            Errno::EXIST => VaultError::Conflict { copy: self.copy.path().to_owned(), file: self.relative.clone() },
            errno => self.copy.error(&self.relative, "name", errno),
        };
        match self.directory.rename(&self.part(), &self.name) {
            Err(Errno::EXIST) if is_empty(self.copy.file_in(&self.directory, &self.name, &self.relative)?.as_ref()) => {
                self.clear().and_then(|()| self.directory.rename(&self.part(), &self.name)).map_err(error)
            }
            renamed => renamed.map_err(error),
        }
    }

    fn part(&self) -> String {
        format!("{}.part", self.name)
    }
}

impl Write for Part<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.file.write(bytes) {
            Ok(count) => {
                self.hash.update(&bytes[..count]);
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                self.failure = Some(error);
                Err(kind.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// No file of a vault is empty: one that is was never finished.
fn is_empty(file: Option<&File>) -> bool {
    file.is_some_and(|file| file.metadata().is_ok_and(|metadata| metadata.len() == 0))
}

/// The digest of a file as the medium has it, as far as the system can be made to look there. `None`: there is none that
/// was finished.
pub(super) fn read_back(copy: &Copy, relative: &str) -> Result<Option<Digest>, VaultError> {
    let Some(file) = copy.file(relative)?.filter(|file| !is_empty(Some(file))) else { return Ok(None) };
    // Only advice: if the pages stay in memory, the comparison still holds the program to what it wrote.
    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    read::digest_of(&file).map(Some).map_err(|error| copy.error(relative, "read", error))
}

/// Writes a new file; it is no error if exactly these bytes stand there already. Then this run has written them, or
/// [`super::Copies::settle`] has brought them to the medium.
pub(super) fn write_new(copy: &Copy, relative: &str, bytes: &[u8]) -> Result<(), VaultError> {
    if let Some(digest) = read_back(copy, relative)? {
        if digest == Digest::of(bytes) {
            return Ok(());
        }
        return Err(VaultError::Conflict { copy: copy.path().to_owned(), file: relative.to_owned() });
    }
    filled(copy, relative, bytes)?.finish().map(drop)
}

/// Like [`write_new`], over a file that is damaged or was never finished: what stands there goes when these bytes are on the
/// medium.
///
/// # Errors
/// [`VaultError::NotRegular`] if it is not a regular file: then a person has to look.
pub(super) fn write_instead(copy: &Copy, relative: &str, bytes: &[u8]) -> Result<(), VaultError> {
    match read_back(copy, relative) {
        Ok(Some(digest)) if digest == Digest::of(bytes) => Ok(()),
        Ok(None) => filled(copy, relative, bytes)?.finish().map(drop),
        // What cannot be read is replaced too: it is there, and a regular file.
        Ok(Some(_)) | Err(VaultError::Io { .. }) => filled(copy, relative, bytes)?.replace().map(drop),
        Err(error) => Err(error),
    }
}

/// These bytes as an unfinished file.
fn filled<'a>(copy: &'a Copy, relative: &str, bytes: &[u8]) -> Result<Part<'a>, VaultError> {
    let mut part = Part::begin(copy, relative)?;
    if let Err(error) = part.write_all(bytes) {
        let error = part.failure().unwrap_or_else(|| copy.error(relative, "write", error));
        part.give_up();
        return Err(error);
    }
    Ok(part)
}

/// Copies a file from one copy to another, in constant memory, and holds it to its digest.
pub(super) fn copy_file(from: (&Copy, &str), to: (&Copy, &str), digest: Digest) -> Result<(), VaultError> {
    let (copy, relative) = to;
    if let Some(found) = read_back(copy, relative)? {
        if found == digest {
            return Ok(());
        }
        return Err(VaultError::Conflict { copy: copy.path().to_owned(), file: relative.to_owned() });
    }
    fetch(from, to, digest)?.finish().map(drop)
}

/// Like [`copy_file`], over a file that is wrong: what stands there goes when the right bytes are on the medium.
///
/// # Errors
/// [`VaultError::NotRegular`] if it is not a regular file: then a person has to look.
pub(super) fn copy_over(from: (&Copy, &str), to: (&Copy, &str), digest: Digest) -> Result<(), VaultError> {
    let (copy, relative) = to;
    match read_back(copy, relative) {
        Ok(Some(found)) if found == digest => return Ok(()),
        // What cannot be read is replaced too: it is there, and a regular file.
        Ok(_) | Err(VaultError::Io { .. }) => {}
        Err(error) => return Err(error),
    }
    fetch(from, to, digest)?.replace().map(drop)
}

/// Writes these bytes over whatever regular file has the name.
pub(super) fn write_over(copy: &Copy, relative: &str, bytes: &[u8]) -> Result<(), VaultError> {
    match read_back(copy, relative) {
        Ok(_) | Err(VaultError::Io { .. }) => {}
        Err(error) => return Err(error),
    }
    filled(copy, relative, bytes)?.replace().map(drop)
}

/// The file of one copy as an unfinished file of another, held to its digest.
fn fetch<'a>(from: (&Copy, &str), to: (&'a Copy, &str), digest: Digest) -> Result<Part<'a>, VaultError> {
    let ((from, source), (copy, relative)) = (from, to);
    let missing = || VaultError::Missing { file: source.to_owned(), digest };
    let file = from.file(source)?.ok_or_else(missing)?;
    let mut part = Part::begin(copy, relative)?;
    if let Err(error) = io::copy(&mut io::Read::take(file, read::MAX_SEALED), &mut part) {
        let error = part.failure().unwrap_or_else(|| from.error(source, "read", error));
        part.give_up();
        return Err(error);
    }
    if Digest::from_bytes(part.hash.clone().finalize().into()) != digest {
        part.give_up();
        return Err(missing());
    }
    Ok(part)
}

/// Removes a file, if it is there.
pub(super) fn remove(copy: &Copy, relative: &str) -> Result<bool, VaultError> {
    let (directory, name) = relative.rsplit_once('/').unwrap_or(("", relative));
    let directory = match copy.directory(directory, false) {
        Ok(directory) => directory,
        Err(VaultError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let error = |error: Errno| copy.error(relative, "remove", error);
    if !directory.remove(name).map_err(error)? {
        return Ok(false);
    }
    directory.sync(Sync::Removal).map_err(error)?;
    Ok(true)
}

/// Removes a directory of the vault, if it is there and empty.
pub(super) fn remove_directory(copy: &Copy, relative: &str) -> Result<(), VaultError> {
    let (above, name) = relative.rsplit_once('/').unwrap_or(("", relative));
    let above = match copy.directory(above, false) {
        Ok(above) => above,
        Err(VaultError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let error = |error: Errno| copy.error(relative, "remove", error);
    if above.remove_directory(name).map_err(error)? {
        above.sync(Sync::Removal).map_err(error)?;
    }
    Ok(())
}

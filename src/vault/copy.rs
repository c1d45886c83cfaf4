//! One copy: a directory, held open, in which nothing is followed out of it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::VaultError;
use super::disk::{Directory, Sync};

/// One copy of a vault.
#[derive(Debug)]
pub struct Copy {
    path: PathBuf,
    root: Directory,
}

impl Copy {
    /// Opens the directory. The path itself may go through symbolic links; nothing below it may.
    ///
    /// # Errors
    /// [`VaultError::Io`].
    pub fn open(path: &Path) -> Result<Self, VaultError> {
        let root = Directory::open(path).map_err(|error| VaultError::Io {
            copy: path.to_owned(),
            file: "the directory".to_owned(),
            action: "open",
            source: error.into(),
        })?;
        Ok(Self { path: path.to_owned(), root })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open directory.
    pub fn root(&self) -> &Directory {
        &self.root
    }

    /// Takes the copy for this process until what is returned is dropped; `None` where the file system has no locks, and so
    /// cannot say no.
    ///
    /// # Errors
    /// [`VaultError::InUse`] if another process has it.
    pub(super) fn lock(&self) -> Result<Option<Directory>, VaultError> {
        if crate::fault::locks_are_ignored() {
            return Ok(None);
        }
        // A lock belongs to the open directory: it needs one of its own, so that dropping it gives the copy free.
        let directory = Self::open(&self.path)?.root;
        match rustix::fs::flock(&directory, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(directory)),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(VaultError::InUse { copy: self.path.clone() }),
            Err(rustix::io::Errno::NOLCK | rustix::io::Errno::NOTSUP | rustix::io::Errno::INVAL) => Ok(None),
            Err(error) => Err(self.error("the directory", "lock", error)),
        }
    }

    /// Device and inode of the directory; none if the system does not say.
    pub(super) fn identity(&self) -> Option<(u64, u64)> {
        rustix::fs::fstat(&self.root).ok().map(|stat| (stat.st_dev, stat.st_ino))
    }

    /// Whether both are the same directory.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.identity().is_some_and(|identity| other.identity() == Some(identity))
    }

    /// Whether files can be added to it, as far as the system says beforehand.
    pub fn is_writable(&self) -> bool {
        rustix::fs::accessat(&self.root, ".", rustix::fs::Access::WRITE_OK, AtFlags::empty()).is_ok()
    }

    pub(super) fn error(&self, file: &str, action: &'static str, source: impl Into<io::Error>) -> VaultError {
        VaultError::Io { copy: self.path.clone(), file: file.to_owned(), action, source: source.into() }
    }

    fn wrong_type(&self, file: &str, found: FileType, expected: &'static str) -> VaultError {
        VaultError::NotRegular { copy: self.path.clone(), file: file.to_owned(), found: type_name(found), expected }
    }

    /// Opens the directory of a path below the root; every component is a real directory. `make`: makes what is missing.
    pub(super) fn directory(&self, relative: &str, make: bool) -> Result<Directory, VaultError> {
        let mut here = self.root.again().map_err(|error| self.error(relative, "open", error))?;
        let mut path = String::new();
        for component in relative.split('/').filter(|component| !component.is_empty()) {
            path = if path.is_empty() { component.to_owned() } else { format!("{path}/{component}") };
            let mut next = here.below(component);
            if make && matches!(next, Err(Errno::NOENT)) {
                here.make(component).map_err(|error| self.error(&path, "make", error))?;
                here.sync(Sync::DirectoryName).map_err(|error| self.error(&path, "make", error))?;
                next = here.below(component);
            }
            here = match next {
                Ok(next) => next,
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    let stat = rustix::fs::statat(&here, component, AtFlags::SYMLINK_NOFOLLOW);
                    let found = stat.map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode));
                    return Err(self.wrong_type(&path, found, "a directory"));
                }
                Err(error) => return Err(self.error(&path, "open", error)),
            };
        }
        Ok(here)
    }

    /// Opens a regular file for reading. `None`: nothing is there.
    pub(super) fn file(&self, relative: &str) -> Result<Option<File>, VaultError> {
        let (directory, name) = relative.rsplit_once('/').unwrap_or(("", relative));
        let directory = match self.directory(directory, false) {
            Ok(directory) => directory,
            Err(VaultError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        self.file_in(&directory, name, relative)
    }

    /// Opens a regular file in an open directory; never follows a link, never waits for a FIFO, never opens a device.
    pub(super) fn file_in(
        &self,
        directory: &Directory,
        name: &str,
        relative: &str,
    ) -> Result<Option<File>, VaultError> {
        let stat = match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(self.error(relative, "read", error)),
        };
        let regular = |mode| match FileType::from_raw_mode(mode) {
            FileType::RegularFile => Ok(()),
            other => Err(self.wrong_type(relative, other, "a file")),
        };
        regular(stat.st_mode)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(directory, name, flags, Mode::empty())
            .map_err(|error| self.error(relative, "read", error))?;
        let stat = rustix::fs::fstat(&file).map_err(|error| self.error(relative, "read", error))?;
        regular(stat.st_mode)?;
        if crate::fault::is_unreadable(stat.st_ino) {
            return Err(self.error(relative, "read", rustix::io::Errno::IO));
        }
        Ok(Some(File::from(file)))
    }
}

pub(super) fn type_name(file_type: FileType) -> &'static str {
    match file_type {
        FileType::RegularFile => "a file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "something unknown",
    }
}

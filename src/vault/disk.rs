//! Every change that claviger makes to a file system, one small operation each.
//!
//! Nothing else makes, writes, names or removes a file of a vault. So the power can be cut before and after each of them
//! ([`crate::fault`]), and a test can hear of each, in order and with its data, and ask what a medium may have kept of
//! them: only what a [`Sync`] has brought there is sure.
//!
//! Not promised here: durability. An operation is on the medium when the file, or the directory that names it, was synced.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::fault;

#[cfg(debug_assertions)]
pub mod journal;
#[cfg(not(debug_assertions))]
mod journal {
    /// What tests hear of in a debug build.
    #[inline(always)]
    pub(super) fn report(_operation: &super::Operation<'_>) {}

    #[inline(always)]
    pub(super) fn is_heard() -> bool {
        false
    }
}

/// One change of a file system that was made, or a sync that was. Paths are as the program was given them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation<'a> {
    /// A new, empty directory.
    MakeDirectory(&'a Path),
    /// A new, empty file.
    Create(&'a Path),
    /// Bytes at the end of a file.
    Append(&'a Path, &'a [u8]),
    /// The contents of a file were brought to the medium.
    SyncFile(&'a Path, Sync),
    /// The names in a directory were brought to the medium.
    SyncDirectory(&'a Path, Sync),
    /// A file got another name in its directory.
    Rename(&'a Path, &'a Path),
    /// A file is gone.
    Remove(&'a Path),
    /// An empty directory is gone.
    RemoveDirectory(&'a Path),
}

/// What a sync is for. Each is one place in the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sync {
    /// The contents of a new file, before it gets its name.
    Contents,
    /// The contents of a new file once more, after it got its name: FAT keeps the size of a file with its name.
    NamedContents,
    /// The name of a new file.
    Name,
    /// The name of a new directory in a copy.
    DirectoryName,
    /// That a name is gone.
    Removal,
    /// The contents of a file that is to take the place of a wrong one, before that one goes.
    ReplacementContents,
    /// The name that such a file has until it is finished, before the wrong one goes.
    ReplacementName,
    /// That a wrong or empty file is gone, before another gets its name: FAT could have two files of that name.
    ReplacedRemoval,
    /// The contents of a file that stood there already.
    StandingContents,
    /// The name of a file that stood there already.
    StandingName,
    /// The name of the directory of a new copy.
    CopyName,
    /// The contents of a file that a person asked for: a credential, an enrolment.
    GivenContents,
    /// The name of such a file.
    GivenName,
}

/// A directory, held open.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    /// The copy, or the directory itself where it is in none.
    root: PathBuf,
    /// Path below it; empty for the root.
    relative: String,
    /// Its file system keeps what it knows of a file apart from the file's name.
    inodes: bool,
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Directory {
    /// Opens a directory by its path, which may go through symbolic links.
    pub(crate) fn open(path: &Path) -> rustix::io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        let inodes = has_inodes(&fd);
        Ok(Self { fd, root: path.to_owned(), relative: String::new(), inodes })
    }

    /// The directory in which a file with this path is.
    pub(crate) fn open_parent(path: &Path) -> rustix::io::Result<Self> {
        Self::open(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
    }

    /// The same directory once more.
    pub(crate) fn again(&self) -> io::Result<Self> {
        let (root, relative) = (self.root.clone(), self.relative.clone());
        Ok(Self { fd: self.fd.try_clone()?, root, relative, inodes: self.inodes })
    }

    /// Opens a directory in it; does not follow a link.
    pub(crate) fn below(&self, name: &str) -> rustix::io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty())?;
        Ok(Self { fd, root: self.root.clone(), relative: self.label(name), inodes: self.inodes })
    }

    /// What points are named by.
    fn label(&self, name: &str) -> String {
        if self.relative.is_empty() { name.to_owned() } else { format!("{}/{name}", self.relative) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(&self.relative).join(name)
    }

    /// Makes a directory in it.
    pub(crate) fn make(&self, name: &str) -> rustix::io::Result<()> {
        at("mkdir", &self.label(name), || {
            rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o755))?;
            journal::report(&Operation::MakeDirectory(&self.path(name)));
            Ok(())
        })
    }

    /// Makes a file in it; nothing may have that name.
    pub(crate) fn create(&self, name: &str, mode: u32) -> rustix::io::Result<NewFile> {
        at("create", &self.label(name), || {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(mode))?;
            let path = self.path(name);
            journal::report(&Operation::Create(&path));
            Ok(NewFile { file: File::from(file), path, label: self.label(name) })
        })
    }

    /// Gives a file another name, which nothing may have: [`Errno::EXIST`].
    pub(crate) fn rename(&self, from: &str, to: &str) -> rustix::io::Result<()> {
        at("rename", &self.label(to), || {
            match rustix::fs::renameat_with(&self.fd, from, &self.fd, to, RenameFlags::NOREPLACE) {
                // The file system does not know this flag; the lock on the copy keeps other programs of ours away.
                Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                    match rustix::fs::statat(&self.fd, to, AtFlags::SYMLINK_NOFOLLOW) {
                        Err(Errno::NOENT) => rustix::fs::renameat(&self.fd, from, &self.fd, to)?,
                        Ok(_) => return Err(Errno::EXIST),
                        Err(error) => return Err(error),
                    }
                }
                renamed => renamed?,
            }
            journal::report(&Operation::Rename(&self.path(from), &self.path(to)));
            Ok(())
        })
    }

    /// Removes a file from it. False: there was none.
    pub(crate) fn remove(&self, name: &str) -> rustix::io::Result<bool> {
        at("remove", &self.label(name), || match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) => {
                journal::report(&Operation::Remove(&self.path(name)));
                Ok(true)
            }
            // A directory under the name of a file is somebody else's.
            Err(Errno::NOENT | Errno::ISDIR) => Ok(false),
            Err(error) => Err(error),
        })
    }

    /// Removes a directory from it. False: there was none, or something is in it.
    pub(crate) fn remove_directory(&self, name: &str) -> rustix::io::Result<bool> {
        at("rmdir", &self.label(name), || match rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR) {
            Ok(()) => {
                journal::report(&Operation::RemoveDirectory(&self.path(name)));
                Ok(true)
            }
            Err(Errno::NOENT | Errno::NOTEMPTY | Errno::NOTDIR) => Ok(false),
            Err(error) => Err(error),
        })
    }

    /// Brings the names in it to the medium. Some file systems cannot; then there is nothing to wait for.
    pub(crate) fn sync(&self, why: Sync) -> rustix::io::Result<()> {
        at("fsync", &format!("{}/", self.relative), || match rustix::fs::fsync(&self.fd) {
            Ok(()) => {
                journal::report(&Operation::SyncDirectory(&self.root.join(&self.relative), why));
                Ok(())
            }
            Err(Errno::INVAL | Errno::NOTSUP) => Ok(()),
            Err(error) => Err(error),
        })
    }

    /// Whether a new name of a file must be followed by a sync of the file, and not of the directory alone. While a test
    /// listens, every file system is taken for FAT.
    pub(crate) fn names_hold_sizes(&self) -> bool {
        !self.inodes || journal::is_heard()
    }

    /// Brings the contents of an open file in it to the medium.
    pub(crate) fn sync_file(&self, name: &str, file: &File, why: Sync) -> rustix::io::Result<()> {
        at("fsync", &self.label(name), || {
            rustix::fs::fsync(file)?;
            journal::report(&Operation::SyncFile(&self.path(name), why));
            Ok(())
        })
    }
}

/// Makes a directory by its path.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    at("mkdir", &file_name(path), || {
        std::fs::create_dir(path)?;
        journal::report(&Operation::MakeDirectory(path));
        Ok(())
    })
}

/// Makes a file by its path; nothing may have that name, not even a link.
pub(crate) fn create_file(path: &Path, mode: u32) -> io::Result<NewFile> {
    at("create", &file_name(path), || {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::from_raw_mode(mode))?;
        journal::report(&Operation::Create(path));
        Ok(NewFile { file: File::from(file), path: path.to_owned(), label: file_name(path) })
    })
}

/// FAT and what is like it write the size and the place of a file into the directory, beside the name. Linux gives a file
/// a new name there with size 0, and writes the size with the file, not with the directory. Where a file system is not
/// known, it is taken for such a one.
fn has_inodes(directory: &OwnedFd) -> bool {
    // statfs(2): ext4, xfs, btrfs, f2fs, zfs, tmpfs, overlay.
    const KNOWN: [i128; 7] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x2fc1_2fc1, 0x0102_1994, 0x794c_7630];
    rustix::fs::fstatfs(directory).is_ok_and(|stat| KNOWN.contains(&i128::from(stat.f_type)))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A file that was made here and is open for writing.
#[derive(Debug)]
pub(crate) struct NewFile {
    file: File,
    path: PathBuf,
    label: String,
}

impl NewFile {
    /// Brings its contents to the medium.
    pub(crate) fn sync(&self, why: Sync) -> rustix::io::Result<()> {
        at("fsync", &self.label, || {
            rustix::fs::fsync(&self.file)?;
            journal::report(&Operation::SyncFile(&self.path, why));
            Ok(())
        })
    }

    /// It was renamed in its directory.
    pub(crate) fn named(&mut self, directory: &Directory, name: &str) {
        (self.path, self.label) = (directory.path(name), directory.label(name));
    }

    /// Brings its contents to the medium, and its name.
    pub(crate) fn give(self) -> io::Result<()> {
        self.sync(Sync::GivenContents)?;
        Ok(Directory::open_parent(&self.path)?.sync(Sync::GivenName)?)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        at("append", &self.label, || {
            let count = self.file.write(bytes)?;
            journal::report(&Operation::Append(&self.path, &bytes[..count]));
            Ok(count)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The power may fail before and after each operation. After one that failed, everything is as it was before.
fn at<T, E>(action: &str, label: &str, act: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    if cfg!(not(debug_assertions)) {
        return act();
    }
    fault::point(&format!("{action}:{label}:before"));
    let done = act()?;
    fault::point(&format!("{action}:{label}:after"));
    Ok(done)
}

#[cfg(test)]
mod tests;

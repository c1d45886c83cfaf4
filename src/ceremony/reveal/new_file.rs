//! The file that a credential is written to: whole and under its name, or not there at all.
//!
//! Where the file system allows it, the bytes have no name before they are all there, so that not even a power failure leaves a
//! part of them behind. Elsewhere (FAT) they are in `NAME.part` until then, which is removed when something fails.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Access, AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::fault;

/// A new file of mode 0600 that has not got its name yet.
pub(super) struct NewFile {
    directory: OwnedFd,
    name: OsString,
    /// Its name until then, if it has one.
    part: Option<OsString>,
    file: File,
}

impl NewFile {
    /// What can be known before the ceremony: the directory is there and can be written to, has room, and has no such file.
    ///
    /// # Errors
    /// What a later [`NewFile::begin`] would fail with.
    pub fn check(path: &Path) -> io::Result<()> {
        let (directory, name) = place(path)?;
        match rustix::fs::statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {}
            Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) => return Err(error.into()),
        }
        rustix::fs::accessat(&directory, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::empty())?;
        match rustix::fs::fstatvfs(&directory) {
            Ok(medium) if medium.f_blocks > 0 && medium.f_bavail == 0 => Err(io::ErrorKind::StorageFull.into()),
            // A medium that does not say how much room it has may have some.
            _ => Ok(()),
        }
    }

    /// An empty file; nothing has the name of `path` yet.
    ///
    /// # Errors
    /// Of the directory.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let (directory, name) = place(path)?;
        let mode = Mode::RUSR | Mode::WUSR;
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        match rustix::fs::openat(&directory, ".", flags | OFlags::TMPFILE, mode) {
            Ok(file) => Ok(Self { directory, name, part: None, file: file.into() }),
            Err(Errno::NOTSUP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => {
                let mut part = name.clone();
                part.push(".part");
                let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
                let file = rustix::fs::openat(&directory, &part, flags, mode)?;
                Ok(Self { directory, name, part: Some(part), file: file.into() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Where the bytes go.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Brings the bytes to the medium and gives the file its name, if nothing has that name.
    ///
    /// # Errors
    /// Of the medium; nothing is left there then.
    pub fn finish(mut self) -> io::Result<()> {
        fault::point("fsync:credential:before");
        self.file.sync_all()?;
        fault::point("fsync:credential:after");
        match &self.part {
            None => {
                let descriptor = format!("/proc/self/fd/{}", self.file.as_raw_fd());
                let flags = AtFlags::SYMLINK_FOLLOW;
                rustix::fs::linkat(rustix::fs::CWD, descriptor, &self.directory, &self.name, flags)?;
            }
            Some(part) => {
                self.rename(part)?;
                self.part = None;
                // FAT has the size of a file beside its name, and writes it when the file is synced under that name.
                self.file.sync_all()?;
            }
        }
        fault::point("rename:credential:after");
        rustix::fs::fsync(&self.directory)?;
        fault::point("fsync:directory of the credential:after");
        Ok(())
    }

    fn rename(&self, part: &OsString) -> Result<(), Errno> {
        let (directory, name) = (&self.directory, &self.name);
        match rustix::fs::renameat_with(directory, part, directory, name, RenameFlags::NOREPLACE) {
            // A file system that does not know this flag.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => rustix::fs::renameat(directory, part, directory, name),
                    Ok(_) => Err(Errno::EXIST),
                    Err(error) => Err(error),
                }
            }
            renamed => renamed,
        }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            let _ = rustix::fs::unlinkat(&self.directory, part, AtFlags::empty());
        }
    }
}

/// The open directory, and the name in it.
fn place(path: &Path) -> io::Result<(OwnedFd, OsString)> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok((rustix::fs::open(directory, flags, Mode::empty())?, name))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn it_is_there_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        NewFile::check(&path).unwrap();
        let mut dropped = NewFile::begin(&path).unwrap();
        dropped.file().write_all(b"half").unwrap();
        assert!(!path.exists());
        drop(dropped);
        assert_eq!(names(directory.path()), [""; 0]);

        let mut file = NewFile::begin(&path).unwrap();
        file.file().write_all(b"whole").unwrap();
        file.finish().unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), names(directory.path()).len()), (b"whole".to_vec(), 1));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        // Somebody else's file of that name stays as it is.
        assert_eq!(NewFile::check(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let late = NewFile::begin(&path).unwrap();
        assert_eq!(late.finish().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!((std::fs::read(&path).unwrap(), names(directory.path()).len()), (b"whole".to_vec(), 1));
    }

    #[test]
    fn without_nameless_files_a_part_is_removed_when_something_fails() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        let begin = || {
            let (open, name) = place(&path).unwrap();
            let part = directory.path().join("out.part");
            let file = File::options().write(true).create_new(true).open(part).unwrap();
            NewFile { directory: open, name, part: Some("out.part".into()), file }
        };
        drop(begin());
        assert_eq!(names(directory.path()), [""; 0]);
        let mut file = begin();
        file.file().write_all(b"whole").unwrap();
        file.finish().unwrap();
        assert_eq!(names(directory.path()), ["out"]);
        assert_eq!(begin().finish().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(names(directory.path()), ["out"]);
    }

    #[test]
    fn what_can_be_known_before_is_known_before() {
        let kind = |path: &Path| NewFile::check(path).unwrap_err().kind();
        assert_eq!(kind(Path::new("/proc/self/nothing/out")), io::ErrorKind::NotFound);
        assert_eq!(kind(Path::new("/dev/null/out")), io::ErrorKind::NotADirectory);
        assert_eq!(kind(Path::new("/")), io::ErrorKind::InvalidInput);
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("nowhere", directory.path().join("link")).unwrap();
        assert_eq!(kind(&directory.path().join("link")), io::ErrorKind::AlreadyExists);
    }
}

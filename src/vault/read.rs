//! Reads everything that stands on a copy, with bounds, and believes none of it.

use std::fs::File;
use std::io::{self, Read};

use rustix::fs::{AtFlags, Dir, FileType};
use sha2::{Digest as _, Sha256};

use super::VaultError;
use super::copy::{Copy, type_name};
use super::disk::Directory;
use crate::encoding::Digest;
use crate::transcript::document::MAX_DOCUMENT;
use crate::transcript::place::is_generation_directory;
use crate::transcript::snapshot::Unread;
use crate::transcript::{Content, CopyView, Place};

/// More files than this on one copy are not read.
const MAX_FILES: usize = 200_000;

/// File systems put this into their root by themselves.
pub(super) const LOST_AND_FOUND: &str = "lost+found";

/// Reads the whole copy.
///
/// # Errors
/// [`VaultError::Io`] if the directory itself cannot be read; what is wrong below it is in [`CopyView::unread`].
pub(super) fn view(copy: &Copy) -> Result<CopyView, VaultError> {
    let mut view = CopyView { path: copy.path().display().to_string(), ..CopyView::default() };
    let root = copy.directory("", false)?;
    walk(copy, &root, "", &mut view).map_err(|error| copy.error("the directory", "read", error))?;
    Ok(view)
}

fn unread(view: &mut CopyView, file: String, why: impl Into<String>) {
    view.unread.push(Unread { file, why: why.into() });
}

fn walk(copy: &Copy, directory: &Directory, prefix: &str, view: &mut CopyView) -> io::Result<()> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else {
            let file = format!("{prefix}{}", entry.file_name().to_string_lossy());
            unread(view, file, "has a name that is not UTF-8, and is not a file of a vault");
            continue;
        };
        if matches!(name, "." | "..") || (prefix.is_empty() && name == LOST_AND_FOUND) {
            continue;
        }
        let path = format!("{prefix}{name}");
        if view.files.len() >= MAX_FILES {
            unread(view, path, "is one of too many files to be read");
            return Ok(());
        }
        let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
        let file_type = stat.map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode));
        match (file_type, is_vault_directory(&path)) {
            (FileType::Directory, true) => match copy.directory(&path, false) {
                Ok(below) => {
                    if let Err(error) = walk(copy, &below, &format!("{path}/"), view) {
                        unread(view, path, format!("cannot be read: {error}"));
                    }
                }
                Err(error) => unread(view, path, format!("cannot be read: {error}")),
            },
            (FileType::Directory, false) => unread(view, path, "is a directory that no vault has"),
            (FileType::RegularFile, false) => match content(copy, directory, name, &path) {
                Ok(content) => {
                    view.files.insert(path, content);
                }
                Err(why) => unread(view, path, why),
            },
            (other, _) => unread(view, path, format!("is {}, not what a vault has there", type_name(other))),
        }
    }
    Ok(())
}

fn is_vault_directory(path: &str) -> bool {
    let below = |rest: &str| match rest.split_once('/') {
        None => is_generation_directory(rest),
        Some((directory, rest)) => {
            is_generation_directory(directory) && matches!(rest, "approvals" | "shares" | "items" | "closings")
        }
    };
    matches!(path, "generations" | "records" | "inbox") || path.strip_prefix("generations/").is_some_and(below)
}

fn content(copy: &Copy, directory: &Directory, name: &str, path: &str) -> Result<Content, String> {
    let file = copy.file_in(directory, name, path).map_err(|error| error.to_string())?;
    let mut file = file.ok_or("vanished while it was read")?;
    let cannot = |error: io::Error| format!("cannot be read: {error}");
    let size = file.metadata().map_err(cannot)?.len();
    match Place::of(path) {
        // Never looked at, whatever their size.
        Place::Part | Place::Unknown => Ok(Content::Sealed { size, digest: Digest::of(b"") }),
        place if place.is_sealed() => digest(&mut file).map(|digest| Content::Sealed { size, digest }).map_err(cannot),
        _ => {
            let bytes = bounded(&mut file, MAX_DOCUMENT).map_err(cannot)?;
            let bytes = bytes.ok_or(format!("has more than {MAX_DOCUMENT} bytes, too many for a document"))?;
            Ok(Content::Bytes(bytes.into()))
        }
    }
}

/// All bytes of a file; `None` if they are more than `limit`.
pub(super) fn bounded(file: &mut File, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= limit).then_some(bytes))
}

/// The digest of what is left of a file, in constant memory.
pub(super) fn digest(file: &mut File) -> io::Result<Digest> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Digest::from_bytes(hash.finalize().into())),
            Ok(count) => hash.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

//! Reads everything that stands on a copy, with bounds, and believes none of it.

use std::fs::File;
use std::io::{self, Read};

use rustix::fs::{AtFlags, Dir, FileType};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::VaultError;
use super::copy::{Copy, type_name};
use super::disk::Directory;
use super::layout::{COPY, POLICY, VAULT};
use crate::encoding::Digest;
use crate::transcript::document::MAX_DOCUMENT;
use crate::transcript::place::is_generation_directory;
use crate::transcript::snapshot::Unread;
use crate::transcript::{Checked, Content, CopyMark, CopyView, Place};

/// A sealed file over this many bytes is not read: FAT, which removable media have, holds none.
pub(super) const MAX_SEALED: u64 = (4 << 30) - 1;

/// More directories than this below `generations` are no vault's: rotated every day, it would be 27 years old.
const MAX_GENERATIONS: usize = 10_000;

/// How much of one part of a copy is read. Documents are kept in memory, sealed files only pass through it.
#[derive(Clone, Copy)]
struct Budget {
    files: usize,
    documents: u64,
    sealed: u64,
}

/// What nothing may push out: the generations. A copy with more than this is set aside.
const GENERATIONS: Budget = Budget { files: 200_000, documents: 512 << 20, sealed: 16 << 30 };
/// Records: one custodian alone can sign any number. What is beyond is named, and not read.
const RECORDS: Budget = Budget { files: 100_000, documents: 64 << 20, sealed: 0 };
/// The inbox: anyone may put something there. What is beyond is named, and not read.
const INBOX: Budget = Budget { files: 1_000, documents: 0, sealed: 4 << 30 };
/// Everything else, of which a vault has three files.
const HEAD: Budget = Budget { files: 1_000, documents: 16 << 20, sealed: 0 };

/// The files of a vault that stand in the copy's own directory.
const HEADS: [&str; 3] = [VAULT, POLICY, COPY];

/// File systems put this into their root by themselves.
pub(super) const LOST_AND_FOUND: &str = "lost+found";

/// Reads the whole copy.
///
/// # Errors
/// [`VaultError::Io`] if the directory itself cannot be read; [`VaultError::TooMuch`]. What else is wrong below it is in
/// [`CopyView::unread`].
pub(super) fn view(copy: &Copy) -> Result<CopyView, VaultError> {
    view_within(copy, [HEAD, GENERATIONS, RECORDS, INBOX])
}

/// The mark of a copy, if there is a good one.
pub(super) fn mark(copy: &Copy) -> Option<CopyMark> {
    let mut file = copy.file(COPY).ok().flatten()?;
    CopyMark::read(&bounded(&mut file, 4096).ok().flatten()?).ok()
}

fn view_within(copy: &Copy, [head, generations, records, inbox]: [Budget; 4]) -> Result<CopyView, VaultError> {
    let mut view = CopyView { path: copy.path().display().to_string(), ..CopyView::default() };
    let root = copy.directory("", false)?;
    let mut walk = Walk { copy, view: &mut view, left: head, directories: 0 };
    walk.heads(&root);
    if walk.walk(&root, "").map_err(|error| copy.error("the directory", "read", error))? == Fits::No {
        unread(&mut view, ".".to_owned(), "has more files in it than are read; remove what is not of the vault");
    }
    for (part, budget) in [("generations", generations), ("records", records), ("inbox", inbox)] {
        let mut walk = Walk { copy, view: &mut view, left: budget, directories: 0 };
        if walk.below(&root, part) == Fits::No {
            match part {
                "generations" => return Err(VaultError::TooMuch { copy: copy.path().to_owned() }),
                _ => unread(&mut view, part.to_owned(), "has more in it than is read; what is beyond does not count"),
            }
        }
    }
    Ok(view)
}

fn unread(view: &mut CopyView, file: String, why: impl Into<String>) {
    view.unread.push(Unread { file, why: why.into() });
}

/// Whether everything there was within the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fits {
    Yes,
    No,
}

struct Walk<'a> {
    copy: &'a Copy,
    view: &'a mut CopyView,
    left: Budget,
    /// Directories of generations that were seen.
    directories: usize,
}

impl Walk<'_> {
    /// Reads the files of the copy's own directory by their names: whatever else is there does not push them out.
    fn heads(&mut self, root: &Directory) {
        for name in HEADS {
            let missing = matches!(rustix::fs::statat(root, name, AtFlags::SYMLINK_NOFOLLOW), Err(Errno::NOENT));
            if !missing && self.entry(root, name, name.to_owned()) == Fits::No {
                unread(self.view, name.to_owned(), "has too many bytes");
            }
        }
    }

    /// Reads the directory `path`, if there is one.
    fn below(&mut self, directory: &Directory, path: &str) -> Fits {
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            // What is no directory was noticed where it stands.
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
            _ => return Fits::Yes,
        }
        match self.copy.directory(path, false).map(|below| self.walk(&below, &format!("{path}/"))) {
            Ok(Ok(fits)) => return fits,
            Ok(Err(error)) => unread(self.view, path.to_owned(), format!("cannot be read: {error}")),
            Err(error) => unread(self.view, path.to_owned(), format!("cannot be read: {error}")),
        }
        Fits::Yes
    }

    fn walk(&mut self, directory: &Directory, prefix: &str) -> io::Result<Fits> {
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else {
                let file = format!("{prefix}{}", entry.file_name().to_string_lossy());
                unread(self.view, file, "has a name that is not UTF-8, and is not a file of a vault");
                match self.take_file() {
                    Fits::Yes => continue,
                    Fits::No => return Ok(Fits::No),
                }
            };
            if matches!(name, "." | "..") || (prefix.is_empty() && (name == LOST_AND_FOUND || HEADS.contains(&name))) {
                continue;
            }
            if self.take_file() == Fits::No || self.entry(directory, name, format!("{prefix}{name}")) == Fits::No {
                return Ok(Fits::No);
            }
        }
        Ok(Fits::Yes)
    }

    fn take_file(&mut self) -> Fits {
        let left = self.left.files.checked_sub(1);
        self.left.files = left.unwrap_or(0);
        if left.is_some() { Fits::Yes } else { Fits::No }
    }

    fn entry(&mut self, directory: &Directory, name: &str, path: String) -> Fits {
        let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
        let file_type = stat.map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode));
        match (file_type, is_vault_directory(&path)) {
            // These have budgets of their own.
            (FileType::Directory, true) if !path.contains('/') => {}
            (FileType::Directory, true) => {
                self.directories += usize::from(path.matches('/').count() == 1);
                if self.directories > MAX_GENERATIONS {
                    return Fits::No;
                }
                return self.below(directory, &path);
            }
            (FileType::Directory, false) => unread(self.view, path, "is a directory that no vault has"),
            (FileType::RegularFile, false) => match self.content(directory, name, &path) {
                Ok(Some(content)) if is_unfinished(&path, &content) => self.view.empty.push(path),
                Ok(Some(content)) => drop(self.view.files.insert(path, content)),
                Ok(None) => return Fits::No,
                Err(why) => unread(self.view, path, why),
            },
            (other, _) => {
                unread(self.view, path, format!("is {}, not what a vault has there", type_name(other)));
            }
        }
        Fits::Yes
    }

    /// `None`: it is more than may still be read.
    fn content(&mut self, directory: &Directory, name: &str, path: &str) -> Result<Option<Content>, String> {
        let file = self.copy.file_in(directory, name, path).map_err(|error| error.to_string())?;
        let mut file = file.ok_or("vanished while it was read")?;
        let cannot = |error: io::Error| format!("cannot be read: {}", super::reason(&error));
        let size = file.metadata().map_err(cannot)?.len();
        let fits = |left: &mut u64, size: u64| {
            let rest = left.checked_sub(size);
            *left = rest.unwrap_or(*left);
            rest.is_some()
        };
        match Place::of(path) {
            // Never looked at, whatever their size.
            Place::Part | Place::Unknown => Ok(Some(Content::Sealed { size, digest: Digest::of(b"") })),
            place if place.is_sealed() => {
                if size > MAX_SEALED {
                    return Err(format!("has more than {MAX_SEALED} bytes, too many for a sealed file"));
                }
                if !fits(&mut self.left.sealed, size) {
                    return Ok(None);
                }
                // As much as it said it has: it may grow while it is read.
                let digest = digest(&mut file.take(size)).map_err(cannot)?;
                Ok(Some(Content::Sealed { size, digest }))
            }
            _ => {
                let bytes = bounded(&mut file, MAX_DOCUMENT).map_err(cannot)?;
                let bytes = bytes.ok_or(format!("has more than {MAX_DOCUMENT} bytes, too many for a document"))?;
                let fits = fits(&mut self.left.documents, bytes.len() as u64);
                Ok(fits.then(|| Content::Bytes(bytes.into())))
            }
        }
    }
}

/// No file of a vault is empty.
fn is_unfinished(path: &str, content: &Content) -> bool {
    let empty = match content {
        Content::Bytes(bytes) => bytes.is_empty(),
        Content::Sealed { size, .. } => *size == 0,
    };
    empty && !matches!(Place::of(path), Place::Part | Place::Unknown)
}

/// The directories of a vault that are on the copy, the deepest first.
///
/// # Errors
/// [`VaultError::Io`].
pub(super) fn directories(copy: &Copy) -> Result<Vec<String>, VaultError> {
    let mut found = Vec::new();
    list(copy, "", &mut found)?;
    found.reverse();
    Ok(found)
}

fn list(copy: &Copy, prefix: &str, found: &mut Vec<String>) -> Result<(), VaultError> {
    let error = |error: rustix::io::Errno| copy.error("the directory", "read", error);
    let here = copy.directory(prefix, false)?;
    for entry in Dir::read_from(&here).map_err(error)? {
        let entry = entry.map_err(error)?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        let stat = rustix::fs::statat(&here, name, AtFlags::SYMLINK_NOFOLLOW);
        let is_directory = stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
        if is_directory && is_vault_directory(&path) {
            found.push(path.clone());
            list(copy, &path, found)?;
        }
    }
    Ok(())
}

/// Where a file of a generation may stand on a copy besides `file`: in the directories of the same number.
pub(super) fn same_number(copy: &Copy, file: &str) -> Vec<String> {
    let Place::Generation(directory, of) = Place::of(file) else { return Vec::new() };
    let number = |name: &str| name.split('-').next().unwrap_or_default().to_owned();
    let names = copy.directory("generations", false).ok().and_then(|here| Dir::read_from(&here).ok());
    let names = names.into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned));
    names
        .filter(|name| name != directory && is_generation_directory(name) && number(name) == number(directory))
        .map(|name| format!("generations/{name}/{}", of.path()))
        .collect()
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

/// All bytes of a file; `None` if they are more than `limit`.
pub(super) fn bounded(file: &mut File, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= limit).then_some(bytes))
}

/// The digest of a file, if it is not larger than any file of a vault: a file of nothing but zeros takes no room on a
/// medium and hours to read.
pub(super) fn digest_of(file: &File) -> io::Result<Digest> {
    let size = file.metadata()?.len();
    if size > MAX_SEALED {
        return Err(io::Error::other("it has more bytes than any file of a vault"));
    }
    digest(&mut file.take(size))
}

/// The digest of what is left of a file, in constant memory.
fn digest(file: &mut impl Read) -> io::Result<Digest> {
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const NOTHING: Budget = Budget { files: 100, documents: 1000, sealed: 1000 };

    fn write(root: &Path, file: &str, size: usize) {
        let path = root.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, vec![b'x'; size]).unwrap();
    }

    fn read(root: &Path, budgets: [Budget; 4]) -> Result<CopyView, VaultError> {
        view_within(&Copy::open(root).unwrap(), budgets)
    }

    /// Nobody who fills records or the inbox pushes out what counts; who fills the generations has the copy set aside.
    #[test]
    fn what_is_beyond_a_budget_is_named_and_pushes_nothing_out() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        write(root, "generations/000001/plan.json", 400);
        write(root, "generations/000001/shares/01-alice.age", 400);
        for number in 0..20 {
            write(root, &format!("records/{}.json", Digest::of(&[number])), 400);
            write(root, &format!("inbox/{number}.age"), 400);
        }
        let view = read(root, [NOTHING; 4]).unwrap();
        let named: Vec<&str> = view.unread.iter().map(|unread| unread.file.as_str()).collect();
        assert_eq!(named, ["records", "inbox"]);
        assert_eq!(view.files.len(), 2 + 2 + 2, "two of each fit");
        assert!(view.files.contains_key("generations/000001/plan.json"));
        for file in ["plan.json", "shares/02-bob.age"] {
            write(root, &format!("generations/000002/{file}"), 700);
            assert!(matches!(read(root, [NOTHING; 4]), Err(VaultError::TooMuch { .. })), "{file}");
            std::fs::remove_dir_all(root.join("generations/000002")).unwrap();
        }
        assert!(read(root, [NOTHING; 4]).is_ok());
        let few = Budget { files: 3, ..NOTHING };
        assert!(matches!(read(root, [NOTHING, few, NOTHING, NOTHING]), Err(VaultError::TooMuch { .. })));
    }

    #[test]
    fn a_copy_with_more_generations_than_any_vault_is_set_aside() {
        let place = tempfile::tempdir().unwrap();
        for number in 0..=MAX_GENERATIONS {
            std::fs::create_dir_all(place.path().join(format!("generations/{number:06}"))).unwrap();
        }
        assert!(matches!(view(&Copy::open(place.path()).unwrap()), Err(VaultError::TooMuch { .. })));
        std::fs::remove_dir(place.path().join("generations/000000")).unwrap();
        assert!(view(&Copy::open(place.path()).unwrap()).is_ok());
    }
}

//! A new vault, on several media at once.

use std::path::{Path, PathBuf};

use super::copies::Copies;
use super::copy::Copy;
use super::disk::{self, Directory, Sync};
use super::layout::{COPY, POLICY, VAULT};
use super::read::{self, LOST_AND_FOUND};
use super::{VaultError, write};
use crate::encoding::{Digest, Document, Nonce16};
use crate::transcript::document::MAX_DOCUMENT;
use crate::transcript::{Checked, CopyMark, Founding};

/// Makes the copies of a new vault in new or empty directories. A directory in which this very founding was interrupted is
/// taken as it is.
///
/// # Errors
/// [`VaultError::NotEmpty`], before anything is written anywhere; [`VaultError::Io`].
pub fn create(paths: &[PathBuf], founding: &Founding, policy: &[u8]) -> Result<Copies, VaultError> {
    let body = founding.encode();
    let mut copies: Vec<Copy> = Vec::new();
    for path in paths {
        let copy = make(path)?;
        if let Some(other) = copies.iter().find(|other| other.is_same(&copy)) {
            return Err(VaultError::Same { first: other.path().to_owned(), second: path.clone() });
        }
        refuse_strangers(&copy, &body, policy)?;
        copies.push(copy);
    }
    let vault = Digest::of(&body);
    for copy in &copies {
        write::write_new(copy, POLICY, policy)?;
        let view = read::view(copy)?;
        let fits = view.mark().is_some_and(|mark| mark.vault == vault);
        // A mark without a founding body is of a founding that was interrupted, and may name another vault.
        let taken = view.files.contains_key(VAULT) && view.files.contains_key(COPY);
        if !fits && !taken {
            let id = Nonce16::random().map_err(|_| VaultError::Random)?;
            write::write_over(copy, COPY, &CopyMark::new(id, vault).encode())?;
        }
        // Last: wherever there is a founding body, there is a mark.
        write::write_new(copy, VAULT, &body)?;
    }
    Copies::open(paths)
}

/// The founding body that stands in this directory; none if there is none that reads.
pub fn standing(path: &Path) -> Option<Founding> {
    let mut file = Copy::open(path).ok()?.file(VAULT).ok()??;
    let bytes = read::bounded(&mut file, MAX_DOCUMENT).ok()??;
    Founding::read(&bytes).ok()
}

/// Makes the directory, if it is not there, and opens it.
pub(super) fn make(path: &Path) -> Result<Copy, VaultError> {
    match disk::make_directory(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let missing =
                path.ancestors().skip(1).take_while(|parent| !parent.as_os_str().is_empty() && !parent.exists());
            let missing = missing.last().unwrap_or(path).to_owned();
            return Err(VaultError::NoParent { copy: path.to_owned(), missing });
        }
        Err(source) => {
            let (copy, file) = (path.to_owned(), "the directory".to_owned());
            return Err(VaultError::Io { copy, file, action: "make", source });
        }
    }
    // So that the directory itself survives a power cut, also one that an interrupted run has made; where that cannot be
    // done, the copy is still good.
    let _ = Directory::open_parent(path).and_then(|parent| parent.sync(Sync::CopyName));
    Copy::open(path)
}

/// An interrupted founding may have left the policy alone, or the policy and a mark.
fn refuse_strangers(copy: &Copy, body: &[u8], policy: &[u8]) -> Result<(), VaultError> {
    let view = read::view(copy)?;
    let same = view.files.get(VAULT).is_some_and(|content| content.bytes() == Some(body));
    let begun = view.files.get(POLICY).is_some_and(|content| content.bytes() == Some(policy));
    let unborn = begun && !view.files.contains_key(VAULT);
    let harmless = |file: &str| {
        same || (begun && file == POLICY)
            || (unborn && file == COPY)
            || file == LOST_AND_FOUND
            || file.ends_with(".part")
    };
    let files = view.files.keys().map(String::as_str).chain(view.unread.iter().map(|unread| unread.file.as_str()));
    let directories =
        ["generations", "records", "inbox"].into_iter().filter(|name| copy.directory(name, false).is_ok());
    match files.chain(directories).find(|file| !harmless(file)) {
        None => Ok(()),
        Some(found) => Err(VaultError::NotEmpty { copy: copy.path().to_owned(), found: found.to_owned() }),
    }
}

//! Software tokens as files of a directory: `NAME.token`, each a card that is "inserted" while the file is there.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, inotify};
use zeroize::Zeroizing;

use super::{SoftCard, SoftCardOptions};
use crate::interrupt;
use crate::token::channel::{Channel, ChannelError, Link, Presence, Source};

#[cfg(test)]
mod tests;

const EXTENSION: &str = "token";
/// Bytes of a token file: all objects and keys in hex, and room to spare.
const LARGEST: u64 = 1 << 20;

/// A directory of software tokens.
#[derive(Debug)]
pub struct SoftSource {
    dir: PathBuf,
}

impl SoftSource {
    /// The tokens in `dir`.
    ///
    /// # Errors
    /// [`ChannelError::Soft`] if it is not a directory that can be read.
    pub fn open(dir: &Path) -> Result<Self, ChannelError> {
        let source = Self { dir: dir.to_owned() };
        source.names()?;
        Ok(source)
    }

    fn names(&self) -> Result<Vec<String>, ChannelError> {
        let soft = |error: std::io::Error| failed(&self.dir, &error.to_string());
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(soft)? {
            let name = entry.map_err(soft)?.file_name();
            if let Some(name) = name.to_str().filter(|name| is_token(name)) {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }
}

/// Makes a fresh software token, the file `dir/NAME.token`, mode 0600.
///
/// # Errors
/// [`ChannelError::Soft`] if it cannot be written or is there already.
pub fn create_token(dir: &Path, name: &str, options: SoftCardOptions) -> Result<(), ChannelError> {
    let path = dir.join(format!("{name}.{EXTENSION}"));
    if path.exists() {
        return Err(failed(&path, "it exists already"));
    }
    let card = SoftCard::create(options).map_err(|error| failed(&path, &error.to_string()))?;
    replace(&path, &card.to_bytes()).map_err(|error| failed(&path, &error.to_string()))?;
    Ok(())
}

impl Source for SoftSource {
    fn software(&self) -> bool {
        true
    }

    fn present(&mut self) -> Result<Vec<Presence>, ChannelError> {
        let mut present = Vec::new();
        for reader in self.names()? {
            match load(&self.dir.join(&reader)) {
                Ok((_, card)) => present.push(Presence { reader, insertion: card.state.id }),
                // Taken out since the directory was listed.
                Err(ChannelError::Removed { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(present)
    }

    fn wait(&mut self, seen: &[Presence]) -> Result<(), ChannelError> {
        let soft = |error: rustix::io::Errno| failed(&self.dir, &error.to_string());
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).map_err(soft)?;
        // Not CREATE: a token that is being copied into the directory is there when its file is closed.
        let events = inotify::WatchFlags::CLOSE_WRITE
            | inotify::WatchFlags::MOVE
            | inotify::WatchFlags::DELETE
            | inotify::WatchFlags::DELETE_SELF;
        inotify::add_watch(&watch, &self.dir, events).map_err(soft)?;
        // What changed before the watch stood is seen here, what changes later by the watch.
        loop {
            if interrupt::requested() {
                return Err(ChannelError::Interrupted);
            }
            if self.present()? != seen {
                return Ok(());
            }
            let dir = &self.dir;
            wait_readable(&watch).map_err(|error| failed(dir, &error.to_string()))?;
        }
    }

    fn connect(&mut self, presence: &Presence) -> Result<Box<dyn Link>, ChannelError> {
        let link = SoftLink { path: self.dir.join(&presence.reader), id: presence.insertion };
        link.load()?;
        Ok(Box::new(link))
    }
}

/// Sleeps until the watch has events, which are read away, or somebody wants the program to stop.
fn wait_readable(watch: &rustix::fd::OwnedFd) -> Result<(), rustix::io::Errno> {
    let bell = interrupt::descriptor();
    let mut fds = vec![PollFd::new(watch, PollFlags::IN)];
    fds.extend(bell.as_ref().map(|bell| PollFd::new(bell, PollFlags::IN)));
    match poll(&mut fds, None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error),
    }
    let mut events = [0; 4096];
    loop {
        match rustix::io::read(watch, &mut events) {
            Ok(1..) => {}
            Ok(0) | Err(rustix::io::Errno::AGAIN) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

fn is_token(name: &str) -> bool {
    !name.starts_with('.') && Path::new(name).extension().is_some_and(|extension| extension == EXTENSION)
}

fn failed(path: &Path, reason: &str) -> ChannelError {
    ChannelError::Soft { file: path.display().to_string(), reason: reason.to_owned() }
}

fn reader_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The open file and the card in it.
fn load(path: &Path) -> Result<(File, SoftCard), ChannelError> {
    // A FIFO without a writer is not waited for.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty()).map_err(std::io::Error::from);
    let file = File::from(opened.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => ChannelError::Removed { reader: reader_of(path) },
        _ => failed(path, &error.to_string()),
    })?);
    let mut bytes = Zeroizing::new(Vec::new());
    (&file).take(LARGEST).read_to_end(&mut bytes).map_err(|error| failed(path, &error.to_string()))?;
    let card = SoftCard::from_bytes(&bytes).map_err(|error| failed(path, &error.to_string()))?;
    Ok((file, card))
}

/// Writes a file durably in the place of `path` and returns it, locked: whoever waits for the lock of the old file finds
/// that it is not at `path` any more.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<File> {
    let part = path.with_extension("part");
    match std::fs::remove_file(&part) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&part, path)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir)?.sync_all()?;
    Ok(file)
}

struct SoftLink {
    path: PathBuf,
    id: u64,
}

impl SoftLink {
    /// The card, if it is still the one that was connected to.
    fn load(&self) -> Result<(File, SoftCard), ChannelError> {
        let (file, card) = load(&self.path)?;
        if card.state.id != self.id {
            return Err(ChannelError::Removed { reader: reader_of(&self.path) });
        }
        Ok((file, card))
    }

    /// Whether `file` is what stands at the path now.
    fn is_current(&self, file: &File) -> bool {
        match (file.metadata(), std::fs::metadata(&self.path)) {
            (Ok(held), Ok(found)) => (held.dev(), held.ino()) == (found.dev(), found.ino()),
            _ => false,
        }
    }
}

impl Link for SoftLink {
    fn begin(&mut self) -> Result<Box<dyn Channel + '_>, ChannelError> {
        loop {
            let (file, _) = self.load()?;
            match flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(ChannelError::Busy { reader: reader_of(&self.path) });
                }
                Err(error) => return Err(failed(&self.path, &error.to_string())),
            }
            // Between reading and locking another process may have replaced the file: then read the new one.
            if self.is_current(&file) {
                let (_, mut card) = self.load()?;
                card.power_on();
                return Ok(Box::new(SoftChannel { written: Zeroizing::new(card.to_bytes()), card, file, link: self }));
            }
        }
    }
}

struct SoftChannel<'a> {
    link: &'a SoftLink,
    card: SoftCard,
    /// The bytes in the file.
    written: Zeroizing<Vec<u8>>,
    /// Held for its lock.
    file: File,
}

impl Channel for SoftChannel<'_> {
    fn transmit(&mut self, apdu: &[u8]) -> Result<Zeroizing<Vec<u8>>, ChannelError> {
        let header: Vec<u8> = apdu.iter().copied().chain([0; 4]).take(4).collect();
        let name = format!("{:02X} {:02X}{:02X}", header[1], header[2], header[3]);
        if !self.link.is_current(&self.file) {
            return Err(ChannelError::Removed { reader: reader_of(&self.link.path) });
        }
        crate::fault::point(&format!("apdu:before:{name}"));
        let answer = Zeroizing::new(self.card.answer(apdu));
        let bytes = Zeroizing::new(self.card.to_bytes());
        if *bytes != *self.written {
            self.file =
                replace(&self.link.path, &bytes).map_err(|error| failed(&self.link.path, &error.to_string()))?;
            self.written = bytes;
        }
        crate::fault::point(&format!("apdu:after:{name}"));
        Ok(answer)
    }
}

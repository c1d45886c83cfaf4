//! Files that people give by hand: nothing is waited for, and no more is read than such a file can have.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::Failure;

/// All bytes of a regular file; a symbolic link to one will do.
///
/// # Errors
/// [`Failure::Io`], also if it is something else, or has more than `limit` bytes.
pub fn read(path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    let failed = |source: std::io::Error| Failure::io(format!("reading {}", path.display()))(source);
    let no_file = |what: &str| failed(std::io::Error::other(format!("it is {what}, not a file")));
    // Opened so that a FIFO without a writer does not keep the program.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?);
    let found = file.metadata().map_err(failed)?.file_type();
    if found.is_dir() {
        return Err(no_file("a directory"));
    } else if found.is_fifo() {
        return Err(no_file("a FIFO"));
    } else if !found.is_file() {
        return Err(no_file("a device"));
    }
    let mut bytes = Vec::new();
    (&mut file).take(limit as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > limit {
        return Err(failed(std::io::Error::other(format!("it is larger than {} KiB", limit >> 10))));
    }
    Ok(bytes)
}

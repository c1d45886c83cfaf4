//! What kind of medium a copy is on.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::copy::Copy;

/// The medium of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Medium {
    /// Where the copy is.
    pub path: PathBuf,
    /// Bytes that can still be written; none if the system does not say.
    pub free: Option<u64>,
    /// For example `vfat`; a number in hex if it is one that nobody named.
    pub file_system: String,
    /// Files can be added to it.
    pub writable: bool,
    /// It has too little room for one more generation, as far as that is known.
    pub full: bool,
    /// Bytes in which it gives room away.
    pub block: u64,
    /// It is gone when the machine is switched off.
    pub volatile: bool,
}

impl Medium {
    /// The medium of a directory; none if it cannot be opened.
    pub fn at(path: &Path) -> Option<Self> {
        Copy::open(path).ok().map(|copy| Self::of(&copy))
    }

    /// Whether files of these sizes, in bytes, fit on it, as far as the system says.
    pub(super) fn has_room(&self, sizes: &[u64]) -> bool {
        // A directory for each kind of file, and records.
        let needed: u64 = sizes.iter().map(|size| size.div_ceil(self.block).max(1)).sum::<u64>() + 16;
        self.free.is_none_or(|free| free / self.block >= needed)
    }

    pub(super) fn of(copy: &Copy) -> Self {
        let stat = rustix::fs::fstatfs(copy.root()).ok();
        let free = stat.and_then(|stat| {
            let size = u64::try_from(stat.f_bsize).ok()?;
            stat.f_bavail.checked_mul(size)
        });
        let file_system = stat.map_or_else(|| "unknown".to_owned(), |stat| name(i128::from(stat.f_type)));
        let volatile = matches!(file_system.as_str(), "tmpfs" | "ramfs");
        let block = stat.and_then(|stat| u64::try_from(stat.f_bsize).ok()).filter(|block| *block > 0).unwrap_or(4096);
        let (path, writable) = (copy.path().to_owned(), copy.is_writable());
        Self { path, free, file_system, writable, full: false, block, volatile }
    }
}

/// Two copies on the same file system, if there are any.
pub fn on_one_medium(paths: &[PathBuf]) -> Option<(&Path, &Path)> {
    let device = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.dev()).ok();
    paths.iter().enumerate().find_map(|(place, first)| {
        let here = device(first)?;
        let second = paths[place + 1..].iter().find(|second| device(second) == Some(here))?;
        Some((first.as_path(), second.as_path()))
    })
}

/// The magic numbers of statfs(2).
fn name(magic: i128) -> String {
    let known = match magic {
        0xef53 => "ext4",
        0x4d44 => "vfat",
        0x2011_bab0 => "exfat",
        0x0102_1994 => "tmpfs",
        0x8584_58f6 => "ramfs",
        0x9123_683e => "btrfs",
        0x5846_5342 => "xfs",
        0x5346_544e | 0x7366_746e => "ntfs",
        0x6969 => "nfs",
        0xff53_4d42 | 0xfe53_4d42 => "cifs",
        0x6573_5546 => "fuse",
        0x9660 => "iso9660",
        0x1501_3346 => "udf",
        0x7371_7368 => "squashfs",
        0x794c_7630 => "overlay",
        0x2fc1_2fc1 => "zfs",
        other => return format!("{other:#x}"),
    };
    known.to_owned()
}

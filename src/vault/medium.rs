//! What kind of medium a copy is on.

use std::path::PathBuf;

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
    /// It is gone when the machine is switched off.
    pub volatile: bool,
}

impl Medium {
    pub(super) fn of(copy: &Copy) -> Self {
        let stat = rustix::fs::fstatfs(copy.root()).ok();
        let free = stat.and_then(|stat| {
            let size = u64::try_from(stat.f_bsize).ok()?;
            stat.f_bavail.checked_mul(size)
        });
        let file_system = stat.map_or_else(|| "unknown".to_owned(), |stat| name(i128::from(stat.f_type)));
        let volatile = matches!(file_system.as_str(), "tmpfs" | "ramfs");
        Self { path: copy.path().to_owned(), free, file_system, writable: copy.is_writable(), volatile }
    }
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

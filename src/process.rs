//! What the process does for its own secrecy, and what it finds around it: core dumps, locked memory, swap, tracing,
//! network. Linux.
//!
//! Nothing here stops anything: each [`Weakness`] is told to the people in the room, and what becomes of it is theirs to
//! decide. The zeroing allocator is not here but in `main`, where a program has it.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use sha2::{Digest as _, Sha256};

use crate::encoding::Digest;

#[cfg(test)]
mod tests;

/// One thing that could carry a secret out of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Weakness {
    /// A crash could write the memory to disk.
    CoreDumps {
        /// Why they could not be switched off.
        reason: String,
    },
    /// Memory could be written to swap.
    MemoryNotLocked {
        /// Why it could not be locked.
        reason: String,
    },
    /// Swap is on.
    Swap {
        /// Devices and files.
        areas: Vec<String>,
    },
    /// Another process traces this one and can read its memory.
    Traced {
        /// Its process id.
        by: u32,
    },
    /// The machine is on a network.
    Network {
        /// Interfaces that are up, without loopback.
        interfaces: Vec<String>,
    },
    /// It could not be found out.
    Unknown {
        /// What could not be looked at.
        what: &'static str,
    },
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CoreDumps { reason } => write!(f, "core dumps cannot be switched off ({reason})"),
            Self::MemoryNotLocked { reason } => write!(f, "the memory is not locked ({reason})"),
            Self::Swap { areas } => write!(f, "swap is on: {}", areas.join(", ")),
            Self::Traced { by } => write!(f, "the process is traced by process {by}"),
            Self::Network { interfaces } => write!(f, "network interfaces are up: {}", interfaces.join(", ")),
            Self::Unknown { what } => write!(f, "{what} cannot be read"),
        }
    }
}

impl Weakness {
    /// What the person can do now.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::CoreDumps { .. } => "run `ulimit -c 0` and start again",
            Self::MemoryNotLocked { .. } => {
                "run `ulimit -l unlimited` as root and start again from that shell, or switch swap off"
            }
            Self::Swap { .. } => "run `swapoff -a` as root",
            Self::Traced { .. } => "end that process, and find out whose it is",
            Self::Network { .. } => "pull the cable, switch radio off, or take the interfaces down",
            Self::Unknown { .. } => "use an ordinary Linux with /proc and /sys",
        }
    }
}

/// Switches core dumps off and locks the memory, as far as the system lets it. To be called first of all.
pub fn harden() -> Vec<Weakness> {
    let mut weaknesses = Vec::new();
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    // Not dumpable is what counts: a core pattern with a pipe does not ask for the limit (core(5)). It also keeps other
    // processes of the same user from tracing this one (prctl(2), PR_SET_DUMPABLE).
    let limited = setrlimit(Resource::Core, none);
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable).and(limited) {
        weaknesses.push(Weakness::CoreDumps { reason: error.to_string() });
    }
    if let Err(reason) = lock_memory() {
        weaknesses.push(Weakness::MemoryNotLocked { reason });
    }
    weaknesses
}

/// Locks all pages, those to come as well, as they are touched. Where a limit stands in the way nothing is locked: the
/// process would die in the middle of a ceremony when it reaches the limit.
fn lock_memory() -> Result<(), String> {
    let unlimited = Rlimit { current: None, maximum: None };
    let _ = setrlimit(Resource::Memlock, unlimited);
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    if !may_lock(&read("/proc/self/status")) {
        // Read there, and not asked for with prlimit(2): a sandbox may forbid that, and rustix does not expect it.
        match locked_limit(&read("/proc/self/limits")) {
            Some(Limit::None) => {}
            Some(Limit::Bytes(bytes)) => return Err(format!("only {} KiB are allowed", bytes / 1024)),
            None => return Err("how much is allowed cannot be read".to_owned()),
        }
    }
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    mlockall(flags).map_err(|error| error.to_string())
}

/// What can be seen of the machine and of the process without changing anything.
pub fn preflight() -> Vec<Weakness> {
    let proc = |file: &str| std::fs::read_to_string(Path::new("/proc").join(file)).ok();
    let swap = match proc("swaps") {
        Some(text) => swap_areas(&text),
        // A kernel without swap has no such file.
        None => Vec::new(),
    };
    let mut weaknesses = Vec::new();
    if !swap.is_empty() {
        weaknesses.push(Weakness::Swap { areas: swap });
    }
    match proc("self/status").as_deref().and_then(tracer) {
        Some(0) => {}
        Some(by) => weaknesses.push(Weakness::Traced { by }),
        None => weaknesses.push(Weakness::Unknown { what: "/proc/self/status" }),
    }
    match interfaces_up(Path::new("/sys/class/net")) {
        Ok(interfaces) if interfaces.is_empty() => {}
        Ok(interfaces) => weaknesses.push(Weakness::Network { interfaces }),
        Err(_) => weaknesses.push(Weakness::Unknown { what: "/sys/class/net" }),
    }
    weaknesses
}

static HARDENED: OnceLock<Vec<Weakness>> = OnceLock::new();

/// [`harden`], once; what it could not do is remembered for [`weaknesses`].
pub fn harden_once() {
    HARDENED.get_or_init(harden);
}

/// Everything that could carry a secret out of this process, one clause each.
pub fn weaknesses() -> Vec<String> {
    let hardened = HARDENED.get_or_init(harden).iter().map(Weakness::to_string);
    hardened.chain(preflight().iter().map(Weakness::to_string)).collect()
}

/// SHA-256 of the program that is running.
///
/// # Errors
/// If `/proc/self/exe` cannot be read.
pub fn own_digest() -> io::Result<Digest> {
    static OWN: OnceLock<Digest> = OnceLock::new();
    if let Some(known) = OWN.get() {
        return Ok(*known);
    }
    let digest = digest_of_program()?;
    Ok(*OWN.get_or_init(|| digest))
}

fn digest_of_program() -> io::Result<Digest> {
    let mut program = std::fs::File::open("/proc/self/exe")?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match io::Read::read(&mut program, &mut buffer)? {
            0 => return Ok(Digest::from_bytes(hash.finalize().into())),
            read => hash.update(&buffer[..read]),
        }
    }
}

/// The first column of `/proc/swaps`, without its heading (proc(5)).
fn swap_areas(swaps: &str) -> Vec<String> {
    swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// `TracerPid` of `/proc/self/status`: 0 if there is none (proc(5)).
fn tracer(status: &str) -> Option<u32> {
    field(status, "TracerPid")?.parse().ok()
}

/// Whether the limit on locked memory does not apply: `CAP_IPC_LOCK`, bit 14 of `CapEff` (capabilities(7)).
fn may_lock(status: &str) -> bool {
    let effective = field(status, "CapEff").and_then(|hex| u64::from_str_radix(hex, 16).ok());
    effective.is_some_and(|bits| bits & 1 << 14 != 0)
}

/// How much memory may be locked.
#[derive(Debug, PartialEq, Eq)]
enum Limit {
    None,
    Bytes(u64),
}

/// The soft limit in the line `Max locked memory` of `/proc/self/limits`, in bytes (proc(5)).
fn locked_limit(limits: &str) -> Option<Limit> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max locked memory"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(Limit::None),
        bytes => bytes.parse().ok().map(Limit::Bytes),
    }
}

/// Interfaces that are up and could carry something: `IFF_UP` without `IFF_LOOPBACK`, and not known to be unplugged
/// (netdevice(7); the kernel's `sysfs-class-net`).
fn interfaces_up(net: &Path) -> io::Result<Vec<String>> {
    let mut up = Vec::new();
    for entry in std::fs::read_dir(net)? {
        let entry = entry?;
        let read = |file: &str| std::fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        let flags = read("flags");
        let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).unwrap_or(0);
        let unplugged = matches!(read("operstate").trim(), "down" | "notpresent" | "lowerlayerdown");
        if flags & 0x1 != 0 && flags & 0x8 == 0 && !unplugged {
            up.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    up.sort();
    Ok(up)
}

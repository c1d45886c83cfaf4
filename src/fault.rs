//! Places where tests cut the power.
//!
//! [`point`] stands before and after every write and every APDU. In a debug build, `CLAVIGER_FAULT_AT=n` kills the
//! process (SIGKILL: no destructors, no error returned) at the n-th point of the run, and `CLAVIGER_FAULT_LOG=FILE` appends the
//! name of each point as it is passed. A test that holds a ceremony in its own process hears of each point by [`watch`].
//! `CLAVIGER_FAULT_UNREADABLE=INODE,INODE` makes these files bad sectors: they cannot be read. In a release build the
//! functions are empty.

pub mod inspect;

/// Says which of the tests' switches are set, where they are obeyed: nobody is to hold a ceremony with them unawares.
pub fn say_switches() {
    let is_ours = |name: &String| name.starts_with("CLAVIGER_FAULT_") || name == "CLAVIGER_INSPECT";
    let names = || std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).filter(is_ours);
    if cfg!(debug_assertions) && names().next().is_some() {
        let mut names: Vec<String> = names().collect();
        names.sort();
        crate::report::remark(&format!("this is a build for tests: {} may make it fail", names.join(", ")));
    }
}

/// How many seconds the machine's clock is to be ahead of what it is.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn clock_offset() -> i64 {
    0
}

/// How many seconds the machine's clock is to be ahead of what it is: what `CLAVIGER_FAULT_CLOCK` says, or
/// [`shift_clock`] on this thread.
#[cfg(debug_assertions)]
pub fn clock_offset() -> i64 {
    let asked = std::env::var("CLAVIGER_FAULT_CLOCK").ok();
    asked.and_then(|seconds| seconds.parse().ok()).unwrap_or_else(|| CLOCK.get())
}

#[cfg(debug_assertions)]
thread_local! {
    static CLOCK: std::cell::Cell<i64> = const { std::cell::Cell::new(0) };
}

/// From now on the clock is so many seconds ahead for this thread.
#[cfg(debug_assertions)]
pub fn shift_clock(seconds: i64) {
    CLOCK.set(seconds);
}

/// Whether locks on copies are to do nothing, as on a file system that says yes to everybody: in a debug build with
/// `CLAVIGER_FAULT_NO_LOCKS`, for tests of what two ceremonies at once do to each other.
pub fn locks_are_ignored() -> bool {
    cfg!(debug_assertions) && std::env::var_os("CLAVIGER_FAULT_NO_LOCKS").is_some()
}

/// One place where the power may fail. `name` says which, for example `write:generations/000002/COMMIT:before`.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn point(_name: &str) {}

/// One place where the power may fail. `name` says which, for example `write:generations/000002/COMMIT:before`.
#[cfg(debug_assertions)]
pub fn point(name: &str) {
    use std::io::Write;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static PASSED: AtomicU64 = AtomicU64::new(0);
    static AT: OnceLock<Option<u64>> = OnceLock::new();
    static LOG: OnceLock<Option<std::path::PathBuf>> = OnceLock::new();

    heard(name);
    let number = PASSED.fetch_add(1, Ordering::SeqCst) + 1;
    if let Some(path) = LOG.get_or_init(|| std::env::var_os("CLAVIGER_FAULT_LOG").map(Into::into)) {
        let log = std::fs::OpenOptions::new().append(true).create(true).open(path);
        if let Ok(mut log) = log {
            let _ = writeln!(log, "{number} {name}");
        }
    }
    let at = AT.get_or_init(|| std::env::var("CLAVIGER_FAULT_AT").ok()?.parse().ok());
    if *at == Some(number) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Whether reading the file with this inode fails.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn is_unreadable(_inode: u64) -> bool {
    false
}

/// Whether reading the file with this inode fails.
#[cfg(debug_assertions)]
pub fn is_unreadable(inode: u64) -> bool {
    static INODES: std::sync::OnceLock<Vec<u64>> = std::sync::OnceLock::new();
    let named = || {
        let inodes = std::env::var("CLAVIGER_FAULT_UNREADABLE").unwrap_or_default();
        inodes.split(',').filter_map(|inode| inode.parse().ok()).collect()
    };
    INODES.get_or_init(named).contains(&inode)
}

#[cfg(debug_assertions)]
type Watcher = Box<dyn FnMut(&str)>;

#[cfg(debug_assertions)]
thread_local! {
    static WATCHER: std::cell::RefCell<Option<Watcher>> = const { std::cell::RefCell::new(None) };
}

/// Calls `watcher` at each point that this thread passes, until what is returned is dropped.
#[cfg(debug_assertions)]
pub fn watch(watcher: impl FnMut(&str) + 'static) -> Watch {
    WATCHER.with(|place| *place.borrow_mut() = Some(Box::new(watcher)));
    Watch(())
}

/// A thread's points are watched until it is dropped.
#[cfg(debug_assertions)]
#[derive(Debug)]
#[must_use = "when it is dropped, nothing is watched any more"]
pub struct Watch(());

#[cfg(debug_assertions)]
impl Drop for Watch {
    fn drop(&mut self) {
        WATCHER.with(|place| *place.borrow_mut() = None);
    }
}

#[cfg(debug_assertions)]
fn heard(name: &str) {
    WATCHER.with(|place| {
        // What a watcher itself passes is not heard.
        if let Ok(mut watcher) = place.try_borrow_mut()
            && let Some(watcher) = watcher.as_mut()
        {
            watcher(name);
        }
    });
}

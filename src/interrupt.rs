//! Ctrl-C: a flag that waiting code looks at, a file descriptor that it can poll, and callbacks for waits that can only
//! be cancelled from another thread (PC/SC).
//!
//! Nothing is stopped by force: a ceremony stops at a place where it can go on later. Ctrl-C at a prompt arrives here too
//! when the terminal makes a signal of it.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

static REQUESTED: AtomicBool = AtomicBool::new(false);
static NEXT_CALLBACK: AtomicU64 = AtomicU64::new(0);
static CALLBACKS: Mutex<Vec<(u64, Callback)>> = Mutex::new(Vec::new());
static BELL: OnceLock<Bell> = OnceLock::new();

type Callback = Box<dyn Fn() + Send>;

/// A pair of connected sockets: what is written to one end makes the other readable.
struct Bell {
    ring: UnixStream,
    heard: UnixStream,
}

/// From now on SIGINT, SIGTERM and SIGHUP do not end the process; they are noted here. Calling it again does nothing.
///
/// # Errors
/// If the system has no file descriptors or threads left.
pub fn install() -> std::io::Result<()> {
    if BELL.get().is_some() {
        return Ok(());
    }
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let (ring, heard) = UnixStream::pair()?;
    ring.set_nonblocking(true)?;
    heard.set_nonblocking(true)?;
    if BELL.set(Bell { ring, heard }).is_err() {
        return Ok(());
    }
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for _ in signals.forever() {
            request();
        }
    })?;
    Ok(())
}

/// What a signal does: notes the wish to stop and wakes whoever waits.
pub fn request() {
    REQUESTED.store(true, Ordering::SeqCst);
    if let Some(bell) = BELL.get() {
        // A full socket has been rung already.
        let _ = (&bell.ring).write(&[1]);
    }
    for (_, callback) in CALLBACKS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        callback();
    }
}

/// Whether somebody wants the program to stop.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// Forgets the wish, once it was answered.
pub fn clear() {
    REQUESTED.store(false, Ordering::SeqCst);
    if let Some(bell) = BELL.get() {
        let mut drained = [0; 64];
        while matches!((&bell.heard).read(&mut drained), Ok(1..)) {}
    }
}

/// Readable from the moment somebody wants the program to stop until [`clear`]. `None` before [`install`].
pub fn descriptor() -> Option<BorrowedFd<'static>> {
    BELL.get().map(|bell| bell.heard.as_fd())
}

/// Has `callback` run, on another thread, when somebody wants the program to stop; at once if that is so already. It is
/// forgotten when the returned value is dropped. It must neither call [`on_interrupt`] nor drop a [`Registration`].
#[must_use = "the callback is forgotten when this is dropped"]
pub fn on_interrupt(callback: impl Fn() + Send + 'static) -> Registration {
    let number = NEXT_CALLBACK.fetch_add(1, Ordering::SeqCst);
    let mut callbacks = CALLBACKS.lock().unwrap_or_else(PoisonError::into_inner);
    if requested() {
        callback();
    }
    callbacks.push((number, Box::new(callback)));
    Registration(number)
}

/// Keeps a callback of [`on_interrupt`] registered.
#[derive(Debug)]
pub struct Registration(u64);

impl Drop for Registration {
    fn drop(&mut self) {
        CALLBACKS.lock().unwrap_or_else(PoisonError::into_inner).retain(|(number, _)| *number != self.0);
    }
}

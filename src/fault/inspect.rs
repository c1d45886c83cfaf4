//! Lets a test look at the process: at which stage it is, and which secrets exist in it.
//!
//! In a debug build with `CLAVIGER_INSPECT=SOCKET`, [`stage`] says the stage's name on that Unix socket and waits for one byte:
//! meanwhile whoever listens can read the memory of the process. `p` makes it panic there, `a` abort. [`secret`] hands over each secret as it comes to exist,
//! straight from the place where it lives, so that no copy of it is made. In a release build both functions are empty.

/// A stage is reached.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn stage(_name: &str) {}

/// A secret exists from now on. `kind` is one word.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn secret(_kind: &str, _bytes: &[u8]) {}

#[cfg(debug_assertions)]
pub use watched::{secret, stage};

#[cfg(debug_assertions)]
mod watched {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::sync::OnceLock;

    use rustix::process::{DumpableBehavior, set_dumpable_behavior};

    /// A stage is reached: waits until the listener has looked.
    pub fn stage(name: &str) {
        let Some(mut listener) = listener() else { return };
        // A listener who is not root may read the memory of a process only while it is dumpable.
        let _ = set_dumpable_behavior(DumpableBehavior::Dumpable);
        let mut answer = [0];
        let _ = writeln!(listener, "stage {name}").and_then(|()| listener.read_exact(&mut answer));
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
        match answer {
            [b'p'] => panic!("told to at stage {name}"),
            [b'a'] => std::process::abort(),
            _ => {}
        }
    }

    /// A secret exists from now on. `kind` is one word.
    pub fn secret(kind: &str, bytes: &[u8]) {
        let Some(mut listener) = listener() else { return };
        let _ = writeln!(listener, "secret {kind} {}", bytes.len()).and_then(|()| listener.write_all(bytes));
    }

    fn listener() -> Option<&'static UnixStream> {
        static LISTENER: OnceLock<Option<UnixStream>> = OnceLock::new();
        let connect = || UnixStream::connect(std::env::var_os("CLAVIGER_INSPECT")?).ok();
        LISTENER.get_or_init(connect).as_ref()
    }
}

//! What integration tests share: a real pcscd with virtual cards, and a person at a terminal.
//!
//! ```ignore
//! let pcscd = Pcscd::start(2);
//! let mut alice = VirtualCard::new(SoftCard::create(SoftCardOptions::default()).unwrap());
//! pcscd.insert(0, &mut alice);
//! let mut terminal = Terminal::claviger(&["recover", "vault", "root"], &[pcscd.environment()]);
//! terminal.answer("PIN", "123456");
//! alice.pull_after(7, Pull::AfterCommand);
//! terminal.expect_exit(3);
//! ```
//!

#![allow(dead_code, unused_imports)]

mod card;
pub mod crew;
pub mod inside;
pub mod lossy;
mod pcscd;
pub mod scene;
pub mod table;
mod terminal;
pub mod watch;
pub mod world;

pub use card::{Pull, VirtualCard};
pub use pcscd::Pcscd;
pub use terminal::Terminal;

//! claviger: offline, hardware-token-backed custody for break-glass credentials.
//!
//! A vault's root secret is split k-of-n among custodians' PIV tokens. A ceremony opens it only with k of them, and
//! makes, proves and closes the next generation before it reveals anything.
//!
//! The modules, in the order in which imports may point (each uses only those below it):
//!
//! | module | what it is |
//! |---|---|
//! | [`cli`] | one file for each command: arguments, plan, run |
//! | [`room`] | what a ceremony needs of people: show, ask, wait |
//! | [`ceremony`] | the staged engine: open, stage, commit, close, reveal |
//! | [`credential`] | one file for each kind of credential |
//! | [`policy`] | what the vault's owner decided; parsing, no I/O |
//! | [`vault`] | copies on disk: layout, durable writes, merging |
//! | [`process`] | what the process does for its own secrecy |
//! | [`transcript`] | signed documents, and what they prove; no I/O |
//! | [`sealing`] | age envelopes to tokens and to the vault |
//! | [`sharing`] | split, check, combine; no I/O |
//! | [`token`] | PIV cards and software tokens |
//! | [`report`] | what people read afterwards |
//! | [`secret`] | the only place where secret types are defined |
//! | [`encoding`] | digests, keys, names, times, canonical JSON |
//! | [`error`] | what every error can say: hint, culprits, exit code |
//! | [`interrupt`] | Ctrl-C: a flag, a descriptor to poll, callbacks |
//! | [`fault`] | places where tests cut the power; nothing in release builds |

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod ceremony;
pub mod cli;
pub mod credential;
pub mod encoding;
pub mod error;
pub mod fault;
pub mod interrupt;
pub mod policy;
pub mod process;
pub mod report;
pub mod room;
pub mod sealing;
pub mod secret;
pub mod sharing;
pub mod token;
pub mod transcript;
pub mod vault;

//! What people read afterwards: the verdict in full, and where the vault stands. Texts and values are returned; only
//! `main` prints them.

pub mod status;
pub mod verify;

mod page;

#[cfg(test)]
mod tests;

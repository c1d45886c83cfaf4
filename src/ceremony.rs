//! The staged engine of the ceremonies: two rounds, and between them the next generation.
//!
//! | stage | file | makes | needs |
//! |---|---|---|---|
//! | round 1 | [`open`] | [`open::Opened`] | k custodians of the current generation |
//! | stage | [`stage`] | [`stage::Staged`] | `Opened`, by value |
//! | commit | [`commit`] | [`commit::Committed`] | `Staged`, by value |
//! | round 2 | [`close`] | [`close::Ratified`] | `Committed`, by value, and k custodians of the next generation |
//! | reveal | [`reveal`] | the credential | `Ratified`, by value |
//!
//! Each stage is a type that only the stage before can make. [`found`], [`recover`], [`rotate`] and [`resume`] are
//! compositions of them; [`check`] opens nothing. What is durable at any moment is a generation directory without
//! `COMMIT`, or with it: `docs/format.md` says what each means.

pub mod admission;
mod anchored;
pub mod attendance;
mod attested;
mod branch;
pub mod check;
pub mod close;
pub mod commit;
pub mod enrolment;
pub mod error;
pub mod found;
mod left_behind;
pub mod open;
pub mod plan;
pub mod recover;
pub mod resume;
pub mod reveal;
pub mod rotate;
pub mod script;
pub mod setting;
pub mod stage;

pub use error::CeremonyError;
pub use setting::Setting;

//! The signed documents of a vault, and what they prove (`docs/format.md`, sections 2 to 4). Pure: no I/O.
//!
//! [`document`] and its neighbours give the documents as types; [`signed`] makes the evidence that a key signed one;
//! [`mod@judge`] gives the verdict over everything that stands on one or more copies of a vault.
//!
//! Not promised here: anything about secrets. Whether an envelope opens is known only to its token.

pub mod approval;
pub mod closing;
pub mod document;
pub mod enrolment;
pub mod founding;
pub mod judge;
pub mod manifest;
pub mod place;
pub mod plan;
pub mod record;
pub mod signed;
pub mod snapshot;

#[cfg(test)]
pub(crate) mod tests;

pub use approval::{Approval, Attestation, Class, ShareKey, Verdict};
pub use closing::Closing;
pub use document::{Checked, DocumentError};
pub use enrolment::Enrolment;
pub use founding::{CopyMark, Founding, Nonce32, RosterEntry};
pub use judge::{
    CommitSign, Fate, Finding, Fork, GenerationState, JudgeError, Judgement, Severity, Stage, Unfinished,
    check_manifest_follows, judge, serves_alone, serves_generation_alone,
};
pub use manifest::{IndexedDigest, IndexedShareKey, ItemEntry, Manifest, Refused};
pub use place::{GenerationFile, Half, Place};
pub use plan::{Abandoned, Admission, CeremonyKind, Exception, ExceptionKind, Grant, INBOX_IDENTITY, Plan, Which};
pub use record::{CheckBody, Record, RecordBody, RecordKind, RefusedBody, RevealedBody, RevealedTo, Signer};
pub use signed::{Memory, Signed, SignedError};
pub use snapshot::{Content, CopyView, Snapshot};

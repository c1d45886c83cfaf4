//! What a token's attestation becomes in a document.

use crate::token::attestation as token;
use crate::transcript::{Attestation, Verdict};

/// The attestation as approvals and enrolments carry it.
pub(super) fn described(attestation: token::Attestation) -> Attestation {
    Attestation {
        verdict: match attestation.verdict {
            token::Verdict::Yubico => Verdict::Yubico,
            token::Verdict::PolicyRoot => Verdict::PolicyRoot,
            token::Verdict::UnrecognisedRoot => Verdict::UnrecognisedRoot,
            token::Verdict::Drill => Verdict::Drill,
            token::Verdict::None => Verdict::None,
            token::Verdict::Invalid => Verdict::Invalid,
        },
        firmware: attestation.firmware.map(|version| version.to_string()),
        serial: attestation.serial.map(u64::from),
        pin_policy: attestation.pin_policy.map(|policy| policy.to_string()),
        touch_policy: attestation.touch_policy.map(|policy| policy.to_string()),
        certificates: attestation.certificates,
    }
}

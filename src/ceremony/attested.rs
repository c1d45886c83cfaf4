//! What a token's attestation becomes in a document.

use crate::token::attestation as token;
use crate::token::piv::{PinPolicy, TouchPolicy};
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
        pin_policy: attestation.pin_policy.map(|policy| pin_policy(policy).to_owned()),
        touch_policy: attestation.touch_policy.map(|policy| touch_policy(policy).to_owned()),
        certificates: attestation.certificates,
    }
}

fn pin_policy(policy: PinPolicy) -> &'static str {
    match policy {
        PinPolicy::Never => "never",
        PinPolicy::Once => "once",
        PinPolicy::Always => "always",
    }
}

fn touch_policy(policy: TouchPolicy) -> &'static str {
    match policy {
        TouchPolicy::Never => "never",
        TouchPolicy::Always => "always",
        TouchPolicy::Cached => "cached",
    }
}

/// The verdict as a clause for people.
pub(super) fn in_words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Yubico => "attested by Yubico",
        Verdict::PolicyRoot => "attested by a root of the policy",
        Verdict::UnrecognisedRoot => "attested by a root that nobody vouches for",
        Verdict::Drill => "a software token",
        Verdict::None => "not attested by the card",
        Verdict::Invalid => "an attestation that does not hold",
    }
}

//! What people read of a token's attestation.

use crate::transcript::Verdict;

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

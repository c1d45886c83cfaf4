//! Anchors that do not say all: after an exception for a missing one, or when somebody tampered with the newest.

use crate::token::TokenError;
use crate::token::anchor::{Anchor, AnchorKey};
use crate::token::piv::{Piv, SlotKey};
use crate::transcript::GenerationState;

/// The anchor with every share key that `generations` name for custodian `index`, that the card proves to hold where they
/// say, and that the anchor does not know. Without this, such a key could neither be used nor destroyed.
pub(super) fn completed<'g>(
    piv: &mut Piv<'_>,
    mut anchor: Anchor,
    index: u8,
    generations: impl Iterator<Item = &'g GenerationState>,
) -> Result<Anchor, TokenError> {
    for generation in generations {
        let Some(key) = generation.manifest.share_key(index) else { continue };
        let Ok(slot) = key.slot.parse() else { continue };
        // A slot holds one key: where the anchor names a live one, the card need not be asked.
        if anchor.key_in(slot).is_some_and(|entry| !entry.spent) {
            continue;
        }
        if piv.proven_slot_key(slot)? == SlotKey::P256(key.public) {
            let made = generation.manifest.plan.number;
            anchor.set(AnchorKey { slot, public: Some(key.public), made, spent: false });
        }
    }
    Ok(anchor)
}

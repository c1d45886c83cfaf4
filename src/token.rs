//! PIV tokens: one client over a transport (NIST SP 800-73-4, with Yubico's extensions where the card answers them).

pub mod anchor;
pub mod apdu;
pub mod attestation;
#[cfg(test)]
pub(crate) mod bench;
pub mod channel;
pub mod custody;
pub mod firmware;
pub mod pcsc;
pub mod piv;
pub mod prepare;
pub mod slot;
pub mod soft;
pub mod tlv;
pub mod trace;

use crate::encoding::{Digest, PublicKey};
use crate::error::{Advice, Exit};
use crate::token::apdu::Status;
use crate::token::channel::ChannelError;
use crate::token::slot::Slot;

/// A token could not do what it was asked, or answered what it must not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The card or its reader is gone.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The card has no PIV application.
    #[error("the card has no PIV application ({status})")]
    NotPiv {
        /// What it answered to SELECT.
        status: Status,
    },
    /// Wrong PIN; this spent a try.
    #[error("wrong PIN")]
    WrongPin {
        /// Tries left before the PIN is blocked.
        tries_left: u8,
    },
    /// No PIN tries are left.
    #[error("the PIN is blocked")]
    PinBlocked,
    /// Wrong PUK; this spent a try.
    #[error("wrong PUK")]
    WrongPuk {
        /// Tries left before the PUK is blocked.
        tries_left: u8,
    },
    /// No PUK tries are left.
    #[error("the PUK is blocked")]
    PukBlocked,
    /// The card does not accept the new PIN or PUK.
    #[error("the card refuses this new PIN or PUK")]
    PinUnacceptable,
    /// The step needs a PIN that was accepted in this connection, and none was.
    #[error("the PIN of this token has not been entered in this connection")]
    PinNotVerified,
    /// The card wants a touch that did not come, or the PIN.
    #[error("the token did not get its touch (or its PIN) for slot {slot}")]
    TouchOrPinMissing {
        /// The slot whose key was to be used.
        slot: Slot,
    },
    /// The card answered with an error status.
    #[error("the card refused {command}: {status}")]
    Refused {
        /// What was asked of it.
        command: &'static str,
        /// What it answered.
        status: Status,
    },
    /// The card's answer does not parse.
    #[error("the card gave an answer to {command} that makes no sense")]
    Malformed {
        /// What was asked of it.
        command: &'static str,
    },
    /// What was read back differs from what was written.
    #[error("the card did not store object {tag:06x} as it was written")]
    NotStored {
        /// The object.
        tag: u32,
    },
    /// The key in a slot is not the one that it should be, or does not work.
    #[error("slot {slot} does not hold the key {expected}")]
    WrongKey {
        /// The slot.
        slot: Slot,
        /// The key that should be there.
        expected: PublicKey,
    },
    /// The anchor does not know the share key that is to be kept.
    #[error("the token's anchor does not name the share key {public}")]
    NotInAnchor {
        /// The key.
        public: PublicKey,
    },
    /// The card's signature does not verify under its own key.
    #[error("the token made a signature with slot {slot} that does not verify")]
    BadSignature {
        /// The slot.
        slot: Slot,
    },
    /// A key that was destroyed is still there.
    #[error("the key {public} is still in slot {slot} after it was destroyed")]
    NotDestroyed {
        /// The slot.
        slot: Slot,
        /// The key.
        public: PublicKey,
    },
    /// The management key is not the one that the card has.
    #[error("the card does not accept the management key")]
    WrongManagementKey,
    /// The management key is neither the factory's nor protected by the PIN.
    #[error("the token's management key is not protected by its PIN")]
    ManagementKeyNotProtected,
    /// All retired slots are in use.
    #[error("the token has no free slot for another share key: {}", custody::describe(holders))]
    NoFreeSlot {
        /// Who holds them, by slot.
        holders: Vec<custody::SlotHolder>,
    },
    /// 9C holds something that is not a P-256 key.
    #[error("slot 9c of the token holds a key that is not P-256, or that the card says nothing about")]
    ForeignSigningKey,
    /// The card cannot make and destroy share keys.
    #[error("this card cannot renew share keys: {reason}")]
    FixedCard {
        /// What it lacks.
        reason: &'static str,
    },
    /// A certificate or anchor for `vault` does not fit into the card's container.
    #[error("the anchor of vault {} is too large for the card", vault.short())]
    AnchorTooLarge {
        /// The vault.
        vault: Digest,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no random numbers")]
    Random(#[source] getrandom::Error),
}

impl Advice for TokenError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Channel(error) => return error.hint(),
            Self::NotPiv { .. } => "insert the token that you use with claviger; PIV must be enabled on it".to_owned(),
            Self::WrongPin { tries_left: 1 } => {
                "one try is left: be sure before you type it again, the PUK is needed after that".to_owned()
            }
            Self::WrongPin { tries_left } => format!("{tries_left} tries are left; type it again slowly"),
            Self::PinBlocked => "unblock it with the PUK: `ykman piv access unblock-pin`, then run the command again; \
                                 nothing on the token is lost"
                .to_owned(),
            Self::WrongPuk { tries_left } => {
                format!("{tries_left} tries are left; a PUK that is blocked can only be reset with all keys")
            }
            Self::PukBlocked => "the PIN still works; keep it safe, and replace this token soon".to_owned(),
            Self::PinUnacceptable => {
                "choose another of 6 to 8 characters, not simple ones like 123456 (some tokens want all 8)".to_owned()
            }
            Self::PinNotVerified => "run the command again and type the PIN when asked".to_owned(),
            Self::TouchOrPinMissing { .. } => {
                "run the command again and touch the token when it blinks, within 15 seconds".to_owned()
            }
            Self::Refused { .. } | Self::Malformed { .. } => {
                "take the token out, insert it again and run the command again; if it stays so, use another token"
                    .to_owned()
            }
            Self::NotStored { .. } => {
                "run the command again; if it stays so, the token's memory is full or worn: replace the token".to_owned()
            }
            Self::WrongKey { .. } | Self::NotInAnchor { .. } | Self::BadSignature { .. } | Self::NotDestroyed { .. } => {
                "set this token aside and go on with another custodian; do not reset it, it is evidence".to_owned()
            }
            Self::WrongManagementKey => {
                "give the token a PIN-protected management key: `ykman piv access change-management-key --generate --protect`"
                    .to_owned()
            }
            Self::ManagementKeyNotProtected => "run `ykman piv access change-management-key --generate --protect`, with the \
                                                management key that you have, then run the command again"
                .to_owned(),
            Self::NoFreeSlot { .. } => {
                "finish or abandon the ceremonies named here with `claviger resume`; keys of others are never overwritten"
                    .to_owned()
            }
            Self::ForeignSigningKey => {
                "use another token, or free slot 9c yourself if you are sure that its key is not needed".to_owned()
            }
            Self::FixedCard { .. } => "use a YubiKey with firmware 4.3 or later".to_owned(),
            Self::AnchorTooLarge { .. } => "close the vault's open ceremonies first: `claviger resume`".to_owned(),
            Self::Random(_) => "run the command on another machine".to_owned(),
        })
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Channel(error) => error.exit(),
            Self::BadSignature { .. }
            | Self::WrongKey { .. }
            | Self::NotInAnchor { .. }
            | Self::NotDestroyed { .. } => Exit::Verification,
            Self::Random(_) => Exit::Usage,
            Self::NotPiv { .. }
            | Self::WrongPin { .. }
            | Self::PinBlocked
            | Self::WrongPuk { .. }
            | Self::PukBlocked
            | Self::PinUnacceptable
            | Self::PinNotVerified
            | Self::TouchOrPinMissing { .. }
            | Self::Refused { .. }
            | Self::Malformed { .. }
            | Self::NotStored { .. }
            | Self::WrongManagementKey
            | Self::ManagementKeyNotProtected
            | Self::NoFreeSlot { .. }
            | Self::ForeignSigningKey
            | Self::FixedCard { .. }
            | Self::AnchorTooLarge { .. } => Exit::Person,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(error: TokenError) -> String {
        error.hint().unwrap()
    }

    #[test]
    fn a_wrong_pin_says_how_many_tries_are_left() {
        assert_eq!(hint(TokenError::WrongPin { tries_left: 2 }), "2 tries are left; type it again slowly");
        assert!(hint(TokenError::WrongPin { tries_left: 1 }).starts_with("one try is left"));
        assert!(hint(TokenError::PinBlocked).contains("unblock-pin"));
    }

    #[test]
    fn what_the_card_said_is_in_the_message() {
        let error = TokenError::Refused { command: "GENERATE", status: 0x6982.into() };
        assert_eq!(error.to_string(), "the card refused GENERATE: PIN, touch or management key missing, 6982");
        let removed = TokenError::from(ChannelError::Removed { reader: "r".to_owned() });
        assert_eq!(removed.to_string(), "the card in r was removed");
        assert_eq!(removed.exit(), Exit::Person);
    }
}

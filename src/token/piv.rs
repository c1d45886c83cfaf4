//! One PIV application in one transaction (NIST SP 800-73-4 part 2). What a card answers is checked before it is used;
//! a wrong or hostile answer is an error, never a panic.
//!
//! Vendor commands (Yubico's FD version, F8 serial, F7 metadata, F9 attest, F6 delete, FF management key) are tried and
//! their absence is an answer; nothing is inferred from a card's name.

mod key;
mod management;
mod object;
mod pin;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::encoding::PublicKey;
use crate::token::TokenError;
use crate::token::apdu::{self, Answer, Command, Status};
use crate::token::channel::Channel;
use crate::token::firmware::Version;

pub(crate) use key::certificate_key;
pub(crate) use management::{ADMIN_DATA, MANAGEMENT_KEY_STORED, PROTECTED_DATA};
pub(crate) use object::{ATTESTATION_CERTIFICATE, container};

/// The PIV application's identifier, version 1.0 (SP 800-73-4 part 1, 2.2), in the nine bytes that every card accepts.
const AID: [u8; 9] = [0xa0, 0x00, 0x00, 0x03, 0x08, 0x00, 0x00, 0x10, 0x00];

/// A selected PIV application.
pub struct Piv<'c> {
    channel: Box<dyn Channel + 'c>,
    version: Option<Version>,
    serial: Option<u32>,
    /// Whether a PIN was accepted in this transaction: only then may it be sent again without asking.
    pin_accepted: bool,
    /// Whether the management key was authenticated in this transaction.
    management_authenticated: bool,
    /// Certificate containers as they were read in this transaction, by tag.
    containers: BTreeMap<u32, Option<Zeroizing<Vec<u8>>>>,
}

/// When the card wants the PIN for a use of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PinPolicy {
    /// Not at all.
    Never = 1,
    /// Once in a connection.
    Once = 2,
    /// Before each use.
    Always = 3,
}

/// When the card wants a touch for a use of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TouchPolicy {
    /// Not at all.
    Never = 1,
    /// For each use.
    Always = 2,
    /// Good for 15 seconds.
    Cached = 3,
}

/// What is known of the key in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotKey {
    /// The slot has no key.
    Empty,
    /// A P-256 key.
    P256(PublicKey),
    /// A key of another kind.
    Other,
    /// The card does not say.
    Unknown,
}

/// How a key was destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destroyed {
    /// The slot is empty now.
    Deleted,
    /// The card cannot delete: this key was made over it.
    Replaced(PublicKey),
}

impl<'c> Piv<'c> {
    /// Selects the PIV application, and asks what version and serial the card claims.
    ///
    /// # Errors
    /// [`TokenError::NotPiv`] if the card has none.
    pub fn select(channel: Box<dyn Channel + 'c>) -> Result<Self, TokenError> {
        let mut piv = Self {
            channel,
            version: None,
            serial: None,
            pin_accepted: false,
            management_authenticated: false,
            containers: BTreeMap::new(),
        };
        let answer = piv.ask("SELECT", &Command::new(0xa4, 0x04, 0x00, &AID))?;
        if answer.status != Status::Success {
            return Err(TokenError::NotPiv { status: answer.status });
        }
        piv.version = piv.vendor_answer("GET VERSION", 0xfd)?.and_then(|data| match data[..] {
            [major, minor, patch] => Some(Version::new(major, minor, patch)),
            _ => None,
        });
        piv.serial = piv
            .vendor_answer("GET SERIAL", 0xf8)?
            .and_then(|data| data.first_chunk().filter(|_| data.len() == 4).map(|bytes| u32::from_be_bytes(*bytes)));
        Ok(piv)
    }

    /// The firmware version that the card claims.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// The serial number that the card claims. Some cards make it up: for people to read, never an identity.
    pub fn serial(&self) -> Option<u32> {
        self.serial
    }

    fn vendor_answer(&mut self, name: &'static str, ins: u8) -> Result<Option<Zeroizing<Vec<u8>>>, TokenError> {
        let answer = self.ask(name, &Command::new(ins, 0, 0, &[]))?;
        Ok((answer.status == Status::Success).then_some(answer.data))
    }

    /// Sends a command and returns whatever the card answers.
    fn ask(&mut self, name: &'static str, command: &Command) -> Result<Answer, TokenError> {
        apdu::exchange(&mut *self.channel, name, command)
    }

    /// Sends a command that must succeed.
    fn demand(&mut self, name: &'static str, command: &Command) -> Result<Zeroizing<Vec<u8>>, TokenError> {
        let answer = self.ask(name, command)?;
        match answer.status {
            Status::Success => Ok(answer.data),
            status => Err(TokenError::Refused { command: name, status }),
        }
    }
}

#[cfg(test)]
mod tests;

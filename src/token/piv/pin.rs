//! PIN and PUK (SP 800-73-4 part 2, 3.2).

use zeroize::Zeroizing;

use crate::secret::Pin;
use crate::token::TokenError;
use crate::token::apdu::{Command, Status};
use crate::token::piv::Piv;
use crate::token::tlv;

const PIN: u8 = 0x80;
const PUK: u8 = 0x81;

impl Piv<'_> {
    /// PIN tries left, asked without spending one. `None` when the card says that the PIN is verified already, or does
    /// not tell.
    ///
    /// # Errors
    /// [`TokenError::Channel`] or [`TokenError::Malformed`].
    pub fn pin_tries(&mut self) -> Result<Option<u8>, TokenError> {
        let answer = self.ask("VERIFY", &Command::quiet(0x20, 0, PIN, &[]))?;
        Ok(match answer.status {
            Status::TriesLeft(tries) => Some(tries),
            Status::Blocked => Some(0),
            _ => None,
        })
    }

    /// Presents the PIN. A wrong one spends a try.
    ///
    /// # Errors
    /// [`TokenError::WrongPin`], [`TokenError::PinBlocked`].
    pub fn verify_pin(&mut self, pin: &Pin) -> Result<(), TokenError> {
        self.pin_accepted = false;
        let answer = self.ask("VERIFY", &Command::quiet(0x20, 0, PIN, &*pin.padded()))?;
        match answer.status {
            Status::Success => {
                self.pin_accepted = true;
                Ok(())
            }
            Status::TriesLeft(0) | Status::Blocked => Err(TokenError::PinBlocked),
            Status::TriesLeft(tries_left) => Err(TokenError::WrongPin { tries_left }),
            status => Err(TokenError::Refused { command: "VERIFY", status }),
        }
    }

    /// Presents again a PIN that this card accepted in this transaction: 9C wants it before each signature.
    ///
    /// # Errors
    /// [`TokenError::PinNotVerified`] if none was accepted; nothing is sent then.
    pub(crate) fn verify_pin_again(&mut self, pin: &Pin) -> Result<(), TokenError> {
        if self.pin_accepted { self.verify_pin(pin) } else { Err(TokenError::PinNotVerified) }
    }

    /// Forgets the verified PIN, on cards that keep it across a reset.
    ///
    /// # Errors
    /// [`TokenError::Channel`] or [`TokenError::Malformed`].
    pub fn logout(&mut self) -> Result<(), TokenError> {
        self.pin_accepted = false;
        // > P1 = FF: the security status of the key reference is reset (SP 800-73-4 part 2, 3.2.1). Not all cards know it.
        self.ask("VERIFY", &Command::quiet(0x20, 0xff, PIN, &[])).map(drop)
    }

    /// Replaces the PIN.
    ///
    /// # Errors
    /// [`TokenError::WrongPin`], [`TokenError::PinBlocked`], [`TokenError::PinUnacceptable`].
    pub fn change_pin(&mut self, old: &Pin, new: &Pin) -> Result<(), TokenError> {
        self.pin_accepted = false;
        match self.change_reference(PIN, old, new)? {
            Status::TriesLeft(0) | Status::Blocked => Err(TokenError::PinBlocked),
            Status::TriesLeft(tries_left) => Err(TokenError::WrongPin { tries_left }),
            status => changed(status),
        }
    }

    /// Replaces the PUK.
    ///
    /// # Errors
    /// [`TokenError::WrongPuk`], [`TokenError::PukBlocked`], [`TokenError::PinUnacceptable`].
    pub fn change_puk(&mut self, old: &Pin, new: &Pin) -> Result<(), TokenError> {
        match self.change_reference(PUK, old, new)? {
            Status::TriesLeft(0) | Status::Blocked => Err(TokenError::PukBlocked),
            Status::TriesLeft(tries_left) => Err(TokenError::WrongPuk { tries_left }),
            status => changed(status),
        }
    }

    fn change_reference(&mut self, reference: u8, old: &Pin, new: &Pin) -> Result<Status, TokenError> {
        let mut data = Zeroizing::new([0; 16]);
        data[..8].copy_from_slice(&*old.padded());
        data[8..].copy_from_slice(&*new.padded());
        Ok(self.ask("CHANGE REFERENCE DATA", &Command::quiet(0x24, 0, reference, &*data))?.status)
    }

    /// Whether the PIN is the factory's; `None` if the card does not tell.
    ///
    /// # Errors
    /// [`TokenError::Channel`] or [`TokenError::Malformed`].
    pub fn pin_is_default(&mut self) -> Result<Option<bool>, TokenError> {
        self.is_default(PIN)
    }

    /// Whether the PUK is the factory's; `None` if the card does not tell.
    ///
    /// # Errors
    /// [`TokenError::Channel`] or [`TokenError::Malformed`].
    pub fn puk_is_default(&mut self) -> Result<Option<bool>, TokenError> {
        self.is_default(PUK)
    }

    fn is_default(&mut self, reference: u8) -> Result<Option<bool>, TokenError> {
        let metadata = self.metadata(reference)?;
        Ok(metadata.present().and_then(|data| match tlv::find(data, 0x05) {
            Some([flag]) => Some(*flag != 0),
            _ => None,
        }))
    }
}

fn changed(status: Status) -> Result<(), TokenError> {
    match status {
        Status::Success => Ok(()),
        // Too short, too simple, or the same as before (firmware 5.7 and FIPS: PIN complexity).
        Status::WrongData | Status::Conditions | Status::WrongLength => Err(TokenError::PinUnacceptable),
        status => Err(TokenError::Refused { command: "CHANGE REFERENCE DATA", status }),
    }
}

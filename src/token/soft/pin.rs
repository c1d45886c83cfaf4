//! PIN and PUK: VERIFY, CHANGE REFERENCE DATA, RESET RETRY COUNTER (SP 800-73-4 part 2, 3.2), and Yubico's FA and FB.

use subtle::ConstantTimeEq;

use super::SoftCard;
use super::state::Secret;
use super::wire::{BLOCKED, CONDITIONS, Command, NO_REFERENCE, Refusal, SECURITY_STATUS, WRONG_DATA, WRONG_P1P2};

pub(super) const DEFAULT_PIN: &[u8] = b"123456";
pub(super) const DEFAULT_PUK: &[u8] = b"12345678";

/// Compares, and counts a wrong try.
fn attempt(secret: &mut Secret, value: &[u8]) -> Result<(), Refusal> {
    if secret.left == 0 {
        return Err(BLOCKED);
    }
    if bool::from(secret.value.0.as_slice().ct_eq(value)) {
        secret.left = secret.limit;
        return Ok(());
    }
    secret.left -= 1;
    Err(tries(secret.left))
}

fn tries(left: u8) -> Refusal {
    0x63c0 | u16::from(left.min(15))
}

/// Whether the 8 bytes can be a PIN: 6 characters at least, padded with FF.
fn is_pin(value: &[u8]) -> bool {
    let length = value.iter().position(|byte| *byte == 0xff).unwrap_or(value.len());
    length >= 6 && value[length..].iter().all(|byte| *byte == 0xff)
}

impl SoftCard {
    /// Compares with the PIN, and remembers for ever that a wrong one came.
    fn attempt_pin(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let outcome = attempt(&mut self.state.pin, value);
        if outcome.is_err() {
            self.state.refused_pins = self.state.refused_pins.saturating_add(1);
        }
        outcome
    }

    /// VERIFY. Without data: how many tries are left. P1 FF: forget that it was verified.
    pub(super) fn verify(&mut self, command: &Command) -> Result<Vec<u8>, Refusal> {
        match (command.p1, command.p2, command.data.as_slice()) {
            (0 | 0xff, p2, _) if p2 != 0x80 => Err(NO_REFERENCE),
            (0xff, _, []) => {
                self.session.pin = false;
                Ok(Vec::new())
            }
            (0, _, []) if self.session.pin => Ok(Vec::new()),
            (0, _, []) => Err(if self.state.pin.left == 0 { BLOCKED } else { tries(self.state.pin.left) }),
            (0, _, value) => {
                self.statistics.verifies += 1;
                self.session.pin = false;
                if value.len() != 8 {
                    return Err(WRONG_DATA);
                }
                self.attempt_pin(value)?;
                self.session.pin = true;
                self.session.pin_fresh = true;
                Ok(Vec::new())
            }
            _ => Err(WRONG_P1P2),
        }
    }

    /// CHANGE REFERENCE DATA: old and new, 8 bytes each. P2 80: PIN; 81: PUK.
    pub(super) fn change_reference(&mut self, command: &Command) -> Result<Vec<u8>, Refusal> {
        if command.p1 != 0 {
            return Err(WRONG_P1P2);
        }
        if !matches!(command.p2, 0x80 | 0x81) {
            return Err(NO_REFERENCE);
        }
        let (old, new) = command.data.split_at_checked(8).ok_or(WRONG_DATA)?;
        if new.len() != 8 || !is_pin(new) {
            return Err(WRONG_DATA);
        }
        if command.p2 == 0x81 {
            attempt(&mut self.state.puk, old)?;
            self.state.puk.set(new);
            return Ok(Vec::new());
        }
        self.session.pin = false;
        self.attempt_pin(old)?;
        self.state.pin.set(new);
        self.session.pin = true;
        Ok(Vec::new())
    }

    /// RESET RETRY COUNTER: PUK and new PIN, 8 bytes each.
    pub(super) fn reset_retry_counter(&mut self, command: &Command) -> Result<Vec<u8>, Refusal> {
        if command.p1 != 0 {
            return Err(WRONG_P1P2);
        }
        if command.p2 != 0x80 {
            return Err(NO_REFERENCE);
        }
        let (puk, pin) = command.data.split_at_checked(8).ok_or(WRONG_DATA)?;
        if pin.len() != 8 || !is_pin(pin) {
            return Err(WRONG_DATA);
        }
        attempt(&mut self.state.puk, puk)?;
        self.state.pin.set(pin);
        self.session.pin = false;
        Ok(Vec::new())
    }

    /// SET PIN RETRIES (Yubico): P1 tries of the PIN, P2 of the PUK. Both go back to their defaults.
    pub(super) fn set_retries(&mut self, command: &Command) -> Result<Vec<u8>, Refusal> {
        self.require_management()?;
        if !self.session.pin {
            return Err(SECURITY_STATUS);
        }
        if command.p1 == 0 || command.p2 == 0 {
            return Err(WRONG_P1P2);
        }
        self.state.pin = Secret::new(DEFAULT_PIN, command.p1);
        self.state.puk = Secret::new(DEFAULT_PUK, command.p2);
        self.session.pin = false;
        Ok(Vec::new())
    }

    /// RESET (Yubico): everything as on a fresh card; only when PIN and PUK are both blocked.
    pub(super) fn reset(&mut self, command: &Command) -> Result<Vec<u8>, Refusal> {
        if (command.p1, command.p2) != (0, 0) {
            return Err(WRONG_P1P2);
        }
        if self.state.pin.left > 0 || self.state.puk.left > 0 {
            return Err(CONDITIONS);
        }
        self.wipe();
        Ok(Vec::new())
    }
}

//! The management key: proof of it (SP 800-73-4 part 2, 3.2.4 and its Appendix A.1), and changing it (Yubico: FF).

use aes::cipher::generic_array::GenericArray;
use aes::cipher::{BlockDecrypt, BlockEncrypt, KeyInit};
use subtle::ConstantTimeEq;

use super::SoftCard;
use super::state::{Hex, Management};
use super::wire::{Command, NO_SUCH_COMMAND, Refusal, SECURITY_STATUS, WRONG_DATA, WRONG_P1P2, elements, tlv};

pub(super) const TDES: u8 = 0x03;
pub(super) const AES192: u8 = 0x0a;

/// The management key of a fresh YubiKey.
pub(super) const DEFAULT: [u8; 24] = [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8];

/// What the card waits for in an unfinished proof.
pub(super) enum Pending {
    Nothing,
    /// The host has to send this back, decrypted (mutual authentication).
    Witness(Vec<u8>),
    /// The host has to send this back, encrypted (external authentication).
    Challenge(Vec<u8>),
}

/// Bytes of a management key.
pub(super) fn key_size(algorithm: u8) -> Option<usize> {
    match algorithm {
        TDES | AES192 => Some(24),
        0x08 => Some(16),
        0x0c => Some(32),
        _ => None,
    }
}

impl Management {
    fn block_size(&self) -> usize {
        if self.algorithm == TDES { 8 } else { 16 }
    }

    /// One block; `None` if key or block have the wrong size.
    pub(super) fn crypt(&self, block: &[u8], encrypt: bool) -> Option<Vec<u8>> {
        fn run<C: KeyInit + BlockEncrypt + BlockDecrypt>(key: &[u8], block: &[u8], encrypt: bool) -> Option<Vec<u8>> {
            let cipher = C::new_from_slice(key).ok()?;
            if block.len() != C::block_size() {
                return None;
            }
            let mut block = GenericArray::clone_from_slice(block);
            if encrypt {
                cipher.encrypt_block(&mut block)
            } else {
                cipher.decrypt_block(&mut block)
            }
            Some(block.to_vec())
        }
        let key = &self.key.0;
        match self.algorithm {
            TDES => run::<des::TdesEde3>(key, block, encrypt),
            0x08 => run::<aes::Aes128>(key, block, encrypt),
            AES192 => run::<aes::Aes192>(key, block, encrypt),
            _ => run::<aes::Aes256>(key, block, encrypt),
        }
    }
}

impl SoftCard {
    /// GENERAL AUTHENTICATE with key reference 9B.
    pub(super) fn authenticate_management(&mut self, command: &Command) -> Result<Vec<u8>, Refusal> {
        let pending = std::mem::replace(&mut self.session.pending, Pending::Nothing);
        // 00 stands for 3DES (SP 800-78-4, table 6-2).
        let algorithm = if command.p1 == 0 { TDES } else { command.p1 };
        if algorithm != self.state.management.algorithm {
            return Err(WRONG_P1P2);
        }
        let fields = dynamic_template(&command.data)?;
        let field = |tag| fields.iter().find(|(t, _)| *t == tag).map(|(_, value)| *value);

        match (field(0x80), field(0x81), field(0x82)) {
            (Some([]), None, _) => self.witness(),
            (None, Some([]), _) => self.challenge(),
            (Some(witness), Some(challenge), _) => self.mutual(pending, witness, challenge),
            (None, None, Some(response)) => self.external(pending, response),
            _ => Err(WRONG_DATA),
        }
    }

    fn witness(&mut self) -> Result<Vec<u8>, Refusal> {
        let witness = super::random(self.state.management.block_size())?;
        let encrypted = self.state.management.crypt(&witness, true).ok_or(WRONG_DATA)?;
        self.session.pending = Pending::Witness(witness);
        Ok(tlv(0x7c, &tlv(0x80, &encrypted)))
    }

    fn challenge(&mut self) -> Result<Vec<u8>, Refusal> {
        let challenge = super::random(self.state.management.block_size())?;
        let answer = tlv(0x7c, &tlv(0x81, &challenge));
        self.session.pending = Pending::Challenge(challenge);
        Ok(answer)
    }

    fn mutual(&mut self, pending: Pending, witness: &[u8], challenge: &[u8]) -> Result<Vec<u8>, Refusal> {
        let Pending::Witness(expected) = pending else { return Err(WRONG_DATA) };
        if !bool::from(expected.as_slice().ct_eq(witness)) {
            return Err(SECURITY_STATUS);
        }
        let response = self.state.management.crypt(challenge, true).ok_or(WRONG_DATA)?;
        self.touch(self.state.management.touch)?;
        self.session.management = true;
        Ok(tlv(0x7c, &tlv(0x82, &response)))
    }

    fn external(&mut self, pending: Pending, response: &[u8]) -> Result<Vec<u8>, Refusal> {
        let Pending::Challenge(challenge) = pending else { return Err(WRONG_DATA) };
        let expected = self.state.management.crypt(&challenge, true).ok_or(WRONG_DATA)?;
        if !bool::from(expected.as_slice().ct_eq(response)) {
            return Err(SECURITY_STATUS);
        }
        self.touch(self.state.management.touch)?;
        self.session.management = true;
        Ok(Vec::new())
    }

    /// SET MANAGEMENT KEY: algorithm, 9B, length, key. P2 FF, or FE: wants a touch.
    pub(super) fn set_management_key(&mut self, command: &Command) -> Result<Vec<u8>, Refusal> {
        let touch = match (command.p1, command.p2) {
            (0xff, 0xff) => 1,
            (0xff, 0xfe) => 2,
            _ => return Err(WRONG_P1P2),
        };
        self.require_management()?;
        let [algorithm, 0x9b, length, key @ ..] = command.data.as_slice() else { return Err(WRONG_DATA) };
        if key.len() != usize::from(*length) || key_size(*algorithm) != Some(key.len()) {
            return Err(WRONG_DATA);
        }
        if *algorithm != TDES && self.state.firmware < (5, 4, 2) {
            return Err(WRONG_DATA);
        }
        self.state.management =
            Management { algorithm: *algorithm, key: Hex(key.to_vec()), default: key == DEFAULT, touch };
        Ok(Vec::new())
    }

    pub(super) fn require_management(&self) -> Result<(), Refusal> {
        if self.session.management { Ok(()) } else { Err(SECURITY_STATUS) }
    }

    /// Refuses a command that this firmware does not have yet.
    pub(super) fn require_firmware(&self, least: (u8, u8, u8)) -> Result<(), Refusal> {
        if self.state.firmware >= least { Ok(()) } else { Err(NO_SUCH_COMMAND) }
    }
}

/// The fields of a dynamic authentication template (SP 800-73-4 part 2, table 7).
pub(super) fn dynamic_template(data: &[u8]) -> Result<Vec<(u32, &[u8])>, Refusal> {
    match elements(data).ok_or(WRONG_DATA)?.as_slice() {
        [(0x7c, fields)] => elements(fields).ok_or(WRONG_DATA),
        _ => Err(WRONG_DATA),
    }
}

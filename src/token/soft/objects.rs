//! Data objects: GET DATA and PUT DATA (SP 800-73-4 part 2, 3.1.2 and 3.3.1), with a YubiKey's limits.

use super::SoftCard;
use super::state::Hex;
use super::wire::{
    Command, NO_SPACE, NOT_FOUND, Refusal, SECURITY_STATUS, WRONG_DATA, WRONG_P1P2, element, elements, tlv,
};

/// The certificate of the attestation key.
pub(super) const ATTESTATION_CERTIFICATE: u32 = 0x5f_ff01;
pub(super) const CHUID: u32 = 0x5f_c102;
const DISCOVERY: u32 = 0x7e;
/// Bytes of one object's content.
const LARGEST: usize = 3052;
/// Bytes of all objects together.
const ROOM: usize = 51_200;

/// Printed information, fingerprints, face and iris: read with the PIN only.
fn needs_pin(tag: u32) -> bool {
    matches!(tag, 0x5f_c109 | 0x5f_c103 | 0x5f_c108 | 0x5f_c121)
}

fn number(bytes: &[u8]) -> Option<u32> {
    let padded = [&[0; 4][bytes.len().min(4)..], bytes].concat();
    padded.try_into().ok().map(u32::from_be_bytes)
}

impl SoftCard {
    /// GET DATA: P1P2 3FFF, tag 5C the object.
    pub(super) fn read_object(&mut self, command: &Command) -> Result<Vec<u8>, Refusal> {
        let all = elements(&command.data).ok_or(WRONG_DATA)?;
        let ([(0x5c, tag)], (0x3f, 0xff)) = (all.as_slice(), (command.p1, command.p2)) else {
            return Err(if (command.p1, command.p2) == (0x3f, 0xff) { WRONG_DATA } else { WRONG_P1P2 });
        };
        let tag = number(tag).ok_or(WRONG_DATA)?;
        if tag == DISCOVERY {
            // The PIV card application's AID, and: the PIV PIN alone (SP 800-73-4 part 1, 3.3.2).
            let policy = tlv(0x5f2f, &[0x40, 0x00]);
            return Ok(tlv(0x7e, &[tlv(0x4f, &super::PIV_AID), policy].concat()));
        }
        if needs_pin(tag) && !self.session.pin {
            return Err(SECURITY_STATUS);
        }
        let content = self.state.objects.get(&tag).ok_or(NOT_FOUND)?;
        Ok(tlv(0x53, &content.0))
    }

    /// PUT DATA: P1P2 3FFF, tag 5C the object, tag 53 its content; no content deletes it.
    pub(super) fn write_object(&mut self, command: &Command) -> Result<Vec<u8>, Refusal> {
        if (command.p1, command.p2) != (0x3f, 0xff) {
            return Err(WRONG_P1P2);
        }
        self.require_management()?;
        let mut rest = command.data.as_slice();
        let (Some((0x5c, tag)), Some((0x53, content)), []) = (element(&mut rest), element(&mut rest), rest) else {
            return Err(WRONG_DATA);
        };
        let tag = number(tag).filter(|tag| (0x5f_0000..=0x5f_ffff).contains(tag)).ok_or(WRONG_DATA)?;
        let others: usize = self.state.objects.iter().filter(|(t, _)| **t != tag).map(|(_, o)| o.0.len()).sum();
        if content.len() > LARGEST || others + content.len() > ROOM {
            return Err(NO_SPACE);
        }
        if content.is_empty() {
            self.state.objects.remove(&tag);
        } else {
            self.state.objects.insert(tag, Hex(content.to_vec()));
        }
        Ok(Vec::new())
    }
}

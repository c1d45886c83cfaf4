//! Selecting applications, and the little of Yubico's management application that tools ask before they use PIV.

use super::wire::{Command, NO_SUCH_COMMAND, NOT_FOUND, Refusal, WRONG_P1P2, tlv};
use super::{Application, PIV_AID, Session, SoftCard};

const MANAGEMENT_AID: [u8; 8] = [0xa0, 0x00, 0x00, 0x05, 0x27, 0x47, 0x11, 0x17];
/// The capability bit of PIV in the management application.
const CAPABILITY_PIV: u8 = 0x10;

impl SoftCard {
    /// SELECT by name: the whole AID, or its first bytes, at least the five of the registered provider.
    pub(super) fn select(&mut self, command: &Command) -> Result<Vec<u8>, Refusal> {
        if command.p1 != 0x04 {
            return Err(WRONG_P1P2);
        }
        let name = command.data.as_slice();
        let names = |aid: &[u8]| name.len() >= 5 && aid.starts_with(name);
        let touched = self.session.touched;
        if names(&PIV_AID) {
            self.session = Session { selected: Application::Piv, touched, ..Session::default() };
            let piv = [0xa0, 0x00, 0x00, 0x03, 0x08];
            return Ok(tlv(0x61, &[tlv(0x4f, &PIV_AID[5..]), tlv(0x79, &tlv(0x4f, &piv))].concat()));
        }
        if names(&MANAGEMENT_AID) {
            self.session = Session { selected: Application::Management, touched, ..Session::default() };
            let (major, minor, patch) = self.state.firmware;
            return Ok(format!("Virtual mgr - FW version {major}.{minor}.{patch}").into_bytes());
        }
        Err(NOT_FOUND)
    }

    /// A command to the management application: READ CONFIG (1D) only.
    pub(super) fn management_application(&mut self, command: &Command) -> Result<Vec<u8>, Refusal> {
        if command.ins != 0x1d {
            return Err(NO_SUCH_COMMAND);
        }
        let (major, minor, patch) = self.state.firmware;
        let config = [
            tlv(0x01, &[0, CAPABILITY_PIV]),
            tlv(0x02, &self.state.serial.to_be_bytes()),
            tlv(0x03, &[0, CAPABILITY_PIV]),
            // USB-A keychain.
            tlv(0x04, &[1]),
            tlv(0x05, &[major, minor, patch]),
            tlv(0x06, &[0, 0]),
            tlv(0x07, &[15]),
            tlv(0x08, &[0]),
            tlv(0x0a, &[0]),
        ]
        .concat();
        Ok([&[config.len() as u8], config.as_slice()].concat())
    }
}

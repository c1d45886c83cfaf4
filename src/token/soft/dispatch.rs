//! From the bytes of a command to its answer: chaining, long answers, and which command is whose.

use super::wire::{self, Command, Refusal};
use super::{Application, SoftCard};

/// Bytes of one chained command that the card collects: the largest object and its framing.
const BUFFER: usize = 3072 + 64;

impl SoftCard {
    /// Answers one command APDU: data, if any, then SW1 SW2. Any bytes are answered.
    pub fn answer(&mut self, apdu: &[u8]) -> Vec<u8> {
        self.statistics.apdus += 1;
        let fresh = std::mem::take(&mut self.session.pin_fresh);
        match Command::parse(apdu).and_then(|command| self.collect(command, fresh)) {
            Ok(None) => wire::OK.to_be_bytes().to_vec(),
            Ok(Some((data, extended))) => self.deliver(data, extended),
            Err(refusal) => refusal.to_be_bytes().to_vec(),
        }
    }

    /// Command chaining (ISO 7816-4, 5.1.1.1): data and whether the answer may be long, or `None` in the middle.
    fn collect(&mut self, mut command: Command, fresh: bool) -> Result<Option<(Vec<u8>, bool)>, Refusal> {
        let header = [command.ins, command.p1, command.p2];
        let chain = self.session.chain.take().filter(|(begun, _)| *begun == header);
        if let Some((_, mut begun)) = chain {
            begun.append(&mut command.data);
            command.data = begun;
        }
        if command.data.len() > BUFFER {
            return Err(wire::WRONG_LENGTH);
        }
        match command.cla {
            0x10 => {
                self.session.chain = Some((header, command.data));
                self.session.pin_fresh = fresh;
                Ok(None)
            }
            0x00 => {
                let data = self.execute(&command, fresh)?;
                Ok(Some((data, command.extended)))
            }
            _ => Err(wire::WRONG_CLASS),
        }
    }

    /// A short command gets 256 bytes and the rest by GET RESPONSE (ISO 7816-4, 5.1.3).
    fn deliver(&mut self, mut data: Vec<u8>, extended: bool) -> Vec<u8> {
        let mut status = wire::OK;
        if !extended && data.len() > 256 {
            self.session.response = data.split_off(256);
            status = 0x6100 | u16::try_from(self.session.response.len()).ok().filter(|n| *n < 256).unwrap_or(0);
        }
        data.extend_from_slice(&status.to_be_bytes());
        data
    }

    fn execute(&mut self, command: &Command, fresh: bool) -> Result<Vec<u8>, Refusal> {
        let rest = std::mem::take(&mut self.session.response);
        match (self.session.selected, command.ins) {
            (_, 0xa4) => self.select(command),
            (_, 0xc0) if rest.is_empty() => Err(wire::CONDITIONS),
            (_, 0xc0) => Ok(rest),
            (Application::None, _) => Err(wire::NO_SUCH_COMMAND),
            (Application::Management, _) => self.management_application(command),
            (Application::Piv, _) => self.piv(command, fresh),
        }
    }

    fn piv(&mut self, command: &Command, fresh: bool) -> Result<Vec<u8>, Refusal> {
        match command.ins {
            0x20 => self.verify(command),
            0x24 => self.change_reference(command),
            0x2c => self.reset_retry_counter(command),
            0x47 => self.generate(command),
            0x87 => self.general_authenticate(command, fresh),
            0xcb => self.read_object(command),
            0xdb => self.write_object(command),
            0xf6 => self.move_key(command),
            0xf7 => self.metadata(command),
            0xf8 if self.state.firmware.0 >= 5 => Ok(self.state.serial.to_be_bytes().to_vec()),
            0xf9 => self.attest(command),
            0xfa => self.set_retries(command),
            0xfb => self.reset(command),
            0xfd => Ok(vec![self.state.firmware.0, self.state.firmware.1, self.state.firmware.2]),
            0xfe => self.import(command),
            0xff => self.set_management_key(command),
            _ => Err(wire::NO_SUCH_COMMAND),
        }
    }
}

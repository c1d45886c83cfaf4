//! Command and response APDUs, short form (ISO/IEC 7816-4; NIST SP 800-73-4 part 2).

use std::fmt;

use zeroize::Zeroizing;

use crate::token::TokenError;
use crate::token::channel::Channel;

/// The longest answer that is collected by GET RESPONSE, bytes. No PIV object is larger than 3052.
const LONGEST_ANSWER: usize = 8192;
/// Data bytes in one short APDU.
const CHUNK: usize = 255;
/// CLA bit: more parts of this command follow.
const CHAINING: u8 = 0x10;

/// SW1 SW2 of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 9000.
    Success,
    /// 63Cx: the PIN, PUK was wrong, or is not verified; x tries are left.
    TriesLeft(u8),
    /// 6700.
    WrongLength,
    /// 6982: a PIN, a touch or the management key is missing.
    SecurityStatus,
    /// 6983: the PIN or PUK is blocked.
    Blocked,
    /// 6985: the conditions of use are not satisfied.
    Conditions,
    /// 6986: the command is not allowed, for example before SELECT.
    NotAllowed,
    /// 6A80: the data are wrong.
    WrongData,
    /// 6A81: the function is not supported.
    NotSupported,
    /// 6A82: the object or application is not found.
    NotFound,
    /// 6A84: no memory is left.
    NoMemory,
    /// 6A86: P1 or P2 is wrong.
    WrongParameters,
    /// 6A88: the referenced key or data is not found.
    NoReference,
    /// 6D00: the instruction is not supported.
    UnknownInstruction,
    /// Anything else, as SW1 SW2.
    Other(u16),
}

impl From<u16> for Status {
    fn from(word: u16) -> Self {
        match word {
            0x9000 => Self::Success,
            0x63c0..=0x63cf => Self::TriesLeft((word & 0x0f) as u8),
            0x6700 => Self::WrongLength,
            0x6982 => Self::SecurityStatus,
            0x6983 => Self::Blocked,
            0x6985 => Self::Conditions,
            0x6986 => Self::NotAllowed,
            0x6a80 => Self::WrongData,
            0x6a81 => Self::NotSupported,
            0x6a82 => Self::NotFound,
            0x6a84 => Self::NoMemory,
            0x6a86 => Self::WrongParameters,
            0x6a88 => Self::NoReference,
            0x6d00 => Self::UnknownInstruction,
            other => Self::Other(other),
        }
    }
}

impl Status {
    /// SW1 SW2.
    pub fn word(self) -> u16 {
        match self {
            Self::Success => 0x9000,
            Self::TriesLeft(tries) => 0x63c0 | u16::from(tries),
            Self::WrongLength => 0x6700,
            Self::SecurityStatus => 0x6982,
            Self::Blocked => 0x6983,
            Self::Conditions => 0x6985,
            Self::NotAllowed => 0x6986,
            Self::WrongData => 0x6a80,
            Self::NotSupported => 0x6a81,
            Self::NotFound => 0x6a82,
            Self::NoMemory => 0x6a84,
            Self::WrongParameters => 0x6a86,
            Self::NoReference => 0x6a88,
            Self::UnknownInstruction => 0x6d00,
            Self::Other(word) => word,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meaning = match self {
            Self::Success => "success",
            Self::TriesLeft(_) => "wrong PIN",
            Self::WrongLength => "wrong length",
            Self::SecurityStatus => "PIN, touch or management key missing",
            Self::Blocked => "blocked",
            Self::Conditions => "conditions of use not satisfied",
            Self::NotAllowed => "not allowed",
            Self::WrongData => "wrong data",
            Self::NotSupported => "not supported",
            Self::NotFound => "not found",
            Self::NoMemory => "no memory left",
            Self::WrongParameters => "wrong parameters",
            Self::NoReference => "key not found",
            Self::UnknownInstruction => "unknown instruction",
            Self::Other(_) => "status",
        };
        write!(f, "{meaning}, {:04X}", self.word())
    }
}

/// A command: CLA 00, header, data of any length.
pub struct Command<'a> {
    /// Instruction.
    pub ins: u8,
    /// First parameter.
    pub p1: u8,
    /// Second parameter.
    pub p2: u8,
    /// Data; sent in chained parts when longer than 255 bytes.
    pub data: &'a [u8],
    /// Whether Le = 00 is sent.
    pub answer: bool,
}

impl<'a> Command<'a> {
    /// A command that wants an answer.
    pub fn new(ins: u8, p1: u8, p2: u8, data: &'a [u8]) -> Self {
        Self { ins, p1, p2, data, answer: true }
    }

    /// A command that wants no more than a status: Le is not sent, since some cards refuse it there.
    pub fn quiet(ins: u8, p1: u8, p2: u8, data: &'a [u8]) -> Self {
        Self { ins, p1, p2, data, answer: false }
    }
}

/// What a card answered.
pub struct Answer {
    /// The status of the last part.
    pub status: Status,
    /// All parts, without status words.
    pub data: Zeroizing<Vec<u8>>,
}

/// Sends a command, in parts if need be, and collects the whole answer.
///
/// # Errors
/// [`TokenError::Channel`] if the card cannot be reached; [`TokenError::Malformed`] if an answer is no response APDU or
/// has no end.
pub fn exchange(channel: &mut dyn Channel, name: &'static str, command: &Command) -> Result<Answer, TokenError> {
    let mut rest = command.data;
    while rest.len() > CHUNK {
        let (part, after) = rest.split_at(CHUNK);
        let answer = send(channel, name, CHAINING, command, part, false)?;
        if answer.status != Status::Success {
            return Ok(answer);
        }
        rest = after;
    }
    let mut answer = send(channel, name, 0, command, rest, command.answer)?;
    // > 61xx: SW2 bytes are still available (ISO/IEC 7816-4, 5.3.4)
    while let Status::Other(word @ 0x6100..=0x61ff) = answer.status {
        let more = Command::new(0xc0, 0, 0, &[]);
        let next = transmit(channel, name, &[0, more.ins, 0, 0, (word & 0xff) as u8])?;
        // An empty part with "more to come" would never end.
        if next.data.is_empty() && next.status != Status::Success
            || answer.data.len() + next.data.len() > LONGEST_ANSWER
        {
            return Err(TokenError::Malformed { command: name });
        }
        append(&mut answer.data, &next.data);
        answer.status = next.status;
    }
    Ok(answer)
}

/// Grows `all` without leaving an unwiped copy behind.
fn append(all: &mut Zeroizing<Vec<u8>>, part: &[u8]) {
    if all.capacity() < all.len() + part.len() {
        let mut larger = Zeroizing::new(Vec::with_capacity(LONGEST_ANSWER));
        larger.extend_from_slice(all);
        *all = larger;
    }
    all.extend_from_slice(part);
}

fn send(
    channel: &mut dyn Channel,
    name: &'static str,
    class: u8,
    command: &Command,
    data: &[u8],
    answer: bool,
) -> Result<Answer, TokenError> {
    let mut apdu = Zeroizing::new(Vec::with_capacity(6 + data.len()));
    apdu.extend([class, command.ins, command.p1, command.p2]);
    if !data.is_empty() {
        apdu.push(data.len() as u8);
        apdu.extend_from_slice(data);
    }
    if answer {
        apdu.push(0);
    }
    let received = transmit(channel, name, &apdu)?;
    // > 6Cxx: wrong Le, SW2 is the exact number (ISO/IEC 7816-4, 5.1). The command was not executed.
    if let (Status::Other(word @ 0x6c00..=0x6cff), true) = (received.status, answer) {
        if let Some(le) = apdu.last_mut() {
            *le = (word & 0xff) as u8;
        }
        return transmit(channel, name, &apdu);
    }
    Ok(received)
}

fn transmit(channel: &mut dyn Channel, name: &'static str, apdu: &[u8]) -> Result<Answer, TokenError> {
    let mut data = channel.transmit(apdu)?;
    let Some(([sw1, sw2], length)) = data.last_chunk().copied().map(|status: [u8; 2]| (status, data.len() - 2)) else {
        return Err(TokenError::Malformed { command: name });
    };
    data.truncate(length);
    Ok(Answer { status: u16::from_be_bytes([sw1, sw2]).into(), data })
}

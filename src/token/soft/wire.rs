//! Command APDUs (ISO 7816-4, 5.1), BER-TLV (5.2.2) and the status words of a YubiKey.

/// A command or its data is refused with this status word.
pub(super) type Refusal = u16;

pub(super) const OK: u16 = 0x9000;
pub(super) const WRONG_LENGTH: Refusal = 0x6700;
pub(super) const SECURITY_STATUS: Refusal = 0x6982;
pub(super) const BLOCKED: Refusal = 0x6983;
pub(super) const CONDITIONS: Refusal = 0x6985;
pub(super) const WRONG_DATA: Refusal = 0x6a80;
pub(super) const NOT_FOUND: Refusal = 0x6a82;
pub(super) const NO_SPACE: Refusal = 0x6a84;
pub(super) const WRONG_P1P2: Refusal = 0x6a86;
pub(super) const NO_REFERENCE: Refusal = 0x6a88;
pub(super) const WRONG_SLOT: Refusal = 0x6b00;
pub(super) const NO_SUCH_COMMAND: Refusal = 0x6d00;
pub(super) const WRONG_CLASS: Refusal = 0x6e00;
pub(super) const INTERNAL: Refusal = 0x6f00;

/// A command APDU.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) cla: u8,
    pub(super) ins: u8,
    pub(super) p1: u8,
    pub(super) p2: u8,
    pub(super) data: Vec<u8>,
    /// Lengths of three bytes: the whole answer fits.
    pub(super) extended: bool,
}

impl Command {
    /// Takes the bytes of a command apart.
    pub(super) fn parse(apdu: &[u8]) -> Result<Self, Refusal> {
        let (&[cla, ins, p1, p2], body) = apdu.split_first_chunk::<4>().ok_or(WRONG_LENGTH)?;
        let (data, extended) = match body {
            [] | [_] => (&body[..0], false),
            // Le alone: 00 and two bytes.
            [0, _, _] => (&body[..0], true),
            [0, high, low, rest @ ..] => (split(rest, u16::from_be_bytes([*high, *low]).into(), 2)?, true),
            [length, rest @ ..] if *length > 0 => (split(rest, (*length).into(), 1)?, false),
            _ => return Err(WRONG_LENGTH),
        };
        Ok(Self { cla, ins, p1, p2, data: data.to_vec(), extended })
    }
}

/// The first `length` bytes of `rest`, after which nothing or an Le of `le` bytes may stand.
fn split(rest: &[u8], length: usize, le: usize) -> Result<&[u8], Refusal> {
    let (data, after) = rest.split_at_checked(length).ok_or(WRONG_LENGTH)?;
    if length == 0 || !(after.is_empty() || after.len() == le) {
        return Err(WRONG_LENGTH);
    }
    Ok(data)
}

/// The first element of `bytes`, which moves on behind it: tag (as many bytes as it has, big-endian) and value.
pub(super) fn element<'a>(bytes: &mut &'a [u8]) -> Option<(u32, &'a [u8])> {
    let (&first, mut rest) = bytes.split_first()?;
    let mut tag = u32::from(first);
    if first & 0x1f == 0x1f {
        loop {
            let (&next, after) = rest.split_first()?;
            tag = tag.checked_mul(256)? | u32::from(next);
            rest = after;
            if next & 0x80 == 0 {
                break;
            }
        }
    }
    let (&first, mut rest) = rest.split_first()?;
    let length = match first {
        0..=0x7f => usize::from(first),
        0x81..=0x83 => {
            let (length, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
            rest = after;
            length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
        }
        _ => return None,
    };
    let (value, after) = rest.split_at_checked(length)?;
    *bytes = after;
    Some((tag, value))
}

/// All elements of `bytes`; `None` if they are not elements to the last byte.
pub(super) fn elements(mut bytes: &[u8]) -> Option<Vec<(u32, &[u8])>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        all.push(element(&mut bytes)?);
    }
    Some(all)
}

/// One element, its length in as few bytes as possible.
pub(super) fn tlv(tag: u32, value: &[u8]) -> Vec<u8> {
    let significant = |n: u32| n.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
    let mut bytes = if tag == 0 { vec![0] } else { significant(tag) };
    // Values are at most 64 KiB here: they fit a command or an answer.
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
    let length_bytes = significant(length);
    match length {
        0 => bytes.push(0),
        1..=0x7f => {}
        _ => bytes.push(0x80 | length_bytes.len() as u8),
    }
    bytes.extend_from_slice(&length_bytes);
    bytes.extend_from_slice(value);
    bytes
}

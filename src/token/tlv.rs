//! BER-TLV as PIV cards speak it (ISO/IEC 7816-4, 5.2.2; NIST SP 800-73-4 part 2).
//!
//! Reading is tolerant where cards are: a length may be written longer than it must be. It never reads outside of what
//! it was given.

use zeroize::Zeroizing;

/// Appends one element; the value is at most 65535 bytes, which is more than any card takes.
pub fn push(out: &mut Vec<u8>, tag: u32, value: &[u8]) {
    push_tag(out, tag);
    match value.len() {
        length @ 0..=0x7f => out.push(length as u8),
        length @ 0x80..=0xff => out.extend([0x81, length as u8]),
        length => {
            let length = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
            out.extend([0x82, length[0], length[1]]);
        }
    }
    out.extend_from_slice(value);
}

/// One element.
pub fn element(tag: u32, value: &[u8]) -> Zeroizing<Vec<u8>> {
    // Room for all of it: a buffer that grows leaves copies behind.
    let mut out = Zeroizing::new(Vec::with_capacity(value.len() + 8));
    push(&mut out, tag, value);
    out
}

fn push_tag(out: &mut Vec<u8>, tag: u32) {
    let bytes = tag.to_be_bytes();
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(3);
    out.extend_from_slice(&bytes[first..]);
}

/// Reads the element at the start of `bytes`: its tag, its value, and what follows it. `None` if there is none, or it
/// is cut off.
pub fn read(bytes: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let (tag, rest) = read_tag(bytes)?;
    let (length, rest) = read_length(rest)?;
    let (value, rest) = rest.split_at_checked(length)?;
    Some((tag, value, rest))
}

/// The value of the first element `tag` among those in `bytes`; `None` if there is none before the first that is broken.
pub fn find(bytes: &[u8], tag: u32) -> Option<&[u8]> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (found, value, after) = read(rest)?;
        if found == tag {
            return Some(value);
        }
        rest = after;
    }
    None
}

/// The value, if `bytes` is one element `tag` and nothing else.
pub fn only(bytes: &[u8], tag: u32) -> Option<&[u8]> {
    let (found, value, rest) = read(bytes)?;
    (found == tag && rest.is_empty()).then_some(value)
}

fn read_tag(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (&first, mut rest) = bytes.split_first()?;
    let mut tag = u32::from(first);
    if first & 0x1f == 0x1f {
        loop {
            let (&next, after) = rest.split_first()?;
            // Four bytes of tag at most.
            if tag > 0xff_ffff {
                return None;
            }
            tag = tag << 8 | u32::from(next);
            rest = after;
            if next & 0x80 == 0 {
                break;
            }
        }
    }
    Some((tag, rest))
}

fn read_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    match first {
        0..=0x7f => Some((usize::from(first), rest)),
        // No indefinite lengths, and none beyond four bytes.
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = digits.iter().fold(0_u32, |length, digit| length << 8 | u32::from(*digit));
            Some((usize::try_from(length).ok()?, rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_that_are_not_minimal_are_read() {
        assert_eq!(only(&[0x53, 0x82, 0, 2, 1, 2], 0x53), Some(&[1, 2][..]));
        assert_eq!(only(&[0x53, 0x84, 0, 0, 0, 1, 9], 0x53), Some(&[9][..]));
    }

    #[test]
    fn what_is_cut_off_or_has_something_after_it_is_refused() {
        for bad in
            [&[0x53][..], &[0x53, 2, 1], &[0x53, 0x80, 0, 0], &[0x53, 0x85, 0, 0, 0, 0, 0], &[0x5f], &[0x53, 0x82, 1]]
        {
            assert_eq!(read(bad), None, "{bad:x?}");
        }
        assert_eq!(only(&[0x53, 0, 0], 0x53), None);
        assert_eq!(read(&[0x5f, 0x80, 0x80, 0x80, 0x80, 0, 0]), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(tag in prop_oneof![Just(0x53_u32), Just(0x5c), Just(0x7f49), Just(0x5f_c10a)],
                                   value in proptest::collection::vec(any::<u8>(), 0..4000)) {
            let bytes = element(tag, &value);
            prop_assert_eq!(read(&bytes), Some((tag, &value[..], &[][..])));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = find(&bytes, 0x53);
        }
    }
}

//! Key slots of a PIV card: key references and the containers of their certificates (NIST SP 800-73-4 part 1, table 4b).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A key slot; written as two lower-case hex digits, for example `82` or `9c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// 82 to 95: retired key management keys.
    Retired(RetiredSlot),
    /// 9A.
    Authentication,
    /// 9C, where the PIN is wanted before every use.
    Signature,
    /// 9D.
    KeyManagement,
    /// 9E.
    CardAuthentication,
}

/// One of the twenty retired slots, by key reference 82 to 95.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RetiredSlot(u8);

/// Not a slot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a slot (82 to 95, 9a, 9c, 9d, 9e)")]
pub struct SlotError(String);

impl RetiredSlot {
    /// The slot with this key reference, 82 to 95.
    pub const fn new(reference: u8) -> Option<Self> {
        if reference >= 0x82 && reference <= 0x95 { Some(Self(reference)) } else { None }
    }
}

impl Slot {
    /// The twenty retired slots, 82 to 95.
    pub fn retired() -> impl Iterator<Item = Slot> {
        (0x82..=0x95).map(|reference| Self::Retired(RetiredSlot(reference)))
    }

    /// The slot with this key reference.
    pub const fn from_reference(reference: u8) -> Option<Self> {
        match reference {
            0x9a => Some(Self::Authentication),
            0x9c => Some(Self::Signature),
            0x9d => Some(Self::KeyManagement),
            0x9e => Some(Self::CardAuthentication),
            other => match RetiredSlot::new(other) {
                Some(slot) => Some(Self::Retired(slot)),
                None => None,
            },
        }
    }

    /// The key reference, one byte.
    pub const fn reference(self) -> u8 {
        match self {
            Self::Authentication => 0x9a,
            Self::Signature => 0x9c,
            Self::KeyManagement => 0x9d,
            Self::CardAuthentication => 0x9e,
            Self::Retired(slot) => slot.0,
        }
    }

    /// The tag of the object that holds the slot's certificate, three bytes.
    pub const fn certificate_object(self) -> u32 {
        match self {
            Self::Authentication => 0x5f_c105,
            Self::Signature => 0x5f_c10a,
            Self::KeyManagement => 0x5f_c10b,
            Self::CardAuthentication => 0x5f_c101,
            Self::Retired(slot) => 0x5f_c10d + (slot.0 as u32 - 0x82),
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}", self.reference())
    }
}

impl FromStr for Slot {
    type Err = SlotError;

    fn from_str(text: &str) -> Result<Self, SlotError> {
        let error = || SlotError(text.chars().take(20).collect());
        let digits = text.len() == 2 && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        let reference = digits.then(|| u8::from_str_radix(text, 16).ok()).flatten().ok_or_else(error)?;
        Self::from_reference(reference).ok_or_else(error)
    }
}

impl Serialize for Slot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Slot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_the_retired_range_have_their_containers() {
        let slots: Vec<Slot> = Slot::retired().collect();
        assert_eq!(slots.len(), 20);
        assert_eq!((slots[0].to_string(), slots[0].certificate_object()), ("82".to_owned(), 0x5f_c10d));
        assert_eq!((slots[19].to_string(), slots[19].certificate_object()), ("95".to_owned(), 0x5f_c120));
    }

    #[test]
    fn a_slot_has_one_written_form() {
        for slot in Slot::retired().chain([Slot::Authentication, Slot::Signature, Slot::KeyManagement]) {
            assert_eq!(slot.to_string().parse(), Ok(slot));
        }
        for bad in ["", "9C", "81", "96", "9b", "9f", "0x82", "082", "8", "é"] {
            assert!(bad.parse::<Slot>().is_err(), "{bad}");
        }
    }
}

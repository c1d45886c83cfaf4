//! What a software card keeps when the power is off: the content of a software token's file.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{SoftError, Touch};

/// The value of `format` of a software token's file.
pub(super) const FORMAT: &str = "claviger/v1 software token";
pub(super) const WARNING: &str = "SOFTWARE TOKEN, FOR DRILLS AND TESTS ONLY: every key and the PIN stand here in clear";

/// Bytes, in hex in the file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hex(pub(super) Vec<u8>);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        hex::decode(String::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

/// Maps whose keys are slots or tags, written in hex.
mod hex_keys {
    use super::{BTreeMap, Deserialize, Deserializer, Serialize, Serializer};
    use serde::de::Error;

    pub(super) fn serialize<K, V, S>(map: &BTreeMap<K, V>, serializer: S) -> Result<S::Ok, S::Error>
    where
        K: std::fmt::LowerHex,
        V: Serialize,
        S: Serializer,
    {
        serializer.collect_map(map.iter().map(|(key, value)| (format!("{key:02x}"), value)))
    }

    pub(super) fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Ord + TryFrom<u32>,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        let map = BTreeMap::<String, V>::deserialize(deserializer)?;
        let key = |text: &str| u32::from_str_radix(text, 16).ok().and_then(|number| K::try_from(number).ok());
        map.into_iter()
            .map(|(text, value)| Ok((key(&text).ok_or_else(|| Error::custom("slot or tag in hex"))?, value)))
            .collect()
    }
}

/// A PIN or PUK and its tries.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Secret {
    /// 8 bytes, padded with FF.
    pub(super) value: Hex,
    pub(super) default: bool,
    pub(super) limit: u8,
    pub(super) left: u8,
}

impl Secret {
    pub(super) fn new(text: &[u8], limit: u8) -> Self {
        let mut value = text.to_vec();
        value.resize(8, 0xff);
        Self { value: Hex(value), default: true, limit, left: limit }
    }

    pub(super) fn set(&mut self, value: &[u8]) {
        self.value = Hex(value.to_vec());
        self.default = false;
        self.left = self.limit;
    }
}

/// The management key.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Management {
    /// 03 3DES, 08 AES-128, 0A AES-192, 0C AES-256.
    pub(super) algorithm: u8,
    pub(super) key: Hex,
    pub(super) default: bool,
    pub(super) touch: u8,
}

/// A private key in a slot.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Key {
    /// P-256 scalar, 32 bytes big-endian.
    pub(super) scalar: Hex,
    /// 1 never, 2 once, 3 always.
    pub(super) pin: u8,
    /// 1 never, 2 always, 3 cached.
    pub(super) touch: u8,
    /// 1 made on the card, 2 imported.
    pub(super) origin: u8,
}

impl Key {
    pub(super) fn secret(&self) -> Option<p256::SecretKey> {
        p256::SecretKey::from_slice(&self.scalar.0).ok()
    }
}

/// Everything that a card remembers without power.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    pub(super) format: String,
    pub(super) warning: String,
    /// Made at creation; tells two token files apart.
    pub(super) id: u64,
    pub(super) touch: Touch,
    pub(super) firmware: (u8, u8, u8),
    pub(super) serial: u32,
    pub(super) pin: Secret,
    pub(super) puk: Secret,
    /// How often the card refused a PIN that was sent to it. Never falls, whatever sets the tries back. Older token files
    /// do not have it.
    #[serde(default)]
    pub(super) refused_pins: u64,
    pub(super) management: Management,
    /// By slot, in hex in the file.
    #[serde(with = "hex_keys")]
    pub(super) keys: BTreeMap<u8, Key>,
    /// By tag, in hex in the file.
    #[serde(with = "hex_keys")]
    pub(super) objects: BTreeMap<u32, Hex>,
}

impl State {
    /// Refuses what no card can be in: everything later relies on it.
    pub(super) fn check(self) -> Result<Self, SoftError> {
        let wrong = |what| Err(SoftError::State { what });
        if self.format != FORMAT {
            return wrong("format");
        }
        if self.pin.value.0.len() != 8 || self.puk.value.0.len() != 8 {
            return wrong("pin or puk");
        }
        if super::management::key_size(self.management.algorithm) != Some(self.management.key.0.len()) {
            return wrong("management key");
        }
        if self.keys.values().any(|key| key.secret().is_none()) {
            return wrong("keys");
        }
        Ok(self)
    }
}

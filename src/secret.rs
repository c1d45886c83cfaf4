//! The only place where secret types are defined.
//!
//! A secret is filled in place, lives in one heap block that never moves, and is zeroed when dropped. None of these
//! types can be cloned, copied, compared with `==`, printed or serialized; the assertions at the end hold that.
//!
//! Copies that other libraries make while they work fall to the zeroing allocator where they are on the heap, and to
//! [`apart`] where they are on the stack. Not promised here: registers (`docs/threat-model.md`).

use zeroize::{Zeroize, Zeroizing};

/// Words of the stack that [`apart`] overwrites: 512 KiB, several times what the deepest computation here uses.
const STACK_WORDS: usize = 64 * 1024;

/// Does `work` and overwrites the part of the stack on which it was done: libraries leave scalars, keys and what they
/// compute with in their frames. What `work` returns must not hold a secret inline: it would be moved through frames that stay.
#[inline(never)]
pub fn apart<T>(work: impl FnOnce() -> T) -> T {
    let result = below(work);
    wipe_stack();
    result
}

/// A frame of its own, below the one that stays.
#[inline(never)]
fn below<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(never)]
fn wipe_stack() {
    // Zeros are written when the array is made; what might be read by somebody unknown is not left out by the compiler.
    std::hint::black_box(&mut [0u64; STACK_WORDS]);
}

macro_rules! secret_bytes {
    ($(#[$meta:meta])* $name:ident, $size:expr) => {
        $(#[$meta])*
        pub struct $name(Box<[u8; $size]>);

        impl $name {
            /// Size in bytes.
            pub const SIZE: usize = $size;

            /// A new secret, written in place by `fill`.
            pub fn fill(fill: impl FnOnce(&mut [u8; $size])) -> Self {
                let mut secret = Self(Box::new([0; $size]));
                fill(&mut secret.0);
                secret
            }

            /// A new secret, written in place by `fill`, unless that fails.
            ///
            /// # Errors
            /// Whatever `fill` returns; what was written is zeroed.
            pub fn try_fill<E>(fill: impl FnOnce(&mut [u8; $size]) -> Result<(), E>) -> Result<Self, E> {
                let mut secret = Self(Box::new([0; $size]));
                fill(&mut secret.0)?;
                Ok(secret)
            }

            /// The bytes. Every call is a place to look at in a review.
            pub fn expose_secret(&self) -> &[u8; $size] {
                &self.0
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                self.0.zeroize();
            }
        }
    };
}

secret_bytes! {
    /// The root of one generation: a P-256 scalar, 32 bytes big-endian.
    Root, 32
}

secret_bytes! {
    /// One custodian's share of a root: a P-256 scalar, 32 bytes big-endian.
    ShareValue, 32
}

secret_bytes! {
    /// What a token returns for an ECDH: the x-coordinate, 32 bytes big-endian (SP 800-56A 5.7.1.2).
    SharedX, 32
}

/// A PIN or a PUK as it was typed: 6 to 8 bytes (SP 800-73-4 part 2, 2.4.3).
pub struct Pin(Zeroizing<Vec<u8>>);

impl Pin {
    /// A PIN of 6 to 8 printable ASCII characters.
    ///
    /// # Errors
    /// [`PinShape`] if it is not; nothing was sent to any token.
    pub fn new(typed: Zeroizing<Vec<u8>>) -> Result<Self, PinShape> {
        if (6..=8).contains(&typed.len()) && typed.iter().all(|c| (0x21..=0x7e).contains(c)) {
            Ok(Self(typed))
        } else {
            Err(PinShape)
        }
    }

    /// 8 bytes, padded with FF, as VERIFY wants them.
    pub fn padded(&self) -> Zeroizing<[u8; 8]> {
        let mut padded = Zeroizing::new([0xff; 8]);
        padded[..self.0.len()].copy_from_slice(&self.0);
        padded
    }
}

/// What was typed cannot be a PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a PIN has 6 to 8 characters, without spaces")]
pub struct PinShape;

/// How a management key enciphers (NIST SP 800-78-4, table 6-2; the values are the algorithm identifiers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManagementAlgorithm {
    /// Three-key Triple DES, 24 bytes.
    TripleDes = 0x03,
    /// AES-128.
    Aes128 = 0x08,
    /// AES-192.
    Aes192 = 0x0a,
    /// AES-256.
    Aes256 = 0x0c,
}

impl ManagementAlgorithm {
    /// Length of the key in bytes.
    pub const fn key_length(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::TripleDes | Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
    }
}

/// A PIV card's management key (9B).
pub struct ManagementKey {
    algorithm: ManagementAlgorithm,
    bytes: Zeroizing<Vec<u8>>,
}

impl ManagementKey {
    /// Takes the buffer over; `None` if it is not as long as the algorithm wants.
    pub fn new(algorithm: ManagementAlgorithm, bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        (bytes.len() == algorithm.key_length()).then_some(Self { algorithm, bytes })
    }

    /// How it enciphers.
    pub fn algorithm(&self) -> ManagementAlgorithm {
        self.algorithm
    }

    /// The bytes. Every call is a place to look at in a review.
    pub fn expose_secret(&self) -> &[u8] {
        &self.bytes
    }
}

/// A credential, or any other secret bytes of no fixed size.
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes the buffer over.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// The bytes. Every call is a place to look at in a review.
    pub fn expose_secret(&self) -> &[u8] {
        &self.0
    }
}

/// A password, or any other secret text.
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes the buffer over.
    pub fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// The text. Every call is a place to look at in a review.
    pub fn expose_secret(&self) -> &str {
        &self.0
    }
}

impl<'de> serde::Deserialize<'de> for SecretText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

static_assertions::assert_not_impl_any!(Root: Clone, Copy, std::fmt::Debug, std::fmt::Display, PartialEq, serde::Serialize);
static_assertions::assert_not_impl_any!(ShareValue: Clone, Copy, std::fmt::Debug, std::fmt::Display, PartialEq, serde::Serialize);
static_assertions::assert_not_impl_any!(SharedX: Clone, Copy, std::fmt::Debug, std::fmt::Display, PartialEq, serde::Serialize);
static_assertions::assert_not_impl_any!(Pin: Clone, Copy, std::fmt::Debug, std::fmt::Display, PartialEq, serde::Serialize);
static_assertions::assert_not_impl_any!(SecretBytes: Clone, Copy, std::fmt::Debug, std::fmt::Display, PartialEq, serde::Serialize);
static_assertions::assert_not_impl_any!(ManagementKey: Clone, Copy, std::fmt::Debug, std::fmt::Display, PartialEq, serde::Serialize);
static_assertions::assert_not_impl_any!(SecretText: Clone, Copy, std::fmt::Debug, std::fmt::Display, PartialEq, serde::Serialize);

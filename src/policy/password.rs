//! How passwords are made: length and alphabet, never less than 100 bits.

use super::PolicyError;

/// Letters and digits that cannot be mistaken for each other: no `l`, `I`, `O`, `0`, `1`.
pub(super) const ALPHABET: &str = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
const LENGTH: usize = 24;
const MIN_BITS: f64 = 100.0;

/// A rule that holds at least 100 bits: the verifiers of passwords are public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordRule {
    length: usize,
    alphabet: String,
}

impl PasswordRule {
    /// `length` characters, each out of `alphabet`.
    ///
    /// # Errors
    /// [`PolicyError::Alphabet`], [`PolicyError::Weak`], [`PolicyError::Long`].
    pub fn new(length: usize, alphabet: &str) -> Result<Self, PolicyError> {
        let mut seen = [false; 128];
        let good =
            alphabet.bytes().all(|c| (0x21..=0x7e).contains(&c) && !std::mem::replace(&mut seen[usize::from(c)], true));
        if !good || alphabet.len() < 2 {
            return Err(PolicyError::Alphabet);
        }
        if length > 1024 {
            return Err(PolicyError::Long { length });
        }
        let size = alphabet.len();
        let bits = length as f64 * (size as f64).log2();
        if bits < MIN_BITS {
            return Err(PolicyError::Weak { length, size, bits: bits as u32 });
        }
        Ok(Self { length, alphabet: alphabet.to_owned() })
    }

    /// Characters in a password.
    pub fn length(&self) -> usize {
        self.length
    }

    /// 2 to 94 different printable ASCII characters.
    pub fn alphabet(&self) -> &str {
        &self.alphabet
    }
}

impl Default for PasswordRule {
    /// 24 letters and digits: 139 bits.
    fn default() -> Self {
        Self { length: LENGTH, alphabet: ALPHABET.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_a_rule_like_any_other() {
        assert_eq!(PasswordRule::new(LENGTH, ALPHABET).unwrap(), PasswordRule::default());
        assert_eq!(ALPHABET.len(), 26 + 26 + 8 - 3);
        assert!(!ALPHABET.contains(['l', 'I', 'O', '0', '1']));
    }

    #[test]
    fn a_hundred_bits_or_nothing() {
        assert!(PasswordRule::new(100, "01").is_ok());
        assert!(matches!(PasswordRule::new(99, "01"), Err(PolicyError::Weak { length: 99, size: 2, bits: 99 })));
        assert!(matches!(PasswordRule::new(0, ALPHABET), Err(PolicyError::Weak { .. })));
        assert!(matches!(PasswordRule::new(1025, ALPHABET), Err(PolicyError::Long { length: 1025 })));
    }

    #[test]
    fn an_alphabet_has_different_printable_characters() {
        let all: String = ('!'..='~').collect();
        assert!(PasswordRule::new(16, &all).is_ok());
        for bad in ["", "a", "aa", "abca", "ab c", "ab\n", "ab\u{e9}", "ab\u{7f}"] {
            assert!(matches!(PasswordRule::new(1000, bad), Err(PolicyError::Alphabet)), "{bad:?}");
        }
    }
}

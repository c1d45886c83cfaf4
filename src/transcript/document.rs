//! What all documents have in common: a bounded size, bounded texts, and rules that are checked when they are read.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::encoding::{Document, EncodingError};
use crate::error::{Advice, Exit};

/// A document file over this many bytes is refused before it is parsed.
pub const MAX_DOCUMENT: usize = 4 << 20;

/// Free texts are at most this many characters, none of them a control or format character.
pub const MAX_TEXT: usize = 500;

/// Integers are 0 to 2^53-1 (RFC 8785 writes numbers as ECMAScript does).
pub const MAX_INTEGER: u64 = (1 << 53) - 1;

/// A document was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// Over [`MAX_DOCUMENT`] bytes.
    #[error("{size} bytes are too many for a document (at most {MAX_DOCUMENT})")]
    TooLong {
        /// Its size in bytes.
        size: usize,
    },
    /// Not a canonical document of its kind.
    #[error(transparent)]
    Encoding(#[from] EncodingError),
    /// A rule of the format is broken.
    #[error("a document {format} breaks a rule: {rule}")]
    Rule {
        /// The document's kind.
        format: &'static str,
        /// The rule, as a sentence of what must hold.
        rule: &'static str,
    },
}

impl Advice for DocumentError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::TooLong { .. } | Self::Encoding(_) | Self::Rule { .. } => {
                "this file was not written by claviger, or was changed since; take it from another copy"
            }
        };
        Some(hint.to_owned())
    }

    fn exit(&self) -> Exit {
        match self {
            Self::TooLong { .. } | Self::Encoding(_) | Self::Rule { .. } => Exit::Verification,
        }
    }
}

/// A document whose own rules can be checked without any other.
pub trait Checked: Document {
    /// Checks the rules of the format that concern this document alone.
    ///
    /// # Errors
    /// [`DocumentError::Rule`], the first that is broken.
    fn check(&self) -> Result<(), DocumentError>;

    /// Reads the bytes of a file: size, canonical form, rules.
    ///
    /// # Errors
    /// [`DocumentError`].
    fn read(bytes: &[u8]) -> Result<Self, DocumentError> {
        if bytes.len() > MAX_DOCUMENT {
            return Err(DocumentError::TooLong { size: bytes.len() });
        }
        let document = Self::parse(bytes)?;
        document.check()?;
        Ok(document)
    }
}

/// `Ok` if `holds`, else the broken `rule` of `T`.
pub(super) fn rule<T: Document>(holds: bool, rule: &'static str) -> Result<(), DocumentError> {
    if holds { Ok(()) } else { Err(DocumentError::Rule { format: T::FORMAT, rule }) }
}

/// Implements [`Document`] for a struct with a field `format: String`.
macro_rules! document {
    ($type:ty, $format:literal) => {
        impl $crate::encoding::Document for $type {
            const FORMAT: &'static str = $format;

            fn format(&self) -> &str {
                &self.format
            }
        }
    };
}
pub(super) use document;

/// Whether `text` is at most [`MAX_TEXT`] characters, none of them one that moves the cursor, turns the direction of
/// writing or takes no room: what a custodian reads before approving must be what is approved.
pub fn is_text(text: &str) -> bool {
    let hidden = |c: char| {
        let format = matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{feff}');
        c.is_control()
            || format
            || matches!(c, '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    text.chars().count() <= MAX_TEXT && !text.chars().any(hidden)
}

/// Whether `text` can be the name of a file in a directory: one path component of at most 255 bytes.
pub fn is_file_name(text: &str) -> bool {
    is_text(text) && (1..=255).contains(&text.len()) && !text.starts_with('.') && !text.contains(['/', '\\'])
}

/// Whether `items` stand in strictly ascending order.
pub(super) fn ascending<T: Ord>(items: impl IntoIterator<Item = T>) -> bool {
    items.into_iter().try_fold(None, |last, item| (last.as_ref() < Some(&item)).then_some(Some(item))).is_some()
}

/// Whether no two of `items` are equal.
pub(super) fn distinct<T: Ord>(items: impl IntoIterator<Item = T>) -> bool {
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort();
    items.windows(2).all(|pair| pair[0] < pair[1])
}

/// Deserializes an integer that is at most [`MAX_INTEGER`].
pub(super) fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = u64::deserialize(deserializer)?;
    (value <= MAX_INTEGER).then_some(value).ok_or_else(|| D::Error::custom("an integer over 2^53-1"))
}

/// Deserializes an object whose numbers are all integers of 0 to [`MAX_INTEGER`].
pub(super) fn object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<serde_json::Map<String, Value>, D::Error> {
    fn good(value: &Value) -> bool {
        match value {
            Value::Null | Value::Bool(_) | Value::String(_) => true,
            Value::Number(number) => number.as_u64().is_some_and(|number| number <= MAX_INTEGER),
            Value::Array(values) => values.iter().all(good),
            Value::Object(map) => map.values().all(good),
        }
    }
    let map = serde_json::Map::deserialize(deserializer)?;
    map.values().all(good).then_some(map).ok_or_else(|| D::Error::custom("a number that is not 0 to 2^53-1"))
}

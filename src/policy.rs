//! What the vault's owner decided (`docs/format.md`, section 7). Parsing only, no I/O.
//!
//! A policy's digest is taken over the bytes of its file: comments count, since people sign what they read.

use std::ops::Range;
use std::path::PathBuf;

use der::DecodePem;
use serde::Deserialize;
use toml::Spanned;

use crate::error::{Advice, Exit};

mod password;
mod template;
#[cfg(test)]
mod tests;

pub use password::PasswordRule;

/// A parsed policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// What people call the vault, 1 to 80 printable characters.
    pub name: String,
    /// The person or team that owns it, 1 to 80 printable characters.
    pub owner: String,
    /// k, at least 2. It is checked against the roster when a vault is founded.
    pub threshold: u8,
    /// On how many media a commit must be read back before round 2; at least 1.
    pub copies: u8,
    /// Paths of copies, relative to the directory of the file.
    pub media: Vec<PathBuf>,
    /// The longest time from opening to the end of a grant, in seconds.
    pub grant_limit: i64,
    /// Whether the requester must not be an approving custodian.
    pub separate_roles: bool,
    /// The touch policy of share keys.
    pub touch: Touch,
    /// What attestation is asked for.
    pub attestation: Attestation,
    /// Roots besides Yubico's, each one certificate in PEM.
    pub attestation_roots: Vec<String>,
    /// A custodian's key that was not proven for longer is overdue.
    pub check_days: u16,
    /// A generation older than this is overdue.
    pub rotate_days: u16,
    /// How passwords are made.
    pub password: PasswordRule,
}

/// When a token wants to be touched before it uses a share key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Touch {
    /// Every time.
    Always,
    /// Once in 15 seconds.
    Cached,
    /// Not at all.
    Never,
}

/// What a ceremony does about attestation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Attestation {
    /// The verdict is written down.
    Recorded,
    /// A share key without a good attestation takes an exception.
    Required,
}

/// The file as TOML has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    format: Spanned<String>,
    name: Spanned<String>,
    owner: Spanned<String>,
    threshold: Spanned<u8>,
    copies: Option<Spanned<u8>>,
    #[serde(default)]
    media: Vec<Spanned<String>>,
    grant_limit: Option<Spanned<String>>,
    #[serde(default = "yes")]
    separate_roles: bool,
    #[serde(default = "always")]
    touch: Touch,
    #[serde(default = "recorded")]
    attestation: Attestation,
    #[serde(default)]
    attestation_roots: Vec<Spanned<String>>,
    check_days: Option<Spanned<u16>>,
    rotate_days: Option<Spanned<u16>>,
    password: Option<Spanned<PasswordText>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PasswordText {
    length: u16,
    alphabet: Option<String>,
}

fn yes() -> bool {
    true
}

fn always() -> Touch {
    Touch::Always
}

fn recorded() -> Attestation {
    Attestation::Recorded
}

const FORMAT: &str = "claviger/v1 policy";

impl Policy {
    /// Parses the text of `policy.toml`.
    ///
    /// # Errors
    /// [`PolicyError::Syntax`] and [`PolicyError::Value`], both with line and column.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let parsed: Text = toml::from_str(text).map_err(|error| {
            let (line, column) = place(text, error.span());
            PolicyError::Syntax { line, column, problem: error.message().replace('\n', ", ") }
        })?;
        let file = File { text };
        file.check("format", &parsed.format, "`claviger/v1 policy`", |format| format == FORMAT)?;
        file.check("name", &parsed.name, "1 to 80 printable characters", printable)?;
        file.check("owner", &parsed.owner, "1 to 80 printable characters", printable)?;
        file.check("threshold", &parsed.threshold, "a number from 2 to 255", |k| *k >= 2)?;
        for path in &parsed.media {
            file.check("media", path, "paths that are not empty", |path| !path.is_empty())?;
        }
        for root in &parsed.attestation_roots {
            file.check("attestation_roots", root, "strings with one certificate in PEM each", |root| {
                x509_cert::Certificate::from_pem(root).is_ok()
            })?;
        }
        Ok(Self {
            copies: file.positive("copies", parsed.copies, COPIES)?,
            grant_limit: match &parsed.grant_limit {
                Some(limit) => file.located("grant_limit", limit, duration(limit.get_ref()))?,
                None => GRANT_LIMIT,
            },
            check_days: file.positive("check_days", parsed.check_days, CHECK_DAYS)?,
            rotate_days: file.positive("rotate_days", parsed.rotate_days, ROTATE_DAYS)?,
            password: match &parsed.password {
                Some(rule) => {
                    let PasswordText { length, alphabet } = rule.get_ref();
                    let alphabet = alphabet.as_deref().unwrap_or(password::ALPHABET);
                    file.located("password", rule, PasswordRule::new(usize::from(*length), alphabet))?
                }
                None => PasswordRule::default(),
            },
            name: parsed.name.into_inner(),
            owner: parsed.owner.into_inner(),
            threshold: parsed.threshold.into_inner(),
            media: parsed.media.into_iter().map(|path| path.into_inner().into()).collect(),
            separate_roles: parsed.separate_roles,
            touch: parsed.touch,
            attestation: parsed.attestation,
            attestation_roots: parsed.attestation_roots.into_iter().map(Spanned::into_inner).collect(),
        })
    }
}

/// On how many media a commit must be where the policy says nothing.
const COPIES: u8 = 2;
/// Days after which a check is overdue, likewise.
const CHECK_DAYS: u16 = 90;
/// Days after which a rotation is overdue, likewise.
const ROTATE_DAYS: u16 = 365;
/// The longest grant where the policy says nothing, in seconds.
const GRANT_LIMIT: i64 = 4 * 60 * 60;

impl Policy {
    /// What holds where no copy has the policy that was approved: what a policy says by default, and keys must be attested
    /// by the maker. `threshold` is what the custodians approved; it is at least 2.
    pub fn strictest(threshold: u8) -> Self {
        Self {
            name: "(its policy is not here)".to_owned(),
            owner: "(its policy is not here)".to_owned(),
            threshold,
            copies: COPIES,
            media: Vec::new(),
            grant_limit: GRANT_LIMIT,
            separate_roles: true,
            touch: Touch::Always,
            attestation: Attestation::Required,
            attestation_roots: Vec::new(),
            check_days: CHECK_DAYS,
            rotate_days: ROTATE_DAYS,
            password: PasswordRule::default(),
        }
    }
}

fn printable(text: &String) -> bool {
    (1..=80).contains(&text.chars().count()) && !text.chars().any(char::is_control) && text.trim() == text
}

/// A time span: `90m`, `4h` or `2d`, up to 9999 of each; in seconds.
///
/// # Errors
/// [`PolicyError::Duration`].
pub fn duration(text: &str) -> Result<i64, PolicyError> {
    let error = || PolicyError::Duration { found: text.chars().take(40).collect() };
    let unit = text.chars().last().ok_or_else(error)?;
    let seconds = match unit {
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return Err(error()),
    };
    let digits = &text[..text.len() - 1];
    let good =
        (1..=4).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_digit()) && !digits.starts_with('0');
    let number: i64 = if good { digits.parse().map_err(|_| error())? } else { return Err(error()) };
    Ok(number * seconds)
}

/// The file that values are in, for saying where.
struct File<'a> {
    text: &'a str,
}

impl File<'_> {
    fn check<T>(
        &self,
        key: &'static str,
        value: &Spanned<T>,
        allowed: &'static str,
        good: impl Fn(&T) -> bool,
    ) -> Result<(), PolicyError> {
        let verdict = if good(value.get_ref()) { Ok(()) } else { Err(PolicyError::NotAllowed { allowed }) };
        self.located(key, value, verdict)
    }

    fn positive<T: Copy + Default + PartialOrd>(
        &self,
        key: &'static str,
        value: Option<Spanned<T>>,
        default: T,
    ) -> Result<T, PolicyError> {
        let Some(value) = value else { return Ok(default) };
        self.check(key, &value, "a number from 1", |number| *number > T::default())?;
        Ok(value.into_inner())
    }

    fn located<T, U>(
        &self,
        key: &'static str,
        value: &Spanned<T>,
        result: Result<U, PolicyError>,
    ) -> Result<U, PolicyError> {
        result.map_err(|problem| {
            let (line, column) = place(self.text, Some(value.span()));
            PolicyError::Value { line, column, key, problem: Box::new(problem) }
        })
    }
}

/// Line and column (in characters), both from 1.
fn place(text: &str, span: Option<Range<usize>>) -> (usize, usize) {
    let before = text.get(..span.map_or(0, |span| span.start)).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

/// A policy that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Not TOML, an unknown or missing key, or a value of another type.
    #[error("the policy, line {line}, column {column}: {problem}")]
    Syntax {
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
        /// What the parser said.
        problem: String,
    },
    /// A value that is not allowed.
    #[error("the policy, line {line}, column {column}: {key}: {problem}")]
    Value {
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        problem: Box<PolicyError>,
    },
    /// A value outside of what is allowed.
    #[error("must be {allowed}")]
    NotAllowed {
        /// What is allowed.
        allowed: &'static str,
    },
    /// Not a time span.
    #[error("{found:?} is not a time like `90m`, `4h` or `2d`")]
    Duration {
        /// What was found.
        found: String,
    },
    /// Characters that are not printable ASCII, or some twice, or fewer than two.
    #[error("the alphabet must be 2 to 94 different printable ASCII characters without the space")]
    Alphabet,
    /// A password by this rule could be guessed.
    #[error("a password of {length} characters out of {size} holds {bits} bits, and at least 100 are needed")]
    Weak {
        /// Characters in a password.
        length: usize,
        /// Characters in the alphabet.
        size: usize,
        /// Entropy, rounded down.
        bits: u32,
    },
    /// Longer than what a password may have.
    #[error("a password of {length} characters, where at most 1024 are allowed")]
    Long {
        /// Characters in a password.
        length: usize,
    },
}

impl Advice for PolicyError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Syntax { .. } => "mend that line; `claviger drill --dir DIR` leaves a commented policy to start from",
            Self::Value { problem, .. } => return problem.hint(),
            Self::NotAllowed { .. } => "mend that line of the policy",
            Self::Duration { .. } => "write a number from 1 to 9999 and `m`, `h` or `d`",
            Self::Alphabet => "leave `alphabet` out for letters and digits that cannot be mistaken for each other",
            Self::Weak { .. } => "make `length` larger, or leave `password` out",
            Self::Long { .. } => "make `length` smaller",
        };
        Some(hint.to_owned())
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Syntax { .. }
            | Self::Value { .. }
            | Self::NotAllowed { .. }
            | Self::Duration { .. }
            | Self::Alphabet
            | Self::Weak { .. }
            | Self::Long { .. } => Exit::Usage,
        }
    }
}

//! A password: the installed one, the next one (made at the last use), and those before, oldest first.

use std::io::{Cursor, Read, Write};

use serde::{Deserialize, Deserializer, Serialize};
use zeroize::Zeroizing;

use super::{CredentialError, Prepared, Which};
use crate::fault::inspect;
use crate::policy::PasswordRule;
use crate::secret::SecretText;

const KIND: &str = "password";
/// The longest password that is admitted, in bytes.
const MAX_PASSWORD: usize = 4096;
/// The largest payload that is read, in bytes: thousands of uses.
const MAX_PAYLOAD: u64 = 16 * 1024 * 1024;

/// The payload, as `docs/format.md`, 5.4 has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Password {
    installed: SecretText,
    #[serde(deserialize_with = "present")]
    next: Option<SecretText>,
    earlier: Vec<SecretText>,
}

/// `next` may be null but not absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretText>, D::Error> {
    Option::deserialize(deserializer)
}

pub(super) fn admit(proposal: Box<dyn Read + '_>) -> Result<Prepared<'_>, CredentialError> {
    let bytes = check(proposal)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| shape("it is not UTF-8"))?;
    let installed = SecretText::new(Zeroizing::new(text.to_owned()));
    Ok(Password { installed, next: None, earlier: Vec::new() }.prepared(None))
}

fn shape(problem: &'static str) -> CredentialError {
    CredentialError::Shape { kind: KIND, problem }
}

/// Everything that a password must be.
pub(super) fn check(proposal: impl Read) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    let bytes = read(proposal, MAX_PASSWORD as u64)?.ok_or_else(|| shape("it has more than 4096 bytes"))?;
    if bytes.is_empty() {
        return Err(shape("it is empty"));
    }
    if bytes.contains(&0) {
        return Err(shape("it contains a zero byte"));
    }
    if std::str::from_utf8(&bytes).is_err() {
        return Err(shape("it is not UTF-8"));
    }
    Ok(bytes)
}

pub(super) fn renew<'r>(
    payload: Box<dyn Read + 'r>,
    granted: Which,
    rule: &PasswordRule,
    generation: u64,
) -> Result<Prepared<'r>, CredentialError> {
    let fresh = generate(rule)?;
    Ok(Password::read(payload)?.used(granted, fresh)?.prepared(Some(generation)))
}

pub(super) fn reveal(payload: &mut dyn Read, which: Which, out: &mut dyn Write) -> Result<(), CredentialError> {
    let password = Password::read(payload)?;
    let text = match which {
        Which::Installed => &password.installed,
        Which::Next => password.next.as_ref().ok_or(CredentialError::NoNext)?,
    };
    out.write_all(text.expose_secret().as_bytes()).and_then(|()| out.flush()).map_err(CredentialError::Write)
}

impl Password {
    fn read(payload: impl Read) -> Result<Self, CredentialError> {
        let bytes = read(payload, MAX_PAYLOAD)?.ok_or(CredentialError::Payload { kind: KIND })?;
        let password: Self = serde_json::from_slice(&bytes).map_err(|_| CredentialError::Payload { kind: KIND })?;
        if *password.encode() != *bytes {
            return Err(CredentialError::Payload { kind: KIND });
        }
        Ok(password)
    }

    /// A use: the granted one is installed, `fresh` is next, and the one that was not granted has gone to the earlier ones.
    fn used(mut self, granted: Which, fresh: SecretText) -> Result<Self, CredentialError> {
        let last = self.next.replace(fresh);
        match granted {
            Which::Installed => self.earlier.extend(last),
            Which::Next => {
                let granted = last.ok_or(CredentialError::NoNext)?;
                self.earlier.push(std::mem::replace(&mut self.installed, granted));
            }
        }
        Ok(self)
    }

    fn prepared(&self, made: Option<u64>) -> Prepared<'static> {
        Prepared { payload: Box::new(Cursor::new(self.encode())), public: serde_json::json!({ "made": made }) }
    }

    /// The canonical bytes.
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        /// The secrets themselves cannot be serialized; this borrowed form lives for one call.
        #[derive(Serialize)]
        struct Text<'a> {
            earlier: Vec<&'a str>,
            installed: &'a str,
            next: Option<&'a str>,
        }
        let text = Text {
            earlier: self.earlier.iter().map(SecretText::expose_secret).collect(),
            installed: self.installed.expose_secret(),
            next: self.next.as_ref().map(SecretText::expose_secret),
        };
        Zeroizing::new(crate::encoding::canonical(&text))
    }
}

/// All bytes, or `None` if there are more than `limit`.
fn read(reader: impl Read, limit: u64) -> Result<Option<Zeroizing<Vec<u8>>>, CredentialError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_PASSWORD + 1));
    reader.take(limit + 1).read_to_end(&mut bytes).map_err(CredentialError::Read)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

/// A fresh password by the policy's rule: every character drawn evenly from the alphabet, whose rule holds at least 100 bits.
fn generate(rule: &PasswordRule) -> Result<SecretText, CredentialError> {
    let alphabet = rule.alphabet().as_bytes();
    // The largest multiple of the alphabet's size that a byte can reach: above it some characters would come more often.
    let fair = 256 - 256 % alphabet.len();
    let mut text = Zeroizing::new(String::with_capacity(rule.length()));
    let mut drawn = Zeroizing::new([0u8; 64]);
    while text.len() < rule.length() {
        getrandom::fill(&mut *drawn).map_err(CredentialError::Randomness)?;
        let missing = rule.length() - text.len();
        let fit = drawn.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < fair);
        text.extend(fit.take(missing).map(|byte| char::from(alphabet[byte % alphabet.len()])));
    }
    inspect::secret("next", text.as_bytes());
    Ok(SecretText::new(text))
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    fn rule() -> PasswordRule {
        PasswordRule::default()
    }

    fn text(prepared: Prepared<'_>) -> String {
        std::io::read_to_string(prepared.payload).unwrap()
    }

    fn shown(payload: &str, which: Which) -> String {
        let mut out = Vec::new();
        Kind::Password.reveal(&mut payload.as_bytes(), which, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn renewed(payload: &str, granted: Which) -> String {
        text(Kind::Password.renew(Box::new(payload.as_bytes()), granted, &rule(), 7).ok().unwrap())
    }

    #[test]
    fn a_life_of_uses() {
        let admitted = Kind::Password.admit(Box::new(&b"old \"one\"\n\xc3\xa9"[..])).ok().unwrap();
        assert_eq!(admitted.public, serde_json::json!({ "made": null }));
        let first = text(admitted);
        assert_eq!(first, "{\"earlier\":[],\"installed\":\"old \\\"one\\\"\\n\u{e9}\",\"next\":null}");
        assert_eq!(shown(&first, Which::Installed), "old \"one\"\n\u{e9}");

        let prepared = Kind::Password.renew(Box::new(first.as_bytes()), Which::Installed, &rule(), 7).ok().unwrap();
        assert_eq!(prepared.public, serde_json::json!({ "made": 7 }));
        let second = text(prepared);
        assert_eq!(shown(&second, Which::Installed), shown(&first, Which::Installed));
        let next = shown(&second, Which::Next);
        assert_eq!(next.len(), 24);

        // The next one was not installed, and the old one is used again: the next one is kept.
        let third = renewed(&second, Which::Installed);
        assert_eq!(shown(&third, Which::Installed), shown(&first, Which::Installed));
        assert_ne!(shown(&third, Which::Next), next);
        assert!(third.contains(&format!("\"earlier\":[\"{next}\"]")));

        // The next one was installed.
        let fourth = renewed(&third, Which::Next);
        assert_eq!(shown(&fourth, Which::Installed), shown(&third, Which::Next));
        assert!(fourth.contains(&format!("\"earlier\":[\"{next}\",\"old ")));
    }

    #[test]
    fn what_cannot_be_a_password_is_refused() {
        for bad in [&b""[..], b"a\0b", b"\xff\xfe", &[b'a'; 4097]] {
            let refused = Kind::Password.admit(Box::new(bad));
            assert!(matches!(refused, Err(CredentialError::Shape { kind: "password", .. })), "{bad:?}");
        }
        assert!(Kind::Password.admit(Box::new(&[b'a'; 4096][..])).is_ok());
    }

    #[test]
    fn a_payload_has_one_form() {
        let good = r#"{"earlier":["a"],"installed":"b","next":null}"#;
        assert_eq!(shown(good, Which::Installed), "b");
        let refused = Kind::Password.reveal(&mut good.as_bytes(), Which::Next, &mut vec![]);
        assert!(matches!(refused, Err(CredentialError::NoNext)));
        let refused = Kind::Password.renew(Box::new(good.as_bytes()), Which::Next, &rule(), 2);
        assert!(matches!(refused, Err(CredentialError::NoNext)));
        for bad in [
            "",
            "b",
            "{}",
            r#"{"earlier":["a"],"installed":"b"}"#,
            r#"{"earlier":["a"],"installed":"b","next":null} "#,
            r#"{"installed":"b","earlier":["a"],"next":null}"#,
            r#"{"earlier":["a"],"installed":"\u0062","next":null}"#,
            r#"{"earlier":["a"],"installed":null,"next":null}"#,
            r#"{"earlier":["a"],"installed":"b","more":1,"next":null}"#,
            r#"{"earlier":["a"],"installed":"b","installed":"b","next":null}"#,
        ] {
            let refused = Kind::Password.reveal(&mut bad.as_bytes(), Which::Installed, &mut vec![]);
            assert!(matches!(refused, Err(CredentialError::Payload { kind: "password" })), "{bad}");
        }
    }

    #[test]
    fn generated_passwords_use_the_whole_alphabet_and_nothing_else() {
        let rule = PasswordRule::new(400, "abcdefgh").unwrap();
        let (one, other) = (generate(&rule).ok().unwrap(), generate(&rule).ok().unwrap());
        assert_eq!(one.expose_secret().len(), 400);
        assert_ne!(one.expose_secret(), other.expose_secret());
        for letter in "abcdefgh".chars() {
            // 50 are expected; 7 standard deviations of a fair draw below that are 3.
            assert!(one.expose_secret().matches(letter).count() > 3, "{letter}");
        }
        assert!(one.expose_secret().chars().all(|c| rule.alphabet().contains(c)));
    }
}

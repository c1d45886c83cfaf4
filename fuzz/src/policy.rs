//! `policy.toml`. What is believed is within the limits of the format, says the same with a comment and a line feed at its
//! end, and every path in `media` and every text can be shown on one line.

use claviger::policy::{Policy, duration};

/// Reads one input.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(seconds) = duration(text) {
        let (digits, unit) = text.split_at(text.len() - 1);
        let unit = match unit {
            "m" => 60,
            "h" => 3600,
            _ => 86_400,
        };
        assert_eq!(digits.parse::<i64>().expect("digits") * unit, seconds);
        assert!((60..=9999 * 86_400).contains(&seconds));
    }
    let policy = match Policy::parse(text) {
        Ok(policy) => policy,
        Err(error) => {
            let told = claviger::error::sentence(&error);
            assert!(!told.is_empty() && !told.contains('\n'), "{told:?}");
            return;
        }
    };
    for text in [&policy.name, &policy.owner] {
        assert!((1..=80).contains(&text.chars().count()) && !text.chars().any(char::is_control));
    }
    assert!(policy.threshold >= 2 && policy.copies >= 1 && policy.check_days >= 1 && policy.rotate_days >= 1);
    assert!((60..=9999 * 86_400).contains(&policy.grant_limit));
    let (size, length) = (policy.password.alphabet().len(), policy.password.length());
    let guesses = u32::try_from(length).ok().and_then(|length| (size as u128).checked_pow(length));
    assert!(length <= 1024 && guesses.is_none_or(|guesses| guesses >= 1 << 100), "{size} to the power of {length}");
    assert_eq!(Policy::parse(&format!("{text}\n# the end\n")).ok(), Some(policy));
}

//! What `token list` and `token show` print.

use std::fmt::Write;

use serde_json::Value;

/// The tokens, as people read them.
pub fn text(tokens: &[Value]) -> String {
    let mut text = String::new();
    if tokens.is_empty() {
        text.push_str("No card is in any reader.\n");
    }
    for token in tokens {
        // Writing to a string cannot fail.
        let _ = write_token(&mut text, token);
    }
    text
}

fn field(token: &Value, name: &str) -> String {
    match &token[name] {
        Value::Null => "not told".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn write_token(text: &mut String, token: &Value) -> std::fmt::Result {
    writeln!(text, "{}", field(token, "reader"))?;
    if let Some(error) = token["error"].as_str() {
        return writeln!(text, "    cannot be used: {error}");
    }
    if token["software"] == Value::Bool(true) {
        writeln!(text, "    A SOFTWARE TOKEN: for drills only")?;
    }
    writeln!(
        text,
        "    firmware {}, serial {}, PIN tries {}",
        field(token, "firmware"),
        field(token, "serial"),
        field(token, "pin_tries")
    )?;
    if token["signing_key_words"].is_null() {
        writeln!(text, "    no signing key: not enrolled")?;
    } else {
        writeln!(text, "    signing key: {}", field(token, "signing_key_words"))?;
    }
    for advisory in token["advisories"].as_array().into_iter().flatten() {
        writeln!(text, "    advisory {}: {}", field(advisory, "id"), field(advisory, "text"))?;
    }
    for slot in token["slots"].as_array().into_iter().flatten() {
        writeln!(text, "    slot {}: {}", field(slot, "slot"), field(slot, "key"))?;
    }
    for anchor in token["anchors"].as_array().into_iter().flatten() {
        writeln!(
            text,
            "    vault {}:\n        closed generation {}",
            field(anchor, "vault_words"),
            field(anchor, "closed")
        )?;
        if let Some(ceremony) = anchor["ceremony"]["id"].as_str() {
            let short: String = ceremony.chars().take(8).collect();
            writeln!(
                text,
                "        in ceremony {short}, number {}, begun {}",
                field(&anchor["ceremony"], "number"),
                field(&anchor["ceremony"], "started")
            )?;
        }
        for key in anchor["keys"].as_array().into_iter().flatten() {
            writeln!(
                text,
                "        share key in slot {}, made in ceremony number {}",
                field(key, "slot"),
                field(key, "made")
            )?;
        }
    }
    Ok(())
}

//! `claviger token list` and `claviger token show`. No PIN is needed, and nothing is changed.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Failure, Tokens};
use crate::encoding::{Digest, PublicKey};
use crate::report;
use crate::token::TokenError;
use crate::token::anchor::{self, Anchor};
use crate::token::channel::{Presence, Source};
use crate::token::custody;
use crate::token::firmware;
use crate::token::piv::{Piv, SlotKey};
use crate::token::slot::Slot;

/// What to look at.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// The tokens that are present, a line each.
    List(Output),
    /// Everything that the tokens that are present say without a PIN.
    Show(Output),
}

/// How it is printed.
#[derive(Debug, Args)]
pub struct Output {
    /// For programs.
    #[arg(long)]
    pub json: bool,
}

impl Token {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn run(self, tokens: &Tokens) -> Result<(), Failure> {
        let mut source = tokens.source()?;
        let present = source.present()?;
        let (all, json) = match self {
            Self::List(output) => (false, output.json),
            Self::Show(output) => (true, output.json),
        };
        let mut shown = Vec::with_capacity(present.len());
        for presence in &present {
            shown.push(match look(source.as_mut(), presence, all) {
                Ok(token) => token,
                Err(error) => json!({"reader": presence.reader, "error": crate::error::sentence(&error)}),
            });
        }
        if json {
            report::json(&Value::Array(shown));
        } else {
            report::text(&report::tokens::text(&shown));
        }
        Ok(())
    }
}

fn look(source: &mut dyn Source, presence: &Presence, all: bool) -> Result<Value, TokenError> {
    let software = source.software();
    let mut link = source.connect(presence)?;
    let mut piv = Piv::select(link.begin()?)?;
    let version = piv.version();
    let signing_key = custody::identify(&mut piv)?;
    let mut token = json!({
        "reader": presence.reader,
        "software": software,
        "firmware": version.map(|version| version.to_string()),
        "serial": piv.serial(),
        "pin_tries": piv.pin_tries()?,
        "signing_key": signing_key.map(|key| key.to_string()),
        "signing_key_words": signing_key.map(|key| Digest::of(&key.to_bytes()).words()),
    });
    if all {
        let advisories = version.map(|version| firmware::advisories_for(version, false)).unwrap_or_default();
        token["advisories"] =
            advisories.iter().map(|advisory| json!({"id": advisory.id, "text": advisory.text})).collect();
        token["slots"] = slots(&mut piv)?;
        token["anchors"] = match signing_key {
            Some(key) => anchors(&mut piv, &key)?,
            None => json!([]),
        };
    }
    Ok(token)
}

fn slots(piv: &mut Piv<'_>) -> Result<Value, TokenError> {
    let mut slots = Vec::new();
    for slot in std::iter::once(Slot::Signature).chain(Slot::retired()) {
        let key = match piv.slot_key(slot)? {
            SlotKey::Empty => continue,
            SlotKey::P256(key) => key.to_string(),
            SlotKey::Other => "another algorithm".to_owned(),
            SlotKey::Unknown => continue,
        };
        slots.push(json!({"slot": slot.to_string(), "key": key}));
    }
    Ok(Value::Array(slots))
}

/// The anchor with the highest sequence of each vault.
fn anchors(piv: &mut Piv<'_>, signing_key: &PublicKey) -> Result<Value, TokenError> {
    let mut newest: BTreeMap<Digest, Anchor> = BTreeMap::new();
    for slot in Slot::retired() {
        let Some(der) = piv.certificate(slot)? else { continue };
        if let Ok(Some((found, _))) = anchor::read(&der, signing_key)
            && newest.get(&found.vault).is_none_or(|known| known.sequence < found.sequence)
        {
            newest.insert(found.vault, found);
        }
    }
    Ok(newest.values().map(described).collect())
}

/// An anchor for people and programs; keys that were destroyed are left out.
fn described(anchor: &Anchor) -> Value {
    let keys: Vec<Value> = anchor
        .keys
        .iter()
        .filter(|key| !key.spent)
        .map(|key| json!({"slot": key.slot, "public": key.public, "made": key.made}))
        .collect();
    let ceremony = anchor
        .ceremony
        .as_ref()
        .map(|ceremony| json!({"id": ceremony.id, "number": ceremony.number, "started": ceremony.started}));
    json!({
        "vault": anchor.vault,
        "vault_words": anchor.vault.words(),
        "closed": anchor.closed,
        "number": anchor.number,
        "ceremony": ceremony,
        "keys": keys,
    })
}

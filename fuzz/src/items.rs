//! Sealed items and inbox files, the credentials in them, and the inbox identity.
//!
//! The first byte chooses as in `envelope`. What opens as an item begins with its record and, by age alone and the identity
//! derived by hand, holds the same bytes; what begins like a record of claviger's own is no proposal; a password's payload
//! reveals what its JSON says.

use std::io::{Cursor, Read};
use std::str::FromStr;

use claviger::credential::{Kind, Which};
use claviger::encoding::{Digest, Name};
use claviger::policy::PasswordRule;
use claviger::sealing::item::{ItemRecord, Payload, open_inbox, open_item};
use claviger::sealing::root::{InboxIdentity, VaultIdentity, vault_identity};
use claviger::secret::{Root, SecretBytes};
use serde_json::Value;
use zeroize::Zeroizing;

use super::stanzas::{self, Header};

/// Reads one input.
pub fn run(bytes: &[u8]) {
    let Some((&selector, rest)) = bytes.split_first() else { return };
    match selector % 8 {
        0 => raw_item(rest),
        1 => item_plaintext(rest),
        2 => item_header(rest),
        3 => raw_inbox(rest),
        4 => inbox_plaintext(rest),
        5 => password(rest),
        6 => proposal(rest),
        _ => inbox_identity(rest),
    }
}

const ROOT: [u8; 32] = [0x5a; 32];

fn identity() -> VaultIdentity {
    vault_identity(&Root::fill(|bytes| bytes.copy_from_slice(&ROOT)), &Digest::of(b"vault"), 7)
}

/// The same by `docs/format.md`, 5.2, step by step.
fn identity_by_hand() -> age::x25519::Identity {
    let salt = [&Digest::of(b"vault").as_bytes()[..], &7_u64.to_be_bytes()].concat();
    let mut scalar = [0; 32];
    let derived = hkdf::Hkdf::<sha2::Sha256>::new(Some(&salt), &ROOT);
    derived.expand(b"claviger/v1 vault identity", &mut scalar).expect("32 bytes");
    age_identity(&scalar)
}

fn age_identity(scalar: &[u8]) -> age::x25519::Identity {
    let prefix = bech32::Hrp::parse("age-secret-key-").expect("a prefix");
    let text = bech32::encode_upper::<bech32::Bech32>(prefix, scalar).expect("32 bytes");
    age::x25519::Identity::from_str(&text).expect("an identity")
}

/// The record of every item here.
pub fn record() -> ItemRecord {
    let name = |text: &str| text.parse::<Name>().expect("a name");
    ItemRecord { vault: Digest::of(b"vault"), name: name("root-password"), kind: name("opaque") }
}

/// Its line, as `docs/format.md`, 5.4 has it.
pub fn line() -> String {
    let vault = Digest::of(b"vault");
    format!(
        "{{\"format\":\"claviger/v1 item\",\"kind\":\"opaque\",\"name\":\"root-password\",\"vault\":\"{vault}\"}}\n"
    )
}

fn whole<R: Read>(payload: Payload<R>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    Cursor::new(Vec::new()).chain(payload).read_to_end(&mut bytes).ok().map(|_| bytes)
}

fn raw_item(bytes: &[u8]) {
    let Ok(payload) = open_item(&identity(), &record(), bytes) else { return };
    let Some(found) = whole(payload) else { return };
    let expected = stanzas::opened(&identity_by_hand(), bytes).expect("age opens it too");
    assert_eq!([line().as_bytes(), &found].concat(), expected);
}

fn item_plaintext(bytes: &[u8]) {
    let header = Header { before: Vec::new(), after: Vec::new(), times: 1 };
    let sealed = header.seal(&identity_by_hand().to_public(), bytes);
    let opened = open_item(&identity(), &record(), &sealed[..]).ok().and_then(whole);
    assert_eq!(opened.as_deref(), bytes.strip_prefix(line().as_bytes()));
}

fn item_header(bytes: &[u8]) {
    let (header, rest) = Header::read(bytes);
    let sealed = header.seal(&identity_by_hand().to_public(), &[line().as_bytes(), rest].concat());
    let opened = open_item(&identity(), &record(), &sealed[..]).ok().and_then(whole);
    assert_eq!(opened.as_deref(), header.is_plain().then_some(rest));
}

/// The inbox identity, by its scalar.
const INBOX: [u8; 32] = [0x33; 32];

fn inbox() -> InboxIdentity {
    use age::secrecy::ExposeSecret;
    let text = format!("{}\n", age_identity(&INBOX).to_string().expose_secret());
    InboxIdentity::from_payload(&SecretBytes::new(Zeroizing::new(text.into_bytes()))).expect("an identity")
}

fn raw_inbox(bytes: &[u8]) {
    let Ok(payload) = open_inbox(&[&inbox()], bytes) else { return };
    let Some(found) = whole(payload) else { return };
    assert_eq!(stanzas::opened(&age_identity(&INBOX), bytes), Some(found));
}

fn inbox_plaintext(bytes: &[u8]) {
    let header = Header { before: Vec::new(), after: Vec::new(), times: 1 };
    let sealed = header.seal(&age_identity(&INBOX).to_public(), bytes);
    let opened = open_inbox(&[&inbox()], &sealed[..]).ok().and_then(whole);
    assert_eq!(opened.as_deref(), (!bytes.starts_with(b"{\"format\":\"claviger/")).then_some(bytes));
}

fn boxed(bytes: &[u8]) -> Box<dyn Read + '_> {
    Box::new(Cursor::new(bytes))
}

/// The payload of a password item.
fn password(bytes: &[u8]) {
    let mut shown = Vec::new();
    if Kind::Password.reveal(&mut &bytes[..], Which::Installed, &mut shown).is_err() {
        return;
    }
    let before: Value = serde_json::from_slice(bytes).expect("JSON");
    assert_eq!(serde_json::to_vec(&before).expect("written"), bytes, "one form");
    assert_eq!(before["installed"].as_str().map(str::as_bytes), Some(&shown[..]));
    for which in [Which::Installed, Which::Next] {
        let has_next = !before["next"].is_null();
        let renewed = Kind::Password.renew(boxed(bytes), which, &PasswordRule::default(), 9);
        assert_eq!(renewed.is_ok(), which == Which::Installed || has_next);
        let Ok(mut renewed) = renewed else { continue };
        let mut after = Vec::new();
        renewed.payload.read_to_end(&mut after).expect("memory");
        let after: Value = serde_json::from_slice(&after).expect("JSON");
        let kept = |value: &Value| value["earlier"].as_array().expect("an array").len();
        assert_eq!(kept(&after), kept(&before) + usize::from(has_next));
        let installed = if which == Which::Installed { "installed" } else { "next" };
        assert_eq!(after["installed"], before[installed]);
        assert_eq!(renewed.public, serde_json::json!({ "made": 9 }));
    }
}

/// What somebody sealed as a password.
fn proposal(bytes: &[u8]) {
    let good = std::str::from_utf8(bytes).is_ok() && (1..=4096).contains(&bytes.len()) && !bytes.contains(&0);
    let admitted = Kind::Password.admit(boxed(bytes));
    assert_eq!(admitted.is_ok(), good);
    assert_eq!(Kind::Password.check_proposal(boxed(bytes)).is_ok(), good);
    let Ok(mut admitted) = admitted else { return };
    let (mut payload, mut shown) = (Vec::new(), Vec::new());
    admitted.payload.read_to_end(&mut payload).expect("memory");
    Kind::Password.reveal(&mut &payload[..], Which::Installed, &mut shown).expect("a payload");
    assert_eq!(shown, bytes);
    assert!(Kind::Password.reveal(&mut &payload[..], Which::Next, &mut shown).is_err());
}

fn inbox_identity(bytes: &[u8]) {
    let payload = SecretBytes::new(Zeroizing::new(bytes.to_vec()));
    if let Ok(identity) = InboxIdentity::from_payload(&payload) {
        assert_eq!(identity.payload().expose_secret(), bytes, "one written form");
    }
}

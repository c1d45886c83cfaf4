//! The fuzz targets without a fuzzer: every entry of the corpora, and some thousand seeded mutations of them, through the
//! same functions (`fuzz/src/lib.rs`). `make fuzz` is the real thing.
//!
//! `CLAVIGER_WRITE_SEEDS=1` writes the hand-made part of the corpora again, for when a format gets something new.

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::path::{Path, PathBuf};

use claviger::encoding::{Digest, Document, canonical};
use claviger::secret::Pin;
use claviger::token::anchor::Anchor;
use claviger::token::channel::{Channel, ChannelError};
use claviger::token::custody::{Session, identify, new_share_key};
use claviger::token::piv::{Piv, TouchPolicy};
use claviger::token::prepare::prepare;
use claviger::token::slot::Slot;
use claviger::token::soft::{AttestationRoot, SoftCard, SoftCardOptions};
use claviger::transcript::{Enrolment, Place};
use fuzz::world::World;
use fuzz::{TARGETS, Target, certificates, envelope, items};
use zeroize::Zeroizing;

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

fn entries(target: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = std::fs::read_dir(corpus(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// xorshift64*: the same inputs in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides.max(1)
    }

    /// A changed copy of one of `entries`.
    fn mutated(&mut self, entries: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = entries[self.roll(entries.len())].clone();
        for _ in 0..=self.roll(4) {
            let place = self.roll(bytes.len());
            match self.roll(6) {
                0 if !bytes.is_empty() => bytes[place] ^= 1 << self.roll(8),
                1 if !bytes.is_empty() => bytes[place] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'0'][self.roll(7)],
                2 => bytes.insert(place, self.roll(256) as u8),
                3 => drop(bytes.drain(place..(place + 1 + self.roll(8)).min(bytes.len()))),
                4 => bytes.truncate(place),
                _ => {
                    let other = &entries[self.roll(entries.len())];
                    let from = self.roll(other.len());
                    let part = &other[from..(from + self.roll(64)).min(other.len())];
                    bytes.splice(place..place, part.iter().copied());
                }
            }
        }
        bytes
    }
}

fn target(name: &str) -> Target {
    TARGETS.iter().find(|(target, _)| *target == name).unwrap().1
}

/// `count` mutations after all that the corpus has.
fn exercise(name: &str, count: usize) {
    let (run, entries) = (target(name), entries(name));
    assert!(entries.len() >= 10, "the corpus of {name} has {} entries", entries.len());
    entries.iter().for_each(|entry| run(entry));
    let mut dice = Dice(0x0c1a_716e);
    for _ in 0..count {
        let input = dice.mutated(&entries);
        let hex = std::panic::AssertUnwindSafe(&input);
        if std::panic::catch_unwind(|| run(&hex)).is_err() {
            panic!("{name} fails on {}", hex::encode(&input));
        }
    }
}

#[test]
fn documents() {
    exercise("documents", 6000);
}

#[test]
fn policy() {
    exercise("policy", 3000);
}

#[test]
fn envelopes() {
    exercise("envelope", 800);
}

#[test]
fn sealed_items() {
    exercise("items", 1500);
}

#[test]
fn token_certificates() {
    exercise("certificates", 1500);
}

#[test]
fn cards() {
    exercise("card", 250);
}

#[test]
fn token_files() {
    exercise("token_file", 1500);
}

#[test]
fn vaults() {
    exercise("vault", 250);
}

/// Every target has its file, and is built by nobody but who asks for it.
#[test]
fn the_package_has_every_target() {
    let manifest = std::fs::read_to_string(corpus("..").join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        let file = std::fs::read_to_string(corpus("..").join(format!("targets/{name}.rs"))).unwrap();
        assert!(file.contains(&format!("claviger_fuzz::{name}::run")), "{name}");
    }
}

struct InProcess(SoftCard);

impl Channel for &mut InProcess {
    fn transmit(&mut self, apdu: &[u8]) -> Result<Zeroizing<Vec<u8>>, ChannelError> {
        Ok(Zeroizing::new(self.0.answer(apdu)))
    }
}

/// The token that the targets start from, and its share key.
fn write_token(seeds: &Path) {
    let mut card = InProcess(SoftCard::create(SoftCardOptions::default()).unwrap());
    let pin = Pin::new(Zeroizing::new(b"123456".to_vec())).unwrap();
    card.0.power_on();
    let mut piv = Piv::select(Box::new(&mut card)).unwrap();
    piv.verify_pin(&pin).unwrap();
    prepare(&mut piv, &pin).unwrap();
    drop(piv);
    card.0.power_on();
    let mut piv = Piv::select(Box::new(&mut card)).unwrap();
    let signing_key = identify(&mut piv).unwrap().unwrap();
    piv.verify_pin(&pin).unwrap();
    let mut anchor = Anchor::new(Digest::of(b"vault"));
    (anchor.number, anchor.closed, anchor.manifest) = (3, 2, Some(Digest::of(b"manifest")));
    let session = Session { signing_key, pin: &pin };
    let made = new_share_key(&mut piv, &session, anchor, TouchPolicy::Never).unwrap();
    drop(piv);
    std::fs::write(seeds.join("alice.token"), card.0.to_bytes()).unwrap();
    std::fs::write(seeds.join("alice.share-key"), made.public.to_string()).unwrap();
}

fn attested() -> Vec<Vec<u8>> {
    let mut card = InProcess(SoftCard::from_bytes(fuzz::world::TOKEN).unwrap());
    card.0.power_on();
    let mut piv = Piv::select(Box::new(&mut card)).unwrap();
    let leaf = piv.attest(Slot::Signature).unwrap().unwrap();
    let issuer = piv.object(0x5f_ff01).unwrap().unwrap();
    let issuer = claviger::token::tlv::find(&issuer, 0x70).unwrap().to_vec();
    vec![leaf, issuer, AttestationRoot::dangerous_drill().certificate().unwrap()]
}

#[test]
fn seeds_are_written_when_asked_for() {
    if std::env::var_os("CLAVIGER_WRITE_SEEDS").is_none() {
        return;
    }
    let seeds = corpus("..").join("seeds");
    if std::env::var_os("CLAVIGER_WRITE_SEEDS").is_some_and(|what| what == "token") {
        return write_token(&seeds);
    }
    let put = |target: &str, selector: u8, bytes: &[u8]| {
        let entry = [&[selector], bytes].concat();
        let name = &Digest::of(&entry).to_string()[..16];
        std::fs::create_dir_all(corpus(target)).unwrap();
        std::fs::write(corpus(target).join(name), entry).unwrap();
    };
    write_documents(&put);
    let policies: [&str; 10] = [
        "format = \"claviger/v1 policy\"\nname = \"v\"\nowner = \"o\"\nthreshold = 2\n",
        "format = \"claviger/v1 policy\"\nname = \"v\"\nowner = \"o\"\nthreshold = 2\ncopies = 3\nmedia = [\"a\", \"../b\"]\n",
        "format=\"claviger/v1 policy\"\nname=\"v\"\nowner=\"o\"\nthreshold=2\npassword={length=100,alphabet=\"01\"}\n",
        "format=\"claviger/v1 policy\"\nname=\"v\"\nowner=\"o\"\nthreshold=2\ngrant_limit=\"90m\"\ntouch=\"cached\"\n",
        "format=\"claviger/v1 policy\"\nname=\"v\"\nowner=\"o\"\nthreshold=2\nattestation=\"required\"\nattestation_roots=[]\n",
        "format=\"claviger/v1 policy\"\nname=\"v\"\nowner=\"o\"\nthreshold=2\ncheck_days=90\nrotate_days=365\nseparate_roles=false\n",
        "9999d",
        "4h",
        "# comment\n[password]\nlength = 24\n",
        "name = '''\nmany\nlines'''\n",
    ];
    for text in policies {
        let name = &Digest::of(text.as_bytes()).to_string()[..16];
        std::fs::create_dir_all(corpus("policy")).unwrap();
        std::fs::write(corpus("policy").join(name), text).unwrap();
    }
    write_sealed(&put);
    write_certificates(&put);
    for what in 0..7 {
        put("card", what, &[]);
        put("card", what, &[9, 1, 2, 0xff, 1]);
        put("card", what, &[20, 0, 2, 0x6a, 0x82, 30, 3, 1, 7]);
    }
    put("token_file", 0, fuzz::world::TOKEN);
    put("token_file", 0, &SoftCard::create(SoftCardOptions::default()).unwrap().to_bytes());
    let text = String::from_utf8(fuzz::world::TOKEN.to_vec()).unwrap();
    for (from, to) in [("5,", "999,"), ("\"9c\"", "\"9C\""), ("\"left\": 3", "\"left\": 0"), ("[", "[[")] {
        put("token_file", 0, text.replacen(from, to, 1).as_bytes());
    }
    for commands in
        [&[4, 0, 0x20, 0, 0x80, 0, 5, 0, 0xf7, 0, 0x9c, 0][..], &[5, 0, 0x47, 0, 0x82, 0], &[5, 0, 0xfb, 0, 0, 0]]
    {
        put("token_file", 1, commands);
        put("token_file", 1, &[commands, commands].concat());
    }
    for selector in [0, 1, 2, 0x10, 0x11, 0x12, 0x20, 0x21, 0x22, 0x30] {
        put("vault", selector, &[]);
        for how in 0..13 {
            put("vault", selector, &[how, how * 3 + selector, 40, 3, b'1', b'2', b'3', how, 9, 80, 0]);
        }
    }
}

fn write_documents(put: &dyn Fn(&str, u8, &[u8])) {
    let (world, _) = World::ratified();
    for (path, bytes) in &world.files {
        put("documents", 10, path.as_bytes());
        let kind = match path.rsplit('/').next().unwrap() {
            "vault.json" => 0,
            "plan.json" => 2,
            "manifest.json" => 4,
            name if name.ends_with(".sig") || name == "COMMIT" => 9,
            _ if path.contains("/approvals/") => 3,
            _ if path.contains("/closings/") => 5,
            _ if path.starts_with("records/") => 6,
            _ => continue,
        };
        put("documents", kind, bytes);
        if kind != 9 {
            put(
                "documents",
                kind | 0x80,
                &serde_json::to_vec_pretty(&serde_json::from_slice::<serde_json::Value>(bytes).unwrap()).unwrap(),
            );
        }
    }
    let mark = world.view(0).files["copy.json"].bytes().unwrap().to_vec();
    put("documents", 1, &mark);
    let key = World::signer(1);
    let enrolment = Enrolment::sign::<()>(
        "alice".parse().unwrap(),
        None,
        (fuzz::world::public(&key), claviger::transcript::Class::Software, claviger::transcript::Attestation::none()),
        "2026-01-31T10:00:00Z".parse().unwrap(),
        |bytes| Ok(fuzz::world::sign(&key, bytes)).map(|der| claviger::encoding::Signature::from_der(&der).unwrap()),
    );
    put("documents", 7, &enrolment.unwrap().encode());
    put("documents", 8, &certificates::base().encode());
    for text in ["82", "9c", "5.7.1", "2026-01-31T23:59:59Z", "alice", &Digest::of(b"x").to_string()] {
        put("documents", 11, text.as_bytes());
    }
    put("documents", 11, world.founding.roster[0].signing_key.to_string().as_bytes());
    let digest = Digest::of(b"words");
    put("documents", 12, &[digest.as_bytes(), digest.words().to_uppercase().as_bytes()].concat());
    assert_eq!(Place::of("inbox/a.age"), Place::Inbox("a.age"));
    assert_eq!(canonical(&1), b"1");
}

fn write_sealed(put: &dyn Fn(&str, u8, &[u8])) {
    let header = b"\x01joint-grease abc\nX25519 AAAA\n\n";
    let share = [envelope::start().as_bytes(), &[b'a'; 64], b"\n"].concat();
    for plaintext in [&share[..], &share[..share.len() - 1], &share[10..], b"", &[b'x'; 1025], &[b'x'; 5000]] {
        put("envelope", 1, plaintext);
    }
    for stanzas in [&b"\x01\n\n"[..], b"\x01a-grease b c\n\n", b"\x02\n\n", b"\x00\n\n", b"\x05p256tag a b\n\n", header]
    {
        put("envelope", 2, stanzas);
        put("items", 2, stanzas);
    }
    put("envelope", 0, b"age-encryption.org/v1\n-> p256tag AAAA AAAA\nAAAA\n--- AAAA\n");
    for text in [
        b"age-encryption.org/v1\n-> X25519 AAAA\nAAAA\n--- AAAA\n".as_slice(),
        b"-----BEGIN AGE ENCRYPTED FILE-----\n",
        b"",
    ] {
        for selector in [0, 3] {
            put("items", selector, text);
        }
    }
    let line = items::line();
    for plaintext in
        [line.clone(), format!("{line}payload"), line.replace("opaque", "password"), line.replace('\n', "")]
    {
        put("items", 1, plaintext.as_bytes());
        put("items", 4, plaintext.as_bytes());
    }
    put("items", 4, b"the credential");
    for payload in [
        "{\"earlier\":[],\"installed\":\"a\",\"next\":null}",
        "{\"earlier\":[\"x\"],\"installed\":\"a\",\"next\":\"b\"}",
        "{\"earlier\":[],\"installed\":\"\\u0001\\\"\",\"next\":null}",
    ] {
        put("items", 5, payload.as_bytes());
    }
    for proposal in [&b"hunter2"[..], b"", b"a\0b", &[0xff], &[b'p'; 4097]] {
        put("items", 6, proposal);
    }
    put("items", 7, b"AGE-SECRET-KEY-1QQPQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQSC3XS7\n");
}

fn write_certificates(put: &dyn Fn(&str, u8, &[u8])) {
    let (base, subject) = (certificates::base(), certificates::subject());
    put("certificates", 0, &certificates::certificate(&base, &subject));
    put("certificates", 1, &base.encode());
    let text = String::from_utf8(base.encode()).unwrap();
    for (from, to) in [
        ("\"closed\":3", "\"closed\":0"),
        ("\"number\":5", "\"number\":4503599627370496"),
        ("[]", "[[\"82\",null,5,false]]"),
    ] {
        put("certificates", 1, text.replacen(from, to, 1).as_bytes());
    }
    for change in [&[][..], &[0, 5, 3], &[0, 60, 0x31, 1, 0, 2], &[1, 50, 0xff], &[0, 2, 0x81]] {
        put("certificates", 2, change);
    }
    let chain = attested();
    let listed = |chain: &[Vec<u8>]| -> Vec<u8> {
        chain.iter().flat_map(|der| [&(der.len() as u16).to_be_bytes()[..], der].concat()).collect()
    };
    for part in [&chain[..], &chain[..1], &chain[..2], &chain[1..], &chain[2..]] {
        put("certificates", 3, &listed(part));
    }
    let notes = Path::new(env!("CARGO_MANIFEST_DIR")).join("firmware-notes/attestation/roots");
    for entry in std::fs::read_dir(notes).unwrap() {
        put("certificates", 4, &std::fs::read(entry.unwrap().path()).unwrap());
    }
    put("certificates", 4, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
}

//! What must be true of a site at rest, wherever the power failed: held to the files and the cards themselves, and not to
//! what the program says of them.

use std::collections::BTreeSet;
use std::path::Path;

use claviger::cli::open;
use claviger::encoding::{PublicKey, Time};
use claviger::report::{self, status::Terms};
use claviger::transcript::{GenerationState, Judgement, Severity};

use crate::ground::{Run, VAULTS};
use crate::harness::crew::{NAMES, pin};
use crate::harness::inside::Command;
use crate::harness::scene::{ITEM, SECRET};
use crate::image::Image;

/// What the site is, in the program's words.
pub struct Standing {
    /// The command that `status` proposes; none: nothing is unfinished.
    pub next: Option<Command>,
    /// The current generation; 0: the vault is not founded.
    pub generation: u64,
    pub ratified: bool,
    /// Everything that does not differ between two runs that were cut at the same point.
    pub shape: String,
}

/// Looks at a site. What was shown before it was cut is `shown`.
///
/// # Panics
/// If anything is not as it must be.
pub fn examine(dir: &Path, run: &Run, shown: &str) -> Standing {
    let image = Image::of(dir);
    let tokens: Vec<Token> = (0..run.n).map(|index| Token::of(&image, NAMES[index])).collect();
    no_secret_in_clear(&image, &tokens);
    let paths: Vec<_> = VAULTS.iter().map(|vault| dir.join(vault)).collect();
    let vault = match open::open(&paths, None) {
        Ok(vault) => vault,
        Err(error) => {
            let begun = image.files.keys().any(|path| path.ends_with("vault.json"));
            assert!(!begun, "there is a vault, and it cannot be read: {error}");
            assert!(run.command == Command::Found && shown.is_empty(), "the vault is gone: {error}");
            let shape = shape(&image, &tokens, None);
            return Standing { next: Some(Command::Found), generation: 0, ratified: false, shape };
        }
    };
    let judgement = &vault.judgement;
    let committed = committed(&image, run);
    let verified = report::verify::json(judgement, vault.copies.unavailable());
    assert!(judgement.findings.iter().all(|finding| finding.severity != Severity::Wrong), "verify: {verified:#}");
    let terms = Terms {
        name: None,
        now: Time::now(),
        check_days: 90,
        rotate_days: 365,
        copies: 2,
        unavailable: vault.copies.unavailable(),
        foreign: vault.copies.foreign(),
        media: &vault.copies.media(),
    };
    let status = report::status::json(judgement, &terms);
    assert_eq!(status["current"]["generation"].as_u64().unwrap_or(0), committed, "status: {status:#}");
    let ratified = status["current"]["ratified"] == true;
    if let Ok(current) = judgement.current() {
        tokens_agree(judgement, current, &tokens, run);
        if run.command != Command::Found {
            nothing_is_lost(&image, current);
        }
        assert!(ratified == current.ratified && (!ratified || is_extinct(judgement, current, &tokens, run.k)));
        assert!(!ratified || closings(&image, committed) >= run.k, "ratified without k closings");
    }
    assert!(shown.is_empty() || shown == SECRET, "what was shown is not what was sealed");
    assert!(shown.is_empty() || ratified, "it was shown before the generation was ratified");
    let next = proposed(&status, &report::status::text(judgement, &terms));
    let next = next.or((committed == 0).then_some(Command::Found));
    let waits = committed > 1 && !ratified;
    assert!(!waits || next == Some(Command::Resume), "status does not propose resume: {status:#}");
    assert!(next != Some(Command::Resume) || waits || committed == 0, "status proposes resume for nothing: {status:#}");
    let shape = shape(&image, &tokens, Some(judgement));
    Standing { next, generation: committed, ratified, shape }
}

/// What `status` says is next; text and JSON say the same.
fn proposed(status: &serde_json::Value, text: &str) -> Option<Command> {
    let unfinished = status["unfinished"].as_array().unwrap();
    let commands = unfinished.iter().map(|ceremony| {
        let next = ceremony["next"].as_str().unwrap();
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(next), "{next:?} is not in the text:\n{text}");
        match next.split("`claviger ").nth(1).and_then(|rest| rest.split('`').next()) {
            Some("found") => Command::Found,
            Some("recover") => Command::Recover,
            Some("rotate") => Command::Rotate,
            Some("resume") => Command::Resume,
            other => panic!("status proposes {other:?}: {next}"),
        }
    });
    let commands: Vec<Command> = commands.collect();
    assert!(commands.windows(2).all(|pair| pair[0] == pair[1]), "status proposes {commands:?}");
    commands.first().copied()
}

/// The highest generation with a COMMIT on any copy; generation 1 counts when all n founders have closed it.
fn committed(image: &Image, run: &Run) -> u64 {
    let commits = image.files.keys().filter(|path| path.ends_with("COMMIT"));
    let number = |path: &Path| path.parent()?.file_name()?.to_str()?.split('-').next()?.parse::<u64>().ok();
    let highest = commits.filter_map(|path| number(path)).max().unwrap_or(0);
    if highest == 1 && closings(image, 1) < run.n { 0 } else { highest }
}

/// How many custodians have signed that they closed it, on any copy.
fn closings(image: &Image, generation: u64) -> usize {
    let directory = format!("{generation:06}");
    let closing = |path: &Path| {
        let parts: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
        match parts.as_slice() {
            [_, "generations", found, "closings", file] => {
                let here = found.split('-').next() == Some(directory.as_str()) && file.ends_with(".sig");
                here.then(|| (*file).to_owned())
            }
            _ => None,
        }
    };
    image.files.keys().filter_map(|path| closing(path)).collect::<BTreeSet<_>>().len()
}

/// A card's file.
struct Token {
    tries: u64,
    /// Slot and public key, of the retired slots.
    keys: Vec<(String, PublicKey)>,
    /// Every private key on it, and its PIN as VERIFY sends it.
    secrets: Vec<Vec<u8>>,
    objects: Vec<String>,
}

impl Token {
    fn of(image: &Image, name: &str) -> Self {
        let path = format!("tokens/{name}.token");
        let card: serde_json::Value = serde_json::from_slice(&image.files[Path::new(&path)]).unwrap();
        let mut token = Self {
            tries: card["pin"]["left"].as_u64().unwrap(),
            keys: Vec::new(),
            secrets: Vec::new(),
            objects: Vec::new(),
        };
        // The tries left are whole again after a good PIN; what the card refused stays counted.
        assert_eq!((token.tries, card["refused_pins"].as_u64()), (3, Some(0)), "{name} has lost a PIN try");
        for (slot, key) in card["keys"].as_object().unwrap() {
            let scalar = hex::decode(key["scalar"].as_str().unwrap()).unwrap();
            if ("82"..="95").contains(&slot.as_str()) {
                let public = p256::SecretKey::from_slice(&scalar).unwrap().public_key();
                token.keys.push((slot.clone(), PublicKey::from_sec1(&public.to_sec1_bytes()).unwrap()));
            }
            token.secrets.push(scalar);
        }
        token.objects = card["objects"].as_object().unwrap().keys().cloned().collect();
        token.no_key_is_forgotten(name);
        token
    }

    /// A certificate of ours is in the slot of every key: otherwise the slot is lost, and at last the card is full. Objects
    /// 5FC10D to 5FC120 belong to slots 82 to 95 (NIST SP 800-73-4, part 1, table 3).
    fn no_key_is_forgotten(&self, name: &str) {
        for (slot, _) in &self.keys {
            let object = format!("{:06x}", 0x5f_c10d + u32::from_str_radix(slot, 16).unwrap() - 0x82);
            assert!(
                self.objects.contains(&object),
                "{name}: nothing says whose the key in {slot} is: {:?}",
                self.objects
            );
        }
    }

    fn holds(&self, public: &PublicKey) -> bool {
        self.keys.iter().any(|(_, key)| key == public)
    }
}

/// How many cards have the key that their share of this generation is sealed to.
fn holders(generation: &GenerationState, tokens: &[Token]) -> usize {
    let keys = generation.manifest.share_keys.iter();
    keys.filter(|key| tokens[usize::from(key.index) - 1].holds(&key.public)).count()
}

/// The cards can do what the copies say: every one of the current generation's keys is on its card, and of those before no
/// more than the copies say.
fn tokens_agree(judgement: &Judgement, current: &GenerationState, tokens: &[Token], run: &Run) {
    assert_eq!(holders(current, tokens), run.n, "a key of the current generation is gone");
    for earlier in judgement.line() {
        let said = earlier.holders.len();
        let have = holders(earlier, tokens);
        assert!(
            have <= said,
            "generation {}: {have} cards hold its keys, and {said} do by the copies",
            earlier.generation
        );
    }
}

/// No generation before can be opened: fewer than k cards have their keys of it.
fn is_extinct(judgement: &Judgement, current: &GenerationState, tokens: &[Token], k: usize) -> bool {
    let earlier = judgement.line().filter(|generation| generation.generation < current.generation);
    earlier.into_iter().all(|generation| holders(generation, tokens) < k)
}

/// What was sealed is an item, or waits in the inbox.
fn nothing_is_lost(image: &Image, current: &GenerationState) {
    let sealed = image.files.keys().any(|path| path.iter().any(|part| part == "inbox"));
    let item = current.manifest.items.iter().any(|item| item.name.as_str() == ITEM);
    assert!(item || sealed, "{ITEM} is neither an item nor in the inbox");
    let sealed_files = current.manifest.items.iter().all(|item| {
        let end = format!("{}/items/{}.age", current.directory, item.name);
        image.files.keys().any(|path| path.ends_with(&end))
    });
    assert!(sealed_files, "an item of the current generation has no file");
}

/// The files that may hold secrets are the cards. Elsewhere there is no credential, no PIN, no private key of a card, and no
/// plaintext of a share, an item or an identity.
fn no_secret_in_clear(image: &Image, tokens: &[Token]) {
    let keys: Vec<(&Vec<u8>, String)> =
        tokens.iter().flat_map(|token| &token.secrets).map(|key| (key, hex::encode(key))).collect();
    let pins: Vec<String> = (0..tokens.len()).map(pin).collect();
    let plain = [SECRET, "AGE-SECRET-KEY", "claviger/v1 share\n", "{\"format\":\"claviger/v1 item\""];
    for (path, bytes) in image.files.iter().filter(|(path, _)| !path.starts_with("tokens")) {
        for text in plain {
            assert!(!contains(bytes, text.as_bytes()), "{text:?} stands in {}", path.display());
        }
        // Six digits come up in hexadecimal numbers: alone they must not stand.
        for pin in &pins {
            let at = positions(bytes, pin.as_bytes());
            let alone = |at: usize| {
                let before = at.checked_sub(1).and_then(|at| bytes.get(at));
                let around = [before, bytes.get(at + pin.len())];
                !around.into_iter().flatten().any(u8::is_ascii_alphanumeric)
            };
            assert!(!at.into_iter().any(alone), "the PIN {pin} stands in {}", path.display());
        }
        for (key, text) in &keys {
            let found = contains(bytes, key) || contains(bytes, text.as_bytes());
            assert!(!found, "a private key stands in {}", path.display());
        }
    }
}

fn positions(bytes: &[u8], text: &[u8]) -> Vec<usize> {
    bytes.windows(text.len()).enumerate().filter(|(_, part)| *part == text).map(|(at, _)| at).collect()
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|part| part == text)
}

/// File names (those that are random without their random part), keys and containers of the cards, and the verdict.
fn shape(image: &Image, tokens: &[Token], judgement: Option<&Judgement>) -> String {
    let mut lines: Vec<String> = image.files.keys().map(|path| plain_name(path)).collect();
    lines.sort();
    for token in tokens {
        let slots: Vec<&str> = token.keys.iter().map(|(slot, _)| slot.as_str()).collect();
        lines.push(format!("keys in {slots:?}, objects {:?}, {} tries", token.objects, token.tries));
    }
    let Some(judgement) = judgement else { return lines.join("\n") };
    for generation in &judgement.generations {
        lines.push(format!(
            "generation {}: committed {}, ratified {}, extinct {}, held by {:?}, closed by {:?}, whole on {:?}",
            generation.generation,
            generation.committed,
            generation.ratified,
            generation.extinct,
            generation.holders,
            generation.closings.keys().collect::<Vec<_>>(),
            generation.complete_on,
        ));
    }
    for ceremony in &judgement.unfinished {
        let approved: Vec<_> = ceremony.approvals.keys().collect();
        lines.push(format!("unfinished {}: {:?}, approved by {approved:?}", ceremony.number, ceremony.stage));
    }
    lines.join("\n")
}

/// Records and proposals have random names.
pub fn plain_name(path: &Path) -> String {
    let is_random = |part: &&str| part.len() >= 64 && part[..64].bytes().all(|byte| byte.is_ascii_hexdigit());
    let text = path.display().to_string();
    text.split(['/', ':'])
        .map(|part| if is_random(&part) { format!("*{}", &part[64..]) } else { part.to_owned() })
        .collect::<Vec<_>>()
        .join("/")
}

/// The points that were passed, but for the pieces in which files were written: their number differs in every run.
pub fn passed(names: &[String]) -> Vec<String> {
    let lasting = names.iter().filter(|name| !name.starts_with("append"));
    lasting.map(|name| plain_name(Path::new(name))).collect()
}

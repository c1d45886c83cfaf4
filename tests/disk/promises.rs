//! What must hold whatever a medium kept: judged on the files and the tokens as they stand after a crash.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use claviger::encoding::{Digest, PublicKey};
use claviger::token::channel::{Channel, ChannelError};
use claviger::token::custody;
use claviger::token::piv::Piv;
use claviger::token::soft::SoftCard;
use claviger::transcript::{Finding, GenerationState, Judgement, RecordBody, Severity, judge};
use claviger::vault::Copies;

use super::harness::scene;
use super::journal::{Files, Journal, put};

/// A promise that is broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub promise: &'static str,
    pub how: String,
}

pub const SOUND: &str = "nothing is found wrong";
pub const OPENS: &str = "k tokens open a generation";
pub const KNOWN: &str = "no token is ahead of the copies";
pub const RATIFIED: &str = "revealed only when ratified, and on record";
pub const DURABLE: &str = "on the media when it must be";
pub const WHOLE: &str = "a name has its file's bytes, or none";
pub const GONE: &str = "removed for good";
pub const LAST: &str = "what is replaced goes when its replacement is on the medium";
pub const ONCE: &str = "a name stands once";
pub const VOUCHED: &str = "a copy that has its mark has all its files";

struct Likeness(SoftCard);

impl Channel for Likeness {
    fn transmit(&mut self, apdu: &[u8]) -> Result<zeroize::Zeroizing<Vec<u8>>, ChannelError> {
        Ok(zeroize::Zeroizing::new(self.0.answer(apdu)))
    }
}

/// What a token says.
pub struct Token {
    keys: Vec<PublicKey>,
    ceremony: Option<Digest>,
    manifest: Option<Digest>,
}

/// What tokens say, by custodian.
pub type Tokens = BTreeMap<String, Token>;

/// Looks at tokens. `vault`: whose anchors.
pub fn tokens(files: &Files, vault: Option<Digest>) -> Tokens {
    let token = |bytes: &[u8]| {
        let mut piv = Piv::select(Box::new(Likeness(SoftCard::from_bytes(bytes).unwrap()))).unwrap();
        let keys = scene::keys(&mut piv).into_values().collect();
        let signing_key = custody::identify(&mut piv).unwrap();
        let anchor =
            signing_key.zip(vault).and_then(|(key, vault)| custody::anchor_of(&mut piv, &key, vault).unwrap().anchor);
        let ceremony = anchor.as_ref().and_then(|anchor| anchor.ceremony.as_ref().map(|mark| mark.id));
        Token { keys, ceremony, manifest: anchor.and_then(|anchor| anchor.manifest) }
    };
    let name = |path: &str| Path::new(path).file_stem().unwrap().to_str().unwrap().to_owned();
    files.iter().filter(|(path, _)| path.ends_with(".token")).map(|(path, bytes)| (name(path), token(bytes))).collect()
}

/// Puts a state where claviger reads it.
pub struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    /// In memory where that can be had: only what the simulated media keep counts.
    pub fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let mut builder = tempfile::Builder::new();
        let dir = builder.prefix("claviger-test-").tempdir_in(memory).or_else(|_| tempfile::tempdir());
        Self { dir: dir.unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Only these files stand there.
    pub fn lay(&self, files: &Files) {
        for root in super::journal::ROOTS.iter().chain(&["tokens"]) {
            let _ = std::fs::remove_dir_all(self.dir.path().join(root));
        }
        put(self.dir.path(), files);
    }

    /// Every promise that this state breaks.
    pub fn broken(&self, files: &Files, tokens: &Rc<Tokens>, journal: &Journal, revealed: bool) -> Vec<Broken> {
        self.lay(files);
        let mut broken = Vec::new();
        let mut note = |promise, how: String| broken.push(Broken { promise, how });
        let begun = !journal.before.keys().any(|path| path.starts_with("vault/"));
        let Some(judgement) = judgement(self.dir.path()) else {
            let touched = tokens.values().any(|token| token.ceremony.is_some());
            if !begun || touched {
                note(KNOWN, "no copy can be read".to_owned());
            }
            return broken;
        };
        // While a vault is being made, its copies get their marks one after the other.
        let unmarked = |file: &str| begun && file == "copy.json";
        // What was damaged before is not replaced yet, or not there any more (an empty file is none).
        let damaged = |finding: &Finding| {
            let Some(copy) = finding.copy.as_deref().and_then(|copy| Path::new(copy).file_name()?.to_str()) else {
                return false;
            };
            let path = format!("{copy}/{}", finding.file);
            let stands = files.get(&path);
            journal.damaged.contains(&path) && (stands.is_none_or(Vec::is_empty) || stands == journal.before.get(&path))
        };
        let wrong = judgement.findings.iter().filter(|finding| finding.severity == Severity::Wrong);
        for finding in wrong.filter(|finding| !unmarked(&finding.file) && !damaged(finding)) {
            note(SOUND, format!("{}: {}", finding.file, finding.what));
        }
        match judgement.current() {
            Ok(current) => {
                let k = usize::from(current.manifest.plan.k);
                let holders = holders(&judgement, current, files, tokens);
                if holders < k {
                    note(OPENS, format!("generation {} by {holders} of {k}", current.generation));
                }
                if let Some(item) = missing_item(&judgement, current, files) {
                    note(OPENS, format!("{item} of generation {} is on no copy", current.generation));
                }
                if revealed && !(current.ratified && was_revealed(&judgement)) {
                    note(RATIFIED, format!("ratified: {}", current.ratified));
                }
            }
            Err(error) if !begun => note(OPENS, error.to_string()),
            Err(_) => {}
        }
        for (name, token) in tokens.iter() {
            let known = |ceremony: &Digest| judgement.ceremony(ceremony).is_some();
            if token.ceremony.as_ref().is_some_and(|ceremony| !known(ceremony)) {
                note(KNOWN, format!("{name} is in a ceremony that no copy has"));
            }
            if token
                .manifest
                .as_ref()
                .is_some_and(|manifest| judgement.generation(manifest).is_none_or(|state| !state.commit))
            {
                note(KNOWN, format!("{name} has closed a generation that no copy has committed"));
            }
        }
        broken
    }
}

/// What the copies in `dir` prove; none if there is no vault.
pub fn judgement(dir: &Path) -> Option<Judgement> {
    let paths: Vec<PathBuf> = ["vault", "copy"].iter().map(|root| dir.join(root)).collect();
    Some(judge(&Copies::open(&paths).ok()?.snapshot().ok()?))
}

fn holders(judgement: &Judgement, current: &GenerationState, files: &Files, tokens: &Tokens) -> usize {
    let plan = &current.manifest.plan;
    let can = |index: u8| {
        let entry = plan.custodian(index)?;
        let key = current.manifest.share_key(index)?.public;
        let envelope = current.manifest.envelopes.iter().find(|envelope| envelope.index == index)?.digest;
        let stands = stands(judgement, current, files, &format!("shares/{}.age", entry.stem()), envelope);
        Some(stands && tokens.get(entry.name.as_str())?.keys.contains(&key))
    };
    plan.roster.iter().filter(|entry| can(entry.index) == Some(true)).count()
}

fn missing_item(judgement: &Judgement, current: &GenerationState, files: &Files) -> Option<String> {
    let items = current.manifest.items.iter().map(|item| (format!("items/{}.age", item.name), item.digest));
    let inbox = ("inbox-identity.age".to_owned(), current.manifest.inbox_identity);
    let mut all = items.chain([inbox]);
    all.find(|(file, digest)| !stands(judgement, current, files, file, *digest)).map(|(file, _)| file)
}

fn stands(judgement: &Judgement, of: &GenerationState, files: &Files, file: &str, digest: Digest) -> bool {
    ["vault", "copy"].iter().enumerate().any(|(place, root)| {
        let directory = judgement.directory_of(place, &of.ceremony).unwrap_or(&of.directory);
        let found = files.get(&format!("{root}/generations/{directory}/{file}"));
        found.is_some_and(|bytes| Digest::of(bytes) == digest)
    })
}

fn was_revealed(judgement: &Judgement) -> bool {
    judgement.records.iter().any(|record| matches!(record.body().body, RecordBody::Revealed(_)))
}

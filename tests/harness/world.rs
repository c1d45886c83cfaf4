//! The copies and the tokens of a vault as a value: taken at any point of a ceremony, mixed, laid down again.
//!
//! What a SIGKILL leaves at a point is what stands on disk then. So one ceremony that is watched gives every state in which
//! it can be cut; and a copy that was away is the copy of an earlier state beside the tokens of a later one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use claviger::cli::Failure;
use claviger::encoding::{Digest, PublicKey};
use claviger::token::anchor::Anchor;
use claviger::token::channel::{Channel, ChannelError};
use claviger::token::custody;
use claviger::token::piv::Piv;
use claviger::token::slot::Slot;
use claviger::token::soft::SoftCard;
use claviger::transcript::{Content, CopyView, Judgement, Place as Within, Snapshot, judge};

use super::crew::{self, NAMES, Place};
use super::inside::{Command, People, Site};
use super::scene;

/// The files of a copy, by path in it.
pub type Tree = BTreeMap<String, Arc<[u8]>>;

/// Copies and tokens at one moment.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// By directory in the site.
    pub copies: BTreeMap<String, Tree>,
    /// Token files by custodian.
    pub tokens: BTreeMap<String, Arc<[u8]>>,
}

impl World {
    /// What stands in these copies of `dir`, and its tokens `NAME.token`.
    pub fn take(dir: &Path, copies: &[&str]) -> Self {
        let copies = copies.iter().map(|copy| ((*copy).to_owned(), tree(&dir.join(copy)))).collect();
        let named = |(path, bytes): (String, Arc<[u8]>)| Some((path.strip_suffix(".token")?.to_owned(), bytes));
        let tokens = tree(&dir.join("tokens")).into_iter().filter_map(named).collect();
        Self { copies, tokens }
    }

    /// Lays these copies down in the site, and the tokens of these custodians, who will be asked in this order.
    pub fn lay(&self, site: &Site, copies: &[&str], who: &[usize]) {
        for copy in self.copies.keys() {
            clear(&site.dir.join(copy));
        }
        for copy in copies {
            write(&site.dir.join(copy), &self.copies[*copy]);
        }
        clear(&site.dir.join("tokens"));
        std::fs::create_dir_all(site.dir.join("tokens")).unwrap();
        for (place, &index) in who.iter().enumerate() {
            std::fs::write(token(site, place, index), &*self.tokens[NAMES[index]]).unwrap();
        }
    }

    /// What these copies prove.
    pub fn judgement(&self, copies: &[&str]) -> Judgement {
        let view = |copy: &&str| {
            let files = self.copies[*copy].iter().map(|(path, bytes)| {
                let sealed = Within::of(path).is_sealed();
                let content = if sealed {
                    Content::Sealed { size: bytes.len() as u64, digest: Digest::of(bytes) }
                } else {
                    Content::Bytes(bytes.clone())
                };
                (path.clone(), content)
            });
            CopyView { path: (*copy).to_owned(), files: files.collect(), ..CopyView::default() }
        };
        judge(&Snapshot::new(copies.iter().map(view).collect()).unwrap())
    }
}

fn token(site: &Site, place: usize, index: usize) -> PathBuf {
    site.dir.join("tokens").join(format!("{place}-{}.token", NAMES[index]))
}

fn tree(dir: &Path) -> Tree {
    let relative = |path: PathBuf| path.strip_prefix(dir).unwrap().display().to_string();
    crew::tree(dir).into_iter().map(|(path, bytes)| (relative(path), bytes.into())).collect()
}

fn clear(dir: &Path) {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{}: {error}", dir.display()),
        _ => {}
    }
}

fn write(dir: &Path, tree: &Tree) {
    let mut made = PathBuf::new();
    for (path, bytes) in tree {
        let target = dir.join(path);
        let parent = target.parent().unwrap();
        if made != parent {
            std::fs::create_dir_all(parent).unwrap();
            made = parent.to_owned();
        }
        std::fs::write(&target, bytes).unwrap();
    }
}

/// One state of a ceremony.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The fault point after which it stood so.
    pub point: String,
    /// What stood.
    pub world: World,
}

/// A ceremony that was held, and every state that it went through.
pub struct Held {
    /// The people, afterwards.
    pub people: People,
    /// How it ended.
    pub result: Result<(), Failure>,
    /// The states, each different from the one before; the first is how it was found.
    pub frames: Vec<Frame>,
    /// What stood when a credential was about to be shown.
    pub reveals: Vec<World>,
}

impl Held {
    /// How it was left.
    pub fn world(&self) -> &World {
        &self.frames.last().unwrap().world
    }
}

/// Holds a ceremony on these copies of `world` with these custodians, and watches it.
pub fn hold(site: &Site, world: &World, command: Command, copies: &[&str], who: &[usize], mut people: People) -> Held {
    world.lay(site, copies, who);
    let first = Frame { point: "begin".to_owned(), world: world.clone() };
    let copies_here: Vec<String> = copies.iter().map(|copy| (*copy).to_owned()).collect();
    let tape = Tape {
        site: site.clone(),
        copies: copies_here,
        who: who.to_vec(),
        now: world.clone(),
        frames: vec![first],
        reveals: Vec::new(),
    };
    let tape = Rc::new(RefCell::new(tape));
    let heard = tape.clone();
    let watch = claviger::fault::watch(move |point| heard.borrow_mut().hear(point));
    let result = site.hold(command, copies, &mut people);
    drop(watch);
    let mut tape = Rc::into_inner(tape).unwrap().into_inner();
    tape.end();
    Held { people, result, frames: tape.frames, reveals: tape.reveals }
}

struct Tape {
    site: Site,
    copies: Vec<String>,
    who: Vec<usize>,
    now: World,
    frames: Vec<Frame>,
    reveals: Vec<World>,
}

impl Tape {
    fn hear(&mut self, point: &str) {
        if point == "reveal:before" {
            self.reveals.push(self.now.clone());
            return;
        }
        let Some(named) = point.strip_suffix(":after").or(point.starts_with("apdu:after").then_some(point)) else {
            return;
        };
        let changed = match named.split_once(':') {
            Some(("write", path)) => self.written(path),
            Some(("remove", path)) => self.removed(path),
            Some(("apdu", _)) => self.cards(),
            _ => false,
        };
        if changed {
            self.frames.push(Frame { point: named.to_owned(), world: self.now.clone() });
        }
    }

    fn written(&mut self, path: &str) -> bool {
        let mut changed = false;
        for copy in &self.copies {
            let tree = self.now.copies.get_mut(copy).unwrap();
            let file = self.site.dir.join(copy).join(path);
            if !tree.contains_key(path)
                && let Ok(bytes) = std::fs::read(file)
            {
                tree.insert(path.to_owned(), bytes.into());
                changed = true;
            }
        }
        changed
    }

    fn removed(&mut self, path: &str) -> bool {
        let mut changed = false;
        for copy in &self.copies {
            let gone = !self.site.dir.join(copy).join(path).exists();
            changed |= gone && self.now.copies.get_mut(copy).unwrap().remove(path).is_some();
        }
        changed
    }

    fn cards(&mut self) -> bool {
        let mut changed = false;
        for (place, &index) in self.who.iter().enumerate() {
            let bytes = std::fs::read(token(&self.site, place, index)).unwrap();
            let known = self.now.tokens.get_mut(NAMES[index]).unwrap();
            if **known != *bytes {
                *known = bytes.into();
                changed = true;
            }
        }
        changed
    }

    /// Nothing may stand there that no point told of.
    fn end(&mut self) {
        for copy in &self.copies {
            let found = tree(&self.site.dir.join(copy));
            let same = |path: &String| found.get(path) == self.now.copies[copy].get(path);
            let paths = found.keys().chain(self.now.copies[copy].keys());
            let unheard: Vec<&String> = paths.filter(|path| !same(path)).collect();
            assert!(unheard.is_empty(), "{copy} changed without a fault point: {unheard:?}");
        }
        assert!(!self.cards(), "a token changed without a fault point");
    }
}

/// What a token holds, read as anybody can who has it.
#[derive(Debug)]
pub struct Card {
    /// Its anchor of the vault.
    pub anchor: Option<Anchor>,
    /// Every P-256 key in a retired slot.
    pub keys: BTreeMap<Slot, PublicKey>,
    /// PIN tries left.
    pub tries: u8,
    /// PINs that it refused, ever.
    pub refused_pins: u64,
}

impl Card {
    /// Reads a token file.
    pub fn read(bytes: &[u8], vault: Digest) -> Self {
        let card = SoftCard::from_bytes(bytes).unwrap();
        let refused_pins = card.refused_pins();
        let mut piv = Piv::select(Box::new(Likeness(card))).unwrap();
        let signing_key = custody::identify(&mut piv).unwrap().unwrap();
        let anchor = custody::anchor_of(&mut piv, &signing_key, vault).unwrap().anchor;
        let tries = piv.pin_tries().unwrap().unwrap();
        Self { anchor, keys: scene::keys(&mut piv), tries, refused_pins }
    }

    /// Whether this key is on it.
    pub fn has(&self, key: &PublicKey) -> bool {
        self.keys.values().any(|held| held == key)
    }
}

/// A copy of a token: the file itself would be locked.
struct Likeness(SoftCard);

impl Channel for Likeness {
    fn transmit(&mut self, apdu: &[u8]) -> Result<zeroize::Zeroizing<Vec<u8>>, ChannelError> {
        Ok(zeroize::Zeroizing::new(self.0.answer(apdu)))
    }
}

/// A directory in memory where there is one: syncing costs nothing there.
pub fn quick_dir() -> tempfile::TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("claviger-test-");
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { builder.tempdir_in(memory) } else { builder.tempdir() }.unwrap()
}

/// A founded vault on `vault` and `copy` with one item in generation 2, and its tokens.
pub fn founded(k: usize, n: usize) -> World {
    founded_with(k, n, &[(scene::ITEM, "opaque", scene::SECRET)], None)
}

/// The same with these items (name, kind, secret), and perhaps with a proposal in the inbox.
pub fn founded_with(k: usize, n: usize, items: &[(&str, &str, &str)], proposal: Option<(&str, &str, &str)>) -> World {
    let place = Place::new(k);
    crew::enrol_software_tokens(&place, n);
    let site = Site { dir: place.path("") };
    let copies = ["vault", "copy"];
    let everybody: Vec<usize> = (0..n).collect();
    site.hold(Command::Found, &copies, &mut People::of(&everybody)).unwrap();
    let seal = |(name, kind, secret): (&str, &str, &str)| place.seal(name, kind, secret.as_bytes());
    items.iter().copied().for_each(seal);
    site.hold(Command::Rotate, &copies, &mut People::of(&everybody)).unwrap();
    proposal.into_iter().for_each(seal);
    World::take(&site.dir, &copies)
}

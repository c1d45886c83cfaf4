//! Frozen vaults on disk: `pool/` has every file once, by the first half of its SHA-256; `states/NAME.sha256` says which of
//! them stands where, as `sha256sum` writes it; `states/NAME.who`, `.verdict` and `.way` say what is expected.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use claviger::encoding::Digest;

use crate::harness::world::World;

/// A directory of frozen vaults.
pub struct Store {
    dir: PathBuf,
}

impl Store {
    /// The one that is checked in.
    pub fn checked_in() -> Self {
        Self::at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/frozen-v1"))
    }

    /// The one in this directory.
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// A new one.
    pub fn create(dir: &Path) -> Self {
        std::fs::create_dir(dir).expect("the directory must be new");
        std::fs::create_dir(dir.join("pool")).unwrap();
        std::fs::create_dir(dir.join("states")).unwrap();
        Self { dir: dir.to_owned() }
    }

    /// The vaults.
    pub fn names(&self) -> Vec<String> {
        let states = std::fs::read_dir(self.dir.join("states")).unwrap();
        let named = |path: PathBuf| Some(path.file_name()?.to_str()?.strip_suffix(".sha256")?.to_owned());
        let mut names: Vec<String> = states.filter_map(|entry| named(entry.unwrap().path())).collect();
        names.sort();
        names
    }

    fn pooled(&self, digest: &str) -> PathBuf {
        self.dir.join("pool").join(&digest[..32])
    }

    /// The vault with its tokens.
    pub fn read(&self, name: &str) -> World {
        let mut world = World::default();
        for line in self.expected(name, "sha256").lines() {
            let (digest, path) = line.split_once("  ").unwrap();
            let bytes: Arc<[u8]> = std::fs::read(self.pooled(digest)).unwrap().into();
            assert_eq!(Digest::of(&bytes).to_string(), digest, "{name}: {path}");
            match path.split_once('/').unwrap() {
                ("tokens", token) => {
                    world.tokens.insert(token.strip_suffix(".token").unwrap().to_owned(), bytes);
                }
                (copy, path) => {
                    world.copies.entry(copy.to_owned()).or_default().insert(path.to_owned(), bytes);
                }
            }
        }
        world
    }

    /// Adds a vault.
    pub fn write(&self, name: &str, who: &[usize], world: &World) {
        let tokens = world.tokens.iter().map(|(token, bytes)| (format!("tokens/{token}.token"), bytes));
        let files = |(copy, tree): (&String, &crate::harness::world::Tree)| {
            tree.iter().map(|(path, bytes)| (format!("{copy}/{path}"), bytes.clone())).collect::<Vec<_>>()
        };
        let mut all: Vec<(String, Arc<[u8]>)> = tokens.map(|(path, bytes)| (path, bytes.clone())).collect();
        all.extend(world.copies.iter().flat_map(files));
        let mut index = String::new();
        for (path, bytes) in all {
            let digest = Digest::of(&bytes).to_string();
            std::fs::write(self.pooled(&digest), &bytes).unwrap();
            index += &format!("{digest}  {path}\n");
        }
        self.expect(name, "sha256", &index);
        let who: Vec<String> = who.iter().map(ToString::to_string).collect();
        self.expect(name, "who", &(who.join(" ") + "\n"));
    }

    /// Who goes on, by index from 0.
    pub fn who(&self, name: &str) -> Vec<usize> {
        self.expected(name, "who").split_whitespace().map(|index| index.parse().unwrap()).collect()
    }

    /// What is expected of a vault.
    pub fn expected(&self, name: &str, what: &str) -> String {
        let file = self.dir.join("states").join(format!("{name}.{what}"));
        std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }

    /// Says what is expected.
    pub fn expect(&self, name: &str, what: &str, text: &str) {
        std::fs::write(self.dir.join("states").join(format!("{name}.{what}")), text).unwrap();
    }
}

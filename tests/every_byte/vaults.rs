//! The vaults that are damaged, and what must hold of a verdict over a damaged one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use claviger::encoding::Digest;
use claviger::transcript::{Content, CopyView, Judgement, Memory, Place, Severity, Snapshot, judge};

use crate::harness::scene::Scene;
use crate::world;

/// Files by path.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A vault on two copies, and what it proves.
pub struct Vault {
    /// For messages.
    pub name: &'static str,
    /// The files of both copies.
    pub copies: [Files; 2],
    /// The verdict over both.
    pub both: Judgement,
    /// The verdict over the first alone.
    pub alone: Judgement,
    /// Signatures that were verified already.
    pub memory: Memory,
}

/// The scene: four generations, the last ratified, a record of a reveal, and a proposal in the inbox.
pub static SCENE: LazyLock<(Scene, Vault, Vault, Vault)> = LazyLock::new(|| {
    let scene = Scene::new(2, 3);
    scene.recovers(&["vault", "copy"], &[0, 1]);
    scene.hold(&["check"], &["vault", "copy"], &[0, 1, 2]).expect(0, &[]);
    let third = read(&scene);
    scene.place.seal("second", "password", b"correct horse battery staple");
    scene.hold(&["rotate"], &["vault", "copy"], &[1, 2]).expect(0, &[]);
    scene.place.seal("third", "opaque", b"waits for the next ceremony");
    let ratified = read(&scene);
    // As a crash after COMMIT, and one before it, would have left them.
    let fourth = |path: &str| path.starts_with("generations/000004/");
    let with_fourth = |wanted: &dyn Fn(&str) -> bool| {
        [0, 1].map(|copy| {
            let mut files = third[copy].clone();
            files.extend(ratified[copy].iter().filter(|(path, _)| fourth(path) && wanted(path)).map(cloned));
            files
        })
    };
    let committed = with_fourth(&|path| !path.contains("/closings/"));
    let staged = with_fourth(&|path| !path.contains("/closings/") && !path.ends_with("COMMIT"));
    (
        scene,
        Vault::new("ratified", ratified),
        Vault::new("committed, not ratified", committed),
        Vault::new("staged", staged),
    )
});

fn cloned((path, bytes): (&String, &Vec<u8>)) -> (String, Vec<u8>) {
    (path.clone(), bytes.clone())
}

/// The three vaults.
pub fn vaults() -> [&'static Vault; 3] {
    [&SCENE.1, &SCENE.2, &SCENE.3]
}

fn read(scene: &Scene) -> [Files; 2] {
    ["vault", "copy"].map(|copy| tree(&scene.place.path(copy)))
}

/// Every file below a directory.
pub fn tree(directory: &Path) -> Files {
    let text = |path: &Path| path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
    crate::harness::crew::tree(directory)
        .into_iter()
        .map(|(path, bytes)| (text(&directory.join(path)), bytes))
        .collect()
}

impl Vault {
    fn new(name: &'static str, copies: [Files; 2]) -> Self {
        let memory = Memory::default();
        let judged = |views: Vec<CopyView>| judge(&Snapshot::new(views).unwrap().remembering(&memory));
        let both = judged(vec![view(0, &copies[0]), view(1, &copies[1])]);
        let alone = judged(vec![view(0, &copies[0])]);
        assert!(both.is_sound() && alone.is_sound(), "{name}: {:?}", both.findings);
        Self { name, copies, both, alone, memory }
    }

    /// The verdict over `changed` alone; none: it is no vault any more, and that is what is said.
    pub fn judged_alone(&self, changed: CopyView) -> Option<Judgement> {
        Some(judge(&Snapshot::new(vec![changed]).ok()?.remembering(&self.memory)))
    }

    /// The verdict over `changed` with the whole second copy beside it.
    pub fn judged_beside(&self, changed: CopyView) -> Judgement {
        let views = vec![view(1, &self.copies[1]), changed];
        judge(&Snapshot::new(views).unwrap().remembering(&self.memory))
    }

    /// What is in the first copy, as it is read.
    pub fn view(&self) -> CopyView {
        view(0, &self.copies[0])
    }
}

/// A copy as it would be read.
pub fn view(copy: usize, files: &Files) -> CopyView {
    let content = |(path, bytes): (&String, &Vec<u8>)| (path.clone(), world::content(path, bytes));
    let files: BTreeMap<String, Content> = files.iter().map(content).collect();
    CopyView { path: path_of(copy), files, ..CopyView::default() }
}

/// Where a copy is said to be.
pub fn path_of(copy: usize) -> String {
    format!("/copy/{}", copy + 1)
}

/// A file with other bytes.
pub fn with(view: &CopyView, path: &str, bytes: &[u8]) -> CopyView {
    let mut view = view.clone();
    view.files.insert(path.to_owned(), world::content(path, bytes));
    view
}

/// Documents and signatures share `Arc`s with the untouched view.
pub fn without(view: &CopyView, path: &str) -> CopyView {
    let mut view = view.clone();
    view.files.remove(path);
    view
}

/// The stem of a signed document's two files: where only the pair is wrong, either is named. COMMIT is over the manifest.
fn stem(path: &str) -> &str {
    let path = path.trim_end_matches(".json").trim_end_matches(".sig");
    path.strip_suffix("COMMIT").or_else(|| path.strip_suffix("manifest")).unwrap_or(path)
}

/// Whether a finding names this file of the first copy.
pub fn is_located(judgement: &Judgement, path: &str) -> bool {
    judgement
        .findings
        .iter()
        .any(|finding| finding.copy.as_deref() == Some("/copy/1") && stem(&finding.file) == stem(path))
}

/// Whether a wrong one names a file of the second copy.
pub fn blames_the_other(judgement: &Judgement) -> bool {
    let wrong = judgement.findings.iter().filter(|finding| finding.severity == Severity::Wrong);
    wrong.into_iter().any(|finding| finding.copy.as_deref() == Some("/copy/2"))
}

/// Nothing that no ceremony names: an inbox file that is no plan's.
pub fn is_free(path: &str) -> bool {
    matches!(Place::of(path), Place::Inbox(_))
}

/// The verdict claims nothing that the untouched vault did not prove.
#[track_caller]
pub fn claims_no_more(before: &Judgement, after: &Judgement, what: &str) {
    let known: BTreeMap<Digest, _> = before.generations.iter().map(|state| (state.digest, state)).collect();
    for state in &after.generations {
        let was = known.get(&state.digest);
        let proven = |flag: bool, proven: Option<bool>| !flag || proven == Some(true);
        assert!(proven(state.committed, was.map(|was| was.committed)), "{what}: committed beyond what was proven");
        assert!(proven(state.ratified, was.map(|was| was.ratified)), "{what}: ratified beyond what was proven");
        let Some(was) = was else { continue };
        // Root, recipients and envelopes are in the manifest, which is what its digest says.
        assert_eq!(state.manifest, was.manifest, "{what}");
        assert!(was.holders.iter().all(|index| state.holders.contains(index)), "{what}: a key is said to be gone");
    }
    let (was, is) = (before.current().ok(), after.current().ok());
    if let (Some(was), Some(is)) = (was, is) {
        assert!(is.generation <= was.generation, "{what}: a newer generation");
    }
    assert!(after.highest_number <= before.highest_number.max(1) + (1 << 32), "{what}: a number out of reach");
}

/// With a whole copy beside it, nothing is lost.
#[track_caller]
pub fn stands(before: &Judgement, after: &Judgement, what: &str) {
    assert_eq!(after.vault, before.vault, "{what}: another vault");
    let (was, is) = (before.current().unwrap(), after.current().unwrap());
    assert_eq!((was.digest, was.ratified), (is.digest, is.ratified), "{what}: another generation is current");
    let ratified = |judgement: &Judgement| judgement.ratified_head().map(|state| state.digest);
    assert_eq!(ratified(before), ratified(after), "{what}: another generation is ratified");
    assert!(!blames_the_other(after), "{what}: the whole copy is blamed: {:?}", after.findings);
    claims_no_more(before, after, what);
}

/// Shares what `Arc` allows: a check that views are cheap to clone.
pub fn shares(a: &CopyView, b: &CopyView, path: &str) -> bool {
    match (&a.files[path], &b.files[path]) {
        (Content::Bytes(a), Content::Bytes(b)) => Arc::ptr_eq(a, b),
        (a, b) => a == b,
    }
}

//! What stands on a directory, held in memory: taken at every point of a run that is watched, and laid out again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files and directories below a directory.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Image {
    directories: BTreeSet<PathBuf>,
    pub files: BTreeMap<PathBuf, Arc<Vec<u8>>>,
}

/// What tells a file that was touched: inode, time, size. The inodes of tmpfs are not used again.
type Stamps = BTreeMap<PathBuf, (u64, i64, i64, u64)>;

impl Image {
    /// What stands below `dir` now.
    pub fn of(dir: &Path) -> Self {
        Self::renewed(dir, &Self::default(), &Stamps::new()).0
    }

    fn renewed(dir: &Path, before: &Self, stamps: &Stamps) -> (Self, Stamps) {
        let (mut image, mut now) = (Self::default(), Stamps::new());
        let mut todo = vec![PathBuf::new()];
        while let Some(here) = todo.pop() {
            for entry in fs::read_dir(dir.join(&here)).unwrap() {
                let entry = entry.unwrap();
                let path = here.join(entry.file_name());
                let metadata = entry.metadata().unwrap();
                if metadata.is_dir() {
                    image.directories.insert(path.clone());
                    todo.push(path);
                    continue;
                }
                let stamp = (metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.size());
                let same = on_tmpfs() && stamps.get(&path) == Some(&stamp);
                let bytes = match before.files.get(&path).filter(|_| same) {
                    Some(bytes) => bytes.clone(),
                    None => Arc::new(fs::read(dir.join(&path)).unwrap()),
                };
                image.files.insert(path.clone(), bytes);
                now.insert(path, stamp);
            }
        }
        (image, now)
    }

    /// Makes `dir` so.
    pub fn lay_out(&self, dir: &Path) {
        for directory in &self.directories {
            fs::create_dir_all(dir.join(directory)).unwrap();
        }
        for (path, bytes) in &self.files {
            fs::write(dir.join(path), bytes.as_slice()).unwrap();
        }
    }
}

/// Where the sites are: syncing costs nothing there. What a SIGKILL leaves is the same on every file system.
pub fn ground() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

fn on_tmpfs() -> bool {
    ground() == Path::new("/dev/shm")
}

/// A new directory for one site.
pub fn directory() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("claviger-crash-").tempdir_in(ground()).unwrap()
}

/// What stood on the site at some points of a run, which follow each other.
pub struct State {
    pub image: Image,
    /// Numbers of the points, from 1.
    pub points: Vec<usize>,
}

/// Takes down what stands on a site, point by point.
#[derive(Default)]
pub struct Recorder {
    dir: PathBuf,
    stamps: Stamps,
    /// The names of all points, in order.
    pub names: Vec<String>,
    /// The states, in order; each differs from the one before.
    pub states: Vec<State>,
}

impl Recorder {
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), ..Self::default() }
    }

    pub fn point(&mut self, name: &str) {
        self.names.push(name.to_owned());
        let number = self.names.len();
        let nothing = Image::default();
        let before = self.states.last().map_or(&nothing, |state| &state.image);
        let (image, stamps) = Image::renewed(&self.dir, before, &self.stamps);
        self.stamps = stamps;
        match self.states.last_mut() {
            Some(state) if state.image == image => state.points.push(number),
            _ => self.states.push(State { image, points: vec![number] }),
        }
    }
}

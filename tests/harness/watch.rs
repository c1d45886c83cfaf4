//! Looks into the memory of claviger at each of its stages, for every secret that has come to exist in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use p256::elliptic_curve::PrimeField;
use p256::elliptic_curve::bigint::U256;
use p256::elliptic_curve::ops::Reduce;
use p256::{FieldBytes, Scalar};

/// Of a longer secret so many bytes from its middle are looked for: half a key that was left behind is found too.
const FRAGMENT: usize = 16;

/// Listens to one run of claviger after the other.
pub struct Watch {
    socket: PathBuf,
    state: Arc<Mutex<State>>,
    _dir: tempfile::TempDir,
}

/// A secret in one of its written forms.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Form {
    /// Whose, or what: `pin alice`, `root`.
    pub secret: String,
    /// How it is written.
    pub form: &'static str,
}

/// What was found in the memory at one stage.
#[derive(Debug, Clone)]
pub struct Look {
    /// The stage.
    pub stage: String,
    /// The process id of claviger.
    pub process: i32,
    /// Every form that was found, with the places.
    pub found: BTreeMap<Form, Vec<String>>,
    /// How many bytes were looked through.
    pub bytes: usize,
    /// Files in which something was found. Who is killed now leaves these.
    pub files: Vec<(PathBuf, BTreeSet<Form>)>,
}

impl Look {
    /// The secrets that were found in whatever form.
    pub fn secrets(&self) -> BTreeSet<&str> {
        self.found.keys().map(|form| form.secret.as_str()).collect()
    }
}

#[derive(Default)]
struct State {
    patterns: BTreeMap<Vec<u8>, Form>,
    kinds: BTreeMap<String, usize>,
    looks: Vec<Look>,
    directories: Vec<PathBuf>,
    answers: BTreeMap<String, u8>,
}

impl Watch {
    /// Begins to listen.
    pub fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("claviger-watch-").tempdir().unwrap();
        let socket = dir.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                serve(&stream, &shared);
            }
        });
        Self { socket, state, _dir: dir }
    }

    /// What claviger finds this listener by.
    pub fn environment(&self) -> (&'static str, &str) {
        ("CLAVIGER_INSPECT", self.socket.to_str().unwrap())
    }

    /// A secret that the test itself knows.
    pub fn plant(&self, name: &str, secret: &[u8]) {
        self.state.lock().unwrap().add(name, secret);
    }

    /// At each stage all files below this directory are searched too.
    pub fn search_files_in(&self, directory: &Path) {
        self.state.lock().unwrap().directories.push(directory.to_owned());
    }

    /// What claviger is told at this stage: `p` makes it panic, `a` abort.
    pub fn answer_at(&self, stage: &str, answer: u8) {
        self.state.lock().unwrap().answers.insert(stage.to_owned(), answer);
    }

    /// What was found since the last call, stage by stage.
    pub fn looks(&self) -> Vec<Look> {
        std::mem::take(&mut self.state.lock().unwrap().looks)
    }

    /// How many secrets of each kind are known.
    pub fn kinds(&self) -> BTreeMap<String, usize> {
        self.state.lock().unwrap().kinds.clone()
    }

    /// The forms of all secrets that stand in `bytes`.
    pub fn search(&self, bytes: &[u8]) -> BTreeSet<Form> {
        let state = self.state.lock().unwrap();
        let (search, forms) = state.search();
        search.find_overlapping_iter(bytes).map(|found| forms[found.pattern().as_usize()].clone()).collect()
    }
}

fn serve(stream: &UnixStream, state: &Mutex<State>) {
    let process = rustix::net::sockopt::socket_peercred(stream).unwrap().pid.as_raw_pid();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["stage", stage @ ..] => {
                let mut state = state.lock().unwrap();
                let stage = stage.join(" ");
                let answer = state.answers.get(&stage).copied().unwrap_or(0);
                let look = state.look(&stage, process);
                state.looks.push(look);
                let mut writer = stream;
                writer.write_all(&[answer]).unwrap();
            }
            ["secret", kind, length] => {
                let mut secret = vec![0; length.parse().unwrap()];
                reader.read_exact(&mut secret).unwrap();
                state.lock().unwrap().add(kind, &secret);
            }
            other => panic!("claviger said {other:?}"),
        }
        line.clear();
    }
}

impl State {
    fn add(&mut self, name: &str, secret: &[u8]) {
        let before = self.patterns.len();
        for (form, bytes) in forms(name, secret) {
            let length = if bytes.len() > FRAGMENT { FRAGMENT } else { bytes.len() };
            let from = (bytes.len() - length) / 2;
            let pattern = bytes[from..from + length].to_vec();
            self.patterns.entry(pattern).or_insert_with(|| Form { secret: name.to_owned(), form });
        }
        if self.patterns.len() > before {
            *self.kinds.entry(name.to_owned()).or_default() += 1;
        }
    }

    fn search(&self) -> (AhoCorasick, Vec<Form>) {
        (AhoCorasick::new(self.patterns.keys()).unwrap(), self.patterns.values().cloned().collect())
    }

    /// Everything that the process can read, but for what the kernel maps into every process.
    fn look(&self, stage: &str, process: i32) -> Look {
        let (search, forms) = self.search();
        let memory = File::open(format!("/proc/{process}/mem")).expect("the memory of claviger can be read");
        let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
        let mut look = Look { stage: stage.to_owned(), process, found: BTreeMap::new(), bytes: 0, files: Vec::new() };
        for line in maps.lines() {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let name = columns.get(5).copied().unwrap_or("anonymous");
            if !columns[1].starts_with('r') || name.starts_with("[v") {
                continue;
            }
            // Code and constants, mapped from files: what the program never wrote to can hold nothing of it.
            if !columns[1].contains('w') && columns[4] != "0" && std::env::var_os("CLAVIGER_TEST_ALL").is_none() {
                continue;
            }
            let (from, to) = columns[0].split_once('-').unwrap();
            let [from, to] = [from, to].map(|address| u64::from_str_radix(address, 16).unwrap());
            let mut bytes = vec![0; (to - from) as usize];
            memory.read_exact_at(&mut bytes, from).unwrap_or_else(|error| panic!("{line}: {error}"));
            look.bytes += bytes.len();
            for found in search.find_overlapping_iter(&bytes) {
                let place = format!("{name}+{:#x}", found.start());
                look.found.entry(forms[found.pattern().as_usize()].clone()).or_default().push(place);
            }
        }
        assert!(look.bytes > 1 << 18, "{maps}");
        for (path, bytes) in self.directories.iter().flat_map(|directory| super::crew::tree(directory)) {
            let found = search.find_overlapping_iter(&bytes).map(|found| forms[found.pattern().as_usize()].clone());
            let found: BTreeSet<Form> = found.collect();
            if !found.is_empty() {
                look.files.push((path, found));
            }
        }
        look
    }
}

/// Every form in which a secret could stand somewhere.
fn forms(name: &str, secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut forms = Vec::new();
    let mut written = |raw: &'static str, bytes: &[u8]| {
        forms.push((raw, bytes.to_vec()));
        forms.push(("hex", hex::encode(bytes).into_bytes()));
        forms.push(("HEX", hex::encode_upper(bytes).into_bytes()));
        forms.push(("base64", base64::prelude::BASE64_STANDARD_NO_PAD.encode(bytes).into_bytes()));
    };
    written("as it is", secret);
    if name == "inbox" {
        let text = std::str::from_utf8(secret).unwrap().trim_end();
        written("as bytes", &bech32::decode(text).unwrap().1);
    }
    if name == "succession" {
        written("as a scalar", &reduced(secret).to_repr());
    }
    // How the curve library keeps a scalar: its words from the least on, as a number or in Montgomery's form.
    let scalar = match name {
        "root" | "share" => Option::from(Scalar::from_repr(FieldBytes::try_from(secret).unwrap())),
        "succession" => Some(reduced(secret)),
        _ => None,
    };
    if let Some(scalar) = scalar {
        let montgomery: Scalar = scalar * (<Scalar as Reduce<U256>>::reduce(&U256::MAX) + Scalar::ONE);
        for (form, scalar) in [("in words", scalar), ("in Montgomery's words", montgomery)] {
            let mut words = scalar.to_repr().to_vec();
            words.reverse();
            forms.push((form, words));
        }
    }
    forms
}

/// 48 bytes, big-endian, modulo the order of P-256.
fn reduced(wide: &[u8]) -> Scalar {
    let number = |bytes: &[u8]| <Scalar as Reduce<U256>>::reduce(&U256::from_be_slice(bytes));
    let high = number(&[&[0; 16], &wide[..16]].concat());
    high * (number(&[0xff; 32]) + Scalar::ONE) + number(&wide[16..])
}

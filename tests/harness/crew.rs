//! People who hold a ceremony: they read the screen, answer what they are asked, and move cards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use claviger::token::soft::{AttestationRoot, SoftCard, SoftCardOptions, SoftSource};

use super::{Pcscd, Terminal, VirtualCard};

/// Example names; plainly so.
pub const NAMES: [&str; 5] = ["alice", "bob", "carol", "dan", "erin"];
/// The PIN of custodian `index` (from 0).
pub fn pin(index: usize) -> String {
    format!("{:06}", 730_000 + index)
}

/// What the crew does at a prompt that it knows.
pub struct Crew {
    /// PINs of the custodians who take part; the others press Enter alone.
    pub pins: BTreeMap<String, String>,
    /// Words typed at choices, in order; Enter alone when there are none left.
    pub choices: Vec<String>,
    /// What was shown on the alternate screen, in order.
    pub shown: Vec<String>,
    /// How often a PIN was typed.
    pub pins_typed: usize,
}

/// What the program says then.
pub const PIN: &str = ", or Enter alone if you do not want to go on:";
/// What the program says then.
pub const CONFIRM: &str = "yes or no [no]:";
/// What the program says then.
pub const CHOOSE: &str = "Type one of these words [";
/// What the program says then.
pub const INSERT: &str = "Insert the next card";
/// What the program says then.
pub const SHOWN: &str = "Press any key when you are done.";
const NEW_CODE: &str = ", your new P";
/// Every prompt that a crew knows.
pub const PROMPTS: [&str; 6] = [PIN, CONFIRM, CHOOSE, INSERT, SHOWN, NEW_CODE];
const ONCE_MORE: &str = " once more:";

impl Crew {
    /// The custodians with these indices (from 0) take part.
    pub fn of(indices: &[usize]) -> Self {
        let pins = indices.iter().map(|&index| (NAMES[index].to_owned(), pin(index))).collect();
        Self { pins, choices: Vec::new(), shown: Vec::new(), pins_typed: 0 }
    }

    /// Types these words at the choices that come.
    pub fn choosing(mut self, words: &[&str]) -> Self {
        self.choices = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Holds the ceremony to its end; `swap` is called when the program wants another card. The exit code.
    #[track_caller]
    pub fn hold(&mut self, terminal: &mut Terminal, mut swap: impl FnMut()) -> i32 {
        self.hold_reading(terminal, |_| swap())
    }

    /// The same; `swap` is given the screen so far.
    #[track_caller]
    pub fn hold_reading(&mut self, terminal: &mut Terminal, mut swap: impl FnMut(&str)) -> i32 {
        while let Some((which, before)) = terminal.next(&PROMPTS) {
            let screen = terminal.screen().to_owned();
            self.answer(terminal, which, &before, &mut || swap(&screen));
        }
        terminal.exit_code()
    }

    /// Holds the ceremony until `text` is shown.
    #[track_caller]
    pub fn hold_until(&mut self, terminal: &mut Terminal, text: &str) {
        let [pin, confirm, choose, insert, shown, new_code] = PROMPTS;
        loop {
            match terminal.expect_any(&[pin, confirm, choose, insert, shown, new_code, text]) {
                (6, _) => return,
                (which, before) => self.answer(terminal, which, &before, &mut || {}),
            }
        }
    }

    /// What the crew does at the prompt number `which` of [`PROMPTS`].
    pub fn answer(&mut self, terminal: &mut Terminal, which: usize, before: &str, swap: &mut dyn FnMut()) {
        match which {
            0 => self.give_pin(terminal, before),
            1 => terminal.type_line("yes"),
            2 => {
                let word = if self.choices.is_empty() { String::new() } else { self.choices.remove(0) };
                terminal.type_line(&word);
            }
            3 => swap(),
            4 => {
                self.shown.push(last_screen(before));
                terminal.type_bytes(b" ");
            }
            _ => self.choose_code(terminal, before),
        }
    }

    fn give_pin(&mut self, terminal: &mut Terminal, before: &str) {
        let line = before.lines().last().unwrap_or_default();
        let name = line.split(", your PIN").next().unwrap_or_default().trim();
        match self.pins.get(name) {
            Some(pin) => {
                self.pins_typed += 1;
                terminal.type_line(pin);
            }
            None => terminal.type_line(""),
        }
    }

    /// A factory-new card: the new PIN, then the new PUK, each twice.
    fn choose_code(&mut self, terminal: &mut Terminal, before: &str) {
        let name = before.lines().last().unwrap_or_default().trim().to_owned();
        let (which, _) = terminal.expect_any(&["IN:", "UK:"]);
        let code = if which == 0 { self.pins[&name].clone() } else { "90817263".to_owned() };
        terminal.type_line(&code);
        terminal.answer(ONCE_MORE, &code);
    }
}

/// What stands between the title of the alternate screen and its last line.
fn last_screen(before: &str) -> String {
    let screen = before.rsplit_once("Z:\n\n").map_or(before, |(_, screen)| screen);
    screen.trim_end_matches('\n').to_owned()
}

/// One reader, and the hands that swap cards in it.
pub struct OneReader<'p> {
    pcscd: &'p Pcscd,
    /// The custodians' cards, in the order of [`NAMES`].
    pub cards: Vec<VirtualCard>,
    present: Option<usize>,
    /// How often each card was inserted.
    pub insertions: Vec<u32>,
}

impl<'p> OneReader<'p> {
    /// An empty reader.
    pub fn new(pcscd: &'p Pcscd, cards: Vec<VirtualCard>) -> Self {
        let insertions = vec![0; cards.len()];
        Self { pcscd, cards, present: None, insertions }
    }

    /// Takes out what is in the reader.
    pub fn clear(&mut self) {
        if let Some(present) = self.present.take() {
            self.pcscd.remove(0, &mut self.cards[present]);
        }
    }

    /// Takes out what is in the reader and puts in the card of custodian `index`.
    pub fn insert(&mut self, index: usize) {
        self.clear();
        self.pcscd.insert(0, &mut self.cards[index]);
        self.present = Some(index);
        self.insertions[index] += 1;
    }

    /// Puts in the card of the first of `who` whom the screen still wants.
    #[track_caller]
    pub fn swap(&mut self, screen: &str, who: &[usize]) {
        let wanted = screen.rsplit("in any order: ").next().and_then(|rest| rest.split('.').next()).unwrap_or_default();
        let wanted: Vec<&str> = wanted.split(", ").collect();
        let next = who.iter().find(|&&index| Some(index) != self.present && wanted.contains(&NAMES[index]));
        self.insert(*next.unwrap_or_else(|| panic!("nobody is left to come: {wanted:?} of {who:?}\n{screen}")));
    }
}

/// A place for a test: vault, copy, enrolments, policy, and the tokens' paths.
pub struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    /// An empty one with a policy: `k`, two copies.
    pub fn new(k: usize) -> Self {
        let dir = tempfile::Builder::new().prefix("claviger-test-").tempdir().unwrap();
        let policy = format!(
            "format = \"claviger/v1 policy\"\nname = \"test\"\nowner = \"the tests\"\nthreshold = {k}\ncopies = 2\n"
        );
        std::fs::write(dir.path().join("policy.toml"), policy).unwrap();
        std::fs::create_dir(dir.path().join("tokens")).unwrap();
        Self { dir }
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The same as text.
    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// `soft:DIR` for --tokens.
    pub fn soft(&self) -> String {
        format!("soft:{}", self.text("tokens"))
    }

    /// Runs claviger without a terminal; standard output if it succeeds.
    #[track_caller]
    pub fn quietly(&self, args: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_claviger")).args(args).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "claviger {args:?} failed: {error}\n{}",
            String::from_utf8_lossy(&output.stdout)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Seals `secret` as `name`.
    #[track_caller]
    pub fn seal(&self, name: &str, kind: &str, secret: &[u8]) {
        let file = self.path("secret-to-seal");
        std::fs::write(&file, secret).unwrap();
        let (vault, copy) = (self.text("vault"), self.text("copy"));
        self.quietly(&["seal", &vault, &copy, name, "--kind", kind, &file.display().to_string()]);
        std::fs::remove_file(file).unwrap();
    }
}

/// A drill with software tokens in `place`: `n` enrolled custodians with their own PINs, and a founded vault with two copies.
#[track_caller]
pub fn found_on_software_tokens(place: &Place, n: usize) {
    enrol_software_tokens(place, n);
    let everybody: Vec<usize> = (0..n).collect();
    assert_eq!(found(place, &place.soft(), &everybody, None, || {}), 0);
}

/// Software tokens of `n` custodians with their own PINs, and their enrolments.
#[track_caller]
pub fn enrol_software_tokens(place: &Place, n: usize) {
    for (index, name) in NAMES.iter().enumerate().take(n) {
        let options = SoftCardOptions { firmware: (5, 7, 1), serial: 100 + index as u32, ..SoftCardOptions::default() };
        claviger::token::soft::create_token(&place.path("tokens"), name, options).unwrap();
        change_pin_of_software_token(place, index);
        let output = place.text(&format!("{name}.json"));
        let mut terminal = claviger(&place.soft(), &["enrol", "--name", name, "-o", &output], None);
        assert_eq!(Crew::of(&[index]).hold(&mut terminal, || {}), 0, "{}", terminal.screen());
    }
}

fn change_pin_of_software_token(place: &Place, index: usize) {
    change_pin_of_software_token_in(&place.path("tokens"), index);
}

/// The token of custodian `index` in this directory, fresh from [`claviger::token::soft::create_token`], gets its PIN.
pub fn change_pin_of_software_token_in(tokens: &Path, index: usize) {
    use claviger::secret::Pin;
    use claviger::token::channel::Source;
    let typed = |text: &str| Pin::new(zeroize::Zeroizing::new(text.as_bytes().to_vec())).unwrap();
    let mut source = SoftSource::open(tokens).unwrap();
    let presence =
        source.present().unwrap().into_iter().find(|p| p.reader == format!("{}.token", NAMES[index])).unwrap();
    let mut link = source.connect(&presence).unwrap();
    let mut piv = claviger::token::piv::Piv::select(link.begin().unwrap()).unwrap();
    piv.change_pin(&typed("123456"), &typed(&pin(index))).unwrap();
}

/// `claviger found` with the enrolments of these custodians. The exit code.
#[track_caller]
pub fn found(place: &Place, tokens: &str, who: &[usize], pcscd: Option<&Pcscd>, swap: impl FnMut()) -> i32 {
    let (vault, copy, policy) = (place.text("vault"), place.text("copy"), place.text("policy.toml"));
    let enrolments: Vec<String> = who.iter().map(|&index| place.text(&format!("{}.json", NAMES[index]))).collect();
    let mut args = vec!["found", &vault, &copy, "--policy", &policy];
    args.extend(enrolments.iter().map(String::as_str));
    let mut terminal = claviger(tokens, &args, pcscd);
    Crew::of(who).hold(&mut terminal, swap)
}

/// claviger on a terminal, with this source of tokens.
pub fn claviger(tokens: &str, args: &[&str], pcscd: Option<&Pcscd>) -> Terminal {
    let mut all = vec!["--tokens", tokens];
    all.extend(args);
    let environment: Vec<_> = pcscd.map(|pcscd| pcscd.environment()).into_iter().collect();
    Terminal::claviger(&all, &environment)
}

/// A virtual YubiKey as it comes from the factory, attested by a root that is the tests' own.
pub fn virtual_yubikey(serial: u32, firmware: (u8, u8, u8)) -> VirtualCard {
    let root = Some(AttestationRoot::from_seed("test attestation root", b"claviger tests"));
    VirtualCard::new(SoftCard::create(SoftCardOptions { firmware, serial, root, chuid: false }).unwrap())
}

/// The file names below a directory, with their contents.
pub fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else {
                files.insert(path.clone(), std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// Copies a directory with all that is in it.
pub fn copy_tree(from: &Path, to: &Path) {
    for (path, bytes) in tree(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::write(target, bytes).unwrap();
    }
}

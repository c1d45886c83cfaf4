//! A founded vault with one item, its custodians' tokens, and what a test asks of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use claviger::encoding::{Digest, PublicKey};
use claviger::secret::Pin;
use claviger::token::anchor::Anchor;
use claviger::token::channel::Source;
use claviger::token::custody;
use claviger::token::piv::{Piv, SlotKey};
use claviger::token::slot::Slot;
use claviger::token::soft::{SoftCard, SoftSource};
use claviger::transcript::Judgement;
use claviger::vault::Copies;

use super::crew::{self, Crew, NAMES, Place};
use super::{Pcscd, Terminal};

/// What the item holds. It is opaque: every use reveals the same.
pub const SECRET: &str = "the-last-key-they-have";
/// The item.
pub const ITEM: &str = "root-password";

/// What a person saw of one command.
pub struct Seen {
    /// The exit code.
    pub code: i32,
    /// Everything that was shown, line breaks of the terminal removed.
    pub screen: String,
    /// What was shown on the alternate screen.
    pub shown: Vec<String>,
    /// How often a PIN was typed.
    pub pins_typed: usize,
}

impl Seen {
    /// The program ended with this code, and showed these texts.
    #[track_caller]
    pub fn expect(&self, code: i32, texts: &[&str]) -> &Self {
        assert_eq!(self.code, code, "exit code. The screen:\n{}", self.screen);
        let screen = flat(&self.screen);
        for text in texts {
            assert!(screen.contains(&flat(text)), "{text:?} was not shown. The screen:\n{}", self.screen);
        }
        self
    }

    /// Nothing secret was shown: neither the item nor a PIN.
    #[track_caller]
    pub fn reveals_nothing(&self) -> &Self {
        assert!(self.shown.is_empty() && !self.screen.contains(SECRET), "revealed:\n{}", self.screen);
        self
    }
}

/// Words with single spaces: lines are broken at the terminal's width.
pub fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A vault of software tokens.
pub struct Scene {
    /// Where everything is.
    pub place: Place,
    /// Threshold and number of custodians.
    pub k: usize,
    /// Of so many.
    pub n: usize,
}

impl Scene {
    /// Founded on `vault` and `copy`, with one item in generation 2.
    #[track_caller]
    pub fn new(k: usize, n: usize) -> Self {
        Self::on_copies(k, n, &["vault", "copy"])
    }

    /// The same on these copies, of which the policy wants two.
    #[track_caller]
    pub fn on_copies(k: usize, n: usize, copies: &[&str]) -> Self {
        let scene = Self::founded_on(k, n, copies);
        scene.place.seal(ITEM, "opaque", SECRET.as_bytes());
        scene.hold(&["rotate"], copies, &(0..k).collect::<Vec<_>>()).expect(0, &[]);
        scene
    }

    /// Founded on these copies, without an item.
    #[track_caller]
    pub fn founded_on(k: usize, n: usize, copies: &[&str]) -> Self {
        let place = Place::new(k);
        crew::enrol_software_tokens(&place, n);
        let scene = Self { place, k, n };
        let policy = scene.place.text("policy.toml");
        let enrolments: Vec<String> = (0..n).map(|index| scene.place.text(&format!("{}.json", NAMES[index]))).collect();
        let mut found = vec!["found"];
        found.extend(enrolments.iter().map(String::as_str));
        found.extend(["--policy", &policy]);
        let everybody: Vec<usize> = (0..n).collect();
        scene.hold(&found, copies, &everybody).expect(0, &[]);
        scene
    }

    /// `COMMAND... VAULT...` with these people; `command[1..]` follows the vaults.
    #[track_caller]
    pub fn hold(&self, command: &[&str], vaults: &[&str], who: &[usize]) -> Seen {
        self.hold_with(command, vaults, Crew::of(who))
    }

    /// The same with a crew that chooses.
    #[track_caller]
    pub fn hold_with(&self, command: &[&str], vaults: &[&str], mut crew: Crew) -> Seen {
        let mut terminal = self.start(command, vaults);
        let code = crew.hold(&mut terminal, || {});
        Seen { code, screen: terminal.screen().to_owned(), shown: crew.shown, pins_typed: crew.pins_typed }
    }

    /// Starts the command on a terminal.
    pub fn start(&self, command: &[&str], vaults: &[&str]) -> Terminal {
        let args = self.arguments(command, vaults);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        crew::claviger(&self.place.soft(), &args, None)
    }

    /// The same with an environment.
    pub fn start_in(&self, command: &[&str], vaults: &[&str], environment: &[(&str, &str)]) -> Terminal {
        let mut all = vec!["--tokens".to_owned(), self.place.soft()];
        all.extend(self.arguments(command, vaults));
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        Terminal::claviger(&all, environment)
    }

    /// The command, its vaults, and what follows.
    pub fn arguments(&self, command: &[&str], vaults: &[&str]) -> Vec<String> {
        arguments(&self.place, command, vaults)
    }

    /// Recovers the item with these people from these copies, and shows that it is the one that was sealed.
    #[track_caller]
    pub fn recovers(&self, vaults: &[&str], who: &[usize]) {
        let seen = self.hold(&RECOVER, vaults, who);
        seen.expect(0, &[]);
        assert_eq!(seen.shown, [SECRET], "{}", seen.screen);
    }

    /// What `status` says of these copies, whether something is wrong with them or not.
    #[track_caller]
    pub fn status(&self, vaults: &[&str]) -> String {
        let args = self.arguments(&["status"], vaults);
        let (code, said) = without_terminal(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(code <= 1, "{code}: {said}");
        said
    }

    /// `verify` on these copies: exit code, and all that it says.
    #[track_caller]
    pub fn verify(&self, vaults: &[&str]) -> (i32, String) {
        let args = self.arguments(&["verify"], vaults);
        let (code, output) = without_terminal(&args.iter().map(String::as_str).collect::<Vec<_>>());
        (code, output)
    }

    /// What these copies prove.
    pub fn judgement(&self, vaults: &[&str]) -> Judgement {
        let paths: Vec<PathBuf> = vaults.iter().map(|vault| self.place.path(vault)).collect();
        claviger::transcript::judge(&Copies::open(&paths).unwrap().snapshot().unwrap())
    }

    /// PIN tries left on every token.
    pub fn tries(&self) -> Vec<u8> {
        (0..self.n).map(|index| self.with_token(index, |piv| piv.pin_tries().unwrap().unwrap())).collect()
    }

    /// How many PINs each token ever refused: a good PIN makes the tries whole again, and not this.
    pub fn refused_pins(&self) -> Vec<u64> {
        let of = |index: usize| {
            let bytes = std::fs::read(self.place.path(&format!("tokens/{}.token", NAMES[index]))).unwrap();
            SoftCard::from_bytes(&bytes).unwrap().refused_pins()
        };
        (0..self.n).map(of).collect()
    }

    /// No token has ever lost a PIN try.
    #[track_caller]
    pub fn no_try_was_lost(&self) {
        assert!(self.tries().iter().all(|tries| *tries == 3), "PIN tries left: {:?}", self.tries());
        assert!(self.refused_pins().iter().all(|refused| *refused == 0), "refused PINs: {:?}", self.refused_pins());
    }

    /// Every key in a retired slot of custodian `index`.
    pub fn keys(&self, index: usize) -> BTreeMap<Slot, PublicKey> {
        self.with_token(index, keys)
    }

    /// The anchor that custodian `index` has of `vault`.
    pub fn anchor(&self, index: usize, vault: Digest) -> Anchor {
        self.with_token(index, |piv| anchor(piv, vault))
    }

    /// The token of `from` from now on is the file of `to`: claviger asks in the order of the names.
    pub fn rename(&self, from: &str, to: &str) {
        let token = |name: &str| self.place.path("tokens").join(format!("{name}.token"));
        std::fs::rename(token(from), token(to)).unwrap();
    }

    /// The custodian does not come.
    pub fn take_out(&self, name: &str) {
        let tokens = self.place.path("tokens");
        let away = self.place.path(&format!("{name}.away"));
        std::fs::rename(tokens.join(format!("{name}.token")), away).unwrap();
    }

    /// The custodian comes again.
    pub fn bring_back(&self, name: &str) {
        let away = self.place.path(&format!("{name}.away"));
        std::fs::rename(away, self.place.path("tokens").join(format!("{name}.token"))).unwrap();
    }

    /// Does something with a custodian's token, without its PIN.
    pub fn with_token<T>(&self, index: usize, action: impl FnOnce(&mut Piv<'_>) -> T) -> T {
        let mut source = SoftSource::open(&self.place.path("tokens")).unwrap();
        let name = format!("{}.token", NAMES[index]);
        let presence = source.present().unwrap().into_iter().find(|presence| presence.reader == name).unwrap();
        let mut link = source.connect(&presence).unwrap();
        action(&mut Piv::select(link.begin().unwrap()).unwrap())
    }
}

/// `recover` of the item.
pub const RECOVER: [&str; 8] =
    ["recover", ITEM, "--incident", "INC-7", "--reason", "the identity provider is down", "--requester", "operations"];

/// The command, its vaults, and what follows.
pub fn arguments(place: &Place, command: &[&str], vaults: &[&str]) -> Vec<String> {
    let mut all = vec![command[0].to_owned()];
    all.extend(vaults.iter().map(|vault| place.text(vault)));
    all.extend(command[1..].iter().map(|argument| (*argument).to_owned()));
    all
}

/// A PIN as the program takes it.
pub fn pin(index: usize) -> Pin {
    Pin::new(zeroize::Zeroizing::new(crew::pin(index).into_bytes())).unwrap()
}

/// Every P-256 key in a retired slot.
pub fn keys(piv: &mut Piv<'_>) -> BTreeMap<Slot, PublicKey> {
    let key = |slot: Slot, piv: &mut Piv<'_>| match piv.slot_key(slot).unwrap() {
        SlotKey::P256(key) => Some((slot, key)),
        _ => None,
    };
    Slot::retired().filter_map(|slot| key(slot, piv)).collect()
}

/// The anchor of `vault`.
pub fn anchor(piv: &mut Piv<'_>, vault: Digest) -> Anchor {
    let signing_key = custody::identify(piv).unwrap().unwrap();
    custody::anchor_of(piv, &signing_key, vault).unwrap().anchor.unwrap()
}

/// claviger without a terminal: exit code, and everything that it printed.
pub fn without_terminal(args: &[&str]) -> (i32, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_claviger")).args(args).stdin(Stdio::null()).output().unwrap();
    let text = [stdout, stderr].concat();
    (status.code().unwrap(), String::from_utf8(text).unwrap())
}

/// Every file below `dir`, by its path in it.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    crew::tree(dir).into_keys().map(|path| path.strip_prefix(dir).unwrap().to_owned()).collect()
}

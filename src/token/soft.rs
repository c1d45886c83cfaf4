//! A software card: answers APDUs as the PIV application of a YubiKey 5 does (NIST SP 800-73-4, Yubico's extensions).
//!
//! For drills and tests. It keeps every key in clear and promises nothing about secrecy; it does promise to refuse what
//! a YubiKey refuses. P-256 only. Not there: RSA, P-384, Curve25519, secure messaging, biometric policies.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::{Advice, Exit};

mod application;
mod attestation;
mod keys;
mod management;
mod objects;
mod pin;
mod source;
mod state;
#[cfg(test)]
mod tests;
mod wire;

pub use attestation::AttestationRoot;
pub use source::{SoftSource, create_token};

use management::Pending;
use state::{Hex, Key, Management, Secret, State};
use wire::{Command, Refusal};

/// The full name of the PIV card application (SP 800-73-4 part 1, 2.2), with its version.
const PIV_AID: [u8; 11] = [0xa0, 0x00, 0x00, 0x03, 0x08, 0x00, 0x00, 0x10, 0x00, 0x01, 0x00];
/// A YubiKey 5 over USB: T=1, historical bytes `YubiKey`.
const ATR: [u8; 23] = [
    0x3b, 0xfd, 0x13, 0x00, 0x00, 0x81, 0x31, 0xfe, 0x15, 0x80, 0x73, 0xc0, 0x21, 0xc0, 0x57, 0x59, 0x75, 0x62, 0x69,
    0x4b, 0x65, 0x79, 0x40,
];
/// How long a touch counts for keys with the policy `cached`.
const TOUCH_LASTS: Duration = Duration::from_secs(15);
/// Bytes of one chained command that the card collects.
const BUFFER: usize = 3072 + 64;

/// A card without a body.
pub struct SoftCard {
    state: State,
    session: Session,
    statistics: Statistics,
}

/// What a new card is.
#[derive(Clone)]
pub struct SoftCardOptions {
    /// Major, minor, patch: decides which commands exist.
    pub firmware: (u8, u8, u8),
    /// The serial number that the card tells.
    pub serial: u32,
    /// Who attests; the root of drills if absent.
    pub root: Option<AttestationRoot>,
    /// Whether a random CHUID is on the card already; a fresh YubiKey has none.
    pub chuid: bool,
}

impl Default for SoftCardOptions {
    fn default() -> Self {
        Self { firmware: (5, 4, 3), serial: 10_000_001, root: None, chuid: false }
    }
}

/// Whether somebody touches the card when it waits for a touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Touch {
    /// At once.
    Grant,
    /// Never; the command is refused at once, without the fifteen seconds that a real card waits.
    Withhold,
}

/// What a card was asked for since it was made or loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Command APDUs.
    pub apdus: u64,
    /// VERIFY commands with a PIN in them.
    pub verifies: u64,
    /// Touches that were wanted and granted.
    pub touches: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Application {
    #[default]
    None,
    Piv,
    Management,
}

/// What is gone without power.
struct Session {
    selected: Application,
    pin: bool,
    /// The command before was a VERIFY that succeeded.
    pin_fresh: bool,
    management: bool,
    pending: Pending,
    touched: Option<Instant>,
    /// Header (INS, P1, P2) and data of the chained command so far.
    chain: Option<([u8; 3], Vec<u8>)>,
    /// What GET RESPONSE still has to fetch.
    response: Vec<u8>,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            selected: Application::None,
            pin: false,
            pin_fresh: false,
            management: false,
            pending: Pending::Nothing,
            touched: None,
            chain: None,
            response: Vec::new(),
        }
    }
}

impl SoftCard {
    /// A fresh card: default PIN `123456`, PUK `12345678`, management key; an attestation key, and no other.
    ///
    /// # Errors
    /// [`SoftError::Random`] if the system has no random numbers.
    pub fn create(options: SoftCardOptions) -> Result<Self, SoftError> {
        let root = options.root.unwrap_or_else(AttestationRoot::dangerous_drill);
        let attestation = random_key().map_err(|_| SoftError::Random)?;
        let certificate = root.issue(&keys::point(&attestation), options.serial).ok_or(SoftError::Signature)?;
        let id = random(8).map_err(|_| SoftError::Random)?;
        let mut state = State {
            format: state::FORMAT.to_owned(),
            warning: state::WARNING.to_owned(),
            // 53 bits: JSON numbers keep no more.
            id: id.iter().fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte)) >> 11,
            touch: Touch::Grant,
            firmware: options.firmware,
            serial: options.serial,
            pin: Secret::new(pin::DEFAULT_PIN, 3),
            puk: Secret::new(pin::DEFAULT_PUK, 3),
            management: default_management(options.firmware),
            keys: Default::default(),
            objects: Default::default(),
        };
        let key = Key { scalar: Hex(attestation.to_bytes().to_vec()), pin: 1, touch: 1, origin: 1 };
        state.keys.insert(keys::ATTESTATION, key);
        let object = [wire::tlv(0x70, &certificate), wire::tlv(0x71, &[0]), wire::tlv(0xfe, &[])].concat();
        state.objects.insert(objects::ATTESTATION_CERTIFICATE, Hex(object));
        if options.chuid {
            let guid = random(16).map_err(|_| SoftError::Random)?;
            state.objects.insert(objects::CHUID, Hex(chuid(&guid)));
        }
        Ok(Self::with_state(state))
    }

    fn with_state(state: State) -> Self {
        Self { state, session: Session::default(), statistics: Statistics::default() }
    }

    /// The card that [`SoftCard::to_bytes`] wrote down; without power.
    ///
    /// # Errors
    /// [`SoftError`] if the bytes are not a software token or no card can be in that state.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SoftError> {
        let state: State = serde_json::from_slice(bytes).map_err(SoftError::Json)?;
        state.check().map(Self::with_state)
    }

    /// What the card remembers without power, as JSON: every key in clear.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Only maps with keys that are not text could fail, and there are none: integers become text.
        let mut bytes = serde_json::to_vec_pretty(&self.state).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Resets the card: nothing is selected, verified or authenticated. Returns the ATR.
    pub fn power_on(&mut self) -> Vec<u8> {
        self.session = Session::default();
        ATR.to_vec()
    }

    /// Whether a touch comes when the card waits for one; remembered like the keys.
    pub fn set_touch(&mut self, touch: Touch) {
        self.state.touch = touch;
    }

    /// As if fifteen seconds had passed since the last touch.
    pub fn forget_touch(&mut self) {
        self.session.touched = None;
    }

    /// What the card was asked for so far.
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// Answers one command APDU: data, if any, then SW1 SW2. Any bytes are answered.
    pub fn answer(&mut self, apdu: &[u8]) -> Vec<u8> {
        self.statistics.apdus += 1;
        let fresh = std::mem::take(&mut self.session.pin_fresh);
        match Command::parse(apdu).and_then(|command| self.collect(command, fresh)) {
            Ok(None) => wire::OK.to_be_bytes().to_vec(),
            Ok(Some((data, extended))) => self.deliver(data, extended),
            Err(refusal) => refusal.to_be_bytes().to_vec(),
        }
    }

    /// Command chaining (ISO 7816-4, 5.1.1.1): data and whether the answer may be long, or `None` in the middle.
    fn collect(&mut self, mut command: Command, fresh: bool) -> Result<Option<(Vec<u8>, bool)>, Refusal> {
        let header = [command.ins, command.p1, command.p2];
        let chain = self.session.chain.take().filter(|(begun, _)| *begun == header);
        if let Some((_, mut begun)) = chain {
            begun.append(&mut command.data);
            command.data = begun;
        }
        if command.data.len() > BUFFER {
            return Err(wire::WRONG_LENGTH);
        }
        match command.cla {
            0x10 => {
                self.session.chain = Some((header, command.data));
                self.session.pin_fresh = fresh;
                Ok(None)
            }
            0x00 => {
                let data = self.execute(&command, fresh)?;
                Ok(Some((data, command.extended)))
            }
            _ => Err(wire::WRONG_CLASS),
        }
    }

    /// A short command gets 256 bytes and the rest by GET RESPONSE (ISO 7816-4, 5.1.3).
    fn deliver(&mut self, mut data: Vec<u8>, extended: bool) -> Vec<u8> {
        let mut status = wire::OK;
        if !extended && data.len() > 256 {
            self.session.response = data.split_off(256);
            status = 0x6100 | u16::try_from(self.session.response.len()).ok().filter(|n| *n < 256).unwrap_or(0);
        }
        data.extend_from_slice(&status.to_be_bytes());
        data
    }

    fn execute(&mut self, command: &Command, fresh: bool) -> Result<Vec<u8>, Refusal> {
        let rest = std::mem::take(&mut self.session.response);
        match (self.session.selected, command.ins) {
            (_, 0xa4) => self.select(command),
            (_, 0xc0) if rest.is_empty() => Err(wire::CONDITIONS),
            (_, 0xc0) => Ok(rest),
            (Application::None, _) => Err(wire::NO_SUCH_COMMAND),
            (Application::Management, _) => self.management_application(command),
            (Application::Piv, _) => self.piv(command, fresh),
        }
    }

    fn piv(&mut self, command: &Command, fresh: bool) -> Result<Vec<u8>, Refusal> {
        match command.ins {
            0x20 => self.verify(command),
            0x24 => self.change_reference(command),
            0x2c => self.reset_retry_counter(command),
            0x47 => self.generate(command),
            0x87 => self.general_authenticate(command, fresh),
            0xcb => self.read_object(command),
            0xdb => self.write_object(command),
            0xf6 => self.move_key(command),
            0xf7 => self.metadata(command),
            0xf8 if self.state.firmware.0 >= 5 => Ok(self.state.serial.to_be_bytes().to_vec()),
            0xf9 => self.attest(command),
            0xfa => self.set_retries(command),
            0xfb => self.reset(command),
            0xfd => Ok(vec![self.state.firmware.0, self.state.firmware.1, self.state.firmware.2]),
            0xfe => self.import(command),
            0xff => self.set_management_key(command),
            _ => Err(wire::NO_SUCH_COMMAND),
        }
    }

    /// Waits for a touch if `policy` (1 never, 2 always, 3 cached) wants one now.
    fn touch(&mut self, policy: u8) -> Result<(), Refusal> {
        let recent = self.session.touched.is_some_and(|at| at.elapsed() < TOUCH_LASTS);
        if policy <= 1 || (policy == 3 && recent) {
            return Ok(());
        }
        if self.state.touch == Touch::Withhold {
            return Err(wire::SECURITY_STATUS);
        }
        self.statistics.touches += 1;
        self.session.touched = Some(Instant::now());
        Ok(())
    }

    /// What RESET leaves: the attestation key and its certificate.
    fn wipe(&mut self) {
        self.state.pin = Secret::new(pin::DEFAULT_PIN, 3);
        self.state.puk = Secret::new(pin::DEFAULT_PUK, 3);
        self.state.management = default_management(self.state.firmware);
        self.state.keys.retain(|slot, _| *slot == keys::ATTESTATION);
        self.state.objects.retain(|tag, _| *tag == objects::ATTESTATION_CERTIFICATE);
        self.session = Session { selected: Application::Piv, ..Session::default() };
    }
}

fn default_management(firmware: (u8, u8, u8)) -> Management {
    let algorithm = if firmware >= (5, 7, 0) { management::AES192 } else { management::TDES };
    Management { algorithm, key: Hex(management::DEFAULT.to_vec()), default: true, touch: 1 }
}

/// A card holder unique identifier of a card that belongs to no agency (SP 800-73-4 part 1, 3.1.2).
fn chuid(guid: &[u8]) -> Vec<u8> {
    let mut fascn = vec![0xd4, 0xe7, 0x39, 0xda, 0x73, 0x9c, 0xed, 0x39, 0xce, 0x73, 0x9d, 0x83, 0x68];
    fascn.extend([0x58, 0x21, 0x08, 0x42, 0x10, 0x84, 0x21, 0xc8, 0x42, 0x10, 0xc3, 0xeb]);
    let fields = [(0x30, fascn.as_slice()), (0x34, guid), (0x35, b"20520101"), (0x3e, &[]), (0xfe, &[])];
    fields.iter().flat_map(|(tag, value)| wire::tlv(*tag, value)).collect()
}

fn random(size: usize) -> Result<Vec<u8>, Refusal> {
    let mut bytes = vec![0; size];
    getrandom::fill(&mut bytes).map_err(|_| wire::INTERNAL)?;
    Ok(bytes)
}

fn random_key() -> Result<p256::SecretKey, Refusal> {
    loop {
        if let Ok(key) = p256::SecretKey::from_slice(&random(32)?) {
            return Ok(key);
        }
    }
}

/// A software card cannot be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SoftError {
    /// The system gave no random numbers.
    #[error("the system has no random numbers")]
    Random,
    /// A certificate could not be signed.
    #[error("the attestation certificate could not be signed")]
    Signature,
    /// Not the JSON of a software token.
    #[error("this is not the file of a software token")]
    Json(#[source] serde_json::Error),
    /// A state that no card can be in.
    #[error("the software token's {what} cannot be right")]
    State {
        /// Which member.
        what: &'static str,
    },
}

impl Advice for SoftError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Random | Self::Signature => "try again; if it stays so, this machine is not fit for a ceremony",
            Self::Json(_) | Self::State { .. } => "make the drill again with `claviger drill --dir DIR`",
        };
        Some(hint.to_owned())
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

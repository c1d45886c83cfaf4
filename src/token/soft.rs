//! A software card: answers APDUs as the PIV application of a YubiKey 5 does (NIST SP 800-73-4, Yubico's extensions).
//!
//! For drills and tests. It keeps every key in clear and promises nothing about secrecy; it does promise to refuse what
//! a YubiKey refuses. P-256 only. Not there: RSA, P-384, Curve25519, secure messaging, biometric policies.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::{Advice, Exit};

mod application;
mod attestation;
mod dispatch;
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
use wire::Refusal;

/// The full name of the PIV card application (SP 800-73-4 part 1, 2.2), with its version.
const PIV_AID: [u8; 11] = [0xa0, 0x00, 0x00, 0x03, 0x08, 0x00, 0x00, 0x10, 0x00, 0x01, 0x00];
/// A YubiKey 5 over USB: T=1, historical bytes `YubiKey`.
const ATR: [u8; 23] = [
    0x3b, 0xfd, 0x13, 0x00, 0x00, 0x81, 0x31, 0xfe, 0x15, 0x80, 0x73, 0xc0, 0x21, 0xc0, 0x57, 0x59, 0x75, 0x62, 0x69,
    0x4b, 0x65, 0x79, 0x40,
];
/// How long a touch counts for keys with the policy `cached`.
const TOUCH_LASTS: Duration = Duration::from_secs(15);

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
            refused_pins: 0,
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

    /// How often it refused a PIN since it was made: a good PIN afterwards does not set this back, nor does RESET.
    pub fn refused_pins(&self) -> u64 {
        self.state.refused_pins
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

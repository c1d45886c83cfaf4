//! The management key (9B): authenticating with it, and keeping it under the PIN as Yubico's tools do.

use aes::cipher::{BlockDecrypt, BlockEncrypt, Key, KeyInit};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::fault::inspect;
use crate::secret::{ManagementAlgorithm, ManagementKey};
use crate::token::TokenError;
use crate::token::apdu::{Command, Status};
use crate::token::piv::Piv;
use crate::token::piv::key::Metadata;
use crate::token::tlv;

/// Key reference of the management key.
const REFERENCE: u8 = 0x9b;
/// Where Yubico's tools note how the PIN, the PUK and the management key are kept.
pub(crate) const ADMIN_DATA: u32 = 0x5f_ff00;
/// The PIN-protected object (SP 800-73-4: printed information) in which they keep the management key.
pub(crate) const PROTECTED_DATA: u32 = 0x5f_c109;
/// ADMIN DATA, element 81, bit 1: the management key is in the PIN-protected object.
pub(crate) const MANAGEMENT_KEY_STORED: u8 = 0x02;

impl Piv<'_> {
    /// How the management key enciphers, if the card tells; and whether it is the factory's.
    pub(crate) fn management_metadata(&mut self) -> Result<Option<(ManagementAlgorithm, Option<bool>)>, TokenError> {
        let Metadata::Told(data) = self.metadata(REFERENCE)? else { return Ok(None) };
        let algorithm = match tlv::find(&data, 0x01) {
            Some([0x03]) => ManagementAlgorithm::TripleDes,
            Some([0x08]) => ManagementAlgorithm::Aes128,
            Some([0x0a]) => ManagementAlgorithm::Aes192,
            Some([0x0c]) => ManagementAlgorithm::Aes256,
            _ => return Ok(None),
        };
        let default = match tlv::find(&data, 0x05) {
            Some([flag]) => Some(*flag != 0),
            _ => None,
        };
        Ok(Some((algorithm, default)))
    }

    /// Proves to the card that the host has the management key, and has the card prove the same.
    ///
    /// # Errors
    /// [`TokenError::WrongManagementKey`].
    pub fn authenticate_management(&mut self, key: &ManagementKey) -> Result<(), TokenError> {
        const NAME: &str = "GENERAL AUTHENTICATE (management key)";
        let algorithm = key.algorithm() as u8;
        let cipher = Cipher::new(key).ok_or(TokenError::WrongManagementKey)?;
        let malformed = || TokenError::Malformed { command: NAME };

        // > Mutual authentication: the card's witness, then the host's challenge (SP 800-73-4 part 2, A.1.2)
        let asked = self.demand(NAME, &Command::new(0x87, algorithm, REFERENCE, &[0x7c, 2, 0x80, 0]))?;
        let witness = tlv::only(&asked, 0x7c).and_then(|template| tlv::find(template, 0x80)).ok_or_else(malformed)?;
        let witness = cipher.decrypt(witness).ok_or_else(malformed)?;

        let mut challenge = Zeroizing::new(vec![0; witness.len()]);
        getrandom::fill(&mut challenge).map_err(TokenError::Random)?;
        let mut template = Zeroizing::new(Vec::with_capacity(40));
        tlv::push(&mut template, 0x80, &witness);
        tlv::push(&mut template, 0x81, &challenge);
        let data = tlv::element(0x7c, &template);
        let answer = self.ask(NAME, &Command::new(0x87, algorithm, REFERENCE, &data))?;
        match answer.status {
            Status::Success => {}
            Status::SecurityStatus | Status::WrongData | Status::Conditions => {
                return Err(TokenError::WrongManagementKey);
            }
            status => return Err(TokenError::Refused { command: NAME, status }),
        }
        let response =
            tlv::only(&answer.data, 0x7c).and_then(|template| tlv::find(template, 0x82)).ok_or_else(malformed)?;
        let expected = cipher.encrypt(&challenge).ok_or_else(malformed)?;
        self.management_authenticated = bool::from(expected.as_slice().ct_eq(response));
        if self.management_authenticated { Ok(()) } else { Err(TokenError::WrongManagementKey) }
    }

    /// Authenticates with the management key that the PIN protects, once in a transaction. The PIN must be verified.
    ///
    /// # Errors
    /// [`TokenError::ManagementKeyNotProtected`] if the card keeps none so.
    pub(crate) fn authenticate_protected(&mut self) -> Result<(), TokenError> {
        if self.management_authenticated {
            return Ok(());
        }
        if !self.pin_accepted {
            return Err(TokenError::PinNotVerified);
        }
        let key = self.protected_management_key()?.ok_or(TokenError::ManagementKeyNotProtected)?;
        self.authenticate_management(&key)
    }

    /// The management key that the PIN protects; `None` if the card keeps none so. The PIN must be verified.
    ///
    /// # Errors
    /// [`TokenError::Refused`] if the PIN is not verified; [`TokenError::Malformed`].
    pub fn protected_management_key(&mut self) -> Result<Option<ManagementKey>, TokenError> {
        if self.admin_flags()? & MANAGEMENT_KEY_STORED == 0 {
            return Ok(None);
        }
        let Some(contents) = self.object(PROTECTED_DATA)? else { return Ok(None) };
        // > 88 { 89 (management key) }, as ykman and yubico-piv-tool write it
        let stored = tlv::find(&contents, 0x88).and_then(|data| tlv::find(data, 0x89));
        let Some(stored) = stored else { return Ok(None) };
        inspect::secret("management", stored);
        let told = self.management_metadata()?.map(|(algorithm, _)| algorithm);
        let algorithm = match (told, stored.len()) {
            (Some(algorithm), _) => algorithm,
            // A card without metadata is older than AES-192 management keys by default.
            (None, 16) => ManagementAlgorithm::Aes128,
            (None, 32) => ManagementAlgorithm::Aes256,
            (None, _) => ManagementAlgorithm::TripleDes,
        };
        Ok(ManagementKey::new(algorithm, Zeroizing::new(stored.to_vec())))
    }

    /// The flags in ADMIN DATA; 0 if there is none.
    pub(crate) fn admin_flags(&mut self) -> Result<u8, TokenError> {
        let contents = self.object(ADMIN_DATA)?;
        let flags = contents.as_deref().and_then(|data| tlv::find(data, 0x80)).and_then(|data| tlv::find(data, 0x81));
        Ok(flags.and_then(|flags| flags.first().copied()).unwrap_or(0))
    }

    /// Replaces the management key. Needs the old one to be authenticated.
    ///
    /// # Errors
    /// [`TokenError::Refused`].
    pub fn set_management_key(&mut self, key: &ManagementKey) -> Result<(), TokenError> {
        let secret = key.expose_secret();
        inspect::secret("management", secret);
        let mut data = Zeroizing::new(Vec::with_capacity(secret.len() + 3));
        data.extend([key.algorithm() as u8, REFERENCE, secret.len() as u8]);
        data.extend_from_slice(secret);
        self.demand("SET MANAGEMENT KEY", &Command::quiet(0xff, 0xff, 0xff, &data)).map(drop)
    }
}

/// A block cipher, one block at a time.
enum Cipher {
    TripleDes(Box<des::TdesEde3>),
    Aes128(Box<aes::Aes128>),
    Aes192(Box<aes::Aes192>),
    Aes256(Box<aes::Aes256>),
}

fn keyed<C: KeyInit>(key: &ManagementKey) -> Option<Box<C>> {
    let secret = key.expose_secret();
    (secret.len() == C::key_size()).then(|| Box::new(C::new(Key::<C>::from_slice(secret))))
}

macro_rules! one_block {
    ($cipher:expr, $operation:ident, $block:expr) => {{
        let mut block = Zeroizing::new($block.to_vec());
        // A block of any other size than the cipher's is the card's mistake.
        match $cipher {
            Cipher::TripleDes(cipher) if block.len() == 8 => cipher.$operation(block.as_mut_slice().into()),
            Cipher::Aes128(cipher) if block.len() == 16 => cipher.$operation(block.as_mut_slice().into()),
            Cipher::Aes192(cipher) if block.len() == 16 => cipher.$operation(block.as_mut_slice().into()),
            Cipher::Aes256(cipher) if block.len() == 16 => cipher.$operation(block.as_mut_slice().into()),
            _ => return None,
        }
        Some(block)
    }};
}

impl Cipher {
    fn new(key: &ManagementKey) -> Option<Self> {
        Some(match key.algorithm() {
            ManagementAlgorithm::TripleDes => Self::TripleDes(keyed(key)?),
            ManagementAlgorithm::Aes128 => Self::Aes128(keyed(key)?),
            ManagementAlgorithm::Aes192 => Self::Aes192(keyed(key)?),
            ManagementAlgorithm::Aes256 => Self::Aes256(keyed(key)?),
        })
    }

    fn encrypt(&self, block: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        one_block!(self, encrypt_block, block)
    }

    fn decrypt(&self, block: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        one_block!(self, decrypt_block, block)
    }
}

//! Keys in slots: making, importing, moving and using them, and what the card says of them. P-256 only.

use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner;

use super::SoftCard;
use super::management::dynamic_template;
use super::state::{Hex, Key, Secret};
use super::wire::{
    Command, INTERNAL, NO_REFERENCE, Refusal, SECURITY_STATUS, WRONG_DATA, WRONG_P1P2, WRONG_SLOT, elements, tlv,
};

const ECC_P256: u8 = 0x11;
const PIN_ALWAYS: u8 = 3;
const MADE_HERE: u8 = 1;
const IMPORTED: u8 = 2;
pub(super) const ATTESTATION: u8 = 0xf9;

fn is_slot(slot: u8) -> bool {
    matches!(slot, 0x9a | 0x9c..=0x9e | 0x82..=0x95)
}

/// SEC1 uncompressed, 65 bytes.
pub(super) fn point(secret: &p256::SecretKey) -> Vec<u8> {
    use p256::elliptic_curve::sec1::ToSec1Point;
    secret.public_key().to_sec1_point(false).as_bytes().to_vec()
}

/// Tags AA (PIN policy) and AB (touch policy); what is absent or 0 is the slot's default.
fn policies(slot: u8, fields: &[(u32, &[u8])]) -> Result<(u8, u8), Refusal> {
    let policy = |tag| match fields.iter().find(|(t, _)| *t == tag).map(|(_, value)| *value) {
        None => Ok(0),
        Some([value @ 0..=3]) => Ok(*value),
        Some(_) => Err(WRONG_DATA),
    };
    let pin = match (policy(0xaa)?, slot) {
        (0, 0x9c) => PIN_ALWAYS,
        (0, 0x9e | ATTESTATION) => 1,
        (0, _) => 2,
        (given, _) => given,
    };
    Ok((pin, policy(0xab)?.max(1)))
}

impl SoftCard {
    /// GENERATE ASYMMETRIC KEY PAIR (SP 800-73-4 part 2, 3.3.2), with Yubico's policies.
    pub(super) fn generate(&mut self, command: &Command) -> Result<Vec<u8>, Refusal> {
        let slot = self.writable_slot(command.p1, command.p2)?;
        let all = elements(&command.data).ok_or(WRONG_DATA)?;
        let [(0xac, fields)] = all.as_slice() else { return Err(WRONG_DATA) };
        let fields = elements(fields).ok_or(WRONG_DATA)?;
        if !fields.contains(&(0x80, &[ECC_P256])) {
            return Err(WRONG_DATA);
        }
        let (pin, touch) = policies(slot, &fields)?;
        let secret = super::random_key()?;
        let public = point(&secret);
        self.state.keys.insert(slot, Key { scalar: Hex(secret.to_bytes().to_vec()), pin, touch, origin: MADE_HERE });
        Ok(tlv(0x7f49, &tlv(0x86, &public)))
    }

    /// IMPORT ASYMMETRIC KEY (Yubico): P1 algorithm, P2 slot, tag 06 the scalar.
    pub(super) fn import(&mut self, command: &Command) -> Result<Vec<u8>, Refusal> {
        let slot = self.writable_slot(0, command.p2)?;
        if command.p1 != ECC_P256 {
            return Err(WRONG_DATA);
        }
        let fields = elements(&command.data).ok_or(WRONG_DATA)?;
        let scalar = fields.iter().find(|(tag, _)| *tag == 0x06).map(|(_, value)| *value).ok_or(WRONG_DATA)?;
        let (pin, touch) = policies(slot, &fields)?;
        let key = Key { scalar: Hex(scalar.to_vec()), pin, touch, origin: IMPORTED };
        if scalar.len() != 32 || key.secret().is_none() {
            return Err(WRONG_DATA);
        }
        self.state.keys.insert(slot, key);
        Ok(Vec::new())
    }

    fn writable_slot(&self, p1: u8, slot: u8) -> Result<u8, Refusal> {
        if p1 != 0 {
            return Err(WRONG_P1P2);
        }
        if !is_slot(slot) && slot != ATTESTATION {
            return Err(WRONG_SLOT);
        }
        self.require_management()?;
        Ok(slot)
    }

    /// MOVE KEY (Yubico, firmware 5.7): P1 where to (FF: nowhere), P2 where from.
    pub(super) fn move_key(&mut self, command: &Command) -> Result<Vec<u8>, Refusal> {
        self.require_firmware((5, 7, 0))?;
        self.require_management()?;
        let (to, from) = (command.p1, command.p2);
        let movable = is_slot(from) || (from == ATTESTATION && to == 0xff);
        if !movable || !(is_slot(to) || to == 0xff) || !command.data.is_empty() {
            return Err(WRONG_SLOT);
        }
        if !self.state.keys.contains_key(&from) {
            return Err(NO_REFERENCE);
        }
        if self.state.keys.contains_key(&to) {
            return Err(WRONG_DATA);
        }
        if let (Some(key), true) = (self.state.keys.remove(&from), to != 0xff) {
            self.state.keys.insert(to, key);
        }
        Ok(Vec::new())
    }

    /// GENERAL AUTHENTICATE: a signature (tag 81: the digest) or an ECDH (tag 85: the other point).
    pub(super) fn general_authenticate(&mut self, command: &Command, pin_fresh: bool) -> Result<Vec<u8>, Refusal> {
        if command.p2 == 0x9b {
            return self.authenticate_management(command);
        }
        let slot = command.p2;
        if !is_slot(slot) {
            return Err(WRONG_SLOT);
        }
        if command.p1 != ECC_P256 {
            return Err(WRONG_DATA);
        }
        let key = self.state.keys.get(&slot).cloned().ok_or(WRONG_DATA)?;
        let secret = key.secret().ok_or(INTERNAL)?;
        let fields = dynamic_template(&command.data)?;
        let field = |tag| fields.iter().find(|(t, _)| *t == tag).map(|(_, value)| *value);
        if field(0x82) != Some(&[]) {
            return Err(WRONG_DATA);
        }
        let operation: Box<dyn FnOnce() -> Result<Vec<u8>, Refusal>> = match (field(0x81), field(0x85)) {
            (Some(digest), None) => Box::new(|| sign(secret, digest)),
            (None, Some(other)) => Box::new(|| agree(secret, other)),
            _ => return Err(WRONG_DATA),
        };
        self.allow(&key, pin_fresh)?;
        Ok(tlv(0x7c, &tlv(0x82, &operation()?)))
    }

    /// PIN and touch policy of a key that is about to be used.
    fn allow(&mut self, key: &Key, pin_fresh: bool) -> Result<(), Refusal> {
        let verified = match key.pin {
            1 => true,
            PIN_ALWAYS => pin_fresh && self.session.pin,
            _ => self.session.pin,
        };
        if !verified {
            return Err(SECURITY_STATUS);
        }
        self.touch(key.touch)
    }

    /// GET METADATA (Yubico, firmware 5.3): P2 the slot, 9B, 80 or 81.
    pub(super) fn metadata(&mut self, command: &Command) -> Result<Vec<u8>, Refusal> {
        self.require_firmware((5, 3, 0))?;
        let of_secret = |secret: &Secret| {
            [tlv(1, &[0xff]), tlv(5, &[secret.default.into()]), tlv(6, &[secret.limit, secret.left])].concat()
        };
        match (command.p1, command.p2) {
            (0, 0x80) => Ok(of_secret(&self.state.pin)),
            (0, 0x81) => Ok(of_secret(&self.state.puk)),
            (0, 0x9b) => {
                let key = &self.state.management;
                Ok([tlv(1, &[key.algorithm]), tlv(2, &[0, key.touch]), tlv(5, &[key.default.into()])].concat())
            }
            (0, slot) if is_slot(slot) || slot == ATTESTATION => {
                let key = self.state.keys.get(&slot).ok_or(NO_REFERENCE)?;
                let public = tlv(0x86, &point(&key.secret().ok_or(INTERNAL)?));
                let policy = tlv(2, &[key.pin, key.touch]);
                Ok([tlv(1, &[ECC_P256]), policy, tlv(3, &[key.origin]), tlv(4, &public)].concat())
            }
            _ => Err(NO_REFERENCE),
        }
    }
}

/// ECDSA over a digest of 32 bytes; shorter ones are padded at the left, as a number would be.
fn sign(secret: p256::SecretKey, digest: &[u8]) -> Result<Vec<u8>, Refusal> {
    if digest.is_empty() || digest.len() > 32 {
        return Err(WRONG_DATA);
    }
    let mut padded = [0; 32];
    padded[32 - digest.len()..].copy_from_slice(digest);
    let signature: p256::ecdsa::Signature = SigningKey::from(secret).sign_prehash(&padded).map_err(|_| INTERNAL)?;
    Ok(signature.to_der().as_bytes().to_vec())
}

/// The x-coordinate of the shared point, 32 bytes; `other` is SEC1 uncompressed.
fn agree(secret: p256::SecretKey, other: &[u8]) -> Result<Vec<u8>, Refusal> {
    if other.len() != 65 {
        return Err(WRONG_DATA);
    }
    let other = p256::PublicKey::from_sec1_bytes(other).map_err(|_| WRONG_DATA)?;
    Ok(secret.diffie_hellman(&other).raw_secret_bytes().to_vec())
}

/// Whether a key in `slot` was made on the card.
pub(super) fn made_here(key: &Key) -> bool {
    key.origin == MADE_HERE
}

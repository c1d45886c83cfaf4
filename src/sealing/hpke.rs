//! The receiver's half of HPKE (RFC 9180), base mode, from the x-coordinate that a token returned.
//!
//! DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305; one message of 16 bytes, empty `aad`.

use age_core::format::FileKey;
use chacha20poly1305::aead::{AeadInPlace, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};
use hkdf::{Hkdf, HkdfExtract};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use crate::encoding::PublicKey;
use crate::secret::SharedX;

/// > suite_id = concat("KEM", I2OSP(kem_id, 2)), kem_id = 0x0010 (RFC 9180, 4.1 and 7.1)
const KEM_SUITE: &[u8] = b"KEM\x00\x10";
/// > suite_id = concat("HPKE", I2OSP(kem_id, 2), I2OSP(kdf_id, 2), I2OSP(aead_id, 2)) (RFC 9180, 5.1)
const HPKE_SUITE: &[u8] = b"HPKE\x00\x10\x00\x01\x00\x03";

/// Opens the 32 bytes of `sealed`. `None`: they were not sealed with this shared secret.
pub(super) fn open(
    shared: &SharedX,
    encapsulated: &PublicKey,
    recipient: &PublicKey,
    info: &[u8],
    sealed: &[u8],
) -> Option<FileKey> {
    // > def Decap(enc, skR): (4.1; the token did dh = DH(skR, pkE))
    // >   kem_context = concat(enc, pkRm)
    let mut kem_context = [0; 130];
    kem_context[..65].copy_from_slice(&encapsulated.to_uncompressed());
    kem_context[65..].copy_from_slice(&recipient.to_uncompressed());
    // >   shared_secret = ExtractAndExpand(dh, kem_context):
    // >     eae_prk = LabeledExtract("", "eae_prk", dh)
    // >     shared_secret = LabeledExpand(eae_prk, "shared_secret", kem_context, Nsecret)
    let (_, eae_prk) = labeled_extract(KEM_SUITE, b"", b"eae_prk", shared.expose_secret());
    let mut shared_secret = Zeroizing::new([0; 32]);
    labeled_expand(KEM_SUITE, &eae_prk, b"shared_secret", &kem_context, &mut *shared_secret);

    // > def KeySchedule<ROLE>(mode, shared_secret, info, psk, psk_id): (5.1; mode_base = 0x00, psk and psk_id empty)
    // >   psk_id_hash = LabeledExtract("", "psk_id_hash", psk_id)
    // >   info_hash = LabeledExtract("", "info_hash", info)
    // >   key_schedule_context = concat(mode, psk_id_hash, info_hash)
    let (psk_id_hash, _) = labeled_extract(HPKE_SUITE, b"", b"psk_id_hash", b"");
    let (info_hash, _) = labeled_extract(HPKE_SUITE, b"", b"info_hash", info);
    let mut context = [0; 65];
    context[1..33].copy_from_slice(&*psk_id_hash);
    context[33..].copy_from_slice(&*info_hash);
    // >   secret = LabeledExtract(shared_secret, "secret", psk)
    // >   key = LabeledExpand(secret, "key", key_schedule_context, Nk)
    // >   base_nonce = LabeledExpand(secret, "base_nonce", key_schedule_context, Nn)
    let (_, secret) = labeled_extract(HPKE_SUITE, &*shared_secret, b"secret", b"");
    let mut key = Zeroizing::new([0; 32]);
    labeled_expand(HPKE_SUITE, &secret, b"key", &context, &mut *key);
    let mut nonce = Zeroizing::new([0; 12]);
    labeled_expand(HPKE_SUITE, &secret, b"base_nonce", &context, &mut *nonce);

    // > ContextR.Open(aad, ct): Open(key, ComputeNonce(seq = 0), aad, ct), and that nonce is base_nonce (5.2)
    let sealed: &[u8; 32] = sealed.try_into().ok()?;
    let (ciphertext, tag) = sealed.split_at(16);
    let cipher = ChaCha20Poly1305::new((&*key).into());
    FileKey::try_init_with_mut(|file_key| {
        file_key.copy_from_slice(ciphertext);
        cipher.decrypt_in_place_detached(Nonce::from_slice(&*nonce), b"", file_key, Tag::from_slice(tag))
    })
    .ok()
}

/// > def LabeledExtract(salt, label, ikm):
/// >   labeled_ikm = concat("HPKE-v1", suite_id, label, ikm)
/// >   return Extract(salt, labeled_ikm)
fn labeled_extract(suite: &[u8], salt: &[u8], label: &[u8], ikm: &[u8]) -> (Zeroizing<[u8; 32]>, Hkdf<Sha256>) {
    let mut extract = HkdfExtract::<Sha256>::new(Some(salt));
    for part in [b"HPKE-v1", suite, label, ikm] {
        extract.input_ikm(part);
    }
    let (mut output, hkdf) = extract.finalize();
    let mut prk = Zeroizing::new([0; 32]);
    prk.copy_from_slice(&output);
    output.zeroize();
    (prk, hkdf)
}

/// > def LabeledExpand(prk, label, info, L):
/// >   labeled_info = concat(I2OSP(L, 2), "HPKE-v1", suite_id, label, info)
/// >   return Expand(prk, labeled_info, L)
fn labeled_expand(suite: &[u8], prk: &Hkdf<Sha256>, label: &[u8], info: &[u8], okm: &mut [u8]) {
    // 12 and 32 are the lengths that are asked for here: both fit, and HKDF gives up to 8,160 bytes.
    let length = (okm.len() as u16).to_be_bytes();
    prk.expand_multi_info(&[&length, b"HPKE-v1", suite, label, info], okm).expect("32 bytes are not too many for HKDF");
}

//! The X.509 certificate that carries an anchor (RFC 5280).

use crate::encoding::{PublicKey, Signature};
use crate::token::TokenError;
use crate::token::anchor::{Anchor, AnchorError};

/// The certificate (DER) for `subject` that carries `anchor`, signed by `sign`.
///
/// # Errors
/// Whatever `sign` returns.
pub fn certificate(
    anchor: &Anchor,
    subject: &PublicKey,
    signing_key: &PublicKey,
    sign: impl FnOnce(&[u8]) -> Result<Signature, TokenError>,
) -> Result<Vec<u8>, TokenError> {
    todo!()
}

/// Reads a certificate. `None`: it is not an anchor.
///
/// # Errors
/// [`AnchorError`] if it claims to be an anchor and is not a good one of `signing_key`.
pub fn read(der: &[u8], signing_key: &PublicKey) -> Result<Option<(Anchor, PublicKey)>, AnchorError> {
    todo!()
}

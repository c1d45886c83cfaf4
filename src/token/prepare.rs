//! What `enrol` does to a token: a signing key in 9C, and a management key that the PIN protects.

use crate::encoding::PublicKey;
use crate::secret::Pin;
use crate::token::TokenError;
use crate::token::custody::Class;
use crate::token::piv::Piv;

/// A token that is ready for custody.
#[derive(Debug)]
pub struct Prepared {
    /// The key in 9C.
    pub signing_key: PublicKey,
    /// Whether the key was there before.
    pub adopted: bool,
    /// What the token can promise.
    pub class: Class,
}

/// Makes or adopts the signing key and protects the management key. `pin` was accepted on this `Piv`.
///
/// # Errors
/// [`TokenError::ForeignSigningKey`], [`TokenError::FixedCard`], [`TokenError::ManagementKeyNotProtected`].
pub fn prepare(piv: &mut Piv, pin: &Pin) -> Result<Prepared, TokenError> {
    todo!()
}

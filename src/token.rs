//! PIV tokens: one client over a transport (NIST SP 800-73-4, with Yubico's extensions where the card answers them).

pub mod channel;
pub mod soft;

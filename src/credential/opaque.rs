//! Bytes of any kind and length. Nothing is made at a use: a person has to replace them.

use std::io::{self, Read, Write};

use zeroize::Zeroizing;

use super::{CredentialError, Prepared, Which};

pub(super) fn unchanged(payload: Box<dyn Read + '_>) -> Prepared<'_> {
    Prepared { payload, public: serde_json::json!({}) }
}

pub(super) fn used(payload: Box<dyn Read + '_>, granted: Which) -> Result<Prepared<'_>, CredentialError> {
    match granted {
        Which::Installed => Ok(unchanged(payload)),
        Which::Next => Err(CredentialError::NoNext),
    }
}

pub(super) fn reveal(payload: &mut dyn Read, which: Which, out: &mut dyn Write) -> Result<(), CredentialError> {
    if which == Which::Next {
        return Err(CredentialError::NoNext);
    }
    let mut buffer = Zeroizing::new(vec![0; 64 * 1024]);
    loop {
        match payload.read(&mut buffer) {
            Ok(0) => return out.flush().map_err(CredentialError::Write),
            Ok(read) => out.write_all(&buffer[..read]).map_err(CredentialError::Write)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(CredentialError::Read(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    #[test]
    fn bytes_pass_through_unchanged_and_have_no_next() {
        let bytes: Vec<u8> = (0..=255).cycle().take(200_000).collect();
        let prepared = Kind::Opaque.admit(Box::new(&bytes[..])).ok().unwrap();
        assert_eq!(prepared.public, serde_json::json!({}));
        let mut used = used(prepared.payload, Which::Installed).ok().unwrap();
        let mut out = Vec::new();
        Kind::Opaque.reveal(&mut used.payload, Which::Installed, &mut out).unwrap();
        assert_eq!(out, bytes);
        assert!(matches!(super::used(Box::new(&bytes[..]), Which::Next), Err(CredentialError::NoNext)));
        let refused = Kind::Opaque.reveal(&mut &bytes[..], Which::Next, &mut out);
        assert!(matches!(refused, Err(CredentialError::NoNext)));
    }

    #[test]
    fn a_source_that_fails_and_a_full_destination_are_told_apart() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::InvalidData.into())
            }
        }
        assert!(matches!(reveal(&mut Broken, Which::Installed, &mut vec![]), Err(CredentialError::Read(_))));
        let mut full = &mut [0u8; 2][..];
        assert!(matches!(reveal(&mut &b"abc"[..], Which::Installed, &mut full), Err(CredentialError::Write(_))));
    }
}

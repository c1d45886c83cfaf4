//! Data objects and certificates (SP 800-73-4 part 2, 3.1.2 and 3.3.2; part 1, appendix A).

use zeroize::Zeroizing;

use crate::token::TokenError;
use crate::token::apdu::{Command, Status};
use crate::token::piv::Piv;
use crate::token::slot::Slot;
use crate::token::tlv;

/// The certificate of the attestation key (F9) of Yubico's cards.
pub(crate) const ATTESTATION_CERTIFICATE: u32 = 0x5f_ff01;

impl Piv<'_> {
    /// The contents of an object (without the outer tag 53); `None` if the card has none there.
    ///
    /// # Errors
    /// [`TokenError::Refused`] for anything but "not found"; [`TokenError::Malformed`].
    pub fn object(&mut self, tag: u32) -> Result<Option<Zeroizing<Vec<u8>>>, TokenError> {
        let answer = self.ask("GET DATA", &Command::new(0xcb, 0x3f, 0xff, &tlv::element(0x5c, &tag_bytes(tag))))?;
        match answer.status {
            Status::Success => {
                let contents = tlv::only(&answer.data, 0x53).ok_or(TokenError::Malformed { command: "GET DATA" })?;
                // An object that was emptied is absent.
                Ok((!contents.is_empty()).then(|| Zeroizing::new(contents.to_vec())))
            }
            // Cards with fixed containers answer one of the others for a tag that they do not know.
            Status::NotFound
            | Status::NoReference
            | Status::WrongData
            | Status::NotSupported
            | Status::WrongParameters => Ok(None),
            status => Err(TokenError::Refused { command: "GET DATA", status }),
        }
    }

    /// Writes an object and reads it back. Empty contents delete it. Needs the management key.
    ///
    /// # Errors
    /// [`TokenError::NotStored`] if what is read back differs.
    pub fn write_object(&mut self, tag: u32, contents: &[u8]) -> Result<(), TokenError> {
        self.containers.remove(&tag);
        let mut data = Zeroizing::new(Vec::with_capacity(contents.len() + 16));
        tlv::push(&mut data, 0x5c, &tag_bytes(tag));
        tlv::push(&mut data, 0x53, contents);
        self.demand("PUT DATA", &Command::quiet(0xdb, 0x3f, 0xff, &data))?;
        let stored = self.object(tag)?;
        let same = stored.as_ref().map_or(contents.is_empty(), |stored| stored.as_slice() == contents);
        if same { Ok(()) } else { Err(TokenError::NotStored { tag }) }
    }

    /// The certificate of a slot, DER; `None` if there is none, or what is there is no plain certificate.
    ///
    /// # Errors
    /// As [`Piv::object`].
    pub fn certificate(&mut self, slot: Slot) -> Result<Option<Vec<u8>>, TokenError> {
        let Some(contents) = self.certificate_container(slot)? else { return Ok(None) };
        // > 70: certificate; 71: CertInfo, bit 0: compressed; FE: error detection code (part 1, table 10)
        let compressed =
            tlv::find(&contents, 0x71).is_some_and(|info| info.first().is_some_and(|flags| flags & 1 != 0));
        Ok(tlv::find(&contents, 0x70).filter(|der| !compressed && !der.is_empty()).map(<[u8]>::to_vec))
    }

    /// Whether the slot's certificate container has anything in it, be it a certificate or not.
    pub(crate) fn has_certificate_object(&mut self, slot: Slot) -> Result<bool, TokenError> {
        Ok(self.certificate_container(slot)?.is_some())
    }

    /// Nobody else can change a container while the transaction lasts: the card is asked once, and again after a write.
    fn certificate_container(&mut self, slot: Slot) -> Result<Option<Zeroizing<Vec<u8>>>, TokenError> {
        let tag = slot.certificate_object();
        if let Some(known) = self.containers.get(&tag) {
            return Ok(known.clone());
        }
        let contents = self.object(tag)?;
        self.containers.insert(tag, contents.clone());
        Ok(contents)
    }

    /// Writes the certificate of a slot and reads it back. Needs the management key.
    ///
    /// # Errors
    /// As [`Piv::write_object`].
    pub fn write_certificate(&mut self, slot: Slot, der: &[u8]) -> Result<(), TokenError> {
        self.write_object(slot.certificate_object(), &container(der))
    }

    /// Empties the certificate container of a slot. Needs the management key.
    ///
    /// # Errors
    /// As [`Piv::write_object`].
    pub fn delete_certificate(&mut self, slot: Slot) -> Result<(), TokenError> {
        self.write_object(slot.certificate_object(), &[])
    }
}

/// The contents of a certificate container, uncompressed.
pub(crate) fn container(der: &[u8]) -> Vec<u8> {
    let mut contents = Vec::with_capacity(der.len() + 10);
    tlv::push(&mut contents, 0x70, der);
    tlv::push(&mut contents, 0x71, &[0]);
    tlv::push(&mut contents, 0xfe, &[]);
    contents
}

fn tag_bytes(tag: u32) -> Vec<u8> {
    let bytes = tag.to_be_bytes();
    // One byte (7E, the discovery object) or three.
    if tag > 0xff { bytes[1..].to_vec() } else { bytes[3..].to_vec() }
}

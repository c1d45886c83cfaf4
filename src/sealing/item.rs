//! Items and inbox files (`docs/format.md`, 5.4 and 5.5), streamed.

use std::io::{Read, Write};

use crate::encoding::{Digest, Name};
use crate::sealing::SealingError;
use crate::sealing::root::{InboxIdentity, VaultIdentity};

/// The first line of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemRecord {
    pub vault: Digest,
    pub name: Name,
    pub kind: Name,
}

/// The payload of an opened item or inbox file, decrypted and authenticated chunk by chunk as it is read.
///
/// What was read counts only when the end (`Ok(0)`) was reached: a cut file fails there.
pub struct Payload<R: Read>(std::marker::PhantomData<R>);
impl<R: Read> Read for Payload<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> { todo!() }
}

pub fn seal_item(recipient: &str, record: &ItemRecord, writer: &mut dyn Write, payload: &mut dyn Read) -> Result<(), SealingError> { todo!() }
pub fn open_item<R: Read>(identity: &VaultIdentity, expected: &ItemRecord, reader: R) -> Result<Payload<R>, SealingError> { todo!() }
/// Opens with `identity` and seals to `recipient` what is inside, unchanged.
pub fn reseal(identity: &VaultIdentity, record: &ItemRecord, reader: &mut dyn Read, recipient: &str, writer: &mut dyn Write) -> Result<(), SealingError> { todo!() }
pub fn open_inbox<R: Read>(identities: &[&InboxIdentity], reader: R) -> Result<Payload<R>, SealingError> { todo!() }
pub fn seal_to_inbox(recipient: &str, reader: &mut dyn Read, writer: &mut dyn Write) -> Result<(), SealingError> { todo!() }

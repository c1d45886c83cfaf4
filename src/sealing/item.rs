//! Items and inbox files (`docs/format.md`, 5.4 and 5.5), streamed in constant memory.
//!
//! A file is authenticated in chunks of 64 KiB as it is read, and its end only at its end. Whoever reads a [`Payload`] has not
//! read an item before it returned 0 bytes without an error.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read, Write};
use std::str::FromStr;

use age::secrecy::ExposeSecret;
use age::stream::StreamReader;
use age_core::format::{FileKey, Stanza};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::encoding::{Digest, Name, canonical};
use crate::fault::inspect;
use crate::sealing::root::{InboxIdentity, VaultIdentity};
use crate::sealing::{SealingError, is_grease};

#[cfg(test)]
mod tests;

const STANZA: &str = "X25519";
/// The largest age header: room for some 500 recipients of an inbox file.
const MAX_HEADER: u64 = 64 * 1024;
/// How every record of claviger's own begins.
const RECORD_START: &[u8] = b"{\"format\":\"claviger/";

/// What the first line of an item says. It has to match the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemRecord {
    /// The vault id.
    pub vault: Digest,
    /// The item's name.
    pub name: Name,
    /// The kind of credential.
    pub kind: Name,
}

impl ItemRecord {
    /// The record of `inbox-identity.age`, whose payload is [`InboxIdentity::payload`].
    pub fn inbox_identity(vault: Digest) -> Self {
        let name = |text: &str| Name::from_str(text).expect("a constant that is a name");
        Self { vault, name: name("inbox"), kind: name("inbox-identity") }
    }

    /// The canonical JSON and LF.
    fn line(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Line<'a> {
            format: &'static str,
            kind: &'a Name,
            name: &'a Name,
            vault: &'a Digest,
        }
        let Self { vault, name, kind } = self;
        let mut line = canonical(&Line { format: "claviger/v1 item", kind, name, vault });
        line.push(b'\n');
        line
    }
}

/// The payload of an opened item or inbox file.
pub struct Payload<R: Read> {
    /// Plaintext that was looked at already.
    start: Cursor<Zeroizing<Vec<u8>>>,
    rest: StreamReader<Source<R>>,
}

/// The header, read and bounded, and what follows it.
type Source<R> = Chain<Cursor<Vec<u8>>, BufReader<R>>;

impl<R: Read> Read for Payload<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.start.read(buffer)? {
            0 => self.rest.read(buffer),
            read => Ok(read),
        }
    }
}

/// Seals a payload as an item.
///
/// # Errors
/// [`SealingError::Recipient`], [`SealingError::Read`] from the payload, [`SealingError::Write`] to the file.
pub fn seal_item(
    recipient: &str,
    record: &ItemRecord,
    writer: &mut dyn Write,
    payload: &mut dyn Read,
) -> Result<(), SealingError> {
    seal(recipient, &record.line(), payload, writer)
}

/// Opens an item. The record is checked before this returns.
///
/// # Errors
/// [`SealingError::Header`], [`SealingError::HeaderSize`], [`SealingError::Stanzas`] unless there is exactly one X25519 stanza,
/// [`SealingError::Decrypt`] if it is not for this identity, [`SealingError::Record`].
pub fn open_item<R: Read>(
    identity: &VaultIdentity,
    expected: &ItemRecord,
    reader: R,
) -> Result<Payload<R>, SealingError> {
    let only = OnlyX25519 { identity: identity.0.as_ref(), others: Cell::default() };
    let decryptor = age::Decryptor::new_buffered(source(reader)?).map_err(SealingError::Header)?;
    let rest =
        decryptor.decrypt(std::iter::once(&only as &dyn age::Identity)).map_err(|error| match only.others.take() {
            Some(found) => SealingError::Stanzas { expected: STANZA, found },
            None => SealingError::Decrypt(error),
        })?;
    let line = expected.line();
    let mut payload = Payload { start: Cursor::default(), rest };
    let found = payload.look(line.len())?;
    if *found != line {
        return Err(different_member(&found, expected));
    }
    Ok(payload)
}

/// Seals to `recipient` what `reader` holds for `identity`: record and payload unchanged.
///
/// # Errors
/// As [`open_item`] and [`seal_item`].
pub fn reseal(
    identity: &VaultIdentity,
    record: &ItemRecord,
    reader: &mut dyn Read,
    recipient: &str,
    writer: &mut dyn Write,
) -> Result<(), SealingError> {
    let mut payload = open_item(identity, record, reader)?;
    seal_item(recipient, record, writer, &mut payload)
}

/// Opens an inbox file with whichever identity fits.
///
/// # Errors
/// [`SealingError::Armoured`], [`SealingError::Header`], [`SealingError::HeaderSize`], [`SealingError::Decrypt`],
/// [`SealingError::LooksLikeRecord`].
pub fn open_inbox<R: Read>(identities: &[&InboxIdentity], reader: R) -> Result<Payload<R>, SealingError> {
    let decryptor = age::Decryptor::new_buffered(source(reader)?).map_err(SealingError::Header)?;
    let identities = identities.iter().map(|identity| identity.0.as_ref() as &dyn age::Identity);
    let rest = decryptor.decrypt(identities).map_err(SealingError::Decrypt)?;
    let mut payload = Payload { start: Cursor::default(), rest };
    let start = payload.look(RECORD_START.len())?;
    if *start == RECORD_START {
        return Err(SealingError::LooksLikeRecord);
    }
    payload.start = Cursor::new(start);
    Ok(payload)
}

/// Seals a credential into an inbox file, as `age -r` would.
///
/// # Errors
/// [`SealingError::Recipient`], [`SealingError::LooksLikeRecord`], [`SealingError::Read`], [`SealingError::Write`].
pub fn seal_to_inbox(recipient: &str, reader: &mut dyn Read, writer: &mut dyn Write) -> Result<(), SealingError> {
    let mut start = Zeroizing::new(Vec::with_capacity(RECORD_START.len()));
    reader.take(RECORD_START.len() as u64).read_to_end(&mut start).map_err(SealingError::Read)?;
    if *start == RECORD_START {
        return Err(SealingError::LooksLikeRecord);
    }
    seal(recipient, &start, reader, writer)
}

impl<R: Read> Payload<R> {
    /// The next `length` bytes, fewer at the end. They are taken out.
    fn look(&mut self, length: usize) -> Result<Zeroizing<Vec<u8>>, SealingError> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(length));
        self.take(length as u64).read_to_end(&mut bytes).map_err(SealingError::Read)?;
        Ok(bytes)
    }
}

fn seal(recipient: &str, start: &[u8], rest: &mut dyn Read, writer: &mut dyn Write) -> Result<(), SealingError> {
    let recipient = age::x25519::Recipient::from_str(recipient)
        .map_err(|_| SealingError::Recipient { found: recipient.chars().take(80).collect() })?;
    let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))
        .map_err(SealingError::Encrypt)?;
    let mut output = encryptor.wrap_output(writer).map_err(SealingError::Write)?;
    output.write_all(start).map_err(SealingError::Write)?;
    let mut buffer = Zeroizing::new(vec![0; 64 * 1024]);
    loop {
        match rest.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => output.write_all(&buffer[..read]).map_err(SealingError::Write)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(SealingError::Read(error)),
        }
    }
    output.finish().and_then(Write::flush).map_err(SealingError::Write)
}

/// Reads an age header up to its last line, so that a hostile one cannot fill the memory.
fn source<R: Read>(reader: R) -> Result<Source<R>, SealingError> {
    let mut reader = BufReader::new(reader);
    let mut header = Vec::new();
    loop {
        let line = header.len();
        let room = MAX_HEADER - line as u64;
        let read = (&mut reader).take(room).read_until(b'\n', &mut header).map_err(SealingError::Read)?;
        if line == 0 && header.starts_with(b"-----BEGIN AGE") {
            return Err(SealingError::Armoured);
        }
        if header.len() as u64 >= MAX_HEADER {
            return Err(SealingError::HeaderSize { limit: MAX_HEADER });
        }
        // The end of the file, or of the header: what is missing or wrong then is for age to say.
        if read == 0 || header[line..].starts_with(b"---") {
            return Ok(Cursor::new(header).chain(reader));
        }
    }
}

/// An X25519 identity for files that are sealed to nobody else.
struct OnlyX25519<'a> {
    identity: &'a age::x25519::Identity,
    /// The types of the stanzas, when they are not one X25519.
    others: Cell<Option<Vec<String>>>,
}

impl age::Identity for OnlyX25519<'_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, age::DecryptError>> {
        let key = self.identity.unwrap_stanza(stanza);
        if let Some(Ok(key)) = &key {
            inspect::secret("file-key", key.expose_secret());
        }
        key
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, age::DecryptError>> {
        let meant: Vec<_> = stanzas.iter().filter(|stanza| !is_grease(stanza)).collect();
        match &meant[..] {
            [stanza] if stanza.tag == STANZA => self.unwrap_stanza(stanza),
            _ => {
                self.others.set(Some(meant.iter().map(|stanza| stanza.tag.clone()).collect()));
                Some(Err(age::DecryptError::InvalidHeader))
            }
        }
    }
}

/// Names the first member that differs. What was found is not repeated: it may be anything.
fn different_member(found: &[u8], expected: &ItemRecord) -> SealingError {
    let line = serde_json::from_slice::<serde_json::Value>(found).unwrap_or_default();
    let members = [
        ("format", "claviger/v1 item".to_owned()),
        ("vault", expected.vault.to_string()),
        ("name", expected.name.to_string()),
        ("kind", expected.kind.to_string()),
    ];
    let differs = members.into_iter().find(|(member, expected)| line[*member] != expected.as_str());
    let (field, expected) = differs.unwrap_or_else(|| ("form", "canonical JSON and a line feed".to_owned()));
    SealingError::Record { field: field.to_owned(), expected }
}

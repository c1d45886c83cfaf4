//! An APDU log for figures, on when the environment names a file in `CLAVIGER_APDU_LOG`: one line for each APDU, with the
//! reader, the four bytes of the header, the length of the body, and the status word. Never a body.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::rc::Rc;

use zeroize::Zeroizing;

use crate::token::channel::{Channel, ChannelError, Link, Presence, Source};

/// The source as it is, or with a log of its APDUs if the environment asks for one.
///
/// # Errors
/// If the file cannot be opened for appending.
pub fn source(inner: Box<dyn Source>) -> std::io::Result<Box<dyn Source>> {
    let Some(path) = std::env::var_os("CLAVIGER_APDU_LOG") else { return Ok(inner) };
    let log = OpenOptions::new().append(true).create(true).open(path)?;
    Ok(Box::new(TracedSource { inner, log: Rc::new(log) }))
}

struct TracedSource {
    inner: Box<dyn Source>,
    log: Rc<File>,
}

impl Source for TracedSource {
    fn software(&self) -> bool {
        self.inner.software()
    }

    fn present(&mut self) -> Result<Vec<Presence>, ChannelError> {
        self.inner.present()
    }

    fn wait(&mut self, seen: &[Presence]) -> Result<(), ChannelError> {
        self.inner.wait(seen)
    }

    fn connect(&mut self, presence: &Presence) -> Result<Box<dyn Link>, ChannelError> {
        let inner = self.inner.connect(presence)?;
        // One word, so that the columns of the log stay where they are.
        let reader = presence.reader.replace(char::is_whitespace, "_");
        Ok(Box::new(TracedLink { inner, reader, log: self.log.clone() }))
    }
}

struct TracedLink {
    inner: Box<dyn Link>,
    reader: String,
    log: Rc<File>,
}

impl Link for TracedLink {
    fn begin(&mut self) -> Result<Box<dyn Channel + '_>, ChannelError> {
        let inner = self.inner.begin()?;
        Ok(Box::new(TracedChannel { inner, reader: &self.reader, log: &*self.log }))
    }
}

struct TracedChannel<'a, W> {
    inner: Box<dyn Channel + 'a>,
    reader: &'a str,
    log: W,
}

impl<W: Write> Channel for TracedChannel<'_, W> {
    fn transmit(&mut self, apdu: &[u8]) -> Result<Zeroizing<Vec<u8>>, ChannelError> {
        let answer = self.inner.transmit(apdu);
        let status = match answer.as_ref().map(|answer| answer.last_chunk::<2>()) {
            Ok(Some(word)) => hex::encode(word),
            Ok(None) => "none".to_owned(),
            Err(_) => "lost".to_owned(),
        };
        let header = apdu.get(..4).map(hex::encode).unwrap_or_default();
        // > Lc is there when more than one byte follows the header (ISO/IEC 7816-4, 5.1)
        let body = if apdu.len() > 5 { apdu.get(4).copied().unwrap_or(0) } else { 0 };
        // One write for a line, so that lines of several processes do not mix. A log that cannot be written stops nothing.
        let _ = self.log.write_all(format!("{} {header} {body} {status}\n", self.reader).as_bytes());
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo;

    impl Channel for Echo {
        fn transmit(&mut self, apdu: &[u8]) -> Result<Zeroizing<Vec<u8>>, ChannelError> {
            match apdu[1] {
                0x20 => Ok(Zeroizing::new(vec![0x63, 0xc2])),
                0xcb => Ok(Zeroizing::new(vec![1, 2, 3, 0x90, 0x00])),
                _ => Err(ChannelError::Removed { reader: "r".to_owned() }),
            }
        }
    }

    #[test]
    fn a_line_has_header_length_and_status_and_no_body() {
        let mut log = Vec::new();
        let mut channel = TracedChannel { inner: Box::new(Echo), reader: "r", log: &mut log };
        let _ = channel.transmit(b"\x00\x20\x00\x80\x08123456\xff\xff");
        let _ = channel.transmit(&[0, 0xcb, 0x3f, 0xff, 0]);
        let _ = channel.transmit(&[0, 0xf7, 0, 0x9a, 0]);
        drop(channel);
        assert_eq!(String::from_utf8(log).unwrap(), "r 00200080 8 63c2\nr 00cb3fff 0 9000\nr 00f7009a 0 lost\n");
    }
}

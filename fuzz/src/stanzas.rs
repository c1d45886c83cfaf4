//! age files with a header that the input chooses, and a MAC that is right all the same.

use std::collections::HashSet;
use std::io::{Read, Write};

use age_core::format::{FileKey, Stanza};

/// What the input says of a header.
pub struct Header {
    /// Stanzas before the one that counts.
    pub before: Vec<Stanza>,
    /// Stanzas after it.
    pub after: Vec<Stanza>,
    /// How often the one that counts stands there.
    pub times: u8,
}

impl Header {
    /// Reads one: `times`, then stanzas as lines `TYPE ARGUMENT ...`, up to an empty line; the rest is for the payload.
    pub fn read(bytes: &[u8]) -> (Self, &[u8]) {
        let Some((&first, mut rest)) = bytes.split_first() else {
            return (Self { before: Vec::new(), after: Vec::new(), times: 1 }, bytes);
        };
        let mut lines = Vec::new();
        while lines.len() < 12 {
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            match stanza(line) {
                Some(stanza) => lines.push(stanza),
                None => break,
            }
        }
        let after = lines.split_off(lines.len().min(usize::from(first >> 2) % 8));
        (Self { before: lines, after, times: first & 3 }, rest)
    }

    /// Whether nothing but the one that counts is there, besides grease.
    pub fn is_plain(&self) -> bool {
        self.times == 1 && self.before.iter().chain(&self.after).all(|stanza| stanza.tag.ends_with("-grease"))
    }

    /// Seals `plaintext` to `recipient` behind this header.
    pub fn seal(&self, recipient: &dyn age::Recipient, plaintext: &[u8]) -> Vec<u8> {
        let all = WithOthers { header: self, recipient };
        let encryptor = age::Encryptor::with_recipients(std::iter::once(&all as &dyn age::Recipient));
        let mut sealed = Vec::new();
        let mut writer = encryptor.expect("recipients").wrap_output(&mut sealed).expect("memory");
        writer.write_all(plaintext).and_then(|()| writer.finish()).expect("memory");
        sealed
    }
}

/// Type and arguments are visible ASCII, as age has it; the body is as long as the first argument says.
fn stanza(line: &[u8]) -> Option<Stanza> {
    let text = std::str::from_utf8(line).ok()?;
    let mut words = text.split(' ').map(str::to_owned);
    let visible = |word: &String| !word.is_empty() && word.bytes().all(|c| (0x21..=0x7e).contains(&c));
    let tag = words.next().filter(visible)?;
    let args: Vec<String> = words.take(6).collect();
    let body = vec![7; args.first().map_or(0, |word| word.len() * 3 % 97)];
    args.iter().all(visible).then_some(Stanza { tag, args, body })
}

struct WithOthers<'a> {
    header: &'a Header,
    recipient: &'a dyn age::Recipient,
}

impl age::Recipient for WithOthers<'_> {
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), age::EncryptError> {
        let copy = |stanzas: &[Stanza]| {
            let copy = |s: &Stanza| Stanza { tag: s.tag.clone(), args: s.args.clone(), body: s.body.clone() };
            stanzas.iter().map(copy).collect::<Vec<_>>()
        };
        let mut stanzas = copy(&self.header.before);
        for _ in 0..self.header.times {
            stanzas.extend(self.recipient.wrap_file_key(file_key)?.0);
        }
        stanzas.extend(copy(&self.header.after));
        Ok((stanzas, HashSet::new()))
    }
}

/// What age by itself makes of a file.
pub fn opened(identity: &dyn age::Identity, sealed: &[u8]) -> Option<Vec<u8>> {
    let decryptor = age::Decryptor::new_buffered(sealed).ok()?;
    let mut reader = decryptor.decrypt(std::iter::once(identity)).ok()?;
    let mut plaintext = Vec::new();
    reader.read_to_end(&mut plaintext).ok().map(|_| plaintext)
}

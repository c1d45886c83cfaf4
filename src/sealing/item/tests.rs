use std::rc::Rc;

use super::*;
use crate::sealing::root::vault_identity;
use crate::secret::Root;

fn identity(number: u8) -> VaultIdentity {
    vault_identity(&Root::fill(|bytes| bytes[31] = number), &Digest::of(b"vault"), 1)
}

fn record() -> ItemRecord {
    ItemRecord { vault: Digest::of(b"vault"), name: name("root-password"), kind: name("opaque") }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn sealed(payload: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    seal_item(&identity(1).recipient(), &record(), &mut file, &mut &*payload).unwrap();
    file
}

fn opened(file: &[u8]) -> Result<Vec<u8>, SealingError> {
    let mut plaintext = Vec::new();
    open_item(&identity(1), &record(), file)?.read_to_end(&mut plaintext).map_err(SealingError::Read)?;
    Ok(plaintext)
}

/// What stock age would make of any plaintext and any recipients.
fn by_age(recipients: &[String], plaintext: &[u8]) -> Vec<u8> {
    let recipients: Vec<age::x25519::Recipient> = recipients.iter().map(|text| text.parse().unwrap()).collect();
    let recipients = recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
    let mut file = Vec::new();
    let mut writer = age::Encryptor::with_recipients(recipients).unwrap().wrap_output(&mut file).unwrap();
    writer.write_all(plaintext).unwrap();
    writer.finish().unwrap();
    file
}

#[test]
fn items_come_out_as_they_went_in() {
    for length in [0, 1, 65_500, 65_536, 200_000] {
        let payload: Vec<u8> = (0..=255).cycle().take(length).collect();
        assert_eq!(opened(&sealed(&payload)).unwrap(), payload, "{length}");
    }
}

#[test]
fn the_record_is_the_first_line_as_written() {
    let file = sealed(b"secret");
    let mut plaintext = String::new();
    let decryptor = age::Decryptor::new_buffered(&file[..]).unwrap();
    let vault = identity(1);
    let mut reader = decryptor.decrypt(std::iter::once(vault.0.as_ref() as &dyn age::Identity)).unwrap();
    reader.read_to_string(&mut plaintext).unwrap();
    let digest = Digest::of(b"vault");
    let line = format!(
        "{{\"format\":\"claviger/v1 item\",\"kind\":\"opaque\",\"name\":\"root-password\",\"vault\":\"{digest}\"}}"
    );
    assert_eq!(plaintext, format!("{line}\nsecret"));
}

#[test]
fn an_item_of_something_else_is_named() {
    let recipient = [identity(1).recipient()];
    let line = String::from_utf8(record().line()).unwrap();
    let other_vault = line.replace(&Digest::of(b"vault").to_string(), &Digest::of(b"x").to_string());
    let cases = [
        (other_vault, "vault"),
        (line.replace("root-password", "user-password"), "name"),
        (line.replace("\"opaque\"", "\"opaqua\""), "kind"),
        (line.replace("v1", "v2"), "format"),
        (line.replace('\n', "\r\n"), "form"),
        (line.replace(',', ", "), "format"),
        (String::new(), "format"),
        ("x".repeat(300), "format"),
    ];
    for (line, expected) in cases {
        match opened(&by_age(&recipient, line.as_bytes())) {
            Err(SealingError::Record { field, .. }) => assert_eq!(field, expected, "{line:?}"),
            other => panic!("{line:?}: {other:?}"),
        }
    }
}

#[test]
fn an_item_has_one_recipient() {
    let plaintext = record().line();
    let two = by_age(&[identity(1).recipient(), identity(2).recipient()], &plaintext);
    assert!(matches!(opened(&two), Err(SealingError::Stanzas { expected: "X25519", found }) if found.len() == 2));
    let other = by_age(&[identity(2).recipient()], &plaintext);
    assert!(matches!(opened(&other), Err(SealingError::Decrypt(age::DecryptError::NoMatchingKeys))));
}

#[test]
fn damage_is_found() {
    let payload = vec![7; 100_000];
    let file = sealed(&payload);
    for place in [0, 30, 80, file.len() - 90_000, file.len() - 1] {
        let mut changed = file.clone();
        changed[place] ^= 1;
        assert!(opened(&changed).is_err(), "byte {place}");
    }
    for length in [0, 10, 100, file.len() - 40_000, file.len() - 1] {
        assert!(opened(&file[..length]).is_err(), "cut to {length}");
    }
    assert!(matches!(opened(&[&file[..], b"x"].concat()), Err(SealingError::Read(_))));
}

#[test]
fn a_header_without_end_is_not_read_to_its_end() {
    struct Endless(Rc<Cell<u64>>);
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.set(self.0.get() + buffer.len() as u64);
            buffer.fill(b'a');
            Ok(buffer.len())
        }
    }
    let read = Rc::new(Cell::new(0));
    let refused = open_item(&identity(1), &record(), Endless(read.clone())).err().unwrap();
    assert!(matches!(refused, SealingError::HeaderSize { limit: MAX_HEADER }));
    assert!(read.get() <= 2 * MAX_HEADER);
}

#[test]
fn resealing_changes_the_key_and_nothing_else() {
    let payload = vec![9; 70_000];
    let mut file = Vec::new();
    reseal(&identity(1), &record(), &mut &sealed(&payload)[..], &identity(2).recipient(), &mut file).unwrap();
    assert!(matches!(opened(&file), Err(SealingError::Decrypt(_))));
    let mut plaintext = Vec::new();
    open_item(&identity(2), &record(), &file[..]).ok().unwrap().read_to_end(&mut plaintext).unwrap();
    assert_eq!(plaintext, payload);
}

#[test]
fn the_inbox_identity_is_an_item_like_others() {
    let (inbox, record) = (InboxIdentity::generate(), ItemRecord::inbox_identity(Digest::of(b"vault")));
    assert_eq!((record.name.as_str(), record.kind.as_str()), ("inbox", "inbox-identity"));
    let mut file = Vec::new();
    let payload = inbox.payload();
    seal_item(&identity(1).recipient(), &record, &mut file, &mut payload.expose_secret()).unwrap();
    let mut plaintext = Zeroizing::new(Vec::new());
    open_item(&identity(1), &record, &file[..]).ok().unwrap().read_to_end(&mut plaintext).unwrap();
    let opened = InboxIdentity::from_payload(&crate::secret::SecretBytes::new(plaintext)).ok().unwrap();
    assert_eq!(opened.recipient(), inbox.recipient());
}

#[test]
fn the_inbox_opens_with_the_current_and_the_former_identity() {
    let (former, current) = (InboxIdentity::generate(), InboxIdentity::generate());
    for recipient in [former.recipient(), current.recipient()] {
        for secret in [&b""[..], b"{", b"hunter2", b"{\"format\":\"clavige"] {
            let mut file = Vec::new();
            seal_to_inbox(&recipient, &mut &*secret, &mut file).unwrap();
            let mut plaintext = Vec::new();
            open_inbox(&[&current, &former], &file[..]).ok().unwrap().read_to_end(&mut plaintext).unwrap();
            assert_eq!(plaintext, secret);
        }
    }
    let shared = by_age(&[identity(3).recipient(), current.recipient()], b"two recipients");
    assert!(open_inbox(&[&current], &shared[..]).is_ok());
    let mut file = Vec::new();
    seal_to_inbox(&former.recipient(), &mut &b"x"[..], &mut file).unwrap();
    assert!(matches!(open_inbox(&[&current], &file[..]), Err(SealingError::Decrypt(_))));
}

#[test]
fn an_inbox_takes_nothing_that_looks_like_a_record() {
    let inbox = InboxIdentity::generate();
    for record in [record().line(), b"{\"format\":\"claviger/".to_vec(), b"{\"format\":\"claviger/v9 x\"}".to_vec()] {
        let refused = seal_to_inbox(&inbox.recipient(), &mut &record[..], &mut Vec::new());
        assert!(matches!(refused, Err(SealingError::LooksLikeRecord)));
        let file = by_age(&[inbox.recipient()], &record);
        assert!(matches!(open_inbox(&[&inbox], &file[..]), Err(SealingError::LooksLikeRecord)));
    }
}

#[test]
fn armour_and_wrong_recipients_are_explained() {
    let armoured = b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n";
    let refused = open_inbox(&[&InboxIdentity::generate()], &armoured[..]);
    assert!(matches!(refused, Err(SealingError::Armoured)));
    for bad in ["", "age1", "AGE-SECRET-KEY-1", "age1tag1qt8lw0ual6avlwmwatk888yqnmdamm7xfd0wak53ut6elz5c4swx2yqdj4e"] {
        let refused = seal_to_inbox(bad, &mut &b"x"[..], &mut Vec::new());
        assert!(matches!(refused, Err(SealingError::Recipient { .. })), "{bad}");
    }
}

#[test]
fn a_source_that_fails_and_a_full_destination_are_told_apart() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
    let recipient = identity(1).recipient();
    let refused = seal_item(&recipient, &record(), &mut Vec::new(), &mut Broken);
    assert!(matches!(refused, Err(SealingError::Read(_))));
    let mut full = &mut [0u8; 300][..];
    let refused = seal_item(&recipient, &record(), &mut full, &mut &[0; 1000][..]);
    assert!(matches!(refused, Err(SealingError::Write(_))));
}

/// Counts what passes, and holds the distance between the two ends.
struct Meter {
    inside: Rc<Cell<u64>>,
    left: u64,
}

const LARGE: u64 = 65 * 1024 * 1024;

impl Read for Meter {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        buffer[..length].fill(0x5a);
        self.left -= length as u64;
        self.inside.set(self.inside.get() + length as u64);
        Ok(length)
    }
}

#[test]
fn a_large_item_is_sealed_and_opened_with_little_of_it_in_memory() {
    struct Sink<'a> {
        inside: Rc<Cell<u64>>,
        file: &'a std::fs::File,
        most: u64,
    }
    impl Write for Sink<'_> {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            self.most = self.most.max(self.inside.get());
            self.file.write_all(buffer)?;
            self.inside.set(self.inside.get().saturating_sub(buffer.len() as u64));
            Ok(buffer.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let inside = Rc::new(Cell::new(0));
    let mut meter = Meter { inside: inside.clone(), left: LARGE };
    let mut sink = Sink { inside: inside.clone(), file: file.as_file(), most: 0 };
    seal_item(&identity(1).recipient(), &record(), &mut sink, &mut meter).unwrap();
    assert_eq!(meter.left, 0);
    assert!(sink.most <= 256 * 1024, "{} bytes were in memory at once", sink.most);

    struct Source(std::fs::File, Rc<Cell<u64>>);
    impl Read for Source {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let read = self.0.read(buffer)?;
            self.1.set(self.1.get() + read as u64);
            Ok(read)
        }
    }
    let taken = Rc::new(Cell::new(0));
    let source = Source(std::fs::File::open(file.path()).unwrap(), taken.clone());
    let mut payload = open_item(&identity(1), &record(), source).ok().unwrap();
    let (mut buffer, mut total) = (vec![0; 10_000], 0);
    loop {
        let read = payload.read(&mut buffer).unwrap();
        if read == 0 {
            break;
        }
        assert!(buffer[..read].iter().all(|byte| *byte == 0x5a));
        total += read as u64;
        assert!(taken.get() <= total + 256 * 1024, "{} bytes were read for {total}", taken.get());
    }
    assert_eq!(total, LARGE);
}

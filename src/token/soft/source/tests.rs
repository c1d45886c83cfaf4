use super::*;
use crate::token::soft::Touch;

const SELECT: &[u8] = &[0, 0xa4, 4, 0, 5, 0xa0, 0, 0, 3, 8];
const WRONG_PIN: &[u8] = b"\x00\x20\x00\x80\x08654321\xff\xff";
const RIGHT_PIN: &[u8] = b"\x00\x20\x00\x80\x08123456\xff\xff";
const TRIES: &[u8] = &[0, 0x20, 0, 0x80];

fn tokens(names: &[&str]) -> (tempfile::TempDir, SoftSource) {
    let dir = tempfile::tempdir().unwrap();
    for name in names {
        create_token(dir.path(), name, SoftCardOptions::default()).unwrap();
    }
    let source = SoftSource::open(dir.path()).unwrap();
    (dir, source)
}

#[test]
fn tokens_are_listed_by_name_and_known_by_what_is_in_them() {
    let (dir, mut source) = tokens(&["bob", "alice"]);
    std::fs::write(dir.path().join("notes.txt"), "x").unwrap();
    std::fs::write(dir.path().join("carol.part"), "x").unwrap();
    let present = source.present().unwrap();
    let readers: Vec<_> = present.iter().map(|presence| presence.reader.as_str()).collect();
    assert_eq!(readers, ["alice.token", "bob.token"]);
    assert_ne!(present[0].insertion, present[1].insertion);
    assert!(matches!(create_token(dir.path(), "bob", SoftCardOptions::default()), Err(ChannelError::Soft { .. })));
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(dir.path().join("bob.token")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_a_command_changed_is_in_the_file_before_its_answer_and_the_pin_is_forgotten() {
    let (dir, mut source) = tokens(&["alice"]);
    let presence = source.present().unwrap().remove(0);
    let mut link = source.connect(&presence).unwrap();
    let mut channel = link.begin().unwrap();
    channel.transmit(SELECT).unwrap();
    assert_eq!(*channel.transmit(WRONG_PIN).unwrap(), [0x63, 0xc2]);
    let (_, card) = load(&dir.path().join("alice.token")).unwrap();
    assert_eq!(card.state.pin.left, 2);
    assert_eq!(*channel.transmit(RIGHT_PIN).unwrap(), [0x90, 0]);
    assert_eq!(*channel.transmit(TRIES).unwrap(), [0x90, 0]);
    drop(channel);
    let mut channel = link.begin().unwrap();
    channel.transmit(SELECT).unwrap();
    assert_eq!(*channel.transmit(TRIES).unwrap(), [0x63, 0xc3]);
    drop(channel);
    assert_eq!(source.present().unwrap(), [presence], "writing is not an insertion");
}

#[test]
fn one_transaction_at_a_time_also_after_the_file_was_replaced() {
    let (_dir, mut source) = tokens(&["alice"]);
    let presence = source.present().unwrap().remove(0);
    let (mut one, mut two) = (source.connect(&presence).unwrap(), source.connect(&presence).unwrap());
    let mut channel = one.begin().unwrap();
    assert!(matches!(two.begin(), Err(ChannelError::Busy { .. })));
    channel.transmit(SELECT).unwrap();
    channel.transmit(WRONG_PIN).unwrap();
    assert!(matches!(two.begin(), Err(ChannelError::Busy { .. })));
    drop(channel);
    assert!(two.begin().is_ok());
}

#[test]
fn a_token_that_is_taken_away_or_swapped_is_removed() {
    let (dir, mut source) = tokens(&["alice", "bob"]);
    let presence = source.present().unwrap().remove(0);
    let mut link = source.connect(&presence).unwrap();
    let mut channel = link.begin().unwrap();
    channel.transmit(SELECT).unwrap();
    std::fs::rename(dir.path().join("bob.token"), dir.path().join("alice.token")).unwrap();
    assert!(matches!(channel.transmit(RIGHT_PIN), Err(ChannelError::Removed { .. })));
    drop(channel);
    assert!(matches!(link.begin(), Err(ChannelError::Removed { .. })));
    assert!(matches!(source.connect(&presence), Err(ChannelError::Removed { .. })));
}

#[test]
fn waiting_ends_when_a_token_comes_or_goes() {
    let (dir, mut source) = tokens(&["alice"]);
    let away = dir.path().join("alice.away");
    let here = dir.path().join("alice.token");
    let seen = source.present().unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| SoftSource::open(dir.path()).unwrap().wait(&seen).unwrap());
        std::fs::rename(&here, &away).unwrap();
        waiting.join().unwrap();
    });
    assert_eq!(source.present().unwrap(), []);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| SoftSource::open(dir.path()).unwrap().wait(&[]).unwrap());
        std::fs::rename(&away, &here).unwrap();
        waiting.join().unwrap();
    });
    assert_eq!(source.present().unwrap(), seen);
}

#[test]
fn a_withheld_touch_is_said_in_the_file() {
    let (dir, mut source) = tokens(&["alice"]);
    let path = dir.path().join("alice.token");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"touch\": \"grant\"", "\"touch\": \"withhold\"")).unwrap();
    assert_eq!(load(&path).unwrap().1.state.touch, Touch::Withhold);
    std::fs::write(&path, "{}").unwrap();
    let error = source.present().unwrap_err();
    assert!(error.to_string().contains("alice.token"), "{error}");
}

#[test]
fn a_fifo_is_no_token_and_is_not_waited_for() {
    use rustix::fs::{CWD, FileType, mknodat};
    let (dir, mut source) = tokens(&["alice"]);
    let path = dir.path().join("bob.token");
    mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let damaged = source.present().and_then(|present| {
        let bob = present.iter().find(|presence| presence.reader == "bob.token").cloned();
        bob.map_or(Ok(()), |bob| source.connect(&bob).map(|_| ()))
    });
    assert!(matches!(damaged, Err(ChannelError::Soft { .. })), "{damaged:?}");
}

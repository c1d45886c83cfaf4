//! Software tokens: their files, and the commands that their cards are given.
//!
//! A file that is believed is written and read again as the same card, and no command makes a card panic, or give more
//! than a command's answer can hold.

use claviger::token::soft::SoftCard;

use super::world;

/// Reads one input.
pub fn run(bytes: &[u8]) {
    let Some((&selector, rest)) = bytes.split_first() else { return };
    if selector % 2 == 0 { file(rest) } else { commands(rest) }
}

fn file(bytes: &[u8]) {
    let Ok(mut card) = SoftCard::from_bytes(bytes) else { return };
    let written = card.to_bytes();
    let again = SoftCard::from_bytes(&written).expect("what was written is read");
    assert_eq!(again.to_bytes(), written);
    card.power_on();
    for command in COMMANDS {
        answered(&mut card, command);
    }
    SoftCard::from_bytes(&card.to_bytes()).expect("a card stays one");
}

/// SELECT, version, serial, metadata and attestation of 9C and 82, certificates of both, PIN, tries, a signature.
const COMMANDS: [&[u8]; 13] = [
    &[0, 0xa4, 4, 0, 9, 0xa0, 0, 0, 3, 8, 0, 0, 0x10, 0, 0],
    &[0, 0xfd, 0, 0, 0],
    &[0, 0xf8, 0, 0, 0],
    &[0, 0xf7, 0, 0x9c, 0],
    &[0, 0xf7, 0, 0x82, 0],
    &[0, 0xf9, 0x9c, 0, 0],
    &[0, 0xf9, 0x82, 0, 0],
    &[0, 0xcb, 0x3f, 0xff, 5, 0x5c, 3, 0x5f, 0xc1, 0x0a, 0],
    &[0, 0xcb, 0x3f, 0xff, 5, 0x5c, 3, 0x5f, 0xc1, 0x0d, 0],
    &[0, 0x20, 0, 0x80],
    &[0, 0x20, 0, 0x80, 8, b'1', b'2', b'3', b'4', b'5', b'6', 0xff, 0xff],
    &[0, 0x87, 0x11, 0x9c, 8, 0x7c, 6, 0x82, 0, 0x81, 2, 1, 2, 0],
    &[0, 0xc0, 0, 0, 0],
];

fn answered(card: &mut SoftCard, command: &[u8]) {
    let answer = card.answer(command);
    assert!((2..=258).contains(&answer.len()), "an answer of {} bytes", answer.len());
}

/// Commands, each after its length in one byte; 0 switches the card off and on.
fn commands(bytes: &[u8]) {
    let mut card = SoftCard::from_bytes(world::TOKEN).expect("a card");
    card.power_on();
    answered(&mut card, COMMANDS[0]);
    let mut rest = bytes;
    for _ in 0..200 {
        let Some((&length, after)) = rest.split_first() else { break };
        let (command, after) = after.split_at(usize::from(length).min(after.len()));
        rest = after;
        if command.is_empty() { drop(card.power_on()) } else { answered(&mut card, command) }
    }
    SoftCard::from_bytes(&card.to_bytes()).expect("a card stays one");
}

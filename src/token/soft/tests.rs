use super::*;

/// A card with PIV selected.
fn card(firmware: (u8, u8, u8)) -> SoftCard {
    let mut card = SoftCard::create(SoftCardOptions { firmware, ..Default::default() }).unwrap();
    card.power_on();
    assert_eq!(status(&card.answer(&[0, 0xa4, 4, 0, 5, 0xa0, 0, 0, 3, 8])), 0x9000);
    card
}

fn status(answer: &[u8]) -> u16 {
    let (_, sw) = answer.split_last_chunk::<2>().unwrap();
    u16::from_be_bytes(*sw)
}

/// Sends with extended length; data or status word.
fn send(card: &mut SoftCard, ins: u8, p1: u8, p2: u8, data: &[u8]) -> Result<Vec<u8>, u16> {
    let mut apdu = vec![0, ins, p1, p2, 0];
    if !data.is_empty() {
        apdu.extend((data.len() as u16).to_be_bytes());
        apdu.extend(data);
    }
    apdu.extend([0, 0]);
    let mut answer = card.answer(&apdu);
    let sw = status(&answer);
    answer.truncate(answer.len() - 2);
    if sw == 0x9000 { Ok(answer) } else { Err(sw) }
}

fn authenticate(card: &mut SoftCard) {
    let algorithm = card.state.management.algorithm;
    let answer = send(card, 0x87, algorithm, 0x9b, &[0x7c, 2, 0x81, 0]).unwrap();
    let challenge = answer[4..].to_vec();
    let response = card.state.management.crypt(&challenge, true).unwrap();
    send(card, 0x87, algorithm, 0x9b, &wire::tlv(0x7c, &wire::tlv(0x82, &response))).unwrap();
}

const GOOD: &[u8; 8] = b"123456\xff\xff";
const BAD: &[u8; 8] = b"654321\xff\xff";

fn generate(card: &mut SoftCard, slot: u8, pin: u8, touch: u8) -> Vec<u8> {
    let fields = [0xac, 9, 0x80, 1, 0x11, 0xaa, 1, pin, 0xab, 1, touch];
    send(card, 0x47, 0, slot, &fields).unwrap()[5..].to_vec()
}

fn sign(card: &mut SoftCard, slot: u8, digest: &[u8]) -> Result<Vec<u8>, u16> {
    let fields = [vec![0x82, 0], wire::tlv(0x81, digest)].concat();
    send(card, 0x87, 0x11, slot, &wire::tlv(0x7c, &fields))
}

#[test]
fn a_wrong_pin_counts_down_and_a_right_one_starts_again() {
    let mut card = card((5, 4, 3));
    assert_eq!(send(&mut card, 0x20, 0, 0x80, &[]), Err(0x63c3));
    assert_eq!(send(&mut card, 0x20, 0, 0x80, BAD), Err(0x63c2));
    assert_eq!(send(&mut card, 0x20, 0, 0x80, GOOD), Ok(vec![]));
    assert_eq!(send(&mut card, 0x20, 0, 0x80, &[]), Ok(vec![]));
    assert_eq!(send(&mut card, 0x20, 0xff, 0x80, &[]), Ok(vec![]));
    for left in [0x63c2, 0x63c1, 0x63c0, 0x6983] {
        assert_eq!(send(&mut card, 0x20, 0, 0x80, BAD), Err(left));
    }
    assert_eq!(send(&mut card, 0x20, 0, 0x80, GOOD), Err(0x6983));
    assert_eq!(send(&mut card, 0x2c, 0, 0x80, &[b"12345678".as_slice(), GOOD].concat()), Ok(vec![]));
    assert_eq!(send(&mut card, 0x20, 0, 0x80, GOOD), Ok(vec![]));
    assert_eq!(card.statistics().verifies, 8);
}

#[test]
fn a_key_with_pin_always_wants_the_pin_right_before_every_use() {
    let mut card = card((5, 4, 3));
    authenticate(&mut card);
    let public = generate(&mut card, 0x9c, 0, 0);
    assert_eq!(sign(&mut card, 0x9c, &[7; 32]), Err(0x6982));
    send(&mut card, 0x20, 0, 0x80, GOOD).unwrap();
    let answer = sign(&mut card, 0x9c, &[7; 32]).unwrap();
    assert_eq!(sign(&mut card, 0x9c, &[7; 32]), Err(0x6982));

    use p256::ecdsa::signature::hazmat::PrehashVerifier;
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&public).unwrap();
    let signature = p256::ecdsa::Signature::from_der(&answer[4..]).unwrap();
    assert!(key.verify_prehash(&[7; 32], &signature).is_ok());
}

#[test]
fn a_retired_slot_agrees_on_a_key_once_the_pin_was_verified_and_the_card_touched() {
    let mut card = card((5, 7, 1));
    authenticate(&mut card);
    let public = generate(&mut card, 0x95, 2, 2);
    let other = random_key().unwrap();
    let fields = [vec![0x82, 0], wire::tlv(0x85, &keys::point(&other))].concat();
    let command = wire::tlv(0x7c, &fields);
    assert_eq!(send(&mut card, 0x87, 0x11, 0x95, &command), Err(0x6982));
    send(&mut card, 0x20, 0, 0x80, GOOD).unwrap();
    card.set_touch(Touch::Withhold);
    assert_eq!(send(&mut card, 0x87, 0x11, 0x95, &command), Err(0x6982));
    card.set_touch(Touch::Grant);
    let shared = send(&mut card, 0x87, 0x11, 0x95, &command).unwrap();
    let public = p256::PublicKey::from_sec1_bytes(&public).unwrap();
    assert_eq!(shared[4..], other.diffie_hellman(&public).raw_secret_bytes()[..]);
    assert_eq!(card.statistics().touches, 1);

    let moved = send(&mut card, 0xf6, 0x82, 0x95, &[]);
    assert_eq!(moved, Ok(vec![]));
    assert_eq!(send(&mut card, 0xf7, 0, 0x95, &[]), Err(0x6a88));
    assert_eq!(send(&mut card, 0xf6, 0xff, 0x82, &[]), Ok(vec![]));
    assert_eq!(send(&mut card, 0xf6, 0xff, 0x82, &[]), Err(0x6a88));
}

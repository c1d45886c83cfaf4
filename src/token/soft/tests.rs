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
fn a_refused_pin_is_remembered_for_ever() {
    let mut card = card((5, 4, 3));
    let change = |old: &[u8]| [old, GOOD].concat();
    assert_eq!(send(&mut card, 0x20, 0, 0x80, BAD), Err(0x63c2));
    assert_eq!(send(&mut card, 0x20, 0, 0x80, GOOD), Ok(vec![]));
    assert_eq!(card.refused_pins(), 1);
    assert_eq!(send(&mut card, 0x24, 0, 0x80, &change(BAD)), Err(0x63c2));
    assert_eq!(send(&mut card, 0x24, 0, 0x80, &change(GOOD)), Ok(vec![]));
    assert_eq!(card.refused_pins(), 2);
    for _ in 0..4 {
        assert!(send(&mut card, 0x20, 0, 0x80, BAD).is_err());
        assert!(send(&mut card, 0x24, 0, 0x81, &change(BAD)).is_err());
    }
    assert_eq!(send(&mut card, 0xfb, 0, 0, &[]), Ok(vec![]));
    assert_eq!(card.refused_pins(), 6);
    assert_eq!(SoftCard::from_bytes(&card.to_bytes()).unwrap().refused_pins(), 6);
    // Files of tokens that were made before this was counted.
    let text = String::from_utf8(card.to_bytes()).unwrap();
    let older = text.replace("  \"refused_pins\": 6,\n", "");
    assert!(older.len() < text.len());
    assert_eq!(SoftCard::from_bytes(older.as_bytes()).unwrap().refused_pins(), 0);
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

#[test]
fn without_the_management_key_nothing_on_the_card_changes() {
    let mut card = card((5, 7, 1));
    let before = card.to_bytes();
    let put = [wire::tlv(0x5c, &[0x5f, 0xc1, 0x0d]), wire::tlv(0x53, &[1])].concat();
    let import = wire::tlv(6, &[1; 32]);
    let key = [&[3, 0x9b, 24], management::DEFAULT.as_slice()].concat();
    for (ins, p1, p2, data) in [
        (0x47, 0, 0x9a, [0xac, 3, 0x80, 1, 0x11].as_slice()),
        (0xdb, 0x3f, 0xff, &put),
        (0xfe, 0x11, 0x9d, &import),
        (0xff, 0xff, 0xff, &key),
        (0xfa, 5, 5, &[]),
        (0xf6, 0xff, 0xf9, &[]),
    ] {
        assert_eq!(send(&mut card, ins, p1, p2, data), Err(0x6982), "{ins:02x}");
    }
    assert_eq!(card.to_bytes(), before);

    // A host that does not know the key, in both forms of the proof.
    let algorithm = card.state.management.algorithm;
    let wrong = wire::tlv(0x7c, &wire::tlv(0x82, &[0; 16]));
    send(&mut card, 0x87, algorithm, 0x9b, &[0x7c, 2, 0x81, 0]).unwrap();
    assert_eq!(send(&mut card, 0x87, algorithm, 0x9b, &wrong), Err(0x6982));
    let fields = [wire::tlv(0x80, &[0; 16]), wire::tlv(0x81, &[0; 16])].concat();
    send(&mut card, 0x87, algorithm, 0x9b, &[0x7c, 2, 0x80, 0]).unwrap();
    assert_eq!(send(&mut card, 0x87, algorithm, 0x9b, &wire::tlv(0x7c, &fields)), Err(0x6982));
    assert_eq!(send(&mut card, 0xdb, 0x3f, 0xff, &put), Err(0x6982));
}

#[test]
fn every_management_key_that_the_firmware_knows_is_proven_and_changed() {
    let mut new = card((5, 4, 3));
    for (algorithm, size) in [(0x08, 16), (0x0a, 24), (0x0c, 32), (0x03, 24)] {
        authenticate(&mut new);
        let key = [vec![algorithm, 0x9b, size], vec![7; size.into()]].concat();
        assert_eq!(send(&mut new, 0xff, 0xff, 0xff, &key), Ok(vec![]));
        let metadata = send(&mut new, 0xf7, 0, 0x9b, &[]).unwrap();
        assert_eq!(metadata, [1, 1, algorithm, 2, 2, 0, 1, 5, 1, 0]);
        send(&mut new, 0xa4, 4, 0, &PIV_AID).unwrap();
        assert_eq!(send(&mut new, 0xff, 0xff, 0xff, &key), Err(0x6982), "selecting again forgets the proof");
    }
    let mut old = card((5, 2, 7));
    authenticate(&mut old);
    assert_eq!(send(&mut old, 0xff, 0xff, 0xff, &[vec![8, 0x9b, 16], vec![7; 16]].concat()), Err(0x6a80));
    assert_eq!(send(&mut old, 0xf7, 0, 0x9b, &[]), Err(0x6d00), "no metadata before 5.3");
    assert_eq!(send(&mut old, 0xf6, 0xff, 0x9a, &[]), Err(0x6d00), "no deleting before 5.7");
    assert_eq!(send(&mut card((5, 7, 1)), 0xf7, 0, 0x9b, &[]).unwrap()[..3], [1, 1, 0x0a]);
}

#[test]
fn a_card_may_be_made_with_a_chuid_of_its_own() {
    let make = || SoftCard::create(SoftCardOptions { chuid: true, ..Default::default() }).unwrap();
    let (mut one, two) = (make(), make());
    assert_ne!(one.state.objects[&objects::CHUID].0, two.state.objects[&objects::CHUID].0);
    send(&mut one, 0xa4, 4, 0, &PIV_AID).unwrap();
    let object = read(&mut one, &[0x5f, 0xc1, 0x02]).unwrap();
    let fields = wire::elements(wire::element(&mut object.as_slice()).unwrap().1).unwrap();
    assert_eq!(
        fields.iter().map(|(tag, value)| (*tag, value.len())).collect::<Vec<_>>(),
        [(0x30, 25), (0x34, 16), (0x35, 8), (0x3e, 0), (0xfe, 0)]
    );
}

fn put(card: &mut SoftCard, tag: &[u8], content: &[u8]) -> Result<Vec<u8>, u16> {
    send(card, 0xdb, 0x3f, 0xff, &[wire::tlv(0x5c, tag), wire::tlv(0x53, content)].concat())
}

fn read(card: &mut SoftCard, tag: &[u8]) -> Result<Vec<u8>, u16> {
    send(card, 0xcb, 0x3f, 0xff, &wire::tlv(0x5c, tag))
}

#[test]
fn objects_keep_their_size_limits_and_four_are_read_with_the_pin_only() {
    let mut card = card((5, 4, 3));
    authenticate(&mut card);
    assert_eq!(read(&mut card, &[0x5f, 0xc1, 0x02]), Err(0x6a82), "a fresh card has no CHUID");
    assert_eq!(put(&mut card, &[0x5f, 0xc1, 0x0d], &[9; 3053]), Err(0x6a84));
    assert_eq!(put(&mut card, &[0x7e], &[1]), Err(0x6a80));
    for number in 0..16 {
        put(&mut card, &[0x5f, 0xff, 0x20 + number], &[number; 3052]).unwrap();
    }
    assert_eq!(put(&mut card, &[0x5f, 0xff, 0x30], &[1; 3052]), Err(0x6a84), "the card is full");
    assert_eq!(read(&mut card, &[0x5f, 0xff, 0x20]).unwrap(), wire::tlv(0x53, &[0; 3052]));
    put(&mut card, &[0x5f, 0xff, 0x20], &[]).unwrap();
    assert_eq!(read(&mut card, &[0x5f, 0xff, 0x20]), Err(0x6a82));
    for tag in [[0x5f, 0xc1, 0x09], [0x5f, 0xc1, 0x03], [0x5f, 0xc1, 0x08], [0x5f, 0xc1, 0x21]] {
        put(&mut card, &tag, &[1]).unwrap();
        assert_eq!(read(&mut card, &tag), Err(0x6982));
    }
    send(&mut card, 0x20, 0, 0x80, GOOD).unwrap();
    assert_eq!(read(&mut card, &[0x5f, 0xc1, 0x09]), Ok(vec![0x53, 1, 1]));
}

#[test]
fn short_apdus_chain_commands_and_fetch_long_answers_in_pieces() {
    let mut card = card((5, 4, 3));
    authenticate(&mut card);
    let content: Vec<u8> = (0..700_u16).map(|n| n as u8).collect();
    let data = [wire::tlv(0x5c, &[0x5f, 0xc1, 0x0d]), wire::tlv(0x53, &content)].concat();
    let pieces: Vec<&[u8]> = data.chunks(255).collect();
    for (number, piece) in pieces.iter().enumerate() {
        let cla = if number + 1 < pieces.len() { 0x10 } else { 0 };
        let apdu = [&[cla, 0xdb, 0x3f, 0xff, piece.len() as u8], *piece].concat();
        assert_eq!(card.answer(&apdu), [0x90, 0]);
    }
    let mut answer = card.answer(&[0, 0xcb, 0x3f, 0xff, 5, 0x5c, 3, 0x5f, 0xc1, 0x0d, 0]);
    let mut whole = Vec::new();
    loop {
        let sw = status(&answer);
        whole.extend_from_slice(&answer[..answer.len() - 2]);
        if sw == 0x9000 {
            break;
        }
        assert_eq!(sw >> 8, 0x61);
        answer = card.answer(&[0, 0xc0, 0, 0, sw as u8]);
    }
    assert_eq!(whole, wire::tlv(0x53, &content));
    assert_eq!(card.answer(&[0, 0xc0, 0, 0, 0]), [0x69, 0x85], "nothing is left to fetch");
}

#[test]
fn an_attestation_chains_to_its_root_and_an_imported_key_has_none() {
    use der::Decode;
    use p256::ecdsa::signature::Verifier;
    let mut card = card((5, 7, 1));
    authenticate(&mut card);
    let public = generate(&mut card, 0x82, 2, 3);
    let leaf_der = send(&mut card, 0xf9, 0x82, 0, &[]).unwrap();
    let object = read(&mut card, &[0x5f, 0xff, 0x01]).unwrap();
    let middle_der = wire::element(&mut wire::element(&mut object.as_slice()).unwrap().1).unwrap().1;
    let root_der = AttestationRoot::dangerous_drill().certificate().unwrap();
    assert_eq!(root_der, AttestationRoot::dangerous_drill().certificate().unwrap());

    let chain: Vec<_> =
        [&leaf_der, middle_der, &root_der].iter().map(|der| x509_cert::Certificate::from_der(der).unwrap()).collect();
    for (subject, issuer) in [(0, 1), (1, 2), (2, 2)] {
        use der::Encode;
        let (subject, issuer) = (&chain[subject], issuer);
        let key = chain[issuer].tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes().to_vec();
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&key).unwrap();
        let signature = p256::ecdsa::Signature::from_der(subject.signature().raw_bytes()).unwrap();
        assert!(key.verify(&subject.tbs_certificate().to_der().unwrap(), &signature).is_ok());
        assert_eq!(subject.tbs_certificate().issuer(), chain[issuer].tbs_certificate().subject());
    }
    assert_eq!(chain[0].tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes(), public);
    let extension = |last: &str| {
        let id = format!("1.3.6.1.4.1.41482.3.{last}");
        let all = chain[0].tbs_certificate().extensions().unwrap();
        all.iter().find(|e| e.extn_id.to_string() == id).unwrap().extn_value.as_bytes().to_vec()
    };
    assert_eq!(extension("3"), [5, 7, 1]);
    assert_eq!(extension("7"), [2, 4, 0, 0x98, 0x96, 0x81]);
    assert_eq!(extension("8"), [2, 3]);
    assert_eq!(extension("9"), [1]);

    send(&mut card, 0xfe, 0x11, 0x83, &wire::tlv(6, &[1; 32])).unwrap();
    assert_eq!(send(&mut card, 0xf9, 0x83, 0, &[]), Err(0x6a80));
    assert_eq!(send(&mut card, 0xf9, 0x84, 0, &[]), Err(0x6a80));
    assert_eq!(send(&mut card, 0xf7, 0, 0x83, &[]).unwrap()[3..10], [2, 2, 2, 1, 3, 1, 2]);
}

#[test]
fn a_cached_touch_counts_until_it_is_forgotten() {
    let mut card = card((5, 4, 3));
    authenticate(&mut card);
    generate(&mut card, 0x9a, 1, 3);
    sign(&mut card, 0x9a, &[1; 32]).unwrap();
    card.set_touch(Touch::Withhold);
    sign(&mut card, 0x9a, &[1; 32]).unwrap();
    card.forget_touch();
    assert_eq!(sign(&mut card, 0x9a, &[1; 32]), Err(0x6982));
    assert_eq!(card.statistics().touches, 1);
}

#[test]
fn reset_wants_both_blocked_and_leaves_the_attestation_key() {
    let mut card = card((5, 4, 3));
    authenticate(&mut card);
    generate(&mut card, 0x9c, 0, 0);
    assert_eq!(send(&mut card, 0xfb, 0, 0, &[]), Err(0x6985));
    for _ in 0..3 {
        send(&mut card, 0x20, 0, 0x80, BAD).unwrap_err();
        send(&mut card, 0x2c, 0, 0x80, &[BAD.as_slice(), GOOD].concat()).unwrap_err();
    }
    assert_eq!(send(&mut card, 0xfb, 0, 0, &[]), Ok(vec![]));
    assert_eq!(send(&mut card, 0xf7, 0, 0x9c, &[]), Err(0x6a88));
    assert!(send(&mut card, 0xf7, 0, 0xf9, &[]).is_ok());
    assert_eq!(send(&mut card, 0x20, 0, 0x80, GOOD), Ok(vec![]));
}

#[test]
fn what_the_card_does_not_know_it_refuses_by_the_right_word() {
    let mut card = card((5, 4, 3));
    authenticate(&mut card);
    assert_eq!(send(&mut card, 0x55, 0, 0, &[]), Err(0x6d00));
    assert_eq!(send(&mut card, 0x47, 0, 0x9a, &[0xac, 3, 0x80, 1, 7]), Err(0x6a80), "RSA 2048");
    assert_eq!(send(&mut card, 0x47, 0, 0x9b, &[0xac, 3, 0x80, 1, 0x11]), Err(0x6b00));
    assert_eq!(send(&mut card, 0x20, 0, 0x81, GOOD), Err(0x6a88));
    assert_eq!(card.answer(&[0x80, 0xcb, 0x3f, 0xff]), [0x6e, 0]);
    assert_eq!(card.answer(&[0, 0xcb, 0x3f]), [0x67, 0]);
    assert_eq!(card.answer(&[0, 0x20, 0, 0x80, 8, 1, 2]), [0x67, 0]);
    assert_eq!(send(&mut card, 0xa4, 4, 0, &[0xa0, 0, 0, 1, 0x51]), Err(0x6a82));
    card.power_on();
    assert_eq!(send(&mut card, 0xfd, 0, 0, &[]), Err(0x6d00), "nothing is selected after a reset");
}

#[test]
fn a_card_is_the_same_after_it_was_written_down() {
    let mut card = card((5, 4, 3));
    authenticate(&mut card);
    generate(&mut card, 0x9a, 1, 1);
    let mut again = SoftCard::from_bytes(&card.to_bytes()).unwrap();
    assert_eq!(again.to_bytes(), card.to_bytes());
    assert_eq!(send(&mut again, 0xfd, 0, 0, &[]), Err(0x6d00));
    send(&mut again, 0xa4, 4, 0, &PIV_AID).unwrap();
    sign(&mut again, 0x9a, &[1; 32]).unwrap();
    let text = String::from_utf8(card.to_bytes()).unwrap();
    assert!(text.contains(state::WARNING));
    for (good, bad) in [("31323334", "313233"), ("\"format\"", "\"farmat\""), ("software token", "hard token")] {
        assert!(SoftCard::from_bytes(text.replacen(good, bad, 1).as_bytes()).is_err(), "{bad}");
    }
}

proptest::proptest! {
    #[test]
    fn hostile_bytes_are_answered_with_a_status_word(
        commands in proptest::collection::vec(hostile(), 1..40),
    ) {
        let mut card = card((5, 7, 1));
        authenticate(&mut card);
        for apdu in commands {
            proptest::prop_assert!(card.answer(&apdu).len() >= 2);
        }
        proptest::prop_assert!(SoftCard::from_bytes(&card.to_bytes()).is_ok());
    }
}

/// Any bytes, and headers of real commands before any data.
fn hostile() -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
    use proptest::prelude::*;
    let ins = prop::sample::select(vec![
        0x20_u8, 0x24, 0x2c, 0x47, 0x87, 0xa4, 0xc0, 0xcb, 0xdb, 0xf6, 0xf7, 0xf9, 0xfa, 0xfb, 0xfd, 0xfe, 0xff,
    ]);
    let p = || prop::sample::select(vec![0_u8, 3, 0x11, 0x0a, 0x3f, 0x80, 0x81, 0x82, 0x9a, 0x9b, 0x9c, 0xf9, 0xff]);
    let data = prop::collection::vec(
        prop_oneof![
            any::<u8>(),
            prop::sample::select(vec![0x7c_u8, 0x80, 0x81, 0x82, 0x85, 0xac, 0x5c, 0x53, 0, 1, 2])
        ],
        0..80,
    );
    let command = (any::<bool>(), ins, p(), p(), data).prop_map(|(chain, ins, p1, p2, data)| {
        [vec![if chain { 0x10 } else { 0 }, ins, p1, p2, data.len() as u8], data].concat()
    });
    prop_oneof![command, prop::collection::vec(any::<u8>(), 0..300)]
}

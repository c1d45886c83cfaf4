use super::*;
use crate::token::bench::{Bench, Cut, pin};
use crate::token::custody::identify;
use crate::token::piv::certificate_key;

fn key(algorithm: ManagementAlgorithm, byte: u8) -> ManagementKey {
    ManagementKey::new(algorithm, Zeroizing::new(vec![byte; algorithm.key_length()])).unwrap()
}

fn factory(algorithm: ManagementAlgorithm) -> ManagementKey {
    ManagementKey::new(algorithm, Zeroizing::new(FACTORY_KEY.to_vec())).unwrap()
}

#[test]
fn a_fresh_token_gets_a_key_a_certificate_and_a_protected_management_key() {
    for (firmware, algorithm) in [
        ((4, 3, 5), ManagementAlgorithm::TripleDes),
        ((5, 4, 3), ManagementAlgorithm::TripleDes),
        ((5, 7, 1), ManagementAlgorithm::Aes192),
    ] {
        let bench = Bench::new(firmware);
        let mut piv = bench.open();
        let prepared = prepare(&mut piv, &pin()).unwrap();
        assert_eq!((prepared.adopted, prepared.class), (false, Class::Renewing));
        assert_eq!(identify(&mut piv).unwrap(), Some(prepared.signing_key));
        let der = piv.certificate(Slot::Signature).unwrap().unwrap();
        assert_eq!(certificate_key(&der), Some(SlotKey::P256(prepared.signing_key)));
        assert_eq!(piv.protected_management_key().unwrap().unwrap().algorithm(), algorithm);
        assert!(piv.authenticate_management(&factory(algorithm)).is_err());
    }
}

#[test]
fn a_prepared_token_is_adopted_as_it_is() {
    let bench = Bench::new((5, 4, 3));
    let first = prepare(&mut bench.open(), &pin()).unwrap();
    let before = bench.card.borrow().to_bytes();
    let second = prepare(&mut bench.open(), &pin()).unwrap();
    assert_eq!(second, Prepared { adopted: true, ..first });
    assert_eq!(bench.card.borrow().to_bytes(), before);
}

#[test]
fn a_management_key_that_nobody_told_is_not_replaced() {
    for firmware in [(4, 3, 5), (5, 7, 1)] {
        let bench = Bench::new(firmware);
        let mut piv = bench.open();
        authenticate_factory(&mut piv).unwrap();
        let algorithm = if firmware < (5, 7, 0) { ManagementAlgorithm::TripleDes } else { ManagementAlgorithm::Aes192 };
        piv.set_management_key(&key(algorithm, 0x5e)).unwrap();
        drop(piv);
        let before = bench.card.borrow().to_bytes();
        let error = prepare(&mut bench.open(), &pin()).unwrap_err();
        assert!(matches!(error, TokenError::ManagementKeyNotProtected), "{error:?}");
        assert_eq!(bench.card.borrow().to_bytes(), before);
    }
}

#[test]
fn preparing_can_be_cut_anywhere_and_done_again() {
    for firmware in [(4, 3, 5), (5, 7, 1)] {
        let fresh = Bench::new(firmware);
        let whole = fresh.copy();
        prepare(&mut whole.open(), &pin()).unwrap();
        let apdus = whole.card.borrow().statistics().apdus;
        for cut in (1..=apdus).flat_map(|n| [Cut::Before(n), Cut::After(n)]) {
            let bench = fresh.copy();
            let cut_off = bench.piv(cut).and_then(|mut piv| {
                piv.verify_pin(&pin())?;
                prepare(&mut piv, &pin())
            });
            assert!(cut_off.is_err(), "{cut:?}");
            let mut piv = bench.open();
            prepare(&mut piv, &pin()).unwrap_or_else(|error| panic!("{firmware:?} {cut:?} {error}"));
            assert!(piv.certificate(Slot::Signature).unwrap().is_some());
        }
    }
}

#[test]
fn what_is_noted_in_admin_data_stays_but_for_the_salt() {
    let before = hex::decode("80158101018210000102030405060708090a0b0c0d0e0f").unwrap();
    assert_eq!(hex::encode(with_stored_flag(&before)), "8003810103");
    let before = hex::decode("80098101018304deadbeef").unwrap();
    assert_eq!(hex::encode(with_stored_flag(&before)), "80098101038304deadbeef");
    assert_eq!(hex::encode(with_stored_flag(&[])), "8003810102");
}

/// A card that says nothing of its keys, as those of other makers do.
struct Silent(Bench);

impl crate::token::channel::Channel for Silent {
    fn transmit(&mut self, apdu: &[u8]) -> Result<Zeroizing<Vec<u8>>, crate::token::channel::ChannelError> {
        let attestation = apdu.windows(3).any(|bytes| bytes == [0x5f, 0xff, 0x01]);
        Ok(Zeroizing::new(match apdu.get(1) {
            Some(0xf7) => vec![0x90, 0x00],
            Some(0xf9) => vec![0x6a, 0x81],
            Some(0xcb) if attestation => vec![0x6a, 0x80],
            _ => self.0.card.borrow_mut().answer(apdu),
        }))
    }
}

#[test]
fn a_card_that_tells_nothing_is_fixed_and_not_touched() {
    let bench = Bench::new((5, 4, 3));
    let before = bench.card.borrow().to_bytes();
    let mut piv = Piv::select(Box::new(Silent(bench.clone()))).unwrap();
    piv.verify_pin(&pin()).unwrap();
    let error = prepare(&mut piv, &pin()).unwrap_err();
    assert_eq!(error.to_string(), "this card cannot renew share keys: it does not tell which keys are in its slots");
    assert_eq!(bench.card.borrow().to_bytes(), before);
}

#[test]
fn printed_information_that_is_no_management_key_is_not_overwritten() {
    let bench = Bench::new((5, 4, 3));
    let mut piv = bench.open();
    authenticate_factory(&mut piv).unwrap();
    piv.write_object(PROTECTED_DATA, b"\x01\x05Alice").unwrap();
    assert!(matches!(prepare(&mut piv, &pin()), Err(TokenError::ManagementKeyNotProtected)));
    assert_eq!(*piv.object(PROTECTED_DATA).unwrap().unwrap(), b"\x01\x05Alice");
}

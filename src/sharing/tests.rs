use proptest::prelude::*;

use super::*;

fn copy(share: &ShareValue) -> ShareValue {
    ShareValue::fill(|bytes| bytes.copy_from_slice(share.expose_secret()))
}

fn checked(split: &Split, index: u8) -> CheckedShare {
    check(&split.commitments, index, copy(&split.shares[usize::from(index) - 1].1)).unwrap()
}

fn dealt(k: u8, n: u8) -> Split {
    split(&Threshold::new(k, n).unwrap()).unwrap()
}

fn error<T>(result: Result<T, SharingError>) -> SharingError {
    result.err().expect("refused")
}

#[test]
fn thresholds_are_more_than_half_and_at_least_two() {
    for (k, n) in [(2, 2), (2, 3), (3, 3), (3, 5), (128, 255), (255, 255)] {
        let threshold = Threshold::new(k, n).unwrap();
        assert_eq!((threshold.k(), threshold.n()), (k, n));
    }
    for (k, n) in [(0, 0), (0, 1), (1, 1), (1, 2), (2, 4), (3, 6), (4, 3), (127, 255), (127, 254), (200, 100)] {
        assert!(matches!(Threshold::new(k, n), Err(SharingError::Threshold { .. })), "{k} of {n}");
    }
}

#[test]
fn every_two_of_three_give_the_root() {
    let split = dealt(2, 3);
    assert_eq!(split.commitments.k(), 2);
    for pair in [[1, 2], [1, 3], [2, 3], [3, 1]] {
        let root = combine(&split.commitments, pair.map(|index| checked(&split, index)).into()).ok().unwrap();
        assert_eq!(root.expose_secret(), split.root.expose_secret());
    }
}

#[test]
fn the_share_point_is_the_share_times_the_generator() {
    let split = dealt(3, 5);
    for (index, share) in &split.shares {
        let scalar = scalar_of(share.expose_secret()).unwrap();
        let point = public_key(ProjectivePoint::GENERATOR * *scalar).unwrap();
        assert_eq!(split.commitments.share_point(*index).unwrap(), point);
    }
    assert!(matches!(split.commitments.share_point(0), Err(SharingError::Index)));
}

#[test]
fn zero_and_numbers_beyond_the_order_are_no_shares() {
    let split = dealt(2, 3);
    let order = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").unwrap();
    for bytes in [vec![0; 32], order, vec![0xff; 32]] {
        let share = ShareValue::fill(|place| place.copy_from_slice(&bytes));
        assert!(matches!(error(check(&split.commitments, 2, share)), SharingError::Range { index: 2 }));
    }
    let share = copy(&split.shares[0].1);
    assert!(matches!(error(check(&split.commitments, 0, share)), SharingError::Index));
}

#[test]
fn a_share_of_another_split_names_its_custodian() {
    let (ours, theirs) = (dealt(2, 3), dealt(2, 3));
    let refused = error(check(&ours.commitments, 3, copy(&theirs.shares[2].1)));
    assert_eq!(refused.index(), Some(3));
    assert!(matches!(refused, SharingError::Mismatch { index: 3 }));
    // Good in its own split, and still no use in ours.
    let mixed = vec![checked(&ours, 1), checked(&theirs, 2)];
    assert!(matches!(error(combine(&ours.commitments, mixed)), SharingError::Foreign { index: 2 }));
}

#[test]
fn commitments_of_a_manifest_are_counted() {
    let split = dealt(2, 3);
    let point = split.commitments.points()[0];
    assert!(matches!(Commitments::new(vec![]), Err(SharingError::CommitmentCount { found: 0 })));
    assert!(matches!(Commitments::new(vec![point]), Err(SharingError::CommitmentCount { found: 1 })));
    assert!(matches!(Commitments::new(vec![point; 256]), Err(SharingError::CommitmentCount { found: 256 })));
    assert_eq!(Commitments::new(split.commitments.points().to_vec()).unwrap(), split.commitments);
}

#[test]
fn reordered_commitments_have_another_digest_and_take_no_share() {
    let split = dealt(2, 3);
    let mut points = split.commitments.points().to_vec();
    points.reverse();
    let reversed = Commitments::new(points).unwrap();
    assert_ne!(reversed.digest(), split.commitments.digest());
    let refused = error(check(&reversed, 2, copy(&split.shares[1].1)));
    assert!(matches!(refused, SharingError::Mismatch { index: 2 }));
}

#[test]
fn commitments_that_cancel_out_leave_no_share_for_that_index() {
    let point = ProjectivePoint::GENERATOR;
    let points = [point, -point].map(|point| public_key(point).unwrap());
    let commitments = Commitments::new(points.into()).unwrap();
    assert!(matches!(commitments.share_point(1), Err(SharingError::Mismatch { index: 1 })));
    assert!(commitments.share_point(2).is_ok());
}

#[test]
fn the_largest_vault_opens() {
    let split = dealt(128, 255);
    let shares = (128..=255).map(|index| checked(&split, index)).collect();
    let root = combine(&split.commitments, shares).ok().unwrap();
    assert_eq!(root.expose_secret(), split.root.expose_secret());
    // Few of them: each takes 128 multiplications to check.
    let shares = (1..=3).map(|index| checked(&split, index)).collect();
    let refused = error(combine(&split.commitments, shares));
    assert!(matches!(refused, SharingError::TooFew { expected: 128, found: 3 }));
}

/// `tests/vectors/sharing/*.json`, computed by another implementation (`generate.py` beside them).
#[test]
fn shares_of_another_implementation_combine() {
    for name in ["two-of-three", "three-of-five", "eight-high"] {
        let vector = std::fs::read(format!("tests/vectors/sharing/{name}.json")).unwrap();
        let vector: serde_json::Value = serde_json::from_slice(&vector).unwrap();
        let points = vector["commitments"].as_array().unwrap();
        let points = points.iter().map(|point| point.as_str().unwrap().parse().unwrap()).collect();
        let commitments = Commitments::new(points).unwrap();
        assert_eq!(commitments.digest().to_string(), vector["digest"].as_str().unwrap());
        let shares = vector["shares"].as_object().unwrap().iter().map(|(index, share)| {
            let share = ShareValue::fill(|bytes| hex::decode_to_slice(share.as_str().unwrap(), bytes).unwrap());
            check(&commitments, index.parse().unwrap(), share).unwrap()
        });
        let root = combine(&commitments, shares.collect()).ok().unwrap();
        assert_eq!(hex::encode(root.expose_secret()), vector["root"].as_str().unwrap(), "{name}");
    }
}

/// A threshold, and all indices in random order.
fn sharings() -> impl Strategy<Value = (u8, u8, Vec<u8>)> {
    (2u8..=14)
        .prop_flat_map(|n| (((n / 2 + 1).max(2)..=n), Just(n)))
        .prop_flat_map(|(k, n)| (Just(k), Just(n), Just((1..=n).collect::<Vec<_>>()).prop_shuffle()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_k_combine_and_nothing_less((k, n, order) in sharings(), bit in 0usize..256, more in 0usize..3) {
        let split = dealt(k, n);
        let attending = &order[..(usize::from(k) + more).min(usize::from(n))];
        let shares = |indices: &[u8]| indices.iter().map(|index| checked(&split, *index)).collect::<Vec<_>>();
        let root = combine(&split.commitments, shares(attending)).ok().unwrap();
        prop_assert_eq!(root.expose_secret(), split.root.expose_secret());

        let few = &order[..usize::from(k) - 1];
        let too_few = matches!(combine(&split.commitments, shares(few)), Err(SharingError::TooFew { .. }));
        prop_assert!(too_few);

        let mut twice = shares(few);
        twice.push(checked(&split, few[0]));
        let duplicate = matches!(combine(&split.commitments, twice), Err(SharingError::Duplicate { index }) if index == few[0]);
        prop_assert!(duplicate);

        // One bit altered, or the share of a neighbour.
        let (mine, other) = (order[0], order[1]);
        let altered = ShareValue::fill(|bytes| {
            bytes.copy_from_slice(split.shares[usize::from(mine) - 1].1.expose_secret());
            bytes[bit / 8] ^= 1 << (bit % 8);
        });
        prop_assert_eq!(error(check(&split.commitments, mine, altered)).index(), Some(mine));
        let swapped = copy(&split.shares[usize::from(other) - 1].1);
        prop_assert_eq!(error(check(&split.commitments, mine, swapped)).index(), Some(mine));
    }
}

#[test]
fn errors_as_people_read_them() {
    let errors = [
        SharingError::Threshold { k: 2, n: 4 },
        SharingError::CommitmentCount { found: 1 },
        SharingError::Index,
        SharingError::Range { index: 3 },
        SharingError::Mismatch { index: 3 },
        SharingError::Foreign { index: 3 },
        SharingError::Duplicate { index: 3 },
        SharingError::TooFew { expected: 3, found: 2 },
        SharingError::Root,
        SharingError::Randomness(getrandom::Error::UNEXPECTED),
        SharingError::Library(vsss_rs::Error::InvalidShare),
    ];
    insta::assert_snapshot!(crate::error::told(&errors));
}

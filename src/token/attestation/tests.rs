use proptest::prelude::*;

use super::*;
use crate::token::bench::Bench;
use crate::token::piv::SlotKey;
use crate::token::soft::{SoftCard, SoftCardOptions};

fn roots() -> Roots {
    Roots::new(&[]).unwrap()
}

fn attested(bench: &Bench, roots: &Roots) -> (Attestation, PublicKey) {
    let mut piv = bench.open();
    let SlotKey::P256(public) = piv.slot_key(Slot::Signature).unwrap() else { panic!("no key in 9c") };
    (attestation_of(&mut piv, Slot::Signature, &public, roots).unwrap(), public)
}

fn bench(root: Option<AttestationRoot>) -> Bench {
    let card = SoftCard::create(SoftCardOptions { root, ..SoftCardOptions::default() }).unwrap();
    let bench = Bench { card: std::rc::Rc::new(std::cell::RefCell::new(card)) };
    crate::token::prepare::prepare(&mut bench.open(), &crate::token::bench::pin()).unwrap();
    bench
}

#[test]
fn yubicos_certificates_are_the_published_ones_and_lead_to_their_roots() {
    use crate::encoding::Digest;
    let fingerprints = [
        "63ece914e54dd87915f34033c85af4c0696ba1512f8add66ced738331207b546",
        "62760c6a6ef91679f454c8902b80fd009825b3f25da90f1fbace2ec6586cd5a8",
        "4698a1d3389c3ec60016c216250f1d0439922832d65142327436376dc2942b55",
        "d4cc3f456fdaf4e7812a21aab1dfe9d8e27d24e2fd2d6f21c9940109f0daa754",
        "6de693f05376f5d8ca29069261e1c8626c75d503bd2edbfd75354cad1f722870",
        "2d55b7998f4e42569d6d8fa382b6dc77d1dacf07358b19701163892922b17052",
        "0c90b7d184a36edf50a35f9be935f0c5689bfdcfe5bdd073366cafb49061a440",
    ];
    for (pem, fingerprint) in YUBICO_ROOTS.iter().chain(&YUBICO_INTERMEDIATES).zip(fingerprints) {
        let der = decoded(pem).unwrap();
        assert_eq!(Digest::of(&der).to_string(), fingerprint);
        assert_eq!(roots().follow(&der), Verdict::Yubico);
    }
    for pem in YUBICO_ROOTS {
        let der = decoded(pem).unwrap();
        let parts = Parts::read(&der).unwrap();
        assert!(parts.issued(&parts));
    }
}

#[test]
fn a_changed_byte_in_a_certificate_of_yubicos_ends_the_chain() {
    let mut der = decoded(YUBICO_INTERMEDIATES[2]).unwrap();
    let last = der.len() - 1;
    der[last] ^= 1;
    assert_eq!(roots().follow(&der), Verdict::UnrecognisedRoot);
}

#[test]
fn a_software_token_is_a_drill_and_says_its_policies() {
    let (attestation, _) = attested(&bench(None), &roots());
    assert_eq!(attestation.verdict, Verdict::Drill);
    assert_eq!(attestation.firmware, Some(Version::new(5, 4, 3)));
    assert_eq!(attestation.serial, Some(10_000_001));
    assert_eq!(attestation.pin_policy, Some(PinPolicy::Always));
    assert_eq!(attestation.touch_policy, Some(TouchPolicy::Never));
    assert!(!attestation.is_fips());
}

#[test]
fn a_policy_vouches_for_its_own_roots_and_never_for_the_drill() {
    let own = || AttestationRoot::from_seed("own root", b"seed");
    let card = bench(Some(own()));
    assert_eq!(attested(&card, &roots()).0.verdict, Verdict::UnrecognisedRoot);
    let pem = |der: &[u8]| der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, der).unwrap();
    let policy = Roots::new(&[pem(&own().certificate().unwrap())]).unwrap();
    assert_eq!(attested(&card, &policy).0.verdict, Verdict::PolicyRoot);

    let drill = Roots::new(&[pem(&AttestationRoot::dangerous_drill().certificate().unwrap())]).unwrap();
    assert_eq!(attested(&bench(None), &drill).0.verdict, Verdict::Drill);
    // The same name, another key.
    let impostor = AttestationRoot::from_seed("own root", b"other seed");
    assert_eq!(attested(&bench(Some(impostor)), &policy).0.verdict, Verdict::UnrecognisedRoot);
}

#[test]
fn an_attestation_of_another_key_or_with_a_changed_byte_is_invalid() {
    let roots = roots();
    let (attestation, public) = attested(&bench(None), &roots);
    let (_, other) = attested(&bench(None), &roots);
    assert_eq!(attestation.judged_again(&public, &roots), attestation);
    let wrong = attestation.judged_again(&other, &roots);
    assert_eq!((wrong.verdict, wrong.serial), (Verdict::Invalid, None));

    let leaf = hex::decode(&attestation.certificates[0]).unwrap();
    let issuer = hex::decode(&attestation.certificates[1]).unwrap();
    for at in (0..leaf.len()).step_by(7) {
        let mut changed = leaf.clone();
        changed[at] ^= 0x01;
        let judged = judge(&[changed, issuer.clone()], &public, &roots);
        assert_eq!(judged.verdict, Verdict::Invalid, "byte {at}");
    }
}

#[test]
fn lengths_that_are_not_minimal_are_read() {
    let roots = roots();
    let (attestation, public) = attested(&bench(None), &roots);
    let leaf = hex::decode(&attestation.certificates[0]).unwrap();
    let (_, value, _) = tlv::read(&leaf).unwrap();
    let length = u32::try_from(value.len()).unwrap().to_be_bytes();
    let longer = [&[0x30, 0x84], &length[..], value].concat();
    let issuer = hex::decode(&attestation.certificates[1]).unwrap();
    assert_eq!(judge(&[longer, issuer], &public, &roots).verdict, Verdict::Drill);
}

#[test]
fn what_is_no_root_is_named() {
    for bad in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let error = Roots::new(&[bad.to_owned()]).err().unwrap();
        assert_eq!(error, RootError { number: 1 });
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let public = AttestationRoot::dangerous_drill().certificate().unwrap();
        let public = Parts::read(&public).unwrap().p256_key().unwrap();
        prop_assert_eq!(judge(&[bytes], &public, &roots()).verdict, Verdict::Invalid);
    }
}

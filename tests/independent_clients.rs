//! The software card, held honest by programs that know nothing of it, through a real pcscd.

#[path = "harness/harness.rs"]
mod harness;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use claviger::token::soft::{AttestationRoot, SoftCard, SoftCardOptions, Touch};
use der::{Decode, DecodePem, Encode};
use harness::{Pcscd, VirtualCard};
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::pkcs8::{DecodePublicKey, EncodePublicKey};
use x509_cert::Certificate;

const SERIAL: &str = "10000001";
const DEFAULT_KEY: &str = "010203040506070801020304050607080102030405060708";

/// A card in the only reader of a pcscd, and a directory for the tools' files.
struct Bench {
    // Before `pcscd`: the card leaves the reader before the reader goes.
    card: VirtualCard,
    pcscd: Pcscd,
    dir: tempfile::TempDir,
}

impl Bench {
    fn new(firmware: (u8, u8, u8)) -> Self {
        let pcscd = Pcscd::start(1);
        let card = SoftCard::create(SoftCardOptions { firmware, ..Default::default() }).unwrap();
        let mut card = VirtualCard::new(card);
        pcscd.insert(0, &mut card);
        Self { card, pcscd, dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    fn output(&self, program: &str, package: &str, args: &[&str]) -> Output {
        let mut command = self.pcscd.command(program);
        command.args(args).current_dir(self.dir.path()).env("HOME", self.dir.path()).env("LC_ALL", "C.UTF-8");
        command.output().unwrap_or_else(|error| panic!("{program}: {error}: apt-get install {package}"))
    }

    /// Runs a program that must succeed; what it printed on both streams.
    #[track_caller]
    fn run(&self, program: &str, package: &str, args: &[&str]) -> String {
        let output = self.output(program, package, args);
        let text = both(&output);
        assert!(output.status.success(), "{program} {args:?}: {text}\n{:#?}", self.card.commands());
        text
    }

    #[track_caller]
    fn piv_tool(&self, args: &[&str]) -> String {
        self.run("yubico-piv-tool", "yubico-piv-tool", args)
    }

    /// Runs yubico-piv-tool, which must fail; what it said.
    #[track_caller]
    fn piv_tool_fails(&self, args: &[&str]) -> String {
        let output = self.output("yubico-piv-tool", "yubico-piv-tool", args);
        assert!(!output.status.success(), "{args:?} should fail: {}", both(&output));
        both(&output)
    }

    #[track_caller]
    fn pkcs11_tool(&self, args: &[&str]) -> String {
        let module = ["/usr/lib/*/opensc-pkcs11.so", "/usr/lib/*/pkcs11/opensc-pkcs11.so"]
            .iter()
            .find_map(|pattern| {
                let found = Command::new("sh").arg("-c").arg(format!("ls {pattern}")).output().ok()?;
                Some(String::from_utf8(found.stdout).ok()?.lines().next()?.to_owned())
            })
            .expect("opensc-pkcs11.so is missing: apt-get install opensc-pkcs11");
        self.run("pkcs11-tool", "opensc", &[&["--module", &module], args].concat())
    }

    #[track_caller]
    fn ykman(&self, args: &[&str]) -> String {
        self.run("ykman", "yubikey-manager", &[&["--device", SERIAL], args].concat())
    }

    /// Makes a key with yubico-piv-tool and puts its attestation into the slot's certificate object.
    #[track_caller]
    fn prepare(&self, slot: &str) -> p256::PublicKey {
        let (public, certificate) = (format!("{slot}.pem"), format!("{slot}.crt"));
        self.piv_tool(&["-a", "generate", "-s", slot, "-A", "ECCP256", "-o", &public]);
        self.piv_tool(&["-a", "attest", "-s", slot, "-o", &certificate]);
        self.piv_tool(&["-a", "import-certificate", "-s", slot, "-i", &certificate]);
        read_public(&self.path(&public))
    }
}

fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn read_public(pem: &Path) -> p256::PublicKey {
    p256::PublicKey::from_public_key_pem(&std::fs::read_to_string(pem).unwrap()).unwrap()
}

fn public_of(certificate: &Certificate) -> p256::PublicKey {
    let info = certificate.tbs_certificate().subject_public_key_info();
    p256::PublicKey::from_sec1_bytes(info.subject_public_key.raw_bytes()).unwrap()
}

#[track_caller]
fn assert_signed_by(certificate: &Certificate, issuer: &Certificate) {
    let signature = p256::ecdsa::Signature::from_der(certificate.signature().raw_bytes()).unwrap();
    let key = p256::ecdsa::VerifyingKey::from(public_of(issuer));
    key.verify(&certificate.tbs_certificate().to_der().unwrap(), &signature).unwrap();
    assert_eq!(certificate.tbs_certificate().issuer(), issuer.tbs_certificate().subject());
}

/// The value of Yubico's extension 1.3.6.1.4.1.41482.3.`last`.
fn yubico_extension(certificate: &Certificate, last: u8) -> Vec<u8> {
    let id = format!("1.3.6.1.4.1.41482.3.{last}");
    let all = certificate.tbs_certificate().extensions().unwrap();
    all.iter().find(|extension| extension.extn_id.to_string() == id).unwrap().extn_value.as_bytes().to_vec()
}

#[test]
fn yubico_piv_tool_reads_the_card_and_spends_the_tries_that_it_says() {
    let bench = Bench::new((5, 4, 3));
    assert!(bench.piv_tool(&["-a", "version"]).contains("Application version 5.4.3 found."));
    let status = bench.piv_tool(&["-a", "status"]);
    for line in ["Version:\t5.4.3", "Serial Number:\t10000001", "CHUID:\tNo data available", "PIN tries left:\t3"] {
        assert!(status.contains(line), "{line:?} in {status}");
    }
    assert!(bench.piv_tool(&["-a", "verify-pin", "-P", "123456"]).contains("Successfully verified PIN"));
    for left in ["2 tries left", "1 tries left"] {
        let said = bench.piv_tool_fails(&["-a", "verify-pin", "-P", "654321"]);
        assert!(said.contains(left), "{said}");
    }
    assert!(bench.piv_tool(&["-a", "status"]).contains("PIN tries left:\t1"));
    bench.piv_tool_fails(&["-a", "verify-pin", "-P", "654321"]);
    let said = bench.piv_tool_fails(&["-a", "verify-pin", "-P", "123456"]);
    assert!(said.contains("blocked"), "{said}");
    bench.piv_tool(&["-a", "unblock-pin", "-P", "12345678", "-N", "234567"]);
    bench.piv_tool(&["-a", "verify-pin", "-P", "234567"]);
}

#[test]
fn yubico_piv_tool_makes_and_uses_keys_with_their_policies() {
    let bench = Bench::new((5, 4, 3));
    let public = bench.prepare("9c");
    let verified = ["-a", "verify-pin", "-P", "123456"];
    let sign = ["-a", "test-signature", "-s", "9c", "-i", "9c.crt"];
    assert!(bench.piv_tool(&[verified.as_slice(), &sign].concat()).contains("Successful ECDSA"));
    bench.piv_tool_fails(&sign);

    let share = ["-a", "generate", "-s", "82", "-A", "ECCP256", "--pin-policy=once", "--touch-policy=always"];
    bench.piv_tool(&[share.as_slice(), &["-o", "82.pem"]].concat());
    bench.piv_tool(&["-a", "attest", "-s", "82", "-o", "82.crt"]);
    let decipher = [verified.as_slice(), &["-a", "test-decipher", "-s", "82", "-i", "82.crt"]].concat();
    assert!(bench.piv_tool(&decipher).contains("Successfully performed ECDH exchange"));
    assert_eq!(bench.card.statistics().touches, 1);
    bench.card.set_touch(Touch::Withhold);
    bench.piv_tool_fails(&decipher);

    let leaf = Certificate::from_pem(std::fs::read(bench.path("82.crt")).unwrap()).unwrap();
    bench.piv_tool(&["-a", "read-certificate", "-s", "f9", "-o", "f9.crt"]);
    let middle = Certificate::from_pem(std::fs::read(bench.path("f9.crt")).unwrap()).unwrap();
    let root = Certificate::from_der(&AttestationRoot::dangerous_drill().certificate().unwrap()).unwrap();
    assert_signed_by(&leaf, &middle);
    assert_signed_by(&middle, &root);
    assert_eq!(public_of(&leaf), read_public(&bench.path("82.pem")));
    assert_eq!(yubico_extension(&leaf, 3), [5, 4, 3]);
    assert_eq!(yubico_extension(&leaf, 8), [2, 2]);
    assert_eq!(u32::from_der(&yubico_extension(&leaf, 7)).unwrap(), 10_000_001);
    assert_ne!(public_of(&leaf), public);
}

#[test]
fn yubico_piv_tool_writes_objects_and_changes_the_management_key() {
    let bench = Bench::new((5, 4, 3));
    let long = "5a".repeat(3000);
    std::fs::write(bench.path("object"), &long).unwrap();
    bench.piv_tool(&["-a", "write-object", "--id=0x5f0042", "-f", "hex", "-i", "object"]);
    let read = bench.piv_tool(&["-a", "read-object", "--id=0x5f0042", "-f", "hex"]);
    assert_eq!(read.split_whitespace().collect::<String>(), long);

    let key = "0102030405060708010203040506070801020304050607aa";
    bench.piv_tool(&["-a", "set-mgm-key", "-n", key]);
    bench.piv_tool_fails(&["-a", "set-chuid"]);
    bench.piv_tool(&["-a", "set-chuid", &format!("-k{key}")]);
    bench.piv_tool(&["-a", "set-ccc", &format!("-k{key}")]);
    let status = bench.piv_tool(&["-a", "status"]);
    assert!(status.contains("CHUID:\t3019d4e739"), "{status}");
    assert!(status.contains("CCC:\tf015a000000116"), "{status}");
}

#[test]
fn opensc_signs_in_9c_and_agrees_on_keys_in_9d_and_a_retired_slot() {
    let bench = Bench::new((5, 4, 3));
    let signing = bench.prepare("9c");
    let agreeing = [("03", bench.prepare("9d")), ("05", bench.prepare("82"))];
    bench.piv_tool(&["-a", "set-chuid"]);
    // Key history: one retired key, with its certificate on the card (SP 800-73-4 part 1, 3.3.3).
    std::fs::write(bench.path("history"), "C10101C20100FE00").unwrap();
    bench.piv_tool(&["-a", "write-object", "--id=0x5fc10c", "-f", "hex", "-i", "history"]);

    let login = ["--login", "--pin", "123456"];
    let listed = bench.pkcs11_tool(&[login.as_slice(), &["-O", "--type", "privkey"]].concat());
    for label in ["SIGN key", "KEY MAN key", "Retired KEY MAN 1"] {
        assert!(listed.contains(label), "{label:?} in {listed}");
    }

    let digest = [0x42; 32];
    std::fs::write(bench.path("digest"), digest).unwrap();
    let sign = ["--sign", "--id", "02", "-m", "ECDSA", "-i", "digest", "-o", "signature"];
    bench.pkcs11_tool(&[login.as_slice(), &sign].concat());
    let signature = p256::ecdsa::Signature::from_slice(&std::fs::read(bench.path("signature")).unwrap()).unwrap();
    p256::ecdsa::VerifyingKey::from(signing).verify_prehash(&digest, &signature).unwrap();

    let peer = p256::SecretKey::from_slice(&[7; 32]).unwrap();
    std::fs::write(bench.path("peer"), peer.public_key().to_public_key_der().unwrap().as_bytes()).unwrap();
    for (id, public) in agreeing {
        let derive = ["--derive", "--id", id, "-m", "ECDH1-DERIVE", "-i", "peer", "-o", id];
        bench.pkcs11_tool(&[login.as_slice(), &derive].concat());
        let shared = std::fs::read(bench.path(id)).unwrap();
        assert_eq!(shared, peer.diffie_hellman(&public).raw_secret_bytes().as_slice(), "key {id}");
    }
}

#[test]
fn ykman_takes_it_for_a_yubikey_and_prepares_it() {
    let bench = Bench::new((5, 4, 3));
    let info = bench.ykman(&["info"]);
    for line in ["Device type: YubiKey 5A", "Serial number: 10000001", "Firmware version: 5.4.3"] {
        assert!(info.contains(line), "{line:?} in {info}");
    }
    let info = bench.ykman(&["piv", "info"]);
    for line in
        ["PIV version: 5.4.3", "PIN tries remaining: 3/3", "Using default PIN", "Management key algorithm: TDES"]
    {
        assert!(info.contains(line), "{line:?} in {info}");
    }
    let policies = ["--pin-policy", "ONCE", "--touch-policy", "ALWAYS"];
    let generate = ["piv", "keys", "generate", "-a", "ECCP256", "-m", DEFAULT_KEY];
    bench.ykman(&[generate.as_slice(), &policies, &["95", "95.pem"]].concat());
    bench.ykman(&["piv", "keys", "attest", "95", "95.crt"]);
    let leaf = Certificate::from_pem(std::fs::read(bench.path("95.crt")).unwrap()).unwrap();
    assert_eq!(public_of(&leaf), read_public(&bench.path("95.pem")));

    let change = ["piv", "access", "change-management-key", "-m", DEFAULT_KEY, "-P", "123456"];
    bench.ykman(&[change.as_slice(), &["-a", "AES256", "--generate", "--protect", "--force"]].concat());
    bench.ykman(&["piv", "keys", "generate", "-a", "ECCP256", "-P", "123456", "9c", "9c.pem"]);
    let info = bench.ykman(&["piv", "info"]);
    for line in ["Management key algorithm: AES256", "Management key is stored on the YubiKey, protected by PIN"] {
        assert!(info.contains(line), "{line:?} in {info}");
    }
}

const INSIDE: &str = "CLAVIGER_TEST_YUBIKEY_FIRMWARE";

/// The crate finds pcscd by an environment variable, which is one for the whole process: so this test runs itself again,
/// in a process for each card.
#[test]
fn the_yubikey_crate_opens_prepares_and_reads_the_card() {
    if let Ok(firmware) = std::env::var(INSIDE) {
        return inside_the_yubikey_crate(&firmware);
    }
    for firmware in [(5, 4, 3), (5, 7, 1)] {
        let bench = Bench::new(firmware);
        let mut child = bench.pcscd.command(std::env::current_exe().unwrap());
        child.args(["--exact", "the_yubikey_crate_opens_prepares_and_reads_the_card", "--nocapture"]);
        let (major, minor, patch) = firmware;
        child.env(INSIDE, format!("{major}.{minor}.{patch}"));
        let output = child.output().unwrap();
        assert!(output.status.success(), "{}\n{:#?}", both(&output), bench.card.commands());
        assert_eq!(bench.card.statistics().verifies, 2);
    }
}

fn inside_the_yubikey_crate(firmware: &str) {
    use yubikey::piv::{self, AlgorithmId, RetiredSlotId, SlotAlgorithmId, SlotId};
    use yubikey::{MgmAlgorithmId, MgmKey, PinPolicy, TouchPolicy, YubiKey};

    let mut card = YubiKey::open().unwrap();
    assert_eq!(card.version().to_string(), firmware);
    assert_eq!(card.serial().to_string(), SERIAL);
    assert_eq!(card.get_pin_retries().unwrap(), 3);
    assert!(matches!(card.verify_pin(b"654321"), Err(yubikey::Error::WrongPin { tries: 2 })));
    card.verify_pin(b"123456").unwrap();

    card.authenticate(&MgmKey::get_default(&card).unwrap()).unwrap();
    for (algorithm, size) in [(MgmAlgorithmId::Aes128, 16), (MgmAlgorithmId::Aes192, 24), (MgmAlgorithmId::Aes256, 32)]
    {
        let key = MgmKey::from_bytes(vec![9; size], Some(algorithm)).unwrap();
        key.set_manual(&mut card, false).unwrap();
        card.deauthenticate().unwrap();
        drop(card);
        card = YubiKey::open().unwrap();
        card.authenticate(&key).unwrap();
    }

    let slot = SlotId::Retired(RetiredSlotId::R20);
    let made = piv::generate(&mut card, slot, AlgorithmId::EccP256, PinPolicy::Once, TouchPolicy::Cached).unwrap();
    let metadata = piv::metadata(&mut card, slot).unwrap();
    assert!(matches!(metadata.algorithm, SlotAlgorithmId::Asymmetric(AlgorithmId::EccP256)));
    assert!(matches!(metadata.policy, Some((PinPolicy::Once, TouchPolicy::Cached))));
    assert!(matches!(metadata.origin, Some(piv::Origin::Generated)));
    let attestation = piv::attest(&mut card, slot).unwrap();
    let leaf = Certificate::from_der(&attestation).unwrap();
    assert_eq!(public_of(&leaf).to_sec1_point(false).as_bytes(), made.subject_public_key.raw_bytes());
    assert!(piv::metadata(&mut card, SlotId::Signature).is_err(), "an empty slot has none");
}

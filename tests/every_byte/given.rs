//! Files that people give by hand: software tokens, enrolments, policies.

use claviger::error::sentence;
use claviger::policy::Policy;
use claviger::token::soft::SoftCard;
use claviger::transcript::{Checked, Enrolment};

use crate::harness::crew::NAMES;
use crate::harness::scene::without_terminal;
use crate::vaults::SCENE;

/// Each byte flipped, cut there, and the whole file extended.
fn changes(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let flipped = (0..bytes.len()).map(|byte| {
        let mut changed = bytes.to_vec();
        changed[byte] ^= 1 << (byte % 8);
        changed
    });
    let cut = (0..bytes.len()).step_by(7).map(|length| bytes[..length].to_vec());
    flipped.chain(cut).chain([[bytes, b"\0"].concat(), [bytes, b"{"].concat(), vec![0xff; 64]])
}

fn told(error: &dyn std::error::Error, what: &str) {
    let told = sentence(error);
    assert!(!told.is_empty() && told.len() < 2000 && !told.contains(['\n', '\u{1b}']), "{what}: {told:?}");
}

/// Clear errors, no panic; an enrolment that reads is the one that was signed.
pub fn token_files_and_enrolments_and_policies() {
    let scene = &SCENE.0;
    let mut refused = [0_u32; 3];
    let token = std::fs::read(scene.place.path("tokens").join("alice.token")).unwrap();
    for changed in changes(&token) {
        match SoftCard::from_bytes(&changed) {
            Ok(mut card) => {
                card.power_on();
                card.answer(&[0, 0xa4, 4, 0, 9, 0xa0, 0, 0, 3, 8, 0, 0, 0x10, 0, 0]);
                card.answer(&[0, 0xf7, 0, 0x9c, 0]);
            }
            Err(error) => {
                told(&error, "a token");
                refused[0] += 1;
            }
        }
    }
    let enrolment = std::fs::read(scene.place.path("alice.json")).unwrap();
    for changed in changes(&enrolment) {
        let error = Enrolment::read(&changed).expect_err("every byte of it is signed");
        told(&error, "an enrolment");
        refused[1] += 1;
    }
    let policy = std::fs::read(scene.place.path("policy.toml")).unwrap();
    for changed in changes(&policy) {
        let Ok(text) = String::from_utf8(changed) else { continue };
        if let Err(error) = Policy::parse(&text) {
            told(&error, "a policy");
            refused[2] += 1;
        }
    }
    println!("refused: {} token files, {} enrolments, {} policies", refused[0], refused[1], refused[2]);
    at_the_command_line();
}

/// The same through the program: an exit code that says what it was, an error, a hint.
fn at_the_command_line() {
    let scene = &SCENE.0;
    let enrolments: Vec<String> = NAMES[..3].iter().map(|name| scene.place.text(&format!("{name}.json"))).collect();
    let damaged = scene.place.text("damaged");
    let policy = scene.place.text("policy.toml");
    for (bytes, which) in
        [(&b"{}"[..], "enrolment"), (b"", "enrolment"), (b"threshold = 2", "policy"), (b"\xff", "policy")]
    {
        std::fs::write(&damaged, bytes).unwrap();
        let target = scene.place.text("new-vault");
        let (first, policy) = if which == "enrolment" { (&damaged, &policy) } else { (&enrolments[0], &damaged) };
        let arguments = ["found", &target, first, &enrolments[1], &enrolments[2], "--policy", policy];
        let soft = scene.place.soft();
        let all: Vec<&str> = ["--tokens", &soft].into_iter().chain(arguments).collect();
        let (code, said) = without_terminal(&all);
        assert!((1..=5).contains(&code), "{which}: {code}: {said}");
        assert!(said.contains("claviger: error:") && !said.contains("panicked"), "{which}: {said}");
    }
}

//! After a recover nothing secret stands in clear anywhere but where it was shown: not in a file that claviger wrote, not on
//! the screen outside the alternate screen, not in a log.

#[path = "harness/harness.rs"]
mod harness;

use std::path::PathBuf;

use harness::crew::{self, Crew, tree};
use harness::scene::{RECOVER, Scene};

const SECRET: &str = "unmistakable-sealed-credential-4711";
const ALTERNATE_ON: &str = "\x1b[?1049h";
const ALTERNATE_OFF: &str = "\x1b[?1049l";

/// Whether a text stands in `bytes`, and is not a part of a longer number or word (a digest has many digits in it).
fn holds(bytes: &[u8], text: &str) -> bool {
    let part_of_word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let windows = bytes.windows(text.len()).enumerate();
    windows.into_iter().any(|(at, window)| {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        window == text.as_bytes() && !part_of_word(before) && !part_of_word(bytes.get(at + text.len()))
    })
}

fn secrets() -> Vec<String> {
    let mut secrets: Vec<String> = (0..3).map(crew::pin).collect();
    secrets.push(SECRET.to_owned());
    secrets
}

#[track_caller]
fn assert_clean(what: &str, bytes: &[u8]) {
    for secret in secrets() {
        assert!(!holds(bytes, &secret), "{secret:?} stands in {what}");
    }
    assert!(!bytes.windows(15).any(|window| window == b"AGE-SECRET-KEY-"), "an identity stands in {what}");
    let hex = hex::encode(SECRET);
    assert!(!bytes.windows(hex.len()).any(|window| window == hex.as_bytes()), "the secret stands in {what}, in hex");
}

/// What was shown outside the alternate screen, and what on it.
fn split(raw: &str) -> (String, String) {
    let (mut outside, mut inside) = (String::new(), String::new());
    for (number, part) in raw.split(ALTERNATE_ON).enumerate() {
        match part.split_once(ALTERNATE_OFF) {
            Some((shown, after)) if number > 0 => {
                inside += shown;
                outside += after;
            }
            _ => outside += part,
        }
    }
    (outside, inside)
}

#[test]
fn nothing_secret_is_left_behind_by_a_recover() {
    let scene = Scene::new(2, 3);
    scene.place.seal("emergency", "password", SECRET.as_bytes());
    let temporary = scene.place.path("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let log = scene.place.path("apdus");
    let environment = [
        ("CLAVIGER_APDU_LOG", log.display().to_string()),
        ("TMPDIR", temporary.display().to_string()),
        ("HOME", temporary.display().to_string()),
        ("RUST_LOG", "trace".to_owned()),
    ];
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut recover: Vec<&str> = RECOVER.to_vec();
    recover[1] = "emergency";
    let mut screens = String::new();
    for command in [&["rotate"][..], &recover] {
        let mut terminal = scene.start_in(command, &["vault", "copy"], &environment);
        let mut crew = Crew::of(&[0, 2]);
        assert_eq!(crew.hold(&mut terminal, || {}), 0, "{}", terminal.screen());
        screens += &String::from_utf8_lossy(terminal.raw());
    }
    let (outside, inside) = split(&screens);
    assert!(holds(inside.as_bytes(), SECRET), "{screens}");
    assert_eq!(inside.matches(SECRET).count(), 1);
    assert_clean("the screen", outside.as_bytes());
    let (_, status) = scene.verify(&["vault", "copy"]);
    assert_clean("what verify says", (status + &scene.status(&["vault", "copy"])).as_bytes());

    let apdus = std::fs::read(&log).unwrap();
    assert!(apdus.len() > 10_000, "the log of APDUs is not being written");
    assert_clean("the log of APDUs", &apdus);
    let mut files: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    for dir in ["vault", "copy", "temporary"] {
        files.extend(tree(&scene.place.path(dir)));
    }
    assert!(files.len() > 40);
    for (path, bytes) in files {
        assert_clean(&path.display().to_string(), &bytes);
    }
}

#[test]
fn the_search_finds_what_it_looks_for() {
    assert!(holds(b"PIN: 730000.", "730000"));
    assert!(!holds(b"a1730000ff", "730000"));
    assert!(holds(b"\x20\x80730000\xff\xff", "730000"));
    let (outside, inside) = split(&format!("before{ALTERNATE_ON}in{ALTERNATE_OFF}after"));
    assert_eq!((outside.as_str(), inside.as_str()), ("beforeafter", "in"));
    assert!(std::panic::catch_unwind(|| assert_clean("x", b"key AGE-SECRET-KEY-1QQQ")).is_err());
}

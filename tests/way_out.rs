//! The ways in and out that need no claviger: stock `age` seals into the inbox, and `docs/way-out.py` opens a vault with k
//! tokens. And what else an inbox may be found to hold.

#[path = "harness/harness.rs"]
mod harness;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use harness::crew::{self, Crew, NAMES, OneReader, Place};
use harness::scene::{self, Scene};
use harness::{Pcscd, Terminal};

fn script() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/way-out.py").display().to_string()
}

/// The script, without a person: exit code and everything it printed.
fn way_out(vault: &Path, out: &Path, tokens: &[std::path::PathBuf]) -> (bool, String) {
    let mut command = Command::new("/usr/bin/python3");
    command.arg(script()).arg(vault).arg("--out").arg(out).arg("--soft").args(tokens);
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.success(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[test]
fn the_way_out_opens_a_drill_with_k_software_tokens_and_not_with_fewer() {
    let dir = tempfile::tempdir().unwrap();
    let drill = dir.path().join("drill");
    let run = Command::new(env!("CARGO_BIN_EXE_claviger")).arg("drill").arg("--dir").arg(&drill).output().unwrap();
    assert!(run.status.success());
    let tokens: Vec<_> = ["bob", "dan", "erin"].map(|name| drill.join(format!("tokens/{name}.token"))).into();
    let (two, opened) = (dir.path().join("two"), dir.path().join("opened"));
    let (success, said) = way_out(&drill.join("vault"), &two, &tokens[..2]);
    assert!(!success && said.contains("2 shares where 3 are needed"), "{said}");
    assert!(!two.exists());

    let (success, said) = way_out(&drill.join("vault-copy"), &opened, &tokens);
    assert!(success, "{said}");
    assert_eq!(std::fs::read_to_string(opened.join("recovery-kit")).unwrap(), "example recovery kit\nline two\n");
    let password: serde_json::Value =
        serde_json::from_slice(&std::fs::read(opened.join("root-password.json")).unwrap()).unwrap();
    assert_eq!(password["installed"], "correct-horse-battery-staple-2048", "{said}");
    let inbox = std::fs::read_to_string(opened.join("inbox-identity.txt")).unwrap();
    assert!(inbox.contains("AGE-SECRET-KEY-1"));
}

#[test]
fn the_way_out_opens_a_vault_on_cards_with_opensc() {
    let place = Place::new(2);
    let pcscd = Pcscd::start(1);
    let firmware = [(5, 4, 3), (5, 7, 1), (5, 7, 4)];
    let cards = firmware.iter().zip(6_000_000..).map(|(firmware, serial)| crew::virtual_yubikey(serial, *firmware));
    let mut reader = OneReader::new(&pcscd, cards.collect());
    let (vault, copy) = (place.text("vault"), place.text("copy"));
    for (index, name) in NAMES[..3].iter().enumerate() {
        reader.insert(index);
        let args = ["enrol", "--name", name, "-o", &place.text(&format!("{name}.json"))];
        hold(&mut reader, &pcscd, &args, &[index]);
    }
    let enrolments = [0, 1, 2].map(|index| place.text(&format!("{}.json", NAMES[index])));
    let policy = place.text("policy.toml");
    let mut found = vec!["found", &vault, &copy, "--policy", &policy];
    found.extend(enrolments.iter().map(String::as_str));
    reader.clear();
    hold(&mut reader, &pcscd, &found, &[0, 1, 2]);
    let secret = b"opened without claviger";
    place.seal("kit", "opaque", secret);
    // Bob is absent: the share that he opens is the one that his card was given at the founding.
    reader.clear();
    hold(&mut reader, &pcscd, &["rotate", &vault, &copy], &[0, 2]);

    reader.clear();
    let mut command = pcscd.command("/usr/bin/python3");
    command.arg(script()).arg(&vault).args(["--out", &place.text("opened"), "--pkcs11"]);
    let mut terminal = Terminal::run(command);
    for (name, action) in [("alice", None), ("bob", Some(1)), ("carol", Some(2))] {
        terminal.expect(&format!("Insert the token of {name}. Enter: it is there. s and Enter: skip {name}."));
        let Some(index) = action else {
            terminal.type_line("s");
            continue;
        };
        reader.insert(index);
        terminal.type_line("");
        terminal.answer("PIN of this token (not shown):", &crew::pin(index));
    }
    terminal.expect_exit(0);
    assert_eq!(std::fs::read(place.path("opened").join("kit")).unwrap(), secret, "{}", terminal.screen());
}

fn hold(reader: &mut OneReader<'_>, pcscd: &Pcscd, args: &[&str], who: &[usize]) {
    let mut terminal = crew::claviger("pcsc", args, Some(pcscd));
    let code = Crew::of(who).hold_reading(&mut terminal, |screen| reader.swap(screen, who));
    assert_eq!(code, 0, "{}", terminal.screen());
}

/// What stock age makes of `plaintext`.
fn age(recipient: &str, plaintext: &[u8]) -> Vec<u8> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(plaintext).unwrap();
    let output = Command::new("age").args(["-r", recipient]).arg(file.path()).output();
    let output = output.expect("age is missing: apt-get install age");
    assert!(output.status.success());
    output.stdout
}

/// Two of three, nothing sealed.
fn founded() -> Scene {
    let place = Place::new(2);
    crew::found_on_software_tokens(&place, 3);
    Scene { place, k: 2, n: 3 }
}

/// Puts a file into the inbox of one copy.
fn propose(scene: &Scene, copy: &str, file: &str, bytes: &[u8]) {
    let inbox = scene.place.path(copy).join("inbox");
    std::fs::create_dir_all(&inbox).unwrap();
    std::fs::write(inbox.join(file), bytes).unwrap();
}

fn recipient(scene: &Scene) -> String {
    scene.place.quietly(&["recipient", &scene.place.text("vault")]).trim().to_owned()
}

fn rotate(scene: &Scene, who: &[usize]) -> scene::Seen {
    let seen = scene.hold(&["rotate"], &["vault", "copy"], who);
    seen.expect(0, &[]).reveals_nothing();
    seen
}

fn recovered(scene: &Scene, item: &str, who: &[usize]) -> Vec<u8> {
    let out = scene.place.text(&format!("{item}.out"));
    let command =
        ["recover", item, "--incident", "INC-2", "--reason", "a test", "--requester", "operations", "--out", &out];
    scene.hold(&command, &["vault", "copy"], who).expect(0, &[]);
    std::fs::read(out).unwrap()
}

#[test]
fn what_stock_age_seals_is_admitted_and_comes_back() {
    let scene = founded();
    let before = recipient(&scene);
    let late = age(&before, b"sealed at the beginning, admitted late");
    // Every byte, and longer than one chunk of age.
    let early: Vec<u8> = (0..200_000_u32).map(|byte| byte as u8).collect();
    propose(&scene, "vault", "early.age", &age(&before, &early));
    propose(&scene, "copy", "early-password.password.age", &age(&before, b"opened-sesame-7"));
    rotate(&scene, &[0, 1]);
    assert_eq!(recipient(&scene), before);
    propose(&scene, "copy", "after.age", &age(&before, b"sealed after a rotation"));
    propose(&scene, "copy", "after-password.password.age", &age(&before, b"opened-sesame-8"));
    rotate(&scene, &[1, 2]);
    propose(&scene, "vault", "late.opaque.of-2026.age", &late);
    rotate(&scene, &[0, 2]);

    let expected: [(&str, &[u8]); 5] = [
        ("early", &early),
        ("early-password", b"opened-sesame-7"),
        ("after", b"sealed after a rotation"),
        ("after-password", b"opened-sesame-8"),
        ("late", b"sealed at the beginning, admitted late"),
    ];
    for ((item, secret), who) in expected.into_iter().zip([[0, 1], [1, 2], [0, 2]].iter().cycle()) {
        assert!(recovered(&scene, item, who) == secret, "{item}");
    }
    // What was admitted is cleared from the inboxes.
    for copy in ["vault", "copy"] {
        let left: Vec<_> = std::fs::read_dir(scene.place.path(copy).join("inbox")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_hostile_inbox_is_named_and_stops_nothing() {
    let scene = founded();
    let ours = recipient(&scene);
    let other = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    let truncated = {
        let mut sealed = age(&ours, &[7; 100_000]);
        sealed.truncate(70_000);
        sealed
    };
    let forged = age(&ours, b"{\"format\":\"claviger/v1 item\",\"kind\":\"opaque\",\"name\":\"forged\"}\nx");
    let bad: [(&str, &[u8]); 8] = [
        ("not-age.age", b"this is no age file"),
        ("empty.age", b""),
        ("wrong-recipient.age", &age(other, b"for somebody else")),
        ("truncated.age", &truncated),
        ("forged.age", &forged),
        ("strange.carrier-pigeon.age", &age(&ours, b"of no known kind")),
        ("no-text.password.age", &age(&ours, b"\xff\xfe")),
        ("notes.txt", b"not for the inbox"),
    ];
    for (file, bytes) in &bad {
        propose(&scene, "vault", file, bytes);
    }
    propose(&scene, "vault", "twice.age", &age(&ours, b"one"));
    propose(&scene, "copy", "twice.opaque.again.age", &age(&ours, b"two"));
    propose(&scene, "copy", "good.age", &age(&ours, b"the good one"));
    let before = inbox(&scene);

    let seen = rotate(&scene, &[0, 1]);
    let screen = scene::flat(&seen.screen);
    for (file, _) in &bad {
        assert!(screen.contains(file), "{file} is not named:\n{}", seen.screen);
    }
    assert!(screen.contains("several proposals for twice"), "{}", seen.screen);
    let items: Vec<String> = {
        let judgement = scene.judgement(&["vault", "copy"]);
        judgement.current().unwrap().manifest.items.iter().map(|item| item.name.to_string()).collect()
    };
    assert_eq!(items, ["good"]);
    assert_eq!(recovered(&scene, "good", &[1, 2]), b"the good one");
    // What did not become an item is still there: it may be somebody's only copy.
    let after = inbox(&scene);
    assert_eq!(after.len() + 1, before.len(), "{before:?} {after:?}");
    assert!(!after.contains("good.age"), "{after:?}");
}

/// Names of the files in the inboxes.
fn inbox(scene: &Scene) -> std::collections::BTreeSet<String> {
    let copies = ["vault", "copy"].map(|copy| scene::files(&scene.place.path(copy).join("inbox")));
    copies.concat().into_iter().map(|path| path.display().to_string()).collect()
}

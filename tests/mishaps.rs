//! What goes wrong with people, tokens and files: each has a message with a hint, and costs nothing.

#[path = "harness/harness.rs"]
mod harness;

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use harness::Terminal;
use harness::crew::{self, CHOOSE, CONFIRM, Crew};
use harness::scene::{RECOVER, SECRET, Scene, Seen, flat, without_terminal};

const VAULTS: [&str; 2] = ["vault", "copy"];

/// Waits for the question, and answers it.
#[track_caller]
fn answers(terminal: &mut Terminal, dialogue: &[(&str, &str)]) {
    for (question, answer) in dialogue {
        terminal.answer(question, answer);
    }
}

#[test]
fn wrong_pins_are_counted_and_the_last_try_needs_a_yes() {
    let scene = Scene::new(2, 3);
    let right = crew::pin(0);
    let mut terminal = scene.start(&RECOVER, &VAULTS);
    terminal.answer(CONFIRM, "yes");
    // Too short to be one: nothing is sent.
    terminal.answer("alice, your PIN (3 tries left)", "12345");
    terminal.expect("a PIN has 6 to 8 characters, without spaces. Nothing was sent to the");
    terminal.answer("alice, your PIN (3 tries left)", "999999");
    terminal.expect("wrong PIN");
    terminal.answer("alice, your PIN (2 tries left)", &right);
    terminal.expect("alice has approved");
    // Once accepted, the count is full again. (Looked at while the program waits, and holds no card.)
    terminal.expect("bob, your PIN (3 tries left), or Enter alone if you do not want to go on:");
    assert_eq!((scene.tries(), scene.refused_pins()), (vec![3, 3, 3], vec![1, 0, 0]));
    terminal.type_line(&crew::pin(1));
    let mut rest = Crew::of(&[0, 1]);
    assert_eq!(rest.hold(&mut terminal, || {}), 0, "{}", terminal.screen());
    assert_eq!(rest.shown, [SECRET]);

    let mut terminal = scene.start(&RECOVER, &VAULTS);
    answers(&mut terminal, &[(CONFIRM, "yes"), ("(3 tries left)", "999999"), ("(2 tries left)", "999998")]);
    terminal.expect("alice, your card has ONE PIN try left. If the next PIN is wrong, the card");
    // Enter alone is no; the card is left in peace, and the others go on.
    terminal.answer(CONFIRM, "");
    let mut rest = Crew::of(&[1, 2]);
    assert_eq!(rest.hold(&mut terminal, || {}), 0, "{}", terminal.screen());
    assert_eq!((rest.shown, scene.tries()), (vec![SECRET.to_owned()], vec![1, 3, 3]));

    let mut terminal = scene.start(&RECOVER, &VAULTS);
    answers(&mut terminal, &[(CONFIRM, "yes"), (CONFIRM, "yes"), ("(LAST try)", "999999")]);
    terminal.expect("alice's card: the PIN is blocked.");
    terminal.expect("unblock it with the PUK");
    let mut rest = Crew::of(&[1, 2]);
    assert_eq!(rest.hold(&mut terminal, || {}), 0, "{}", terminal.screen());
    assert_eq!((rest.shown, scene.tries()), (vec![SECRET.to_owned()], vec![0, 3, 3]));
    // Blocked: said, and never asked for again.
    let seen = scene.hold(&RECOVER, &VAULTS, &[0, 1, 2]);
    seen.expect(0, &["alice's card: the PIN is blocked"]);
    assert_eq!(scene.refused_pins(), [4, 0, 0]);
    assert!(!seen.screen.contains("alice, your PIN") && !seen.screen.contains(&right) && !seen.screen.contains("9999"));
    assert_eq!(seen.shown, [SECRET]);
}

#[test]
fn cards_of_others_are_left_alone() {
    let scene = Scene::new(2, 3);
    // A card of another vault's custodian: a signing key, an anchor of that vault.
    let other = Scene::new(2, 3);
    let tokens = scene.place.path("tokens");
    for (from, to) in [("alice", "aa-other-vault"), ("bob", "ab-other-vault")] {
        std::fs::copy(other.place.path("tokens").join(format!("{from}.token")), tokens.join(format!("{to}.token")))
            .unwrap();
    }
    // One that belongs to nobody.
    claviger::token::soft::create_token(&tokens, "ac-new", claviger::token::soft::SoftCardOptions::default()).unwrap();
    let theirs: Vec<_> = ["aa-other-vault", "ab-other-vault", "ac-new"]
        .map(|name| {
            (tokens.join(format!("{name}.token")), std::fs::read(tokens.join(format!("{name}.token"))).unwrap())
        })
        .into();
    let seen = scene.hold(&RECOVER, &VAULTS, &[0, 1]);
    let nobody = "belongs to no custodian of this vault. Nothing was done with it.";
    seen.expect(
        0,
        &[&format!("The card in aa-other-vault.token {nobody}"), &format!("The card in ac-new.token {nobody}")],
    );
    assert_eq!((seen.shown.as_slice(), seen.pins_typed), ([SECRET.to_owned()].as_slice(), 4));
    assert!(theirs.iter().all(|(path, bytes)| std::fs::read(path).unwrap() == *bytes), "a foreign token was changed");

    // Only such cards: nothing is asked.
    for name in ["alice", "bob", "carol"] {
        scene.take_out(name);
    }
    let seen = scene.hold(&RECOVER, &VAULTS, &[0, 1]);
    seen.expect(3, &["claviger: error: 2 custodians are needed and 0 took part", "claviger: hint:"]).reveals_nothing();
    assert_eq!(seen.pins_typed, 0);
    assert!(theirs.iter().all(|(path, bytes)| std::fs::read(path).unwrap() == *bytes));
    for name in ["alice", "bob", "carol"] {
        scene.bring_back(name);
    }

    // One card offered twice does not count twice.
    scene.take_out("bob");
    scene.take_out("carol");
    std::fs::copy(tokens.join("alice.token"), tokens.join("zz-alice-again.token")).unwrap();
    let seen = scene.hold(&RECOVER, &VAULTS, &[0]);
    seen.expect(
        3,
        &[
            "This is alice's card, and alice has done this round: take it out.",
            "2 custodians are needed and 1 took part",
        ],
    );
    assert_eq!(seen.reveals_nothing().pins_typed, 1);
    std::fs::remove_file(tokens.join("zz-alice-again.token")).unwrap();
    scene.bring_back("bob");
    scene.bring_back("carol");
    scene.no_try_was_lost();
    scene.recovers(&VAULTS, &[0, 2]);

    // Another vault's copy given with this one's is not mixed in.
    std::fs::rename(other.place.path("copy"), scene.place.path("foreign")).unwrap();
    let before = crew::tree(&scene.place.path("foreign"));
    let seen = scene.hold(&RECOVER, &["vault", "copy", "foreign"], &[0, 1]);
    assert_eq!(seen.expect(0, &["is a copy of another vault; nothing of it is used"]).shown, [SECRET]);
    assert!(before == crew::tree(&scene.place.path("foreign")));
}

#[test]
fn the_wrong_vault_the_wrong_words_and_the_wrong_tokens() {
    let scene = Scene::new(2, 3);
    let words = scene.judgement(&VAULTS).vault.words();
    let mut wrong: Vec<&str> = words.split(' ').collect();
    wrong.swap(0, 11);
    let wrong = wrong.join(" ");
    for command in [&RECOVER[..], &["rotate"], &["check"], &["resume"], &["status"], &["verify"], &["recipient"]] {
        let mut command = command.to_vec();
        command.extend(["--expect", &wrong]);
        let seen = scene.hold(&command, &VAULTS[..1], &[0, 1]);
        seen.expect(1, &[&format!("claviger: error: this is not the vault that was expected: its words are: {words}")]);
        seen.expect(1, &["claviger: hint: do not use this copy: compare the words"]);
        assert_eq!(seen.reveals_nothing().pins_typed, 0, "{command:?}");
    }
    let mut expected = RECOVER.to_vec();
    expected.extend(["--expect", &words]);
    assert_eq!(scene.hold(&expected, &VAULTS, &[0, 1]).expect(0, &[]).shown, [SECRET]);

    let seen = scene.hold(&RECOVER, &["nothing-there"], &[]);
    seen.expect(
        2,
        &["claviger: error: no copy of a vault can be read", "nothing-there", "claviger: hint: check the path"],
    );
    let no_item = ["recover", "roof-password", "--incident", "1", "--reason", "r", "--requester", "x"];
    let seen = scene.hold(&no_item, &VAULTS, &[0, 1]);
    seen.expect(2, &["claviger: error: the vault has no item roof-password; it has root-password", "claviger: hint:"]);
    assert_eq!(seen.pins_typed, 0);
    let mut long = RECOVER.to_vec();
    long.extend(["--for", "4000h"]);
    scene
        .hold(&long, &VAULTS, &[0, 1])
        .expect(5, &["the policy allows grants of at most", "claviger: hint: ask for less with --for"]);
    scene.no_try_was_lost();
}

/// `recover` with something instead of the screen.
#[track_caller]
fn recover_to(scene: &Scene, target: &[&str]) -> Seen {
    let mut command = RECOVER.to_vec();
    command.extend(target);
    scene.hold(&command, &VAULTS, &[0, 1])
}

#[test]
fn the_credential_goes_where_it_is_told_and_nowhere_else() {
    let scene = Scene::new(2, 3);
    let file = scene.place.text("credential");
    let seen = recover_to(&scene, &["--out", &file]);
    seen.expect(0, &["(mode 0600). Delete it when it was used."]).reveals_nothing();
    assert_eq!(std::fs::read(&file).unwrap(), SECRET.as_bytes());
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    // It is there: refused before anybody does anything.
    let before = crew::tree(&scene.place.path(""));
    let seen = recover_to(&scene, &["--out", &file]);
    seen.expect(
        2,
        &["claviger: error: the credential cannot be written to", "something of that name is there", "claviger: hint:"],
    )
    .reveals_nothing();
    assert_eq!(seen.pins_typed, 0);
    let seen = recover_to(&scene, &["--out", &scene.place.text("no/such/directory")]);
    seen.expect(2, &["claviger: error: the credential cannot be written to", "claviger: hint:"]).reveals_nothing();
    assert!(before == crew::tree(&scene.place.path("")));

    // The command fails after everything was done: `resume` reveals it again under the same grant.
    let seen = recover_to(&scene, &["--to", "cat > /dev/null; exit 7"]);
    seen.expect(
        4,
        &[
            "claviger: error: the command cat > /dev/null; exit 7 did not take the credential",
            "claviger: hint:",
            "claviger resume",
        ],
    );
    seen.reveals_nothing();
    let copy = scene.place.text("taken");
    let seen = scene.hold(&["resume", "--to", &format!("cat > {copy}")], &VAULTS, &[0, 1]);
    seen.expect(0, &[]).reveals_nothing();
    assert_eq!(std::fs::read(&copy).unwrap(), SECRET.as_bytes());
    scene.no_try_was_lost();
    scene.recovers(&VAULTS, &[1, 2]);
}

#[test]
fn a_redirected_standard_output_gets_nothing() {
    let scene = Scene::new(2, 3);
    let output = scene.place.path("stdout");
    let mut args = vec!["--tokens".to_owned(), scene.place.soft()];
    args.extend(scene.arguments(&RECOVER, &VAULTS));
    let mut command = Command::new("sh");
    let script = format!("exec \"$0\" \"$@\" > {}", output.display());
    command.args(["-c", &script, env!("CARGO_BIN_EXE_claviger")]).args(&args);
    let mut terminal = Terminal::run(command);
    let mut crew = Crew::of(&[0, 1]);
    assert_eq!(crew.hold(&mut terminal, || {}), 0, "{}", terminal.screen());
    assert_eq!(crew.shown, [SECRET], "it is on the terminal all the same");
    assert_eq!(std::fs::read(&output).unwrap(), b"");
    // After the screen is left, nothing of it is on the ordinary one.
    let raw = String::from_utf8_lossy(terminal.raw()).into_owned();
    let (_, after) = raw.rsplit_once("\x1b[?1049l").expect("the alternate screen is left");
    assert!(!after.contains(SECRET));
    assert!(!terminal.screen().contains(&crew::pin(0)), "a PIN was echoed");
}

#[test]
fn tokens_that_cannot_be_had() {
    let scene = Scene::new(2, 3);
    let args = |tokens: &str| {
        let mut args = vec!["--tokens".to_owned(), tokens.to_owned()];
        args.extend(scene.arguments(&RECOVER, &VAULTS));
        args
    };
    let run = |tokens: &str, environment: &[(&str, &str)]| {
        let args = args(tokens);
        let mut terminal = Terminal::claviger(&args.iter().map(String::as_str).collect::<Vec<_>>(), environment);
        let mut crew = Crew::of(&[0, 1]);
        let code = crew.hold(&mut terminal, || {});
        Seen { code, screen: terminal.screen().to_owned(), shown: crew.shown, pins_typed: crew.pins_typed }
    };
    let nowhere = scene.place.text("no-pcscd");
    let before = crew::tree(&scene.place.path("vault"));
    run("pcsc", &[("PCSCLITE_CSOCK_NAME", &nowhere)])
        .expect(2, &["claviger: error: the smart-card service (pcscd) does not answer", "claviger: hint:", "pcscd"]);
    run(&format!("soft:{nowhere}"), &[])
        .expect(2, &["the software token", "claviger: hint: check the directory after --tokens"]);
    assert!(before == crew::tree(&scene.place.path("vault")));
    let (code, said) = without_terminal(&["--tokens", "floppy", "token", "list"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("expected `pcsc` or `soft:DIR`"), "{said}");
    let seen = run(&scene.place.soft(), &[]);
    assert_eq!(seen.expect(0, &[]).shown, [SECRET]);
}

#[test]
fn touch_withheld() {
    let scene = Scene::new(2, 3);
    let withhold = |touch: &str| {
        let token = scene.place.path("tokens/alice.token");
        let bytes = std::fs::read(&token).unwrap();
        let mut card = claviger::token::soft::SoftCard::from_bytes(&bytes).unwrap();
        card.set_touch(if touch == "withhold" {
            claviger::token::soft::Touch::Withhold
        } else {
            claviger::token::soft::Touch::Grant
        });
        std::fs::write(&token, card.to_bytes()).unwrap();
    };
    withhold("withhold");
    let mut terminal = scene.start(&RECOVER, &VAULTS);
    terminal.answer(CONFIRM, "yes");
    terminal.answer("alice, your PIN (3 tries left)", &crew::pin(0));
    terminal.expect("If the card blinks, touch it now.");
    terminal.expect("alice's card: the token did not get its touch");
    // bob goes on; then alice is asked again, and touches.
    terminal.answer("bob, your PIN (3 tries left)", &crew::pin(1));
    terminal.answer("carol, your PIN (3 tries left)", "");
    withhold("grant");
    terminal.answer(CHOOSE, "again");
    let mut crew = Crew::of(&[0, 1]);
    assert_eq!(crew.hold(&mut terminal, || {}), 0, "{}", terminal.screen());
    assert_eq!(crew.shown, [SECRET]);
    scene.no_try_was_lost();
    scene.recovers(&VAULTS, &[0, 2]);
}

/// Every kind of file: what stands for it in a vault of two generations.
const KINDS: [&str; 14] = [
    "vault.json",
    "policy.toml",
    "copy.json",
    "generations/000002/plan.json",
    "generations/000002/manifest.json",
    "generations/000002/COMMIT",
    "generations/000002/approvals/01-alice.json",
    "generations/000002/approvals/01-alice.sig",
    "generations/000002/closings/02-bob.json",
    "generations/000002/closings/02-bob.sig",
    "generations/000002/shares/01-alice.age",
    "generations/000002/items/root-password.age",
    "generations/000002/inbox-identity.age",
    "generations/000001/manifest.json",
];

#[test]
fn a_changed_byte_is_found_and_the_other_copy_serves() {
    let scene = Scene::new(2, 3);
    let backup = crew::tree(&scene.place.path("vault"));
    for kind in KINDS {
        let file = scene.place.path("vault").join(kind);
        let mut bytes = std::fs::read(&file).unwrap();
        let at = bytes.len() * 2 / 3;
        bytes[at] ^= 1;
        std::fs::write(&file, &bytes).unwrap();
        for vaults in [&VAULTS[..], &VAULTS[..1]] {
            let (code, said) = scene.verify(vaults);
            let said = flat(&said);
            assert!(matches!(code, 1 | 2), "{kind}: {code} {said}");
            // A signature that does not verify may be wrong itself, or what it signs.
            let kind = kind.strip_suffix("sig").unwrap_or(kind);
            assert!(said.contains(kind) && said.contains(&scene.place.text("vault")), "{kind} is not named: {said}");
        }
        std::fs::write(&file, &backup[&file]).unwrap();
    }
    assert_eq!(scene.verify(&VAULTS).0, 0);
}

/// One world for each damaged file is too slow for all: the tokens go back to where they were, and so do the copies.
#[test]
fn with_a_changed_byte_recover_works_or_is_refused() {
    let scene = Scene::new(2, 3);
    let world = crew::tree(&scene.place.path(""));
    let back = || {
        for dir in ["vault", "copy", "tokens"] {
            std::fs::remove_dir_all(scene.place.path(dir)).unwrap();
        }
        for (path, bytes) in &world {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    };
    for kind in KINDS {
        let damage = || {
            let file = scene.place.path("vault").join(kind);
            let mut bytes = std::fs::read(&file).unwrap();
            let at = bytes.len() * 2 / 3;
            bytes[at] ^= 1;
            std::fs::write(&file, &bytes).unwrap();
        };
        damage();
        // A damaged copy does not count as one of the two: an exception that custodians approve.
        let seen = scene.hold_with(&RECOVER, &VAULTS, Crew::of(&[0, 1, 2]).choosing(&["go"]));
        assert_eq!((seen.code, seen.shown.as_slice()), (0, [SECRET.to_owned()].as_slice()), "{kind}: {}", seen.screen);
        back();
        damage();
        let seen = scene.hold_with(
            &RECOVER,
            &VAULTS[..1],
            Crew::of(&[0, 1, 2]).choosing(&["go", "without", "without", "without"]),
        );
        if seen.code == 0 {
            assert_eq!(seen.shown, [SECRET], "{kind}: {}", seen.screen);
        } else {
            seen.reveals_nothing();
            assert!(
                seen.screen.contains("claviger: error:") && seen.screen.contains("claviger: hint:"),
                "{kind}: {}",
                seen.screen
            );
        }
        scene.no_try_was_lost();
        back();
    }
    scene.recovers(&VAULTS, &[0, 1]);
}

/// `recover` in a mount namespace of its own, where `script` has changed what is mounted at `copy`.
#[track_caller]
fn recover_where(scene: &Scene, script: &str, choices: &[&str]) -> Seen {
    let mut args = vec!["--tokens".to_owned(), scene.place.soft()];
    args.extend(scene.arguments(&RECOVER, &VAULTS));
    let root = rustix::process::geteuid().is_root();
    let namespace: &[&str] = if root { &["--mount"] } else { &["--user", "--map-root-user", "--mount"] };
    let mut command = Command::new("unshare");
    let script = format!("{script}\nexec \"$@\"");
    command.args(namespace).args(["bash", "-euc", &script, &scene.place.text("copy"), env!("CARGO_BIN_EXE_claviger")]);
    command.args(&args);
    let mut terminal = Terminal::run(command);
    let mut crew = Crew::of(&[0, 1]).choosing(choices);
    let code = crew.hold(&mut terminal, || {});
    Seen { code, screen: terminal.screen().to_owned(), shown: crew.shown, pins_typed: crew.pins_typed }
}

#[test]
fn a_read_only_copy() {
    let scene = Scene::new(2, 3);
    let read_only = "mount --bind $0 $0; mount -o remount,bind,ro $0";
    let before = crew::tree(&scene.place.path("copy"));
    let seen = recover_where(&scene, read_only, &["stop"]);
    seen.expect(
        5,
        &[
            "CANNOT BE WRITTEN",
            "The policy wants 2 copies of the vault on separate media, and 1 can be written here.",
            "claviger: error: the policy wants 2 complete copies of the vault, and 1 are here",
            "claviger: hint: bring the vault's other media",
        ],
    );
    assert_eq!(seen.reveals_nothing().pins_typed, 0);
    let seen = recover_where(&scene, read_only, &["go"]);
    assert_eq!(seen.expect(0, &["Exception: copies: expected 2 copies; 1 copy"]).shown, [SECRET]);
    assert!(before == crew::tree(&scene.place.path("copy")), "a read-only copy changed");
    scene.no_try_was_lost();
    // It catches up as soon as it can be written again.
    scene.recovers(&VAULTS, &[1, 2]);
    assert_eq!(scene.verify(&["copy"]).0, 0);
}

#[test]
fn a_full_disk() {
    let scene = Scene::new(2, 3);
    // A medium with room for what is there, and for a few files more; which nobody can see from the bytes that are free.
    for spare in [0, 3, 12] {
        let full = format!(
            "mkdir -p $0.full; mount -t tmpfs -o size=4m tmpfs $0.full; cp -a $0/. $0.full; mount --bind $0.full $0
             used=$(df --output=iused $0 | tail -1); mount -o remount,nr_inodes=$((used + {spare})) $0.full"
        );
        let seen = recover_where(&scene, &full, &[]);
        seen.expect(seen.code, &["it is full", "claviger: error:", "claviger: hint:"]).reveals_nothing();
        scene.no_try_was_lost();
        let committed = scene.judgement(&VAULTS).unratified().is_some();
        // Where not even the plan finds room people are asked, and stop.
        let stopped = flat(&seen.screen).contains("The policy wants 2 copies");
        let code = if committed { 4 } else { 2 };
        assert_eq!(seen.code, if stopped { 5 } else { code }, "{}", seen.screen);
        assert_eq!(flat(&seen.screen).contains("run `claviger resume VAULT`"), committed, "{}", seen.screen);
        if committed {
            // Full only after the commit. What was on the medium is lost; the other one has it.
            let seen = scene.hold(&["resume"], &VAULTS, &[0, 1]);
            assert_eq!(seen.expect(0, &[]).shown, [SECRET]);
        }
        // What was begun on that medium may have been committed there, for all that the directory behind it can say, though it
        // has the same mark.
        let seen = scene.hold_with(&RECOVER, &VAULTS, Crew::of(&[1, 2]).choosing(&["lost"; 4]));
        assert_eq!(seen.expect(0, &[]).shown, [SECRET]);
    }
}

#[test]
fn files_that_may_not_grow() {
    let scene = Scene::new(2, 3);
    let seen = recover_where(&scene, "trap '' XFSZ; ulimit -f 0", &[]);
    assert_ne!(seen.code, 0, "{}", seen.screen);
    seen.expect(seen.code, &["the file is too large for it", "claviger: hint:"]).reveals_nothing();
    scene.no_try_was_lost();
    scene.recovers(&VAULTS, &[0, 1]);
}

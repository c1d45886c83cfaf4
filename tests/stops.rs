//! Ctrl-C and Ctrl-D at every prompt of every ceremony: nothing is lost, and `status` says how to go on.

#[path = "harness/harness.rs"]
mod harness;

use std::collections::BTreeMap;

use harness::Terminal;
use harness::crew::{self, Crew, NAMES, PROMPTS, Place};
use harness::scene::{ITEM, RECOVER, SECRET, Scene, flat, without_terminal};

const VAULTS: [&str; 2] = ["vault", "copy"];
const SHOWN: usize = 4;

/// How a person stops.
const KEYS: [(&str, u8); 2] = [("Ctrl-C", 3), ("Ctrl-D", 4)];

/// What happened to a command that was stopped at one prompt.
struct Stopped {
    code: i32,
    screen: String,
    shown: Vec<String>,
}

/// Answers `before` prompts, and presses `key` at the next. `None`: there were not so many.
#[track_caller]
fn stop_at(terminal: &mut Terminal, crew: &mut Crew, before: usize, key: u8) -> Option<Stopped> {
    for _ in 0..before {
        let (which, text) = terminal.next(&PROMPTS)?;
        crew.answer(terminal, which, &text, &mut || {});
    }
    let (which, text) = terminal.next(&PROMPTS)?;
    if which == SHOWN {
        // Any key ends the showing.
        crew.shown.push(text.trim_end().lines().last().unwrap_or_default().to_owned());
    }
    terminal.type_bytes(&[key]);
    let code = terminal.exit_code();
    Some(Stopped { code, screen: terminal.screen().to_owned(), shown: std::mem::take(&mut crew.shown) })
}

/// As many worlds like this one as are wanted: vault, copy and tokens as they stand now.
struct Template {
    place: Place,
    files: BTreeMap<std::path::PathBuf, Vec<u8>>,
}

impl Template {
    fn of(scene: Scene) -> Self {
        let files = crew::tree(&scene.place.path(""));
        Self { files, place: scene.place }
    }

    fn scene(&self, k: usize, n: usize) -> Scene {
        let place = Place::new(k);
        for (path, bytes) in &self.files {
            let target = place.path("").join(path.strip_prefix(self.place.path("")).unwrap());
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::write(target, bytes).unwrap();
        }
        Scene { place, k, n }
    }
}

/// Stops `command` at each of its prompts in turn; what was stopped where is given to `after`. How many prompts it has.
#[track_caller]
fn sweep(
    template: &Template,
    command: &[&str],
    vaults: &[&str],
    who: &[usize],
    mut after: impl FnMut(&Scene, usize, &Stopped),
) -> usize {
    for prompt in 0.. {
        let (_, key) = KEYS[prompt % 2];
        let scene = template.scene(2, 3);
        let command: Vec<String> =
            command.iter().map(|argument| argument.replace("DIR", &scene.place.text(""))).collect();
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let mut terminal = scene.start(&command, vaults);
        let Some(stopped) = stop_at(&mut terminal, &mut Crew::of(who), prompt, key) else {
            assert_eq!(terminal.exit_code(), 0, "{}", terminal.screen());
            return prompt;
        };
        scene.no_try_was_lost();
        after(&scene, prompt, &stopped);
    }
    unreachable!("a ceremony ends")
}

/// Code 3 before the commit, 4 after it; error and hint say so.
#[track_caller]
fn says_that_nothing_is_lost(stopped: &Stopped) {
    let screen = flat(&stopped.screen);
    assert!(matches!(stopped.code, 3 | 4), "{}: {screen}", stopped.code);
    assert!(screen.contains("claviger: error: stopped at a question"), "{screen}");
    let hint = screen.split("claviger: hint:").nth(1).unwrap_or_else(|| panic!("no hint: {screen}"));
    let way = if stopped.code == 4 { "claviger resume" } else { "claviger status" };
    assert!(hint.contains("nothing is lost") && hint.contains(way), "{hint}");
    assert!(!screen.contains(SECRET));
}

/// What `status` tells to run is run, and works.
#[track_caller]
fn goes_on_as_status_says(scene: &Scene, command: &[&str], who: &[usize]) {
    let status = flat(&scene.status(&VAULTS));
    let judgement = scene.judgement(&VAULTS);
    let reveals = command[0] == "recover";
    let next: &[&str] = match judgement.unfinished.last() {
        Some(_) if status.contains("run `claviger resume`") => &["resume"],
        Some(_) => {
            let again = format!("run `claviger {}` again", command[0]);
            assert!(status.contains(&again), "{again}: {status}");
            command
        }
        None => command,
    };
    let committed = !judgement.current().unwrap().ratified;
    assert_eq!(next[0] == "resume", committed, "{status}");
    let seen = scene.hold(next, &VAULTS, who);
    seen.expect(0, &[]);
    assert_eq!(seen.shown, if reveals { vec![SECRET.to_owned()] } else { Vec::new() });
}

#[test]
fn recover() {
    let template = Template::of(Scene::new(2, 3));
    let mut codes = Vec::new();
    let prompts = sweep(&template, &RECOVER, &VAULTS, &[0, 1], |scene, prompt, stopped| {
        codes.push(stopped.code);
        if prompt == 5 {
            assert_eq!((stopped.code, stopped.shown.as_slice()), (0, [SECRET.to_owned()].as_slice()));
        } else {
            says_that_nothing_is_lost(stopped);
            goes_on_as_status_says(scene, &RECOVER, if stopped.code == 4 { &[0, 1] } else { &[0, 2] });
        }
        scene.recovers(&VAULTS, &[1, 2]);
    });
    // Begin?, two PINs, COMMIT, two PINs, the credential.
    assert_eq!((prompts, codes), (6, vec![3, 3, 3, 4, 4, 0]));
}

#[test]
fn rotate() {
    let template = Template::of(Scene::new(2, 3));
    let mut codes = Vec::new();
    sweep(&template, &["rotate"], &VAULTS, &[0, 1], |scene, _, stopped| {
        codes.push(stopped.code);
        says_that_nothing_is_lost(stopped);
        goes_on_as_status_says(scene, &["rotate"], if stopped.code == 4 { &[0, 1] } else { &[1, 2] });
        scene.recovers(&VAULTS, &[0, 1]);
    });
    assert_eq!(codes, [3, 3, 3, 4, 4]);
}

#[test]
fn resume() {
    let scene = Scene::new(2, 3);
    let mut terminal = scene.start(&RECOVER, &VAULTS);
    assert_eq!(stop_at(&mut terminal, &mut Crew::of(&[0, 1]), 3, 3).unwrap().code, 4);
    let template = Template::of(scene);
    let mut codes = Vec::new();
    sweep(&template, &["resume"], &VAULTS, &[0, 1], |scene, prompt, stopped| {
        codes.push(stopped.code);
        if prompt < 3 {
            says_that_nothing_is_lost(stopped);
            goes_on_as_status_says(scene, &RECOVER, &[0, 1]);
        }
        scene.recovers(&VAULTS, &[1, 2]);
    });
    // Begin?, two PINs, the credential.
    assert_eq!(codes, [4, 4, 4, 0]);
}

#[test]
fn an_absentee_stands_in_and_who_else_must_come_is_said() {
    let scene = Scene::new(2, 3);
    let mut terminal = scene.start(&RECOVER, &VAULTS);
    assert_eq!(stop_at(&mut terminal, &mut Crew::of(&[0, 1]), 3, 3).unwrap().code, 4);
    let seen = scene.hold(&["resume"], &VAULTS, &[0, 2]);
    seen.expect(
        4,
        &[
            "You were not in round 1",
            "The generation before can still be opened: 1 more of bob must close.",
            "claviger: error: the generation before can still be opened: 1 more of these must close: bob",
            "claviger: hint: bring one of them; nothing is revealed before; then run `claviger resume VAULT`",
        ],
    );
    seen.reveals_nothing();
    scene.no_try_was_lost();
    let seen = scene.hold(&["resume"], &VAULTS, &[1, 2]);
    assert_eq!(seen.expect(0, &[]).shown, [SECRET]);
    scene.recovers(&VAULTS, &[0, 1]);
}

#[test]
fn check() {
    let template = Template::of(Scene::new(2, 3));
    let mut codes = Vec::new();
    sweep(&template, &["check"], &VAULTS, &[0, 1, 2], |scene, _, stopped| {
        codes.push(stopped.code);
        says_that_nothing_is_lost(stopped);
        scene.hold(&["check"], &VAULTS, &[0, 1, 2]).expect(0, &["carol's card works"]);
    });
    assert_eq!(codes, [3; 5]);
}

#[test]
fn found_and_enrol() {
    let place = Place::new(2);
    crew::enrol_software_tokens(&place, 3);
    let template = Template::of(Scene { place, k: 2, n: 3 });
    let mut found = vec!["found".to_owned()];
    found.extend(NAMES[..3].iter().map(|name| format!("DIR/{name}.json")));
    found.extend(["--policy".to_owned(), "DIR/policy.toml".to_owned()]);
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    let mut codes = Vec::new();
    sweep(&template, &found, &VAULTS, &[0, 1, 2], |scene, _, stopped| {
        codes.push(stopped.code);
        says_that_nothing_is_lost(stopped);
        let status = flat(&scene.status(&VAULTS));
        let again: Vec<String> = found.iter().map(|argument| argument.replace("DIR", &scene.place.text(""))).collect();
        let again: Vec<&str> = again.iter().map(String::as_str).collect();
        let next = if status.contains("run `claviger resume`") { vec!["resume"] } else { again };
        assert_eq!(next[0] == "resume", stopped.code == 4, "{status}");
        scene.hold(&next, &VAULTS, &[0, 1, 2]).expect(0, &[]);
        scene.place.seal(ITEM, "opaque", SECRET.as_bytes());
        scene.hold(&["rotate"], &VAULTS, &[0, 1]).expect(0, &[]);
        scene.recovers(&VAULTS, &[0, 1]);
    });
    assert_eq!(codes, [3, 3, 3, 3, 4, 4, 4]);

    let enrol = ["enrol", "--name", "alice", "-o", "DIR/again.json"];
    let prompts = sweep(&template, &enrol, &[], &[0], |scene, _, stopped| {
        assert_eq!(stopped.code, 3, "{}", stopped.screen);
        assert!(stopped.screen.contains("claviger: error: stopped at a question"), "{}", stopped.screen);
        assert!(!scene.place.path("again.json").exists());
        let output = scene.place.text("again.json");
        scene.hold(&["enrol", "--name", "alice", "-o", &output], &[], &[0]).expect(0, &["alice's enrolment is in"]);
    });
    assert_eq!(prompts, 1);
}

#[test]
fn enrol_a_new_card() {
    use harness::{Pcscd, VirtualCard};
    let pcscd = Pcscd::start(1);
    let place = Place::new(2);
    let output = place.text("alice.json");
    let args = ["enrol", "--name", "alice", "-o", &output];
    let prompts = [
        ("alice, your new PIN:", crew::pin(0)),
        ("once more:", crew::pin(0)),
        ("alice, your new PUK:", "90817263".to_owned()),
        ("once more:", "90817263".to_owned()),
        ("alice, your PIN (3 tries left)", crew::pin(0)),
    ];
    for stopped in 0..prompts.len() {
        let mut card: VirtualCard = crew::virtual_yubikey(70 + stopped as u32, (5, 7, 1));
        pcscd.insert(0, &mut card);
        let mut terminal = crew::claviger("pcsc", &args, Some(&pcscd));
        for (prompt, answer) in &prompts[..stopped] {
            terminal.answer(prompt, answer);
        }
        terminal.expect(prompts[stopped].0);
        terminal.type_bytes(&[KEYS[stopped % 2].1]);
        terminal.expect("claviger: error: stopped at a question");
        terminal.expect("claviger: hint: nothing is lost");
        terminal.expect_exit(3);
        assert!(!place.path("alice.json").exists());
        let wrong =
            card.commands().into_iter().filter(|command| command.contains(" 63C2") || command.contains(" 63C1"));
        assert_eq!(wrong.count(), 0, "a PIN or PUK try was lost");
        // Again: what was done already is not asked for again.
        let mut terminal = crew::claviger("pcsc", &args, Some(&pcscd));
        assert_eq!(Crew::of(&[0]).hold(&mut terminal, || {}), 0, "{}", terminal.screen());
        std::fs::remove_file(place.path("alice.json")).unwrap();
        pcscd.remove(0, &mut card);
    }
}

#[test]
fn no_terminal() {
    let scene = Scene::new(2, 3);
    let before = crew::tree(&scene.place.path(""));
    let output = scene.place.text("out.json");
    let (vault, copy, policy, alice) = (
        scene.place.text("vault"),
        scene.place.text("copy"),
        scene.place.text("policy.toml"),
        scene.place.text("alice.json"),
    );
    let new = scene.place.text("new");
    let mut recover = vec![RECOVER[0], &vault, &copy];
    recover.extend(&RECOVER[1..]);
    let enrol = ["enrol", "--name", "alice", "-o", &output];
    let found = ["found", &new, "--policy", &policy, &alice];
    let commands: [&[&str]; 6] =
        [&recover, &["rotate", &vault, &copy], &["check", &vault], &["resume", &vault], &enrol, &found];
    for command in commands {
        let mut args = vec!["--tokens".to_owned(), scene.place.soft()];
        args.extend(command.iter().map(|argument| (*argument).to_owned()));
        let (code, said) = without_terminal(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(code, 2, "{command:?}: {said}");
        assert!(
            said.starts_with("claviger: error: this command needs a person at a terminal, and there is none\n"),
            "{said}"
        );
        assert!(said.contains("claviger: hint: run it at a terminal"), "{said}");
    }
    assert!(before == crew::tree(&scene.place.path("")), "something was written");
    scene.recovers(&VAULTS, &[0, 1]);
}

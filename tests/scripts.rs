//! The scripts that people hold in their hands (`ceremonies/`) are what the engine does, act by act.

#[path = "harness/harness.rs"]
mod harness;

use std::collections::BTreeMap;
use std::path::Path;

use claviger::ceremony::script::{Act, Performer, Script, ScriptError, Step, Walk};
use claviger::room::scripted::Scripted;
use harness::crew::{self, Crew, NAMES, Place};
use harness::scene::{RECOVER, Scene, flat};

fn script(name: &str) -> Script {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("ceremonies/{name}.toml"));
    let script = Script::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(script.ceremony, name);
    script
}

/// The acts on a screen: what stands in `-- 1 of 7: TITLE ----`.
fn acts(screen: &str) -> Vec<String> {
    let acts = screen.lines().filter_map(|line| line.strip_prefix("-- "));
    acts.map(|act| act.trim_end_matches(['-', ' ']).to_owned()).collect()
}

/// The acts on the screen are those of the script in their order, and what is to be said was said.
#[track_caller]
fn assert_follows(screen: &str, script: &Script) {
    let total = script.act.len();
    let expected = script.act.iter().zip(1..).map(|(act, number)| format!("{number} of {total}: {}", act.title));
    assert_eq!(acts(screen), expected.collect::<Vec<_>>(), "{screen}");
    for act in &script.act {
        assert!(flat(screen).contains(&flat(&act.say)), "{:?} was not said:\n{screen}", act.say);
    }
}

#[test]
fn each_ceremony_is_its_script() {
    let place = Place::new(2);
    crew::enrol_software_tokens(&place, 3);
    let mut args = vec!["found".to_owned()];
    args.extend(["vault", "copy"].map(|name| place.text(name)));
    args.extend(["--policy".to_owned(), place.text("policy.toml")]);
    args.extend(NAMES[..3].iter().map(|name| place.text(&format!("{name}.json"))));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut terminal = crew::claviger(&place.soft(), &args, None);
    assert_eq!(Crew::of(&[0, 1, 2]).hold(&mut terminal, || {}), 0, "{}", terminal.screen());
    assert_follows(terminal.screen(), &script("found"));

    let scene = Scene { place, k: 2, n: 3 };
    scene.place.seal("root-password", "opaque", b"a secret");
    let copies = ["vault", "copy"];
    assert_follows(&scene.hold(&["rotate"], &copies, &[0, 1]).expect(0, &[]).screen, &script("rotate"));
    assert_follows(&scene.hold(&RECOVER, &copies, &[1, 2]).expect(0, &[]).screen, &script("recover"));
    assert_follows(&scene.hold(&["check"], &copies, &[0, 1, 2]).expect(0, &[]).screen, &script("check"));
}

/// Walks as the engine of an unchanged ceremony does; the acts that were announced, and what stopped it.
fn walk(script: Script, engine: &[Step]) -> (usize, Result<(), ScriptError>) {
    let mut room = Scripted::quiet(BTreeMap::new());
    let mut walk = Walk::begin(script);
    for (entered, step) in engine.iter().enumerate() {
        if let Err(error) = walk.enter(*step, &mut room) {
            return (entered, Err(error));
        }
    }
    (engine.len(), Ok(()))
}

fn steps(script: &Script) -> Vec<Step> {
    script.act.iter().map(|act| act.step).collect()
}

#[test]
fn an_act_that_is_missing_added_or_moved_stops_the_engine() {
    for name in ["found", "recover", "rotate", "check"] {
        let engine = steps(&script(name));
        assert!(walk(script(name), &engine).1.is_ok());
        for place in 0..engine.len() {
            let mut removed = script(name);
            removed.act.remove(place);
            let (entered, result) = walk(removed, &engine);
            assert!(
                matches!(result, Err(ScriptError::Left { wanted, .. }) if wanted == engine[place]),
                "{name} {place}"
            );
            assert_eq!(entered, place);

            let mut swapped = script(name);
            let other = (place + 1) % engine.len();
            swapped.act.swap(place, other);
            let (entered, result) = walk(swapped, &engine);
            assert!(matches!(result, Err(ScriptError::Left { .. })), "{name} {place}");
            assert_eq!(entered, place.min(other));
        }
        for place in 0..=engine.len() {
            let mut added = script(name);
            let (title, say) = ("More".to_owned(), "Something else.".to_owned());
            let step = if name == "check" { Step::Reveal } else { Step::Prove };
            added.act.insert(place, Act { step, who: Performer::Machine, title, say });
            assert!(matches!(walk(added, &engine).1, Err(ScriptError::Left { .. })), "{name} {place}");
        }
    }
}

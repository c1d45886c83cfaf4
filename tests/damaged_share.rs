//! A share that is damaged on every copy keeps its custodian out, before a PIN, and nobody else.

#[path = "harness/harness.rs"]
mod harness;

use harness::crew::Crew;
use harness::scene::{RECOVER, SECRET, Scene};

#[test]
fn a_damaged_share_stops_nobody_else() {
    let scene = Scene::new(2, 3);
    for copy in ["vault", "copy"] {
        let shares = scene.place.path(copy).join("generations/000002/shares");
        let first = std::fs::read_dir(&shares).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
        let mut bytes = std::fs::read(&first).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(first, bytes).unwrap();
    }
    // Neither copy would do alone, and nothing can mend them: that is an exception, and no lock-out.
    let crew = Crew::of(&[0, 1, 2]).choosing(&["go"]);
    let seen = scene.hold_with(&RECOVER, &["vault", "copy"], crew);
    seen.expect(0, &["card cannot take part: no copy has generations/000002/shares/01-"]);
    assert_eq!(seen.shown, [SECRET], "{}", seen.screen);
    // Two who opened their old share, and the same two who closed.
    assert_eq!(seen.pins_typed, 4, "{}", seen.screen);
}

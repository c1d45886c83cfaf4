//! The next people come: they run what `status` proposes, and get the credential.

use std::path::Path;

use crate::ground::{Run, VAULTS};
use crate::harness::inside::{Command, People, Site, told};
use crate::harness::scene::SECRET;
use crate::killed::nobody_starts;
use crate::truth::{Standing, examine};

/// These k custodians alone, and nobody else, go on from what stands in `dir`. Where there are several ways, `turn` chooses.
/// How many ceremonies they held.
///
/// # Panics
/// If they do not get what was sealed, or the site is not whole then.
pub fn go_on(dir: &Path, run: &Run, standing: &Standing, who: &[usize], turn: usize) -> usize {
    let mut next = Next { site: Site { dir: dir.to_owned() }, run, held: 0, shown: Vec::new() };
    next.finish(standing, who, turn);
    if run.command == Command::Found {
        // A vault without an item: its k shares are good if they open it.
        next.must(Command::Rotate, People::of(who));
    } else if next.shown.is_empty() {
        next.must(Command::Recover, People::of(who));
    }
    let shown = next.shown.first().map(String::as_str).unwrap_or_default();
    assert!(run.command == Command::Found || shown == SECRET, "{:?} came out", next.shown);
    let now = examine(dir, run, shown);
    assert!(now.ratified && now.next.is_none(), "it is not finished: {}", now.shape);
    next.held
}

struct Next<'a> {
    site: Site,
    run: &'a Run,
    held: usize,
    shown: Vec<String>,
}

impl Next<'_> {
    /// What `status` proposes.
    fn finish(&mut self, standing: &Standing, who: &[usize], turn: usize) {
        let everybody: Vec<usize> = (0..self.run.n).collect();
        match standing.next {
            // It takes all founders.
            Some(command) if standing.generation == 0 => self.must(command, People::of(&everybody)),
            Some(Command::Resume) => {
                let Err((said, screen)) = self.try_to(Command::Resume, People::of(who)) else { return };
                // One who was not in round 1 has no older key to give up: those who were there come too, or these few
                // go on over the generation that nobody has ratified.
                assert!(said.contains("can still be opened"), "{said}\n{screen}");
                assert!(self.shown.is_empty(), "it was shown before the generation was ratified");
                if turn.is_multiple_of(2) {
                    self.must(Command::Recover, People::of(who).choosing(&["over"]));
                } else {
                    self.must(Command::Resume, People::of(&everybody));
                }
            }
            Some(command) => self.must(command, People::of(who)),
            // Ratified, and the grant lasts: it is shown again.
            None if self.run.command == Command::Recover && standing.generation == 3 && turn.is_multiple_of(2) => {
                self.must(Command::Resume, People::of(who));
            }
            None if self.run.command == Command::Rotate && standing.generation == 1 => {
                self.must(Command::Rotate, People::of(who));
            }
            None => {}
        }
    }

    fn must(&mut self, command: Command, people: People) {
        if let Err((said, screen)) = self.try_to(command, people) {
            panic!("{command:?}: {said}\n{screen}");
        }
    }

    fn try_to(&mut self, command: Command, mut people: People) -> Result<(), (String, String)> {
        self.held += 1;
        let _alone = nobody_starts();
        let held = self.site.hold(command, &VAULTS, &mut people);
        assert!(!people.screen.contains("Something is wrong"), "{}", people.screen);
        self.shown.append(&mut people.shown);
        held.map_err(|error| (told(&error), people.screen))
    }
}

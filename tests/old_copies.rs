//! After a ratified ceremony no copy from before it can be opened, with any or all of the tokens.

#[path = "harness/harness.rs"]
mod harness;

use std::collections::BTreeSet;

use claviger::sealing::share::{ShareEnvelope, ShareRecord};
use claviger::sharing::{self, CheckedShare, Commitments};
use claviger::token::piv::Piv;
use claviger::transcript::GenerationState;
use harness::crew::{self, Crew, NAMES, Place};
use harness::scene::{self, RECOVER, SECRET, Scene};
use harness::table::Table;

/// A generation of an old copy, with the envelopes as they stand there.
struct Old {
    generation: GenerationState,
    envelopes: Vec<(u8, Vec<u8>)>,
}

impl Old {
    /// The current generation of the copy `name`.
    fn of(place: &Place, name: &str) -> Self {
        let copies = claviger::vault::Copies::open(&[place.path(name)]).unwrap();
        let judgement = claviger::transcript::judge(&copies.snapshot().unwrap());
        let generation = judgement.current().unwrap().clone();
        let shares = place.path(name).join("generations").join(&generation.directory).join("shares");
        let roster = &generation.manifest.plan.roster;
        let envelopes = roster.iter().map(|entry| {
            let file = shares.join(format!("{}.age", entry.stem()));
            (entry.index, std::fs::read(file).unwrap())
        });
        Self { envelopes: envelopes.collect(), generation }
    }

    fn k(&self) -> usize {
        self.generation.manifest.plan.k.into()
    }

    /// Tries every key in every slot of a token, PIN given, on every envelope. The shares that open.
    fn open_with(&self, piv: &mut Piv<'_>, index: usize) -> Vec<CheckedShare> {
        piv.verify_pin(&scene::pin(index)).unwrap();
        let manifest = &self.generation.manifest;
        let commitments = Commitments::new(manifest.commitments.clone()).unwrap();
        let mut opened = Vec::new();
        for (slot, key) in scene::keys(piv) {
            for (share, bytes) in &self.envelopes {
                let sealed_to = manifest.share_key(*share).unwrap().public;
                // The envelope as it is, and as if it were sealed to the key that is there.
                for recipient in BTreeSet::from([sealed_to, key]) {
                    let Ok(envelope) = ShareEnvelope::parse(bytes, &recipient) else { continue };
                    let shared = piv.ecdh(slot, envelope.encapsulated()).unwrap();
                    let record = ShareRecord {
                        vault: manifest.plan.vault,
                        generation: self.generation.generation,
                        index: *share,
                        k: manifest.plan.k,
                        n: manifest.plan.roster.len() as u8,
                        commitments: commitments.digest(),
                    };
                    if let Ok(value) = envelope.open(shared, &record) {
                        opened.push(sharing::check(&commitments, *share, value).unwrap());
                    }
                }
            }
        }
        opened
    }

    /// These shares do not combine.
    fn stays_closed(&self, shares: Vec<CheckedShare>) {
        assert!(shares.len() < self.k(), "{} shares of the old generation open", shares.len());
        let commitments = Commitments::new(self.generation.manifest.commitments.clone()).unwrap();
        let error = sharing::combine(&commitments, shares).err().expect("the old root was combined");
        assert!(error.to_string().contains("share"), "{error}");
    }
}

/// Every ceremony on the old copy, everybody there.
fn is_refused(scene: &Scene, old: &str, attended: &[usize]) {
    let everybody: Vec<usize> = (0..scene.n).collect();
    let files = crew::tree(&scene.place.path(old));
    for command in [RECOVER.as_slice(), &["rotate"]] {
        // Exception: the copy stands alone.
        let crew = Crew::of(&everybody).choosing(&["go"]);
        let seen = scene.hold_with(command, &[old], crew);
        let needed = format!("claviger: error: {} custodians are needed and", scene.k);
        seen.expect(
            3,
            &[&needed, "has closed generation 3, which this copy does not have: this copy is old, bring a newer one"],
        );
        seen.expect(3, &["claviger: hint: nothing is lost and nothing was revealed; bring"]).reveals_nothing();
        for &index in attended {
            let turned = format!("{}'s card cannot take part: it has closed generation 3", NAMES[index]);
            seen.expect(3, &[&turned]);
        }
    }
    let seen = scene.hold(&["resume"], &[old], &everybody);
    seen.expect(2, &["claviger: error: no ceremony is waiting to be finished", "claviger: hint:"]).reveals_nothing();
    assert_eq!(seen.pins_typed, 0);
    // Only those whose cards know better are there: they are turned away before they type anything.
    let seen = scene.hold(&["check"], &[old], &[]);
    seen.expect(3, &["this copy is old", "claviger: hint:"]).reveals_nothing();
    assert_eq!(seen.pins_typed, 0);
    // What was there is there, byte for byte.
    let after = crew::tree(&scene.place.path(old));
    assert!(files.iter().all(|(path, bytes)| after.get(path) == Some(bytes)));
    scene.no_try_was_lost();
}

fn an_old_copy_stays_closed(k: usize, n: usize, attending: &[usize]) {
    let scene = Scene::new(k, n);
    crew::copy_tree(&scene.place.path("vault"), &scene.place.path("old"));
    let before = Old::of(&scene.place, "old");
    let all = |old: &Old| -> Vec<CheckedShare> {
        (0..n).flat_map(|index| scene.with_token(index, |piv| old.open_with(piv, index))).collect()
    };
    // The trial can succeed: before the recover the same keys open every share.
    assert_eq!(all(&before).len(), n);
    scene.recovers(&["vault", "copy"], attending);

    let opened = all(&before);
    let indices: Vec<usize> = opened.iter().map(|share| usize::from(share.index()) - 1).collect();
    assert!(indices.iter().all(|index| !attending.contains(index)), "{indices:?} opened");
    assert_eq!(indices.len(), n - k, "absentees hold their shares of the old generation");
    before.stays_closed(opened);
    let current = Old::of(&scene.place, "vault");
    assert_eq!((current.generation.generation, all(&current).len()), (3, n));

    is_refused(&scene, "old", attending);
    // The absentees, of whom some took part on the old copy, serve the newest one as if nothing had been.
    scene.recovers(&["vault", "copy"], &(0..k).collect::<Vec<_>>());
    scene.recovers(&["vault", "copy"], &(n - k..n).collect::<Vec<_>>());
    // An old copy beside a new one: the new one counts, and the old one catches up.
    scene.recovers(&["old", "copy"], attending);
}

#[test]
fn two_of_three_with_the_absentee_first() {
    an_old_copy_stays_closed(2, 3, &[1, 2]);
}

#[test]
fn three_of_five_with_the_absentees_in_between() {
    an_old_copy_stays_closed(3, 5, &[0, 2, 4]);
}

#[test]
fn two_of_three_cards() {
    let table = Table::new(2, 3);
    crew::copy_tree(&table.place.path("vault"), &table.place.path("old"));
    let old = Old::of(&table.place, "old");
    let all = || -> Vec<CheckedShare> {
        (0..3).flat_map(|index| table.with_likeness(index, |piv| old.open_with(piv, index))).collect()
    };
    assert_eq!(all().len(), 3);
    let seen = table.hold(&RECOVER, &["vault", "copy"], Crew::of(&[0, 1]));
    assert_eq!(seen.expect(0, &[]).shown, [SECRET]);
    let opened = all();
    assert_eq!(opened.iter().map(CheckedShare::index).collect::<Vec<_>>(), [3]);
    old.stays_closed(opened);

    // Two of the three cards are turned away; the third is not even asked for its PIN.
    let mut terminal = table.start(&RECOVER, &["old"]);
    terminal.answer(harness::crew::CHOOSE, "go");
    terminal.answer(harness::crew::CONFIRM, "yes");
    for name in ["alice", "bob"] {
        assert!(terminal.expect("card cannot take part: it has closed generation 3").ends_with(&format!("{name}'s ")));
    }
    terminal.expect("claviger: error: 2 custodians are needed and 0 took part; not able to: alice (it has closed");
    terminal.expect_exit(3);
    assert!(!terminal.screen().contains(SECRET) && !terminal.screen().contains("your PIN"));
    table.no_try_was_lost();
    let seen = table.hold(&RECOVER, &["vault", "copy"], Crew::of(&[1, 2]));
    assert_eq!(seen.expect(0, &[]).shown, [SECRET]);
}

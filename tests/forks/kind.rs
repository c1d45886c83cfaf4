//! What kind of state this is: two states in which the same can happen have the same text.
//!
//! Left out: ids, times, keys' values, how often an anchor was written, and which sealed files stand already while others
//! do not. Ceremonies are called by their place in the order of their numbers and of the copies that they stand on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use std::rc::Rc;
use std::sync::Arc;

use claviger::encoding::Digest;
use claviger::transcript::{Checked, Manifest, Place, Plan, Record, RecordBody};

use crate::harness::crew::NAMES;
use crate::harness::world::{Card, Tree, World};

/// Reads tokens and documents, each once.
#[derive(Default)]
pub struct Reader {
    cards: HashMap<Digest, Rc<Card>>,
    plans: HashMap<Digest, Rc<Plan>>,
    manifests: HashMap<Digest, Rc<Manifest>>,
}

impl Reader {
    /// What all tokens of a world hold, by custodian.
    pub fn cards(&mut self, world: &World) -> BTreeMap<String, Rc<Card>> {
        let vault = vault(world);
        let mut read = |bytes: &Arc<[u8]>| {
            self.cards.entry(Digest::of(bytes)).or_insert_with(|| Rc::new(Card::read(bytes, vault))).clone()
        };
        world.tokens.iter().map(|(name, bytes)| (name.clone(), read(bytes))).collect()
    }

    /// Every ceremony that any copy knows, in the order of their names.
    pub fn ceremonies(&mut self, world: &World) -> Vec<Known> {
        let mut known: BTreeMap<Digest, Known> = BTreeMap::new();
        for (copy, tree) in &world.copies {
            for (path, bytes) in tree.iter().filter(|(path, _)| path.ends_with("/plan.json")) {
                let directory = path.strip_prefix("generations/").unwrap().strip_suffix("/plan.json").unwrap();
                let id = Digest::of(bytes);
                let plan = self.plans.entry(id).or_insert_with(|| Rc::new(Plan::read(bytes).unwrap())).clone();
                let new = Known { plan, id, manifest: None, directories: Vec::new(), committed: false };
                let known = known.entry(id).or_insert(new);
                let file = |name: &str| tree.get(&format!("generations/{directory}/{name}"));
                if let Some(bytes) = file("manifest.json") {
                    let digest = Digest::of(bytes);
                    let read = || Rc::new(Manifest::read(bytes).unwrap());
                    known.manifest = Some((digest, self.manifests.entry(digest).or_insert_with(read).clone()));
                }
                known.committed |= file("COMMIT").is_some();
                known.directories.push((copy.clone(), directory.to_owned()));
            }
        }
        let mut known: Vec<Known> = known.into_values().collect();
        known.sort_by_key(|known| (known.plan.number, known.directories.clone()));
        known
    }
}

/// The vault id.
pub fn vault(world: &World) -> Digest {
    Digest::of(&world.copies.values().next().unwrap()["vault.json"])
}

/// A ceremony as the copies have it.
pub struct Known {
    /// Its plan.
    pub plan: Rc<Plan>,
    /// Its id.
    pub id: Digest,
    /// Its manifest, if it was staged.
    pub manifest: Option<(Digest, Rc<Manifest>)>,
    /// Its directories: copy and name.
    pub directories: Vec<(String, String)>,
    /// A COMMIT stands on one of them.
    pub committed: bool,
}

/// The text of this state, custodian `i` being called by the name of `called[i]`.
pub fn kind(world: &World, reader: &mut Reader, called: &[usize]) -> String {
    let ceremonies = reader.ceremonies(world);
    let name = |id: &Digest| ceremonies.iter().position(|known| known.id == *id).map_or("?".into(), |p| p.to_string());
    let made = |manifest: Option<&Digest>| {
        let of = |known: &&Known| known.manifest.as_ref().map(|(digest, _)| digest) == manifest;
        ceremonies.iter().find(of).map_or("-".to_owned(), |known| name(&known.id))
    };
    let mut text = String::new();
    for known in &ceremonies {
        let plan = &known.plan;
        write!(
            text,
            "{}: {} {} {}<{}",
            name(&known.id),
            plan.number,
            plan.kind,
            plan.generation,
            made(plan.parent.as_ref())
        )
        .unwrap();
        write!(text, " on {}", plan.copies.len()).unwrap();
        plan.abandons.iter().for_each(|a| write!(text, " abandons {}", name(&a.ceremony)).unwrap());
        for exception in &plan.exceptions {
            let subject = exception.subject.parse().map_or(exception.subject.clone(), |id: Digest| name(&id));
            write!(text, " except {} {subject}", exception.kind).unwrap();
        }
        for (copy, directory) in &known.directories {
            write!(text, "\n  {copy}: {}", files(&world.copies[copy], directory, called)).unwrap();
        }
        text.push('\n');
    }
    for (copy, tree) in &world.copies {
        let records: BTreeSet<String> = tree.iter().filter_map(|(path, bytes)| record(path, bytes, &name)).collect();
        writeln!(text, "{copy}: {records:?}").unwrap();
    }
    let cards = reader.cards(world);
    let mut order: Vec<(usize, usize)> = called.iter().copied().enumerate().map(|(own, other)| (other, own)).collect();
    order.sort_unstable();
    for (name_here, custodian) in order.into_iter().map(|(other, own)| (NAMES[other], NAMES[own])) {
        let card = &cards[custodian];
        write!(text, "{name_here}:").unwrap();
        if let Some(anchor) = &card.anchor {
            let ceremony = anchor.ceremony.as_ref().map_or("-".to_owned(), |mark| name(&mark.id));
            write!(text, " closed {} in {ceremony} up to {}", made(anchor.manifest.as_ref()), anchor.number).unwrap();
            for key in &anchor.keys {
                let live = key.public.is_some_and(|public| card.has(&public));
                let state = [("reserved", key.public.is_none()), ("spent", key.spent), ("here", live)];
                let state: Vec<&str> = state.iter().filter(|(_, is)| *is).map(|(word, _)| *word).collect();
                write!(text, " {}:{}", key.made, state.join("+")).unwrap();
            }
        }
        for known in &ceremonies {
            let manifest = known.manifest.as_ref().map(|(_, manifest)| manifest);
            let index = known.plan.roster.iter().find(|entry| entry.name.as_str() == custodian).unwrap().index;
            let key = manifest.and_then(|manifest| manifest.share_key(index));
            if key.is_some_and(|key| card.has(&key.public)) {
                write!(text, " holds {}", name(&known.id)).unwrap();
            }
        }
        writeln!(text, " of {} keys, {} tries", card.keys.len(), card.tries).unwrap();
    }
    text
}

/// The documents of a directory, and how much of what is sealed.
fn files(tree: &Tree, directory: &str, called: &[usize]) -> String {
    let begin = format!("generations/{directory}/");
    let mut sealed = 0;
    let mut documents = Vec::new();
    for path in tree.keys().filter_map(|path| path.strip_prefix(&begin)) {
        if Place::of(&format!("{begin}{path}")).is_sealed() {
            sealed += 1;
        } else {
            documents.push(renamed(path.trim_end_matches(".json"), called));
        }
    }
    documents.sort();
    let staged = documents.iter().any(|document| document == "manifest");
    let sealed = if staged { sealed.to_string() } else { (sealed > 0).to_string() };
    format!("{}; sealed {sealed}", documents.join(" "))
}

/// `approvals/01-alice.sig` under the name that she is called by.
fn renamed(path: &str, called: &[usize]) -> String {
    let own = (0..called.len()).find(|index| path.contains(NAMES[*index]));
    let stem = |index: usize| format!("{:02}-{}", index + 1, NAMES[index]);
    own.map_or(path.to_owned(), |own| path.replace(&stem(own), &stem(called[own])))
}

fn record(path: &str, bytes: &Arc<[u8]>, name: &impl Fn(&Digest) -> String) -> Option<String> {
    if !path.starts_with("records/") {
        return None;
    }
    if path.ends_with(".sig") {
        return None;
    }
    let record = Record::read(bytes).ok()?;
    Some(match record.body {
        RecordBody::Check(_) => "check".to_owned(),
        RecordBody::Abandoned(body) => format!("abandoned {}", name(&body.ceremony)),
        RecordBody::Refused(body) => format!("refused {}", name(&body.ceremony)),
        RecordBody::Revealed(body) => format!("revealed {}", name(&body.ceremony)),
    })
}

//! One custodian after the other: wait for a card, say whose it is, ask the PIN, let the desk do its work.
//!
//! No PIN is sent but the one that was just typed, to the card that it was typed for. Between looking at a card and the
//! PIN no transaction is held; with the PIN everything happens in one transaction.

use std::collections::BTreeSet;
use std::collections::HashSet;

use crate::ceremony::CeremonyError;
use crate::encoding::{Digest, Name, PublicKey, Signature};
use crate::error::Advice;
use crate::fault::inspect;
use crate::interrupt;
use crate::room::{Room, Way};
use crate::secret::{self, Pin};
use crate::token::TokenError;
use crate::token::anchor::Anchor;
use crate::token::channel::{ChannelError, Presence, Source};
use crate::token::custody::{self, Session};
use crate::token::piv::Piv;
use crate::token::slot::Slot;
use crate::transcript::RosterEntry;

/// Where custodians come in a round, and what happens there.
pub trait Desk {
    /// What a served custodian leaves.
    type Outcome;

    /// Before the PIN: may this token take part? What it will do is said here.
    ///
    /// # Errors
    /// [`CeremonyError`] ends the round.
    fn admit(
        &mut self,
        entry: &RosterEntry,
        anchor: Option<&Anchor>,
        room: &mut dyn Room,
    ) -> Result<Admittance, CeremonyError>;

    /// With the PIN accepted, in one transaction.
    ///
    /// # Errors
    /// [`ServeError::Token`]: the custodian may try again; [`ServeError::Excluded`]: this token cannot take part;
    /// [`ServeError::Ceremony`] ends the round.
    fn serve(&mut self, visit: &mut Visit<'_, '_>, room: &mut dyn Room) -> Result<Self::Outcome, ServeError>;
}

/// The answer before the PIN.
#[derive(Debug)]
pub enum Admittance {
    /// Ask the PIN, after saying what it is for.
    Welcome(Vec<String>),
    /// The same, but only if nobody who is wanted more is here.
    StandsIn(Vec<String>),
    /// Not this token, for this reason.
    Turned(String),
}

/// One custodian at the desk, PIN accepted.
pub struct Visit<'v, 'c> {
    /// Who it is.
    pub entry: &'v RosterEntry,
    /// The card, in an exclusive transaction.
    pub piv: &'v mut Piv<'c>,
    /// The signing key, and the PIN that the card accepted in this transaction.
    pub session: &'v Session<'v>,
    /// The anchor as it stands in this transaction.
    pub anchor: Option<Anchor>,
}

/// Why a custodian was not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The card or its reader; the person may try again.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// This token cannot take part in this ceremony.
    #[error("{0}")]
    Excluded(String),
    /// The ceremony ends.
    #[error(transparent)]
    Ceremony(#[from] CeremonyError),
}

/// A round of attendances: who is wanted, who has been, which cards were looked at.
pub struct Round<'r> {
    vault: Digest,
    roster: &'r [RosterEntry],
    served: BTreeSet<u8>,
    excluded: Vec<(String, String)>,
    passed: HashSet<Presence>,
    deferred: HashSet<Presence>,
    /// Who was not in round 1, and is asked when nobody else is here.
    standing_in: HashSet<Presence>,
    needed: usize,
}

impl<'r> Round<'r> {
    /// A round in which `needed` of `roster` must be served.
    pub fn new(vault: Digest, roster: &'r [RosterEntry], needed: usize) -> Self {
        let (served, excluded) = (BTreeSet::new(), Vec::new());
        Self {
            vault,
            roster,
            served,
            excluded,
            passed: HashSet::new(),
            deferred: HashSet::new(),
            standing_in: HashSet::new(),
            needed,
        }
    }

    /// A round in which anybody of `roster` may be served, and nobody must.
    pub fn for_anybody(vault: Digest, roster: &'r [RosterEntry]) -> Self {
        Self::new(vault, roster, 0)
    }

    /// Further custodians are needed.
    pub fn need(&mut self, more: usize) {
        self.needed = self.served.len() + more;
    }

    /// Serves custodians until enough were served.
    ///
    /// # Errors
    /// [`CeremonyError::NotEnough`] when too few are left or people stop.
    pub fn run<D: Desk>(
        &mut self,
        source: &mut dyn Source,
        room: &mut dyn Room,
        desk: &mut D,
    ) -> Result<Vec<(u8, D::Outcome)>, CeremonyError> {
        let mut outcomes = Vec::new();
        while self.served.len() < self.needed {
            outcomes.push(self.next(source, room, desk)?);
        }
        Ok(outcomes)
    }

    /// Serves the next custodian.
    ///
    /// # Errors
    /// As [`Round::run`].
    pub fn next<D: Desk>(
        &mut self,
        source: &mut dyn Source,
        room: &mut dyn Room,
        desk: &mut D,
    ) -> Result<(u8, D::Outcome), CeremonyError> {
        self.announce(room);
        loop {
            let present = source.present()?;
            self.forget_absent(&present);
            for standing_in in [false, true] {
                for presence in &present {
                    if interrupt::requested() {
                        return Err(CeremonyError::Interrupted);
                    }
                    let done = self.passed.contains(presence) || self.deferred.contains(presence);
                    if done || standing_in != self.standing_in.contains(presence) {
                        continue;
                    }
                    if self.is_hopeless() {
                        return Err(self.not_enough());
                    }
                    if let Some(outcome) = self.offer(presence, source, room, desk)? {
                        return Ok(outcome);
                    }
                }
            }
            if self.is_hopeless() {
                return Err(self.not_enough());
            }
            self.wait(&present, source, room)?;
        }
    }

    /// How many of the roster could still come.
    fn left(&self) -> usize {
        let excluded: BTreeSet<&str> = self.excluded.iter().map(|(name, _)| name.as_str()).collect();
        let left =
            |entry: &&RosterEntry| !self.served.contains(&entry.index) && !excluded.contains(entry.name.as_str());
        self.roster.iter().filter(left).count()
    }

    /// Too few can still come: nobody spends a PIN and a share key on that.
    fn is_hopeless(&self) -> bool {
        self.left() == 0 || self.served.len() + self.left() < self.needed
    }

    fn not_enough(&self) -> CeremonyError {
        CeremonyError::NotEnough {
            needed: self.needed.max(1),
            served: self.served.len(),
            excluded: self.excluded.iter().map(|(name, why)| format!("{name} ({why})")).collect(),
        }
    }

    fn announce(&self, room: &mut dyn Room) {
        let missing = self.needed.saturating_sub(self.served.len());
        let names: Vec<&str> = self
            .roster
            .iter()
            .filter(|entry| !self.served.contains(&entry.index))
            .map(|entry| entry.name.as_str())
            .collect();
        if self.needed == 0 {
            room.say(&format!("\nWhose card comes next? {}.", names.join(", ")));
            return;
        }
        let cards = if missing == 1 { "1 more card is needed" } else { &format!("{missing} more cards are needed") };
        room.say(&format!("\n{cards}, in any order: {}.", names.join(", ")));
    }

    fn forget_absent(&mut self, present: &[Presence]) {
        self.passed.retain(|presence| present.contains(presence));
        self.deferred.retain(|presence| present.contains(presence));
        self.standing_in.retain(|presence| present.contains(presence));
    }

    /// Looks at one card; serves its custodian if it is one who is wanted and wants to.
    fn offer<D: Desk>(
        &mut self,
        presence: &Presence,
        source: &mut dyn Source,
        room: &mut dyn Room,
        desk: &mut D,
    ) -> Result<Option<(u8, D::Outcome)>, CeremonyError> {
        let reader = &presence.reader;
        let looked = match look(source, presence, &self.vault) {
            Ok(looked) => looked,
            Err(TokenError::Channel(ChannelError::Removed { .. })) => return Ok(None),
            Err(TokenError::Channel(ChannelError::Interrupted)) => return Err(CeremonyError::Interrupted),
            Err(error @ TokenError::Channel(ChannelError::Busy { .. })) => {
                room.warn(&format!("The card in {reader} cannot be asked whose it is: {error}."));
                room.say("   Nothing was done with it. Close the other program (gpg-agent, ykman, a browser).");
                self.deferred.insert(presence.clone());
                return Ok(None);
            }
            Err(error) => {
                room.warn(&format!("The card in {reader} cannot be used: {}.", crate::error::sentence(&error)));
                self.passed.insert(presence.clone());
                return Ok(None);
            }
        };
        let roster = self.roster;
        let entry = looked.signing_key.and_then(|key| roster.iter().find(|entry| entry.signing_key == key));
        let Some(entry) = entry else {
            room.warn(&format!(
                "The card in {reader} belongs to no custodian of this vault. Nothing was done with it."
            ));
            self.passed.insert(presence.clone());
            return Ok(None);
        };
        if self.served.contains(&entry.index) {
            room.say(&format!("This is {}'s card, and {} has done this round: take it out.", entry.name, entry.name));
            self.passed.insert(presence.clone());
            return Ok(None);
        }
        match desk.admit(entry, looked.anchor.as_ref(), room)? {
            Admittance::StandsIn(_) if !self.standing_in.contains(presence) => {
                self.standing_in.insert(presence.clone());
                Ok(None)
            }
            Admittance::Welcome(lines) | Admittance::StandsIn(lines) => {
                room.say(&format!("\n{}'s card is in {reader}.", entry.name));
                lines.iter().for_each(|line| room.say(line));
                self.invite(presence, entry, source, room, desk)
            }
            Admittance::Turned(reason) => {
                self.exclude(presence, entry, &reason, room);
                Ok(None)
            }
        }
    }

    fn exclude(&mut self, presence: &Presence, entry: &RosterEntry, reason: &str, room: &mut dyn Room) {
        room.warn(&format!("{}'s card cannot take part: {reason}.", entry.name));
        self.excluded.retain(|(name, _)| name != entry.name.as_str());
        self.excluded.push((entry.name.to_string(), reason.to_owned()));
        self.passed.insert(presence.clone());
    }

    fn invite<D: Desk>(
        &mut self,
        presence: &Presence,
        entry: &RosterEntry,
        source: &mut dyn Source,
        room: &mut dyn Room,
        desk: &mut D,
    ) -> Result<Option<(u8, D::Outcome)>, CeremonyError> {
        let vault = self.vault;
        match secret::apart(|| serve_with_pin(&vault, presence, entry, source, room, desk)) {
            Ok(Some(outcome)) => {
                inspect::stage(&format!("served {}", entry.name));
                self.served.insert(entry.index);
                self.excluded.retain(|(name, _)| name != entry.name.as_str());
                self.passed.insert(presence.clone());
                Ok(Some((entry.index, outcome)))
            }
            Ok(None) => {
                self.deferred.insert(presence.clone());
                Ok(None)
            }
            Err(ServeError::Token(TokenError::Channel(ChannelError::Interrupted))) => Err(CeremonyError::Interrupted),
            Err(ServeError::Token(error)) => {
                room.warn(&format!("{}'s card: {}.", entry.name, crate::error::sentence(&error)));
                if let Some(hint) = error.hint() {
                    room.say(&format!("   {hint}."));
                }
                self.deferred.insert(presence.clone());
                Ok(None)
            }
            Err(ServeError::Excluded(reason)) => {
                self.exclude(presence, entry, &reason, room);
                Ok(None)
            }
            Err(ServeError::Ceremony(error)) => Err(error),
        }
    }

    /// Nobody who is present goes on: waits for another card, or asks those present again.
    fn wait(
        &mut self,
        present: &[Presence],
        source: &mut dyn Source,
        room: &mut dyn Room,
    ) -> Result<(), CeremonyError> {
        if self.deferred.is_empty() {
            if source.software() {
                return Err(self.not_enough());
            }
            return wait_for_card(present, source, room);
        }
        let again = Way { word: "again", meaning: "ask the custodians whose cards are here once more" };
        let other = Way { word: "other", meaning: "wait for another card" };
        let stop = Way { word: "stop", meaning: "stop here; nothing is lost" };
        let ways: &[Way<'_>] = if source.software() { &[stop, again] } else { &[again, other, stop] };
        match ways[room.choose("Nobody whose card is here went on. What now?", ways)?].word {
            "again" => self.deferred.clear(),
            "other" => wait_for_card(present, source, room)?,
            _ => return Err(self.not_enough()),
        }
        Ok(())
    }
}

/// Asks for a card, once, and sleeps until one comes: that another is taken out is no news.
fn wait_for_card(present: &[Presence], source: &mut dyn Source, room: &mut dyn Room) -> Result<(), CeremonyError> {
    room.say("Insert the next card; take another one out if there is no free reader. (Ctrl-C stops.)");
    let mut seen = present.to_vec();
    loop {
        source.wait(&seen)?;
        let now = source.present()?;
        if now.iter().any(|presence| !seen.contains(presence)) {
            return Ok(());
        }
        seen = now;
    }
}

/// What a card shows without a PIN.
struct Looked {
    signing_key: Option<PublicKey>,
    anchor: Option<Anchor>,
}

fn look(source: &mut dyn Source, presence: &Presence, vault: &Digest) -> Result<Looked, TokenError> {
    let mut link = source.connect(presence)?;
    let mut piv = Piv::select(link.begin()?)?;
    read(&mut piv, vault)
}

fn read(piv: &mut Piv<'_>, vault: &Digest) -> Result<Looked, TokenError> {
    let signing_key = custody::identify(piv)?;
    let anchor = match &signing_key {
        Some(key) => custody::anchor_of(piv, key, *vault)?.anchor,
        None => None,
    };
    Ok(Looked { signing_key, anchor })
}

/// Asks the PIN, as often as the person wants and the card allows, and serves. `None`: the person passed.
fn serve_with_pin<D: Desk>(
    vault: &Digest,
    presence: &Presence,
    entry: &RosterEntry,
    source: &mut dyn Source,
    room: &mut dyn Room,
    desk: &mut D,
) -> Result<Option<D::Outcome>, ServeError> {
    loop {
        let Some(pin) = ask_pin(presence, &entry.name, source, room)? else { return Ok(None) };
        let mut link = source.connect(presence).map_err(TokenError::from)?;
        let mut piv = Piv::select(link.begin().map_err(TokenError::from)?)?;
        let looked = read(&mut piv, vault)?;
        if looked.signing_key != Some(entry.signing_key) {
            return Err(ServeError::Excluded("it is not the card that was there a moment ago".to_owned()));
        }
        match piv.verify_pin(&pin) {
            Ok(()) => inspect::stage(&format!("pin {}", entry.name)),
            Err(error @ TokenError::WrongPin { .. }) => {
                room.warn(&format!("{}.", crate::error::sentence(&error)));
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        let session = Session { signing_key: entry.signing_key, pin: &pin };
        let mut visit = Visit { entry, piv: &mut piv, session: &session, anchor: looked.anchor };
        return desk.serve(&mut visit, room).map(Some);
    }
}

/// Tries left are shown; the last one needs an explicit yes.
pub(super) fn ask_pin(
    presence: &Presence,
    name: &Name,
    source: &mut dyn Source,
    room: &mut dyn Room,
) -> Result<Option<Pin>, ServeError> {
    let tries = {
        let mut link = source.connect(presence).map_err(TokenError::from)?;
        Piv::select(link.begin().map_err(TokenError::from)?)?.pin_tries()?
    };
    let left = match tries {
        Some(0) => return Err(TokenError::PinBlocked.into()),
        Some(1) => {
            let question = format!(
                "{name}, your card has ONE PIN try left. If the next PIN is wrong, the card is blocked. Use the last try?"
            );
            if !room.confirm(&question).map_err(CeremonyError::from)? {
                return Ok(None);
            }
            " (LAST try)".to_owned()
        }
        Some(tries) => format!(" ({tries} tries left)"),
        None => String::new(),
    };
    let prompt = format!("{name}, your PIN{left}, or Enter alone if you do not want to go on:");
    Ok(room.ask_pin(name.as_str(), &prompt).map_err(CeremonyError::from)?)
}

/// The custodian's signature over `message`. Slot 9C wants the PIN before every signature: the one that this card accepted
/// in this transaction is sent again.
pub(super) fn sign(piv: &mut Piv<'_>, session: &Session<'_>, message: &[u8]) -> Result<Signature, TokenError> {
    piv.verify_pin_again(session.pin)?;
    piv.sign(Slot::Signature, &session.signing_key, message)
}

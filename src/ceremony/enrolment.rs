//! `enrol`: one custodian's token gets its signing key, or shows the one it has, and proves that it holds it.

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::encoding::{Name, Time};
use crate::interrupt;
use crate::room::{Room, RoomError};
use crate::secret::Pin;
use crate::token::TokenError;
use crate::token::attestation::{self, Roots};
use crate::token::channel::{Presence, Source};
use crate::token::custody::Session;
use crate::token::firmware::{self, Severity};
use crate::token::piv::Piv;
use crate::token::prepare;
use crate::token::slot::Slot;
use crate::transcript::{Class, Enrolment};

use super::CeremonyError;
use super::attendance::{ServeError, ask_pin, sign};

const FACTORY_PIN: &[u8] = b"123456";
const FACTORY_PUK: &[u8] = b"12345678";

/// Enrols the token that is present as `name`'s.
///
/// # Errors
/// [`CeremonyError`]; what was done to the token so far is kept, and enrolling again goes on from there.
pub fn enrol(
    source: &mut dyn Source,
    room: &mut dyn Room,
    name: &Name,
    group: Option<Name>,
) -> Result<Enrolment, CeremonyError> {
    let presence = the_token(source, room, name)?;
    room.say(&format!("The card in {} becomes {name}'s token.", presence.reader));
    if !source.software() {
        replace_factory_codes(source, room, &presence, name)?;
    }
    loop {
        let pin = ask_pin(&presence, name, source, room).map_err(unserved)?;
        let Some(pin) = pin else { return Err(RoomError::Stopped.into()) };
        let mut link = source.connect(&presence)?;
        let mut piv = Piv::select(link.begin()?)?;
        match piv.verify_pin(&pin) {
            Ok(()) => {}
            Err(error @ TokenError::WrongPin { .. }) => {
                room.warn(&format!("{}.", crate::error::sentence(&error)));
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        let software = source.software();
        if !software && is_factory(&pin, FACTORY_PIN) {
            // A card that does not tell (before firmware 5.3).
            drop(piv);
            drop(link);
            room.say("This is the factory PIN. Choose a PIN of 6 to 8 characters that only you know.");
            let new = choose(room, name, "PIN", FACTORY_PIN)?;
            let mut link = source.connect(&presence)?;
            Piv::select(link.begin()?)?.change_pin(&pin, &new)?;
            room.say(
                "The PIN is changed. If the PUK is the factory's too, change it with `ykman piv access change-puk`.",
            );
            continue;
        }
        return enrol_with_pin(&mut piv, &pin, room, name, group, software);
    }
}

fn unserved(error: ServeError) -> CeremonyError {
    match error {
        ServeError::Token(error) => error.into(),
        ServeError::Ceremony(error) => error,
        ServeError::Excluded(_) => CeremonyError::Declined,
    }
}

fn enrol_with_pin(
    piv: &mut Piv<'_>,
    pin: &Pin,
    room: &mut dyn Room,
    name: &Name,
    group: Option<Name>,
    software: bool,
) -> Result<Enrolment, CeremonyError> {
    let prepared = prepare::prepare(piv, pin)?;
    if prepared.adopted {
        room.say("The card had a signing key in slot 9c already; it is used as it is.");
    } else {
        room.say("The card made a signing key in slot 9c.");
    }
    let roots = Roots::new(&[])?;
    let key = prepared.signing_key;
    let attestation = attestation::attestation_of(piv, Slot::Signature, &key, &roots)?;
    if !software {
        for advisory in piv.version().map(|version| firmware::advisories_for(version, false)).unwrap_or_default() {
            room.warn(&format!("{}: {}", advisory.id, advisory.text));
            if advisory.severity == Severity::Refuse {
                return Err(CeremonyError::Enrolments { reason: format!("{} concerns this card", advisory.id) });
            }
        }
    }
    let class = if software { Class::Software } else { Class::Renewing };
    let session = Session { signing_key: key, pin };
    let enrolment = Enrolment::sign(name.clone(), group, (key, class, attestation), Time::now(), |bytes| {
        sign(piv, &session, bytes)
    })?;
    Ok(enrolment)
}

/// The one card that is present; waits for it.
fn the_token(source: &mut dyn Source, room: &mut dyn Room, name: &Name) -> Result<Presence, CeremonyError> {
    let mut told = false;
    loop {
        let present = source.present()?;
        let named = present.iter().find(|presence| source.software() && presence.reader == format!("{name}.token"));
        match (named, present.as_slice()) {
            (Some(presence), _) | (None, [presence]) => return Ok(presence.clone()),
            (None, []) if !told => room.say(&format!("Insert {name}'s card. (Ctrl-C stops.)")),
            (None, [_, ..]) if !told => {
                room.say(&format!("Several cards are here. Leave only {name}'s in. (Ctrl-C stops.)"));
            }
            _ => {}
        }
        told = true;
        if source.software() {
            return Err(CeremonyError::NotEnough { needed: 1, served: 0, excluded: Vec::new() });
        }
        source.wait(&present)?;
        if interrupt::requested() {
            return Err(CeremonyError::Interrupted);
        }
    }
}

/// A factory-new card gets a PIN and a PUK of the custodian's before anything else.
fn replace_factory_codes(
    source: &mut dyn Source,
    room: &mut dyn Room,
    presence: &Presence,
    name: &Name,
) -> Result<(), CeremonyError> {
    let (pin_is_default, puk_is_default) = {
        let mut link = source.connect(presence)?;
        let mut piv = Piv::select(link.begin()?)?;
        (piv.pin_is_default()? == Some(true), piv.puk_is_default()? == Some(true))
    };
    if pin_is_default {
        room.say("This card still has the factory PIN. Choose a PIN of 6 to 8 characters that only you know.");
        let new = choose(room, name, "PIN", FACTORY_PIN)?;
        let mut link = source.connect(presence)?;
        Piv::select(link.begin()?)?.change_pin(&factory(FACTORY_PIN)?, &new)?;
        room.say("The PIN is changed.");
    }
    if puk_is_default {
        room.say(
            "It also has the factory PUK, which unblocks a blocked PIN. Choose another, and keep it in a safe place.",
        );
        let new = choose(room, name, "PUK", FACTORY_PUK)?;
        let mut link = source.connect(presence)?;
        Piv::select(link.begin()?)?.change_puk(&factory(FACTORY_PUK)?, &new)?;
        room.say("The PUK is changed.");
    }
    Ok(())
}

fn factory(code: &[u8]) -> Result<Pin, CeremonyError> {
    Pin::new(Zeroizing::new(code.to_vec())).map_err(|_| CeremonyError::Declined)
}

fn is_factory(code: &Pin, factory: &[u8]) -> bool {
    let padded = code.padded();
    padded.starts_with(factory) && padded[factory.len()..].iter().all(|c| *c == 0xff)
}

fn choose(room: &mut dyn Room, name: &Name, what: &str, factory: &[u8]) -> Result<Pin, CeremonyError> {
    loop {
        let first = room.ask_pin(name.as_str(), &format!("{name}, your new {what}:"))?;
        let Some(first) = first else { return Err(RoomError::Stopped.into()) };
        let second = room.ask_pin(name.as_str(), &format!("The new {what} once more:"))?;
        let same = second.is_some_and(|second| bool::from(first.padded().ct_eq(second.padded().as_slice())));
        if !same {
            room.say("That was not the same twice. Nothing was changed; choose again.");
        } else if is_factory(&first, factory) {
            room.say("That is the factory's. Choose another.");
        } else {
            return Ok(first);
        }
    }
}

//! What happens when the rules do not let a token in: what people read, and which ways on they have.

use crate::room::{Room, Way};
use crate::transcript::{ExceptionKind, RosterEntry};

use super::Approving;
use crate::ceremony::CeremonyError;
use crate::ceremony::admission::Hindrance;
use crate::ceremony::plan::{exception, lost};

impl Approving<'_> {
    /// What happens when the rules do not let the token in. The reason, if the ceremony goes on without it.
    pub(super) fn stand_back(
        &self,
        entry: &RosterEntry,
        hindrance: Hindrance,
        room: &mut dyn Room,
    ) -> Result<String, CeremonyError> {
        let name = &entry.name;
        match hindrance {
            Hindrance::Number { shown } => {
                room.say(&format!(
                    "{name}'s token has been in a ceremony with number {shown}: this one begins again above it."
                ));
                Err(CeremonyError::Again { above: shown, exception: None })
            }
            Hindrance::Elsewhere { ceremony, number, started } => {
                let custodian = name.to_string();
                let error = CeremonyError::Elsewhere { custodian, ceremony, number, started: started.to_string() };
                room.warn(&format!("{error}."));
                let what = format!("ceremony {} (number {number}, begun {started})", ceremony.short());
                let question = format!(
                    "Nothing was changed on {name}'s token. The copy that {what} was written to can be brought, or not. What now?"
                );
                let stop = Way { word: "stop", meaning: "stop here, and come back with that copy as a further VAULT" };
                let without = Way { word: "without", meaning: "go on without this token" };
                let gone = Way {
                    word: "lost",
                    meaning: "no copy of that ceremony can be had, ever; an exception that k custodians approve",
                };
                match room.choose(&question, &[stop, without, gone])? {
                    0 => Err(error),
                    1 => Ok(format!("it is in {what}")),
                    _ => Err(CeremonyError::Again {
                        above: number,
                        exception: Some(Box::new(lost(ceremony.to_string(), number))),
                    }),
                }
            }
            Hindrance::NoAnchor => {
                room.warn(&format!("{name}'s token carries no readable note of this vault (its anchor)."));
                let without = Way { word: "without", meaning: "go on without this token" };
                let except =
                    Way { word: "except", meaning: "let it take part; an exception that k custodians approve" };
                if room.choose("What now?", &[without, except])? == 0 {
                    return Ok(describe(&Hindrance::NoAnchor));
                }
                let happened = format!("none on {name}'s token");
                let subject = name.to_string();
                Err(self.again(exception(ExceptionKind::AnchorMissing, "an anchor".to_owned(), happened, subject)))
            }
            other => Ok(describe(&other)),
        }
    }
}

/// The hindrance as a clause.
pub(in crate::ceremony) fn describe(hindrance: &Hindrance) -> String {
    match hindrance {
        Hindrance::NoAnchor => "it carries no readable anchor of this vault".to_owned(),
        Hindrance::Ahead { closed } => {
            format!(
                "it has closed generation {closed}, which this copy does not have: this copy is old, bring a newer one"
            )
        }
        Hindrance::OtherLine { closed } => {
            format!(
                "it has closed another generation {closed} than the one in this copy: bring the copy that has that one"
            )
        }
        Hindrance::Elsewhere { ceremony, number, started } => {
            format!("it is in ceremony {} (number {number}, begun {started})", ceremony.short())
        }
        Hindrance::ImpossibleNumber { shown } => {
            format!("it claims to have been in a ceremony with number {shown}, which cannot be")
        }
        Hindrance::Number { shown } | Hindrance::CannotGoBack { shown } => {
            format!("it has been in a ceremony with number {shown}, and never goes back")
        }
    }
}

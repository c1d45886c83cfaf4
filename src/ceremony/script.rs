//! The ceremony scripts of `ceremonies/`, and the engine's walk along them.
//!
//! A [`Walk`] lets the engine enter the acts of its script in their order only. An engine that wants to skip an act, or
//! to do one that the script does not have, is stopped: what people hold in their hands is what happens.

use serde::Deserialize;

use crate::room::Room;
use crate::transcript::CeremonyKind;

/// A step of the engine, in the words of the scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// What the machine can tell about itself.
    Preflight,
    /// What will be done.
    Plan,
    /// Round 1.
    Approve,
    /// The next generation is made.
    Stage,
    /// It is written, read back, and signed.
    Commit,
    /// Round 2.
    Close,
    /// The credential is shown.
    Reveal,
    /// A check: one card after the other.
    Prove,
    /// What to do afterwards.
    End,
}

/// Who performs an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Performer {
    /// Drives the script.
    Administrator,
    /// Each in turn, with a card.
    Custodians,
    /// The person for whom a credential is recovered.
    Requester,
    /// The program.
    Machine,
}

/// One act of a script.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Act {
    /// The engine's step.
    pub step: Step,
    /// Who performs it.
    pub who: Performer,
    /// Its title.
    pub title: String,
    /// What is said when it begins.
    pub say: String,
}

/// A ceremony as data.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// `claviger/v1 script`.
    pub format: String,
    /// The ceremony's name.
    pub ceremony: String,
    /// Its title.
    pub title: String,
    /// Its acts in order.
    pub act: Vec<Act>,
}

const FORMAT: &str = "claviger/v1 script";

/// A script of this program cannot be read: a mistake of its makers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// Not TOML of this form.
    #[error("the ceremony script cannot be read")]
    Parse(#[source] Box<toml::de::Error>),
    /// Another format.
    #[error("the ceremony script has the format {0:?}")]
    Format(String),
    /// The engine left the script.
    #[error("the engine wants to {wanted:?} where the script says {expected:?}")]
    Left {
        /// The engine's step.
        wanted: Step,
        /// The script's next step, if it is not at its end.
        expected: Option<Step>,
    },
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// [`ScriptError`].
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let script: Self = toml::from_str(text).map_err(|error| ScriptError::Parse(Box::new(error)))?;
        if script.format == FORMAT { Ok(script) } else { Err(ScriptError::Format(script.format)) }
    }

    /// The script of a ceremony that makes a generation.
    ///
    /// # Errors
    /// [`ScriptError`].
    pub fn of(kind: CeremonyKind) -> Result<Self, ScriptError> {
        Self::parse(match kind {
            CeremonyKind::Found => include_str!("../../ceremonies/found.toml"),
            CeremonyKind::Recover => include_str!("../../ceremonies/recover.toml"),
            CeremonyKind::Rotate => include_str!("../../ceremonies/rotate.toml"),
        })
    }

    /// The script of `check`.
    ///
    /// # Errors
    /// [`ScriptError`].
    pub fn check() -> Result<Self, ScriptError> {
        Self::parse(include_str!("../../ceremonies/check.toml"))
    }
}

/// The engine's walk along a script.
pub struct Walk {
    script: Script,
    next: usize,
}

impl Walk {
    /// From the first act.
    pub fn begin(script: Script) -> Self {
        Self { script, next: 0 }
    }

    /// From the first act of `step` on: an interrupted ceremony that goes on.
    pub fn resume(script: Script, step: Step) -> Self {
        let next = script.act.iter().position(|act| act.step == step).unwrap_or(script.act.len());
        Self { script, next }
    }

    /// Enters the next act, which must be `step`, and announces it.
    ///
    /// # Errors
    /// [`ScriptError::Left`] if the script says otherwise.
    pub fn enter(&mut self, step: Step, room: &mut dyn Room) -> Result<(), ScriptError> {
        let act = self.script.act.get(self.next);
        // The engine stops after the end: a script that goes on then is left too.
        if step == Step::End
            && act.is_some_and(|act| act.step == step)
            && let Some(more) = self.script.act.get(self.next + 1)
        {
            return Err(ScriptError::Left { wanted: step, expected: Some(more.step) });
        }
        match act {
            Some(act) if act.step == step => {
                room.act(&format!("{} of {}: {}", self.next + 1, self.script.act.len(), act.title));
                room.say(&act.say);
                self.next += 1;
                Ok(())
            }
            _ => Err(ScriptError::Left { wanted: step, expected: act.map(|act| act.step) }),
        }
    }

    /// A ceremony that begins again (above a higher number) goes back to its plan.
    pub fn again(&mut self) {
        self.next = self.script.act.iter().position(|act| act.step == Step::Plan).unwrap_or(self.next);
    }
}

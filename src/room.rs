//! What a ceremony needs of people. The engine speaks to this trait only; a terminal or a script stands behind it.

pub mod scripted;
pub mod terminal;

use crate::error::{Advice, Exit};
use crate::secret::{Pin, SecretBytes};

/// The people around the machine.
pub trait Room {
    /// The title of an act.
    fn act(&mut self, title: &str);

    /// One paragraph of what happened or is about to happen.
    fn say(&mut self, text: &str);

    /// Something that a person must not overlook.
    fn warn(&mut self, text: &str);

    /// A question whose answer `no` is always safe, and the default.
    ///
    /// # Errors
    /// [`RoomError::Stopped`] on Ctrl-C or end of input.
    fn confirm(&mut self, question: &str) -> Result<bool, RoomError>;

    /// One line of text, echoed.
    ///
    /// # Errors
    /// [`RoomError::Stopped`] on Ctrl-C or end of input.
    fn ask(&mut self, question: &str) -> Result<String, RoomError>;

    /// One of several ways on; the first is the safe one, and the default. Returns its index.
    ///
    /// # Errors
    /// [`RoomError::Stopped`] on Ctrl-C or end of input.
    fn choose(&mut self, question: &str, ways: &[Way<'_>]) -> Result<usize, RoomError>;

    /// The PIN or PUK of `who`'s token, without echo. `None`: Enter alone. Asks again by itself when what was typed cannot
    /// be a PIN (nothing is sent to the card then).
    ///
    /// # Errors
    /// [`RoomError::Stopped`] on Ctrl-C or end of input.
    fn ask_pin(&mut self, who: &str, prompt: &str) -> Result<Option<Pin>, RoomError>;

    /// Any other secret, without echo. `None`: Enter alone.
    ///
    /// # Errors
    /// [`RoomError::Stopped`] on Ctrl-C or end of input.
    fn ask_secret(&mut self, prompt: &str) -> Result<Option<SecretBytes>, RoomError>;

    /// Shows a secret where it leaves no trace (the terminal's alternate screen) until a key is pressed.
    ///
    /// # Errors
    /// [`RoomError`] if it cannot be shown so.
    fn show_secret(&mut self, title: &str, secret: &SecretBytes) -> Result<(), RoomError>;
}

/// One answer to [`Room::choose`].
#[derive(Debug, Clone, Copy)]
pub struct Way<'a> {
    /// The word that is typed.
    pub word: &'a str,
    /// What it does.
    pub meaning: &'a str,
}

/// People could not be asked, or did not want to go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RoomError {
    /// Ctrl-C or end of input at a prompt.
    #[error("stopped at a question")]
    Stopped,
    /// There is no terminal.
    #[error("this command needs a person at a terminal, and there is none")]
    NoTerminal,
    /// The terminal failed.
    #[error("the terminal cannot be used")]
    Terminal(#[source] std::io::Error),
    /// The secret is not text that a terminal can show.
    #[error("the credential is not text that a screen can show")]
    NotText,
}

impl Advice for RoomError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Stopped => "nothing is lost: `claviger status` says where the vault stands and what to run next",
            Self::NoTerminal => "run it at a terminal, without redirecting its input",
            Self::Terminal(_) => "run it at another terminal",
            Self::NotText => "write it to a file with --out FILE, or pass it on with --to COMMAND",
        };
        Some(hint.to_owned())
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Stopped => Exit::Person,
            Self::NoTerminal | Self::Terminal(_) | Self::NotText => Exit::Usage,
        }
    }
}

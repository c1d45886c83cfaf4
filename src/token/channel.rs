//! How bytes reach a card: PC/SC, or a software card in this process. Everything above speaks only these three traits.

use zeroize::Zeroizing;

use crate::error::{Advice, Exit};

/// Where tokens come from: the readers of PC/SC, or a directory of software tokens.
pub trait Source {
    /// Whether these are software tokens, good for drills only.
    fn software(&self) -> bool;

    /// The tokens that are here now, by reader.
    ///
    /// # Errors
    /// [`ChannelError`] if the source cannot be asked.
    fn present(&mut self) -> Result<Vec<Presence>, ChannelError>;

    /// Sleeps until what is present differs from `seen`, without a loop that burns a core.
    ///
    /// # Errors
    /// [`ChannelError::Interrupted`] on Ctrl-C; otherwise as [`Source::present`].
    fn wait(&mut self, seen: &[Presence]) -> Result<(), ChannelError>;

    /// Connects to the card of `presence`.
    ///
    /// # Errors
    /// [`ChannelError::Removed`] if it is not the same insertion any more.
    fn connect(&mut self, presence: &Presence) -> Result<Box<dyn Link>, ChannelError>;
}

impl<S: Source + ?Sized> Source for &mut S {
    fn software(&self) -> bool {
        (**self).software()
    }

    fn present(&mut self) -> Result<Vec<Presence>, ChannelError> {
        (**self).present()
    }

    fn wait(&mut self, seen: &[Presence]) -> Result<(), ChannelError> {
        (**self).wait(seen)
    }

    fn connect(&mut self, presence: &Presence) -> Result<Box<dyn Link>, ChannelError> {
        (**self).connect(presence)
    }
}

/// One card in one reader, until it is taken out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Presence {
    /// The reader's name as PC/SC gives it, or the software token's file name.
    pub reader: String,
    /// Counts insertions, so that a card that was swapped is not taken for the one before.
    pub insertion: u64,
}

/// A connection to one card. It is not renewed by itself: once the card is gone, every use fails.
pub trait Link {
    /// Begins an exclusive transaction; no other program reaches the card until the channel is dropped. Dropping it ends
    /// the transaction and resets the card's security state, so that no PIN stays verified for whoever comes next.
    ///
    /// # Errors
    /// [`ChannelError`] if the card is gone or another program holds it.
    fn begin(&mut self) -> Result<Box<dyn Channel + '_>, ChannelError>;
}

/// An exclusive transaction with one card.
pub trait Channel {
    /// Sends one command APDU and returns the response APDU, SW1 SW2 last. No chaining, no retries.
    ///
    /// # Errors
    /// [`ChannelError::Removed`] if the card was pulled: then it is unknown whether the card executed the command.
    fn transmit(&mut self, apdu: &[u8]) -> Result<Zeroizing<Vec<u8>>, ChannelError>;
}

/// A card or its reader cannot be reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The smart-card service does not answer.
    #[error("the smart-card service (pcscd) does not answer")]
    NoService(#[source] Option<pcsc::Error>),
    /// No reader is connected.
    #[error("no smart-card reader is connected")]
    NoReader,
    /// The card was pulled, or another card is in its place.
    #[error("the card in {reader} was removed")]
    Removed {
        /// The reader's name.
        reader: String,
    },
    /// Another program holds the card.
    #[error("another program is using the card in {reader}")]
    Busy {
        /// The reader's name.
        reader: String,
    },
    /// Ctrl-C while waiting.
    #[error("stopped by Ctrl-C")]
    Interrupted,
    /// The reader or the service failed in another way.
    #[error("the reader {reader} failed")]
    Reader {
        /// The reader's name.
        reader: String,
        /// What PC/SC said.
        #[source]
        source: pcsc::Error,
    },
    /// A software token's file cannot be read or written.
    #[error("the software token {file} cannot be used: {reason}")]
    Soft {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
}

impl Advice for ChannelError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoService(_) => {
                "start it with `systemctl start pcscd` (or `pcscd -f` as root), then run the command again"
            }
            Self::NoReader => "plug a reader or a YubiKey in, then run the command again",
            Self::Removed { .. } => {
                "nothing is lost: insert the card again and leave it in until you are told to take it out"
            }
            Self::Busy { .. } => {
                "close other programs that use the card (gpg-agent, ykman, a browser), then run the command again"
            }
            Self::Interrupted => "run the command again, or `claviger status` to see where the vault stands",
            Self::Reader { .. } => "take the card out, insert it again, and run the command again",
            Self::Soft { .. } => "check the directory after --tokens soft:DIR",
        };
        Some(hint.to_owned())
    }

    fn exit(&self) -> Exit {
        match self {
            Self::NoService(_) | Self::NoReader | Self::Soft { .. } => Exit::Usage,
            Self::Removed { .. } | Self::Busy { .. } | Self::Interrupted | Self::Reader { .. } => Exit::Person,
        }
    }
}

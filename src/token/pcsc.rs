//! Cards behind PC/SC (pcsc-lite). A reader may be a YubiKey itself: readers come and go like cards.

use std::ffi::CString;
use std::time::Duration;

use pcsc::{Card, Context, Error, Protocols, ReaderState, Scope, ShareMode, State};
use zeroize::Zeroizing;

use crate::interrupt;
use crate::token::channel::{Channel, ChannelError, Link, Presence, Source};

use transaction::{GivenUp, Held, NotBegun};

mod transaction;

/// How long one wait in the service lasts at most. Between listing the readers and waiting one may be plugged in, and a
/// cancellation may come before the wait begins: both are then noticed this late.
const WAIT: Duration = Duration::from_secs(3);
/// How often a list of readers that changes while it is asked for is asked for again.
const LISTINGS: usize = 10;

/// The readers of the smart-card service.
pub struct PcscSource {
    context: Context,
}

impl PcscSource {
    /// Connects to the smart-card service.
    ///
    /// # Errors
    /// [`ChannelError::NoService`]; [`ChannelError::NoReader`] if there is none at all.
    pub fn new() -> Result<Self, ChannelError> {
        let context = Context::establish(Scope::User).map_err(|error| ChannelError::NoService(Some(error)))?;
        let source = Self { context };
        if source.readers()?.is_empty() { Err(ChannelError::NoReader) } else { Ok(source) }
    }

    fn readers(&self) -> Result<Vec<CString>, ChannelError> {
        match self.context.list_readers_owned() {
            Ok(readers) => Ok(readers),
            Err(Error::NoReadersAvailable) => Ok(Vec::new()),
            Err(error) => Err(failed("list", error)),
        }
    }

    /// The state of every reader as it is now.
    fn states(&self) -> Result<Vec<ReaderState>, ChannelError> {
        for _ in 0..LISTINGS {
            let readers = self.readers()?;
            let mut states: Vec<_> =
                readers.into_iter().map(|reader| ReaderState::new(reader, State::UNAWARE)).collect();
            if states.is_empty() {
                return Ok(states);
            }
            match self.context.get_status_change(Duration::ZERO, &mut states) {
                Ok(()) | Err(Error::Timeout) => return Ok(states),
                // One was unplugged since they were listed.
                Err(Error::UnknownReader | Error::ReaderUnavailable) => {}
                Err(error) => return Err(failed("status", error)),
            }
        }
        Err(ChannelError::NoReader)
    }

    fn sleep(&self, states: &mut Vec<ReaderState>) -> Result<(), ChannelError> {
        states.push(ReaderState::new(pcsc::PNP_NOTIFICATION(), State::UNAWARE));
        states.iter_mut().for_each(ReaderState::sync_current_state);
        let context = self.context.clone();
        let _cancel = interrupt::on_interrupt(move || {
            // Nobody may be waiting: then there is nothing to cancel.
            let _ = context.cancel();
        });
        match self.context.get_status_change(WAIT, states) {
            Ok(()) | Err(Error::Timeout | Error::Cancelled | Error::UnknownReader | Error::ReaderUnavailable) => Ok(()),
            Err(error) => Err(failed("status", error)),
        }
    }
}

fn present(states: &[ReaderState]) -> Vec<Presence> {
    let with_card = states.iter().filter(|state| state.event_state().contains(State::PRESENT));
    let mut present: Vec<Presence> = with_card
        .map(|state| Presence {
            reader: state.name().to_string_lossy().into_owned(),
            insertion: u64::from(state.event_count()),
        })
        .collect();
    present.sort_by(|a, b| a.reader.cmp(&b.reader));
    present
}

impl Source for PcscSource {
    fn software(&self) -> bool {
        false
    }

    fn present(&mut self) -> Result<Vec<Presence>, ChannelError> {
        Ok(present(&self.states()?))
    }

    fn wait(&mut self, seen: &[Presence]) -> Result<(), ChannelError> {
        loop {
            if interrupt::requested() {
                return Err(ChannelError::Interrupted);
            }
            let mut states = self.states()?;
            let now = present(&states);
            if now.len() != seen.len() || now.iter().any(|presence| !seen.contains(presence)) {
                return Ok(());
            }
            self.sleep(&mut states)?;
        }
    }

    fn connect(&mut self, presence: &Presence) -> Result<Box<dyn Link>, ChannelError> {
        let reader = &presence.reader;
        let card = connect(reader)?;
        // Looked at after connecting: a card that was swapped before has another count, one that is swapped later makes
        // the connection fail.
        if self.present()?.contains(presence) {
            Ok(Box::new(PcscLink { card: Some(card), reader: reader.clone() }))
        } else {
            Err(ChannelError::Removed { reader: reader.clone() })
        }
    }
}

struct PcscLink {
    /// `None` while a transaction has it, and after a wait that was given up: then another connection is made.
    card: Option<Card>,
    reader: String,
}

impl Link for PcscLink {
    fn begin(&mut self) -> Result<Box<dyn Channel + '_>, ChannelError> {
        let card = match self.card.take() {
            Some(card) => card,
            None => connect(&self.reader)?,
        };
        match Held::begin(card) {
            Ok(held) => Ok(Box::new(PcscChannel { held: Some(held), link: self })),
            Err(NotBegun::Stopped) => Err(ChannelError::Interrupted),
            Err(NotBegun::Busy) => Err(ChannelError::Busy { reader: self.reader.clone() }),
            Err(NotBegun::Failed(error, card)) => {
                self.card = card;
                Err(failed(&self.reader, error))
            }
        }
    }
}

/// A connection in a context of its own: whoever waits in a context keeps all others of that context waiting.
fn connect(reader: &str) -> Result<Card, ChannelError> {
    let name = CString::new(reader).map_err(|_| ChannelError::Removed { reader: reader.to_owned() })?;
    let connected = transaction::patiently(move || {
        let context = Context::establish(Scope::User)?;
        context.connect(&name, ShareMode::Shared, Protocols::ANY)
    });
    match connected {
        Ok(connected) => connected.map_err(|error| failed(reader, error)),
        Err(GivenUp::Stopped) => Err(ChannelError::Interrupted),
        Err(GivenUp::Busy) => Err(ChannelError::Busy { reader: reader.to_owned() }),
    }
}

struct PcscChannel<'a> {
    /// `None` only while it is dropped.
    held: Option<Held>,
    link: &'a mut PcscLink,
}

impl Channel for PcscChannel<'_> {
    fn transmit(&mut self, apdu: &[u8]) -> Result<Zeroizing<Vec<u8>>, ChannelError> {
        let removed = || ChannelError::Removed { reader: self.link.reader.clone() };
        let held = self.held.as_ref().ok_or_else(removed)?;
        let name = match apdu {
            [_, ins, p1, p2, ..] => format!("{ins:02X} {p1:02X}{p2:02X}"),
            _ => String::new(),
        };
        crate::fault::point(&format!("apdu:before:{name}"));
        let answer = held.transmit(apdu);
        crate::fault::point(&format!("apdu:after:{name}"));
        let answer = answer.map_err(|error| failed(&self.link.reader, error))?;
        // A card that is pulled in the middle of a command "answers" nothing, successfully.
        if answer.len() < 2 { Err(removed()) } else { Ok(answer) }
    }
}

impl Drop for PcscChannel<'_> {
    fn drop(&mut self) {
        self.link.card = self.held.take().and_then(Held::end);
    }
}

fn failed(reader: &str, error: Error) -> ChannelError {
    let reader = reader.to_owned();
    match error {
        Error::NoService | Error::ServiceStopped | Error::Shutdown | Error::InvalidHandle => {
            ChannelError::NoService(Some(error))
        }
        Error::NoReadersAvailable => ChannelError::NoReader,
        Error::RemovedCard
        | Error::ResetCard
        | Error::NoSmartcard
        | Error::NotTransacted
        | Error::CommError
        | Error::UnknownReader
        | Error::ReaderUnavailable => ChannelError::Removed { reader },
        Error::SharingViolation => ChannelError::Busy { reader },
        Error::Cancelled => ChannelError::Interrupted,
        source => ChannelError::Reader { reader, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_service_says_is_told_apart() {
        assert!(matches!(failed("r", Error::NoService), ChannelError::NoService(Some(_))));
        assert!(matches!(failed("r", Error::ServiceStopped), ChannelError::NoService(Some(_))));
        assert!(matches!(failed("r", Error::NoReadersAvailable), ChannelError::NoReader));
        assert!(matches!(failed("r", Error::SharingViolation), ChannelError::Busy { .. }));
        for gone in
            [Error::RemovedCard, Error::ResetCard, Error::NoSmartcard, Error::NotTransacted, Error::UnknownReader]
        {
            assert!(matches!(failed("r", gone), ChannelError::Removed { reader } if reader == "r"), "{gone:?}");
        }
        assert!(matches!(failed("r", Error::UnresponsiveCard), ChannelError::Reader { .. }));
    }
}

//! An exclusive transaction, held by a thread of its own.
//!
//! SCardConnect and SCardBeginTransaction (winscard) wait for as long as another program has the card, and nothing ends that
//! wait. So it is not the ceremony's thread that waits: that one listens for Ctrl-C, and gives up after a while.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use pcsc::{Card, Disposition, Error, Protocols, ShareMode, Transaction};
use zeroize::Zeroizing;

use crate::interrupt;
use crate::secret;

/// Other programs have a card for moments. One that has it longer is told of.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the thread says.
enum Said {
    Begun,
    Failed(Error),
    Answered(Result<Zeroizing<Vec<u8>>, Error>),
    /// Not the thread: Ctrl-C.
    Stopped,
}

/// What another thread was asked to do was not done in time.
pub(super) enum GivenUp {
    /// Ctrl-C.
    Stopped,
    /// Another program has the card.
    Busy,
}

/// Has another thread do `work`. Where the wait is given up, what comes of it is dropped there.
pub(super) fn patiently<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, GivenUp> {
    let (say, said) = channel();
    let stop = say.clone();
    let thread = std::thread::Builder::new().name("card".to_owned());
    let spawned = thread.spawn(move || drop(say.send(Some(work()))));
    let _cancel = interrupt::on_interrupt(move || drop(stop.send(None)));
    match said.recv_timeout(PATIENCE) {
        Ok(Some(done)) => Ok(done),
        Ok(None) => Err(GivenUp::Stopped),
        // Without a thread nothing will ever be said.
        Err(_) => Err(if spawned.is_ok() { GivenUp::Busy } else { GivenUp::Stopped }),
    }
}

/// Why there is no transaction.
pub(super) enum NotBegun {
    /// Ctrl-C.
    Stopped,
    /// Another program has the card.
    Busy,
    /// The service said so; the connection is given back where it is still of use.
    Failed(Error, Option<Card>),
}

/// A transaction that has begun.
pub(super) struct Held {
    commands: Sender<Zeroizing<Vec<u8>>>,
    said: Receiver<Said>,
    thread: JoinHandle<Card>,
}

impl Held {
    /// Waits for the card. Where the wait is given up, the thread waits on, and lets go of the card as soon as it gets it.
    pub fn begin(card: Card) -> Result<Self, NotBegun> {
        let (commands, received) = channel();
        let (say, said) = channel();
        let stop = say.clone();
        let thread = std::thread::Builder::new().name("card".to_owned()).spawn(move || hold(card, &received, &say));
        let thread = thread.map_err(|_| NotBegun::Failed(Error::NoMemory, None))?;
        let _cancel = interrupt::on_interrupt(move || {
            let _ = stop.send(Said::Stopped);
        });
        match said.recv_timeout(PATIENCE) {
            Ok(Said::Begun) => Ok(Self { commands, said, thread }),
            Ok(Said::Stopped) => Err(NotBegun::Stopped),
            Ok(Said::Failed(error)) => Err(NotBegun::Failed(error, thread.join().ok())),
            Ok(Said::Answered(_)) | Err(RecvTimeoutError::Disconnected) => {
                Err(NotBegun::Failed(Error::InternalError, None))
            }
            Err(RecvTimeoutError::Timeout) => Err(NotBegun::Busy),
        }
    }

    /// Sends a command to the card and waits for its answer.
    pub fn transmit(&self, apdu: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.commands.send(Zeroizing::new(apdu.to_vec())).map_err(|_| Error::InternalError)?;
        loop {
            match self.said.recv() {
                Ok(Said::Answered(answer)) => return answer,
                // A command that was sent is waited for: Ctrl-C stops the ceremony at a place where it can go on.
                Ok(Said::Stopped | Said::Begun) => {}
                Ok(Said::Failed(error)) => return Err(error),
                Err(_) => return Err(Error::InternalError),
            }
        }
    }

    /// Ends the transaction. The connection, for the next one.
    pub fn end(self) -> Option<Card> {
        let Self { commands, thread, .. } = self;
        drop(commands);
        thread.join().ok()
    }
}

/// What the thread does: the whole transaction, until nobody sends commands any more.
fn hold(mut card: Card, commands: &Receiver<Zeroizing<Vec<u8>>>, say: &Sender<Said>) -> Card {
    match begin(&mut card) {
        Err(error) => {
            let _ = say.send(Said::Failed(error));
        }
        // Nobody waits any more, and nothing was done with the card: it is left as it is.
        Ok(transaction) if say.send(Said::Begun).is_err() => drop(transaction.end(Disposition::LeaveCard)),
        Ok(transaction) => {
            while let Ok(apdu) = commands.recv() {
                let answer = secret::apart(|| transmit(&transaction, &apdu));
                drop(apdu);
                if say.send(Said::Answered(answer)).is_err() {
                    break;
                }
            }
            // Reset, not left: the PIN would stay verified for whatever program uses the card next. If the card is gone
            // there is nothing to reset, and dropping what is left of the transaction ends it.
            drop(transaction.end(Disposition::ResetCard));
        }
    }
    card
}

fn begin(card: &mut Card) -> Result<Transaction<'_>, Error> {
    match card.transaction2() {
        Ok(transaction) => Ok(transaction),
        // Somebody reset the card since, or we did when the last transaction ended. It is the same card: a swap is
        // reported differently. Nothing was verified yet that could be lost.
        Err((card, Error::ResetCard)) => {
            card.reconnect(ShareMode::Shared, Protocols::ANY, Disposition::LeaveCard)?;
            card.transaction()
        }
        Err((_, error)) => Err(error),
    }
}

fn transmit(transaction: &Transaction<'_>, apdu: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut buffer = Zeroizing::new(vec![0; pcsc::MAX_BUFFER_SIZE]);
    let length = transaction.transmit(apdu, &mut buffer)?.len();
    buffer.truncate(length);
    Ok(buffer)
}

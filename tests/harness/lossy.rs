//! A source whose cards lose one command or one answer.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use claviger::token::channel::{Channel, ChannelError, Link, Presence, Source};
use zeroize::Zeroizing;

use super::Pull;

/// What becomes of the card that was pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It is inserted again at once.
    Inserted,
    /// It stays out.
    Gone,
}

/// Software tokens; the card of one command is pulled.
pub struct LossySource<S> {
    inner: S,
    loss: Rc<RefCell<Loss>>,
}

/// The one command.
struct Loss {
    /// How many commands are answered before it.
    left: u64,
    when: Pull,
    then: Then,
    /// Which card was pulled.
    pulled: Option<String>,
    /// How often each card was inserted again.
    again: BTreeMap<String, u64>,
}

impl<S: Source> LossySource<S> {
    /// Pulls the card at command `number` (from 1) of all that are sent.
    pub fn new(inner: S, number: u64, when: Pull, then: Then) -> Self {
        let loss = Loss { left: number - 1, when, then, pulled: None, again: BTreeMap::new() };
        Self { inner, loss: Rc::new(RefCell::new(loss)) }
    }

    /// The card that was pulled.
    pub fn pulled(&self) -> Option<String> {
        self.loss.borrow().pulled.clone()
    }
}

impl<S: Source> Source for LossySource<S> {
    fn software(&self) -> bool {
        self.inner.software()
    }

    fn present(&mut self) -> Result<Vec<Presence>, ChannelError> {
        let loss = self.loss.borrow();
        let out = loss.pulled.as_ref().filter(|_| loss.then == Then::Gone);
        let present = self.inner.present()?.into_iter().filter(|presence| Some(&presence.reader) != out);
        let count = |presence: &Presence| loss.again.get(&presence.reader).copied().unwrap_or_default();
        let insertion = |presence: &Presence| presence.insertion.wrapping_add(count(presence));
        Ok(present.map(|presence| Presence { insertion: insertion(&presence), ..presence }).collect())
    }

    fn wait(&mut self, seen: &[Presence]) -> Result<(), ChannelError> {
        self.inner.wait(seen)
    }

    fn connect(&mut self, presence: &Presence) -> Result<Box<dyn Link>, ChannelError> {
        let again = self.loss.borrow().again.get(&presence.reader).copied().unwrap_or_default();
        let reader = presence.reader.clone();
        let inner = Presence { reader: reader.clone(), insertion: presence.insertion.wrapping_sub(again) };
        let inner = self.inner.connect(&inner)?;
        Ok(Box::new(LossyLink { inner, reader, again, loss: self.loss.clone() }))
    }
}

struct LossyLink {
    inner: Box<dyn Link>,
    reader: String,
    /// The card's insertion when the link was made.
    again: u64,
    loss: Rc<RefCell<Loss>>,
}

impl Link for LossyLink {
    fn begin(&mut self) -> Result<Box<dyn Channel + '_>, ChannelError> {
        let (reader, loss, again) = (self.reader.as_str(), self.loss.as_ref(), self.again);
        Ok(Box::new(LossyChannel { inner: self.inner.begin()?, reader, again, loss }))
    }
}

struct LossyChannel<'a> {
    inner: Box<dyn Channel + 'a>,
    reader: &'a str,
    again: u64,
    loss: &'a RefCell<Loss>,
}

impl Channel for LossyChannel<'_> {
    fn transmit(&mut self, apdu: &[u8]) -> Result<Zeroizing<Vec<u8>>, ChannelError> {
        let removed = || ChannelError::Removed { reader: self.reader.to_owned() };
        let mut loss = self.loss.borrow_mut();
        if loss.again.get(self.reader).copied().unwrap_or_default() != self.again {
            return Err(removed());
        }
        if loss.pulled.is_some() || loss.left > 0 {
            loss.left = loss.left.saturating_sub(1);
            drop(loss);
            return self.inner.transmit(apdu);
        }
        if loss.when == Pull::AfterCommand {
            self.inner.transmit(apdu)?;
        }
        loss.pulled = Some(self.reader.to_owned());
        *loss.again.entry(self.reader.to_owned()).or_default() += 1;
        Err(removed())
    }
}

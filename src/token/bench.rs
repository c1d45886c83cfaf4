//! Software cards on a bench: in this process, and cut off at a chosen APDU. For tests.

use std::cell::RefCell;
use std::rc::Rc;

use zeroize::Zeroizing;

use crate::secret::Pin;
use crate::token::channel::{Channel, ChannelError};
use crate::token::piv::Piv;
use crate::token::prepare;
use crate::token::soft::{SoftCard, SoftCardOptions};

/// Where a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Never,
    /// The n-th APDU of the transaction does not reach the card.
    Before(u64),
    /// The card executes the n-th APDU, and its answer is lost.
    After(u64),
}

/// A software card that outlives the transactions.
#[derive(Clone)]
pub(crate) struct Bench {
    pub(crate) card: Rc<RefCell<SoftCard>>,
}

pub(crate) fn pin() -> Pin {
    Pin::new(Zeroizing::new(b"123456".to_vec())).unwrap()
}

impl Bench {
    /// A card as it leaves the factory.
    pub(crate) fn new(firmware: (u8, u8, u8)) -> Self {
        let options = SoftCardOptions { firmware, ..SoftCardOptions::default() };
        Self { card: Rc::new(RefCell::new(SoftCard::create(options).unwrap())) }
    }

    /// A card that was prepared for custody.
    pub(crate) fn prepared(firmware: (u8, u8, u8)) -> Self {
        let bench = Self::new(firmware);
        let mut piv = bench.open();
        prepare::prepare(&mut piv, &pin()).unwrap();
        drop(piv);
        bench
    }

    pub(crate) fn copy(&self) -> Self {
        let bytes = self.card.borrow().to_bytes();
        Self { card: Rc::new(RefCell::new(SoftCard::from_bytes(&bytes).unwrap())) }
    }

    /// Selected, without a PIN.
    pub(crate) fn piv(&self, cut: Cut) -> Result<Piv<'static>, crate::token::TokenError> {
        self.card.borrow_mut().power_on();
        Piv::select(Box::new(BenchChannel { card: self.card.clone(), cut, sent: 0 }))
    }

    /// Selected, with the PIN verified.
    pub(crate) fn open(&self) -> Piv<'static> {
        let mut piv = self.piv(Cut::Never).unwrap();
        piv.verify_pin(&pin()).unwrap();
        piv
    }
}

struct BenchChannel {
    card: Rc<RefCell<SoftCard>>,
    cut: Cut,
    sent: u64,
}

impl Channel for BenchChannel {
    fn transmit(&mut self, apdu: &[u8]) -> Result<Zeroizing<Vec<u8>>, ChannelError> {
        self.sent += 1;
        let removed = || ChannelError::Removed { reader: "bench".to_owned() };
        match self.cut {
            Cut::Before(n) if self.sent >= n => Err(removed()),
            Cut::After(n) if self.sent > n => Err(removed()),
            Cut::After(n) if self.sent == n => {
                self.card.borrow_mut().answer(apdu);
                Err(removed())
            }
            _ => Ok(Zeroizing::new(self.card.borrow_mut().answer(apdu))),
        }
    }
}

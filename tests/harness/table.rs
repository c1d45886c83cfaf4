//! Virtual YubiKeys in the readers of a real pcscd, and a vault founded with them.

use claviger::token::channel::{Channel, ChannelError};
use claviger::token::piv::Piv;
use claviger::token::soft::SoftCard;
use zeroize::Zeroizing;

use super::crew::{self, Crew, NAMES, Place};
use super::scene::{ITEM, SECRET, Seen, arguments};
use super::{Pcscd, Terminal, VirtualCard};

/// Cards, each in its own reader.
pub struct Table {
    /// The service.
    pub pcscd: Pcscd,
    /// Custodian `index` has card `index`, in reader `index`.
    pub cards: Vec<VirtualCard>,
    /// Where everything else is.
    pub place: Place,
}

impl Table {
    /// `n` cards enrolled and inserted; no vault yet.
    #[track_caller]
    pub fn enrolled(k: usize, n: usize) -> Self {
        let place = Place::new(k);
        let pcscd = Pcscd::start(n);
        let mut cards: Vec<VirtualCard> =
            (0..n).map(|index| crew::virtual_yubikey(5_000_000 + index as u32, (5, 7, 1))).collect();
        for (index, card) in cards.iter_mut().enumerate() {
            pcscd.insert(index, card);
            let output = place.text(&format!("{}.json", NAMES[index]));
            let args = ["enrol", "--name", NAMES[index], "-o", &output];
            let mut terminal = crew::claviger("pcsc", &args, Some(&pcscd));
            assert_eq!(Crew::of(&[index]).hold(&mut terminal, || {}), 0, "{}", terminal.screen());
            pcscd.remove(index, card);
        }
        let mut table = Self { pcscd, cards, place };
        for index in 0..n {
            table.insert(index);
        }
        table
    }

    /// Founded, with one item in generation 2.
    #[track_caller]
    pub fn new(k: usize, n: usize) -> Self {
        let table = Self::enrolled(k, n);
        let everybody: Vec<usize> = (0..n).collect();
        assert_eq!(crew::found(&table.place, "pcsc", &everybody, Some(&table.pcscd), || {}), 0);
        table.place.seal(ITEM, "opaque", SECRET.as_bytes());
        table.hold(&["rotate"], &["vault", "copy"], Crew::of(&everybody[..k])).expect(0, &[]);
        table
    }

    /// Puts card `index` into its reader.
    pub fn insert(&mut self, index: usize) {
        self.pcscd.insert(index, &mut self.cards[index]);
    }

    /// Takes it out.
    pub fn remove(&mut self, index: usize) {
        self.pcscd.remove(index, &mut self.cards[index]);
    }

    /// `COMMAND... VAULT...` on a terminal.
    pub fn start(&self, command: &[&str], vaults: &[&str]) -> Terminal {
        let args = arguments(&self.place, command, vaults);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        crew::claviger("pcsc", &args, Some(&self.pcscd))
    }

    /// Holds the ceremony to its end.
    #[track_caller]
    pub fn hold(&self, command: &[&str], vaults: &[&str], mut crew: Crew) -> Seen {
        let mut terminal = self.start(command, vaults);
        let code = crew.hold(&mut terminal, || {});
        Seen { code, screen: terminal.screen().to_owned(), shown: crew.shown, pins_typed: crew.pins_typed }
    }

    /// Does something with a likeness of card `index`: the card itself does not notice.
    pub fn with_likeness<T>(&self, index: usize, action: impl FnOnce(&mut Piv<'_>) -> T) -> T {
        let bytes = self.cards[index].state().to_bytes();
        let likeness = Likeness(SoftCard::from_bytes(&bytes).unwrap());
        action(&mut Piv::select(Box::new(likeness)).unwrap())
    }

    /// PIN tries left on every card.
    pub fn tries(&self) -> Vec<u8> {
        let tries = |index| self.with_likeness(index, |piv| piv.pin_tries().unwrap().unwrap());
        (0..self.cards.len()).map(tries).collect()
    }

    /// How many PINs each card ever refused: a good PIN makes the tries whole again, and not this.
    pub fn refused_pins(&self) -> Vec<u64> {
        self.cards.iter().map(|card| card.state().refused_pins()).collect()
    }

    /// No card has ever lost a PIN try.
    #[track_caller]
    pub fn no_try_was_lost(&self) {
        assert!(self.tries().iter().all(|tries| *tries == 3), "PIN tries left: {:?}", self.tries());
        assert!(self.refused_pins().iter().all(|refused| *refused == 0), "refused PINs: {:?}", self.refused_pins());
    }
}

struct Likeness(SoftCard);

impl Channel for Likeness {
    fn transmit(&mut self, apdu: &[u8]) -> Result<Zeroizing<Vec<u8>>, ChannelError> {
        Ok(Zeroizing::new(self.0.answer(apdu)))
    }
}

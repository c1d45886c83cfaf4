//! A software card in a reader of vpcd, which a test inserts, pulls and touches.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use claviger::token::soft::{SoftCard, Statistics, Touch};

/// When a card is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pull {
    /// The command does not reach the card.
    BeforeCommand,
    /// The card has executed the command; its answer is lost.
    AfterCommand,
}

/// A card that a test holds in its hand.
pub struct VirtualCard {
    card: Arc<Mutex<SoftCard>>,
    shared: Arc<Shared>,
    inserted: Option<(TcpStream, JoinHandle<()>)>,
}

#[derive(Default)]
struct Shared {
    /// The commands that count (header prefix), how many of them are still answered, and what happens at the one after.
    pull: Mutex<Option<(String, u64, Pull)>>,
    /// Header of every command and status of its answer (none: pulled).
    commands: Mutex<Vec<String>>,
    /// Whether the reader has powered the card since it was inserted.
    powered: Mutex<bool>,
    power: Condvar,
}

impl VirtualCard {
    /// A card outside any reader; `Pcscd::insert` and `Pcscd::remove` move it.
    pub fn new(card: SoftCard) -> Self {
        Self { card: Arc::new(Mutex::new(card)), shared: Arc::default(), inserted: None }
    }

    pub(super) fn insert_into(&mut self, port: u16) {
        self.remove();
        *self.shared.powered.lock().unwrap() = false;
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("vpcd listens");
        stream.set_nodelay(true).unwrap();
        let (card, shared) = (Arc::clone(&self.card), Arc::clone(&self.shared));
        let served = stream.try_clone().unwrap();
        let thread = std::thread::spawn(move || {
            serve(&served, &card, &shared);
            let _ = served.shutdown(Shutdown::Both);
        });
        self.inserted = Some((stream, thread));
    }

    pub(super) fn wait_for_power(&self, patience: Duration) {
        let powered = self.shared.powered.lock().unwrap();
        let (powered, _) = self.shared.power.wait_timeout_while(powered, patience, |powered| !*powered).unwrap();
        assert!(*powered, "no reader has powered the card");
    }

    pub(super) fn remove(&mut self) {
        if let Some((stream, thread)) = self.inserted.take() {
            let _ = stream.shutdown(Shutdown::Both);
            thread.join().expect("the card's thread does not panic");
        }
        self.card.lock().unwrap().power_on();
    }

    /// Lets `count` more APDUs through and pulls the card at the one after.
    pub fn pull_after(&self, count: u64, when: Pull) {
        self.pull_at("", count, when);
    }

    /// Pulls the card at a command with this header, for example `0087 119C` or `0087`, after `count` others of these.
    pub fn pull_at(&self, header: &str, count: u64, when: Pull) {
        *self.shared.pull.lock().unwrap() = Some((header.to_owned(), count, when));
    }

    /// Takes back what `pull_after` or `pull_at` said.
    pub fn pull_never(&self) {
        *self.shared.pull.lock().unwrap() = None;
    }

    /// Whether the pull of `pull_after` has happened, or none was asked for.
    pub fn pulled(&self) -> bool {
        self.shared.pull.lock().unwrap().is_none()
    }

    /// Grants or withholds touches.
    pub fn set_touch(&self, touch: Touch) {
        self.state().set_touch(touch);
    }

    /// The card itself.
    pub fn state(&self) -> MutexGuard<'_, SoftCard> {
        self.card.lock().unwrap()
    }

    /// What the card was asked for.
    pub fn statistics(&self) -> Statistics {
        self.state().statistics()
    }

    /// The commands so far: header and status word, for example `0020 0080 63C2`.
    pub fn commands(&self) -> Vec<String> {
        self.shared.commands.lock().unwrap().clone()
    }
}

impl Drop for VirtualCard {
    fn drop(&mut self) {
        if let Some((stream, thread)) = self.inserted.take() {
            let _ = stream.shutdown(Shutdown::Both);
            let _ = thread.join();
        }
    }
}

/// Speaks vpcd's protocol until the connection ends: length (two bytes, big-endian) and message; a message of one byte
/// is a control command (0 off, 1 on, 2 reset, 4 ATR), a longer one an APDU.
fn serve(stream: &TcpStream, card: &Mutex<SoftCard>, shared: &Shared) {
    let mut incoming = stream;
    let send = |bytes: &[u8]| {
        let message = [&(bytes.len() as u16).to_be_bytes(), bytes].concat();
        let mut outgoing = stream;
        outgoing.write_all(&message).is_ok()
    };
    let mut atr = card.lock().unwrap().power_on();
    loop {
        // vpcd sends the length by itself: without this the rest waits 40 ms for a delayed acknowledgement.
        let _ = rustix::net::sockopt::set_tcp_quickack(stream, true);
        let mut length = [0; 2];
        if incoming.read_exact(&mut length).is_err() {
            return;
        }
        let mut message = vec![0; u16::from_be_bytes(length).into()];
        if incoming.read_exact(&mut message).is_err() {
            return;
        }
        let alive = match message.as_slice() {
            [control @ 0..=2] => {
                atr = card.lock().unwrap().power_on();
                if *control == 1 {
                    *shared.powered.lock().unwrap() = true;
                    shared.power.notify_all();
                }
                true
            }
            [4] => send(&atr),
            [] | [_] => return,
            apdu => match execute(apdu, card, shared) {
                Some(answer) => send(&answer),
                None => return,
            },
        };
        if !alive {
            return;
        }
    }
}

/// The answer, or `None` if the card is pulled now.
fn execute(apdu: &[u8], card: &Mutex<SoftCard>, shared: &Shared) -> Option<Vec<u8>> {
    let header = apdu.iter().take(4).map(|byte| format!("{byte:02X}")).collect::<Vec<_>>();
    let header = format!("{} {}", header[..header.len().min(2)].concat(), header[header.len().min(2)..].concat());
    let mut pull = shared.pull.lock().unwrap();
    let now = match &mut *pull {
        Some((wanted, ..)) if !header.starts_with(wanted.as_str()) => None,
        Some((_, 0, when)) => Some(*when),
        Some((_, left, _)) => {
            *left -= 1;
            None
        }
        None => None,
    };
    let answer = if now == Some(Pull::BeforeCommand) { None } else { Some(card.lock().unwrap().answer(apdu)) };
    let status = answer.as_ref().map_or("lost".to_owned(), |answer| hex::encode_upper(&answer[answer.len() - 2..]));
    shared.commands.lock().unwrap().push(format!("{header} {status}"));
    if now.is_some() {
        *pull = None;
        return None;
    }
    answer
}

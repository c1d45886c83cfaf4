//! A room without people, for drills: it knows the software tokens' PINs, answers as a willing crew would, and tells
//! the story on standard output.

use std::collections::BTreeMap;
use std::io::Write;

use zeroize::Zeroizing;

use super::{Room, RoomError, Way};
use crate::secret::{Pin, SecretBytes};

/// The crew of a drill.
pub struct Scripted {
    pins: BTreeMap<String, String>,
    shown: Vec<SecretBytes>,
    quiet: bool,
}

impl Scripted {
    /// A crew whose software tokens have these PINs, by custodian. The PINs of a drill are no secrets: it says them.
    pub fn new(pins: BTreeMap<String, String>) -> Self {
        Self { pins, shown: Vec::new(), quiet: false }
    }

    /// The same crew, saying nothing.
    pub fn quiet(pins: BTreeMap<String, String>) -> Self {
        Self { pins, shown: Vec::new(), quiet: true }
    }

    /// What the crew was shown, in order.
    pub fn shown(&self) -> &[SecretBytes] {
        &self.shown
    }

    /// The custodians who take part from now on; the others press Enter when asked for their PIN.
    pub fn attend(&mut self, pins: BTreeMap<String, String>) {
        self.pins = pins;
    }

    fn print(&self, text: &str) {
        if !self.quiet {
            // A drill goes on when nobody reads its story.
            let _ = writeln!(std::io::stdout(), "{text}");
        }
    }
}

impl Room for Scripted {
    fn act(&mut self, title: &str) {
        self.print(&format!("\n-- {title} --"));
    }

    fn say(&mut self, text: &str) {
        self.print(text);
    }

    fn warn(&mut self, text: &str) {
        self.print(&format!("!! {text}"));
    }

    fn confirm(&mut self, question: &str) -> Result<bool, RoomError> {
        self.print(&format!("{question} [the drill answers: yes]"));
        Ok(true)
    }

    fn ask(&mut self, question: &str) -> Result<String, RoomError> {
        self.print(&format!("{question} [the drill answers with an empty line]"));
        Ok(String::new())
    }

    fn choose(&mut self, question: &str, ways: &[Way<'_>]) -> Result<usize, RoomError> {
        let word = ways.first().map_or("", |way| way.word);
        self.print(&format!("{question} [the drill answers: {word}]"));
        Ok(0)
    }

    fn ask_pin(&mut self, who: &str, prompt: &str) -> Result<Option<Pin>, RoomError> {
        let Some(pin) = self.pins.get(who) else {
            self.print(&format!("{prompt} [{who} is not here today]"));
            return Ok(None);
        };
        self.print(&format!("{prompt} [the drill types {who}'s PIN]"));
        Pin::new(Zeroizing::new(pin.clone().into_bytes())).map(Some).map_err(|_| RoomError::Stopped)
    }

    fn ask_secret(&mut self, prompt: &str) -> Result<Option<SecretBytes>, RoomError> {
        self.print(&format!("{prompt} [the drill types nothing]"));
        Ok(None)
    }

    fn show_secret(&mut self, title: &str, secret: &SecretBytes) -> Result<(), RoomError> {
        let copy = Zeroizing::new(secret.expose_secret().to_vec());
        self.print(&format!("{title} [shown on the alternate screen in a real ceremony]"));
        self.shown.push(SecretBytes::new(copy));
        Ok(())
    }
}

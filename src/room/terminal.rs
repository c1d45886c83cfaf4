//! The room behind a terminal: questions on standard error, answers from standard input, both terminals.
//!
//! Echo is off from the first to the last question, so that what is typed too early is not shown; it is thrown away
//! before each prompt, so that a PIN meant for one card never reaches another. Standard output is never written here.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::termios::{self, LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios};
use zeroize::{Zeroize, Zeroizing};

use super::{Room, RoomError, Way};
use crate::fault::inspect;
use crate::interrupt;
use crate::report::readable;
use crate::secret::{Pin, SecretBytes};

const COLUMNS: usize = 88;
const LONGEST_ANSWER: usize = 4096;
const ALTERNATE_ON: &str = "\x1b[?1049h\x1b[2J\x1b[H";
const ALTERNATE_OFF: &str = "\x1b[2J\x1b[3J\x1b[H\x1b[?1049l";

/// A person at a terminal.
pub struct Terminal {
    input: File,
    output: File,
    before: Termios,
}

impl Terminal {
    /// Takes the terminal of standard input and standard error.
    ///
    /// # Errors
    /// [`RoomError::NoTerminal`] unless both are terminals.
    pub fn open() -> Result<Self, RoomError> {
        let (stdin, stderr) = (io::stdin(), io::stderr());
        if !termios::isatty(&stdin) || !termios::isatty(&stderr) {
            return Err(RoomError::NoTerminal);
        }
        let own = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map(File::from).map_err(RoomError::Terminal);
        let (input, output) = (own(stdin.as_fd())?, own(stderr.as_fd())?);
        let before = termios::tcgetattr(&input).map_err(terminal_error)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL);
        termios::tcsetattr(&input, OptionalActions::Now, &quiet).map_err(terminal_error)?;
        Ok(Self { input, output, before })
    }

    fn print(&mut self, text: &str) -> Result<(), RoomError> {
        self.output.write_all(text.as_bytes()).and_then(|()| self.output.flush()).map_err(RoomError::Terminal)
    }

    fn paragraph(&mut self, first: &str, text: &str) {
        let wrapped = wrap(&plain(text), COLUMNS - first.chars().count());
        let indent = " ".repeat(first.chars().count());
        for (number, line) in wrapped.iter().enumerate() {
            let prefix = if number == 0 { first } else { &indent };
            // What a broken terminal cannot show must not stop a ceremony that is under way.
            let _ = self.print(&format!("{prefix}{line}\n"));
        }
    }

    /// Discards what was typed before, prints the prompt, reads one line key by key.
    fn line(&mut self, prompt: &str, echo: bool) -> Result<Zeroizing<Vec<u8>>, RoomError> {
        let _raw = Raw::enter(&self.input)?;
        termios::tcflush(&self.input, QueueSelector::IFlush).map_err(terminal_error)?;
        self.print(&plain(prompt))?;
        // Filled within its capacity, so that no longer copy is left behind.
        let mut line = Zeroizing::new(Vec::with_capacity(LONGEST_ANSWER));
        loop {
            match self.key()? {
                b'\r' | b'\n' => break,
                0x03 => return self.stopped(),
                0x04 if line.is_empty() => return self.stopped(),
                0x7f | 0x08 => {
                    if erase_character(&mut line) && echo {
                        self.print("\x08 \x08")?;
                    }
                }
                0x15 => {
                    while erase_character(&mut line) {
                        if echo {
                            self.print("\x08 \x08")?;
                        }
                    }
                }
                key if key < 0x20 || line.len() == LONGEST_ANSWER => {}
                key => {
                    line.push(key);
                    if echo {
                        self.output.write_all(&[key]).map_err(RoomError::Terminal)?;
                    }
                }
            }
        }
        self.print("\n")?;
        Ok(line)
    }

    fn stopped<T>(&mut self) -> Result<T, RoomError> {
        self.print("\n")?;
        Err(RoomError::Stopped)
    }

    fn key(&mut self) -> Result<u8, RoomError> {
        loop {
            if interrupt::requested() {
                return Err(RoomError::Stopped);
            }
            let mut waited = vec![PollFd::new(&self.input, PollFlags::IN)];
            waited.extend(interrupt::descriptor().map(|bell| PollFd::from_borrowed_fd(bell, PollFlags::IN)));
            match rustix::event::poll(&mut waited, None) {
                Ok(_) if waited[0].revents().is_empty() => continue,
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(terminal_error(error)),
            }
            let mut key = [0; 1];
            let read = self.input.read(&mut key).map_err(RoomError::Terminal)?;
            let byte = key[0];
            key.zeroize();
            return if read == 0 { Err(RoomError::Stopped) } else { Ok(byte) };
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(&self.input, OptionalActions::Now, &self.before);
    }
}

impl Room for Terminal {
    fn act(&mut self, title: &str) {
        let rule = "-".repeat((COLUMNS - 4).saturating_sub(title.chars().count()));
        let _ = self.print(&format!("\n-- {title} {rule}\n"));
    }

    fn say(&mut self, text: &str) {
        self.paragraph("", text);
    }

    fn warn(&mut self, text: &str) {
        self.paragraph("!! ", text);
    }

    fn confirm(&mut self, question: &str) -> Result<bool, RoomError> {
        loop {
            self.paragraph("", question);
            let answer = self.line("   yes or no [no]: ", true)?;
            match answer.to_ascii_lowercase().as_slice() {
                b"yes" => return Ok(true),
                b"" | b"no" | b"n" => return Ok(false),
                _ => self.say("   Please type the whole word yes, or no."),
            }
        }
    }

    fn ask(&mut self, question: &str) -> Result<String, RoomError> {
        let answer = self.line(&format!("{question} "), true)?;
        Ok(String::from_utf8_lossy(&answer).trim().to_owned())
    }

    fn choose(&mut self, question: &str, ways: &[Way<'_>]) -> Result<usize, RoomError> {
        loop {
            self.paragraph("", question);
            for way in ways {
                self.paragraph(&format!("   {:<8} ", way.word), way.meaning);
            }
            let default = ways.first().map_or("", |way| way.word);
            let answer = self.ask(&format!("   Type one of these words [{default}]:"))?;
            if answer.is_empty() {
                return Ok(0);
            }
            if let Some(index) = ways.iter().position(|way| way.word.eq_ignore_ascii_case(&answer)) {
                return Ok(index);
            }
            self.say("   That is none of them.");
        }
    }

    fn ask_pin(&mut self, _who: &str, prompt: &str) -> Result<Option<Pin>, RoomError> {
        loop {
            let typed = self.line(&format!("{prompt} "), false)?;
            if typed.is_empty() {
                return Ok(None);
            }
            match Pin::new(typed) {
                Ok(pin) => return Ok(Some(pin)),
                Err(shape) => self.say(&format!("   That is not it: {shape}. Nothing was sent to the card.")),
            }
        }
    }

    fn ask_secret(&mut self, prompt: &str) -> Result<Option<SecretBytes>, RoomError> {
        let typed = self.line(&format!("{prompt} "), false)?;
        Ok((!typed.is_empty()).then(|| SecretBytes::new(typed)))
    }

    fn show_secret(&mut self, title: &str, secret: &SecretBytes) -> Result<(), RoomError> {
        let text = std::str::from_utf8(secret.expose_secret()).map_err(|_| RoomError::NotText)?;
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
            return Err(RoomError::NotText);
        }
        let _raw = Raw::enter(&self.input)?;
        termios::tcflush(&self.input, QueueSelector::IFlush).map_err(terminal_error)?;
        self.print(&format!("{ALTERNATE_ON}{}\r\n\r\n", plain(title)))?;
        let _screen = AlternateScreen(&self.output);
        let shown = Zeroizing::new(text.replace('\n', "\r\n"));
        (&self.output).write_all(shown.as_bytes()).map_err(RoomError::Terminal)?;
        (&self.output)
            .write_all(b"\r\n\r\nPress any key when you are done. The screen is then cleared.\r\n")
            .map_err(RoomError::Terminal)?;
        inspect::stage("shown");
        let mut input = self.input.try_clone().map_err(RoomError::Terminal)?;
        wait_for_key(&mut input)
    }
}

fn wait_for_key(input: &mut File) -> Result<(), RoomError> {
    let mut key = [0; 1];
    match input.read(&mut key) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        Err(error) => Err(RoomError::Terminal(error)),
    }
}

/// Leaves the alternate screen, cleared, whatever happens while it is shown.
struct AlternateScreen<'a>(&'a File);

impl Drop for AlternateScreen<'_> {
    fn drop(&mut self) {
        let _ = self.0.write_all(ALTERNATE_OFF.as_bytes());
    }
}

/// Keys one by one, without echo, Ctrl-C as a key; the mode before comes back on drop.
struct Raw {
    input: File,
    before: Termios,
}

impl Raw {
    fn enter(input: &File) -> Result<Self, RoomError> {
        let input = input.try_clone().map_err(RoomError::Terminal)?;
        let before = termios::tcgetattr(&input).map_err(terminal_error)?;
        let mut raw = before.clone();
        raw.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ISIG);
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        termios::tcsetattr(&input, OptionalActions::Now, &raw).map_err(terminal_error)?;
        Ok(Self { input, before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(&self.input, OptionalActions::Now, &self.before);
    }
}

fn terminal_error(error: rustix::io::Errno) -> RoomError {
    RoomError::Terminal(error.into())
}

/// Removes the last UTF-8 character; false if there is none.
fn erase_character(line: &mut Vec<u8>) -> bool {
    let Some(mut last) = line.pop() else { return false };
    while last & 0xc0 == 0x80 {
        match line.pop() {
            Some(byte) => last = byte,
            None => break,
        }
    }
    true
}

/// Lines that steer nothing.
fn plain(text: &str) -> String {
    text.split('\n').map(readable).collect::<Vec<_>>().join("\n")
}

/// Breaks `text` into lines of at most `columns` characters at spaces; its own line breaks stay. What stands before a run
/// of two or more spaces is a label: further lines begin below what follows it.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let (label, words) = label(paragraph);
        let indent = " ".repeat(label.chars().count());
        let mut line = label.to_owned();
        let mut empty = true;
        for word in words.split_whitespace() {
            if !empty && line.chars().count() + 1 + word.chars().count() > columns {
                lines.push(std::mem::replace(&mut line, indent.clone()));
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
            empty = false;
        }
        lines.push(line);
    }
    lines
}

/// The leading spaces of a line, with its label if it has one.
fn label(line: &str) -> (&str, &str) {
    let spaces = line.len() - line.trim_start_matches(' ').len();
    let end = match line[spaces..].find("  ") {
        Some(gap) => line.len() - line[spaces + gap..].trim_start_matches(' ').len(),
        None => spaces,
    };
    line.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_breaks_at_spaces_and_keeps_its_own_breaks() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("  a b\nc", 80), ["  a b", "c"]);
        assert_eq!(wrap("", 80), [""]);
        assert_eq!(wrap(" Vault:  one two three", 16), [" Vault:  one two", "         three"]);
    }

    #[test]
    fn nothing_that_is_said_steers_the_terminal() {
        assert_eq!(
            plain("inbox/\x1b[2K\u{9b}A\u{202e}\r.age\nnext"),
            "inbox/\u{fffd}[2K\u{fffd}A\u{fffd}\u{fffd}.age\nnext"
        );
        assert_eq!(plain("für \"alice\" - 3 of 5"), "für \"alice\" - 3 of 5");
    }

    #[test]
    fn a_whole_character_is_erased() {
        let mut line = "aé".as_bytes().to_vec();
        assert!(erase_character(&mut line));
        assert_eq!(line, b"a");
        assert!(erase_character(&mut line));
        assert!(!erase_character(&mut line));
    }
}

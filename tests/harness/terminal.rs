//! A person at a terminal: runs a program on a pseudo-terminal, reads the screen and types.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rexpect::process::{PtyProcess, Signal, WaitStatus};

/// How long a person waits for the program to say something.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program on a terminal.
pub struct Terminal {
    process: PtyProcess,
    keyboard: File,
    output: Receiver<Vec<u8>>,
    raw: Vec<u8>,
    /// Everything that was shown, without control sequences.
    screen: String,
    /// Where in `screen` the next expectation begins.
    read: usize,
    patience: Duration,
}

impl Terminal {
    /// Runs claviger with these arguments and this environment added to the test's.
    pub fn claviger<E: AsRef<std::ffi::OsStr>>(args: &[&str], environment: &[(&str, E)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
        command.args(args);
        for (name, value) in environment {
            command.env(name, value);
        }
        Self::run(command)
    }

    /// Runs any program.
    pub fn run(program: Command) -> Self {
        let process = PtyProcess::new(with_echo(&program)).expect("the program starts");
        let keyboard = process.get_file_handle().unwrap();
        let mut display = process.get_file_handle().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Reading fails (EIO) when the program has closed the terminal.
            while let Ok(count @ 1..) = display.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { process, keyboard, output, raw: Vec::new(), screen: String::new(), read: 0, patience: PATIENCE }
    }

    /// Changes how long every expectation waits (30 seconds).
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Waits until `text` is shown after what was expected before, and returns what came before it.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        self.expect_any(&[text]).1
    }

    /// Waits until one of `texts` is shown; which one, and what came before it. The one that is shown first counts.
    #[track_caller]
    pub fn expect_any(&mut self, texts: &[&str]) -> (usize, String) {
        let until = Instant::now() + self.patience;
        loop {
            let new = &self.screen[self.read..];
            let found = texts.iter().enumerate().filter_map(|(which, text)| Some((new.find(text)?, which))).min();
            if let Some((at, which)) = found {
                let before = new[..at].to_owned();
                self.read += at + texts[which].len();
                return (which, before);
            }
            if let Err(why) = self.more(until) {
                panic!("expected {texts:?} on the screen; {why}. The screen:\n{}", self.screen);
            }
        }
    }

    /// Waits for the prompt, then types `answer` and Enter.
    #[track_caller]
    pub fn answer(&mut self, prompt: &str, answer: &str) {
        self.expect(prompt);
        self.type_line(answer);
    }

    /// Types a line and Enter.
    #[track_caller]
    pub fn type_line(&mut self, line: &str) {
        self.type_bytes(format!("{line}\n").as_bytes());
    }

    /// Types bytes as they are: `b" "` for the space bar.
    #[track_caller]
    pub fn type_bytes(&mut self, bytes: &[u8]) {
        if let Err(error) = self.keyboard.write_all(bytes).and_then(|()| self.keyboard.flush()) {
            panic!("nothing can be typed ({error}). The screen:\n{}", self.screen);
        }
    }

    /// Ctrl-C.
    #[track_caller]
    pub fn ctrl_c(&mut self) {
        self.type_bytes(&[3]);
    }

    /// Ctrl-D: end of input.
    #[track_caller]
    pub fn ctrl_d(&mut self) {
        self.type_bytes(&[4]);
    }

    /// Waits until the program ends. Its exit code; 128 and the number for a signal.
    #[track_caller]
    pub fn exit_code(&mut self) -> i32 {
        let until = Instant::now() + self.patience;
        loop {
            match self.more(until) {
                Ok(()) => {}
                Err("the program ended") => break,
                Err(why) => panic!("the program does not end; {why}. The screen:\n{}", self.screen),
            }
        }
        match self.process.wait() {
            Ok(WaitStatus::Exited(_, code)) => code,
            Ok(WaitStatus::Signaled(_, signal, _)) => 128 + signal as i32,
            other => panic!("the program ended in an unknown way: {other:?}"),
        }
    }

    /// Waits until the program ends with this exit code.
    #[track_caller]
    pub fn expect_exit(&mut self, code: i32) {
        let found = self.exit_code();
        assert_eq!(found, code, "exit code. The screen:\n{}", self.screen);
    }

    /// Everything shown so far, without control sequences, carriage returns removed.
    pub fn screen(&self) -> &str {
        &self.screen
    }

    /// Everything shown so far, as the terminal got it.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Ends the program at once (SIGKILL).
    pub fn kill(&mut self) {
        let _ = self.process.signal(Signal::SIGKILL);
    }

    fn more(&mut self, until: Instant) -> Result<(), &'static str> {
        match self.output.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(bytes) => {
                self.raw.extend(bytes);
                self.screen = plain(&self.raw);
                Ok(())
            }
            Err(RecvTimeoutError::Timeout) => Err("it took too long"),
            Err(RecvTimeoutError::Disconnected) => Err("the program ended"),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if matches!(self.process.status(), Some(WaitStatus::StillAlive)) {
            let _ = self.process.signal(Signal::SIGKILL);
            let _ = self.process.wait();
        }
    }
}

/// The program on a terminal that echoes, as terminals do; rexpect turns that off, and then no test could see a PIN that
/// is echoed.
fn with_echo(program: &Command) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "stty echo cols 120 rows 40 && exec \"$0\" \"$@\""]);
    command.arg(program.get_program()).args(program.get_args()).env("TERM", "xterm");
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(dir) = program.get_current_dir() {
        command.current_dir(dir);
    }
    command
}

/// Without control sequences (ECMA-48) and carriage returns; an unfinished sequence or character at the end is left
/// for later.
fn plain(raw: &[u8]) -> String {
    let mut text = Vec::new();
    let mut bytes = raw.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            0x1b => match bytes.next() {
                // CSI: parameters, then one final byte.
                Some(b'[') => while bytes.next().is_some_and(|byte| !(0x40..=0x7e).contains(&byte)) {},
                // OSC: up to BEL or ST.
                Some(b']') => while bytes.next().is_some_and(|byte| byte != 7 && byte != b'\\') {},
                _ => {}
            },
            b'\r' => {}
            _ => text.push(byte),
        }
    }
    match String::from_utf8(text) {
        Ok(text) => text,
        Err(error) if error.utf8_error().error_len().is_none() => {
            let good = error.utf8_error().valid_up_to();
            String::from_utf8_lossy(&error.into_bytes()[..good]).into_owned()
        }
        Err(error) => String::from_utf8_lossy(&error.into_bytes()).into_owned(),
    }
}

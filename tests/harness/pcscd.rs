//! A real pcscd for one test: its own readers (vpcd), its own socket, gone when the test ends.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use claviger::token::soft::SoftCard;

use super::card::VirtualCard;

const DRIVER: &str = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so";
/// What pcscd calls the readers, before it adds numbers. ykman knows a YubiKey by this name.
const READER: &str = "Yubico YubiKey CCID";
/// Longest wait for pcscd to do anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running pcscd.
pub struct Pcscd {
    child: Child,
    log: Arc<Log>,
    socket: PathBuf,
    ports: Vec<u16>,
    /// How often a card was inserted, by reader.
    insertions: Mutex<Vec<usize>>,
    /// Held for a pcscd at the one system-wide place.
    _alone: Option<std::fs::File>,
    _dir: tempfile::TempDir,
}

/// What pcscd printed so far.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Log {
    /// Waits until `count` lines contain `text`.
    fn wait(&self, text: &str, count: usize) {
        let until = Instant::now() + PATIENCE;
        let mut lines = self.lines.lock().unwrap();
        while lines.iter().filter(|line| line.contains(text)).count() < count {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "pcscd did not say {text:?} (time {count}):\n{}", lines.join("\n"));
            lines = self.more.wait_timeout(lines, left).unwrap().0;
        }
    }

    fn count(&self, text: &str) -> usize {
        self.lines.lock().unwrap().iter().filter(|line| line.contains(text)).count()
    }
}

impl Pcscd {
    /// Starts a pcscd with so many empty readers (at most 8) and waits until it answers.
    pub fn start(readers: usize) -> Self {
        assert!(Path::new(DRIVER).exists(), "{DRIVER} is missing: apt-get install vsmartcard-vpcd");
        let dir = tempfile::Builder::new().prefix("claviger-pcscd-").tempdir().unwrap();
        let (config, ipc) = (dir.path().join("conf"), dir.path().join("ipc"));
        std::fs::create_dir(&config).unwrap();
        std::fs::create_dir(&ipc).unwrap();
        let ports = free_ports(readers);
        let mut entries = String::new();
        for (number, port) in ports.iter().enumerate() {
            let name = friendly_name(number);
            // vpcd keys its state by slot: readers that share the driver's file would share their cards.
            let driver = dir.path().join(format!("vpcd{number}.so"));
            std::fs::copy(DRIVER, &driver).unwrap();
            let driver = driver.display();
            entries += &format!(
                "FRIENDLYNAME \"{name}\"\nDEVICENAME /dev/null:{port:#x}\nLIBPATH {driver}\nCHANNELID {port:#x}\n"
            );
        }
        std::fs::write(config.join("readers"), entries).unwrap();

        let (mut command, socket, alone) = daemon(&ipc);
        command.arg("-f").arg("-i").arg("-c").arg(&config);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let log = Arc::new(Log::default());
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let keep = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                keep.lines.lock().unwrap().push(line);
                keep.more.notify_all();
            }
        });
        log.wait("daemon ready", 1);
        // It says so before it listens.
        let until = Instant::now() + PATIENCE;
        while UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < until, "pcscd does not listen");
            std::thread::yield_now();
        }
        Self { child, log, socket, ports, insertions: Mutex::new(vec![0; readers]), _alone: alone, _dir: dir }
    }

    /// Where clients find this pcscd: the environment variable and its value.
    pub fn environment(&self) -> (&'static str, &Path) {
        ("PCSCLITE_CSOCK_NAME", &self.socket)
    }

    /// A program that will talk to this pcscd.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let (name, value) = self.environment();
        command.env(name, value);
        command
    }

    /// The name of a reader, counted from 0, as PC/SC clients see it.
    pub fn reader(&self, number: usize) -> String {
        assert!(number < self.ports.len());
        format!("{} 00 00", friendly_name(number))
    }

    /// Inserts the card into reader `number`, which is empty or whose card was pulled, and waits until pcscd has seen it.
    pub fn insert(&self, number: usize, card: &mut VirtualCard) {
        // Between two looks (0.4 seconds) pcscd does not notice that a card was swapped.
        self.wait_until_empty(number);
        self.insertions.lock().unwrap()[number] += 1;
        let before = self.log.count("Card ATR");
        card.insert_into(self.ports[number]);
        card.wait_for_power(PATIENCE);
        self.log.wait("Card ATR", before + 1);
    }

    /// Takes the card out of reader `number` and waits until pcscd has seen it.
    pub fn remove(&self, number: usize, card: &mut VirtualCard) {
        card.remove();
        self.wait_until_empty(number);
    }

    fn wait_until_empty(&self, number: usize) {
        let insertions = self.insertions.lock().unwrap()[number];
        self.log.wait(&format!("Card Removed From {}", self.reader(number)), insertions);
    }

    /// Ends pcscd while clients may still be connected.
    pub fn stop(&mut self) {
        // By its own id, and reaped: nobody else's pcscd is touched.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

impl Drop for Pcscd {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.stop();
        }
    }
}

/// Readers with different drivers need different names.
fn friendly_name(number: usize) -> String {
    format!("{READER} ({})", number + 1)
}

/// pcscd knows one place for its socket, /run/pcscd. In a mount namespace of its own that is `ipc`; where the system
/// allows none, the real one, one test of this machine at a time.
fn daemon(ipc: &Path) -> (Command, PathBuf, Option<std::fs::File>) {
    let help = Command::new("pcscd").arg("--help").output().expect("pcscd is missing: apt-get install pcscd");
    // From 2.0 on a user needs the consent of polkit, which is not there in a test.
    let polkit = String::from_utf8_lossy(&help.stdout).contains("--disable-polkit");
    let options: &[&str] = if polkit { &["--disable-polkit"] } else { &[] };
    let namespace: &[&str] =
        if rustix::process::geteuid().is_root() { &["--mount"] } else { &["--user", "--map-root-user", "--mount"] };
    let allowed = Command::new("unshare").args(namespace).arg("true").stderr(Stdio::null()).status();
    if allowed.is_ok_and(|status| status.success()) {
        let script = "mount -t tmpfs tmpfs /run && mkdir /run/pcscd && mount --bind \"$0\" /run/pcscd && exec setpriv --pdeathsig TERM pcscd \"$@\"";
        let mut command = Command::new("unshare");
        command.args(namespace).args(["sh", "-c", script]).arg(ipc).args(options);
        return (command, ipc.join("pcscd.comm"), None);
    }
    let lock = std::fs::File::create(std::env::temp_dir().join("claviger-pcscd.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert!(
        !Path::new("/run/pcscd/pcscd.comm").exists(),
        "a pcscd runs already and this system allows no mount namespace: systemctl stop pcscd.socket pcscd"
    );
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "pcscd"]).args(options);
    (command, "/run/pcscd/pcscd.comm".into(), Some(lock))
}

/// For each reader a free port whose successor is free too: vpcd has two slots. Below the range that the system gives
/// to outgoing connections.
fn free_ports(readers: usize) -> Vec<u16> {
    let mut held = Vec::new();
    let mut ports = Vec::new();
    for _ in 0..10_000 {
        if ports.len() == readers {
            return ports;
        }
        let port = 15_000 + (getrandom::u32().unwrap() % 8_000) as u16 * 2;
        if let (Ok(one), Ok(two)) = (TcpListener::bind(("0.0.0.0", port)), TcpListener::bind(("0.0.0.0", port + 1))) {
            held.push((one, two));
            ports.push(port);
        }
    }
    panic!("no free ports");
}

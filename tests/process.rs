//! What the system forbids is said: each weakness is read aloud and becomes an exception in the plan.

#[path = "harness/harness.rs"]
mod harness;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use harness::Terminal;
use harness::crew::{CONFIRM, tree};
use harness::scene::{RECOVER, arguments, flat};
use harness::table::Table;

const VAULTS: [&str; 2] = ["vault", "copy"];
/// A user without rights (nobody, on Debian).
const NOBODY: &str = "65534";

/// Refuses system calls (by number, x86-64 and others alike through `SYS_` names that Python knows not: so by architecture), then
/// runs the program: a seccomp filter (seccomp(2)) as containers have them.
const FILTER: &str = r#"
import ctypes, os, platform, struct, sys
numbers = {"x86_64": {"mlockall": 151, "prctl": 157, "setrlimit": 160, "prlimit64": 302},
           "aarch64": {"mlockall": 230, "prctl": 167, "setrlimit": 164, "prlimit64": 261}}[platform.machine()]
libc = ctypes.CDLL(None, use_errno=True)
op = lambda code, jt, jf, k: struct.pack("HBBI", code, jt, jf, k)
refused = [numbers[name] for name in sys.argv[1].split(",")]
program = op(0x20, 0, 0, 0)
for place, number in enumerate(refused):
    program += op(0x15, len(refused) - place, 0, number)
program += op(0x06, 0, 0, 0x7fff0000) + op(0x06, 0, 0, 0x00050001)
buffer = ctypes.create_string_buffer(program)
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Filter(len(program) // 8, ctypes.addressof(buffer))), 0, 0) == 0
os.execv(sys.argv[2], sys.argv[2:])
"#;

fn everybody_may_read(path: &Path, owner: &str) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
    let status = Command::new("chown").args(["-R", owner]).arg(path).status().unwrap();
    assert!(status.success());
}

/// Runs `recover` in this environment of launchers up to the plan, and stops there. What was said.
#[track_caller]
fn up_to_the_plan(table: &Table, launchers: &[&str]) -> (String, i32) {
    let program = table.place.path("program");
    std::fs::copy(env!("CARGO_BIN_EXE_claviger"), &program).unwrap();
    let (name, socket) = table.pcscd.environment();
    let mut all: Vec<String> = launchers.iter().map(|launcher| (*launcher).to_owned()).collect();
    all.extend([program.display().to_string(), "--tokens".to_owned(), "pcsc".to_owned()]);
    all.extend(arguments(&table.place, &RECOVER, &VAULTS));
    let mut command = Command::new(&all[0]);
    command.args(&all[1..]).env(name, socket);
    let mut terminal = Terminal::run(command);
    terminal.expect(CONFIRM);
    if !launchers.contains(&FILTER) {
        nobody_can_look_into(&program);
    }
    terminal.type_line("no");
    let code = terminal.exit_code();
    (flat(terminal.screen()), code)
}

#[test]
fn what_the_system_forbids_is_read_aloud_and_is_in_the_plan() {
    let table = Table::new(2, 3);
    let root = rustix::process::geteuid().is_root();
    let mut user: Vec<&str> = Vec::new();
    if root {
        for (path, _) in tree(&table.place.path("vault")).into_iter().take(1) {
            let place = path.ancestors().find(|path| path.ends_with("vault")).unwrap().parent().unwrap();
            everybody_may_read(place, NOBODY);
        }
        user = vec!["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"];
    }

    // As little memory may be locked as on many desktops.
    let little = [&["prlimit", "--memlock=65536:65536", "--core=unlimited"][..], &user].concat();
    let (said, code) = up_to_the_plan(&table, &little);
    assert_eq!(code, 3, "{said}");
    let why = "the memory is not locked (only 64 KiB are allowed)";
    assert!(said.contains(&format!("!! {why}. This is named in the plan as an exception.")), "{said}");
    let exception = said.split("Exception:").nth(1).unwrap_or_default();
    assert!(exception.contains("only 64 KiB are allowed"), "{said}");
    assert!(!said.contains("core dumps"), "{said}");

    // Enough of it, where this machine lets the test have it.
    let unlimited = Command::new("prlimit").args(["--memlock=unlimited", "true"]).stderr(Stdio::null()).status();
    if unlimited.is_ok_and(|status| status.success()) {
        let enough = [&["prlimit", "--memlock=unlimited", "--core=unlimited"][..], &user].concat();
        let (said, _) = up_to_the_plan(&table, &enough);
        assert!(!said.contains("the memory is not locked"), "{said}");
    }

    // A sandbox that forbids these calls.
    let sandbox = ["python3", "-c", FILTER, "mlockall,prctl,setrlimit,prlimit64"];
    let (said, code) = up_to_the_plan(&table, &sandbox);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("!! core dumps cannot be switched off (Operation not permitted"), "{said}");
    assert!(said.contains("!! the memory is not locked ("), "{said}");
    let exceptions: Vec<&str> = said.split("Exception:").skip(1).collect();
    let named = |what: &str| exceptions.iter().any(|exception| exception.contains(what));
    assert!(named("core dumps cannot be switched off") && named("the memory is not locked"), "{said}");
    table.no_try_was_lost();
}

/// While people are asked, nobody but root can open the memory of the process: its files in /proc belong to root, whoever
/// runs it. Not so in a sandbox that forbids to ask for that.
#[track_caller]
fn nobody_can_look_into(program: &Path) {
    let arguments = |process: &Path| std::fs::read(process.join("cmdline")).unwrap_or_default();
    let begin = [program.to_str().unwrap().as_bytes(), b"\0"].concat();
    let processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let process = processes.into_iter().find(|process| arguments(process).starts_with(&begin)).unwrap();
    let memory = std::fs::metadata(process.join("mem")).unwrap();
    assert_eq!((memory.uid(), memory.gid()), (0, 0));
    let limits = std::fs::read_to_string(process.join("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
}

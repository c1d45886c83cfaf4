use super::*;

#[test]
fn swap_areas_are_named() {
    let heading = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
    assert!(swap_areas(heading).is_empty());
    assert!(swap_areas("").is_empty());
    let text =
        format!("{heading}/dev/dm-1                               partition\t8388604\t\t0\t\t-2\n/swap file\t0\t0\n");
    assert_eq!(swap_areas(&text), ["/dev/dm-1", "/swap"]);
}

#[test]
fn a_tracer_and_the_right_to_lock_are_read_from_the_status() {
    let status = "Name:\tclaviger\nTracerPid:\t4711\nCapInh:\tffffffffffffffff\nCapEff:\t0000000000004000\n";
    assert_eq!(tracer(status), Some(4711));
    assert!(may_lock(status));
    assert!(!may_lock(&status.replace("0000000000004000", "00000000ffffbfff")));
    assert_eq!(tracer("Name:\tx\n"), None);
    assert!(!may_lock(""));
    let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                  Max locked memory         8388608              unlimited            bytes     \n";
    assert_eq!(locked_limit(limits), Some(Limit::Bytes(8_388_608)));
    assert_eq!(locked_limit(&limits.replace("8388608  ", "unlimited")), Some(Limit::None));
    assert_eq!(locked_limit(""), None);
}

#[test]
fn interfaces_count_when_they_are_up_and_plugged() {
    let net = tempfile::tempdir().unwrap();
    let interfaces = [
        ("lo", "0x9\n", "unknown\n"),
        ("eth0", "0x1003\n", "up\n"),
        ("eth1", "0x1003\n", "down\n"),
        ("eth2", "0x1002\n", "down\n"),
        ("tun0", "0x1091\n", "unknown\n"),
    ];
    for (name, flags, state) in interfaces {
        let dir = net.path().join(name);
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("flags"), flags).unwrap();
        std::fs::write(dir.join("operstate"), state).unwrap();
    }
    assert_eq!(interfaces_up(net.path()).unwrap(), ["eth0", "tun0"]);
    assert!(interfaces_up(&net.path().join("none")).is_err());
}

#[test]
fn this_process_is_not_traced_and_has_a_digest() {
    assert!(!preflight().contains(&Weakness::Unknown { what: "/proc/self/status" }));
    let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    assert_eq!(own_digest().unwrap(), Digest::of(&program));
}

/// In its own process: what is hardened stays hardened.
#[test]
fn hardening_holds_in_the_process_that_did_it() {
    const CHILD: &str = "CLAVIGER_TEST_HARDEN";
    if std::env::var_os(CHILD).is_none() {
        let name = "process::tests::hardening_holds_in_the_process_that_did_it";
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let output = child.args([name, "--exact"]).env(CHILD, "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let weaknesses = harden();
    assert!(!weaknesses.iter().any(|weakness| matches!(weakness, Weakness::CoreDumps { .. })), "{weaknesses:?}");
    assert_eq!(rustix::process::getrlimit(Resource::Core).current, Some(0));
    let dumpable = rustix::process::dumpable_behavior().unwrap();
    assert_eq!(dumpable, DumpableBehavior::NotDumpable);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let locked: u64 = field(&status, "VmLck").unwrap().trim_end_matches(" kB").parse().unwrap();
    let reported = weaknesses.iter().any(|weakness| matches!(weakness, Weakness::MemoryNotLocked { .. }));
    assert_eq!(locked == 0, reported, "{locked} kB, {weaknesses:?}");
    // Still able to work: far more than the usual limit of locked memory.
    assert_eq!(vec![1u8; 32 << 20].iter().map(|byte| u64::from(*byte)).sum::<u64>(), 32 << 20);
    assert!(own_digest().is_ok());
}

#[test]
fn weaknesses_as_people_read_them() {
    let weaknesses = [
        Weakness::CoreDumps { reason: "Operation not permitted".to_owned() },
        Weakness::MemoryNotLocked { reason: "only 8192 KiB are allowed".to_owned() },
        Weakness::Swap { areas: vec!["/dev/sda2".to_owned(), "/swap".to_owned()] },
        Weakness::Traced { by: 4711 },
        Weakness::Network { interfaces: vec!["eth0".to_owned(), "wlan0".to_owned()] },
        Weakness::Unknown { what: "/sys/class/net" },
    ];
    let told: Vec<_> = weaknesses.iter().map(|weakness| format!("{weakness}\n  {}", weakness.hint())).collect();
    insta::assert_snapshot!(told.join("\n"));
}

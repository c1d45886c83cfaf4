//! In a process of its own: the wish to stop is one for the whole process.

use claviger::interrupt::{clear, descriptor, install, on_interrupt, request, requested};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::sync::mpsc;

fn readable() -> bool {
    let fd = descriptor().unwrap();
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
}

#[test]
fn a_signal_sets_the_flag_wakes_pollers_and_calls_back_until_cleared() {
    install().unwrap();
    install().unwrap();
    let (called, calls) = mpsc::channel();
    let registration = on_interrupt(move || called.send(()).unwrap());
    assert!(!requested() && !readable());

    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::INT).unwrap();
    calls.recv_timeout(std::time::Duration::from_secs(10)).unwrap();
    assert!(requested() && readable());

    clear();
    assert!(!requested() && !readable());
    a_wait_for_software_tokens_ends();

    drop(registration);
    while calls.try_recv().is_ok() {}
    request();
    assert!(calls.try_recv().is_err());
    clear();
}

/// Both when the wish comes before the wait and while it sleeps.
fn a_wait_for_software_tokens_ends() {
    use claviger::token::channel::{ChannelError, Source};
    use claviger::token::soft::SoftSource;
    let dir = tempfile::tempdir().unwrap();
    let mut source = SoftSource::open(dir.path()).unwrap();
    request();
    assert!(matches!(source.wait(&[]), Err(ChannelError::Interrupted)));
    clear();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| SoftSource::open(dir.path()).unwrap().wait(&[]));
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM).unwrap();
        assert!(matches!(waiting.join().unwrap(), Err(ChannelError::Interrupted)));
    });
    clear();
}

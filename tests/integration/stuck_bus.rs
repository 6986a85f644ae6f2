//! The thread of NNG that closes what has ended waits for ever: the supervisor sees it, and becomes its program anew.

use std::fs;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use plugbus::supervisor::UnitState;

use crate::support::{LONG, QUICK, Stage, eventually, text_plugin};

/// Stops that one thread of a process, as a debugger would, until the thread is gone; the others go on.
fn stop_thread(pid: u32, name: &str) -> JoinHandle<()> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(|thread| thread.unwrap());
    let found = threads
        .filter(|thread| fs::read_to_string(thread.path().join("comm")).is_ok_and(|comm| comm.trim() == name))
        .map(|thread| thread.file_name().to_str().unwrap().parse::<libc::pid_t>().unwrap())
        .collect::<Vec<_>>();
    let [thread] = found[..] else { panic!("threads called {name}: {found:?}") };
    let (stopped, until_stopped) = mpsc::channel();
    // Whoever traces a thread waits for it as well: an exec in that process goes on only once it is gone.
    let tracer = thread::spawn(move || {
        let mut status = 0;
        // SAFETY: system calls with numbers, and the place for a status that lives as long as they take.
        #[expect(unsafe_code, reason = "a signal would stop the whole process")]
        unsafe {
            assert_eq!(libc::ptrace(libc::PTRACE_SEIZE, thread, 0, 0), 0, "{}", std::io::Error::last_os_error());
            assert_eq!(libc::ptrace(libc::PTRACE_INTERRUPT, thread, 0, 0), 0);
            assert_eq!(libc::waitpid(thread, &raw mut status, libc::__WALL), thread);
            assert!(libc::WIFSTOPPED(status));
            stopped.send(()).unwrap();
            while libc::waitpid(thread, &raw mut status, libc::__WALL) == thread && libc::WIFSTOPPED(status) {}
        }
    });
    until_stopped.recv_timeout(LONG).unwrap();
    tracer
}

#[test]
fn a_supervisor_whose_bus_closes_nothing_any_more_begins_anew() {
    let mut stage = Stage::spawn(&(QUICK.to_owned() + &text_plugin("replicas = 3")));
    let ready = || {
        let plugins = stage.status().plugins;
        let all = plugins.iter().all(|plugin| plugin.state == UnitState::Ready && plugin.restarts == 0);
        all.then(|| plugins.into_iter().map(|plugin| plugin.pid.unwrap()).collect::<Vec<_>>())
    };
    let before = eventually("all are ready", ready);
    let supervisor = stage.supervisor_pid();
    let card = || {
        let cards = stage.bus().cards().unwrap();
        cards.into_iter().find(|card| card.name == "supervisor").map(|card| (card.process.pid, card.instance))
    };
    let first = eventually("the supervisor's card", card);
    let tracer = stop_thread(supervisor, "nng:reap2");
    let second = eventually("another supervisor", || card().filter(|second| *second != first));
    // The same process, so that whoever started it notices nothing.
    assert_eq!(second.0, supervisor);
    tracer.join().unwrap();
    assert_eq!(eventually("all are ready again", ready), before);
    let events = stage.events();
    let said = |words: &str| events.iter().filter(|event| event["reason"].as_str().unwrap().contains(words)).count();
    assert_eq!(said("does not close connections any more"), 1, "{events:#?}");
    assert_eq!(stage.caller().request("text.revert").call::<String, _>("ab").unwrap(), "ba");
    stage.stop_without_trace();
}

//! Processes of other programs, found and signalled by what the system says of them.

use std::fs;

use plugbus::bus::{BusDir, ProcessId};
use rustix::process::{Pid, Signal, kill_process};

/// Every live process that was started on this bus, by its environment: plugins, and what they started.
pub(crate) fn processes_of(bus: &BusDir) -> Vec<ProcessId> {
    let mine = format!("PLUGBUS_BUS_DIR={}", bus.path().display());
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let found = pids.filter_map(|pid: u32| {
        let process = ProcessId::of(pid)?;
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let is_mine = environment.split(|byte| *byte == 0).any(|variable| variable == mine.as_bytes());
        (is_mine && process.is_alive()).then_some(process)
    });
    found.collect()
}

/// Signals a process that this test has started, or its supervisor.
#[track_caller]
pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

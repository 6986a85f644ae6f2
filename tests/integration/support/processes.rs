//! Processes of other programs, found and signalled by what the system says of them.

use std::fs;

use plugbus::bus::{BusDir, ProcessId};
use rustix::process::{Pid, Signal, kill_process};

use super::eventually;

/// Every live process that was started on this bus, by its environment: plugins, and what they started.
///
/// None where there is no `/proc`.
pub(crate) fn processes_of(bus: &BusDir) -> Vec<ProcessId> {
    let mine = format!("PLUGBUS_BUS_DIR={}", bus.path().display());
    let pids = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let found = pids.filter_map(|pid: u32| {
        let process = ProcessId::of(pid)?;
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let is_mine = environment.split(|byte| *byte == 0).any(|variable| variable == mine.as_bytes());
        (is_mine && process.is_alive()).then_some(process)
    });
    found.collect()
}

/// Signals a process that this test has started, or its supervisor; returns when one that is to stop has stopped.
#[track_caller]
pub(crate) fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
    if signal == Signal::STOP {
        // A thread that runs on another core goes on for a moment.
        eventually("every thread has stopped", || {
            let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            let states = threads.map(|thread| fs::read_to_string(thread.path().join("status")).unwrap_or_default());
            let runs = |status: String| {
                ["\nState:\tR", "\nState:\tS", "\nState:\tD"].iter().any(|state| status.contains(state))
            };
            (!states.into_iter().any(runs)).then_some(())
        });
    }
}

/// Every live process with this word among its arguments.
pub(crate) fn with_argument(word: &str) -> Vec<u32> {
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        arguments.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes())
    })
    .collect()
}

/// The children of a process that have exited and are not reaped.
pub(crate) fn zombies_of(parent: u32) -> Vec<u32> {
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.contains("\nState:\tZ") && status.contains(&format!("\nPPid:\t{parent}\n"))
    })
    .collect()
}

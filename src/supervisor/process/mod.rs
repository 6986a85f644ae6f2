//! Processes, as the operating system has them: start, signal, wait, reap.
//!
//! Knows nothing of units, surveys or cards. A [`Process`] leads a process group of its own and is reaped by
//! nobody else, so its pid and its group's id belong to it for as long as the value lives: every signal goes to
//! a verified identity. What differs between systems is in `linux.rs` and `other.rs`, under the same names.

mod command;
mod error;
mod group;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(not(target_os = "linux"), test))]
mod other;
#[cfg(test)]
mod tests;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use other as system;

use std::os::fd::OwnedFd;
use std::process::Child;
use std::thread;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};

pub(super) use command::Launch;
pub(super) use error::SpawnError;
pub(super) use group::{end_foreign, leads_group_of};
pub(super) use system::{group_of, leader_with};

use super::SoftSignal;
use super::limits::lower_file_limit;
use super::unit::ExitState;
use crate::bus::ProcessId;

/// A process is just executing a program, and nothing can be said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Executing;

/// A child that leads its own process group and has not been reaped.
///
/// Dropping it kills the whole group: no process is left behind by a task that was given up.
#[derive(Debug)]
pub(super) struct Process {
    leader: Leader,
    watch: system::ExitWatch,
}

/// The child itself; whatever goes wrong from its start on, it ends with this value.
#[derive(Debug)]
struct Leader {
    id: ProcessId,
    pid: Pid,
    reaped: bool,
}

/// A process that was just started, and the other ends of its output.
#[derive(Debug)]
pub(super) struct Spawned {
    pub(super) process: Process,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// Starts a process in a group of its own; blocks until its program was executed.
///
/// Needs a tokio runtime around it, for the watch on the exit.
///
/// # Errors
/// [`SpawnError`] says in words what is wrong; no process is left behind then.
pub(super) fn spawn(launch: &Launch) -> Result<Spawned, SpawnError> {
    let mut child = launch.command().spawn().map_err(|error| SpawnError::diagnose(&error, launch))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let process = Process::new(&child).map_err(|error| SpawnError::diagnose(&error, launch))?;
    match (stdout, stderr) {
        (Some(stdout), Some(stderr)) => Ok(Spawned { process, stdout: stdout.into(), stderr: stderr.into() }),
        // Both were asked to be pipes; dropping the process kills it.
        _ => Err(SpawnError::System("its output could not be captured".into())),
    }
}

impl Process {
    fn new(child: &Child) -> std::io::Result<Self> {
        // First of all: what follows may fail, and panics in a runtime without input and output.
        let leader = Leader::of(child);
        lower_file_limit(leader.pid);
        let watch = system::ExitWatch::new(leader.pid)?;
        Ok(Self { leader, watch })
    }

    pub(super) fn id(&self) -> ProcessId {
        self.leader.id
    }

    /// Waits until the process has exited; it stays a zombie, and its group stays its own.
    ///
    /// # Cancel safety
    /// May be dropped and called again.
    pub(super) async fn exited(&mut self) {
        self.watch.exited().await;
    }

    /// Asks the whole group to end. A stopped process hears SIGTERM only once it runs again.
    pub(super) fn terminate_group(&self) {
        self.leader.signal_group(Signal::TERM);
        self.leader.signal_group(Signal::CONT);
    }

    /// Sends the leader alone a signal that it may answer with a trace of what it is at.
    pub(super) fn urge(&self, signal: SoftSignal) {
        let signal = match signal {
            SoftSignal::Abort => Signal::ABORT,
            SoftSignal::Hangup => Signal::HUP,
            SoftSignal::Interrupt => Signal::INT,
            SoftSignal::Quit => Signal::QUIT,
            SoftSignal::User1 => Signal::USR1,
            SoftSignal::User2 => Signal::USR2,
        };
        // A stopped process hears it only once it runs again.
        for signal in [signal, Signal::CONT] {
            // It may have exited meanwhile, but its pid is its own until it is reaped.
            let _ = rustix::process::kill_process(self.leader.pid, signal);
        }
    }

    /// Ends the whole group.
    pub(super) fn kill_group(&self) {
        self.leader.signal_group(Signal::KILL);
    }

    /// Collects the exit of a process that [has exited](Self::exited).
    ///
    /// From here on its pid may belong to another process, so nothing can be done with it any more. What it
    /// left in its group is killed first, while the zombie still keeps the group's id from being used again.
    pub(super) fn reap(mut self) -> ExitState {
        self.kill_group();
        self.leader.reaped = true;
        wait_for(self.leader.pid)
    }
}

impl Leader {
    fn of(child: &Child) -> Self {
        // Without /proc the pid alone has to do; it cannot be used again before the process is reaped.
        let id = ProcessId::of(child.id()).unwrap_or(ProcessId { pid: child.id(), start_time: 0 });
        Self { id, pid: Pid::from_child(child), reaped: false }
    }

    fn signal_group(&self, signal: Signal) {
        if let Err(error) = rustix::process::kill_process_group(self.pid, signal)
            // The group is empty but for the zombie, which macOS reports as EPERM.
            && !matches!(error, rustix::io::Errno::SRCH | rustix::io::Errno::PERM)
        {
            tracing::warn!(pid = self.id.pid, ?signal, %error, "a process group could not be signalled");
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if !self.reaped {
            self.signal_group(Signal::KILL);
            let pid = self.pid;
            // It takes the kernel a moment to end it, and a zombie would stay for as long as the host program.
            let _ = thread::Builder::new().name("plugbus-reap".into()).spawn(move || wait_for(pid));
        }
    }
}

/// Collects the exit of a child; blocks while it runs.
fn wait_for(pid: Pid) -> ExitState {
    // ECHILD: a host program ignores SIGCHLD, or waits for children that are not its own.
    let status = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(pid), WaitIdOptions::EXITED)).ok().flatten();
    exit_state(status.as_ref())
}

/// What `waitid` says, in our words.
fn exit_state(status: Option<&rustix::process::WaitIdStatus>) -> ExitState {
    let Some(status) = status else { return ExitState::Unknown };
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => ExitState::Code(code),
        (None, Some(signal)) => ExitState::Signal(signal),
        (None, None) => ExitState::Unknown,
    }
}

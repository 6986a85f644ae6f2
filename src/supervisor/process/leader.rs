//! The process that was started, and the right to signal its group.

use std::thread;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, waitid};

use super::children::OwnChild;
use super::group::signal_foreign_group;
use crate::bus::ProcessId;
use crate::supervisor::unit::ExitState;

/// The leader of a group; whatever goes wrong from its start on, the group ends with this value.
#[derive(Debug)]
pub(super) struct Leader {
    id: ProcessId,
    pid: Pid,
    /// Our child, which only we collect; `None` for another's.
    child: Option<OwnChild>,
    /// It was collected, or let go: nothing is done to it any more.
    over: bool,
}

impl Leader {
    /// A child that was just started.
    pub(super) fn of(pid: Pid) -> Self {
        let own = pid.as_raw_nonzero().get().unsigned_abs();
        // Without /proc the pid alone has to do; it cannot be used again before the process is reaped.
        let id = ProcessId::of(own).unwrap_or(ProcessId { pid: own, start_time: 0 });
        Self { id, pid, child: Some(OwnChild::new(own)), over: false }
    }

    /// A process that was verified, and that something holds on to; `None` for what is no process's id.
    pub(super) fn found(id: ProcessId) -> Option<Self> {
        let pid = Pid::from_raw(id.pid.try_into().ok()?)?;
        let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        // Refused (ECHILD) for whoever is not our child.
        let child = waitid(WaitId::Pid(pid), peek).is_ok().then(|| OwnChild::new(id.pid));
        Some(Self { id, pid, child, over: false })
    }

    pub(super) fn id(&self) -> ProcessId {
        self.id
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    pub(super) fn is_child(&self) -> bool {
        self.child.is_some()
    }

    /// Whether it was collected or let go.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    pub(super) fn terminate_group(&self) {
        self.signal_group(Signal::TERM);
        self.signal_group(Signal::CONT);
    }

    pub(super) fn kill_group(&self) {
        self.signal_group(Signal::KILL);
    }

    fn signal_group(&self, signal: Signal) {
        if self.over {
            return;
        }
        if !self.is_child() {
            signal_foreign_group(self.id, signal);
        } else if let Err(error) = kill_process_group(self.pid, signal)
            // The group is empty but for the zombie, which macOS reports as EPERM.
            && !matches!(error, Errno::SRCH | Errno::PERM)
        {
            tracing::warn!(pid = self.id.pid, ?signal, %error, "a process group could not be signalled");
        }
    }

    /// How a child exited; it stays a zombie.
    pub(super) fn exit(&self) -> ExitState {
        wait_for(self.pid, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
    }

    /// Collects a child that has exited; from here on its pid may belong to another process.
    pub(super) fn reap(&mut self) {
        if self.is_child() {
            wait_for(self.pid, WaitIdOptions::EXITED);
        }
        self.let_go();
    }

    pub(super) fn let_go(&mut self) {
        self.over = true;
        self.child = None;
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        self.kill_group();
        if let Some(child) = self.child.take() {
            let pid = self.pid;
            // It takes the kernel a moment to end it, and a zombie would stay for as long as the host program.
            let reap = move || {
                wait_for(pid, WaitIdOptions::EXITED);
                drop(child);
            };
            let _ = thread::Builder::new().name("plugbus-reap".into()).spawn(reap);
        }
    }
}

/// Waits for the exit of a child; blocks while it runs.
fn wait_for(pid: Pid, options: WaitIdOptions) -> ExitState {
    // ECHILD: a host program ignores SIGCHLD, or waits for children that are not its own.
    let status = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(pid), options)).ok().flatten();
    exit_state(status.as_ref())
}

/// What `waitid` says, in our words.
fn exit_state(status: Option<&WaitIdStatus>) -> ExitState {
    let Some(status) = status else { return ExitState::Unknown };
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => ExitState::Code(code),
        (None, Some(signal)) => ExitState::Signal(signal),
        (None, None) => ExitState::Unknown,
    }
}

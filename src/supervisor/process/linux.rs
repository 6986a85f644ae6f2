//! Exits by pidfd: seen at once, without polling, without a thread, without SIGCHLD, whoever's child it is.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::exit_info::{exit_of, exit_state};
pub(in crate::supervisor) use super::start::inherits_nothing;
pub(super) use super::start::start;
use super::table::{Row, status_of_zombie};
use crate::bus::ProcessId;
use crate::supervisor::unit::ExitState;

/// How long the kernel may take from the end of a zombie to telling its exit.
const REAPING: Duration = Duration::from_millis(20);

/// Tells when one process has exited.
#[derive(Debug)]
pub(super) struct ExitWatch {
    pidfd: AsyncFd<OwnedFd>,
}

impl ExitWatch {
    /// Watches a process that is known to be the one meant: a child that was not reaped, or a verified one.
    #[expect(deprecated, reason = "its sound successor is unsafe; an OwnedFd is the one file it always was")]
    pub(super) fn new(pid: Pid) -> io::Result<Self> {
        Ok(Self { pidfd: AsyncFd::with_interest(open(pid)?, Interest::READABLE)? })
    }

    /// Watches whoever is meant, its zombie too; `None` where it is gone.
    pub(super) fn verified(process: ProcessId) -> Option<Self> {
        let watch = Self::new(Pid::from_raw(process.pid.try_into().ok()?)?).ok()?;
        // Only now, when the pidfd holds on to whoever has the pid: it is still the one that is meant.
        is_still(process).then_some(watch)
    }

    /// Sends it a signal; gone, it does not get it.
    pub(super) fn signal(&self, _: Pid, signal: Signal) {
        let _ = pidfd_send_signal(self.pidfd.get_ref(), signal);
    }

    pub(super) async fn exited(&mut self) {
        // A pidfd becomes readable once and stays so; an error here means that the runtime is shutting down, and
        // then this future is never polled to its end.
        if self.pidfd.readable().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// How a process exited that is another's to reap; unknown where it cannot be found out in time.
    ///
    /// While it is a zombie the process table tells, once it is reaped the pidfd does (Linux 6.15).
    pub(super) async fn exit(&mut self, process: ProcessId) -> ExitState {
        if let Some(status) = status_of_zombie(process) {
            return exit_state(status);
        }
        // Reaped already, but for a moment in which neither tells.
        let _ = tokio::time::timeout(REAPING, self.reaped()).await;
        exit_of(self.pidfd.get_ref().as_fd()).unwrap_or(ExitState::Unknown)
    }

    /// The pidfd hangs up when the zombie is collected.
    async fn reaped(&mut self) {
        while let Ok(mut ready) = self.pidfd.readable().await {
            if ready.ready().is_read_closed() || exit_of(self.pidfd.get_ref().as_fd()).is_some() {
                return;
            }
            ready.clear_ready();
        }
        std::future::pending().await
    }
}

fn open(pid: Pid) -> io::Result<OwnedFd> {
    // Flags are empty: a pidfd is close-on-exec by itself.
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Whether the pid is still that process's, or its zombie's.
pub(super) fn is_still(process: ProcessId) -> bool {
    // Without a start time nothing is proved.
    process.start_time != 0 && Row::read(process.pid).is_some_and(|row| row.id == process)
}

/// Sends SIGKILL to that very process; whether it was still there to be killed.
pub(super) fn kill_verified(process: ProcessId) -> bool {
    let pid = process.pid.try_into().ok().and_then(Pid::from_raw);
    let Some(pidfd) = pid.and_then(|pid| open(pid).ok()) else { return false };
    // The pidfd stays with whoever it was opened for, and this says that it was opened for the right one.
    is_still(process) && process.is_alive() && pidfd_send_signal(pidfd, Signal::KILL).is_ok()
}

/// The id of the group that a process is in.
///
/// From `/proc`, because `getpgid` answers 0 for a group outside our pid namespace, which rustix has no value for.
pub(in crate::supervisor) fn group_of(pid: u32) -> Option<u32> {
    Row::read(pid).map(|row| row.group)
}

/// Has this process inherit the orphans of all it starts, instead of process 1.
pub(super) fn adopt_orphans() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// How long ago a process started.
pub(in crate::supervisor) fn age_of(process: ProcessId) -> Option<Duration> {
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let uptime: f64 = uptime.split(' ').next()?.parse().ok()?;
    let started =
        Duration::from_millis(process.start_time.checked_mul(1000)? / rustix::param::clock_ticks_per_second());
    Duration::try_from_secs_f64(uptime).ok()?.checked_sub(started)
}

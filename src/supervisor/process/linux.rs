//! Exits by pidfd: seen at once, without polling, without a thread, without SIGCHLD.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::Executing;
use crate::bus::ProcessId;

/// Tells when one process has exited.
#[derive(Debug)]
pub(super) struct ExitWatch {
    pidfd: AsyncFd<OwnedFd>,
}

impl ExitWatch {
    /// Watches a process that is known to be the one meant: a child that was not reaped, or a verified one.
    #[expect(deprecated, reason = "its sound successor is unsafe; an OwnedFd is the one file it always was")]
    pub(super) fn new(pid: Pid) -> io::Result<Self> {
        // Flags are empty: a pidfd is close-on-exec by itself.
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Self { pidfd: AsyncFd::with_interest(pidfd, Interest::READABLE)? })
    }

    /// Watches a process that is not our child; `None` where it is gone already.
    pub(super) fn foreign(process: ProcessId) -> Option<Self> {
        let watch = Self::new(Pid::from_raw(process.pid.try_into().ok()?)?).ok()?;
        // Only now, when the pidfd holds on to whoever has the pid: it is still the one that is meant.
        process.is_alive().then_some(watch)
    }

    pub(super) async fn exited(&mut self) {
        // A pidfd becomes readable once and stays so; an error here means that the runtime is shutting down, and
        // then this future is never polled to its end.
        if self.pidfd.readable().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The id of the group that a process is in.
///
/// From `/proc`, because `getpgid` answers 0 for a group outside our pid namespace, which rustix has no value for.
pub(in crate::supervisor) fn group_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may hold anything, `)` included.
    let after_name = stat.iter().rposition(|byte| *byte == b')')?;
    std::str::from_utf8(stat.get(after_name + 2..)?).ok()?.split(' ').nth(2)?.parse().ok()
}

/// The leader of a process group that was started with these variables; `Err` where one is executing a program at
/// this moment, so that what it was given cannot be read.
///
/// For processes whose supervisor was killed before it could write down who they are. It held a lock until then,
/// and a child shares that until its program is executed: whoever holds the lock now finds the new environment.
pub(in crate::supervisor) fn leader_with(variables: &[(&str, &OsStr)]) -> Result<Option<ProcessId>, Executing> {
    let wanted: Vec<_> =
        variables.iter().map(|(name, value)| [name.as_bytes(), b"=", value.as_encoded_bytes()].concat()).collect();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut executing = false;
    for pid in pids.filter(|pid: &u32| group_of(*pid) == Some(*pid)) {
        // Who it is comes first: if the pid is another's by the time the variables are read, that is no longer it.
        let (process, environment) = (ProcessId::of(pid), std::fs::read(format!("/proc/{pid}/environ")));
        // Gone meanwhile, or another user's.
        let (Some(process), Ok(environment)) = (process, environment) else { continue };
        let has = |wanted: &Vec<u8>| environment.split(|byte| *byte == 0).any(|found| found == wanted.as_slice());
        if wanted.iter().all(has) && process.is_alive() {
            return Ok(Some(process));
        }
        executing |= environment.is_empty() && process.is_alive();
    }
    if executing { Err(Executing) } else { Ok(None) }
}

//! Exits by a waiting thread, where there is no pidfd.

use std::ffi::OsStr;
use std::io;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions, getpgid, waitid};
use tokio::sync::oneshot;

use super::Executing;
use crate::bus::ProcessId;

/// How often a process that is not our child is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Tells when one process has exited.
#[derive(Debug)]
pub(super) enum ExitWatch {
    /// A child, with a thread that waits for it.
    Child { exit: oneshot::Receiver<()>, seen: bool },
    /// Nobody can wait for the child of another.
    Foreign(ProcessId),
}

impl ExitWatch {
    /// Watches a child that was not reaped.
    pub(super) fn new(pid: Pid) -> io::Result<Self> {
        let (tell, exit) = oneshot::channel();
        thread::Builder::new().name("plugbus-wait".into()).stack_size(64 * 1024).spawn(move || {
            // NOWAIT leaves the zombie, which keeps the pid and its group from being used again.
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            let _ = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(pid), options));
            let _ = tell.send(());
        })?;
        Ok(Self::Child { exit, seen: false })
    }

    /// Watches a process that is not our child; `None` where it is gone already.
    pub(super) fn foreign(process: ProcessId) -> Option<Self> {
        process.is_alive().then_some(Self::Foreign(process))
    }

    pub(super) async fn exited(&mut self) {
        match self {
            Self::Child { seen: true, .. } => {}
            Self::Child { exit, seen } => {
                // The sender is never dropped unsent but by a thread that ended, which is the same news.
                let _ = exit.await;
                *seen = true;
            }
            Self::Foreign(process) => {
                while process.is_alive() {
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }
}

/// The id of the group that a process is in.
pub(in crate::supervisor) fn group_of(pid: u32) -> Option<u32> {
    let group = getpgid(Pid::from_raw(pid.try_into().ok()?)).ok()?;
    group.as_raw_nonzero().get().try_into().ok()
}

/// The leader of a process group that was started with these variables; not to be found out without `/proc`.
pub(in crate::supervisor) fn leader_with(_: &[(&str, &OsStr)]) -> Result<Option<ProcessId>, Executing> {
    Ok(None)
}

//! Exits by a waiting thread, where there is no pidfd.

use std::io;
use std::thread;

use rustix::process::{Pid, WaitId, WaitIdOptions, getpgid, waitid};
use tokio::sync::oneshot;

/// Tells when one process has exited.
#[derive(Debug)]
pub(super) struct ExitWatch {
    exit: oneshot::Receiver<()>,
    seen: bool,
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
        Ok(Self { exit, seen: false })
    }

    pub(super) async fn exited(&mut self) {
        if !self.seen {
            // The sender is never dropped unsent but by a thread that ended, which is the same news.
            let _ = (&mut self.exit).await;
            self.seen = true;
        }
    }
}

/// The id of the group that a process is in.
pub(super) fn group_of(pid: u32) -> Option<u32> {
    let group = getpgid(Pid::from_raw(pid.try_into().ok()?)).ok()?;
    group.as_raw_nonzero().get().try_into().ok()
}

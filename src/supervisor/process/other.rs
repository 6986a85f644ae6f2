//! Exits by a waiting thread, where there is no pidfd.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpgid, kill_process, waitid};
use tokio::sync::oneshot;

use super::{Entry, Launch};
use crate::bus::ProcessId;
use crate::supervisor::unit::ExitState;

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

    /// Watches whoever is meant; `None` where it is gone already.
    pub(super) fn verified(process: ProcessId) -> Option<Self> {
        process.is_alive().then_some(Self::Foreign(process))
    }

    /// Sends it a signal; gone, it does not get it.
    pub(super) fn signal(&self, pid: Pid, signal: Signal) {
        let is_it = match self {
            // Its pid is its own until it is reaped.
            Self::Child { .. } => true,
            Self::Foreign(process) => process.is_alive(),
        };
        if is_it {
            let _ = kill_process(pid, signal);
        }
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

    /// How a process exited that is another's to reap: nobody tells.
    #[expect(clippy::unused_async, reason = "the same name and shape as where the kernel tells")]
    pub(super) async fn exit(&mut self, _: ProcessId) -> ExitState {
        ExitState::Unknown
    }
}

/// Sends SIGKILL to a process; whether it was still there to be killed.
pub(super) fn kill_verified(process: ProcessId) -> bool {
    let pid = process.pid.try_into().ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| process.is_alive() && kill_process(pid, Signal::KILL).is_ok())
}

/// The id of the group that a process is in.
pub(in crate::supervisor) fn group_of(pid: u32) -> Option<u32> {
    let group = getpgid(Pid::from_raw(pid.try_into().ok()?)).ok()?;
    group.as_raw_nonzero().get().try_into().ok()
}

/// A child, and the ends of its output.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) pid: Pid,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// Starts a process in a group of its own; there are no cgroups here.
pub(super) fn start(launch: &Launch, _: Option<&Entry>) -> io::Result<Started> {
    let mut child = launch.command()?.process_group(0).spawn()?;
    // Both were asked to be pipes.
    let missing = || io::Error::other("its output could not be captured");
    let (stdout, stderr) = (child.stdout.take().ok_or_else(missing)?, child.stderr.take().ok_or_else(missing)?);
    Ok(Started { pid: Pid::from_child(&child), stdout: stdout.into(), stderr: stderr.into() })
}

/// Nothing to do here: std starts a program without what is marked close-on-exec, and there is no more to be had.
pub(in crate::supervisor) fn inherits_nothing(command: &mut Command) -> &mut Command {
    command
}

impl Launch {
    pub(super) fn command(&self) -> io::Result<Command> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if !self.cwd.as_os_str().is_empty() {
            command.current_dir(&self.cwd);
        }
        command.env_clear().envs(self.variables()?);
        Ok(command)
    }
}

/// Orphans go to process 1 here.
pub(super) fn adopt_orphans() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// How long ago a process started: not to be found out without `/proc`.
pub(in crate::supervisor) fn age_of(_: ProcessId) -> Option<Duration> {
    None
}

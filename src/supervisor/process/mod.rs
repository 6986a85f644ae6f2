//! Processes, as the operating system has them: start, take back, signal, wait, reap.
//!
//! Knows nothing of units, surveys or cards. A [`Process`] leads a session and a group of its own. Of a child,
//! nobody else collects the exit, so its pid and its group's id belong to it for as long as the value lives; of one
//! that another supervisor started, a pidfd and the start time say who it is. So every signal goes to a verified
//! identity. [`tree`] ends what came of it. What differs between systems is in `linux.rs` and `other.rs`, under the
//! same names; what reads `/proc` finds nothing elsewhere.

mod cgroup;
mod children;
mod command;
mod environment;
mod error;
#[cfg(target_os = "linux")]
mod exit_info;
mod group;
mod hold;
mod leader;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(not(target_os = "linux"), test))]
#[cfg_attr(target_os = "linux", expect(dead_code, reason = "its watch alone is tested here"))]
mod other;
mod reaper;
mod relatives;
mod share;
#[cfg(target_os = "linux")]
mod start;
mod table;
#[cfg(test)]
pub(super) mod tests;
mod tree;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use other as system;

use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

pub(super) use cgroup::{Cgroup, Cgroups};
pub(super) use command::Launch;
pub(super) use error::SpawnError;
pub(super) use group::leads_group_of;
pub(super) use hold::hold;
pub(super) use reaper::Reaper;
pub(super) use relatives::{Strays, started_on};
pub(super) use system::{age_of, group_of, inherits_nothing};
pub(super) use tree::{Survivor, Tree};

use super::SoftSignal;
use super::limits::files_are_short;
use super::unit::ExitState;
use crate::bus::ProcessId;
use cgroup::Entry;
use children::Birth;
use leader::Leader;

/// How long a group may take to go after SIGKILL.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// A process that leads its own group, with all that it started.
///
/// Dropping it kills them: no process is left behind by a task that was given up.
#[derive(Debug)]
pub(super) struct Process {
    leader: Leader,
    watch: system::ExitWatch,
    tree: Tree,
}

/// A process that was just started, and the other ends of its output.
#[derive(Debug)]
pub(super) struct Spawned {
    pub(super) process: Process,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// Starts a process in a session of its own; blocks until its program was executed.
///
/// Needs a tokio runtime around it, for the watch on the exit.
///
/// # Errors
/// [`SpawnError`] says in words what is wrong; no process is left behind then.
pub(super) fn spawn(launch: &Launch, mut tree: Tree) -> Result<Spawned, SpawnError> {
    if files_are_short() {
        return Err(SpawnError::TooManyFiles);
    }
    let entry = tree.make_cgroup();
    let confinement = &launch.confinement;
    if let Err(error) = share::limit(tree.cgroup.as_ref(), &confinement.total, confinement.sandbox_required) {
        tree.remove_cgroup();
        return Err(SpawnError::diagnose(&error, launch));
    }
    let birth = Birth::begin();
    let started = system::start(launch, entry.as_ref()).map_err(|error| {
        tree.remove_cgroup();
        SpawnError::diagnose(&error, launch)
    })?;
    // First of all: what follows may fail, and panics in a runtime without input and output.
    let leader = Leader::of(started.pid);
    drop(birth);
    tree.settle(leader.id().pid);
    let watch = system::ExitWatch::new(leader.pid()).map_err(|error| SpawnError::diagnose(&error, launch))?;
    let process = Process { leader, watch, tree };
    Ok(Spawned { process, stdout: started.stdout, stderr: started.stderr })
}

impl Process {
    /// Takes over a process that another supervisor started, or this one before it replaced itself.
    ///
    /// A zombie that nobody has collected is taken too, for its exit. `None` where the process is gone, or where it
    /// cannot be proved that this is the one. Needs a tokio runtime around it.
    pub(super) fn take_back(id: ProcessId, tree: Tree) -> Option<Self> {
        let mut watch = system::ExitWatch::verified(id)?;
        let leader = Leader::found(id)?;
        if leader.is_child() {
            // It stays until it is collected, and that is only done here.
            watch = system::ExitWatch::new(leader.pid()).ok()?;
        }
        let tree = tree.taken_back(id.pid, leader.is_child());
        Some(Self { leader, watch, tree })
    }

    pub(super) fn id(&self) -> ProcessId {
        self.leader.id()
    }

    /// Waits until the process has exited.
    ///
    /// # Cancel safety
    /// May be dropped and called again.
    pub(super) async fn exited(&mut self) {
        self.watch.exited().await;
    }

    /// Asks the whole group to end. A stopped process hears SIGTERM only once it runs again.
    pub(super) fn terminate_group(&self) {
        self.leader.terminate_group();
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
            self.watch.signal(self.leader.pid(), signal);
        }
    }

    /// Ends the whole group, and the cgroup.
    pub(super) fn kill(&self) {
        self.leader.kill_group();
        self.tree.kill_cgroup();
    }

    /// How the process exited, once it [has](Self::exited); what it left in its group and cgroup is killed.
    ///
    /// Nothing is reaped yet: a zombie keeps the ids of its group and session from being used again.
    pub(super) async fn exit(&mut self) -> ExitState {
        self.kill();
        match self.leader.is_child() {
            true => self.leader.exit(),
            false => self.watch.exit(self.leader.id()).await,
        }
    }

    /// Reaps a process that [has exited](Self::exited) and ends all that came of it; answers what did not end.
    pub(super) async fn end_tree(mut self) -> Vec<Survivor> {
        let (tree, held) = (self.tree.clone(), self.leader.is_child().then(|| self.leader.id()));
        let looked = tokio::task::spawn_blocking(move || tree.kill(held)).await;
        self.leader.reap();
        match looked {
            Ok(None) => vec![],
            _ => self.tree.end().await,
        }
    }

    /// Ends it: SIGTERM and SIGCONT, grace, SIGKILL; answers what is left of it.
    pub(super) async fn stop(mut self, grace: Duration) -> Vec<Survivor> {
        self.terminate_group();
        if tokio::time::timeout(grace, self.exited()).await.is_err() {
            self.kill();
            if tokio::time::timeout(KILL_PATIENCE, self.exited()).await.is_err() {
                let survivor = Survivor::of(self.id());
                self.let_go();
                return vec![survivor];
            }
        }
        self.end_tree().await
    }

    /// Lets the process live on by itself.
    pub(super) fn let_go(mut self) {
        self.leader.let_go();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.leader.is_over() {
            self.kill();
            // Takes longer than a drop may, and is best effort: the record is there for the next supervisor.
            let tree = self.tree.clone();
            let _ = thread::Builder::new().name("plugbus-end".into()).spawn(move || tree.end_blocking());
        }
    }
}

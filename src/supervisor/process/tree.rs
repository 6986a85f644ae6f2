//! All that one instance started, however far it went: found and ended.
//!
//! A cgroup has all of it. Without one there are the process group, what is left of it in the leader's session, and
//! the environment, which children inherit. Whoever is found so is signalled through a pidfd, once it is proved
//! that this still is who was found.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::cgroup::{Cgroup, Entry};
use super::relatives::{Relatives, relatives};
use super::{reaper, system, table};
use crate::bus::ProcessId;

/// How long whoever was sent SIGKILL may take to be gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// The first and the longest pause between two looks.
const LOOKS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

/// Where an instance's processes are to be looked for.
#[derive(Debug, Clone)]
pub(in crate::supervisor) struct Tree {
    pub(super) mark: Mark,
    /// Whoever was started is in it, and so is all that came of it.
    pub(super) cgroup: Option<Cgroup>,
    /// It was started here, and its orphans come to this process: nobody else need be looked at.
    pub(super) is_below_us: bool,
}

/// What every process of an instance was given, and hands on to its children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) struct Mark {
    pub(in crate::supervisor) bus: PathBuf,
    pub(in crate::supervisor) instance: String,
}

/// Somebody whom SIGKILL did not end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) struct Survivor {
    pub(in crate::supervisor) pid: u32,
    pub(in crate::supervisor) program: String,
}

impl Tree {
    /// Of an instance, by its mark alone.
    pub(in crate::supervisor) fn marked(bus: &Path, instance: &str) -> Self {
        Self { mark: Mark { bus: bus.into(), instance: instance.into() }, cgroup: None, is_below_us: false }
    }

    pub(in crate::supervisor) fn with_cgroup(self, cgroup: Option<Cgroup>) -> Self {
        Self { cgroup, ..self }
    }

    /// Makes the cgroup; answers how a child gets in.
    pub(super) fn make_cgroup(&mut self) -> Option<Entry> {
        let made = self.cgroup.as_ref()?.create();
        if let Err(error) = &made {
            // A limit was reached, or somebody took the permission away: there are other ways to end a tree.
            tracing::debug!(%error, "no cgroup can be made");
            self.cgroup = None;
        }
        made.ok()
    }

    pub(super) fn remove_cgroup(&self) {
        if let Some(cgroup) = &self.cgroup {
            let _ = cgroup.remove();
        }
    }

    /// Looks whether a child that was just started is where it was to be.
    pub(super) fn settle(&mut self, pid: u32) {
        self.is_below_us = reaper::is_at_work();
        if self.cgroup.as_ref().is_some_and(|cgroup| !cgroup.includes(pid)) {
            tracing::debug!(pid, "it could not join its cgroup");
            self.remove_cgroup();
            self.cgroup = None;
        }
    }

    /// The same for a process that was started by another supervisor, or by this one before it replaced itself.
    pub(super) fn taken_back(self, pid: u32, is_child: bool) -> Self {
        let is_below_us = is_child && reaper::is_at_work();
        let cgroup = self.cgroup.filter(|cgroup| cgroup.includes(pid));
        Self { cgroup, is_below_us, ..self }
    }

    /// Ends whoever is in the cgroup, at once.
    pub(super) fn kill_cgroup(&self) {
        if let Some(cgroup) = &self.cgroup
            && let Err(error) = cgroup.kill()
            // Removed already.
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %cgroup.path().display(), "a cgroup could not be ended");
        }
    }

    /// Sends SIGKILL to all that can be found; answers who was still there, and `None` where all is gone. Blocks.
    ///
    /// An empty answer says that somebody may yet be there, and that it takes another look.
    ///
    /// `leader` is one that has exited and is not reaped: until then nobody else can have its session or group.
    pub(super) fn kill(&self, leader: Option<ProcessId>) -> Option<Vec<ProcessId>> {
        if let Some(cgroup) = &self.cgroup {
            self.kill_cgroup();
            return cgroup.remove().is_err().then(|| cgroup.members());
        }
        let Relatives { found: mut left, executing } = relatives(&self.mark, leader, self.is_below_us);
        // Whoever was found and is gone meanwhile may have left a child that nobody saw: only nobody found is nobody.
        let nobody = left.is_empty() && !executing;
        left.retain(|member| system::kill_verified(*member));
        (!nobody).then_some(left)
    }

    /// Ends everything; waits until it is gone, but not for ever.
    pub(in crate::supervisor) async fn end(&self) -> Vec<Survivor> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = LOOKS.0;
        loop {
            let tree = self.clone();
            // It reads many small files of the system's.
            let look = tokio::task::spawn_blocking(move || tree.kill(None));
            let Ok(Some(left)) = look.await else { return vec![] };
            if Instant::now() >= deadline {
                return left.into_iter().map(Survivor::of).collect();
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOKS.1);
        }
    }
}

impl Tree {
    /// As [`end`](Self::end), for a thread of its own.
    pub(super) fn end_blocking(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = LOOKS.0;
        while self.kill(None).is_some() && Instant::now() < deadline {
            // Nobody unparks this thread: it is the pause between two looks.
            std::thread::park_timeout(pause);
            pause = (pause * 2).min(LOOKS.1);
        }
    }
}

impl Survivor {
    pub(super) fn of(process: ProcessId) -> Self {
        Self { pid: process.pid, program: table::program(process.pid) }
    }
}

impl std::fmt::Display for Survivor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} ({})", self.pid, self.program)
    }
}

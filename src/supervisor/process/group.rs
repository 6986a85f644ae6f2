//! Process groups that are not our children's, or not known to be.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use super::system::{ExitWatch, group_of};
use crate::bus::ProcessId;

/// Whether a process is the leader itself or in the group that it leads.
///
/// A plugin started by a wrapper answers from a child of the process that was started.
pub(in crate::supervisor) fn leads_group_of(leader: u32, pid: u32) -> bool {
    leader == pid || group_of(pid) == Some(leader)
}

/// How long a process may take to go after SIGKILL.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// Ends the group of a process that is not our child: SIGTERM and SIGCONT, grace, SIGKILL; whether it is gone.
///
/// A process that cannot be proved to be the one that is meant is left alone and counts as gone where it is.
pub(in crate::supervisor) async fn end_foreign(leader: ProcessId, grace: Duration) -> bool {
    let Some(mut watch) = ExitWatch::foreign(leader) else { return true };
    signal_foreign_group(leader, Signal::TERM);
    signal_foreign_group(leader, Signal::CONT);
    if tokio::time::timeout(grace, watch.exited()).await.is_ok() {
        return true;
    }
    signal_foreign_group(leader, Signal::KILL);
    tokio::time::timeout(KILL_PATIENCE, watch.exited()).await.is_ok()
}

/// Signals the group of a process that somebody else has to reap; whether it was still there.
///
/// Nothing holds its pid, so it is verified right before: the same start time, and still the leader of its own
/// group. An id that leads a group is not given to a new process while the group has members.
pub(super) fn signal_foreign_group(leader: ProcessId, signal: Signal) -> bool {
    let Some(pid) = leader.pid.try_into().ok().and_then(Pid::from_raw) else { return false };
    let verified = leader.start_time != 0 && leader.is_alive() && group_of(leader.pid) == Some(leader.pid);
    verified && kill_process_group(pid, signal).is_ok()
}

//! Process groups that are not our children's, or not known to be.

use rustix::process::{Pid, Signal, kill_process_group};

use super::system::group_of;
use crate::bus::ProcessId;

/// Whether a process is the leader itself or in the group that it leads.
///
/// A plugin started by a wrapper answers from a child of the process that was started.
pub(in crate::supervisor) fn leads_group_of(leader: u32, pid: u32) -> bool {
    leader == pid || group_of(pid) == Some(leader)
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

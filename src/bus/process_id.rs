//! Who a process is, beyond a number that is used again.

use serde::{Deserialize, Serialize};

/// A process told from a later one with the same pid by when it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    /// The process id.
    pub pid: u32,
    /// Clock ticks from boot to the start of the process (field 22 of `/proc/PID/stat`); 0 where unknown.
    pub start_time: u64,
}

impl ProcessId {
    /// The process that has this pid now; `None` where there is none.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        Stat::read(pid).map(|stat| Self { pid, start_time: stat.start_time })
    }

    /// This process.
    #[must_use]
    pub fn own() -> Self {
        let pid = std::process::id();
        Self::of(pid).unwrap_or(Self { pid, start_time: 0 })
    }

    /// Whether that very process still runs; one that has exited and is not yet reaped does not.
    #[must_use]
    pub fn is_alive(self) -> bool {
        Stat::read(self.pid).is_some_and(|stat| stat.start_time == self.start_time && !stat.exited)
    }
}

/// The process group of a process; `None` where it is gone, or its group is not to be seen from here.
pub(super) fn group_of(pid: u32) -> Option<u32> {
    Stat::read(pid).and_then(|stat| stat.group)
}

struct Stat {
    group: Option<u32>,
    start_time: u64,
    exited: bool,
}

#[cfg(target_os = "linux")]
impl Stat {
    fn read(pid: u32) -> Option<Self> {
        let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the program's name in parentheses, which may hold anything, `)` included.
        let after_name = text.iter().rposition(|byte| *byte == b')')?;
        let mut fields = std::str::from_utf8(text.get(after_name + 2..)?).ok()?.split(' ');
        let state = fields.next()?;
        // 0 where it is of another namespace.
        let group = fields.nth(1)?.parse().ok().filter(|group| *group != 0);
        let start_time = fields.nth(16)?.parse().ok()?;
        Some(Self { group, start_time, exited: matches!(state, "Z" | "X" | "x") })
    }
}

#[cfg(not(target_os = "linux"))]
impl Stat {
    /// Without `/proc` a pid is all there is to go by.
    fn read(pid: u32) -> Option<Self> {
        let pid = rustix::process::Pid::from_raw(pid.try_into().ok()?)?;
        let alive = rustix::process::test_kill_process(pid).is_ok();
        let group =
            rustix::process::getpgid(Some(pid)).ok().and_then(|group| group.as_raw_nonzero().get().try_into().ok());
        alive.then_some(Self { group, start_time: 0, exited: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_itself_and_no_other() {
        let own = ProcessId::own();
        assert!(own.is_alive());
        assert!(!ProcessId { start_time: own.start_time + 1, ..own }.is_alive());
        assert!(!ProcessId { pid: u32::MAX, start_time: 0 }.is_alive());
    }

    #[test]
    fn an_exited_child_is_not_alive_even_before_it_is_reaped() {
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let id = ProcessId::of(child.id()).unwrap();
        assert!(id.is_alive());
        let child_pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(child_pid, rustix::process::Signal::KILL).unwrap();
        let exited = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        rustix::process::waitid(rustix::process::WaitId::Pid(child_pid), exited).unwrap();
        assert!(!id.is_alive());
        child.wait().unwrap();
    }
}

//! The process table as `/proc` shows it: who somebody is, whose child, and what it was given.

use std::path::Path;

use crate::bus::ProcessId;

/// One process at the moment it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) id: ProcessId,
    pub(super) parent: u32,
    pub(super) group: u32,
    pub(super) session: u32,
    /// It is a zombie: it has exited, and its parent has not collected that.
    pub(super) exited: bool,
}

impl Row {
    /// Whoever has that pid now.
    pub(super) fn read(pid: u32) -> Option<Self> {
        Self::parse(pid, &std::fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(pid: u32, text: &[u8]) -> Option<Self> {
        let mut fields = fields(text)?;
        let exited = matches!(fields.next()?, "Z" | "X" | "x");
        let [parent, group, session] = [(); 3].map(|()| fields.next().and_then(|field| field.parse().ok()));
        let start_time = fields.nth(15)?.parse().ok()?;
        Some(Self { id: ProcessId { pid, start_time }, parent: parent?, group: group?, session: session?, exited })
    }
}

/// What stands after the program's name in a line of `/proc/PID/stat`: from its third field on.
fn fields(text: &[u8]) -> Option<std::str::Split<'_, char>> {
    // The second field is that name in parentheses, which may hold anything, `)` included.
    let after_name = text.iter().rposition(|byte| *byte == b')')?;
    Some(std::str::from_utf8(text.get(after_name + 2..)?).ok()?.trim_end().split(' '))
}

/// The status of a process that has exited and is not yet reaped, as `wait` would tell it (field 52).
///
/// `None` where it is not a zombie, and where this process may not know: then the kernel writes a zero.
pub(super) fn status_of_zombie(process: ProcessId) -> Option<i32> {
    use std::os::unix::fs::MetadataExt;
    let text = std::fs::read(format!("/proc/{}/stat", process.pid)).ok()?;
    let row = Row::parse(process.pid, &text)?;
    let status = fields(&text)?.nth(49)?.parse().ok()?;
    let own = rustix::process::geteuid().as_raw();
    let is_told = status != 0
        || own == 0
        || std::fs::metadata(format!("/proc/{}", process.pid)).is_ok_and(|found| found.uid() == own);
    (row.exited && row.id == process && is_told).then_some(status)
}

/// Whether a process is just executing a program, and so has no variables for the moment.
///
/// The kernel fills in where they end (field 51) when the new program's memory is ready. A kernel thread has none ever.
pub(super) fn is_executing(pid: u32) -> bool {
    const KERNEL_THREAD: u64 = 0x0020_0000;
    let look = || {
        let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<_> = fields(&text)?.collect();
        let flags: u64 = fields.get(6)?.parse().ok()?;
        Some(fields.first() != Some(&"Z") && flags & KERNEL_THREAD == 0 && fields.get(48) == Some(&"0"))
    };
    look().unwrap_or(false)
}

/// Every pid there is.
pub(super) fn pids() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The children of a process, those it inherited as a subreaper among them.
pub(super) fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// What people call the program that a process runs.
pub(super) fn program(pid: u32) -> String {
    let name = std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&name).trim_end().to_owned()
}

/// The variables a process was started with.
#[derive(Debug)]
pub(super) struct Given(Vec<u8>);

impl Given {
    /// `None` for another user's process, and for one that is gone.
    pub(super) fn read(pid: u32) -> Option<Self> {
        std::fs::read(format!("/proc/{pid}/environ")).ok().map(Self)
    }

    /// Whether there are none, as while a program is being executed.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        let mut variables = self.0.split(|byte| *byte == 0);
        variables.find_map(|variable| variable.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
    }
}

/// Whether a process sees the same file at a path as we do.
///
/// In a container the same path is another place, and what was started there is none of our business.
pub(super) fn sees(pid: u32, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let Ok(inside) = path.strip_prefix("/") else { return false };
    let theirs = std::fs::metadata(Path::new(&format!("/proc/{pid}/root")).join(inside));
    let (Ok(theirs), Ok(ours)) = (theirs, std::fs::metadata(path)) else { return false };
    (theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino())
}

#[cfg(test)]
mod tests {
    use super::super::tests::Ends;
    use super::*;

    #[test]
    fn this_process_and_its_child() {
        let own = Row::read(std::process::id()).unwrap();
        assert_eq!((own.id, own.exited), (ProcessId::own(), false));
        let mut command = std::process::Command::new("sleep");
        let mut child = Ends(command.arg("1000").env("TEST_GIVEN", "a=b").spawn().unwrap());
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        // A spawn may return while the child's program is still being made ready.
        while is_executing(child.id()) {
            assert!(std::time::Instant::now() < end);
        }
        let row = Row::read(child.id()).unwrap();
        assert_eq!((row.parent, row.group, row.session), (own.id.pid, own.group, own.session));
        assert!(children(own.id.pid).contains(&child.id()) && pids().any(|pid| pid == child.id()));
        let given = Given::read(child.id()).unwrap();
        assert_eq!((given.get("TEST_GIVEN"), given.get("TEST_GIVE")), (Some(&b"a=b"[..]), None));
        assert_eq!(program(child.id()), "sleep");
        assert!(sees(child.id(), Path::new("/tmp")) && !sees(child.id(), Path::new("/no/such/place")));
        assert_eq!(status_of_zombie(row.id), None);
        assert!(!is_executing(own.id.pid) && !is_executing(2) && !is_executing(u32::MAX));
        child.kill().unwrap();
        while status_of_zombie(row.id).is_none() {
            assert!(std::time::Instant::now() < end);
        }
        assert_eq!(status_of_zombie(row.id), Some(9));
        child.wait().unwrap();
        assert_eq!((program(child.id()), Row::read(child.id())), (String::new(), None));
    }
}

//! A control group for each instance: the one complete way to end all that it ever started.
//!
//! Only version 2, found where it is mounted, below the supervisor's own group; `cgroup.kill` (Linux 5.14) ends
//! every member at once, also those that left their session, and no fork outruns it. Where any of that is missing
//! there is no group, and [`tree`](super::tree) hunts instead.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::bus::{ProcessId, new_instance};

/// What `statfs` calls the file system: `CGROUP2_SUPER_MAGIC`.
const CGROUP2: u64 = 0x6367_7270;

/// What the names of all groups begin with.
const PREFIX: &str = "plugbus.";

/// The name of the group that a supervisor moves into where its plugins' groups are to have limits.
pub(super) const SUPERVISOR: &str = "plugbus.supervisor";

/// A group that is empty for so long has nobody who looks after it.
const ABANDONED: Duration = Duration::from_secs(60);

/// Where groups can be made: the supervisor's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) struct Cgroups {
    own: PathBuf,
}

impl Cgroups {
    /// # Errors
    /// Why there can be no groups, in words.
    pub(in crate::supervisor) fn find() -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|error| error.to_string())?;
        let own = own_path("self").ok_or("this process is in no cgroup of version 2")?;
        let own = mounts.lines().find_map(|mount| below(mount, &own)).ok_or("no cgroup2 file system is mounted")?;
        // One that has moved aside, or follows one that has, still makes groups beside its own.
        let own = if own.ends_with(SUPERVISOR) { own.parent().map(Path::to_owned).unwrap_or(own) } else { own };
        let groups = Self { own };
        groups.prove().map_err(|error| format!("{}: {error}", groups.own.display()))?;
        groups.remove_abandoned();
        Ok(groups)
    }

    /// Removes empty groups of instances that were killed together with their supervisor, on whatever bus.
    ///
    /// Only who lives keeps a group from being removed. One that was just made is empty for a moment.
    fn remove_abandoned(&self) {
        for entry in fs::read_dir(&self.own).into_iter().flatten().flatten() {
            let made = entry.metadata().and_then(|found| found.modified()).ok();
            let is_old = made.and_then(|made| made.elapsed().ok()).is_some_and(|age| age >= ABANDONED);
            if is_old && entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
                let _ = Cgroup { path: entry.path() }.remove();
            }
        }
    }

    /// Makes a group and removes it: permissions say less than trying does.
    fn prove(&self) -> io::Result<()> {
        let probe = Cgroup { path: self.own.join(format!("{PREFIX}probe.{}", new_instance())) };
        fs::create_dir(&probe.path)?;
        let able = fs::metadata(probe.path.join("cgroup.kill")).map(drop);
        fs::remove_dir(&probe.path).and(able)
    }

    /// The group that an instance is going to have.
    pub(in crate::supervisor) fn of(&self, name: &str, instance: &str) -> Cgroup {
        Cgroup { path: self.own.join(directory(name, instance)) }
    }
}

/// The ways into a group.
#[derive(Debug)]
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "there are no groups"))]
pub(super) struct Entry {
    /// A child can be born in the group that this is.
    pub(super) directory: File,
    /// It takes in whoever writes to it. That waits for an RCU grace period, about 15 ms, unless another has just
    /// joined some group.
    pub(super) procs: File,
}

/// One instance's group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// The group at a path that a record names; `None` where that is not this instance's group.
    pub(in crate::supervisor) fn at(path: &Path, name: &str, instance: &str) -> Option<Self> {
        let ours = path.file_name()?.to_str()? == directory(name, instance);
        let found = rustix::fs::statfs(path).ok()?;
        let group = u64::try_from(found.f_type).ok()? == CGROUP2;
        (ours && group).then(|| Self { path: path.into() })
    }

    pub(in crate::supervisor) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it; answers how to get in.
    pub(super) fn create(&self) -> io::Result<Entry> {
        fs::create_dir(&self.path)?;
        self.entry().inspect_err(|_| drop(fs::remove_dir(&self.path)))
    }

    fn entry(&self) -> io::Result<Entry> {
        let procs = OpenOptions::new().write(true).open(self.path.join("cgroup.procs"))?;
        Ok(Entry { directory: File::open(&self.path)?, procs })
    }

    /// Whether that process is in it, or was when it exited.
    pub(super) fn includes(&self, pid: u32) -> bool {
        let theirs = own_path(&pid.to_string());
        // The mount may show a part of the tree alone; the last part has the instance, and that is unique.
        theirs.is_some_and(|theirs| theirs.file_name() == self.path.file_name())
    }

    /// Ends everybody in it.
    pub(super) fn kill(&self) -> io::Result<()> {
        fs::write(self.path.join("cgroup.kill"), "1")
    }

    /// Whoever lives in it, or in a group that was made below it.
    pub(super) fn members(&self) -> Vec<ProcessId> {
        let mut members = Vec::new();
        for group in with_descendants(&self.path) {
            let listed = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            members.extend(listed.lines().filter_map(|pid| ProcessId::of(pid.parse().ok()?)));
        }
        members
    }

    /// Removes it; fails while somebody lives in it. One that is not there is as good as removed.
    pub(super) fn remove(&self) -> io::Result<()> {
        // As a rule there is none below it: to look takes 32 KiB, in each of fifty that end at once.
        if remove_directory(&self.path).is_ok() {
            return Ok(());
        }
        with_descendants(&self.path).iter().rev().try_for_each(|group| remove_directory(group))
    }
}

/// One that is not there is as good as removed.
fn remove_directory(path: &Path) -> io::Result<()> {
    match fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The name is for people; the instance makes it unique on this machine.
fn directory(name: &str, instance: &str) -> String {
    format!("{PREFIX}{name}.{instance}")
}

/// A process's path in the tree of version 2.
fn own_path(pid: &str) -> Option<PathBuf> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    // It says this of a group that was removed while a zombie is still in it.
    Some(path.strip_suffix(" (deleted)").unwrap_or(path).into())
}

/// The directory of a path in the tree, by one line of `mountinfo`.
fn below(mount: &str, path: &Path) -> Option<PathBuf> {
    let (before, after) = mount.split_once(" - ")?;
    let mut fields = before.split(' ').skip(3);
    let (root, point) = (fields.next()?, fields.next()?);
    // Spaces are written as \040: such a place is not worth decoding. `..` is outside our namespace.
    let plain = !point.contains('\\') && !path.components().any(|part| part.as_os_str() == "..");
    (after.starts_with("cgroup2 ") && plain).then_some(())?;
    Some(Path::new(point).join(path.strip_prefix(root).ok()?))
}

/// A group and those below it, parents first.
fn with_descendants(path: &Path) -> Vec<PathBuf> {
    let mut groups = vec![path.to_owned()];
    let mut next = 0;
    while let Some(group) = groups.get(next) {
        let entries = fs::read_dir(group).into_iter().flatten().flatten();
        let below: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        groups.extend(below);
        next += 1;
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_group_is_found_below_its_mount() {
        let mount = |root, point, kind| format!("36 25 0:30 {root} {point} rw,nosuid shared:9 - {kind} cgroup2 rw");
        for (line, own, found) in [
            (mount("/", "/sys/fs/cgroup", "cgroup2"), "/user.slice/a", Some("/sys/fs/cgroup/user.slice/a")),
            (mount("/", "/sys/fs/cgroup/unified", "cgroup2"), "/", Some("/sys/fs/cgroup/unified/")),
            (mount("/docker/x", "/sys/fs/cgroup", "cgroup2"), "/docker/x/y", Some("/sys/fs/cgroup/y")),
            (mount("/docker/x", "/sys/fs/cgroup", "cgroup2"), "/elsewhere", None),
            (mount("/", "/sys/fs/cgroup/cpu", "cgroup"), "/a", None),
            (mount("/", "/with\\040space", "cgroup2"), "/a", None),
            (mount("/", "/sys/fs/cgroup", "cgroup2"), "/../outside", None),
        ] {
            assert_eq!(below(&line, Path::new(own)).as_deref(), found.map(Path::new), "{line}");
        }
    }

    #[test]
    fn a_directory_that_is_no_group_is_never_taken_for_one() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("plugbus.text.k3");
        fs::create_dir(&path).unwrap();
        assert_eq!(Cgroup::at(&path, "text", "k3"), None);
        if let Ok(groups) = Cgroups::find() {
            let group = groups.of("text", "k3");
            group.create().unwrap();
            assert_eq!(Cgroup::at(group.path(), "text", "k4"), None);
            assert_eq!(Cgroup::at(group.path(), "text", "k3"), Some(group.clone()));
            assert_eq!(group.members(), []);
            fs::create_dir(group.path().join("below")).unwrap();
            group.remove().unwrap();
            group.remove().unwrap();
            assert!(!group.path().exists());
        }
    }
}

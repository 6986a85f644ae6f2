//! What the supervisor has started, on disk, for a supervisor that comes after it.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::bus::{BusDir, ProcessId, read_own, write_whole};
use crate::supervisor::journal::Subject;
use crate::supervisor::process::{Cgroup, Tree};
use crate::wire::check_plugin_name;

/// A record larger than this is none of ours.
const MAX_RECORD: u64 = 64 * 1024;

/// One process that the supervisor started: `state/NAME.INSTANCE.json`, from its start until nothing of it is left.
///
/// Fields may be added; one that is missing was written by an older version and has no value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::supervisor) struct InstanceRecord {
    pub(in crate::supervisor) name: String,
    pub(in crate::supervisor) instance: String,
    #[serde(flatten)]
    pub(in crate::supervisor) process: ProcessId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::supervisor) replica: Option<u32>,
    /// How often its unit had been restarted.
    #[serde(default)]
    pub(in crate::supervisor) restarts: u64,
    /// What was started, as [`Launch::fingerprint`](crate::supervisor::process::Launch::fingerprint) tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::supervisor) fingerprint: Option<String>,
    /// The machine's boot: the same pid and start time are another process after the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::supervisor) boot: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::supervisor) cgroup: Option<PathBuf>,
}

/// The process of an instance that is about to be started, of which nobody knows yet who it is.
const UNKNOWN: ProcessId = ProcessId { pid: 0, start_time: 0 };

impl InstanceRecord {
    /// Of an instance that is about to be started: a supervisor that is killed at that moment leaves a trace of it.
    pub(in crate::supervisor) fn planned(name: String, instance: String) -> Self {
        let (replica, fingerprint, cgroup) = (None, None, None);
        Self { name, instance, process: UNKNOWN, replica, restarts: 0, fingerprint, boot: boot(), cgroup }
    }

    /// Whether it was only about to be started, as far as the record knows.
    pub(super) fn is_planned(&self) -> bool {
        self.process == UNKNOWN
    }

    /// Whether its process may still be the one that has that pid.
    pub(super) fn is_of_this_boot(&self) -> bool {
        self.boot.is_none() || boot().is_none() || self.boot == boot()
    }

    /// Where all that came of it is to be looked for.
    pub(in crate::supervisor) fn tree(&self, dir: &BusDir) -> Tree {
        let cgroup = self.cgroup.as_deref().and_then(|path| Cgroup::at(path, &self.name, &self.instance));
        Tree::marked(dir.path(), &self.instance).with_cgroup(cgroup)
    }

    /// Whom an event is about that concerns it.
    pub(in crate::supervisor) fn subject(&self) -> Subject<'_> {
        Subject {
            plugin: &self.name,
            replica: self.replica.unwrap_or_default(),
            instance: Some(&self.instance),
            pid: Some(self.process.pid).filter(|pid| *pid != UNKNOWN.pid),
        }
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// What the file system says.
    pub(in crate::supervisor) fn write(&self, dir: &BusDir) -> io::Result<()> {
        write_whole(&self.path(dir), &serde_json::to_vec(self)?)
    }

    /// Removes it; one that is not there is as good as removed.
    pub(in crate::supervisor) fn remove(&self, dir: &BusDir) {
        let _ = fs::remove_dir_all(self.copies(dir));
        let _ = fs::remove_file(self.path(dir));
    }

    /// Where the copies are that it runs from, where it is a script.
    pub(in crate::supervisor) fn copies(&self, dir: &BusDir) -> PathBuf {
        self.path(dir).with_extension("files")
    }

    fn path(&self, dir: &BusDir) -> PathBuf {
        dir.state_dir().join(format!("{}.{}.json", self.name, self.instance))
    }

    fn read(path: &Path) -> Option<Self> {
        let text = read_own(path, MAX_RECORD).ok()?;
        let record: Self = serde_json::from_slice(&text).ok()?;
        let is_instance = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        // Both become parts of paths that are removed.
        (check_plugin_name(&record.name).is_ok() && is_instance(&record.instance)).then_some(record)
    }
}

/// What the kernel calls this boot; `None` where it does not tell.
fn boot() -> Option<String> {
    Some(fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned())
}

/// Whether a file has the name of a record, `NAME.INSTANCE.json`; others are somebody else's.
fn is_record(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    name.strip_suffix(".json").is_some_and(|name| name.split('.').count() == 2)
}

/// Every record there is; what cannot be read is removed, and named with what became of it.
pub(super) fn read_all(dir: &BusDir) -> (Vec<InstanceRecord>, Vec<String>) {
    let (mut records, mut unreadable) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(dir.state_dir()).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension() == Some(OsStr::new("new")) {
            // A draft of somebody who was killed before it was whole.
            let _ = fs::remove_file(path);
            continue;
        }
        if !is_record(&path) {
            continue;
        }
        match InstanceRecord::read(&path) {
            Some(record) if record.path(dir) == path => records.push(record),
            _ => unreadable.push(match fs::remove_file(&path) {
                Ok(()) => format!("removed {}: it is no record of an instance", path.display()),
                Err(error) => format!("{} is no record of an instance, and stays: {error}", path.display()),
            }),
        }
    }
    (records, unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_and_go_and_garbage_is_named() {
        let root = tempfile::tempdir().unwrap();
        let dir = BusDir::at(root.path().join("bus"));
        dir.create().unwrap();
        let process = ProcessId { pid: 7, start_time: 8 };
        let record =
            InstanceRecord { process, replica: Some(1), ..InstanceRecord::planned("text".into(), "k3".into()) };
        record.write(&dir).unwrap();
        let bad = [
            ("half.x.json", &b"{\"name\":"[..]),
            ("empty.x.json", b""),
            ("text.other.json", &serde_json::to_vec(&record).unwrap()),
            ("up.x.json", br#"{"name":"../up","instance":"x","pid":1,"start_time":1}"#),
            ("up.y.json", br#"{"name":"up","instance":"../y","pid":1,"start_time":1}"#),
        ];
        for (name, text) in bad {
            fs::write(dir.state_dir().join(name), text).unwrap();
        }
        fs::create_dir(dir.state_dir().join("folder.x.json")).unwrap();
        let (records, unreadable) = read_all(&dir);
        assert_eq!((records.as_slice(), unreadable.len()), ([record.clone()].as_slice(), bad.len() + 1));
        assert_eq!(unreadable.iter().filter(|what| what.contains(", and stays: ")).count(), 1, "{unreadable:?}");
        fs::remove_dir(dir.state_dir().join("folder.x.json")).unwrap();
        record.remove(&dir);
        record.remove(&dir);
        assert_eq!(fs::read_dir(dir.state_dir()).unwrap().count(), 0);
    }

    #[test]
    fn a_record_of_the_first_version_and_one_of_a_later_one_are_read() {
        let root = tempfile::tempdir().unwrap();
        let dir = BusDir::at(root.path().join("bus"));
        dir.create().unwrap();
        let texts = [
            ("a", r#"{"name":"text","instance":"a","pid":7,"start_time":8}"#),
            ("b", r#"{"name":"text","instance":"b","pid":7,"start_time":8,"replica":2,"moon":"full"}"#),
        ];
        for (instance, text) in texts {
            fs::write(dir.state_dir().join(format!("text.{instance}.json")), text).unwrap();
        }
        let (mut records, unreadable) = read_all(&dir);
        records.sort_by(|a, b| a.instance.cmp(&b.instance));
        assert!(unreadable.is_empty(), "{unreadable:?}");
        assert_eq!(records.iter().map(|record| record.replica).collect::<Vec<_>>(), [None, Some(2)]);
        assert!(records.iter().all(|record| !record.is_planned() && record.is_of_this_boot()));
    }
}

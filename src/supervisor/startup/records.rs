//! What the supervisor has started, on disk, for a supervisor that comes after it.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::bus::{BusDir, ProcessId, read_start, write_whole};
use crate::supervisor::process::{Executing, leader_with};
use crate::wire::check_plugin_name;

/// A record larger than this is none of ours.
const MAX_RECORD: u64 = 64 * 1024;

/// One process that the supervisor started: `state/NAME.INSTANCE.json`, from its start until it is reaped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::supervisor) struct InstanceRecord {
    pub(in crate::supervisor) name: String,
    pub(in crate::supervisor) instance: String,
    #[serde(flatten)]
    pub(in crate::supervisor) process: ProcessId,
}

/// The process of an instance that is about to be started, of which nobody knows yet who it is.
const UNKNOWN: ProcessId = ProcessId { pid: 0, start_time: 0 };

impl InstanceRecord {
    /// Of an instance that is about to be started: a supervisor that is killed at that moment leaves a trace of it.
    pub(in crate::supervisor) fn planned(name: String, instance: String) -> Self {
        Self { name, instance, process: UNKNOWN }
    }

    /// The process, if it is still alive; of one that was only planned, whoever was started as that instance.
    pub(super) fn alive(&self, dir: &BusDir) -> Result<Option<ProcessId>, Executing> {
        let (bus, instance) = (dir.path().as_os_str(), self.instance.as_ref());
        match self.process {
            UNKNOWN => leader_with(&[("PLUGBUS_BUS_DIR", bus), ("PLUGBUS_INSTANCE", instance)]),
            known => Ok(known.is_alive().then_some(known)),
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
        let _ = fs::remove_file(self.path(dir));
    }

    fn path(&self, dir: &BusDir) -> PathBuf {
        dir.state_dir().join(format!("{}.{}.json", self.name, self.instance))
    }

    fn read(path: &Path) -> Option<Self> {
        let text = read_start(path, MAX_RECORD).ok()?;
        let record: Self = serde_json::from_slice(&text).ok()?;
        let is_instance = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        // Both become parts of paths that are removed.
        (check_plugin_name(&record.name).is_ok() && is_instance(&record.instance)).then_some(record)
    }
}

/// Whether a file has the name of a record, `NAME.INSTANCE.json`; others are somebody else's.
fn is_record(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    name.strip_suffix(".json").is_some_and(|name| name.split('.').count() == 2)
}

/// Every record there is; what cannot be read is removed and named.
pub(super) fn read_all(dir: &BusDir) -> (Vec<InstanceRecord>, Vec<PathBuf>) {
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
            _ => {
                let _ = fs::remove_file(&path);
                unreadable.push(path);
            }
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
        let record = InstanceRecord { name: "text".into(), instance: "k3".into(), process };
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
        let (records, unreadable) = read_all(&dir);
        assert_eq!((records.as_slice(), unreadable.len()), ([record.clone()].as_slice(), bad.len()));
        record.remove(&dir);
        record.remove(&dir);
        assert_eq!(fs::read_dir(dir.state_dir()).unwrap().count(), 0);
    }
}

//! What the supervisor holds at a moment: to be the same after ten thousand faults.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use plugbus::supervisor::{PluginStatus, UnitState};

use crate::act;
use crate::support::Stage;

/// The longest that anything here is waited for.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// The resources of one process, and the files of its bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holdings {
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    pub(crate) zombies: usize,
    pub(crate) files: usize,
    pub(crate) resident_kib: u64,
}

impl Holdings {
    pub(crate) fn of(stage: &Stage) -> Self {
        let pid = stage.supervisor_pid();
        let count = |path: &Path| fs::read_dir(path).map_or(0, Iterator::count);
        let proc = |what: &str| format!("/proc/{pid}/{what}");
        let files = [stage.bus().path().to_owned(), stage.bus().state_dir()];
        Self {
            descriptors: count(Path::new(&proc("fd"))),
            threads: count(Path::new(&proc("task"))),
            zombies: zombies_of(pid),
            files: files.iter().map(|path| count(path)).sum(),
            resident_kib: status_field(pid, "VmRSS:"),
        }
    }

    /// To wait for what is let go a moment later, the connection of whoever has just asked among it.
    pub(crate) fn with_no_more_descriptors_than(self, before: &Self) -> Result<Self, Self> {
        if self.descriptors <= before.descriptors { Ok(self) } else { Err(self) }
    }
}

/// When an event was, by the wall clock of its stamp.
pub(crate) fn stamp(event: &serde_json::Value) -> SystemTime {
    humantime::parse_rfc3339(event["at"].as_str().unwrap()).unwrap()
}

/// A line of `/proc/PID/status` that is a number.
pub(crate) fn status_field(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// User and system time of a process.
pub(crate) fn processor_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // Fields 14 and 15, in ticks of 10 ms.
    Duration::from_millis(10 * (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()))
}

/// Children that have ended and were not reaped.
pub(crate) fn zombies_of(parent: u32) -> usize {
    let stats = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        entry.file_name().to_str()?.parse::<u32>().ok()?;
        fs::read_to_string(entry.path().join("stat")).ok()
    });
    let is_zombie = |stat: &String| {
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        fields.next() == Some("Z") && fields.next() == Some(parent.to_string().as_str())
    };
    stats.filter(is_zombie).count()
}

/// Hears of every start of a plugin, at its first instructions.
pub(crate) struct Beacon {
    socket: UnixDatagram,
    _root: tempfile::TempDir,
    pub(crate) path: String,
}

impl Beacon {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("beacon").to_str().unwrap().to_owned();
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        Self { socket, _root: root, path }
    }

    /// Waits for the next start; answers when it was heard of, and the process.
    pub(crate) fn next(&self) -> (Instant, u32) {
        let mut pid = [0; 4];
        self.socket.recv(&mut pid).expect("a process starts");
        (Instant::now(), u32::from_le_bytes(pid))
    }
}

/// The configuration of that many instances, a multiple of 40; a plugin may have 64 replicas, so it takes several.
pub(crate) fn crowd_of(count: usize) -> String {
    let section = |nth| act::plugin(&format!("target-{nth}"), "serve", "replicas = 40\nstart_timeout = '2min'");
    (0..count / 40).map(section).collect()
}

/// Waits until that many instances are ready; answers how they stand.
pub(crate) fn crowd_ready(stage: &Stage, count: usize) -> Vec<PluginStatus> {
    let begun = Instant::now();
    loop {
        let plugins = stage.status().plugins;
        if plugins.len() == count && plugins.iter().all(|plugin| plugin.state == UnitState::Ready) {
            return plugins;
        }
        assert!(begun.elapsed() < 4 * LONG, "{count} plugins never became ready");
        lasting(Duration::from_millis(50));
    }
}

/// Waits that long; here time itself is what a fault needs.
#[expect(clippy::disallowed_methods, reason = "a fault that lasts, lasts")]
pub(crate) fn lasting(time: Duration) {
    std::thread::sleep(time);
}

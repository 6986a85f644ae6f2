//! Ends the plugins of a supervisor that is dead, and removes what it left in the bus directory.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::records::{InstanceRecord, read_all};
use crate::bus::{BusDir, ProcessId};
use crate::supervisor::PluginSpec;
use crate::supervisor::journal::{Journal, Subject};
use crate::supervisor::process::{Executing, end_foreign};

/// The grace of a leftover plugin that the configuration no longer names.
const GRACE: Duration = Duration::from_secs(5);

/// How long a process may take to execute a program.
const EXECUTION: Duration = Duration::from_secs(1);

/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(5);

/// Ends every leftover plugin, all at once, then removes their files and those of plugins that are gone.
///
/// The caller holds the bus's lock: whatever supervisor these files speak of is dead.
pub(in crate::supervisor) async fn clear_leftovers(dir: &BusDir, plugins: &[PluginSpec], journal: &Journal) {
    let (records, unreadable) = read_all(dir);
    for path in unreadable {
        journal.own(&format!("removed {}: it is no record of an instance", path.display()));
    }
    let mut ends = JoinSet::new();
    for record in records {
        let spec = plugins.iter().find(|spec| spec.name == record.name);
        let grace = spec.map_or(GRACE, |spec| spec.stop_grace);
        let (dir, journal) = (dir.clone(), journal.clone());
        ends.spawn(async move { end(&dir, &record, grace, &journal).await });
    }
    ends.join_all().await;
    remove_stale_files(dir, journal);
}

async fn end(dir: &BusDir, record: &InstanceRecord, grace: Duration, journal: &Journal) {
    if let Some(process) = alive(dir, record).await {
        let (plugin, instance) = (record.name.as_str(), Some(record.instance.as_str()));
        let subject = Subject { plugin, replica: 0, instance, pid: Some(process.pid) };
        journal.noted(subject, "left behind by a supervisor that died; ending it");
        if !end_foreign(process, grace).await {
            // Without its record nobody would ever look for it again.
            journal.noted(subject, "left behind, and SIGKILL does not end it");
            return;
        }
    }
    dir.sweep(&record.name, &record.instance);
    record.remove(dir);
}

/// The record's process, if it is still alive.
async fn alive(dir: &BusDir, record: &InstanceRecord) -> Option<ProcessId> {
    let patience = Instant::now() + EXECUTION;
    loop {
        match record.alive(dir) {
            Ok(found) => return found,
            // A process that was given no environment at all looks the same for ever, and is none of ours.
            Err(Executing) if Instant::now() >= patience => return None,
            Err(Executing) => tokio::time::sleep(LOOK).await,
        }
    }
}

/// Removes cards of dead processes and sockets at which nobody listens.
fn remove_stale_files(dir: &BusDir, journal: &Journal) {
    for card in dir.cards().unwrap_or_default() {
        if !card.process.is_alive() {
            journal.own(&format!("removed the card of {}.{}: its process is gone", card.name, card.instance));
            dir.sweep(&card.name, &card.instance);
        }
    }
    for entry in fs::read_dir(dir.path()).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "ipc") && is_deaf(&path) {
            let _ = fs::remove_file(path);
        }
    }
}

/// Whether nobody listens at a socket. One that was bound and does not listen yet looks the same, but whoever
/// starts a plugin by hand at the very moment the supervisor starts can start it again.
fn is_deaf(socket: &Path) -> bool {
    UnixStream::connect(socket).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

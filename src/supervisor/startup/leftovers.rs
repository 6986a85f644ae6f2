//! What nobody takes back is ended, and what the dead left in the bus directory is removed.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Inherited;
use crate::bus::BusDir;
use crate::supervisor::journal::{Journal, Subject};

/// The grace of a leftover plugin that the configuration no longer names.
pub(in crate::supervisor) const GRACE: Duration = Duration::from_secs(5);

/// Ends an instance that has no unit, and removes what it left.
pub(in crate::supervisor) async fn end_leftover(
    leftover: Inherited,
    grace: Duration,
    dir: &BusDir,
    journal: &Journal,
) {
    let Inherited { record, process, tree, .. } = leftover;
    let (plugin, instance) = (record.name.as_str(), Some(record.instance.as_str()));
    let subject = Subject {
        plugin,
        replica: record.replica.unwrap_or_default(),
        instance,
        pid: process.as_ref().map(|process| process.id().pid),
    };
    let survivors = match process {
        Some(process) => {
            journal.noted(subject, "left behind by a supervisor that is gone, and not wanted any more; ending it");
            process.stop(grace).await
        }
        None => tree.end().await,
    };
    for survivor in &survivors {
        journal.noted(subject, &format!("left behind, and SIGKILL does not end it: {survivor}"));
    }
    dir.sweep(&record.name, &record.instance);
    if survivors.is_empty() {
        // Without its record nobody would ever look for it again.
        record.remove(dir);
    }
}

/// Removes cards of dead processes and sockets at which nobody listens, but for those of the instances in `kept`.
pub(in crate::supervisor) fn remove_stale_files(dir: &BusDir, kept: &[String], journal: &Journal) {
    for card in dir.cards().unwrap_or_default() {
        if !card.process.is_alive() && !kept.contains(&card.instance) {
            journal.own(&format!("removed the card of {}.{}: its process is gone", card.name, card.instance));
            dir.sweep(&card.name, &card.instance);
        }
    }
    let rooms = dir.rooms();
    let places = rooms.iter().map(PathBuf::as_path).chain([dir.path()]);
    for entry in places.flat_map(fs::read_dir).flatten().flatten() {
        // What a plugin's user has put into its room in the place of a socket is left alone.
        if !entry.file_type().is_ok_and(|kind| kind.is_socket() || kind.is_file()) {
            continue;
        }
        let path = entry.path();
        let is_socket = path.extension().is_some_and(|extension| extension == "ipc");
        // Of a card that was being written when its supervisor was killed; a plugin that writes its own listens first.
        let is_draft = path.extension().is_some_and(|extension| extension == "new");
        if is_draft && (is_deaf(&path.with_extension("ipc")) || !path.with_extension("ipc").exists()) {
            let _ = fs::remove_file(&path);
        }
        // One that was bound and does not listen yet looks deaf.
        let is_kept = || {
            let name = path.file_stem().and_then(|name| name.to_str()?.split_once('.'));
            name.is_some_and(|(_, instance)| kept.iter().any(|kept| kept == instance))
        };
        if is_socket && !is_kept() && is_deaf(&path) {
            let _ = fs::remove_file(path);
        }
    }
    for room in rooms {
        // Where somebody still listens, it stays.
        let _ = fs::remove_dir(room);
    }
}

/// Whether nobody listens at a socket. One that was bound and does not listen yet looks the same, but whoever
/// starts a plugin by hand at the very moment the supervisor starts can start it again.
fn is_deaf(socket: &Path) -> bool {
    UnixStream::connect(socket).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

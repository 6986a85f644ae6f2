//! What may stand in a bus directory: nothing that anybody else could have put there.
//!
//! Files are opened first and looked at then, so that what was looked at is what is read; links are not followed.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{Access, OFlags};
use rustix::io::Errno;

use super::acl::List;
use crate::bus::BusError;

/// For `open`: a symbolic link in the place of the file is an error.
pub(crate) const NOFOLLOW: i32 = OFlags::NOFOLLOW.bits().cast_signed();

/// For `open`: who opens a FIFO to read would wait for somebody who writes.
const NONBLOCK: i32 = OFlags::NONBLOCK.bits().cast_signed();

/// Checks that a directory is one, is ours, and that nobody else can get at it but users who were let in by name.
pub(super) fn check_directory(path: &Path) -> Result<(), BusError> {
    check_owner_and_mode(path, &look(path)?)
}

/// Checks that a directory is one's own, as [`check_directory`], or that its owner has let this user in on purpose.
///
/// Another's is believed where that other is root, or where it was named: `named` is the directory that this user
/// chose. Otherwise whoever is the first to make a directory at the usual place would be told what it is not for him to
/// know.
pub(super) fn check_entrance(path: &Path, named: Option<&Path>) -> Result<(), BusError> {
    let found = look(path)?;
    let own = rustix::process::geteuid().as_raw();
    let is_guest = found.uid() != own && own != 0;
    let is_believed = found.uid() == 0 || named.is_some_and(|named| path.starts_with(named));
    let enters = || rustix::fs::access(path, Access::READ_OK | Access::EXEC_OK).is_ok();
    if is_guest && is_believed && enters() { check_mode(path, &found) } else { check_owner_and_mode(path, &found) }
}

fn look(path: &Path) -> Result<Metadata, BusError> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(BusError::NoBus(path.into())),
        other => other.map_err(|error| BusError::io("look at the bus directory", path, error))?,
    };
    if !found.is_dir() {
        let advice = "move it away, or choose another $PLUGBUS_DIR".into();
        return Err(BusError::Insecure { path: path.into(), problem: "is not a directory".into(), advice });
    }
    Ok(found)
}

fn check_owner_and_mode(path: &Path, found: &Metadata) -> Result<(), BusError> {
    let own = rustix::process::geteuid().as_raw();
    if found.uid() != own && own != 0 {
        let problem = format!("belongs to user {}, not to you ({own})", found.uid());
        let advice = match found.is_dir() {
            true => "run as that user, be named in its configuration's `allow`, or choose another $PLUGBUS_DIR",
            false => "run as that user, or choose another $PLUGBUS_DIR",
        };
        return Err(BusError::Insecure { path: path.into(), problem, advice: advice.into() });
    }
    check_mode(path, found)
}

fn check_mode(path: &Path, found: &Metadata) -> Result<(), BusError> {
    let let_in_by_name = || found.is_dir() && List::of(path).is_ok_and(|list| list.is_closed());
    if found.mode() & 0o077 == 0 || let_in_by_name() {
        return Ok(());
    }
    let problem = format!("has mode {:04o}, others can get at it", found.mode() & 0o7777);
    let mode = if found.is_dir() { "700" } else { "600" };
    Err(BusError::Insecure { path: path.into(), problem, advice: format!("`chmod {mode} {}`", path.display()) })
}

/// Checks that an open file is a plain one, is ours, and that nobody else can get at it.
pub(super) fn check_file(path: &Path, found: &Metadata) -> Result<(), BusError> {
    if found.is_file() { check_owner_and_mode(path, found) } else { Err(no_file(path)) }
}

pub(super) fn no_file(path: &Path) -> BusError {
    BusError::Insecure { path: path.into(), problem: "is not a plain file".into(), advice: "remove it".into() }
}

/// Whether a file was not opened because it is a symbolic link.
pub(super) fn is_a_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}

/// The start of a file, whatever it is and wherever a link leads.
pub(crate) fn read_start(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read(&OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path)?, limit)
}

/// The start of a file that this user, or root, keeps for itself.
///
/// # Errors
/// [`io::ErrorKind::PermissionDenied`] where others may have written it, or the system's reasons.
#[cfg(feature = "supervisor")]
pub(crate) fn read_own(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (file, found) = open_plain(path)?;
    match written_by_others(&found, rustix::process::geteuid().as_raw()) {
        None => read(&file, limit),
        Some(problem) => Err(io::Error::new(io::ErrorKind::PermissionDenied, problem)),
    }
}

/// A file that the owner of the bus, root, or this user has put there for others to read; `None` where it is none.
pub(super) fn read_published(path: &Path, owner: u32, limit: u64) -> Option<Vec<u8>> {
    let (file, found) = open_plain(path).ok()?;
    if let Some(problem) = written_by_others(&found, owner) {
        tracing::warn!(path = %path.display(), "passed over: it {problem}");
        return None;
    }
    // Before any of it is read.
    if found.len() > limit { None } else { read(&file, limit).ok() }
}

fn open_plain(path: &Path) -> io::Result<(File, Metadata)> {
    let file = OpenOptions::new().read(true).custom_flags(NONBLOCK | NOFOLLOW).open(path)?;
    let found = file.metadata()?;
    if found.is_file() { Ok((file, found)) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// Why somebody else may have written an open file, if so.
fn written_by_others(found: &Metadata, owner: u32) -> Option<String> {
    let own = rustix::process::geteuid().as_raw();
    if ![0, own, owner].contains(&found.uid()) {
        return Some(format!("belongs to user {}", found.uid()));
    }
    let mode = found.mode() & 0o7777;
    (mode & 0o022 != 0).then(|| format!("has mode {mode:04o}, others can write it"))
}

fn read(file: &File, limit: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(limit).read_to_end(&mut text)?;
    Ok(text)
}

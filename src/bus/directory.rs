//! The bus directory: the file system is the registry.

mod acl;
#[cfg(feature = "supervisor")]
mod grants;
mod private;
#[cfg(test)]
mod tests;
#[cfg(feature = "supervisor")]
mod visitors;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::{env, ffi::OsStr};

use rustix::fs::FlockOperation;

use super::ProcessId;
use super::{BusError, Card, Endpoint};
use crate::wire::check_plugin_name;
pub(crate) use private::NOFOLLOW;
#[cfg(feature = "supervisor")]
pub(crate) use private::read_own;
pub(crate) use private::read_start;
#[cfg(feature = "supervisor")]
pub(crate) use visitors::Visitors;

/// A card larger than this is nobody's honest card: 1 MiB.
const MAX_CARD: u64 = 1024 * 1024;

/// More files than this are nobody's honest plugins.
const MAX_CARDS: usize = 10_000;

/// One bus: a directory with sockets, cards, logs and state, for its owner alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusDir {
    path: PathBuf,
}

impl BusDir {
    /// The directory of the bus of that name, whether it exists or not.
    ///
    /// Below `$PLUGBUS_DIR`, else `$XDG_RUNTIME_DIR/plugbus`, else `/run/plugbus` for root, else
    /// `/tmp/plugbus-UID`.
    ///
    /// # Errors
    /// [`BusError::BadPath`] where the name is no plain name or the directory is not absolute.
    pub fn locate(bus: &str) -> Result<Self, BusError> {
        if check_plugin_name(bus).is_err() {
            return Err(BusError::BadPath(bus.into()));
        }
        let path = base().join(bus);
        if path.is_absolute() { Ok(Self { path }) } else { Err(BusError::BadPath(path)) }
    }

    /// The bus in that very directory.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the directory and what belongs in it, with mode 0700.
    ///
    /// # Errors
    /// [`BusError::Io`] where that fails, [`BusError::Insecure`] as for [`check`](Self::check).
    pub fn create(&self) -> Result<(), BusError> {
        for path in [&self.path, &self.state_dir(), &self.log_dir()] {
            let made = DirBuilder::new().mode(0o700).recursive(true).create(path);
            // Also where something else stands there: that is told below.
            if let Some(error) = made.err().filter(|error| error.kind() != io::ErrorKind::AlreadyExists) {
                return Err(BusError::io("create the bus directory", path, error));
            }
            private::check_directory(path)?;
        }
        Ok(())
    }

    /// Checks that the bus exists, and that nobody else can get at it but users whom its owner has let in by name.
    ///
    /// It may be another user's who has let this one in, where that is root or `$PLUGBUS_DIR` leads there.
    ///
    /// # Errors
    /// [`BusError::NoBus`] where there is none, [`BusError::Insecure`] where it has another owner, a mode that
    /// lets others in, or is a symbolic link.
    pub fn check(&self) -> Result<(), BusError> {
        private::check_entrance(&self.path, set("PLUGBUS_DIR").as_deref())
    }

    /// Where an instance listens for calls.
    ///
    /// # Errors
    /// [`BusError::PathTooLong`] where the socket path does not fit.
    pub fn endpoint(&self, name: &str, instance: &str) -> Result<Endpoint, BusError> {
        Endpoint::ipc(&self.file(name, instance, "ipc"))
    }

    /// Where the supervisor asks its questions.
    ///
    /// # Errors
    /// [`BusError::PathTooLong`] where the socket path does not fit.
    pub fn survey_endpoint(&self) -> Result<Endpoint, BusError> {
        Endpoint::ipc(&self.path.join("survey.ipc"))
    }

    /// Where the supervisor publishes events.
    ///
    /// # Errors
    /// [`BusError::PathTooLong`] where the socket path does not fit.
    pub fn events_endpoint(&self) -> Result<Endpoint, BusError> {
        Endpoint::ipc(&self.path.join("events.ipc"))
    }

    /// The event log; rotated files have a number behind that.
    #[must_use]
    pub fn events_log(&self) -> PathBuf {
        self.log_dir().join("supervisor.events.jsonl")
    }

    /// What a restarted supervisor needs to know of its plugins.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.path.join("state")
    }

    /// Where the process listens that reads what plugins print.
    #[cfg(feature = "supervisor")]
    pub(crate) fn sink_socket(&self) -> PathBuf {
        self.state_dir().join("sink.sock")
    }

    /// Captured output.
    #[must_use]
    pub fn log_dir(&self) -> PathBuf {
        self.path.join("log")
    }

    /// The cards of this bus, sorted by name and instance; files that are no cards are passed over.
    ///
    /// So is what may have been planted: a symbolic link, a file of a user who is neither this one, root, nor the owner
    /// of the bus, and one that others may write. At most 10,000 are read.
    ///
    /// # Errors
    /// [`BusError::NoBus`] where there is none, [`BusError::Io`] where it cannot be read.
    pub fn cards(&self) -> Result<Vec<Card>, BusError> {
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(BusError::NoBus(self.path.clone())),
            other => other.map_err(|error| BusError::io("read the bus directory", &self.path, error))?,
        };
        let owner = fs::metadata(&self.path).map_err(|error| BusError::io("look at", &self.path, error))?.uid();
        let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
        let mut paths = paths.filter(|path| path.extension() == Some(OsStr::new("json")));
        let mut cards: Vec<Card> =
            paths.by_ref().take(MAX_CARDS).filter_map(|path| read_card(&path, owner)).collect();
        if paths.next().is_some() {
            tracing::warn!(bus = %self.path.display(), "more than {MAX_CARDS} cards; the others are passed over");
        }
        cards.sort_by(|a, b| (&a.name, &a.instance).cmp(&(&b.name, &b.instance)));
        Ok(cards)
    }

    /// Publishes a card, whole or not at all.
    ///
    /// # Errors
    /// [`BusError::Io`] where it cannot be written, or is of more than 1 MiB: nobody would read it.
    pub fn publish(&self, card: &Card) -> Result<(), BusError> {
        self.write_card(card, |_| Ok(()))
    }

    /// Writes a card; what is to be changed about its file is changed before anybody sees it.
    fn write_card(&self, card: &Card, finish: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), BusError> {
        let text = serde_json::to_vec(card).unwrap_or_default();
        let path = self.file(&card.name, &card.instance, "json");
        if text.len() as u64 > MAX_CARD {
            let problem = format!("the card has {} bytes, it may have {MAX_CARD}: describe less", text.len());
            return Err(BusError::io("write", path, io::Error::new(io::ErrorKind::FileTooLarge, problem)));
        }
        write_whole_as(&path, &text, finish).map_err(|error| BusError::io("write", path, error))
    }

    /// Removes the card of an instance, so that nobody finds it any more.
    pub fn withdraw(&self, name: &str, instance: &str) {
        // Gone already is as good as removed.
        let _ = fs::remove_file(self.file(name, instance, "json"));
    }

    /// Removes the card and the socket of an instance that is gone.
    pub fn sweep(&self, name: &str, instance: &str) {
        self.withdraw(name, instance);
        let _ = fs::remove_file(self.file(name, instance, "ipc"));
        let _ = fs::remove_file(self.in_room(name, instance));
        // Of a card that was never finished.
        let _ = fs::remove_file(self.file(name, instance, "new"));
    }

    /// Makes this process the one supervisor of the bus, until the lock is dropped.
    ///
    /// # Errors
    /// [`BusError::Locked`] names the supervisor that is there.
    pub fn lock(&self) -> Result<BusLock, BusError> {
        let path = self.path.join("lock");
        let failed = |error| BusError::io("lock", &path, error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        // What a planted link leads to would be overwritten.
        options.custom_flags(NOFOLLOW);
        let mut file = match options.open(&path) {
            Err(error) if private::is_a_link(&error) => return Err(private::no_file(&path)),
            opened => opened.map_err(failed)?,
        };
        private::check_file(&path, &file.metadata().map_err(failed)?)?;
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut pid = String::new();
            let _ = file.take(20).read_to_string(&mut pid);
            let holder = match pid.trim() {
                "" => "another supervisor".into(),
                pid => format!("the supervisor with pid {pid}"),
            };
            return Err(BusError::Locked { path: self.path.clone(), holder });
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(BusLock { file })
    }

    /// Whether the lock's owner is gone, and only a child still shares it.
    ///
    /// A child shares its parent's lock between its fork and the execution of its program, also when the parent is
    /// killed just then.
    #[must_use]
    pub fn lock_is_left_over(&self) -> bool {
        let named = read_start(&self.path.join("lock"), 20).unwrap_or_default();
        let pid = std::str::from_utf8(&named).ok().and_then(|pid| pid.trim().parse().ok());
        pid.is_some_and(|pid| !ProcessId::of(pid).is_some_and(|process| process.is_alive()))
    }

    /// Where the instances of a plugin listen that runs as another user.
    fn room(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.d"))
    }

    fn in_room(&self, name: &str, instance: &str) -> PathBuf {
        self.room(name).join(format!("{name}.{instance}.ipc"))
    }

    fn file(&self, name: &str, instance: &str, ending: &str) -> PathBuf {
        self.path.join(format!("{name}.{instance}.{ending}"))
    }
}

/// Held by the one supervisor of a bus; the kernel lets go of it however the process ends.
#[derive(Debug)]
pub struct BusLock {
    file: File,
}

impl Drop for BusLock {
    fn drop(&mut self) {
        // Closing is not enough: a child between its fork and its exec still has the descriptor for a moment.
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

/// Writes a file so that a reader sees the old text or the new one, never a part.
#[cfg(any(feature = "supervisor", feature = "sign"))]
pub(crate) fn write_whole(path: &Path, text: &[u8]) -> io::Result<()> {
    write_whole_as(path, text, |_| Ok(()))
}

/// As [`write_whole`]; what is to be changed about the new file is changed before anybody sees it.
fn write_whole_as(path: &Path, text: &[u8], finish: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let draft = path.with_extension("new");
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(NOFOLLOW)
        .open(&draft)
        .and_then(|mut file| file.write_all(text))
        .and_then(|()| finish(&draft))
        .and_then(|()| fs::rename(&draft, path));
    written.inspect_err(|_| drop(fs::remove_file(&draft)))
}

fn read_card(path: &Path, owner: u32) -> Option<Card> {
    let text = private::read_published(path, owner, MAX_CARD)?;
    let card: Card = serde_json::from_slice(&text).ok()?;
    // The file's own name is what the instance was given; a card may not speak for another.
    let named = format!("{}.{}.json", card.name, card.instance);
    (path.file_name() == Some(OsStr::new(&named))).then_some(card)
}

/// A directory that the environment names.
fn set(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn base() -> PathBuf {
    let uid = rustix::process::getuid().as_raw();
    set("PLUGBUS_DIR").or_else(|| set("XDG_RUNTIME_DIR").map(|dir| dir.join("plugbus"))).unwrap_or_else(
        || match uid {
            0 => "/run/plugbus".into(),
            uid => format!("/tmp/plugbus-{uid}").into(),
        },
    )
}

//! The bus directory: the file system is the registry.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::{env, ffi::OsStr};

use rustix::fs::{FlockOperation, OFlags};

use super::ProcessId;
use super::{BusError, Card, Endpoint};
use crate::wire::check_plugin_name;

/// A card larger than this is nobody's honest card: 1 MiB.
const MAX_CARD: u64 = 1024 * 1024;

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
            made.map_err(|error| BusError::io("create the bus directory", path, error))?;
        }
        self.check()
    }

    /// Checks that the bus exists and that nobody else can get at it.
    ///
    /// # Errors
    /// [`BusError::NoBus`] where there is none, [`BusError::Insecure`] where it has another owner, a mode that
    /// lets others in, or is a symbolic link.
    pub fn check(&self) -> Result<(), BusError> {
        let found = match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(BusError::NoBus(self.path.clone())),
            other => other.map_err(|error| BusError::io("look at the bus directory", &self.path, error))?,
        };
        let own = rustix::process::geteuid().as_raw();
        let insecure =
            |problem: String, advice: String| Err(BusError::Insecure { path: self.path.clone(), problem, advice });
        if !found.is_dir() {
            return insecure("is not a directory".into(), "move it away, or choose another $PLUGBUS_DIR".into());
        }
        if found.uid() != own && own != 0 {
            let advice = "run as that user, or choose another $PLUGBUS_DIR".into();
            return insecure(format!("belongs to user {}, not to you ({own})", found.uid()), advice);
        }
        if found.mode() & 0o077 != 0 {
            let problem = format!("has mode {:04o}, others can get at it", found.mode() & 0o7777);
            return insecure(problem, format!("`chmod 700 {}`", self.path.display()));
        }
        Ok(())
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
    /// # Errors
    /// [`BusError::NoBus`] where there is none, [`BusError::Io`] where it cannot be read.
    pub fn cards(&self) -> Result<Vec<Card>, BusError> {
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(BusError::NoBus(self.path.clone())),
            other => other.map_err(|error| BusError::io("read the bus directory", &self.path, error))?,
        };
        let mut cards: Vec<Card> = entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|path| path.extension() == Some(OsStr::new("json")))
            .filter_map(|path| read_card(&path))
            .collect();
        cards.sort_by(|a, b| (&a.name, &a.instance).cmp(&(&b.name, &b.instance)));
        Ok(cards)
    }

    /// Publishes a card, whole or not at all.
    ///
    /// # Errors
    /// [`BusError::Io`] where it cannot be written.
    pub fn publish(&self, card: &Card) -> Result<(), BusError> {
        let text = serde_json::to_vec(card).unwrap_or_default();
        let path = self.file(&card.name, &card.instance, "json");
        write_whole(&path, &text).map_err(|error| BusError::io("write", path, error))
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
        let mut file = options.open(&path).map_err(failed)?;
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
pub(crate) fn write_whole(path: &Path, text: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("new");
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| file.write_all(text))
        .and_then(|()| fs::rename(&draft, path));
    written.inspect_err(|_| drop(fs::remove_file(&draft)))
}

/// The start of a file, whatever it is: who opens a FIFO to read would wait for somebody who writes.
pub(crate) fn read_start(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(path)?.take(limit).read_to_end(&mut text)?;
    Ok(text)
}

fn read_card(path: &Path) -> Option<Card> {
    let text = read_start(path, MAX_CARD).ok()?;
    let card: Card = serde_json::from_slice(&text).ok()?;
    // The file's own name is what the instance was given; a card may not speak for another.
    let named = format!("{}.{}.json", card.name, card.instance);
    (path.file_name() == Some(OsStr::new(&named))).then_some(card)
}

fn base() -> PathBuf {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let uid = rustix::process::getuid().as_raw();
    set("PLUGBUS_DIR").or_else(|| set("XDG_RUNTIME_DIR").map(|dir| dir.join("plugbus"))).unwrap_or_else(
        || match uid {
            0 => "/run/plugbus".into(),
            uid => format!("/tmp/plugbus-{uid}").into(),
        },
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::bus::new_instance;

    fn card(name: &str) -> Card {
        let instance = new_instance();
        let url = format!("ipc:///x/{name}");
        let process = ProcessId::own();
        Card { name: name.into(), instance, version: "1".into(), process, protocol: 1, url, methods: vec![] }
    }

    #[test]
    fn cards_come_and_go() {
        let root = tempfile::tempdir().unwrap();
        let dir = BusDir::at(root.path().join("bus"));
        assert!(matches!(dir.cards(), Err(BusError::NoBus(_))));
        dir.create().unwrap();
        let (a, b) = (card("a"), card("b"));
        dir.publish(&b).unwrap();
        dir.publish(&a).unwrap();
        fs::write(dir.path().join("half.json"), "{\"name\":").unwrap();
        fs::write(dir.path().join("liar.x.json"), serde_json::to_vec(&a).unwrap()).unwrap();
        assert_eq!(dir.cards().unwrap(), [a.clone(), b.clone()]);
        dir.withdraw(&a.name, &a.instance);
        assert_eq!(dir.cards().unwrap(), [b]);
    }

    #[test]
    fn a_directory_that_others_can_enter_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let dir = BusDir::at(root.path().join("bus"));
        assert!(matches!(dir.check(), Err(BusError::NoBus(_))));
        dir.create().unwrap();
        fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let error = dir.create().unwrap_err().to_string();
        assert!(error.contains("mode 0755") && error.contains("chmod 700"), "{error}");
        symlink(root.path(), root.path().join("link")).unwrap();
        assert!(matches!(BusDir::at(root.path().join("link")).check(), Err(BusError::Insecure { .. })));
    }

    #[test]
    fn one_supervisor_a_bus() {
        let root = tempfile::tempdir().unwrap();
        let dir = BusDir::at(root.path().join("bus"));
        dir.create().unwrap();
        let lock = dir.lock().unwrap();
        let error = dir.lock().unwrap_err().to_string();
        assert!(error.contains(&std::process::id().to_string()), "{error}");
        drop(lock);
        dir.lock().unwrap();
    }
}

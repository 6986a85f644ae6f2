//! `plugbus.lock`: what plugins may run, as it was when somebody took it for good.
//!
//! One line a file, in the order of names, so that a change is a line of a diff. Nothing depends on the order in which
//! lines are read. The last line says that it is the last: a file that was cut off is no list of fewer files.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;

use super::{Digest, owner};
use crate::bus::read_start;
use crate::wire::check_plugin_name;

/// A file larger than this is none of ours: 16 MiB.
const MAX_FILE: u64 = 16 << 20;

/// How often a lock of somebody else who writes is tried, and how long that waits in between.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(5);

const HEAD: &str = "\
# What plugins may run, as it was when it was pinned; a plugin that has changed since is refused.
# `plugbus lock` shows what has changed and accepts it. Made by plugbus: reviewed by people, not written by them.
# plugin, pinned at, SHA-256, file
";

/// The last line.
const END: &str = "end";

/// One file of a plugin, as it was when it was pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// What it held.
    pub digest: Digest,
    /// When it was pinned, for people: `2026-11-25T22:14:45Z`.
    pub since: String,
}

/// All pins of a bus: by plugin, then by file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LockFile {
    plugins: BTreeMap<String, BTreeMap<PathBuf, Pin>>,
}

/// Why a lock file says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// It is not what it should be, or was.
    #[error("{}{}: {problem}", .path.display(), place(*.line))]
    Broken {
        /// The file.
        path: PathBuf,
        /// Where, counted from 1; 0 for the whole file.
        line: usize,
        /// What is wrong and what to do, in words.
        problem: String,
    },
    /// Somebody else may write it.
    #[error("{0}")]
    Insecure(owner::Flaw),
    /// The system does not let it be read or written.
    #[error("{}: {problem}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        problem: String,
    },
}

fn place(line: usize) -> String {
    if line == 0 { String::new() } else { format!(":{line}") }
}

impl LockFile {
    /// Reads a lock file; one that does not exist pins nothing.
    ///
    /// # Errors
    /// Where it is not whole, where somebody else may write it, and what the system says.
    pub fn read(path: &Path) -> Result<Self, LockError> {
        let io = |error: io::Error| LockError::Io { path: path.to_owned(), problem: error.to_string() };
        let found = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            found => found.map_err(io)?,
        };
        let real = path.canonicalize().map_err(io)?;
        owner::check(&real, &found).map_err(LockError::Insecure)?;
        let text = read_start(&real, MAX_FILE + 1).map_err(io)?;
        let broken = |(line, problem)| LockError::Broken { path: path.to_owned(), line, problem };
        if text.len() as u64 > MAX_FILE {
            return Err(broken((0, format!("is larger than 16 MiB: {ADVICE}"))));
        }
        let text = String::from_utf8(text).map_err(|_| broken((0, format!("is no text: {ADVICE}"))));
        Self::parse(&text?, base(path)).map_err(broken)
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, path: &Path) -> Result<(), LockError> {
        let text = self.render(base(path));
        write(path, text.as_bytes())
            .map_err(|error| LockError::Io { path: path.to_owned(), problem: error.to_string() })
    }

    /// Changes a lock file, while nobody else does; answers whatever the change does.
    ///
    /// # Errors
    /// As for [`read`](Self::read) and [`write`](Self::write).
    pub fn update<T>(path: &Path, change: impl FnOnce(&mut Self) -> T) -> Result<T, LockError> {
        let _alone = alone(base(path));
        let mut lock = Self::read(path)?;
        let before = lock.clone();
        let answer = change(&mut lock);
        if lock != before {
            lock.write(path)?;
        }
        Ok(answer)
    }

    /// What is pinned of a plugin; nothing of one that never was.
    #[must_use]
    pub fn plugin(&self, name: &str) -> Option<&BTreeMap<PathBuf, Pin>> {
        self.plugins.get(name)
    }

    /// The plugins of which something is pinned.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.plugins.keys().map(String::as_str)
    }

    /// Pins these files of a plugin and no others; what is as it was keeps its time.
    pub fn pin(&mut self, name: &str, files: &BTreeMap<PathBuf, Digest>, since: &str) {
        let before = self.plugins.remove(name).unwrap_or_default();
        let pins = files.iter().map(|(path, digest)| match before.get(path) {
            Some(pin) if pin.digest == *digest => (path.clone(), pin.clone()),
            _ => (path.clone(), Pin { digest: *digest, since: since.to_owned() }),
        });
        self.plugins.insert(name.to_owned(), pins.collect());
    }

    /// Forgets a plugin; whether there was anything to forget.
    pub fn forget(&mut self, name: &str) -> bool {
        self.plugins.remove(name).is_some()
    }

    /// What a file says that lies in `base`, or the line with the first problem.
    pub(crate) fn parse(text: &str, base: &Path) -> Result<Self, (usize, String)> {
        let mut lock = Self::default();
        let mut ended = false;
        for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if ended {
                return Err((number, format!("stands after the line {END:?}: {ADVICE}")));
            }
            if line == END {
                ended = true;
                continue;
            }
            lock.take(line, base).map_err(|problem| (number, format!("{problem}: {ADVICE}")))?;
        }
        if ended { Ok(lock) } else { Err((0, format!("was cut off, its last line {END:?} is missing: {ADVICE}"))) }
    }

    fn take(&mut self, line: &str, base: &Path) -> Result<(), String> {
        let mut rest = line;
        let mut word = || {
            let (word, after) = rest.split_once(char::is_whitespace)?;
            rest = after.trim_start();
            Some(word)
        };
        let (Some(name), Some(since), Some(digest)) = (word(), word(), word()) else {
            return Err("is no line of a lock file".into());
        };
        check_plugin_name(name).map_err(|error| error.to_string())?;
        humantime::parse_rfc3339(since).map_err(|error| format!("{since:?} is no time: {error}"))?;
        let digest: Digest = digest.parse()?;
        // Without what a path may have too much of, so that what is judged is what would be written again.
        let path: PathBuf = base.join(rest).components().collect();
        let shown = path.strip_prefix(base).unwrap_or(&path);
        let is_none = shown.as_os_str().is_empty() || path.components().any(|part| part == Component::ParentDir);
        if is_none || unfit(shown).is_some() {
            return Err(format!("{rest:?} is no path of a file"));
        }
        let pins = self.plugins.entry(name.to_owned()).or_default();
        match pins.get(&path) {
            Some(known) if known.digest != digest => {
                Err(format!("says something else of {rest:?} than a line before it"))
            }
            Some(_) => Ok(()),
            None => {
                pins.insert(path, Pin { digest, since: since.to_owned() });
                Ok(())
            }
        }
    }

    pub(crate) fn render(&self, base: &Path) -> String {
        let mut text = HEAD.to_owned();
        for (name, pins) in &self.plugins {
            for (path, Pin { digest, since }) in pins {
                // What lies beside the file goes where it goes.
                let path = path.strip_prefix(base).unwrap_or(path).display();
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{name} {since} {digest} {path}");
            }
        }
        text + END + "\n"
    }
}

/// What is to be done about a file that says nothing.
const ADVICE: &str = "restore it, or have `plugbus lock` pin all plugins as they are";

impl fmt::Display for LockFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Path::new("")))
    }
}

/// Why a file cannot stand in a lock file.
pub(super) fn unfit(path: &Path) -> Option<&'static str> {
    match path.to_str() {
        None => Some("its path is not UTF-8"),
        Some(text) if text.chars().any(char::is_control) || text.trim() != text => {
            Some("its path has control characters, or spaces at its end")
        }
        Some(_) => None,
    }
}

fn base(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whole or not at all, even where the power fails; everybody may read what may run.
fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("lock.new");
    let _ = fs::remove_file(&draft);
    let written = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&draft).and_then(|mut file| {
        file.write_all(text)?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&draft, path)).inspect_err(|_| drop(fs::remove_file(&draft)))
}

/// Keeps others who change a lock file in that directory waiting, for a moment; who cannot be kept is not waited for.
fn alone(directory: &Path) -> Option<File> {
    let directory = File::open(directory).ok()?;
    for _ in 0..TRIES {
        match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Some(directory),
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::park_timeout(PAUSE),
            Err(_) => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(files: &[(&str, &[u8])]) -> BTreeMap<PathBuf, Digest> {
        files.iter().map(|(path, bytes)| (PathBuf::from(path), Digest::of(bytes))).collect()
    }

    fn sample() -> LockFile {
        let mut lock = LockFile::default();
        lock.pin("text", &digests(&[("/etc/x/lib/a b.py", b"a"), ("/usr/bin/text", b"t")]), "2026-11-25T22:14:45Z");
        lock.pin("other", &digests(&[("/opt/other", b"o")]), "2026-11-26T00:00:00Z");
        lock
    }

    #[test]
    fn what_is_written_is_read_and_a_path_beside_it_is_relative() {
        let (lock, base) = (sample(), Path::new("/etc/x"));
        let text = lock.render(base);
        assert_eq!(LockFile::parse(&text, base), Ok(lock));
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(lines[0].starts_with("other 2026-11-26T00:00:00Z sha256:") && lines[0].ends_with(" /opt/other"));
        assert!(lines[1].ends_with(" lib/a b.py") && lines[3] == END && lines.len() == 4, "{text}");
    }

    #[test]
    fn the_order_of_lines_and_a_line_that_is_there_twice_do_no_harm() {
        let text = sample().render(Path::new("/"));
        let mut lines: Vec<_> = text.lines().rev().skip(1).collect();
        lines.push(lines[1]);
        lines.push(END);
        assert_eq!(LockFile::parse(&lines.join("\n"), Path::new("/")), Ok(sample()));
    }

    #[test]
    fn whatever_is_cut_off_is_noticed() {
        let text = sample().render(Path::new("/"));
        for end in 0..text.len() - 1 {
            let Some(text) = text.get(..end) else { continue };
            assert!(LockFile::parse(text, Path::new("/")).is_err(), "{text:?}");
        }
    }

    #[test]
    fn every_other_line_is_named() {
        let digest = Digest::of(b"");
        let cases = [
            ("text", "is no line of a lock file"),
            ("Text 2026-11-25T22:14:45Z x y", "plugin name"),
            (&format!("text yesterday {digest} /x"), "is no time"),
            ("text 2026-11-25T22:14:45Z sha256:00 /x", "64 digits"),
            (&format!("text 2026-11-25T22:14:45Z {digest} ../x"), "is no path"),
            (&format!("other 2026-11-25T22:14:45Z {digest} /opt/other"), "something else of \"/opt/other\""),
        ];
        for (line, words) in cases {
            let text = sample().render(Path::new("/")).replace("\nend\n", &format!("\n{line}\nend\n"));
            let (number, problem) = LockFile::parse(&text, Path::new("/")).unwrap_err();
            assert!(number == 7 && problem.contains(words) && problem.contains(ADVICE), "{number}: {problem}");
        }
        let after = sample().render(Path::new("/")) + "text\n";
        assert!(LockFile::parse(&after, Path::new("/")).unwrap_err().1.contains("after the line"));
    }

    #[test]
    fn what_did_not_change_keeps_its_time() {
        let mut lock = sample();
        lock.pin(
            "text",
            &digests(&[("/etc/x/lib/a b.py", b"changed"), ("/usr/bin/text", b"t")]),
            "2027-01-01T00:00:00Z",
        );
        let times: Vec<_> = lock.plugin("text").unwrap().values().map(|pin| pin.since.as_str()).collect();
        assert_eq!(times, ["2027-01-01T00:00:00Z", "2026-11-25T22:14:45Z"]);
        assert!(lock.forget("text") && !lock.forget("text"));
        assert_eq!(lock.names().collect::<Vec<_>>(), ["other"]);
    }

    #[test]
    fn nobody_else_may_write_it() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("plugbus.lock");
        assert_eq!(LockFile::read(&path), Ok(LockFile::default()));
        LockFile::update(&path, |lock| *lock = sample()).unwrap();
        assert_eq!(LockFile::read(&path), Ok(sample()));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o646)).unwrap();
        assert!(LockFile::read(&path).unwrap_err().to_string().contains("may be changed by anybody"));
    }
}

//! A log file that grows, is rotated, and may be taken away under us.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::Source;
use super::chunk::Stream;
use crate::bus::NOFOLLOW;
use crate::supervisor::LogSpec;

/// How much of the end of a log is looked through for last words, in bytes.
const RECALLED: u64 = 64 * 1024;

/// One log file and its rotated predecessors, `NAME`, `NAME.1`, `NAME.2`, …
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    open: Option<Open>,
    /// A write failed in the middle, perhaps of a line.
    torn: bool,
}

#[derive(Debug)]
struct Open {
    file: File,
    size: u64,
    /// How old it was when it was opened.
    age: Duration,
    opened: Instant,
    /// Device and inode: tells when the path no longer leads to this file.
    identity: (u64, u64),
}

impl LogFile {
    /// Opens nothing yet.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, open: None, torn: false }
    }

    /// Appends whole lines, after a rotation where one is due.
    ///
    /// # Errors
    /// What the file system says; the next call tries again from the start.
    pub(super) fn append(&mut self, lines: &[u8], spec: &LogSpec) -> io::Result<()> {
        if self.open.as_ref().is_some_and(|open| open.identity != identity_of(&self.path)) {
            // Deleted or renamed, by a person or by logrotate: write where people will look.
            self.open = None;
        }
        let result = self.rotated(spec).and_then(|open| open.write(lines));
        if result.is_err() {
            let whole = |open: Open| open.file.metadata().is_ok_and(|found| found.len() == open.size);
            self.torn = !self.open.take().is_some_and(whole);
        }
        result
    }

    /// The file to write to, after a rotation where one is due.
    fn rotated(&mut self, spec: &LogSpec) -> io::Result<&mut Open> {
        let open = self.opened()?;
        if open.size > 0 && (open.size >= spec.max_size || open.age() >= spec.max_age) {
            self.open = None;
            rotate(&self.path, spec.keep)?;
        }
        self.opened()
    }

    fn opened(&mut self) -> io::Result<&mut Open> {
        let open = match self.open.take() {
            Some(open) => open,
            None => {
                let mut open = Open::at(&self.path)?;
                if std::mem::take(&mut self.torn) && open.size > 0 {
                    open.write(b"\n").inspect_err(|_| self.torn = true)?;
                }
                open
            }
        };
        Ok(self.open.insert(open))
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        let open = || OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(NOFOLLOW).open(path);
        let file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let directory = path.parent().unwrap_or(Path::new("."));
                DirBuilder::new().mode(0o700).recursive(true).create(directory)?;
                open()?
            }
            other => other?,
        };
        let found = file.metadata()?;
        // The wall clock tells how old a file of an earlier process is; from here on the monotonic one counts. A file
        // system that does not know begins anew.
        let age = found.created().ok().and_then(|created| SystemTime::now().duration_since(created).ok());
        let identity = (found.dev(), found.ino());
        Ok(Self { file, size: found.len(), age: age.unwrap_or_default(), opened: Instant::now(), identity })
    }

    fn age(&self) -> Duration {
        self.age + self.opened.elapsed()
    }

    /// All of it or nothing, as far as the disk lets us: half a batch could not be counted.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).inspect_err(|_| drop(self.file.set_len(self.size)))?;
        self.size += bytes.len() as u64;
        Ok(())
    }
}

/// The end of a file.
fn tail(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(io::SeekFrom::Start(file.metadata()?.len().saturating_sub(RECALLED)))?;
    let mut text = Vec::new();
    file.take(RECALLED).read_to_end(&mut text)?;
    Ok(text)
}

/// Has a source remember the end of its log, where a process of another supervisor's wrote it.
pub(super) fn recall(directory: &Path, source: &Source) {
    let path = directory.join(format!("{}.log", source.name));
    for line in tail(&path).unwrap_or_default().split(|byte| *byte == b'\n') {
        if let Some((stream, text)) = said_by(line, &source.instance) {
            source.remember(stream, text);
        }
    }
}

/// The number of the newest event in the log; 0 where there is none.
pub(super) fn last_seq(events: &Path) -> u64 {
    #[derive(serde::Deserialize)]
    struct Numbered {
        seq: u64,
    }
    let mut rotated = events.as_os_str().to_owned();
    rotated.push(".1");
    let seq = |path: &Path| {
        let text = tail(path).unwrap_or_default();
        text.rsplit(|byte| *byte == b'\n').find_map(|line| serde_json::from_slice::<Numbered>(line).ok())
    };
    // Right after a rotation the file itself has none.
    seq(events).or_else(|| seq(Path::new(&rotated))).map_or(0, |last| last.seq)
}

/// What an instance printed, of a line of a log: `TIME INSTANCE STREAM| TEXT`.
fn said_by<'a>(line: &'a [u8], instance: &str) -> Option<(Stream, &'a [u8])> {
    let after_time = memchr::memchr(b' ', line)? + 1;
    let rest = line.get(after_time..)?.strip_prefix(instance.as_bytes())?;
    [Stream::Out, Stream::Err].into_iter().find_map(|stream| {
        Some((stream, rest.strip_prefix(b" ")?.strip_prefix(stream.as_str().as_bytes())?.strip_prefix(b"| ")?))
    })
}

fn identity_of(path: &Path) -> (u64, u64) {
    fs::metadata(path).map_or((0, 0), |found| (found.dev(), found.ino()))
}

/// Moves each file one number up; the oldest goes.
fn rotate(path: &Path, keep: u32) -> io::Result<()> {
    let numbered = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    if keep == 0 {
        return fs::remove_file(path);
    }
    for number in (1..keep).rev() {
        match fs::rename(numbered(number), numbered(number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, numbered(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGES: Duration = Duration::from_secs(1 << 40);

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn it_rotates_by_size_and_keeps_as_many_as_asked() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.log");
        let spec = LogSpec { max_size: 8, keep: 2, max_age: AGES };
        let mut log = LogFile::new(path.clone());
        for line in ["one\n", "two\n", "three\n", "four\n", "five\n", "six\n", "seven\n", "eight\n"] {
            log.append(line.as_bytes(), &spec).unwrap();
        }
        assert_eq!(read(&path), "seven\neight\n");
        assert_eq!(read(&root.path().join("a.log.1")), "five\nsix\n");
        assert_eq!(read(&root.path().join("a.log.2")), "three\nfour\n");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 3);
        let spec = LogSpec { keep: 0, ..spec };
        log.append(b"nine\n", &spec).unwrap();
        assert_eq!(read(&path), "nine\n");
    }

    #[test]
    fn it_rotates_by_age_however_often_it_is_opened() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.log");
        let spec = LogSpec { max_size: 1000, keep: 2, max_age: Duration::from_millis(50) };
        let begun = Instant::now();
        LogFile::new(path.clone()).append(b"one\n", &spec).unwrap();
        while begun.elapsed() < spec.max_age {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        let mut log = LogFile::new(path.clone());
        log.append(b"two\n", &spec).unwrap();
        assert_eq!((read(&path).as_str(), read(&root.path().join("a.log.1")).as_str()), ("two\n", "one\n"));
        log.append(b"three\n", &LogSpec { max_age: AGES, ..spec.clone() }).unwrap();
        assert_eq!(read(&path), "two\nthree\n");
        // Nothing that is empty is worth keeping.
        fs::write(&path, "").unwrap();
        LogFile::new(path.clone()).append(b"four\n", &LogSpec { max_age: Duration::ZERO, ..spec }).unwrap();
        assert_eq!((read(&path).as_str(), read(&root.path().join("a.log.1")).as_str()), ("four\n", "one\n"));
    }

    #[test]
    fn it_is_made_anew_when_it_or_its_directory_is_taken_away() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("log/a.log");
        let spec = LogSpec { max_size: 1000, keep: 2, max_age: AGES };
        let mut log = LogFile::new(path.clone());
        log.append(b"one\n", &spec).unwrap();
        fs::remove_dir_all(root.path().join("log")).unwrap();
        log.append(b"two\n", &spec).unwrap();
        assert_eq!(read(&path), "two\n");
        fs::rename(&path, root.path().join("elsewhere")).unwrap();
        log.append(b"three\n", &spec).unwrap();
        assert_eq!(read(&path), "three\n");
    }

    #[test]
    fn the_end_of_a_log_is_remembered_of_one_instance() {
        let root = tempfile::tempdir().unwrap();
        let line = |instance, stream, text| format!("2026-11-22T18:00:00.000Z {instance} {stream}| {text}\n");
        let lines = [
            "garbage\n".repeat(10_000),
            line("k3", "out", "one"),
            line("k4", "err", "another's"),
            line("k3", "---", "5 lines dropped: no"),
            line("k3", "err", "panic: no"),
            line("k3", "err", ""),
        ];
        fs::write(root.path().join("a.log"), lines.concat()).unwrap();
        let source = Source::new("a", "k3", std::sync::Arc::default());
        recall(root.path(), &source);
        assert_eq!(source.recent(), ["one", "panic: no", ""]);
        assert_eq!(source.last_words().unwrap(), "panic: no");
        recall(&root.path().join("nowhere"), &source);
    }

    #[test]
    fn events_are_numbered_on_from_the_last_one() {
        let root = tempfile::tempdir().unwrap();
        let events = root.path().join("events");
        assert_eq!(last_seq(&events), 0);
        fs::write(root.path().join("events.1"), "{\"seq\":7}\n{\"seq\":8,\"x\":1}\n").unwrap();
        assert_eq!(last_seq(&events), 8);
        fs::write(&events, "{\"seq\":9}\n{\"no\":1}\n{\"seq\":10,\"torn").unwrap();
        assert_eq!(last_seq(&events), 9);
    }

    #[test]
    fn after_a_failure_it_starts_on_a_new_line() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.log");
        let spec = LogSpec { max_size: 1000, keep: 2, max_age: AGES };
        fs::write(&path, "half a li").unwrap();
        let mut log = LogFile { path: path.clone(), open: None, torn: true };
        log.append(b"next\n", &spec).unwrap();
        assert_eq!(read(&path), "half a li\nnext\n");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(log.append(b"lost\n", &spec).is_err());
        fs::remove_dir(&path).unwrap();
        log.append(b"found\n", &spec).unwrap();
        assert_eq!(read(&path), "found\n");
    }
}

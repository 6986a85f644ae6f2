//! A log file that grows, is rotated, and may be taken away under us.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::supervisor::LogSpec;

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
        if self.open.as_ref().is_some_and(|open| open.size >= spec.max_size.max(1)) {
            self.open = None;
            rotate(&self.path, spec.keep)?;
        }
        let result = self.opened().and_then(|open| open.write(lines));
        if result.is_err() {
            self.open = None;
            self.torn = true;
        }
        result
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
        let open = || OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        let file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let directory = path.parent().unwrap_or(Path::new("."));
                DirBuilder::new().mode(0o700).recursive(true).create(directory)?;
                open()?
            }
            other => other?,
        };
        let found = file.metadata()?;
        Ok(Self { file, size: found.len(), identity: (found.dev(), found.ino()) })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.size += bytes.len() as u64;
        Ok(())
    }
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

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn it_rotates_by_size_and_keeps_as_many_as_asked() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.log");
        let spec = LogSpec { max_size: 8, keep: 2 };
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
    fn it_is_made_anew_when_it_or_its_directory_is_taken_away() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("log/a.log");
        let spec = LogSpec { max_size: 1000, keep: 2 };
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
    fn after_a_failure_it_starts_on_a_new_line() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.log");
        let spec = LogSpec { max_size: 1000, keep: 2 };
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

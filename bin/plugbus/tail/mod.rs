//! Reads a log file with its rotated predecessors, and goes on reading while it grows, is rotated or deleted.
//!
//! Needs nothing of a supervisor but the names: `NAME` is the current file, `NAME.1` the one before it, and so on.

mod files;
mod follow;
mod since;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::PathBuf;

use self::files::{Identity, RotatedFile};
pub(crate) use self::follow::{Follower, Print};
use self::since::Since;

/// A line longer than this is nobody's; it is cut.
const MAX_LINE: u64 = 1 << 20;

/// Where reading begins.
#[derive(Debug, Clone, Copy)]
pub(crate) enum From<'a> {
    Beginning,
    /// What was written since then; the caller leaves out the older lines of the first file.
    Since(&'a Since),
    LastLines(u64),
}

/// One log, read from somewhere on.
#[derive(Debug)]
pub(crate) struct Tail {
    path: PathBuf,
    reading: Option<Reading>,
    /// Files that were read to their end; while they exist, no other has their identity.
    done: Vec<Identity>,
    partial: Vec<u8>,
}

#[derive(Debug)]
struct Reading {
    file: BufReader<File>,
    identity: Identity,
    offset: u64,
}

impl Tail {
    /// Finds where to begin; there may be no file yet.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn new(path: PathBuf, from: From<'_>) -> io::Result<Self> {
        let files = files::list(&path)?;
        let (first, offset) = match from {
            From::Beginning => (0, 0),
            From::Since(since) => {
                let old = files.iter().take_while(|file| since.is_after(file.modified)).count();
                // The newest goes on, however old what it has is.
                (old.min(files.len().saturating_sub(1)), 0)
            }
            From::LastLines(lines) => files::last_lines(&files, lines)?,
        };
        let done = files.iter().take(first).map(|file| file.identity.clone()).collect();
        let reading = files.get(first).map(|file| Reading::open(file, offset)).transpose()?;
        Ok(Self { path, reading, done, partial: Vec::new() })
    }

    /// The next whole line without its end; `None` where there is none yet.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(line) = self.read_line()? {
                return Ok(Some(line));
            }
            let Some(next) = self.newer()? else { return Ok(None) };
            // Nothing is written to a file once there is a newer one; what came until then is still to be read.
            if let Some(line) = self.read_line()? {
                return Ok(Some(line));
            }
            self.done.extend(self.reading.take().map(|reading| reading.identity));
            self.reading = Some(Reading::open(&next, 0)?);
            // A file that ends within a line was left by somebody who was killed.
            if !self.partial.is_empty() {
                return Ok(Some(std::mem::take(&mut self.partial)));
            }
        }
    }

    /// The unfinished line at the very end.
    pub(crate) fn rest(&mut self) -> Option<Vec<u8>> {
        Some(std::mem::take(&mut self.partial)).filter(|rest| !rest.is_empty())
    }

    fn read_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(reading) = &mut self.reading else { return Ok(None) };
        if reading.file.get_ref().metadata()?.len() < reading.offset {
            // Cut short under us, as some log rotators do.
            reading.offset = reading.file.seek(SeekFrom::Start(0))?;
            self.partial.clear();
        }
        let room = MAX_LINE.saturating_sub(self.partial.len() as u64);
        let read = (&mut reading.file).take(room).read_until(b'\n', &mut self.partial)?;
        reading.offset += read as u64;
        let whole = self.partial.last() == Some(&b'\n');
        if whole {
            self.partial.pop();
        }
        let cut = self.partial.len() as u64 >= MAX_LINE;
        Ok((whole || cut).then(|| std::mem::take(&mut self.partial)))
    }

    /// The file that comes after the one that is read.
    fn newer(&mut self) -> io::Result<Option<RotatedFile>> {
        let files = files::list(&self.path)?;
        self.done.retain(|done| files.iter().any(|file| file.identity == *done));
        let current = self.reading.as_ref().map(|reading| &reading.identity);
        let known = |file: &RotatedFile| Some(&file.identity) == current || self.done.contains(&file.identity);
        // Where ours is gone, all that were not read are newer than it.
        let after = files.iter().rposition(known).map_or(0, |last| last + 1);
        Ok(files.into_iter().nth(after))
    }
}

impl Reading {
    fn open(file: &RotatedFile, offset: u64) -> io::Result<Self> {
        // By its path of a moment ago; if that has become another's, that one is read.
        let mut opened = File::open(&file.path)?;
        let identity = files::identity(&opened.metadata()?);
        let offset = opened.seek(SeekFrom::Start(offset))?;
        Ok(Self { file: BufReader::new(opened), identity, offset })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::path::Path;

    use super::*;

    fn write(path: &Path, text: &str) {
        fs::OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn rotate(path: &Path, keep: u32) {
        let numbered = |number: u32| path.with_file_name(format!("a.log.{number}"));
        for number in (1..keep).rev() {
            let _ = fs::rename(numbered(number), numbered(number + 1));
        }
        fs::rename(path, numbered(1)).unwrap();
    }

    fn all(tail: &mut Tail) -> Vec<String> {
        std::iter::from_fn(|| tail.next().unwrap()).map(|line| String::from_utf8(line).unwrap()).collect()
    }

    #[test]
    fn rotated_files_come_first_and_reading_may_begin_anywhere() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.log");
        assert!(Tail::new(path.clone(), From::Beginning).unwrap().next().unwrap().is_none());
        for text in ["1\n2\n", "3\n4\n", "5\n"] {
            if path.exists() {
                rotate(&path, 12);
            }
            write(&path, text);
        }
        write(&root.path().join("a.log.x"), "nothing of it\n");
        let from = |from| all(&mut Tail::new(path.clone(), from).unwrap()).join(" ");
        assert_eq!(from(From::Beginning), "1 2 3 4 5");
        for (lines, expected) in [(0, ""), (1, "5"), (2, "4 5"), (3, "3 4 5"), (4, "2 3 4 5"), (9, "1 2 3 4 5")] {
            assert_eq!(from(From::LastLines(lines)), expected, "{lines}");
        }
    }

    #[test]
    fn what_grows_is_rotated_deleted_or_cut_short_is_followed() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.log");
        let mut tail = Tail::new(path.clone(), From::Beginning).unwrap();
        write(&path, "1\nha");
        assert_eq!(all(&mut tail), ["1"]);
        write(&path, "lf\n2\n");
        // Several times between two looks, and the last of the old one is not lost.
        rotate(&path, 3);
        write(&path, "3\n");
        rotate(&path, 3);
        write(&path, "4\n");
        assert_eq!(all(&mut tail), ["half", "2", "3", "4"]);
        // So often that what was read is gone.
        for text in ["5\n", "6\n", "7\n", "8\n"] {
            rotate(&path, 2);
            write(&path, text);
        }
        assert_eq!(all(&mut tail), ["6", "7", "8"]);
        fs::remove_file(&path).unwrap();
        assert!(all(&mut tail).is_empty());
        write(&path, "9\n");
        assert_eq!(all(&mut tail), ["9"]);
        fs::write(&path, "").unwrap();
        assert!(all(&mut tail).is_empty());
        write(&path, "a\nb");
        assert_eq!(all(&mut tail), ["a"]);
        assert_eq!(tail.rest().unwrap(), b"b");
    }

    #[test]
    fn files_that_are_too_old_are_left_out_but_for_the_one_that_goes_on() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.log");
        write(&path, "1\n");
        rotate(&path, 2);
        write(&path, "2\n");
        let old = "-3600";
        for file in [&path, &root.path().join("a.log.1")] {
            let touched =
                std::process::Command::new("touch").args(["-d", &format!("{old} seconds")]).arg(file).status();
            assert!(touched.unwrap().success());
        }
        let since = Since::ago(std::time::Duration::from_secs(60));
        assert_eq!(all(&mut Tail::new(path.clone(), From::Since(&since)).unwrap()), ["2"]);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.log");
        fs::write(&path, vec![b'x'; 3 << 20]).unwrap();
        let lengths: Vec<_> = all(&mut Tail::new(path, From::Beginning).unwrap()).iter().map(String::len).collect();
        assert_eq!(lengths, [1 << 20; 3]);
    }
}

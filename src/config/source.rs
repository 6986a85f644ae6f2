//! The files of a configuration: found, put in order and read, within limits.
//!
//! Knows nothing of TOML. The first source is always the built-in default file.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::error::Problem;
use super::report::nearest;

/// The largest configuration file, in bytes: people write these.
pub(super) const MAX_FILE: u64 = 1024 * 1024;

/// The most files that one configuration may have.
pub(super) const MAX_FILES: usize = 256;

/// The directory of drop-ins, beside a named file or in a named directory.
const DROP_INS: &str = "plugins.d";

/// A position in one of the sources; a later file is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) offset: usize,
}

/// One file that was read.
#[derive(Debug)]
pub(super) struct Source {
    /// As it was named or found.
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl Source {
    /// The index of the built-in default file.
    pub(super) const BUILT_IN: usize = 0;

    /// Where relative paths in this file start.
    pub(super) fn directory(&self) -> PathBuf {
        let path = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        path.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned)
    }

    /// Line and column, from 1; the column counts characters.
    pub(super) fn line_and_column(&self, offset: usize) -> (usize, usize) {
        line_and_column(self.text.as_bytes(), offset)
    }
}

/// Bytes, because what is not UTF-8 has a place too.
fn line_and_column(text: &[u8], offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let lines = before[..line_start].iter().filter(|byte| **byte == b'\n').count();
    let is_character = |byte: &&u8| **byte & 0xC0 != 0x80;
    (lines + 1, before[line_start..].iter().filter(is_character).count() + 1)
}

/// Reads all files that `paths` stand for, and says what could not be read.
pub(super) fn collect<P: AsRef<Path>>(paths: &[P]) -> (Vec<Source>, Vec<Problem>) {
    let mut collected = Collected::default();
    for path in paths {
        collected.add(path.as_ref());
    }
    (collected.sources, collected.problems)
}

#[derive(Debug, Default)]
struct Collected {
    sources: Vec<Source>,
    problems: Vec<Problem>,
    seen: HashSet<PathBuf>,
}

impl Collected {
    fn add(&mut self, path: &Path) {
        if path.is_dir() {
            let files = [self.list(path), self.list(&path.join(DROP_INS))].concat();
            if files.is_empty() {
                self.refuse(path, "a directory without a *.toml file: put one there or name a file");
            }
            files.iter().for_each(|file| self.read(file));
        } else {
            self.read(path);
            let beside = path.parent().unwrap_or(Path::new("")).join(DROP_INS);
            self.list(&beside).iter().for_each(|file| self.read(file));
        }
    }

    /// The `*.toml` files of a directory in the order of their names.
    fn list(&mut self, directory: &Path) -> Vec<PathBuf> {
        let entries = match fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Vec::new();
            }
            Err(error) => {
                self.refuse(directory, format!("cannot be listed: {error}"));
                return Vec::new();
            }
        };
        let mut files: Vec<_> = entries.iter().map(fs::DirEntry::path).filter(|path| is_config(path)).collect();
        files.sort();
        files
    }

    fn read(&mut self, path: &Path) {
        let identity = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if !self.seen.insert(identity) || self.seen.len() > MAX_FILES + 1 {
            return;
        }
        if self.seen.len() > MAX_FILES {
            return self.refuse(path, format!("one file too many: a configuration has at most {MAX_FILES}"));
        }
        match read(path) {
            Ok(text) => self.sources.push(Source { path: path.to_owned(), text }),
            Err(problem) => self.problems.push(*problem),
        }
    }

    fn refuse(&mut self, path: &Path, message: impl Into<String>) {
        self.problems.push(Problem::of_file(path, message));
    }
}

/// A pipe in a directory would be waited for without end, and `.#x.toml` is an editor's lock.
fn is_config(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let toml = path.extension().is_some_and(|extension| extension == "toml");
    // A link to nowhere is kept, so that reading it says so.
    toml && !hidden && fs::metadata(path).map_or(true, |metadata| metadata.is_file())
}

fn read(path: &Path) -> Result<String, Box<Problem>> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(|error| Box::new(unreadable(path, &error)))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Box::new(Problem::of_file(
            path,
            "larger than 1 MiB: split it, or check that this is the right file",
        )));
    }
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let (line, column) = line_and_column(error.as_bytes(), offset);
        let message = format!("the byte 0x{:02x} is not UTF-8: save the file as UTF-8", error.as_bytes()[offset]);
        Box::new(Problem { line: Some(line), column: Some(column), ..Problem::of_file(path, message) })
    })
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    if error.kind() != ErrorKind::NotFound {
        return Problem::of_file(path, format!("cannot be read: {error}"));
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let stems = beside.filter(|path| is_config(path)).filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()));
    // The ending is what all of them share, so it says nothing about which one was meant.
    let wanted = path.file_stem().unwrap_or_default().to_string_lossy();
    Problem {
        suggestion: nearest(&wanted, stems.filter(|stem| *stem != wanted)).map(|stem| stem + ".toml"),
        ..Problem::of_file(path, "no such file: name another, or write it")
    }
}

//! A file that was looked at, still open.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;

use rustix::io::Errno;

use super::Digest;
use super::digest::Digester;

/// How much is copied at once.
const PIECE: usize = 64 * 1024;

/// The longest first line of a script that counts, as for the system.
const MAX_LINE: usize = 256;

/// A file that was looked at, still open, with what it held.
#[derive(Debug)]
pub struct CheckedFile {
    /// Where it was, as it was named.
    pub path: PathBuf,
    pub(super) file: File,
    pub(super) digest: Digest,
}

impl CheckedFile {
    /// Writes what it held when it was looked at.
    ///
    /// # Errors
    /// What the system says; `ETXTBSY` where it holds something else by now.
    pub fn copy_to(&self, mut to: impl Write) -> io::Result<()> {
        let (mut digester, mut piece, mut at) = (Digester::default(), vec![0; PIECE], 0);
        loop {
            let read = self.file.read_at(&mut piece, at)?;
            if read == 0 {
                break;
            }
            digester.add(&piece[..read]);
            to.write_all(&piece[..read])?;
            at += read as u64;
        }
        if digester.finish() == self.digest { Ok(()) } else { Err(Errno::TXTBSY.into()) }
    }

    /// Whether its owner may execute it.
    #[must_use]
    pub fn is_executable(&self) -> bool {
        self.file.metadata().is_ok_and(|found| found.permissions().mode() & 0o100 != 0)
    }

    /// What its first line says it is run by: a program, and one argument at most.
    #[must_use]
    pub fn interpreter(&self) -> Option<(String, Option<String>)> {
        let mut start = vec![0; MAX_LINE];
        let read = self.file.read_at(&mut start, 0).ok()?;
        let line = start.get(..read)?.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
        let line = std::str::from_utf8(line).ok()?.trim();
        match line.split_once([' ', '\t']) {
            Some((program, argument)) => Some((program.into(), Some(argument.trim().into()))),
            None if line.is_empty() => None,
            None => Some((line.into(), None)),
        }
    }
}

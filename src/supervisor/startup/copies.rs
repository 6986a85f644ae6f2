//! A private copy of a script and all that is named with it: its interpreter reads what was checked.
//!
//! An interpreter opens a script by its path, whenever it likes; of the originals nobody could say what it reads then.
//! The copy has the originals' layout, lies in the bus directory and goes with the instance.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::trust::CheckedFile;

/// Where the copies of one instance are.
#[derive(Debug)]
pub(in crate::supervisor) struct Copies {
    /// The directory that all originals lie in.
    base: PathBuf,
    place: PathBuf,
}

impl Copies {
    /// Copies what was checked into a directory that does not exist yet.
    ///
    /// # Errors
    /// What the system says; nothing is left then.
    pub(in crate::supervisor) fn make(place: &Path, files: &[CheckedFile]) -> io::Result<Self> {
        let mut base = files.first().and_then(|file| file.path.parent()).unwrap_or(Path::new("/"));
        while !files.iter().all(|file| file.path.starts_with(base)) {
            base = base.parent().unwrap_or(Path::new("/"));
        }
        let copies = Self { base: base.to_owned(), place: place.to_owned() };
        let made = files.iter().try_for_each(|file| copies.copy(file));
        made.inspect_err(|_| drop(fs::remove_dir_all(place))).map(|()| copies)
    }

    /// The copy of a file.
    pub(in crate::supervisor) fn of(&self, original: &Path) -> PathBuf {
        self.place.join(original.strip_prefix(&self.base).unwrap_or(original))
    }

    fn copy(&self, file: &CheckedFile) -> io::Result<()> {
        let to = self.of(&file.path);
        if let Some(directory) = to.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let mode = if file.is_executable() { 0o500 } else { 0o400 };
        file.copy_to(OpenOptions::new().write(true).create_new(true).mode(mode).open(to)?)
    }
}

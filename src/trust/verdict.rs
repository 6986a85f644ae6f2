//! What a [`Warden`](super::Warden) finds, and what it says of that.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::evidence::Evidence;
use super::subject::Parts;
use super::{Change, CheckedFile, Digest, Pin};

/// A subject that may be run.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Admission {
    /// The very file that was looked at, to be executed; `None`: whatever is at the path.
    pub program: Option<File>,
    /// What is read by its path, and has to stay as it is until then.
    pub files: Vec<CheckedFile>,
    /// Which of these an interpreter is to run, where everything that belongs to it was named.
    pub script: Option<PathBuf>,
    /// By what it is trusted, in words.
    pub words: String,
    /// What somebody should know of that has not been so before.
    pub note: Option<String>,
}

/// Why a subject may not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotAdmitted {
    /// It will not be until somebody does something about it.
    #[error("refused: {0}")]
    Refused(String),
    /// Its program cannot be had: what the system says.
    #[error("{0}")]
    System(io::Error),
}

/// What is to be accepted of a plugin before it may run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Review {
    /// The plugin.
    pub plugin: String,
    /// Whether nothing of it was ever pinned.
    pub new: bool,
    /// The files that are not what was pinned.
    pub changes: Vec<Change>,
    /// How many files there are.
    pub files: usize,
    /// What `accept` would pin.
    #[serde(skip)]
    pub(super) found: BTreeMap<PathBuf, Digest>,
}

/// The files of a subject, looked at.
pub(super) struct Findings {
    pub(super) parts: Parts,
    pub(super) files: Vec<(PathBuf, Evidence, Digest)>,
}

impl Findings {
    pub(super) fn digests(&self) -> BTreeMap<PathBuf, Digest> {
        self.files.iter().map(|(path, _, digest)| (path.clone(), *digest)).collect()
    }

    pub(super) fn changes(&self, pins: &BTreeMap<PathBuf, Pin>) -> Vec<Change> {
        let is_found = |path: &Path| self.files.iter().any(|(found, ..)| found == path);
        let gone = pins.iter().filter(|(path, _)| !is_found(path)).map(|(path, pin)| Change {
            file: path.clone(),
            pinned: Some(pin.digest),
            since: Some(pin.since.clone()),
            found: None,
            modified: None,
        });
        let changed = self.files.iter().filter_map(|(path, evidence, digest)| {
            let pin = pins.get(path);
            (pin.map(|pin| pin.digest) != Some(*digest)).then(|| Change {
                file: path.clone(),
                pinned: pin.map(|pin| pin.digest),
                since: pin.map(|pin| pin.since.clone()),
                found: Some(*digest),
                modified: evidence.modified(),
            })
        });
        changed.chain(gone).collect()
    }
}

pub(super) fn refuse(words: String) -> NotAdmitted {
    NotAdmitted::Refused(words)
}

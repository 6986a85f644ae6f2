//! How a file differs from what was pinned.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use super::Digest;

/// One file of a plugin that is not what was pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Change {
    /// The file.
    #[serde(serialize_with = "lossy")]
    pub file: PathBuf,
    /// What it was when it was pinned; `None` for a file that is new.
    #[serde(serialize_with = "digest", skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Digest>,
    /// When that was, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// What it is now; `None` for a file that is gone.
    #[serde(serialize_with = "digest", skip_serializing_if = "Option::is_none")]
    pub found: Option<Digest>,
    /// When it was last written to, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified: Option<String>,
}

fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

#[expect(clippy::ref_option, reason = "as serde wants it")]
fn digest<S: Serializer>(digest: &Option<Digest>, serializer: S) -> Result<S::Ok, S::Error> {
    match digest {
        Some(digest) => serializer.collect_str(digest),
        None => serializer.serialize_none(),
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let file = self.file.display();
        let since = self.since.as_deref().unwrap_or_default();
        match (&self.pinned, &self.found) {
            (Some(pinned), Some(found)) => {
                write!(f, "{file} has changed since it was pinned at {since}")?;
                if let Some(modified) = &self.modified {
                    write!(f, ", it was written at {modified}")?;
                }
                write!(f, " ({} was {})", found.short(), pinned.short())
            }
            (Some(_), None) => write!(f, "{file} is gone that was pinned at {since}"),
            (None, Some(found)) => write!(f, "{file} is new ({})", found.short()),
            (None, None) => write!(f, "{file} is as it was"),
        }
    }
}

//! How much has to be known of a program before it is run.

use std::path::PathBuf;

use super::PublicKey;

/// What has to be known of a program before it is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// Nothing: whatever is found is run.
    Any,
    /// It is what it was when it was pinned; what is started for the first time is pinned.
    Locked,
    /// It has a signature of a trusted key.
    Signed,
}

impl Trust {
    /// Every level, the strictest last.
    pub const ALL: [Self; 3] = [Self::Any, Self::Locked, Self::Signed];

    /// The level as it is configured and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Locked => "locked",
            Self::Signed => "signed",
        }
    }
}

impl std::fmt::Display for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// By what the programs of a bus are judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustSpec {
    /// The file in which programs are pinned; `None`: one in the bus directory.
    pub lock: Option<PathBuf>,
    /// Keys whose signatures count.
    pub keys: Vec<PublicKey>,
    /// Whether a changed program is pinned anew instead of refused, and restarted when it is rebuilt.
    pub accepts_changes: bool,
}

//! What carries calls, surveys and events.
//!
//! A lane is a way to the same bytes: either side of a connection may be on either. `PLUGBUS_LANE=nng` puts them
//! on NNG, for comparison and where the direct lane is in doubt.

use std::sync::OnceLock;

/// The variable that names a lane.
pub(crate) const LANE: &str = "PLUGBUS_LANE";

/// What carries calls, surveys and events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lane {
    /// The library's own; NNG where the system is not Linux.
    Direct,
    /// NNG's.
    Nng,
}

impl Lane {
    /// Every lane.
    pub const ALL: [Self; 2] = [Self::Direct, Self::Nng];

    /// The lane of this process: direct unless `$PLUGBUS_LANE` is `nng`.
    #[must_use]
    pub fn chosen() -> Self {
        Self::asked_for().unwrap_or(Self::Direct)
    }

    /// What `$PLUGBUS_LANE` names, read once; `None` where it is not set, or is no lane.
    #[must_use]
    pub fn asked_for() -> Option<Self> {
        static ASKED_FOR: OnceLock<Option<Lane>> = OnceLock::new();
        *ASKED_FOR.get_or_init(|| {
            let wanted = std::env::var(LANE).ok().filter(|wanted| !wanted.is_empty())?;
            let lane = Self::ALL.into_iter().find(|lane| lane.name() == wanted);
            if lane.is_none() {
                tracing::warn!("${LANE} is {wanted:?}, neither `direct` nor `nng`: it is not heeded");
            }
            lane
        })
    }

    /// Its name, in `$PLUGBUS_LANE` and in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nng => "nng",
        }
    }
}

//! A moment up to which logs are not wanted. The wall clock is in them, so it is asked, for display alone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// So long ago.
#[derive(Debug, Clone)]
pub(crate) struct Since {
    stamp: String,
    seconds: i64,
}

impl Since {
    pub(crate) fn ago(time: Duration) -> Self {
        let at = SystemTime::now().checked_sub(time).unwrap_or(UNIX_EPOCH).max(UNIX_EPOCH);
        let seconds = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self { stamp: humantime::format_rfc3339_millis(at).to_string(), seconds: seconds.try_into().unwrap_or(0) }
    }

    /// Whether a file that was last written to at that time, in seconds since 1970, has nothing that is wanted.
    pub(super) fn is_after(&self, modified: i64) -> bool {
        // Stamped when it was read, and written a little later.
        modified < self.seconds
    }

    /// Whether a line with this stamp is wanted; stamps are as long as each other, so they compare as texts.
    pub(crate) fn wants(&self, stamp: &str) -> bool {
        stamp >= self.stamp.as_str()
    }
}

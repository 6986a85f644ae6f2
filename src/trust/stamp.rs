//! The time by the wall clock, for people to read; nothing is decided by it.

use std::time::SystemTime;

use rustix::time::{ClockId, clock_gettime};

/// Now, as it stands in a lock file: `2026-11-25T22:14:45Z`.
pub(super) fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// Now in seconds, as it stands in a signature.
#[cfg_attr(not(feature = "sign"), expect(dead_code, reason = "only whoever signs has a use for it"))]
pub(super) fn seconds() -> i64 {
    clock_gettime(ClockId::Realtime).tv_sec
}

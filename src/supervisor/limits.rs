//! How many files this process may have open, and how many its plugins may.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What was allowed before [`raise_file_limit`].
static BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// Lets this process open as many files as the system grants it: a plugin takes several of a supervisor's.
///
/// The soft limit is low by tradition, because programs that use `select` cannot do with more; plugins are started
/// with the limit as it was.
pub fn raise_file_limit() {
    let before = *BEFORE.get_or_init(|| getrlimit(Resource::Nofile));
    // Refused where the hard limit is more than the kernel grants; then it stays as it was.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, ..before });
}

/// Descriptors that are kept for callers and log files: a supervisor that cannot be asked is no supervisor.
const RESERVE: u64 = 16;

/// Whether so few descriptors are left that starting a plugin more would make the supervisor itself deaf.
pub(super) fn files_are_short() -> bool {
    let Some(limit) = getrlimit(Resource::Nofile).current else { return false };
    // The system gives out the lowest number that is free.
    File::open("/dev/null")
        .map_or(true, |lowest| u64::from(lowest.as_raw_fd().unsigned_abs()) >= limit.saturating_sub(RESERVE))
}

/// Takes that back, for a program that is executed in place of this one.
pub fn restore_file_limit() {
    if let Some(before) = BEFORE.get() {
        let _ = setrlimit(Resource::Nofile, *before);
    }
}

/// What a child is to be given, where this process has changed it for itself.
#[cfg(target_os = "linux")]
pub(super) fn file_limit_before() -> Option<Rlimit> {
    BEFORE.get().copied()
}

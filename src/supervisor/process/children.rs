//! Which children of this process are its own doing, so that nobody else collects their exits.
//!
//! Who reaps orphans sees children alone, not how they came to be. A plugin's exit that it took would be lost, and
//! the pid be another's while we still mean to signal it. So every process that the supervisor starts is entered
//! here until it is reaped, and what is being started right now is counted.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

static CHILDREN: Mutex<Children> = Mutex::new(Children { own: None, births: BTreeMap::new(), next: 0 });

/// What this process has started.
#[derive(Debug)]
struct Children {
    /// Made with its first entry: a static needs a value that can be had before the program runs.
    own: Option<HashSet<u32>>,
    /// When each start began that is going on.
    births: BTreeMap<u64, Instant>,
    next: u64,
}

fn children() -> MutexGuard<'static, Children> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child that somebody here collects the exit of; dropped after that.
#[derive(Debug)]
pub(super) struct OwnChild(u32);

impl OwnChild {
    pub(super) fn new(pid: u32) -> Self {
        children().own.get_or_insert_default().insert(pid);
        Self(pid)
    }
}

impl Drop for OwnChild {
    fn drop(&mut self) {
        if let Some(own) = &mut children().own {
            own.remove(&self.0);
        }
    }
}

/// The start of a child, from before its fork until it has been entered.
#[derive(Debug)]
pub(super) struct Birth(u64);

impl Birth {
    pub(super) fn begin() -> Self {
        let mut children = children();
        let number = children.next;
        children.next += 1;
        children.births.insert(number, Instant::now());
        Self(number)
    }
}

impl Drop for Birth {
    fn drop(&mut self) {
        children().births.remove(&self.0);
    }
}

/// Whether somebody here collects that child's exit.
pub(super) fn is_own(pid: u32) -> bool {
    children().own.as_ref().is_some_and(|own| own.contains(&pid))
}

/// Whether a child that was there at this moment may be one whose start is still going on.
pub(super) fn may_be_in_birth(since: Instant) -> bool {
    children().births.values().any(|begun| *begun <= since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_entered_is_own_and_a_birth_covers_what_came_after_it() {
        let before = Instant::now();
        let birth = Birth::begin();
        let after = Instant::now();
        assert!(may_be_in_birth(after));
        // Another test's start may go on just now; it, too, began after that moment or not.
        let child = OwnChild::new(u32::MAX);
        assert!(is_own(u32::MAX) && !is_own(u32::MAX - 1));
        drop((birth, child));
        assert!(!is_own(u32::MAX));
        assert!(before <= after);
    }
}

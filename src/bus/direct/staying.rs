//! A worker that stays with the one connection that calls.
//!
//! As long as nobody else calls, the next request is waited for in the read of its own connection. The way round by
//! epoll, one system call and one wake-up more, is for those who share the workers: at least one always waits there.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::connection::Connection;
use super::crew::Crew;

/// Whose requests have to be the only ones so many times before a worker stays: to stay and to leave costs as much as
/// they save.
const IN_A_ROW: u32 = 8;

/// How long a worker waits for the next request of a connection: as long as it does, the others have one worker less.
pub(super) const PATIENCE: Duration = Duration::from_millis(10);

/// No connection has that key.
const NOBODY: u64 = 0;

/// Who has called last, and who is stayed with.
#[derive(Debug, Default)]
pub(super) struct Staying {
    last: AtomicU64,
    in_a_row: AtomicU32,
    with: AtomicU64,
}

impl Staying {
    /// Something has come from that connection.
    pub(super) fn heard(&self, key: u64) {
        if self.last.swap(key, Ordering::Relaxed) == key {
            self.in_a_row.fetch_add(1, Ordering::Relaxed);
        } else {
            self.in_a_row.store(0, Ordering::Relaxed);
        }
    }

    fn is_alone(&self, key: u64) -> bool {
        self.last.load(Ordering::Relaxed) == key && self.in_a_row.load(Ordering::Relaxed) >= IN_A_ROW
    }
}

impl Crew {
    /// Whether the worker is to wait for what comes next from this connection. Only with the claim.
    pub(super) fn stays_with(&self, connection: &Connection) -> bool {
        let (staying, key) = (&self.staying, connection.key);
        if !staying.is_alone(key) || self.door.is_closed() {
            return false;
        }
        match staying.with.compare_exchange(NOBODY, key, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => {
                connection.report_incoming(false);
                true
            }
            Err(with) => with == key,
        }
    }

    /// The connection is one of many again, where it was not. Only with the claim.
    pub(super) fn leave(&self, connection: &Connection) {
        let staying = &self.staying;
        if staying.with.load(Ordering::Acquire) == connection.key {
            staying.in_a_row.store(0, Ordering::Relaxed);
            connection.report_incoming(true);
            staying.with.store(NOBODY, Ordering::Release);
        }
    }

    #[cfg(test)]
    pub(super) fn is_staying(&self) -> bool {
        self.staying.with.load(Ordering::Acquire) != NOBODY
    }
}

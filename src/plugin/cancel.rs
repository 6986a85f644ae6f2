//! Whether a call is to stop.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Shared by those who tell a call to stop and those who are told; a handle costs nothing but a count.
#[derive(Debug, Clone, Default)]
pub(super) struct Cancel(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: AtomicU8,
    changed: Notify,
}

const RUNNING: u8 = 0;
const TOLD: u8 = 1;
/// Its code has ended: nobody is left to be told.
const ENDED: u8 = 2;

impl Cancel {
    /// Tells the call to stop, where it still runs.
    pub(super) fn tell(&self) {
        self.leave_running(TOLD);
    }

    /// Notes that the call's own code has ended; whether that is news, and nobody had told it to stop.
    pub(super) fn end(&self) -> bool {
        self.leave_running(ENDED)
    }

    fn leave_running(&self, state: u8) -> bool {
        let left = self.0.state.compare_exchange(RUNNING, state, Ordering::SeqCst, Ordering::SeqCst);
        if left.is_ok() {
            self.0.changed.notify_waiters();
        }
        left.is_ok()
    }

    pub(super) fn is_told(&self) -> bool {
        self.0.state.load(Ordering::SeqCst) == TOLD
    }

    /// Waits until the call is told to stop, or its code has ended; whether it was told.
    pub(super) async fn told(&self) -> bool {
        loop {
            // Registered before the look, so that a change in between is not missed.
            let changed = self.0.changed.notified();
            match self.0.state.load(Ordering::SeqCst) {
                RUNNING => changed.await,
                state => return state == TOLD,
            }
        }
    }
}

/// Cancellations that came before their calls: NNG's threads may hand out two messages in either order.
#[derive(Debug, Default)]
pub(super) struct Early {
    any: AtomicBool,
    /// The newest first.
    ids: Mutex<VecDeque<(Instant, String)>>,
}

/// As many are remembered, for so long; most are of calls that have ended, and nobody asks for those.
const REMEMBERED: usize = 64;
const FOR: Duration = Duration::from_secs(1);

/// No id of ours is longer, and nobody makes us keep more.
const LONGEST: usize = 64;

impl Early {
    pub(super) fn note(&self, id: &str) {
        if id.len() > LONGEST {
            return;
        }
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.truncate(REMEMBERED - 1);
        ids.push_front((Instant::now(), id.to_owned()));
        self.any.store(true, Ordering::Release);
    }

    /// Whether that call was cancelled already; it is forgotten with that.
    pub(super) fn takes(&self, id: &str, now: Instant) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.retain(|(noted, _)| now.saturating_duration_since(*noted) <= FOR);
        let found = ids.iter().position(|(_, early)| early == id).and_then(|at| ids.remove(at)).is_some();
        self.any.store(!ids.is_empty(), Ordering::Release);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancellation_that_comes_first_is_kept_for_its_call() {
        let early = Early::default();
        let takes = |id: &str| early.takes(id, Instant::now());
        assert!(!takes("a"));
        early.note("a");
        early.note(&"x".repeat(65));
        assert!(!takes("b") && takes("a") && !takes("a"));
        (0..1000).for_each(|nth| early.note(&nth.to_string()));
        assert!(!takes("935") && takes("936") && takes("999"));
        assert!(!early.takes("998", Instant::now() + 2 * FOR) && !takes("997"));
    }
}

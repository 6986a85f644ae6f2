//! Whether a call is to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

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

    /// Notes that the call's own code has ended.
    pub(super) fn end(&self) {
        self.leave_running(ENDED);
    }

    fn leave_running(&self, state: u8) {
        let left = self.0.state.compare_exchange(RUNNING, state, Ordering::SeqCst, Ordering::SeqCst);
        if left.is_ok() {
            self.0.changed.notify_waiters();
        }
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

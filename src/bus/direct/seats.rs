//! Room for requests that are not yet answered, and the connections that wait for some of it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::connection::Connection;
use super::lock;

#[derive(Debug)]
pub(super) struct Seats {
    room: usize,
    taken: AtomicUsize,
    /// Connections with requests that found no seat, each once.
    queue: Mutex<VecDeque<Arc<Connection>>>,
    queued: AtomicBool,
}

impl Seats {
    pub(super) fn new(room: usize) -> Self {
        Self { room, taken: AtomicUsize::new(0), queue: Mutex::default(), queued: AtomicBool::new(false) }
    }

    /// A seat for a request of that connection; without one, [`next`](Self::next) names it when there is one.
    pub(super) fn take(&self, connection: &Arc<Connection>) -> bool {
        if self.try_take() {
            return true;
        }
        let mut queue = lock(&self.queue);
        self.queued.store(true, Ordering::SeqCst);
        // One may have been left before it could be seen that somebody waits.
        let taken = self.try_take();
        if !taken && !queue.iter().any(|waits| Arc::ptr_eq(waits, connection)) {
            queue.push_back(Arc::clone(connection));
        }
        self.queued.store(!queue.is_empty(), Ordering::SeqCst);
        taken
    }

    fn try_take(&self) -> bool {
        let room = |taken| if taken < self.room { Some(taken + 1) } else { None };
        self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, room).is_ok()
    }

    pub(super) fn leave(&self) {
        self.taken.fetch_sub(1, Ordering::SeqCst);
    }

    /// Who has waited longest, where there is a seat to be had.
    ///
    /// To be asked whenever one is left, and again when the one who was named is done: it may not have needed it.
    pub(super) fn next(&self) -> Option<Arc<Connection>> {
        if !self.queued.load(Ordering::SeqCst) {
            return None;
        }
        let mut queue = lock(&self.queue);
        if self.taken.load(Ordering::SeqCst) >= self.room {
            return None;
        }
        let next = queue.pop_front();
        self.queued.store(!queue.is_empty(), Ordering::SeqCst);
        next
    }
}

//! Callers' own threads drive the connection they share.
//!
//! The first one that waits reads, for itself and for the others; they sleep. When its reply has come it wakes
//! one of them to go on reading. Writing is the same: who finds the line without a writer writes it.

use std::cell::OnceCell;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::pending::{Pending, Read};
use super::socket::{self, BLOCKING_READ, Wait};
use super::state::{Outcome, Phase, State};

/// Sends the request and waits for its reply on the calling thread.
pub(super) fn request(pending: &Pending, body: &[u8], deadline: Instant) -> Outcome {
    let id = pending.begin(body, deadline, None)?;
    loop {
        let mut state = pending.lock();
        if let Some(outcome) = state.outcome(id, None) {
            return hand_on(state, outcome);
        }
        let limit = pending.limit_of(&state, id).unwrap_or(deadline);
        let left = limit.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let (error, silent) = (state.give_up(id), state.phase() == Phase::Greeting);
            let outcome = hand_on(state, Err(error));
            if silent {
                // Nobody would read a greeting that comes later: the next request connects anew.
                pending.close();
            }
            return outcome;
        }
        let reads = !state.reading;
        let flushes = !state.flushing && state.phase() == Phase::Open && !state.line.is_empty();
        if !reads && !flushes {
            own_waker(|waker| state.outcome(id, Some(waker)));
            drop(state);
            thread::park_timeout(left);
            continue;
        }
        state.reading |= reads;
        state.flushing |= flushes;
        // Others would have the core for something better.
        let looks = reads && !flushes && state.seats.len() == 1;
        drop(state);
        if !(looks && look(pending)) {
            drive(pending, reads, flushes, left);
        }
        let mut state = pending.lock();
        state.reading &= !reads;
        state.flushing &= !flushes;
    }
}

/// Leaves, and sees to it that somebody else reads and writes where somebody waits.
fn hand_on(mut state: std::sync::MutexGuard<'_, State>, outcome: Outcome) -> Outcome {
    let vacant = !state.reading || (!state.flushing && !state.line.is_empty());
    let next = if vacant { state.anybody() } else { None };
    drop(state);
    if let Some(next) = next {
        next.wake();
    }
    outcome
}

/// Reads once without sleeping; whether anything has come.
fn look(pending: &Pending) -> bool {
    pending.spin.look(|| (pending.read(Wait::No) != Read::Nothing).then_some(())).is_some()
}

/// Reads or writes once, waiting at most that long for the socket.
fn drive(pending: &Pending, reads: bool, flushes: bool, left: Duration) {
    if !flushes && left >= BLOCKING_READ {
        pending.read(Wait::Yes);
        return;
    }
    if flushes && pending.flush() == Ok(true) {
        return;
    }
    let mut events = PollFlags::empty();
    events.set(PollFlags::IN, reads);
    events.set(PollFlags::OUT, flushes);
    // Fails only for want of memory; the deadline holds all the same.
    let ready = socket::poll(&pending.socket, events, left).unwrap_or(PollFlags::IN);
    if reads && ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
        pending.read(Wait::No);
    }
}

/// Wakes the calling thread.
fn own_waker<R>(f: impl FnOnce(&Waker) -> R) -> R {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    thread_local! {
        static WAKER: OnceCell<Waker> = const { OnceCell::new() };
    }
    WAKER.with(|waker| f(waker.get_or_init(|| Waker::from(Arc::new(Unpark(thread::current()))))))
}

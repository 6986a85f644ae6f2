//! The seats of a connection's requests, the line of those not yet sent, and how the connection stands.
//!
//! All of it shares one lock, so that a request is at any time either surely unsent or possibly sent, and a caller
//! is told which.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::Waker;
use std::time::Instant;

use super::frame::REQUEST_ID;
use super::line::{Line, Piece};
use crate::bus::{Body, RequestError};

pub(super) type Outcome = Result<Body, RequestError>;

#[derive(Debug)]
pub(super) struct State {
    shown: Arc<Shown>,
    phase: Phase,
    pub(super) seats: HashMap<u32, Seat, BuildHasherDefault<IdHasher>>,
    pub(super) line: Line,
    last_id: u32,
    /// Frames are only lined up: whoever holds this writes them.
    pub(super) flushing: bool,
    /// Somebody reads.
    pub(super) reading: bool,
    /// The task that drives the connection, where one does, while it sleeps.
    pub(super) driver: Option<Waker>,
    /// When that task looks for requests whose time is over.
    pub(super) alarm: Option<Instant>,
}

/// How the connection stands, to be seen without the lock.
///
/// On cache lines of its own: all read it and hardly anybody writes it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Shown {
    phase: AtomicU8,
    /// The other side had greeted and has left.
    lost: AtomicBool,
}

impl Shown {
    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Greeting,
            1 => Phase::Open,
            2 => Phase::Ending,
            _ => Phase::Closed,
        }
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }
}

/// Ids are counted up by this side: nobody chooses them, and they need no more than to be spread.
#[derive(Debug, Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(self.0 as u32 ^ u32::from(*byte)));
    }

    fn write_u32(&mut self, id: u32) {
        self.write_u64(id.into());
    }

    fn write_u64(&mut self, id: u64) {
        /// Odd, its bits as good as random: 2^64 divided by the golden ratio.
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        self.0 = id.wrapping_mul(SPREAD);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing goes out before the other side's greeting.
    Greeting,
    Open,
    /// The other side takes no more; replies to what it has may still arrive.
    Ending,
    Closed,
}

#[derive(Debug)]
pub(super) struct Seat {
    /// Not in line any more: the other side may have it.
    pub(super) sent: bool,
    pub(super) deadline: Instant,
    pub(super) outcome: Option<Outcome>,
    pub(super) waker: Option<Waker>,
    /// Somebody waits for the outcome, and then gives the seat up.
    pub(super) waits: bool,
}

/// Takes a request out of the line where nothing of it has been written.
pub(super) fn withdraw(line: &mut Line, id: u32, sent: bool) -> RequestError {
    if sent {
        return RequestError::TimedOut;
    }
    line.remove(id);
    RequestError::NotSent
}

impl State {
    pub(super) fn new(shown: Arc<Shown>) -> Self {
        Self {
            shown,
            phase: Phase::Greeting,
            seats: HashMap::default(),
            line: Line::default(),
            last_id: 0,
            flushing: false,
            reading: false,
            driver: None,
            alarm: None,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    pub(super) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.shown.phase.store(phase as u8, Ordering::Release);
    }

    /// The other side has left, or is about to: that is a loss where it had greeted.
    pub(super) fn note_loss(&mut self) {
        if self.phase == Phase::Open {
            self.shown.lost.store(true, Ordering::Release);
        }
    }

    /// What has not left will not: the other side cannot have a request of which a part is still here.
    pub(super) fn clear_line(&mut self) {
        for id in self.line.clear() {
            if let Some(seat) = self.seats.get_mut(&id) {
                seat.sent = false;
            }
        }
    }

    pub(super) fn free_id(&mut self) -> u32 {
        loop {
            self.last_id = self.last_id.wrapping_add(1) | REQUEST_ID;
            if !self.seats.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }

    /// What is to be written next: from now on the other side may have it.
    pub(super) fn take_piece(&mut self) -> Option<Piece> {
        let piece = self.line.take()?;
        for id in piece.ids() {
            if let Some(seat) = self.seats.get_mut(&id) {
                seat.sent = true;
            }
        }
        Some(piece)
    }

    /// What was taken to be written, and may not have been, back to where it stood.
    pub(super) fn put_back(&mut self, mut piece: Piece) {
        let Self { seats, line, .. } = self;
        if !piece.is_written() {
            // Nobody waits any more, and nobody has begun to read it.
            piece.remove_where(|id| !seats.contains_key(&id));
            for id in piece.untouched() {
                if let Some(seat) = seats.get_mut(&id) {
                    seat.sent = false;
                }
            }
        }
        line.put_back(piece);
    }

    /// Takes no more requests; those that are surely unsent are given back.
    pub(super) fn end(&mut self) {
        if self.phase != Phase::Closed {
            self.note_loss();
            self.enter(Phase::Ending);
        }
        self.clear_line();
        for seat in self.seats.values_mut().filter(|seat| !seat.sent && seat.outcome.is_none()) {
            seat.outcome = Some(Err(RequestError::NotSent));
            // Wakes under the lock: rare, and a waker may do no more than schedule.
            seat.waker.take().into_iter().for_each(Waker::wake);
        }
        self.wake_driver();
    }

    pub(super) fn seat(&mut self, id: u32, outcome: Outcome) -> Option<Waker> {
        // An id that never was, a second reply to one, or a reply nobody waits for any more.
        let seat = self.seats.get_mut(&id).filter(|seat| seat.outcome.is_none())?;
        if !seat.waits {
            self.seats.remove(&id);
            return None;
        }
        seat.outcome = Some(outcome);
        seat.waker.take()
    }

    pub(super) fn drive_with(&mut self, waker: &Waker) {
        if !self.driver.as_ref().is_some_and(|driver| driver.will_wake(waker)) {
            self.driver = Some(waker.clone());
        }
    }

    pub(super) fn wake_driver(&mut self) {
        self.driver.take().into_iter().for_each(Waker::wake);
    }

    /// The outcome of a request, which gives its seat up; else whom to wake when there is one.
    pub(super) fn outcome(&mut self, id: u32, waker: Option<&Waker>) -> Option<Outcome> {
        let seat = self.seats.get_mut(&id)?;
        if seat.outcome.is_none() {
            seat.waker = waker.cloned();
            return None;
        }
        self.seats.remove(&id)?.outcome
    }

    /// Gives a seat up before there is an outcome; says what is then true.
    pub(super) fn give_up(&mut self, id: u32) -> RequestError {
        let sent = self.seats.remove(&id).is_none_or(|seat| seat.sent);
        withdraw(&mut self.line, id, sent)
    }

    /// Somebody who still waits.
    pub(super) fn anybody(&mut self) -> Option<Waker> {
        self.seats.values_mut().filter(|seat| seat.outcome.is_none()).find_map(|seat| seat.waker.take())
    }
}

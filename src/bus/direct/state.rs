//! The seats of a connection's requests, the line of those not yet sent, and how the connection stands.
//!
//! All of it shares one lock, so that a request is at any time either surely unsent or possibly sent, and a caller
//! is told which.

use std::collections::{HashMap, VecDeque};
use std::task::Waker;
use std::time::Instant;

use super::frame::REQUEST_ID;
use crate::bus::{Body, RequestError};

pub(super) type Outcome = Result<Body, RequestError>;

#[derive(Debug)]
pub(super) struct State {
    pub(super) phase: Phase,
    /// The other side had greeted and has left.
    pub(super) lost: bool,
    pub(super) seats: HashMap<u32, Seat>,
    pub(super) line: VecDeque<Frame>,
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
}

#[derive(Debug)]
pub(super) struct Frame {
    pub(super) id: u32,
    pub(super) bytes: Vec<u8>,
    pub(super) written: usize,
}

/// Takes a request out of the line where nothing of it has been written.
pub(super) fn withdraw(line: &mut VecDeque<Frame>, id: u32, sent: bool) -> RequestError {
    if sent {
        return RequestError::TimedOut;
    }
    line.retain(|frame| frame.id != id);
    RequestError::NotSent
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::Greeting,
            lost: false,
            seats: HashMap::new(),
            line: VecDeque::new(),
            last_id: 0,
            flushing: false,
            reading: false,
            driver: None,
            alarm: None,
        }
    }

    /// What has not left will not: the other side cannot have a request of which a part is still here.
    pub(super) fn clear_line(&mut self) {
        for frame in self.line.drain(..) {
            if let Some(seat) = self.seats.get_mut(&frame.id) {
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

    /// Frames that were taken to be written and were not, back to where they stood.
    pub(super) fn put_back(&mut self, frames: &mut Vec<Frame>) {
        for frame in frames.drain(..).rev() {
            let seat = self.seats.get_mut(&frame.id);
            if frame.written == 0 {
                match seat {
                    // Nobody waits any more, and nobody has begun to read it.
                    None => continue,
                    Some(seat) => seat.sent = false,
                }
            }
            self.line.push_front(frame);
        }
    }

    /// Takes no more requests; those that are surely unsent are given back.
    pub(super) fn end(&mut self) {
        if self.phase != Phase::Closed {
            self.lost |= self.phase == Phase::Open;
            self.phase = Phase::Ending;
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
        seat.outcome = Some(outcome);
        seat.waker.take()
    }

    pub(super) fn wake_driver(&mut self) {
        self.driver.take().into_iter().for_each(Waker::wake);
    }

    pub(super) fn has_line(&self) -> bool {
        !self.line.is_empty()
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

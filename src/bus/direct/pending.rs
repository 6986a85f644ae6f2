//! The requests under way on one connection, whoever reads and writes it.
//!
//! A request takes a seat, its frame goes out at once where the socket takes it, else it waits in line. Replies
//! find their seats by id (`state`). Here is what goes over the socket.

use std::cell::RefCell;
use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard};
use std::task::Waker;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::frame::{self, Decoder, Found, HEAD, REPLIER};
use super::lock;
use super::socket::{self, Wait};
use super::state::{self, Frame, Phase, Seat, State};
use crate::bus::{Body, RequestError};

/// How long a request waits for the greeting of a connection that is new. A live listener greets within a
/// millisecond; a loaded machine gets a few hundred.
pub(super) const CONNECT_WAIT: Duration = Duration::from_millis(500);

/// What one read takes at most: all that a busy connection has.
pub(super) const SCRATCH: usize = 64 * 1024;

/// Frames that go out in one write at most.
const GATHERED: usize = 64;

/// One connection to a replier.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) socket: OwnedFd,
    connected: Instant,
    decoder: Mutex<Decoder>,
    state: Mutex<State>,
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// So many callers were served; there may be more to read where it is said.
    Replies { served: usize, more: bool },
    /// Nothing has arrived.
    Nothing,
    /// The connection is over.
    End,
}

impl Pending {
    pub(super) fn new(socket: OwnedFd) -> Self {
        let decoder = Mutex::new(Decoder::new(REPLIER));
        Self { socket, connected: Instant::now(), decoder, state: Mutex::new(State::new()) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Takes a seat and sends the request, or lines it up where the socket does not take it now.
    pub(super) fn begin(&self, body: &[u8], deadline: Instant) -> Result<u32, RequestError> {
        let mut state = self.lock();
        if matches!(state.phase, Phase::Ending | Phase::Closed) {
            return Err(RequestError::NotSent);
        }
        let id = state.free_id();
        let (head, id_bytes) = (frame::head(4 + body.len()), id.to_be_bytes());
        let mut written = 0;
        if state.phase == Phase::Open && !state.flushing && state.line.is_empty() {
            match self.send_now(&head, id_bytes, body) {
                Ok(sent) => written = sent,
                Err(Errno::AGAIN) => {}
                Err(_) => {
                    state.end();
                    return Err(RequestError::NotSent);
                }
            }
        }
        if written < HEAD + 4 + body.len() {
            let bytes = [&head[..], &id_bytes, body].concat();
            state.line.push_back(Frame { id, bytes, written });
            if !state.flushing && state.phase == Phase::Open {
                state.wake_driver();
            }
        }
        let limit = self.limit(state.phase, deadline);
        if state.alarm.is_none_or(|alarm| limit < alarm) {
            state.alarm = Some(limit);
            state.wake_driver();
        }
        state.seats.insert(id, Seat { sent: written > 0, deadline, outcome: None, waker: None });
        Ok(id)
    }

    fn send_now(&self, head: &[u8; HEAD], id: [u8; 4], body: &[u8]) -> Result<usize, Errno> {
        /// Up to here, copying is cheaper than having the kernel gather.
        const SMALL: usize = 1024;
        if body.len() > SMALL {
            return socket::send(&self.socket, &[IoSlice::new(head), IoSlice::new(&id), IoSlice::new(body)]);
        }
        let mut whole = [0; HEAD + 4 + SMALL];
        whole[..HEAD].copy_from_slice(head);
        whole[HEAD..HEAD + 4].copy_from_slice(&id);
        whole[HEAD + 4..HEAD + 4 + body.len()].copy_from_slice(body);
        socket::send(&self.socket, &[IoSlice::new(&whole[..HEAD + 4 + body.len()])])
    }

    /// Until when a request waits as things stand: shorter, as long as nobody has greeted.
    fn limit(&self, phase: Phase, deadline: Instant) -> Instant {
        if phase == Phase::Greeting { deadline.min(self.connected + CONNECT_WAIT) } else { deadline }
    }

    /// Until when that request waits as things stand.
    pub(super) fn limit_of(&self, state: &State, id: u32) -> Option<Instant> {
        state.seats.get(&id).map(|seat| self.limit(state.phase, seat.deadline))
    }

    /// Writes what waits in line; whether all of it went out. Its caller holds `flushing`.
    pub(super) fn flush(&self) -> Result<bool, Errno> {
        let mut batch = Vec::new();
        loop {
            let mut state = self.lock();
            state.put_back(&mut batch);
            if state.phase == Phase::Greeting || state.line.is_empty() {
                return Ok(state.line.is_empty());
            }
            let taken = state.line.len().min(GATHERED);
            batch.extend(state.line.drain(..taken));
            for frame in &batch {
                if let Some(seat) = state.seats.get_mut(&frame.id) {
                    seat.sent = true;
                }
            }
            drop(state);
            let parts: Vec<_> = batch.iter().map(|frame| IoSlice::new(&frame.bytes[frame.written..])).collect();
            let sent = socket::send(&self.socket, &parts);
            let mut left = *sent.as_ref().unwrap_or(&0);
            batch.retain_mut(|frame| {
                let now = left.min(frame.bytes.len() - frame.written);
                (frame.written, left) = (frame.written + now, left - now);
                frame.written < frame.bytes.len()
            });
            match sent {
                Ok(_) => {}
                Err(error) => {
                    let mut state = self.lock();
                    state.put_back(&mut batch);
                    if error == Errno::AGAIN {
                        return Ok(false);
                    }
                    state.end();
                    return Err(error);
                }
            }
        }
    }

    /// Reads once and serves those whose replies came. One at a time.
    pub(super) fn read(&self, wait: Wait) -> Read {
        thread_local! {
            static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        let mut decoder = lock(&self.decoder);
        let mut read = |buffer: &mut Vec<u8>| {
            buffer.clear();
            if buffer.capacity() == 0 {
                buffer.reserve_exact(SCRATCH);
            }
            self.read_into(&mut decoder, buffer, wait)
        };
        // A waker that reads in turn would find the buffer taken; it gets one of its own.
        BUFFER.with(|buffer| match buffer.try_borrow_mut() {
            Ok(mut own) => read(&mut own),
            Err(_) => read(&mut Vec::new()),
        })
    }

    fn read_into(&self, decoder: &mut Decoder, buffer: &mut Vec<u8>, wait: Wait) -> Read {
        let received = match decoder.room() {
            Some(message) => {
                let received = socket::receive(&self.socket, message, wait);
                buffer.append(&mut decoder.overrun());
                // As much as there was room for, or not: only another read tells.
                received.map(|length| (length, true))
            }
            None => {
                socket::receive(&self.socket, buffer, wait).map(|length| (length, buffer.len() == buffer.capacity()))
            }
        };
        match received {
            Err(Errno::AGAIN) => Read::Nothing,
            Err(_) | Ok((0, _)) => self.over(),
            Ok((_, more)) => match self.deliver(decoder, buffer) {
                Ok(served) => Read::Replies { served, more },
                Err(frame::Malformed) => self.over(),
            },
        }
    }

    fn over(&self) -> Read {
        let mut state = self.lock();
        state.lost |= state.phase == Phase::Open;
        drop(state);
        self.close();
        Read::End
    }

    fn deliver(&self, decoder: &mut Decoder, mut input: &[u8]) -> Result<usize, frame::Malformed> {
        let (mut woken, mut served) = (Vec::new(), 0);
        // Where it breaks the protocol, what came before that counts.
        let broken = loop {
            match decoder.next(&mut input) {
                Ok(None) => break None,
                Ok(Some(Found::Greeting)) => self.lock().phase = Phase::Open,
                Ok(Some(Found::Message(message))) => match frame::reply_id(&message) {
                    Ok(id) => {
                        served += 1;
                        woken.extend(self.lock().seat(id, Ok(Body::after(message, 4))));
                    }
                    Err(malformed) => break Some(malformed),
                },
                Err(malformed) => break Some(malformed),
            }
        };
        woken.into_iter().for_each(Waker::wake);
        broken.map_or(Ok(served), Err)
    }

    /// Ends the connection: who waits is told whether its request may have been received.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.phase = Phase::Closed;
        state.clear_line();
        let mut woken: Vec<Waker> = state.driver.take().into_iter().collect();
        for seat in state.seats.values_mut().filter(|seat| seat.outcome.is_none()) {
            seat.outcome = Some(Err(if seat.sent { RequestError::Lost } else { RequestError::NotSent }));
            woken.extend(seat.waker.take());
        }
        drop(state);
        // Bytes that nobody will read must not keep the other side's replies queued.
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Tells those whose time is over, and sets the alarm for the next.
    pub(super) fn expire(&self, now: Instant) {
        let mut state = self.lock();
        let (phase, mut woken, mut alarm) = (state.phase, Vec::new(), None::<Instant>);
        let State { seats, line, .. } = &mut *state;
        for (id, seat) in seats.iter_mut().filter(|(_, seat)| seat.outcome.is_none()) {
            let limit = self.limit(phase, seat.deadline);
            if limit <= now {
                seat.outcome = Some(Err(state::withdraw(line, *id, seat.sent)));
                woken.extend(seat.waker.take());
            } else {
                alarm = Some(alarm.map_or(limit, |alarm| alarm.min(limit)));
            }
        }
        state.alarm = alarm;
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock().phase == Phase::Open
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lock().lost
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.lock().phase, Phase::Ending | Phase::Closed)
    }
}

//! The requests under way on one connection, whoever reads and writes it.
//!
//! A request takes a seat, its frame goes out at once where the socket takes it, else it waits in line. Replies
//! find their seats by id (`state`). Here is what goes over the socket.

use std::cell::RefCell;
use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::frame::{self, Decoder, Found, HEAD, REPLIER};
use super::lock;
use super::socket::{self, Wait};
use super::spin::Spin;
use super::state::{self, Outcome, Phase, Seat, Shown, State};
use crate::bus::{Body, RequestError};

/// How long a request waits for the greeting of a connection that is new. A live listener greets within a
/// millisecond; a loaded machine gets a few hundred.
pub(super) const CONNECT_WAIT: Duration = Duration::from_millis(500);

/// How long a message whose reply nobody waits for may wait to be sent.
const TOLD: Duration = Duration::from_secs(5);

/// What one read takes at most: all that a busy connection has.
pub(super) const SCRATCH: usize = 64 * 1024;

/// Up to here, copying a request is cheaper than having the kernel gather.
const SMALL: usize = 1024;

/// With this many requests under way, those of callers on a runtime go out together.
const MANY: usize = 4;

/// One connection to a replier.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) socket: OwnedFd,
    connected: Instant,
    decoder: Mutex<Decoder>,
    state: Mutex<State>,
    shown: Arc<Shown>,
    pub(super) spin: Spin,
    /// The one who drives the connection is wanted, and may look at this without the lock.
    wanted: AtomicBool,
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
        let shown = Arc::<Shown>::default();
        let state = Mutex::new(State::new(Arc::clone(&shown)));
        Self {
            socket,
            connected: Instant::now(),
            decoder,
            state,
            shown,
            spin: Spin::default(),
            wanted: AtomicBool::default(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Takes a seat and sends the request, or lines it up where the socket does not take it now.
    ///
    /// With a waker there is a task that drives the connection.
    pub(super) fn begin(&self, body: &[u8], deadline: Instant, waker: Option<&Waker>) -> Result<u32, RequestError> {
        let mut state = self.lock();
        if matches!(state.phase(), Phase::Ending | Phase::Closed) {
            return Err(RequestError::NotSent);
        }
        let id = state.free_id();
        let gathers = waker.is_some() && state.seats.len() >= MANY;
        let begun = if state.phase() == Phase::Open && !state.flushing && state.line.is_empty() && !gathers {
            self.send_now(&mut state, id, body)?
        } else {
            state.line.push(id, body, 0);
            false
        };
        if !state.line.is_empty() && !state.flushing && state.phase() == Phase::Open {
            self.wanted.store(true, Ordering::Relaxed);
            state.wake_driver();
        }
        let limit = self.limit(state.phase(), deadline);
        if state.alarm.is_none_or(|alarm| limit < alarm) {
            state.alarm = Some(limit);
            state.wake_driver();
        }
        state.seats.insert(id, Seat { sent: begun, deadline, outcome: None, waker: waker.cloned(), waits: true });
        Ok(id)
    }

    /// Sends a request whose reply nobody waits for, behind all that was sent before.
    pub(super) fn tell(&self, body: &[u8]) {
        if let Ok(id) = self.begin(body, Instant::now() + TOLD, None)
            && let Some(seat) = self.lock().seats.get_mut(&id)
        {
            seat.waits = false;
        }
    }

    /// Sends the request, and lines up what the socket does not take; whether it has taken anything.
    fn send_now(&self, state: &mut State, id: u32, body: &[u8]) -> Result<bool, RequestError> {
        let sent = if body.len() > SMALL {
            let (head, id_bytes) = (frame::head(4 + body.len()), id.to_be_bytes());
            let sent =
                socket::send(&self.socket, &[IoSlice::new(&head), IoSlice::new(&id_bytes), IoSlice::new(body)]);
            let written = *sent.as_ref().unwrap_or(&0);
            if written < HEAD + 4 + body.len() {
                state.line.push(id, body, written);
            }
            sent
        } else {
            state.line.push(id, body, 0);
            let Some(mut piece) = state.line.take() else { return Ok(false) };
            let sent = socket::send(&self.socket, &[IoSlice::new(piece.rest())]);
            piece.wrote(*sent.as_ref().unwrap_or(&0));
            state.line.put_back(piece);
            sent
        };
        match sent {
            Ok(sent) => Ok(sent > 0),
            Err(Errno::AGAIN) => Ok(false),
            Err(_) => {
                state.end();
                Err(RequestError::NotSent)
            }
        }
    }

    /// Until when a request waits as things stand: shorter, as long as nobody has greeted.
    fn limit(&self, phase: Phase, deadline: Instant) -> Instant {
        if phase == Phase::Greeting { deadline.min(self.connected + CONNECT_WAIT) } else { deadline }
    }

    /// Until when that request waits as things stand.
    pub(super) fn limit_of(&self, state: &State, id: u32) -> Option<Instant> {
        state.seats.get(&id).map(|seat| self.limit(state.phase(), seat.deadline))
    }

    /// Writes what waits in line; whether all of it went out. Its caller holds `flushing`.
    pub(super) fn flush(&self) -> Result<bool, Errno> {
        let mut state = self.lock();
        loop {
            if state.phase() == Phase::Greeting {
                return Ok(state.line.is_empty());
            }
            let Some(mut piece) = state.take_piece() else { return Ok(true) };
            drop(state);
            let sent = socket::send(&self.socket, &[IoSlice::new(piece.rest())]);
            piece.wrote(*sent.as_ref().unwrap_or(&0));
            state = self.lock();
            state.put_back(piece);
            match sent {
                Ok(_) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => {
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
        match socket::receive_for(decoder, &self.socket, buffer, wait) {
            Err(Errno::AGAIN) => Read::Nothing,
            Err(_) | Ok((0, _)) => self.over(),
            Ok((_, more)) => match self.deliver(decoder, buffer) {
                Ok(served) => Read::Replies { served, more },
                Err(frame::Malformed) => self.over(),
            },
        }
    }

    fn over(&self) -> Read {
        self.lock().note_loss();
        self.close();
        Read::End
    }

    fn deliver(&self, decoder: &mut Decoder, mut input: &[u8]) -> Result<usize, frame::Malformed> {
        let mut replies = Vec::new();
        // Where it breaks the protocol, what came before that counts.
        let broken = loop {
            match decoder.next(&mut input) {
                Ok(None) => break None,
                Ok(Some(Found::Greeting)) => self.lock().enter(Phase::Open),
                Ok(Some(Found::Message(message))) => match frame::reply_id(&message) {
                    Ok(id) => replies.push((id, Body::after(message, 4))),
                    Err(malformed) => break Some(malformed),
                },
                Err(malformed) => break Some(malformed),
            }
        };
        let served = replies.len();
        let mut state = self.lock();
        let woken: Vec<Waker> = replies.into_iter().filter_map(|(id, body)| state.seat(id, Ok(body))).collect();
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        broken.map_or(Ok(served), Err)
    }

    /// Ends the connection: who waits is told whether its request may have been received.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.enter(Phase::Closed);
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
        let (phase, mut woken, mut alarm) = (state.phase(), Vec::new(), None::<Instant>);
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
        state.seats.retain(|_, seat| seat.waits || seat.outcome.is_none());
        state.alarm = alarm;
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Looks for replies, where many are waited for and until somebody wants to send something.
    ///
    /// For the task that drives the connection, when nobody else has anything to do on its thread.
    pub(super) fn look(&self) -> Option<Read> {
        let state = self.lock();
        // Whose time is over is told so, however much comes for the others.
        let is_due = state.alarm.is_some_and(|at| at <= Instant::now());
        if is_due || state.seats.len() < MANY || !state.line.is_empty() || state.phase() != Phase::Open {
            return None;
        }
        self.wanted.store(false, Ordering::Relaxed);
        drop(state);
        let looked = self.spin.look(|| match self.read(Wait::No) {
            Read::Nothing if self.wanted.load(Ordering::Relaxed) => Some(Read::Nothing),
            Read::Nothing => None,
            read => Some(read),
        });
        looked.filter(|read| *read != Read::Nothing)
    }

    /// The outcome of a request, where there is one; else that one is woken when there is.
    pub(super) fn outcome(&self, id: u32, waker: &Waker) -> Option<Outcome> {
        self.lock().outcome(id, Some(waker))
    }

    pub(super) fn is_open(&self) -> bool {
        self.shown.phase() == Phase::Open
    }

    pub(super) fn is_lost(&self) -> bool {
        self.shown.is_lost()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.shown.phase() == Phase::Closed
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.shown.phase(), Phase::Ending | Phase::Closed)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// A connection with so many requests under way, all of which were answered.
    fn answered(requests: usize, deadline: Instant) -> Pending {
        let (socket, mut other) = UnixStream::pair().unwrap();
        let pending = Pending::new(socket.into());
        other.write_all(&REPLIER).unwrap();
        assert_eq!(pending.read(Wait::No), Read::Replies { served: 0, more: false });
        for _ in 0..requests {
            let id = pending.begin(b"", deadline, Some(Waker::noop())).unwrap();
            other.write_all(&[&frame::head(4)[..], &id.to_be_bytes()].concat()).unwrap();
        }
        pending
    }

    #[test]
    fn replies_to_many_are_looked_for() {
        let pending = answered(MANY, Instant::now() + LONG);
        assert_eq!(pending.look(), Some(Read::Replies { served: MANY, more: false }));
    }

    #[test]
    fn nobody_looks_where_few_wait_or_something_is_to_be_sent_or_told() {
        assert_eq!(answered(MANY - 1, Instant::now() + LONG).look(), None);
        // This one is not alone, and has not gone out at once.
        assert_eq!(answered(MANY + 1, Instant::now() + LONG).look(), None);
        let late = answered(MANY, Instant::now());
        assert_eq!(late.look(), None);
        late.expire(Instant::now());
        assert_eq!(late.lock().alarm, None);
        assert_eq!(late.look(), Some(Read::Replies { served: MANY, more: false }));
    }
}

//! What a worker does with a connection: reads, hands out, and sends what was answered.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use tokio::runtime::Handle;

use super::connection::{Connection, Flushed, Read};
use super::crew::{AttendantSlot, Crew, Turn, Worker};
use super::incoming::Incoming;
use super::lock;
use super::pending::SCRATCH;
use super::socket::Wait;

/// How much time a connection may be handed on without its replies being sent: the other side is to have something
/// to do meanwhile. Less costs writes, more has the two sides work in turn (`docs/decisions/0028`).
const HELD_BACK: Duration = Duration::from_micros(30);

/// How long a connection that always has more is gone on with before others get a turn.
const TURN: Duration = Duration::from_millis(1);

impl Crew {
    pub(super) fn attend_to(
        self: &Arc<Self>,
        key: u64,
        flags: EventFlags,
        me: &Arc<Worker>,
        buffer: &mut Vec<u8>,
    ) -> bool {
        let Some(connection) = self.door.find(key) else { return true };
        if flags.intersects(EventFlags::HUP | EventFlags::ERR) {
            self.close(&connection);
            return true;
        }
        if flags.contains(EventFlags::OUT) {
            self.flushed(&connection, connection.flush());
        }
        if flags.contains(EventFlags::IN) {
            self.staying.heard(key);
        }
        if flags.contains(EventFlags::RDHUP) {
            connection.input_ends();
        }
        !connection.claim() || self.go_on(&connection, me, buffer)
    }

    /// Goes on with a connection whose claim this worker holds; whether the worker still has its place.
    pub(super) fn go_on(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        me: &Arc<Worker>,
        buffer: &mut Vec<u8>,
    ) -> bool {
        if buffer.capacity() == 0 {
            buffer.reserve_exact(SCRATCH);
        }
        connection.gather();
        let mut more = true;
        let mut since = None;
        loop {
            let handed_out = self.hand_out(connection, me);
            match handed_out {
                HandedOut::TakenOver => return false,
                HandedOut::Malformed => {
                    self.leave(connection);
                    self.close(connection);
                    return true;
                }
                HandedOut::All | HandedOut::Waits => {}
            }
            if handed_out == HandedOut::All && (more || self.stays_with(connection)) {
                self.flushed(connection, connection.flush());
                let wait = if more { Wait::No } else { Wait::Yes };
                if wait == Wait::Yes {
                    since = None;
                }
                match connection.read(buffer, wait) {
                    Read::Some { more: left, begun } => {
                        if let Some(begun) = begun {
                            self.remind(connection, begun + self.limits.frame);
                        }
                        // Where it was short, the next bytes are an event of their own; the end may have been in the
                        // same event.
                        more = left || connection.is_input_ending();
                        if left && since.get_or_insert_with(Instant::now).elapsed() > TURN {
                            self.put_off(connection);
                            return true;
                        }
                        continue;
                    }
                    Read::Nothing if wait == Wait::No && self.stays_with(connection) => {
                        more = false;
                        continue;
                    }
                    Read::Nothing => {}
                    Read::End => return self.last_of(connection, me),
                }
            }
            self.flushed(connection, connection.stop_gathering());
            self.leave(connection);
            if connection.release() {
                return true;
            }
            more = true;
            connection.gather();
        }
    }

    /// Lets those that wait go first; gives the claim back.
    fn put_off(&self, connection: &Arc<Connection>) {
        self.flushed(connection, connection.stop_gathering());
        self.leave(connection);
        // Who wants it looked at again has that.
        while !connection.release() {}
        self.call(Arc::clone(connection));
    }

    /// What came before the end is handed out, and answered where it can be answered at once.
    fn last_of(self: &Arc<Self>, connection: &Arc<Connection>, me: &Arc<Worker>) -> bool {
        if self.hand_out(connection, me) == HandedOut::TakenOver {
            return false;
        }
        self.leave(connection);
        self.flushed(connection, connection.stop_gathering());
        if self.door.is_closed() {
            // It is this side that takes no more, and the other one still reads.
            connection.close_when_done();
            self.close_if_done(connection);
        } else {
            self.close(connection);
        }
        true
    }

    /// Hands out what has been read.
    fn hand_out(self: &Arc<Self>, connection: &Arc<Connection>, me: &Arc<Worker>) -> HandedOut {
        let attendant = self.attendant.get();
        let runtime = attendant.and_then(|attendant| attendant.runtime.as_ref());
        let mut entered = None;
        let mut since = Instant::now();
        while connection.has_next() {
            if connection.is_clogged() && self.is_clogged_still(connection) {
                return HandedOut::Waits;
            }
            if !self.seats.take(connection) {
                return HandedOut::Waits;
            }
            // Its drop gives the seat back.
            let body = match connection.next() {
                Ok(Some(body)) => body,
                nothing => {
                    self.leave_seat();
                    if nothing.is_err() {
                        return HandedOut::Malformed;
                    }
                    break;
                }
            };
            // Once for all of them.
            entered = entered.or_else(|| runtime.map(Handle::enter));
            let incoming = Incoming::new(body, Arc::clone(connection), Arc::clone(self));
            if !self.run(incoming, connection, (attendant, me)) {
                return HandedOut::TakenOver;
            }
            if since.elapsed() > HELD_BACK {
                self.flushed(connection, connection.flush());
                since = Instant::now();
            }
        }
        HandedOut::All
    }

    fn is_clogged_still(&self, connection: &Arc<Connection>) -> bool {
        self.flushed(connection, connection.flush());
        connection.is_clogged()
    }

    /// Runs a request here, or passes it on; whether this worker still has its place afterwards.
    fn run(
        &self,
        incoming: Incoming,
        connection: &Arc<Connection>,
        (attendant, me): (Option<&AttendantSlot>, &Worker),
    ) -> bool {
        let Some(attendant) = attendant else {
            // Refused only when nobody reads any more.
            let _ = self.incoming.send(incoming);
            return true;
        };
        self.alarm.tick();
        let mut post = lock(&me.post);
        post.begun += 1;
        post.busy = true;
        post.connection = Some(Arc::clone(connection));
        drop(post);
        // A panic is the attendant's to report; here it must not cost the crew a thread.
        let _ = catch_unwind(AssertUnwindSafe(|| (attendant.attend)(incoming, &Turn(me))));
        let mut post = lock(&me.post);
        post.busy = false;
        let if_slow = post.if_slow.take();
        let still_here = post.connection.take().is_some();
        drop(post);
        drop(if_slow);
        still_here
    }

    /// What follows from a try to write.
    pub(super) fn flushed(&self, connection: &Arc<Connection>, flushed: Flushed) {
        match flushed {
            Flushed::Done => self.close_if_done(connection),
            Flushed::Stuck => self.remind(connection, Instant::now() + self.limits.unread),
            Flushed::Broken => self.close(connection),
        }
    }

    pub(super) fn close_if_done(&self, connection: &Connection) {
        if self.door.is_closed() && connection.is_done() {
            self.close(connection);
        }
    }
}

/// How far a worker came with what it had read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HandedOut {
    All,
    /// The rest is for whoever is called when there is room.
    Waits,
    /// Another worker has the connection now.
    TakenOver,
    Malformed,
}

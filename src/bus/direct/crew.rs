//! The threads of a replier: they wait for its sockets, read, and run what answers at once.
//!
//! Each worker takes one event at a time, so that nothing waits behind a handler but the rest of its own connection.
//! A worker says when it goes into a handler; the one who stands by (`standby`) looks now and then, takes the
//! connection of a worker that does not come out again, goes on with it in its place, and has somebody else
//! stand by. So a handler may take as long as it likes and costs the others two milliseconds, once.

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with, sockopt};
use tokio::sync::mpsc;

use super::connection::{Connection, Flushed, Incoming, Read};
use super::frame::REPLIER;
use super::pending::SCRATCH;
use super::standby::{Alarm, LISTENER_PAUSE};
use super::{lock, socket};
use crate::bus::Peer;

/// What runs a request where it was read.
pub(in crate::bus) type Attendant = Box<dyn Fn(Incoming, &Turn<'_>) + Send + Sync>;

/// How long a thread that nobody needs stays.
const SPARE: Duration = Duration::from_secs(10);

/// How much time a connection may be handed on without its replies being sent.
const HELD_BACK: Duration = Duration::from_micros(100);

const LISTENER: u64 = 0;
const BELL: u64 = 1;
const FIRST_CONNECTION: u64 = 2;

/// How long a peer may take.
#[derive(Debug, Clone, Copy)]
pub(in crate::bus) struct Limits {
    /// For its greeting.
    pub(in crate::bus) greeting: Duration,
    /// For reading anything of the replies that wait for it.
    pub(in crate::bus) unread: Duration,
    /// Requests that are handed out and not yet answered.
    pub(in crate::bus) room: usize,
}

#[derive(Debug)]
pub(super) struct Crew {
    listener: OwnedFd,
    epoll: Arc<OwnedFd>,
    bell: OwnedFd,
    pub(super) alarm: Alarm,
    pub(super) limits: Limits,
    pub(super) stopped: AtomicBool,
    connections: Mutex<Connections>,
    /// Connections to go on with, for whichever worker hears the bell.
    ready: Mutex<VecDeque<Arc<Connection>>>,
    seats: Seats,
    incoming: mpsc::UnboundedSender<Incoming>,
    attendant: OnceLock<AttendantSlot>,
    pub(super) roster: Mutex<Roster>,
    pub(super) called: Condvar,
}

struct AttendantSlot(Attendant);

impl std::fmt::Debug for AttendantSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Attendant")
    }
}

#[derive(Debug, Default)]
struct Connections {
    by_key: HashMap<u64, Arc<Connection>>,
    last_key: u64,
}

/// Room for requests that are not yet answered.
#[derive(Debug, Default)]
struct Seats {
    taken: AtomicUsize,
    /// Connections with requests that found none.
    queue: Mutex<VecDeque<Arc<Connection>>>,
    queued: AtomicBool,
}

/// Who does what.
#[derive(Debug, Default)]
pub(super) struct Roster {
    pub(super) standing_by: bool,
    pub(super) spares: usize,
    pub(super) working: Vec<Arc<Worker>>,
    pub(super) wanted: usize,
}

/// What the one who stands by can see of a worker.
#[derive(Debug, Default)]
pub(super) struct Worker {
    pub(super) post: Mutex<Post>,
}

#[derive(Default)]
pub(super) struct Post {
    /// Requests begun; together with `busy` tells one from the next.
    pub(super) begun: u64,
    pub(super) busy: bool,
    /// Set for as long as the worker holds its claim; taken from one that holds it too long.
    pub(super) connection: Option<Arc<Connection>>,
    pub(super) if_slow: Option<Box<dyn FnOnce() + Send>>,
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Post").field("begun", &self.begun).field("busy", &self.busy).finish_non_exhaustive()
    }
}

/// The turn of a request that runs where it was read.
#[derive(Debug)]
pub(in crate::bus) struct Turn<'a>(&'a Worker);

impl Turn<'_> {
    /// What to do, on another thread, when the request is found to take long.
    pub(in crate::bus) fn if_slow(&self, then: impl FnOnce() + Send + 'static) {
        lock(&self.0.post).if_slow = Some(Box::new(then));
    }
}

impl Crew {
    pub(super) fn new(
        listener: OwnedFd,
        limits: Limits,
        incoming: mpsc::UnboundedSender<Incoming>,
    ) -> Result<Arc<Self>, Errno> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN | EventFlags::ONESHOT)?;
        epoll::add(&epoll, &bell, EventData::new_u64(BELL), EventFlags::IN | EventFlags::ET)?;
        let cores = thread::available_parallelism().map_or(2, usize::from);
        let roster = Roster { wanted: cores.min(4), ..Roster::default() };
        Ok(Arc::new(Self {
            listener,
            epoll: Arc::new(epoll),
            bell,
            alarm: Alarm::new()?,
            limits,
            stopped: AtomicBool::new(false),
            connections: Mutex::new(Connections { by_key: HashMap::new(), last_key: FIRST_CONNECTION }),
            ready: Mutex::default(),
            seats: Seats::default(),
            incoming,
            attendant: OnceLock::new(),
            roster: Mutex::new(roster),
            called: Condvar::new(),
        }))
    }

    /// Threads that wait for events.
    pub(super) fn places(&self) -> usize {
        lock(&self.roster).wanted
    }

    pub(super) fn attend(&self, attendant: Attendant) {
        let _ = self.attendant.set(AttendantSlot(attendant));
    }

    /// Starts one more thread; it finds its own work.
    pub(super) fn hire(self: &Arc<Self>) -> std::io::Result<()> {
        let crew = Arc::clone(self);
        thread::Builder::new().name("plugbus-lane".into()).spawn(move || crew.member()).map(drop)
    }

    /// The life of a thread of the crew.
    fn member(self: Arc<Self>) {
        while !self.stopped.load(Ordering::Acquire) {
            let mut roster = lock(&self.roster);
            if !roster.standing_by {
                roster.standing_by = true;
                drop(roster);
                if let Some((worker, connection)) = self.stand_by() {
                    self.work(&worker, Some(connection));
                }
            } else if roster.working.len() < roster.wanted {
                let worker = Arc::new(Worker::default());
                roster.working.push(Arc::clone(&worker));
                drop(roster);
                self.work(&worker, None);
            } else {
                roster.spares += 1;
                let waited = self.called.wait_timeout(roster, SPARE);
                let (mut roster, waited) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
                roster.spares -= 1;
                if waited.timed_out() && roster.standing_by {
                    return;
                }
            }
        }
        self.ring();
    }

    /// Serves events until the crew is stopped, or somebody else has taken this worker's place.
    fn work(self: &Arc<Self>, me: &Arc<Worker>, taken_over: Option<Arc<Connection>>) {
        let mut buffer = Vec::new();
        if let Some(connection) = taken_over
            && !self.go_on(&connection, me, &mut buffer)
        {
            return;
        }
        let mut events = Vec::with_capacity(1);
        while !self.stopped.load(Ordering::Acquire) {
            // One at a time: what else is ready is for the others.
            events.clear();
            if epoll::wait(&*self.epoll, spare_capacity(&mut events), None).is_err() {
                continue;
            }
            let Some(event) = events.first().copied() else { continue };
            let still_here = match event.data.u64() {
                LISTENER => {
                    self.accept();
                    true
                }
                BELL => self.answer_bell(me, &mut buffer),
                key => self.attend_to(key, event.flags, me, &mut buffer),
            };
            if !still_here {
                return;
            }
        }
        self.ring();
    }

    fn attend_to(self: &Arc<Self>, key: u64, flags: EventFlags, me: &Arc<Worker>, buffer: &mut Vec<u8>) -> bool {
        let found = lock(&self.connections).by_key.get(&key).cloned();
        let Some(connection) = found else { return true };
        if flags.intersects(EventFlags::HUP | EventFlags::ERR) {
            self.close(&connection);
            return true;
        }
        if flags.contains(EventFlags::OUT) {
            self.flushed(&connection, connection.flush());
        }
        !connection.claim() || self.go_on(&connection, me, buffer)
    }

    /// Goes on with a connection whose claim this worker holds; whether the worker still has its place.
    fn go_on(self: &Arc<Self>, connection: &Arc<Connection>, me: &Arc<Worker>, buffer: &mut Vec<u8>) -> bool {
        if buffer.capacity() == 0 {
            buffer.reserve_exact(SCRATCH);
        }
        connection.gather();
        let mut more = true;
        loop {
            let handed_out = self.hand_out(connection, me);
            match handed_out {
                HandedOut::TakenOver => return false,
                HandedOut::Malformed => {
                    self.close(connection);
                    return true;
                }
                HandedOut::All | HandedOut::Waits => {}
            }
            if handed_out == HandedOut::All && more {
                self.flushed(connection, connection.flush());
                match connection.read(buffer) {
                    Read::Some { more: left } => {
                        // Where it was short, the next bytes are an event of their own.
                        more = left;
                        continue;
                    }
                    Read::Nothing => {}
                    Read::End => return self.last_of(connection, me),
                }
            }
            self.flushed(connection, connection.stop_gathering());
            if connection.release() {
                return true;
            }
            more = true;
            connection.gather();
        }
    }

    /// What came before the end is handed out, and answered where it can be answered at once.
    fn last_of(self: &Arc<Self>, connection: &Arc<Connection>, me: &Arc<Worker>) -> bool {
        let taken_over = self.hand_out(connection, me) == HandedOut::TakenOver;
        self.flushed(connection, connection.stop_gathering());
        self.close(connection);
        !taken_over
    }

    /// Hands out what has been read.
    fn hand_out(self: &Arc<Self>, connection: &Arc<Connection>, me: &Arc<Worker>) -> HandedOut {
        let mut since = Instant::now();
        while connection.has_next() {
            if connection.is_clogged() && self.is_clogged_still(connection) {
                return HandedOut::Waits;
            }
            if !self.take_seat(connection) {
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
            let incoming = Incoming::new(body, Arc::clone(connection), Arc::clone(self));
            if !self.run(incoming, connection, me) {
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
    fn run(&self, incoming: Incoming, connection: &Arc<Connection>, me: &Worker) -> bool {
        let Some(AttendantSlot(attendant)) = self.attendant.get() else {
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
        let _ = catch_unwind(AssertUnwindSafe(|| attendant(incoming, &Turn(me))));
        let mut post = lock(&me.post);
        post.busy = false;
        let if_slow = post.if_slow.take();
        let still_here = post.connection.take().is_some();
        drop(post);
        drop(if_slow);
        still_here
    }

    /// A seat for a request of that connection; without one, it is called when there is one.
    fn take_seat(&self, connection: &Arc<Connection>) -> bool {
        let Seats { taken, queue, queued } = &self.seats;
        let take = || {
            let room = |seats| if seats < self.limits.room { Some(seats + 1) } else { None };
            taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, room).is_ok()
        };
        if take() {
            return true;
        }
        let mut waiting = lock(queue);
        waiting.push_back(Arc::clone(connection));
        queued.store(true, Ordering::SeqCst);
        // One may have been left before it could be seen that somebody waits.
        if take() {
            waiting.pop_back();
            queued.store(!waiting.is_empty(), Ordering::SeqCst);
            return true;
        }
        false
    }

    pub(super) fn leave_seat(&self) {
        let Seats { taken, queue, queued } = &self.seats;
        taken.fetch_sub(1, Ordering::SeqCst);
        if queued.load(Ordering::SeqCst) {
            let mut waiting = lock(queue);
            let next = waiting.pop_front();
            queued.store(!waiting.is_empty(), Ordering::SeqCst);
            drop(waiting);
            if let Some(next) = next {
                lock(&self.ready).push_back(next);
                self.ring();
            }
        }
    }

    /// What follows from a try to write.
    pub(super) fn flushed(&self, connection: &Arc<Connection>, flushed: Flushed) {
        match flushed {
            Flushed::Done => {}
            Flushed::Stuck => self.alarm.at(Instant::now() + self.limits.unread, connection.key),
            Flushed::Broken => self.close(connection),
        }
    }

    pub(super) fn ring(&self) {
        // Full only where it has been rung often enough.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    fn answer_bell(self: &Arc<Self>, me: &Arc<Worker>, buffer: &mut Vec<u8>) -> bool {
        let _ = rustix::io::read(&self.bell, &mut [0; 8]);
        let mut ready = lock(&self.ready);
        let next = ready.pop_front();
        if !ready.is_empty() {
            self.ring();
        }
        drop(ready);
        next.is_none_or(|connection| !connection.claim() || self.go_on(&connection, me, buffer))
    }

    fn accept(&self) {
        /// Before the others get a turn.
        const AT_ONCE: usize = 64;
        if self.stopped.load(Ordering::Acquire) {
            return;
        }
        for _ in 0..AT_ONCE {
            match accept_with(&self.listener, SocketFlags::CLOEXEC) {
                Ok(socket) => self.welcome(socket),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(error) => {
                    // No descriptors left, most likely: who waits goes on waiting, and nobody spins.
                    tracing::warn!(%error, "cannot accept a connection");
                    self.alarm.at(Instant::now() + LISTENER_PAUSE, LISTENER);
                    return;
                }
            }
        }
        self.listen_again();
    }

    fn listen_again(&self) {
        let flags = EventFlags::IN | EventFlags::ONESHOT;
        let _ = epoll::modify(&*self.epoll, &self.listener, EventData::new_u64(LISTENER), flags);
    }

    fn welcome(&self, socket: OwnedFd) {
        if socket::send(&socket, &[std::io::IoSlice::new(&REPLIER)]) != Ok(REPLIER.len()) {
            // Gone already.
            return;
        }
        let credentials = sockopt::socket_peercred(&socket).ok();
        let mut connections = lock(&self.connections);
        let key = connections.last_key;
        connections.last_key += 1;
        let peer = Peer {
            connection: u32::try_from(key & u64::from(u32::MAX)).unwrap_or_default(),
            pid: credentials.and_then(|of| of.pid.as_raw_nonzero().get().try_into().ok()),
            uid: credentials.map(|of| of.uid.as_raw()),
        };
        let connection = Arc::new(Connection::new(key, peer, socket, Arc::clone(&self.epoll)));
        connections.by_key.insert(key, Arc::clone(&connection));
        drop(connections);
        if connection.watch().is_err() {
            self.close(&connection);
        } else {
            self.alarm.at(Instant::now() + self.limits.greeting, key);
        }
    }

    pub(super) fn close(&self, connection: &Connection) {
        if connection.close() {
            lock(&self.connections).by_key.remove(&connection.key);
        }
    }

    /// Looks at what its time has come for.
    pub(super) fn look_after(&self, key: u64, now: Instant) {
        if key == LISTENER {
            self.listen_again();
            return;
        }
        let found = lock(&self.connections).by_key.get(&key).cloned();
        let Some(connection) = found else { return };
        match connection.deadline(&self.limits) {
            Some(deadline) if deadline <= now => self.close(&connection),
            Some(deadline) => self.alarm.at(deadline, key),
            None => {}
        }
    }

    /// Ends all threads that do not run a request, and every connection.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        // Who waits to be accepted is refused at once.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        let connections: Vec<_> = lock(&self.connections).by_key.values().cloned().collect();
        connections.iter().for_each(|connection| self.close(connection));
        self.ring();
        self.alarm.ring();
        // Under the lock, so that nobody is between looking and waiting.
        let roster = lock(&self.roster);
        self.called.notify_all();
        drop(roster);
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

//! The threads of a replier: they wait for its sockets, read, and run what answers at once.
//!
//! Each worker takes one event at a time, so that nothing waits behind a handler but the rest of its own connection
//! (`serving`). A worker says when it goes into a handler; the one who stands by (`standby`) looks now and then, takes
//! the connection of a worker that does not come out again, goes on with it in its place, and has somebody else
//! stand by. So a handler may take as long as it likes and costs the others two milliseconds, once.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::connection::Connection;
use super::door::Door;
use super::incoming::Incoming;
use super::lock;
use super::seats::Seats;
use super::standby::Alarm;
use super::staying::Staying;
use crate::bus::IfSlow;
use crate::bus::counterpart::Counterpart;

/// What runs a request where it was read.
pub(in crate::bus) type Attendant = Box<dyn Fn(Incoming, &Turn<'_>) + Send + Sync>;

/// How long a thread that nobody needs stays.
const SPARE: Duration = Duration::from_secs(10);

pub(super) const LISTENER: u64 = 0;
const BELL: u64 = 1;
const FIRST_CONNECTION: u64 = 2;

/// How long a peer may take.
#[derive(Debug, Clone, Copy)]
pub(in crate::bus) struct Limits {
    /// For its greeting.
    pub(in crate::bus) greeting: Duration,
    /// For the rest of a message that it has begun.
    pub(in crate::bus) frame: Duration,
    /// For reading anything of the replies that wait for it.
    pub(in crate::bus) unread: Duration,
    /// Requests that are handed out and not yet answered.
    pub(in crate::bus) room: usize,
}

#[derive(Debug)]
pub(super) struct Crew {
    epoll: Arc<OwnedFd>,
    bell: OwnedFd,
    pub(super) door: Door,
    pub(super) alarm: Alarm,
    pub(super) limits: Limits,
    pub(super) stopped: AtomicBool,
    /// Connections to go on with, for whichever worker hears the bell.
    ready: Mutex<VecDeque<Arc<Connection>>>,
    pub(super) seats: Seats,
    pub(super) staying: Staying,
    pub(super) incoming: mpsc::UnboundedSender<Incoming>,
    pub(super) attendant: OnceLock<AttendantSlot>,
    pub(super) roster: Mutex<Roster>,
    pub(super) called: Condvar,
}

pub(super) struct AttendantSlot {
    pub(super) attend: Attendant,
    /// Where it is to be called.
    pub(super) runtime: Option<Handle>,
}

impl std::fmt::Debug for AttendantSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Attendant")
    }
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
    pub(super) if_slow: Option<Arc<dyn IfSlow>>,
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Post").field("begun", &self.begun).field("busy", &self.busy).finish_non_exhaustive()
    }
}

/// The turn of a request that runs where it was read.
#[derive(Debug)]
pub(in crate::bus) struct Turn<'a>(pub(super) &'a Worker);

impl Turn<'_> {
    /// What to do, on another thread, when the request is found to take long.
    pub(in crate::bus) fn if_slow(&self, then: Arc<dyn IfSlow>) {
        lock(&self.0.post).if_slow = Some(then);
    }
}

impl Crew {
    pub(super) fn new(
        listener: (OwnedFd, Counterpart),
        limits: Limits,
        incoming: mpsc::UnboundedSender<Incoming>,
    ) -> Result<Arc<Self>, Errno> {
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?);
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&*epoll, &bell, EventData::new_u64(BELL), EventFlags::IN | EventFlags::ET)?;
        let cores = thread::available_parallelism().map_or(2, usize::from);
        // One may stay with a connection, and another one has to wait for everybody else.
        let roster = Roster { wanted: cores.clamp(2, 4), ..Roster::default() };
        Ok(Arc::new(Self {
            door: Door::new(listener, Arc::clone(&epoll), FIRST_CONNECTION)?,
            epoll,
            bell,
            alarm: Alarm::new()?,
            limits,
            stopped: AtomicBool::new(false),
            ready: Mutex::default(),
            seats: Seats::new(limits.room),
            staying: Staying::default(),
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

    pub(super) fn attend(&self, attend: Attendant) {
        let _ = self.attendant.set(AttendantSlot { attend, runtime: Handle::try_current().ok() });
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
        let still_here = next.is_none_or(|connection| !connection.claim() || self.go_on(&connection, me, buffer));
        self.call_next();
        still_here
    }

    pub(super) fn leave_seat(&self) {
        self.seats.leave();
        self.call_next();
    }

    /// Has a connection that waits for a seat gone on with, where there is one.
    fn call_next(&self) {
        if let Some(next) = self.seats.next() {
            self.call(next);
        }
    }

    /// Has a connection gone on with, after those that were called before.
    pub(super) fn call(&self, connection: Arc<Connection>) {
        lock(&self.ready).push_back(connection);
        self.ring();
    }

    /// Ends all threads that do not run a request, and every connection.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.door.close();
        self.door.everybody().iter().for_each(|connection| self.close(connection));
        self.ring();
        self.alarm.ring();
        // Under the lock, so that nobody is between looking and waiting.
        let roster = lock(&self.roster);
        self.called.notify_all();
        drop(roster);
    }
}

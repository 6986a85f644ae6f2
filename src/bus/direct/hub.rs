//! One socket to which many are connected, and that speaks to all of them at once: what SURVEYOR and PUB share.
//!
//! Whoever speaks writes to each connection on its own thread, as much as the connections take at once: one that does not
//! read misses what it has no room for, and nobody waits for it. One thread lets people in, reads what they say and
//! notices who leaves.

use std::collections::{HashMap, VecDeque};
use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{Shutdown, SocketFlags, accept_with, shutdown};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};

use super::frame::{Decoder, Found, Greetings, Malformed};
use super::lock;
use super::replier::GREETING;
use super::socket::{self, SocketFile, Wait};
use super::standby::LISTENER_PAUSE;
use crate::bus::counterpart::Counterpart;
use crate::bus::crowd::Crowd;
use crate::bus::{BusError, Endpoint, Guests, Peer};

/// What one read takes at most.
const SCRATCH: usize = 16 * 1024;

/// Reports that are looked at in one go, and connections that are let in before the others get a turn.
const AT_ONCE: usize = 64;

/// Keys of the two descriptors that are no connections, whose keys have 32 bits.
const LISTENER: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;

/// What is made of that which the connections do; called on the hub's thread, and may not block.
pub(super) trait Ears: Send + 'static {
    /// Somebody has greeted.
    fn joined(&mut self, _peer: Peer) {}

    /// Somebody who had greeted is gone.
    fn left(&mut self, _peer: Peer) {}

    /// Somebody has sent a message; an error has it hung up on.
    fn heard(&mut self, peer: Peer, message: Vec<u8>) -> Result<(), Malformed>;

    /// The time that was set is over.
    fn time_is_up(&mut self) {}
}

/// The socket, and everybody who is connected to it; dropped, the socket's file is gone.
#[derive(Debug)]
pub(super) struct Hub {
    shared: Arc<Shared>,
    file: SocketFile,
}

#[derive(Debug)]
struct Shared {
    listener: OwnedFd,
    counterpart: Counterpart,
    greetings: Greetings,
    epoll: OwnedFd,
    timer: OwnedFd,
    inside: Mutex<Inside>,
    ended: AtomicBool,
}

#[derive(Debug, Default)]
struct Inside {
    by_key: HashMap<u32, Arc<Member>>,
    crowd: Crowd,
    last_key: u32,
}

#[derive(Debug)]
struct Member {
    peer: Peer,
    socket: OwnedFd,
    greeted: AtomicBool,
    decoder: Mutex<Decoder>,
}

impl Hub {
    /// Listens, and has a thread of that name hear what comes.
    pub(super) fn open(
        name: &str,
        endpoint: &Endpoint,
        guests: &Guests,
        greetings: Greetings,
        ears: impl Ears,
    ) -> Result<Self, BusError> {
        let refused = |error| socket::refused(endpoint, error);
        let listener = socket::listen(endpoint.path()).map_err(refused)?;
        let file = SocketFile::of(endpoint.path());
        let counterpart = Counterpart::at(endpoint).welcoming(guests);
        let shared = Arc::new(Shared::new(listener, counterpart, greetings).map_err(refused)?);
        let hearing = Hearing { shared: Arc::clone(&shared), ears, newcomers: VecDeque::new(), closed_until: None };
        let thread = thread::Builder::new().name(name.into()).spawn(move || hearing.run());
        thread.map_err(|error| BusError::transport("start a thread for", endpoint, error))?;
        Ok(Self { shared, file })
    }

    /// Sends a frame to everybody who has greeted.
    pub(super) fn tell(&self, frame: &[u8]) {
        let inside = lock(&self.shared.inside);
        for member in inside.by_key.values().filter(|member| member.greeted.load(Ordering::Acquire)) {
            match socket::send(&member.socket, &[IoSlice::new(frame)]) {
                // What would come next would be taken for the rest of this.
                Ok(sent) if sent < frame.len() => drop(shutdown(&member.socket, Shutdown::Both)),
                // It has not read for long, and misses this one; or it is gone, which is heard.
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Has it said when that time is over; an earlier one is not heard of any more.
    pub(super) fn say_after(&self, time: Duration) -> Result<(), Errno> {
        let it_interval = socket::timespec(Duration::ZERO);
        // Nothing at all would never come.
        let it_value = socket::timespec(time.max(Duration::from_nanos(1)));
        let timer = Itimerspec { it_interval, it_value };
        timerfd_settime(&self.shared.timer, TimerfdTimerFlags::empty(), &timer).map(drop)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // First, so that nobody finds a file at which nobody listens; and here, so that it is gone when this is.
        self.file.remove();
        self.shared.ended.store(true, Ordering::Release);
        // Wakes the thread, which closes the rest.
        let _ = shutdown(&self.shared.listener, Shutdown::Both);
    }
}

impl Shared {
    fn new(listener: OwnedFd, counterpart: Counterpart, greetings: Greetings) -> Result<Self, Errno> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN)?;
        let (inside, ended) = (Mutex::default(), AtomicBool::new(false));
        Ok(Self { listener, counterpart, greetings, epoll, timer, inside, ended })
    }

    fn find(&self, key: u32) -> Option<Arc<Member>> {
        lock(&self.inside).by_key.get(&key).cloned()
    }

    /// Lets somebody in, and says under which key.
    fn welcome(&self, socket: OwnedFd) -> Option<u32> {
        let mut inside = lock(&self.inside);
        let (uid, pid) = socket::welcome(&socket, &self.counterpart, &mut inside.crowd, &self.greetings.own)?;
        inside.last_key = inside.last_key.wrapping_add(1);
        let key = inside.last_key;
        if epoll::add(&self.epoll, &socket, EventData::new_u64(key.into()), EventFlags::IN).is_err() {
            inside.crowd.leave(pid);
            return None;
        }
        let peer = Peer { connection: key, pid, uid };
        let decoder = Mutex::new(Decoder::new(self.greetings.theirs));
        inside.by_key.insert(key, Arc::new(Member { peer, socket, greeted: AtomicBool::new(false), decoder }));
        Some(key)
    }
}

/// The thread that lets people in and hears what they say.
struct Hearing<E> {
    shared: Arc<Shared>,
    ears: E,
    /// Who was let in when, until the time for greetings is over.
    newcomers: VecDeque<(Instant, u32)>,
    /// No descriptor was left for another one: nobody is let in until then.
    closed_until: Option<Instant>,
}

impl<E: Ears> Hearing<E> {
    fn run(mut self) {
        let (mut reports, mut buffer) = (Vec::<Event>::with_capacity(AT_ONCE), Vec::with_capacity(SCRATCH));
        while !self.shared.ended.load(Ordering::Acquire) {
            reports.clear();
            let timeout = self.next_look().map(socket::timespec);
            match epoll::wait(&self.shared.epoll, spare_capacity(&mut reports), timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "nobody at the endpoint is heard any more");
                    return;
                }
            }
            for report in &reports {
                let key = report.data.u64();
                match (key, u32::try_from(key)) {
                    (LISTENER, _) => self.accept(),
                    (TIMER, _) => self.hear_the_timer(),
                    (_, Ok(key)) => self.hear(key, &mut buffer),
                    (_, Err(_)) => {}
                }
            }
            self.look_at_the_clock(Instant::now());
        }
    }

    fn next_look(&self) -> Option<Duration> {
        let greeting = self.newcomers.front().map(|(since, _)| *since + GREETING);
        let next = greeting.into_iter().chain(self.closed_until).min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    fn look_at_the_clock(&mut self, now: Instant) {
        if self.closed_until.is_some_and(|until| until <= now) {
            self.closed_until = None;
            self.heed_the_listener(EventFlags::IN);
        }
        while let Some((since, key)) = self.newcomers.front().copied()
            && since + GREETING <= now
        {
            self.newcomers.pop_front();
            if self.shared.find(key).is_some_and(|member| !member.greeted.load(Ordering::Acquire)) {
                self.forget(key);
            }
        }
    }

    fn heed_the_listener(&self, flags: EventFlags) {
        let _ = epoll::modify(&self.shared.epoll, &self.shared.listener, EventData::new_u64(LISTENER), flags);
    }

    fn accept(&mut self) {
        for _ in 0..AT_ONCE {
            match accept_with(&self.shared.listener, SocketFlags::CLOEXEC) {
                Ok(socket) => {
                    let key = self.shared.welcome(socket);
                    self.newcomers.extend(key.map(|key| (Instant::now(), key)));
                }
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(Errno::AGAIN) => return,
                // Shut down at the end.
                Err(_) if self.shared.ended.load(Ordering::Acquire) => return,
                Err(error) => {
                    // No descriptors left, most likely: who waits goes on waiting, and nobody spins.
                    tracing::warn!(%error, "cannot accept a connection");
                    self.closed_until = Some(Instant::now() + LISTENER_PAUSE);
                    self.heed_the_listener(EventFlags::empty());
                    return;
                }
            }
        }
    }

    fn hear_the_timer(&mut self) {
        // Only what is read is not reported again; nothing to read means that another time was set meanwhile.
        if rustix::io::read(&self.shared.timer, &mut [0; 8]).is_ok() {
            self.ears.time_is_up();
        }
    }

    fn hear(&mut self, key: u32, buffer: &mut Vec<u8>) {
        let Some(member) = self.shared.find(key) else { return };
        buffer.clear();
        let mut decoder = lock(&member.decoder);
        let understood = match socket::receive_for(&mut decoder, &member.socket, buffer, Wait::No) {
            Err(Errno::AGAIN) => Ok(()),
            Err(_) | Ok((0, _)) => Err(Malformed),
            Ok(_) => self.understand(&member, &mut decoder, buffer),
        };
        drop(decoder);
        if understood.is_err() {
            drop(member);
            self.forget(key);
        }
    }

    fn understand(&mut self, member: &Member, decoder: &mut Decoder, mut input: &[u8]) -> Result<(), Malformed> {
        loop {
            match decoder.next(&mut input)? {
                None => return Ok(()),
                Some(Found::Greeting) => {
                    member.greeted.store(true, Ordering::Release);
                    self.ears.joined(member.peer);
                }
                Some(Found::Message(message)) => self.ears.heard(member.peer, message)?,
            }
        }
    }

    fn forget(&mut self, key: u32) {
        let mut inside = lock(&self.shared.inside);
        let Some(gone) = inside.by_key.remove(&key) else { return };
        inside.crowd.leave(gone.peer.pid);
        drop(inside);
        if gone.greeted.load(Ordering::Acquire) {
            self.ears.left(gone.peer);
        }
    }
}

impl<E> Drop for Hearing<E> {
    fn drop(&mut self) {
        // Before the ears are dropped, which tells that all is closed; who owns the hub keeps the rest of it.
        lock(&self.shared.inside).by_key.clear();
    }
}

//! One connection of a replier: what has come in, what goes out, and whose turn it is.
//!
//! One thread at a time reads it and hands its requests out (`claim`). Replies come from any thread: they go out at
//! once, except that those made on the claiming thread itself are gathered until it has nothing left to hand out.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use tokio::sync::watch;

use super::crew::Limits;
use super::frame::{self, Decoder, Found, Malformed, REQUESTER};
use super::lock;
use super::outbound::{GATHERED, Outbound};
use super::socket::{self, Wait};
use super::spin::Spin;
use crate::bus::{Body, Outgoing, Peer};

/// A reply of more than this is not copied to those that wait.
pub(super) const LARGE: usize = 16 * 1024;

/// Unread replies past which a peer's requests stay in its socket.
const UNREAD: usize = 256 * 1024;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) key: u64,
    pub(super) peer: Peer,
    socket: OwnedFd,
    epoll: Arc<OwnedFd>,
    claim: AtomicU8,
    spin: Spin,
    /// After what can still be read comes the end.
    input_ends: AtomicBool,
    inbound: Mutex<Inbound>,
    outbound: Mutex<Outbound>,
    pub(super) gone: watch::Sender<bool>,
    /// When the one who stands by will look at it.
    pub(super) reminder: Mutex<Option<Instant>>,
    /// Requests that were handed out and are not yet answered.
    pub(super) open: AtomicUsize,
}

/// Reported once each time something comes.
const INCOMING: EventFlags = EventFlags::IN.union(ENDING);

/// As long as somebody waits for what comes, only that nothing more will come.
const ENDING: EventFlags = EventFlags::RDHUP.union(EventFlags::ET);

/// Nobody reads.
const FREE: u8 = 0;
/// Somebody reads.
const CLAIMED: u8 = 1;
/// Somebody reads, and is to look again.
const AGAIN: u8 = 2;

#[derive(Debug)]
struct Inbound {
    decoder: Decoder,
    greeted: bool,
    /// When it was accepted.
    since: Instant,
    /// Since when the rest of a message has been waited for.
    begun: Option<Instant>,
    /// Messages that have not yet been handed out: what one read brought, at most.
    pending: VecDeque<Vec<u8>>,
    /// It broke the protocol: nothing more is read.
    broken: bool,
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// Something; there may be more where it is said.
    Some {
        more: bool,
        /// A message was begun, and somebody has to see to it that it ends.
        begun: Option<Instant>,
    },
    Nothing,
    /// The connection is over, or of no more use.
    End,
}

/// What became of replies that were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flushed {
    /// They have left, or will by themselves.
    Done,
    /// The socket has become full.
    Stuck,
    /// Nobody will read it.
    Broken,
}

impl Connection {
    pub(super) fn new(key: u64, peer: Peer, socket: OwnedFd, epoll: Arc<OwnedFd>) -> Self {
        let inbound = Inbound {
            decoder: Decoder::new(REQUESTER),
            greeted: false,
            since: Instant::now(),
            begun: None,
            pending: VecDeque::new(),
            broken: false,
        };
        let (inbound, outbound) = (Mutex::new(inbound), Mutex::default());
        Self {
            key,
            peer,
            socket,
            epoll,
            claim: AtomicU8::new(FREE),
            spin: Spin::default(),
            input_ends: AtomicBool::new(false),
            inbound,
            outbound,
            gone: watch::Sender::new(false),
            reminder: Mutex::default(),
            open: AtomicUsize::new(0),
        }
    }

    /// Has its events reported from now on.
    pub(super) fn watch(&self) -> Result<(), Errno> {
        epoll::add(&*self.epoll, &self.socket, EventData::new_u64(self.key), INCOMING)
    }

    /// Has reported what is waited for as things stand: room only while the socket is full, as it then reports each
    /// read of its peer.
    fn watch_again(&self, outbound: &Outbound) {
        let mut events = if outbound.in_silence { ENDING } else { INCOMING };
        events.set(EventFlags::OUT, outbound.stuck.is_some());
        let _ = epoll::modify(&*self.epoll, &self.socket, EventData::new_u64(self.key), events);
    }

    /// Has what comes reported again, or not as long as it is waited for in [`read`](Self::read). Only
    /// with the claim.
    pub(super) fn report_incoming(&self, reported: bool) {
        let mut outbound = lock(&self.outbound);
        outbound.in_silence = !reported;
        self.watch_again(&outbound);
    }

    /// Whether the calling thread reads now; else whoever does looks once more.
    pub(super) fn claim(&self) -> bool {
        let claimed = |state| Some(if state == FREE { CLAIMED } else { AGAIN });
        self.claim.fetch_update(Ordering::AcqRel, Ordering::Acquire, claimed) == Ok(FREE)
    }

    /// Gives the claim back; refused where there is something to look at again.
    pub(super) fn release(&self) -> bool {
        let released = self.claim.compare_exchange(CLAIMED, FREE, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if !released {
            self.claim.store(CLAIMED, Ordering::Release);
        }
        released
    }

    /// To be called before a try to claim, for whoever has the claim to see it.
    pub(super) fn input_ends(&self) {
        self.input_ends.store(true, Ordering::Release);
    }

    pub(super) fn is_input_ending(&self) -> bool {
        self.input_ends.load(Ordering::Acquire)
    }

    /// Reads once. Only with the claim.
    pub(super) fn read(&self, buffer: &mut Vec<u8>, wait: Wait) -> Read {
        buffer.clear();
        // Not under the lock, where it waits.
        let waited = (wait == Wait::Yes).then(|| self.wait_for_input(buffer));
        let mut inbound = lock(&self.inbound);
        let Inbound { decoder, greeted, begun, pending, broken, .. } = &mut *inbound;
        if *broken {
            return Read::End;
        }
        let received = match waited {
            Some(waited) => waited.map(|length| (length, buffer.len() == buffer.capacity())),
            None => socket::receive_for(decoder, &self.socket, buffer, wait),
        };
        let more = match received {
            Err(Errno::AGAIN) => return Read::Nothing,
            Err(_) | Ok((0, _)) => return Read::End,
            Ok((_, more)) => more,
        };
        let mut input = &buffer[..];
        loop {
            match decoder.next(&mut input) {
                Ok(None) => {
                    if !decoder.is_within() {
                        *begun = None;
                    } else if begun.is_none() || !pending.is_empty() {
                        // The one before it has ended meanwhile, perhaps: its time begins anew.
                        *begun = Some(Instant::now());
                        return Read::Some { more, begun: *begun };
                    }
                    return Read::Some { more, begun: None };
                }
                Ok(Some(Found::Greeting)) => *greeted = true,
                Ok(Some(Found::Message(message))) => pending.push_back(message),
                Err(Malformed) => {
                    *broken = true;
                    return Read::End;
                }
            }
        }
    }

    /// Reads, and waits for something to read.
    fn wait_for_input(&self, buffer: &mut Vec<u8>) -> Result<usize, Errno> {
        let look = || Some(socket::receive(&self.socket, buffer, Wait::No)).filter(|read| *read != Err(Errno::AGAIN));
        let looked = self.spin.look(look);
        looked.unwrap_or_else(|| socket::receive(&self.socket, buffer, Wait::Yes))
    }

    /// The next request to hand out, with where its header ends. Only with the claim.
    pub(super) fn next(&self) -> Result<Option<Body>, Malformed> {
        let mut inbound = lock(&self.inbound);
        while let Some(message) = inbound.pending.pop_front() {
            if let Some(begun) = &mut inbound.begun {
                // As long as what came before it waits here, nobody reads on.
                *begun = Instant::now();
            }
            if let Some(end) = frame::split_request(&message)? {
                return Ok(Some(Body::after(message, end)));
            }
        }
        if inbound.pending.capacity() > 64 {
            inbound.pending = VecDeque::new();
        }
        Ok(None)
    }

    pub(super) fn has_next(&self) -> bool {
        !lock(&self.inbound).pending.is_empty()
    }

    /// Whether so much waits to be read by the peer that its requests have to wait too.
    pub(super) fn is_clogged(&self) -> bool {
        lock(&self.outbound).waiting() > UNREAD
    }

    /// From now on replies made on this thread are gathered; the others go out at once.
    pub(super) fn gather(&self) {
        lock(&self.outbound).gathers = Some(thread::current().id());
    }

    /// Writes a reply, or lets it wait for those that follow.
    pub(super) fn reply(&self, header: &[u8], body: Outgoing<'_>) -> Flushed {
        let mut outbound = lock(&self.outbound);
        if outbound.closed {
            return Flushed::Done;
        }
        if outbound.is_empty() && body.len() > LARGE {
            // Straight from where it is: a large result is not copied first.
            let head = frame::head(header.len() + body.len());
            match socket::send(&self.socket, &[IoSlice::new(&head), IoSlice::new(header), IoSlice::new(&body)]) {
                Ok(sent) => outbound.push(header, body, sent),
                Err(Errno::AGAIN) => outbound.push(header, body, 0),
                Err(_) => return Flushed::Broken,
            }
            return self.flush_locked(&mut outbound);
        }
        outbound.push(header, body, 0);
        let gathers = outbound.gathers == Some(thread::current().id());
        if gathers && outbound.waiting() < GATHERED { Flushed::Done } else { self.flush_locked(&mut outbound) }
    }

    pub(super) fn flush(&self) -> Flushed {
        self.flush_locked(&mut lock(&self.outbound))
    }

    /// As [`flush`](Self::flush), and from now on each reply goes out at once.
    pub(super) fn stop_gathering(&self) -> Flushed {
        let mut outbound = lock(&self.outbound);
        outbound.gathers = None;
        self.flush_locked(&mut outbound)
    }

    fn flush_locked(&self, outbound: &mut Outbound) -> Flushed {
        while let Some(next) = outbound.next() {
            match socket::send(&self.socket, &[IoSlice::new(next)]) {
                Ok(sent) => {
                    outbound.wrote(sent);
                    if let Some(since) = &mut outbound.stuck {
                        *since = Instant::now();
                    }
                }
                Err(Errno::AGAIN) if outbound.stuck.is_some() => return Flushed::Done,
                Err(Errno::AGAIN) => {
                    outbound.stuck = Some(Instant::now());
                    self.watch_again(outbound);
                    return Flushed::Stuck;
                }
                Err(_) => return Flushed::Broken,
            }
        }
        if outbound.stuck.take().is_some() {
            self.watch_again(outbound);
        }
        Flushed::Done
    }

    /// The other side can send nothing any more, and is told so when it tries; what it has sent can be read.
    pub(super) fn end_input(&self) {
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Read);
    }

    /// Everything has been read and handed out.
    pub(super) fn close_when_done(&self) {
        lock(&self.outbound).ends = true;
    }

    /// Whether there is nothing left to answer and nothing left to send.
    pub(super) fn is_done(&self) -> bool {
        let outbound = lock(&self.outbound);
        outbound.ends && outbound.is_empty() && self.open.load(Ordering::SeqCst) == 0
    }

    /// Nobody is there any more; whether that is news.
    pub(super) fn close(&self) -> bool {
        let mut outbound = lock(&self.outbound);
        if std::mem::replace(&mut outbound.closed, true) {
            return false;
        }
        outbound.clear();
        outbound.stuck = None;
        drop(outbound);
        let _ = epoll::delete(&*self.epoll, &self.socket);
        // Requests that still run keep the descriptor; the peer is told now.
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
        self.gone.send_replace(true);
        true
    }

    /// When it is to be looked at again, if ever; in the past where its time is over.
    pub(super) fn deadline(&self, limits: &Limits) -> Option<Instant> {
        let inbound = lock(&self.inbound);
        let greeting = (!inbound.greeted).then_some(inbound.since + limits.greeting);
        // What waits to be handed out keeps it from being read, which is not its fault.
        let begun = if inbound.pending.is_empty() { inbound.begun } else { inbound.begun.map(|_| Instant::now()) };
        let frame = begun.map(|begun| begun + limits.frame);
        drop(inbound);
        let stuck = lock(&self.outbound).stuck.map(|since| since + limits.unread);
        greeting.into_iter().chain(frame).chain(stuck).min()
    }
}

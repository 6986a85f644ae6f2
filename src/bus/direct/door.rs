//! Who is let in, and everybody who is.
//!
//! At the end nobody is let in any more, and those who are in cannot send any more: whoever tries is told so by the
//! system, and knows that its request was not received. What had been sent before is still read and answered.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{Shutdown, SocketFlags, accept_with, shutdown, sockopt};
use tokio::sync::Notify;

use super::connection::Connection;
use super::crew::{Crew, LISTENER};
use super::frame::REPLIER;
use super::standby::LISTENER_PAUSE;
use super::staying::PATIENCE;
use super::{lock, socket};
use crate::bus::Peer;
use crate::bus::counterpart::Counterpart;
use crate::bus::crowd::Crowd;

#[derive(Debug)]
pub(super) struct Door {
    listener: OwnedFd,
    counterpart: Counterpart,
    epoll: Arc<OwnedFd>,
    closed: AtomicBool,
    inside: Mutex<Inside>,
    left: Notify,
}

#[derive(Debug)]
struct Inside {
    by_key: HashMap<u64, Arc<Connection>>,
    crowd: Crowd,
    next_key: u64,
}

impl Door {
    pub(super) fn new(
        (listener, counterpart): (OwnedFd, Counterpart),
        epoll: Arc<OwnedFd>,
        first_key: u64,
    ) -> Result<Self, Errno> {
        epoll::add(&*epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN | EventFlags::ONESHOT)?;
        let inside = Mutex::new(Inside { by_key: HashMap::new(), crowd: Crowd::default(), next_key: first_key });
        Ok(Self { listener, counterpart, epoll, closed: AtomicBool::new(false), inside, left: Notify::new() })
    }

    pub(super) fn find(&self, key: u64) -> Option<Arc<Connection>> {
        lock(&self.inside).by_key.get(&key).cloned()
    }

    pub(super) fn everybody(&self) -> Vec<Arc<Connection>> {
        lock(&self.inside).by_key.values().cloned().collect()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Lets nobody in any more, and has those who are in send nothing any more.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        // Whoever comes now is refused at once; those who stand in the line are hung up on.
        let _ = shutdown(&self.listener, Shutdown::Both);
        while !matches!(accept_with(&self.listener, SocketFlags::CLOEXEC), Err(error) if error != Errno::INTR) {}
        // Whoever is being let in at this moment sees that the door is closed.
        self.everybody().iter().for_each(|connection| connection.end_input());
    }

    /// Waits until everybody has left.
    pub(super) async fn until_empty(&self) {
        loop {
            // Registered before the look, so that the last one is not missed.
            let left = self.left.notified();
            if lock(&self.inside).by_key.is_empty() {
                return;
            }
            left.await;
        }
    }

    /// Somebody has left.
    pub(super) fn forget(&self, key: u64) {
        let mut inside = lock(&self.inside);
        // What it goes with is dropped without the lock.
        let gone = inside.by_key.remove(&key);
        if let Some(gone) = &gone {
            inside.crowd.leave(gone.peer.pid);
        }
        let empty = inside.by_key.is_empty();
        drop(inside);
        drop(gone);
        if empty && self.is_closed() {
            self.left.notify_waiters();
        }
    }

    /// Has the next one who knocks reported.
    pub(super) fn listen_again(&self) {
        let flags = EventFlags::IN | EventFlags::ONESHOT;
        let _ = epoll::modify(&*self.epoll, &self.listener, EventData::new_u64(LISTENER), flags);
    }

    fn greet(&self, socket: &OwnedFd) -> Option<(Option<u32>, Option<u32>)> {
        socket::welcome(socket, &self.counterpart, &mut lock(&self.inside).crowd, &REPLIER)
    }

    fn let_in(&self, socket: OwnedFd, (uid, pid): (Option<u32>, Option<u32>)) -> Arc<Connection> {
        let mut inside = lock(&self.inside);
        let key = inside.next_key;
        inside.next_key += 1;
        let number = u32::try_from(key & u64::from(u32::MAX)).unwrap_or_default();
        let peer = Peer { connection: number, pid, uid };
        let connection = Arc::new(Connection::new(key, peer, socket, Arc::clone(&self.epoll)));
        inside.by_key.insert(key, Arc::clone(&connection));
        connection
    }
}

impl Crew {
    /// Lets in who stands at the door.
    pub(super) fn accept(&self) {
        /// Before the others get a turn.
        const AT_ONCE: usize = 64;
        for _ in 0..AT_ONCE {
            if self.door.is_closed() {
                return;
            }
            match accept_with(&self.door.listener, SocketFlags::CLOEXEC) {
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
        self.door.listen_again();
    }

    fn welcome(&self, socket: OwnedFd) {
        let Some((uid, pid)) = self.door.greet(&socket) else { return };
        let _ = sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE));
        let connection = self.door.let_in(socket, (uid, pid));
        if connection.watch().is_err() {
            self.close(&connection);
            return;
        }
        self.remind(&connection, Instant::now() + self.limits.greeting);
        if self.door.is_closed() {
            connection.end_input();
        }
    }

    pub(super) fn close(&self, connection: &Connection) {
        if connection.close() {
            if let Some(when) = lock(&connection.reminder).take() {
                self.alarm.forget(when, connection.key);
            }
            self.door.forget(connection.key);
        }
    }

    /// Has a connection looked after then, or sooner: one reminder at a time is enough.
    pub(super) fn remind(&self, connection: &Connection, when: Instant) {
        let mut reminder = lock(&connection.reminder);
        match *reminder {
            Some(sooner) if sooner <= when => return,
            Some(later) => self.alarm.forget(later, connection.key),
            None => {}
        }
        *reminder = Some(when);
        self.alarm.at(when, connection.key);
    }

    /// Looks at what its time has come for.
    pub(super) fn look_after(&self, key: u64, now: Instant) {
        if key == LISTENER {
            self.door.listen_again();
            return;
        }
        let Some(connection) = self.door.find(key) else { return };
        // Before the look: what comes up later sets a reminder of its own.
        lock(&connection.reminder).take();
        match connection.deadline(&self.limits) {
            Some(deadline) if deadline <= now => self.close(&connection),
            Some(deadline) => self.remind(&connection, deadline),
            None => {}
        }
    }
}

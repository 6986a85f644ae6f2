//! Who is connected to a socket.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nng::{Pipe, PipeEvent, Socket};
use tokio::sync::{mpsc, watch};

use super::aio::{Fenced, bury};
use super::gate::Gate;
use super::library::{peer_credential, pipe_id};
use crate::bus::counterpart::Counterpart;
use crate::bus::crowd::Crowd;
use crate::bus::{Peer, PeerEvent};

/// The connections of one socket, kept by NNG's pipe events.
#[derive(Debug, Clone, Default)]
pub(super) struct Peers(Arc<Mutex<Connected>>);

#[derive(Debug, Default)]
struct Connected {
    /// Somebody has left.
    left: bool,
    pipes: HashMap<Pipe, (Peer, watch::Sender<bool>)>,
    crowd: Crowd,
    /// Whether there are any.
    presence: watch::Sender<bool>,
    /// The socket itself, where it is to be closed as soon as the last peer has left.
    closes: Option<(Fenced<Socket>, Arc<Gate>)>,
}

impl Peers {
    /// Watches a socket that does not yet listen or dial, and has connections of others than that counterpart closed;
    /// events that nobody reads in time are dropped.
    pub(super) fn watch(
        socket: &Socket,
        counterpart: Counterpart,
        events: Option<mpsc::Sender<PeerEvent>>,
    ) -> Result<Self, nng::Error> {
        let peers = Self::default();
        let of_callback = peers.clone();
        socket.pipe_notify(move |pipe, event| {
            let event = match event {
                // Before the first message can come, so that each message finds its peer.
                PipeEvent::AddPre => {
                    of_callback.add(pipe, &counterpart);
                    None
                }
                PipeEvent::AddPost => of_callback.peer(pipe).map(PeerEvent::Joined),
                PipeEvent::RemovePost => of_callback.remove(pipe).map(PeerEvent::Left),
                _ => None,
            };
            if let (Some(events), Some(event)) = (&events, event) {
                let _ = events.try_send(event);
            }
        })?;
        Ok(peers)
    }

    /// The peer behind a pipe, and a receiver that closes when it leaves; `None` when it has left.
    pub(super) fn get(&self, pipe: Pipe) -> Option<(Peer, watch::Receiver<bool>)> {
        self.lock().pipes.get(&pipe).map(|(peer, gone)| (*peer, gone.subscribe()))
    }

    /// The peer behind a pipe; `None` when it has left.
    pub(super) fn peer(&self, pipe: Pipe) -> Option<Peer> {
        self.lock().pipes.get(&pipe).map(|(peer, _)| *peer)
    }

    pub(super) fn len(&self) -> usize {
        self.lock().pipes.len()
    }

    /// Tells whether anybody is connected, now and whenever that changes.
    pub(super) fn presence(&self) -> watch::Receiver<bool> {
        self.lock().presence.subscribe()
    }

    /// Whether somebody was connected and nobody is.
    pub(super) fn have_left(&self) -> bool {
        let connected = self.lock();
        connected.left && connected.pipes.is_empty()
    }

    /// Has the socket closed as soon as the last peer has left, through that gate.
    pub(super) fn close_when_left(&self, socket: Socket, gate: &Arc<Gate>) {
        self.lock().closes = Some((Fenced::new(socket), Arc::clone(gate)));
    }

    /// Has the socket closed no later than all who hold it.
    pub(super) fn close_when_dropped(&self) {
        drop(self.lock().closes.take());
    }

    fn add(&self, pipe: Pipe, counterpart: &Counterpart) {
        let peer = Peer {
            connection: pipe_id(pipe),
            pid: peer_credential(pipe, nng_c_sys::NNG_OPT_PEER_PID),
            uid: peer_credential(pipe, nng_c_sys::NNG_OPT_PEER_UID),
        };
        if !counterpart.admits(peer.uid, peer.pid) {
            // Closed here, nothing that it says is ever read.
            pipe.close();
            return;
        }
        let mut connected = self.lock();
        if !connected.crowd.enter(peer.pid) {
            drop(connected);
            counterpart.refused(peer.pid, "too many");
            pipe.close();
            return;
        }
        connected.pipes.insert(pipe, (peer, watch::Sender::new(false)));
        connected.presence.send_replace(true);
    }

    fn remove(&self, pipe: Pipe) -> Option<Peer> {
        let mut connected = self.lock();
        connected.left = true;
        let removed = connected.pipes.remove(&pipe).map(|(peer, _)| peer);
        if let Some(peer) = removed {
            connected.crowd.leave(peer.pid);
        }
        connected.presence.send_replace(!connected.pipes.is_empty());
        if let (true, Some((socket, gate))) = (connected.pipes.is_empty(), connected.closes.take()) {
            bury(Box::new(move || gate.close(|| socket.close())));
        }
        removed
    }

    fn lock(&self) -> MutexGuard<'_, Connected> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

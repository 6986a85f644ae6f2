//! A request that was handed out, on its way to its answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::watch;

use super::connection::Connection;
use super::crew::Crew;
use crate::bus::{Body, Outgoing, Peer};

/// A request that waits for its answer; dropped without one, the other side gets none.
#[derive(Debug)]
pub(in crate::bus) struct Incoming {
    body: Body,
    connection: Arc<Connection>,
    crew: Arc<Crew>,
}

impl Incoming {
    /// The crew has given it one of its seats.
    pub(super) fn new(body: Body, connection: Arc<Connection>, crew: Arc<Crew>) -> Self {
        connection.open.fetch_add(1, Ordering::SeqCst);
        Self { body, connection, crew }
    }

    pub(in crate::bus) fn body(&self) -> &Body {
        &self.body
    }

    pub(in crate::bus) fn peer(&self) -> Peer {
        self.connection.peer
    }

    pub(in crate::bus) fn gone(&self) -> watch::Receiver<bool> {
        self.connection.gone.subscribe()
    }

    pub(in crate::bus) fn reply(self, body: Outgoing<'_>) {
        self.send(self.body.header(), body);
    }

    /// As [`reply`](Self::reply) with one after the other: to a connection, the head is more of what stands before a body.
    pub(in crate::bus) fn reply_in_two(self, head: &[u8], rest: Outgoing<'_>) {
        self.send(&[self.body.header(), head].concat(), rest);
    }

    fn send(&self, header: &[u8], body: Outgoing<'_>) {
        let flushed = self.connection.reply(header, body);
        self.crew.flushed(&self.connection, flushed);
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.connection.open.fetch_sub(1, Ordering::SeqCst);
        self.crew.close_if_done(&self.connection);
        self.crew.leave_seat();
    }
}

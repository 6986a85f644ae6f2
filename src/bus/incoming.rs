//! A message that was received and waits for its answer, on either lane.

use std::future::Future;

#[cfg(target_os = "linux")]
use super::direct;
use super::trace::{Exchange, Way};
use super::{Body, Outgoing, Peer, nng};

/// A message that waits for its answer; dropped without one, the other side gets none.
#[derive(Debug)]
pub struct Incoming {
    on: IncomingOn,
    exchange: Exchange,
}

#[derive(Debug)]
pub(super) enum IncomingOn {
    #[cfg(target_os = "linux")]
    Direct(direct::Incoming),
    #[cfg(target_os = "linux")]
    Asked(direct::Asked),
    Nng(nng::Incoming),
}

impl Incoming {
    pub(super) fn new(on: IncomingOn) -> Self {
        let incoming = Self { on, exchange: Exchange::begin() };
        incoming.exchange.show(Way::In, incoming.peer(), incoming.body());
        incoming
    }

    /// What was sent.
    #[must_use]
    pub fn body(&self) -> &Body {
        match &self.on {
            #[cfg(target_os = "linux")]
            IncomingOn::Direct(incoming) => incoming.body(),
            #[cfg(target_os = "linux")]
            IncomingOn::Asked(asked) => asked.body(),
            IncomingOn::Nng(incoming) => incoming.body(),
        }
    }

    /// Who sent it.
    #[must_use]
    pub fn peer(&self) -> Peer {
        match &self.on {
            #[cfg(target_os = "linux")]
            IncomingOn::Direct(incoming) => incoming.peer(),
            #[cfg(target_os = "linux")]
            IncomingOn::Asked(asked) => asked.peer(),
            IncomingOn::Nng(incoming) => incoming.peer(),
        }
    }

    /// Ends when the one who sent it is gone; holds nothing of the message.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub fn departed(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut gone = match &self.on {
            #[cfg(target_os = "linux")]
            IncomingOn::Direct(incoming) => incoming.gone(),
            #[cfg(target_os = "linux")]
            IncomingOn::Asked(asked) => asked.gone(),
            IncomingOn::Nng(incoming) => incoming.gone(),
        };
        async move {
            // An error means that the connection is no more.
            let _ = gone.wait_for(|gone| *gone).await;
        }
    }

    /// Sends the answer; one who is gone does not get it, and that is no error.
    pub fn reply(self, body: &[u8]) {
        self.send(body.into());
    }

    /// As [`reply`](Self::reply) with one after the other, without a copy of the second where the lane can do without.
    pub fn reply_with(self, mut head: Vec<u8>, rest: Outgoing<'static>) {
        #[cfg(target_os = "linux")]
        if !rest.is_empty()
            && !self.exchange.is_shown()
            && let IncomingOn::Direct(incoming) = self.on
        {
            return incoming.reply_in_two(&head, rest);
        }
        head.extend_from_slice(&rest);
        self.send(head.into());
    }

    fn send(self, body: Outgoing<'_>) {
        self.exchange.show(Way::Out, self.peer(), &body);
        match self.on {
            #[cfg(target_os = "linux")]
            IncomingOn::Direct(incoming) => incoming.reply(body),
            #[cfg(target_os = "linux")]
            IncomingOn::Asked(asked) => asked.reply(&body),
            IncomingOn::Nng(incoming) => incoming.reply(&body),
        }
    }
}

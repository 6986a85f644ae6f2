//! A message that was received and waits for its answer, on either lane.

use std::borrow::Cow;
use std::future::Future;

#[cfg(target_os = "linux")]
use super::direct;
use super::trace::{Exchange, Way};
use super::{Body, Peer, nng};

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
            IncomingOn::Nng(incoming) => incoming.body(),
        }
    }

    /// Who sent it.
    #[must_use]
    pub fn peer(&self) -> Peer {
        match &self.on {
            #[cfg(target_os = "linux")]
            IncomingOn::Direct(incoming) => incoming.peer(),
            IncomingOn::Nng(incoming) => incoming.peer(),
        }
    }

    /// Ends when the one who sent it is gone; holds nothing of the message.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub fn departed(&self) -> impl Future<Output = ()> + Send + 'static {
        #[cfg(target_os = "linux")]
        let (direct, nng) = match &self.on {
            IncomingOn::Direct(incoming) => (Some(incoming.departed()), None),
            IncomingOn::Nng(incoming) => (None, Some(incoming.departed())),
        };
        #[cfg(not(target_os = "linux"))]
        let (direct, nng) = {
            let IncomingOn::Nng(incoming) = &self.on;
            (None::<std::future::Ready<()>>, Some(incoming.departed()))
        };
        async move {
            if let Some(direct) = direct {
                direct.await;
            }
            if let Some(nng) = nng {
                nng.await;
            }
        }
    }

    /// Sends the answer; one who is gone does not get it, and that is no error.
    pub fn reply(self, body: &[u8]) {
        self.send(body.into());
    }

    /// As [`reply`](Self::reply), without a copy where the lane can do without.
    pub fn reply_with(self, body: Vec<u8>) {
        self.send(body.into());
    }

    fn send(self, body: Cow<'_, [u8]>) {
        self.exchange.show(Way::Out, self.peer(), &body);
        match self.on {
            #[cfg(target_os = "linux")]
            IncomingOn::Direct(incoming) => incoming.reply(body),
            IncomingOn::Nng(incoming) => incoming.reply(&body),
        }
    }
}

//! PUB: one message to everybody who listens at the moment.

use std::sync::mpsc;
use std::time::Duration;

use nng::options::{Options, SendBufferSize};
use nng::{Message, Protocol, Socket};

use super::aio::{Fenced, bury};
use super::answerer::listen;
use super::peers::Peers;
use super::{library, refused};
use crate::bus::counterpart::Counterpart;
use crate::bus::{BusError, Endpoint};

/// Messages that wait for each subscriber; one that reads slower loses the ones past these, and nobody else does.
const UNSENT: i32 = 512;

/// How long its end may take; where NNG is stuck, it never comes.
const CLOSING: Duration = Duration::from_secs(2);

/// Tells everybody who is connected to one endpoint.
#[derive(Debug)]
pub(in crate::bus) struct Publisher {
    socket: Fenced<Socket>,
}

impl Publisher {
    pub(in crate::bus) fn listen(endpoint: &Endpoint) -> Result<Self, BusError> {
        library::init()?;
        let open = || {
            let socket = Fenced::new(Socket::new(Protocol::Pub0)?);
            socket.set_opt::<SendBufferSize>(UNSENT)?;
            // The socket keeps what watches it.
            Peers::watch(&socket, Counterpart::at(endpoint), None)?;
            listen(&socket, endpoint)?;
            Ok(Self { socket })
        };
        open().map_err(|error| refused("listen at", endpoint, error))
    }

    pub(in crate::bus) fn publish(&self, message: &[u8]) {
        // A publisher's send ends at once, and fails on a closed socket alone.
        let _ = self.socket.send(Message::from(message));
    }

    /// Leaves the endpoint, and waits until its file is gone, but not for ever.
    pub(in crate::bus) fn close(self) {
        let (closed, until_closed) = mpsc::channel();
        let socket = self.socket.clone();
        bury(Box::new(move || {
            socket.close();
            let _ = closed.send(());
        }));
        if until_closed.recv_timeout(CLOSING).is_err() {
            tracing::warn!("the events endpoint takes long to close");
        }
    }
}

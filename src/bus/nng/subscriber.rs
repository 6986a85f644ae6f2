//! SUB: everything that one publisher says, while connected to it.

use std::sync::{Arc, Mutex, PoisonError};

use nng::options::protocol::pubsub::{Subscribe, Unsubscribe};
use nng::options::{Options, ReconnectMaxTime, ReconnectMinTime, RecvMaxSize};
use nng::{AioResult, Protocol, Socket};
use tokio::sync::mpsc;

use super::aio::{Aio, Fenced, bury};
use super::peers::Peers;
use super::{MAX_FRAME, RECONNECT, library, refused};
use crate::bus::counterpart::Counterpart;
use crate::bus::survey::UNHEARD;
use crate::bus::{Body, BusError, Endpoint};

/// Hears what is published at one endpoint.
#[derive(Debug)]
pub(in crate::bus) struct Subscriber {
    messages: mpsc::Receiver<Body>,
    peers: Peers,
    socket: Fenced<Socket>,
    receive: Aio,
    /// Nothing is to be received any more.
    closed: Arc<Mutex<bool>>,
}

impl Subscriber {
    pub(in crate::bus) fn dial(endpoint: &Endpoint) -> Result<Self, BusError> {
        library::init()?;
        let open = || {
            let socket = Fenced::new(Socket::new(Protocol::Sub0)?);
            socket.set_opt::<RecvMaxSize>(MAX_FRAME)?;
            socket.set_opt::<ReconnectMinTime>(Some(RECONNECT.0))?;
            socket.set_opt::<ReconnectMaxTime>(Some(RECONNECT.1))?;
            // Every message begins with nothing.
            socket.set_opt::<Subscribe>(Vec::new())?;
            let peers = Peers::watch(&socket, Counterpart::at(endpoint), None)?;
            let (sender, messages) = mpsc::channel(UNHEARD);
            let closed = Arc::<Mutex<bool>>::default();
            let of_callback = ((*socket).clone(), Arc::clone(&closed));
            let receive = Aio::new(move |aio, result| {
                let AioResult::Recv(Ok(message)) = result else { return };
                let _ = sender.try_send(Body::nng(message));
                let (socket, closed) = &of_callback;
                // Held over the call, so that nothing is posted after it was cancelled.
                let closed = closed.lock().unwrap_or_else(PoisonError::into_inner);
                if !*closed {
                    // Fails only on a closed socket.
                    let _ = socket.recv_async(aio);
                }
            })?;
            socket.recv_async(receive.get())?;
            socket.dial_async(endpoint.as_str())?;
            Ok(Self { messages, peers, socket, receive, closed })
        };
        open().map_err(|error| refused("dial", endpoint, error))
    }

    pub(in crate::bus) fn is_connected(&self) -> bool {
        self.peers.len() > 0
    }

    pub(in crate::bus) async fn next(&mut self) -> Option<Body> {
        self.messages.recv().await
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        // A socket that is closed while a message arrives hangs NNG (docs/decisions/0002), and here one may arrive at
        // any time: it wants nothing more, and is closed when the publisher leaves.
        let _ = self.socket.set_opt::<Unsubscribe>(Vec::new());
        // The receive does not end with the socket, so it is ended here: whoever buries it waits for it.
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.receive.get().cancel();
        if self.peers.len() > 0 {
            // Nothing is posted on it any more: its gate is open.
            self.peers.close_when_left((*self.socket).clone(), &Arc::default());
        } else {
            let socket = (*self.socket).clone();
            bury(Box::new(move || socket.close()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::aio::bury;
    use crate::bus::survey::tests::heard;
    use crate::bus::traps::{LONG, Place};
    use crate::bus::{Lane, Publisher, Subscriber};

    #[tokio::test]
    async fn who_does_not_read_holds_nobody_up_and_who_goes_leaves_others_alone() {
        let place = Place::new();
        let endpoint = place.endpoint("events");
        let publisher = Publisher::listen_on(Lane::Nng, &endpoint).unwrap();
        let dial = || Subscriber::dial_on(Lane::Nng, &endpoint).unwrap();
        let (_asleep, mut awake) = (dial(), dial());
        heard(&publisher, &mut awake, b"first").await;
        for _ in 0..20 {
            let mut short_lived = dial();
            heard(&publisher, &mut short_lived, b"passing").await;
            (0..100).for_each(|_| publisher.publish(&[b'x'; 10_000]));
        }
        // Whoever buries them is not held up by one whose publisher lives.
        let (done, buried) = std::sync::mpsc::channel();
        bury(Box::new(move || done.send(()).unwrap()));
        buried.recv_timeout(LONG).unwrap();
        let begun = std::time::Instant::now();
        (0..10_000).for_each(|_| publisher.publish(&[b'x'; 1000]));
        assert!(begun.elapsed() < LONG);
        heard(&publisher, &mut awake, b"last").await;
        publisher.close();
    }
}

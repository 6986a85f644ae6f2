//! SURVEYOR: one question to everybody who is connected, and every answer.
//!
//! Over a raw socket, because a cooked one loses answers: it keeps at most 128 that nobody has read and drops
//! the rest without a word, and a receive can be posted only once the question is out, by when a crowd has
//! answered already if this thread was not given its turn. A raw socket leaves what is not yet read with the
//! one who sent it. In exchange the survey's id and its window are kept here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nng::{AioResult, Message, Protocol, RawSocket, Socket};
use tokio::sync::{Notify, mpsc};

use super::aio::{Aio, Fenced, bury};
use super::answerer::listen;
use super::peers::Peers;
use super::{library, refused};
use crate::bus::counterpart::Counterpart;
use crate::bus::survey::{EVENTS, UNREAD};
use crate::bus::{Body, BusError, Endpoint, Guests, Peer, PeerEvent};

/// Receives that are always posted, so that answers are read while others arrive.
const RECEIVES: usize = 8;

/// The bit that tells a survey's id from the ids of relays on the way.
const ID_BIT: u32 = 0x8000_0000;

/// Asks everybody who is connected to one endpoint.
#[derive(Debug)]
pub(in crate::bus) struct Surveyor {
    round: Arc<Round>,
    /// The time of the round that is under way.
    window: Option<Aio>,
    next_id: u32,
    send: Aio,
    endpoint: Endpoint,
    socket: Fenced<Socket>,
    _receives: Vec<Aio>,
}

/// What the callbacks share with the round that is under way.
#[derive(Debug)]
struct Round {
    state: Mutex<State>,
    sent: Notify,
    peers: Peers,
}

#[derive(Debug, Default)]
struct State {
    id: u32,
    /// Closed once the window is over.
    answers: Option<mpsc::Sender<(Peer, Body)>>,
    /// The last question is still on its way into the socket.
    sending: bool,
}

impl Surveyor {
    pub(in crate::bus) fn listen(
        endpoint: &Endpoint,
        guests: &Guests,
    ) -> Result<(Self, mpsc::Receiver<PeerEvent>), BusError> {
        library::init()?;
        let (events, joined) = mpsc::channel(EVENTS);
        let open = || {
            let socket = Fenced::new(RawSocket::new(Protocol::Surveyor0)?.socket);
            let peers = Peers::watch(&socket, Counterpart::at(endpoint).welcoming(guests), Some(events))?;
            let round = Arc::new(Round { state: Mutex::default(), sent: Notify::new(), peers });
            let of_callback = Arc::clone(&round);
            let send = Aio::new(move |_, _| of_callback.went_out())?;
            let receives = (0..RECEIVES).map(|_| receive(&round, &socket)).collect::<Result<_, _>>()?;
            listen(&socket, endpoint)?;
            let endpoint = endpoint.clone();
            Ok(Self { round, window: None, next_id: 0, send, endpoint, socket, _receives: receives })
        };
        open().map(|surveyor| (surveyor, joined)).map_err(|error| refused("listen at", endpoint, error))
    }

    /// Asks; the answers end with the window.
    pub(in crate::bus) async fn ask(
        &mut self,
        question: &[u8],
        window: Duration,
    ) -> Result<mpsc::Receiver<(Peer, Body)>, BusError> {
        self.round.until_sent().await;
        self.next_id = self.next_id.wrapping_add(1) & !ID_BIT;
        let id = ID_BIT | self.next_id;
        let (sender, answers) = mpsc::channel(UNREAD);
        *self.round.lock() = State { id, answers: Some(sender), sending: true };
        match self.post(id, question, window) {
            Ok(window) => self.window = Some(window),
            Err(error) => {
                *self.round.lock() = State::default();
                return Err(refused("ask at", &self.endpoint, error));
            }
        }
        Ok(answers)
    }

    /// Waits for no more answers.
    pub(in crate::bus) fn end_round(&mut self) {
        self.round.lock().answers = None;
        if let Some(window) = self.window.take() {
            // A sleep carries no message, so it may be cancelled at any moment.
            window.get().cancel();
        }
    }

    fn post(&self, id: u32, question: &[u8], window: Duration) -> Result<Aio, nng::Error> {
        let round = Arc::clone(&self.round);
        let timer = Aio::new(move |_, _| round.end(id))?;
        timer.get().sleep(window.max(Duration::from_millis(1)))?;
        let mut message = Message::from(question);
        message.as_mut_header().push_back(&id.to_be_bytes());
        // It is copied to every connection; one that does not read its questions loses the ones past its queue.
        self.socket.send_async(self.send.get(), message).map_err(|(_, error)| error)?;
        Ok(timer)
    }
}

/// Posts a receive that posts itself again until the socket is closed.
fn receive(round: &Arc<Round>, socket: &Socket) -> Result<Aio, nng::Error> {
    let (round, of_callback) = (Arc::clone(round), socket.clone());
    let aio = Aio::new(move |aio, result| {
        if let AioResult::Recv(Ok(message)) = result {
            round.deliver(message);
            // Fails only on a closed socket.
            let _ = of_callback.recv_async(aio);
        }
    })?;
    socket.recv_async(aio.get())?;
    Ok(aio)
}

impl Round {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn deliver(&self, mut message: Message) {
        let peer = message.pipe().and_then(|pipe| self.peers.peer(pipe));
        let id = message.as_mut_header().as_slice().last_chunk().map(|id| u32::from_be_bytes(*id));
        let state = self.lock();
        // An answer to an earlier question is void.
        if let (Some(answers), Some(peer), true) = (&state.answers, peer, id == Some(state.id))
            && answers.try_send((peer, Body::nng(message))).is_err()
        {
            tracing::warn!(?peer, "more than {UNREAD} answers to one question; this one is dropped");
        }
    }

    fn end(&self, id: u32) {
        let mut state = self.lock();
        if state.id == id {
            state.answers = None;
        }
    }

    fn went_out(&self) {
        self.lock().sending = false;
        self.sent.notify_one();
    }

    async fn until_sent(&self) {
        while self.lock().sending {
            self.sent.notified().await;
        }
    }
}

impl Drop for Surveyor {
    fn drop(&mut self) {
        // Ends the receives; their callbacks hold the socket, so dropping it here would not.
        let socket = self.socket.clone();
        bury(Box::new(move || socket.close()));
    }
}

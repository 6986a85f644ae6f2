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
use super::peers::{PeerEvent, Peers};
use super::{library, refused};
use crate::bus::counterpart::Counterpart;
use crate::bus::trace::{Exchange, Short, Way};
use crate::bus::{Body, BusError, Endpoint, Guests, Peer};

/// Receives that are always posted, so that answers are read while others arrive.
const RECEIVES: usize = 8;

/// Answers of one round that may wait to be read; only a peer that answers again and again fills it.
const UNREAD: usize = 16 * 1024;

/// Connects and departures that may wait to be read; they are hints, the answers are the truth.
const EVENTS: usize = 4 * 1024;

/// The bit that tells a survey's id from the ids of relays on the way.
const ID_BIT: u32 = 0x8000_0000;

/// Asks everybody who is connected to one endpoint.
#[derive(Debug)]
pub struct Surveyor {
    round: Arc<Round>,
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
    /// Listens for respondents; the receiver tells who connects and who leaves.
    ///
    /// # Errors
    /// [`BusError::InUse`] where somebody listens there, [`BusError::Transport`] for NNG's other reasons.
    pub fn listen(endpoint: &Endpoint) -> Result<(Self, mpsc::Receiver<PeerEvent>), BusError> {
        Self::listen_for(endpoint, &Guests::default())
    }

    /// As [`listen`](Self::listen), for respondents of these users too.
    ///
    /// # Errors
    /// As for [`listen`](Self::listen).
    pub fn listen_for(endpoint: &Endpoint, guests: &Guests) -> Result<(Self, mpsc::Receiver<PeerEvent>), BusError> {
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
            make_room(endpoint);
            Ok(Self { round, next_id: 0, send, endpoint: endpoint.clone(), socket, _receives: receives })
        };
        open().map(|surveyor| (surveyor, joined)).map_err(|error| refused("listen at", endpoint, error))
    }

    /// Asks everybody who is connected now; answers count until the window, in whole milliseconds, is over.
    ///
    /// # Errors
    /// [`BusError::Transport`] where NNG refuses.
    ///
    /// # Cancel safety
    /// Dropping the future, or the answers, ends the round.
    pub async fn survey(&mut self, question: &[u8], window: Duration) -> Result<Answers<'_>, BusError> {
        self.round.until_sent().await;
        self.next_id = self.next_id.wrapping_add(1) & !ID_BIT;
        let id = ID_BIT | self.next_id;
        let (sender, answers) = mpsc::channel(UNREAD);
        *self.round.lock() = State { id, answers: Some(sender), sending: true };
        let window = match self.post(id, question, window) {
            Ok(window) => window,
            Err(error) => {
                *self.round.lock() = State::default();
                return Err(refused("ask at", &self.endpoint, error));
            }
        };
        let exchange = Exchange::begin();
        exchange.show(Way::Out, Short(&self.endpoint), question);
        Ok(Answers { answers, window, exchange, surveyor: self })
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

/// Lets a crowd connect at once; one that cannot waits its turn, so it is no reason to refuse service.
fn make_room(endpoint: &Endpoint) {
    #[cfg(target_os = "linux")]
    if let Err(error) = super::backlog::deepen(endpoint.path()) {
        tracing::warn!(%error, "no more than NNG's 128 plugins can connect at the same moment");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = endpoint;
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

/// The answers to one question, until its window is over.
#[derive(Debug)]
pub struct Answers<'a> {
    answers: mpsc::Receiver<(Peer, Body)>,
    window: Aio,
    exchange: Exchange,
    surveyor: &'a mut Surveyor,
}

impl Answers<'_> {
    /// The next answer and who gave it; `None` once the window is over.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<(Peer, Body)> {
        let (peer, body) = self.answers.recv().await?;
        self.exchange.show(Way::In, peer, &body);
        Some((peer, body))
    }
}

impl Drop for Answers<'_> {
    fn drop(&mut self) {
        self.surveyor.round.lock().answers = None;
        // A sleep carries no message, so it may be cancelled at any moment.
        self.window.get().cancel();
    }
}

//! REP and RESPONDENT: a message comes, its answer goes back the way it came.
//!
//! NNG takes one message a connection off the wire and keeps it until a context receives, and while it lies
//! there the connection's end is not noticed. So there are more contexts than calls are run at once, and a
//! context receives again as soon as its answer is on its way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use nng::options::transport::ipc::Permissions;
use nng::options::{Options, RecvMaxSize};
use nng::{AioResult, ListenerBuilder, Message, Protocol, Socket};
use tokio::sync::{mpsc, watch};

use super::aio::{Aio, Fenced, bury};
use super::dialling::Dialling;
use super::gate::Gate;
use super::peers::Peers;
use super::{MAX_FRAME, library, refused};
use crate::bus::counterpart::Counterpart;
use crate::bus::{Body, BusError, Endpoint, Guests, Peer};

/// Answers requests at one endpoint.
#[derive(Debug)]
pub(in crate::bus) struct Replier(Answerer);

impl Replier {
    pub(in crate::bus) fn listen(endpoint: &Endpoint, room: usize, guests: &Guests) -> Result<Self, BusError> {
        library::init()?;
        let open = || {
            let socket = Fenced::new(Socket::new(Protocol::Rep0)?);
            let answerer = Answerer::new(socket, Counterpart::at(endpoint).welcoming(guests), room)?;
            listen(&answerer.socket, endpoint)?;
            answerer.start()
        };
        open().map(Self).map_err(|error| refused("listen at", endpoint, error))
    }

    pub(in crate::bus) async fn next(&mut self) -> Option<Incoming> {
        self.0.incoming.recv().await
    }
}

/// Answers surveys from one endpoint.
#[derive(Debug)]
pub(in crate::bus) struct Respondent {
    /// First, because it has to have ended when the socket is closed.
    _dialling: Dialling,
    answerer: Answerer,
}

impl Respondent {
    pub(in crate::bus) fn dial(endpoint: &Endpoint) -> Result<Self, BusError> {
        library::init()?;
        let open = || {
            let socket = Socket::new(Protocol::Respondent0)?;
            socket.set_opt::<RecvMaxSize>(MAX_FRAME)?;
            let answerer = Answerer::new(Fenced::new(socket), Counterpart::at(endpoint), 2)?.start()?;
            let presence = answerer.line.peers.presence();
            let gate = Arc::clone(&answerer.line.gate);
            let dialling = Dialling::start(answerer.socket.clone(), endpoint, presence, gate)?;
            Ok(Self { answerer, _dialling: dialling })
        };
        open().map_err(|error| refused("dial", endpoint, error))
    }

    pub(in crate::bus) async fn next(&mut self) -> Option<Incoming> {
        self.answerer.incoming.recv().await
    }

    /// Tells whether a surveyor is connected, now and whenever that changes.
    pub(in crate::bus) fn presence(&self) -> watch::Receiver<bool> {
        self.answerer.line.peers.presence()
    }
}

/// Makes a socket listen, for its owner alone.
pub(super) fn listen(socket: &Socket, endpoint: &Endpoint) -> Result<(), nng::Error> {
    socket.set_opt::<RecvMaxSize>(MAX_FRAME)?;
    let listener = ListenerBuilder::new(socket, endpoint.as_str())?;
    // NNG sets the mode between bind and listen: nobody else can connect in between.
    listener.set_opt::<Permissions>(0o600)?;
    // Dropping the handle closes nothing: the socket keeps its listener.
    listener.start().map(drop).map_err(|(_, error)| error)
}

#[derive(Debug)]
struct Answerer {
    incoming: mpsc::Receiver<Incoming>,
    line: Arc<Line>,
    /// Answers that are still on their way hold a seat; closing the socket ends them all.
    seats: Vec<Arc<Seat>>,
    socket: Fenced<Socket>,
}

/// What the seats share.
#[derive(Debug)]
struct Line {
    peers: Peers,
    gate: Arc<Gate>,
    closed: AtomicBool,
    sender: mpsc::Sender<Incoming>,
}

impl Answerer {
    fn new(socket: Fenced<Socket>, counterpart: Counterpart, room: usize) -> Result<Self, nng::Error> {
        // A seat that has passed on a message receives no other before the answer: the channel is never full.
        let (sender, incoming) = mpsc::channel(room);
        let peers = Peers::watch(&socket, counterpart, None)?;
        let line = Arc::new(Line { peers, gate: Arc::default(), closed: AtomicBool::new(false), sender });
        let seats = (0..room).map(|_| Seat::new(&socket, &line)).collect::<Result<_, _>>()?;
        Ok(Self { incoming, line, seats, socket })
    }

    fn start(self) -> Result<Self, nng::Error> {
        self.seats.iter().try_for_each(|seat| seat.context.recv(seat.aio.get()))?;
        Ok(self)
    }
}

impl Drop for Answerer {
    fn drop(&mut self) {
        self.line.closed.store(true, Ordering::Release);
        let (gate, socket) = (Arc::clone(&self.line.gate), self.socket.clone());
        bury(Box::new(move || gate.close(|| socket.close())));
    }
}

/// One context: receives, waits for the answer, sends it, receives again.
#[derive(Debug)]
struct Seat {
    context: Fenced<nng::Context>,
    aio: Aio,
    gate: Arc<Gate>,
    line: Weak<Line>,
}

impl Seat {
    fn new(socket: &Socket, line: &Arc<Line>) -> Result<Arc<Self>, nng::Error> {
        // The callback has to find its seat, and the seat owns the callback.
        let itself: Arc<OnceLock<Weak<Self>>> = Arc::default();
        let found = Arc::clone(&itself);
        let aio = Aio::new(move |_, result| {
            if let Some(seat) = found.get().and_then(Weak::upgrade) {
                seat.completed(result);
            }
        })?;
        let context = Fenced::new(nng::Context::new(socket)?);
        let seat = Arc::new(Self { context, aio, gate: Arc::clone(&line.gate), line: Arc::downgrade(line) });
        let _ = itself.set(Arc::downgrade(&seat));
        Ok(seat)
    }

    fn completed(self: Arc<Self>, result: AioResult) {
        match result {
            AioResult::Recv(Ok(message)) => self.pass_on(message),
            // The one who asked is gone, and so is the answer.
            AioResult::Send(_) => self.receive_again(),
            // Closed, or about to be: whoever owns the socket ends the rest.
            AioResult::Recv(Err(_)) | AioResult::Sleep(_) => {}
        }
    }

    fn pass_on(self: Arc<Self>, mut message: Message) {
        let Some(line) = self.line.upgrade() else { return };
        let Some((peer, gone)) = message.pipe().and_then(|pipe| line.peers.get(pipe)) else {
            // Nobody is left who would read an answer.
            self.receive_again();
            return;
        };
        let incoming = Incoming { body: Body::nng(message), peer, gone, seat: Some(self) };
        // Refused only when nobody reads any more; dropping it there gives the seat back.
        let _ = line.sender.try_send(incoming);
    }

    fn receive_again(&self) {
        let open = self.line.upgrade().is_some_and(|line| !line.closed.load(Ordering::Acquire));
        if let (true, Some(_open)) = (open, self.gate.pass()) {
            // Fails only on a closed socket, which needs no more seats.
            let _ = self.context.recv(self.aio.get());
        }
    }
}

/// A message that waits for its answer; dropped without one, the other side gets none.
#[derive(Debug)]
pub(in crate::bus) struct Incoming {
    body: Body,
    peer: Peer,
    gone: watch::Receiver<bool>,
    seat: Option<Arc<Seat>>,
}

impl Incoming {
    pub(in crate::bus) fn body(&self) -> &Body {
        &self.body
    }

    pub(in crate::bus) fn peer(&self) -> Peer {
        self.peer
    }

    pub(in crate::bus) fn gone(&self) -> watch::Receiver<bool> {
        self.gone.clone()
    }

    pub(in crate::bus) fn reply(mut self, body: &[u8]) {
        let Some(seat) = self.seat.take() else { return };
        let Some(open) = seat.gate.pass() else { return };
        let sent = seat.context.send(seat.aio.get(), Message::from(body));
        drop(open);
        if sent.is_err() {
            seat.receive_again();
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(seat) = self.seat.take() {
            seat.receive_again();
        }
    }
}

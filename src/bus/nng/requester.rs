//! REQ: one socket a target, so that a request goes where it is meant to go.
//!
//! A call takes a slot from a pool: a context with one operation to send and one to receive. Three rules of
//! NNG shape it. Resending is off, else a request runs again after its plugin was killed, and a lost connection
//! is not reported. The receive is posted together with the send, else a reply that comes before it is lost with
//! the connection. Only the receive is ever cancelled: it takes the send with it, the other way round aborts.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use nng::options::protocol::reqrep::ResendTime;
use nng::options::{Options, ReconnectMaxTime, ReconnectMinTime, RecvMaxSize};
use nng::{AioResult, Message, Protocol, Socket};

use super::aio::{Aio, Fenced};
use super::gate::Gate;
use super::peers::Peers;
use super::{MAX_FRAME, RECONNECT, library, refused};
use crate::bus::counterpart::Counterpart;
use crate::bus::{Body, BusError, Endpoint, Farewell, RequestError};
use crate::wire::MAX_MESSAGE;

/// How long a request waits for a connection that is not yet there. A live listener greets within a
/// millisecond; a loaded machine gets a few hundred.
const CONNECT_WAIT: Duration = Duration::from_millis(500);

/// How long a message whose reply nobody waits for may wait to be sent, and to be answered.
const TOLD: Duration = Duration::from_secs(5);

/// Sends requests to one endpoint, any number at a time.
#[derive(Debug)]
pub(in crate::bus) struct Requester {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    idle: Mutex<Vec<Slot>>,
    peers: Peers,
    gate: Arc<Gate>,
    /// A reply may come that nobody waits for.
    reply_unread: AtomicBool,
    socket: Fenced<Socket>,
}

impl Drop for Shared {
    /// NNG 1.12.4 has a race in `ipc_pipe_recv_cb`: where a socket is closed while the head of a message has just
    /// been read, the read of the rest is never posted and never ended, the thread that buries connections
    /// waits for it for good, and no socket of this process is closed ever after. So a socket on which a reply may
    /// still come is closed by its peer's departure alone.
    fn drop(&mut self) {
        if !*self.reply_unread.get_mut() {
            self.peers.close_when_dropped();
        }
    }
}

impl Requester {
    pub(in crate::bus) fn dial(endpoint: &Endpoint, process: Option<u32>) -> Result<Self, BusError> {
        library::init()?;
        let open = || -> Result<_, nng::Error> {
            let socket = Fenced::new(Socket::new(Protocol::Req0)?);
            socket.set_opt::<ResendTime>(None)?;
            socket.set_opt::<RecvMaxSize>(MAX_FRAME)?;
            socket.set_opt::<ReconnectMinTime>(Some(RECONNECT.0))?;
            socket.set_opt::<ReconnectMaxTime>(Some(RECONNECT.1))?;
            let peers = Peers::watch(&socket, Counterpart::at(endpoint).expecting(process), None)?;
            // Nobody listens at the endpoint of a gone instance again: a request that came too late to fail with
            // the connection would wait for its deadline.
            let gate = Arc::default();
            peers.close_when_left(socket.clone(), &gate);
            socket.dial_async(endpoint.as_str())?;
            Ok(Shared { idle: Mutex::default(), peers, gate, reply_unread: AtomicBool::new(false), socket })
        };
        let shared = open().map_err(|error| refused("dial", endpoint, error))?;
        Ok(Self { shared: Arc::new(shared) })
    }

    pub(in crate::bus) fn is_connected(&self) -> bool {
        self.shared.peers.len() > 0
    }

    pub(in crate::bus) fn is_lost(&self) -> bool {
        self.shared.peers.have_left()
    }

    /// Wakes from NNG's threads; the timeout counts in whole milliseconds.
    pub(in crate::bus) async fn request(
        &self,
        body: &[u8],
        timeout: Duration,
        farewell: Option<Farewell<'_>>,
    ) -> Result<Body, RequestError> {
        if body.len() > MAX_MESSAGE {
            return Err(RequestError::TooLarge(body.len()));
        }
        let slot = self.shared.slot().map_err(refusal)?;
        let posted = slot.post(Message::from(body), timeout, self.is_connected());
        let exchange = Exchange { slot: Some(slot), settled: false, farewell };
        posted.map_err(refusal)?;
        exchange.await
    }
}

impl Shared {
    fn slot(self: &Arc<Self>) -> Result<Slot, nng::Error> {
        let idle = self.lock().pop();
        idle.map_or_else(|| Slot::new(self), Ok)
    }

    /// Sends a request whose reply nobody waits for.
    fn tell(self: &Arc<Self>, body: &[u8]) {
        let Ok(slot) = self.slot() else { return };
        if slot.post(Message::from(body), TOLD, true).is_err() {
            return;
        }
        let state = Arc::clone(&slot.state);
        let mut progress = state.lock();
        if progress.is_quiet() {
            drop(progress);
            self.put(slot);
        } else {
            progress.abandoned = Some(slot);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refusal(error: nng::Error) -> RequestError {
    match error {
        nng::Error::Closed => RequestError::NotSent,
        error => RequestError::Transport(error.to_string()),
    }
}

/// One request at a time: a context and its two operations, used again and again.
#[derive(Debug)]
struct Slot {
    context: Fenced<nng::Context>,
    send: Aio,
    receive: Aio,
    gate: Arc<Gate>,
    state: Arc<State>,
}

/// What the callbacks know of a slot; they must not own it, it owns them.
#[derive(Debug)]
struct State {
    progress: Mutex<Progress>,
    home: Weak<Shared>,
}

#[derive(Debug, Default)]
struct Progress {
    send: Step<()>,
    receive: Step<Message>,
    /// When the receive must be over, where it is to be posted after the send.
    receive_after_send: Option<Instant>,
    waker: Option<Waker>,
    /// The slot itself, once nobody waits for the reply: the last callback takes it home.
    abandoned: Option<Slot>,
}

#[derive(Debug, Default)]
enum Step<T> {
    #[default]
    Idle,
    Posted,
    Done(Result<T, nng::Error>),
}

impl<T> Step<T> {
    fn is_posted(&self) -> bool {
        matches!(self, Self::Posted)
    }
}

impl Slot {
    fn new(shared: &Arc<Shared>) -> Result<Self, nng::Error> {
        let state = Arc::new(State { progress: Mutex::default(), home: Arc::downgrade(shared) });
        let callback = || {
            let state = Arc::clone(&state);
            Aio::new(move |_, result| state.completed(result))
        };
        let (send, receive) = (callback()?, callback()?);
        let context = Fenced::new(nng::Context::new(&shared.socket)?);
        Ok(Self { context, send, receive, gate: Arc::clone(&shared.gate), state })
    }

    fn post(&self, message: Message, timeout: Duration, connected: bool) -> Result<(), nng::Error> {
        // NNG counts in milliseconds, and takes 0 for "do not wait".
        let timeout = timeout.max(Duration::from_millis(1));
        let _open = self.gate.pass().ok_or(nng::Error::Closed)?;
        let connect = if connected { None } else { Some(timeout.min(CONNECT_WAIT)) };
        self.send.get().set_timeout(connect)?;
        self.state.lock().send = Step::Posted;
        if let Err((_, error)) = self.context.send(self.send.get(), message) {
            self.state.lock().send = Step::Idle;
            return Err(error);
        }
        if connected {
            return self.post_receive(timeout);
        }
        // The send may time out alone only while no receive is posted, else NNG asserts that there is none.
        self.state.lock().receive_after_send = Instant::now().checked_add(timeout);
        Ok(())
    }

    fn post_receive(&self, timeout: Duration) -> Result<(), nng::Error> {
        self.receive.get().set_timeout(Some(timeout.max(Duration::from_millis(1))))?;
        self.state.lock().receive = Step::Posted;
        self.context.recv(self.receive.get()).inspect_err(|_| self.state.lock().receive = Step::Idle)
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn completed(&self, result: AioResult) {
        let mut progress = self.lock();
        match result {
            AioResult::Send(result) => progress.send = Step::Done(result.map_err(|(_, error)| error)),
            AioResult::Recv(result) => progress.receive = Step::Done(result),
            AioResult::Sleep(_) => return,
        }
        let waker = progress.waker.take();
        let freed = if progress.is_quiet() { progress.abandoned.take() } else { None };
        drop(progress);
        if let Some(waker) = waker {
            waker.wake();
        }
        if let (Some(slot), Some(home)) = (freed, self.home.upgrade()) {
            home.put(slot);
        }
    }
}

impl Progress {
    fn is_quiet(&self) -> bool {
        !self.send.is_posted() && !self.receive.is_posted()
    }

    /// What the caller gets, as soon as that is certain.
    fn outcome(&mut self) -> Option<Result<Body, RequestError>> {
        if let (Step::Done(Err(_)), false) = (&self.send, self.receive.is_posted()) {
            return Some(Err(RequestError::NotSent));
        }
        match (std::mem::take(&mut self.receive), &self.send) {
            (Step::Done(Ok(message)), _) => Some(Ok(Body::nng(message))),
            (Step::Done(Err(nng::Error::TimedOut)), Step::Done(Ok(()))) => Some(Err(RequestError::TimedOut)),
            (Step::Done(Err(_)), Step::Done(Ok(()))) => Some(Err(RequestError::Lost)),
            (undecided, _) => {
                self.receive = undecided;
                None
            }
        }
    }
}

impl Shared {
    fn put(&self, slot: Slot) {
        *slot.state.lock() = Progress::default();
        self.lock().push(slot);
    }
}

/// A posted request: waits for its outcome, gives its slot back.
struct Exchange<'a> {
    slot: Option<Slot>,
    /// No reply will come any more.
    settled: bool,
    /// For the other side, where nobody waited for the outcome.
    farewell: Option<Farewell<'a>>,
}

impl Future for Exchange<'_> {
    type Output = Result<Body, RequestError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { slot: Some(slot), settled, farewell } = &mut *self else {
            return Poll::Pending;
        };
        let mut progress = slot.state.lock();
        if let Some(outcome) = progress.outcome() {
            *settled = !matches!(outcome, Err(RequestError::TimedOut));
            *farewell = None;
            return Poll::Ready(outcome);
        }
        progress.waker = Some(context.waker().clone());
        if let (Step::Done(Ok(())), Some(deadline)) = (&progress.send, progress.receive_after_send) {
            progress.receive_after_send = None;
            drop(progress);
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(_open) = slot.gate.pass() else { return Poll::Ready(Err(RequestError::Lost)) };
            if let Err(error) = slot.post_receive(left) {
                return Poll::Ready(Err(refusal(error)));
            }
        }
        Poll::Pending
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else { return };
        let state = Arc::clone(&slot.state);
        let mut progress = state.lock();
        progress.waker = None;
        let home = state.home.upgrade();
        if let Some(home) = home.as_ref().filter(|_| !self.settled) {
            home.reply_unread.store(true, Ordering::Relaxed);
        }
        if progress.is_quiet() {
            // Sent, and nobody has got round to posting the receive.
            let unanswered = matches!((&progress.send, &progress.receive), (Step::Done(Ok(())), Step::Idle));
            drop(progress);
            if let Some(home) = home {
                home.put(slot);
                if let Some(farewell) = self.farewell.filter(|_| unanswered) {
                    home.tell(&farewell());
                }
            }
            return;
        }
        // Only a receive may be cancelled (see `Aio`), and it takes a send that still waits with it. A copy of the
        // handle, because the callback may take the slot away meanwhile.
        let gate = Arc::clone(&slot.gate);
        let receive = progress.receive.is_posted().then(|| slot.receive.get().clone());
        progress.abandoned = Some(slot);
        drop(progress);
        // Where the socket is being closed, that ends it as well.
        if let (Some(receive), Some(_open)) = (receive, gate.pass()) {
            receive.cancel();
        }
        if let (Some(farewell), Some(home)) = (self.farewell, home) {
            home.tell(&farewell());
        }
    }
}

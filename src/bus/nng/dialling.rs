//! Keeps a respondent connected, from a thread of its own.
//!
//! NNG would do it too, but each of its attempts at a socket where nobody listens costs five turns of its threads, and
//! where the machine is busy one of them spins until another has closed the descriptor. A thousand plugins whose
//! supervisor is away kept two cores so busy with that, that no new supervisor came up. So it is asked first
//! whether anybody listens, ever more rarely; that takes one thread three system calls.

use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use nng::options::{Options, ReconnectMaxTime, ReconnectMinTime};
use nng::{Dialer, Socket};
use tokio::sync::watch;

use super::aio::Fenced;
use super::gate::Gate;
use crate::bus::redial::Redial;
use crate::bus::{Endpoint, block_on};

/// After this time NNG would connect again by itself: its dialer is closed as soon as the connection is lost.
const BY_ITSELF: Duration = Duration::from_secs(1);

/// How long a connection may take before it is asked anew whether anybody listens.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often it is looked whether the connection has come about.
const LOOK: Duration = Duration::from_millis(20);

/// The thread that connects; dropping this ends it.
#[derive(Debug)]
pub(super) struct Dialling {
    ended: Arc<AtomicBool>,
    thread: Thread,
}

impl Dialling {
    /// Connects a socket to an endpoint, now and whenever that connection is lost; it is closed through the gate.
    ///
    /// # Errors
    /// NNG's, and [`nng::Error::OutOfMemory`] where the system has no thread to give.
    pub(super) fn start(
        socket: Socket,
        endpoint: &Endpoint,
        presence: watch::Receiver<bool>,
        gate: Arc<Gate>,
    ) -> Result<Self, nng::Error> {
        socket.set_opt::<ReconnectMinTime>(Some(BY_ITSELF))?;
        socket.set_opt::<ReconnectMaxTime>(None)?;
        let ended = Arc::<AtomicBool>::default();
        let (socket, endpoint) = (Fenced::new(socket), endpoint.clone());
        let line = Line { socket, endpoint, presence, gate, ended: Arc::clone(&ended) };
        let thread = thread::Builder::new().name("plugbus-dial".into()).spawn(move || line.keep());
        let thread = thread.map_err(|_| nng::Error::OutOfMemory)?.thread().clone();
        Ok(Self { ended, thread })
    }
}

impl Drop for Dialling {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

struct Line {
    socket: Fenced<Socket>,
    endpoint: Endpoint,
    presence: watch::Receiver<bool>,
    gate: Arc<Gate>,
    ended: Arc<AtomicBool>,
}

impl Line {
    fn keep(mut self) {
        let mut redial = Redial::new();
        // Whoever starts a plugin listens already.
        let mut somebody_listens = true;
        while !self.has_ended() {
            if somebody_listens && let Some(Ok(dialer)) = self.while_open(|| self.dial()) {
                if self.is_connected_soon() {
                    redial = Redial::new();
                    self.until_lost();
                }
                self.while_open(|| dialer.close());
            }
            thread::park_timeout(redial.next());
            somebody_listens = UnixStream::connect(self.endpoint.path()).is_ok();
        }
    }

    /// Does something to the socket, unless that is closed or about to be: NNG aborts the process where a dialer and its
    /// socket are closed at the same time.
    fn while_open<T>(&self, action: impl FnOnce() -> T) -> Option<T> {
        let _open = self.gate.pass()?;
        // Ended comes before closed.
        (!self.has_ended()).then(action)
    }

    /// Has NNG begin to connect; it is not waited for, because the socket cannot be closed meanwhile.
    fn dial(&self) -> Result<Dialer, nng::Error> {
        Dialer::new(&self.socket, self.endpoint.as_str(), true)
    }

    fn is_connected_soon(&self) -> bool {
        let until = Instant::now() + PATIENCE;
        while !*self.presence.borrow() && !self.has_ended() && Instant::now() < until {
            thread::park_timeout(LOOK);
        }
        *self.presence.borrow()
    }

    fn until_lost(&mut self) {
        let ended = &self.ended;
        let mut lost = pin!(self.presence.wait_for(|present| !present));
        block_on(std::future::poll_fn(|context| match lost.as_mut().poll(context) {
            Poll::Pending if !ended.load(Ordering::Acquire) => Poll::Pending,
            _ => Poll::Ready(()),
        }));
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

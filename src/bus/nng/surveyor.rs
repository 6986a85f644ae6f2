//! SURVEYOR: one question to everybody who is connected, and every answer.
//!
//! NNG keeps at most 128 answers that nobody has read and drops the rest without a word, however fast they are
//! read: so as many receives are posted beforehand as there are peers beyond that. A receive with a deadline of
//! its own would end the whole survey: the window is the survey's, not the receive's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nng::options::Options;
use nng::options::protocol::survey::SurveyTime;
use nng::{AioResult, Message, Protocol, Socket};
use tokio::sync::{Notify, mpsc};

use super::aio::{Aio, Fenced};
use super::answerer::listen;
use super::peers::{PeerEvent, Peers};
use super::{library, refused};
use crate::bus::{Body, BusError, Endpoint, Peer};

/// Peers whose answers NNG's own queue of 128 holds, with some room for those that connect meanwhile.
const QUEUED: usize = 100;

/// Receives that wait at least, so that answers are read while others arrive.
const RECEIVES: usize = 8;

/// Answers of one round that may wait to be read; only a peer that answers again and again fills it.
const UNREAD: usize = 16 * 1024;

/// Connects and departures that may wait to be read; they are hints, the answers are the truth.
const EVENTS: usize = 4 * 1024;

/// Asks everybody who is connected to one endpoint.
#[derive(Debug)]
pub struct Surveyor {
    round: Arc<Round>,
    send: Aio,
    receives: Vec<Aio>,
    context: Fenced<nng::Context>,
    endpoint: Endpoint,
    _socket: Fenced<Socket>,
}

/// What the callbacks share with the round that is under way.
#[derive(Debug)]
struct Round {
    state: Mutex<State>,
    quiet: Notify,
    peers: Peers,
}

#[derive(Debug, Default)]
struct State {
    answers: Option<mpsc::Sender<(Peer, Body)>>,
    /// Operations of this round that have not come back.
    posted: usize,
}

impl Surveyor {
    /// Listens for respondents; the receiver tells who connects and who leaves.
    ///
    /// # Errors
    /// [`BusError::InUse`] where somebody listens there, [`BusError::Transport`] for NNG's other reasons.
    pub fn listen(endpoint: &Endpoint) -> Result<(Self, mpsc::Receiver<PeerEvent>), BusError> {
        library::init()?;
        let (events, joined) = mpsc::channel(EVENTS);
        let open = || {
            let socket = Fenced::new(Socket::new(Protocol::Surveyor0)?);
            let peers = Peers::watch(&socket, Some(events))?;
            let round = Arc::new(Round { state: Mutex::default(), quiet: Notify::new(), peers });
            let context = nng::Context::new(&socket)?;
            let of_callback = Arc::clone(&round);
            let send = Aio::new(move |_, _| of_callback.came_back())?;
            listen(&socket, endpoint)?;
            let (context, endpoint) = (Fenced::new(context), endpoint.clone());
            Ok(Self { round, send, receives: Vec::new(), context, endpoint, _socket: socket })
        };
        open().map(|surveyor| (surveyor, joined)).map_err(|error| refused("listen at", endpoint, error))
    }

    fn receive(round: &Arc<Round>, context: &nng::Context) -> Result<Aio, nng::Error> {
        let (round, context) = (Arc::clone(round), context.clone());
        Aio::new(move |aio, result| {
            let goes_on = match result {
                AioResult::Recv(Ok(message)) => round.deliver(message) && context.recv(aio).is_ok(),
                // The window is over.
                _ => false,
            };
            if !goes_on {
                round.came_back();
            }
        })
    }

    /// Asks everybody who is connected now; answers count until the window, in whole milliseconds, is over.
    ///
    /// # Errors
    /// [`BusError::Transport`] where NNG refuses.
    ///
    /// # Cancel safety
    /// Dropping the future, or the answers, ends the round.
    pub async fn survey(&mut self, question: &[u8], window: Duration) -> Result<Answers<'_>, BusError> {
        self.round.until_quiet().await;
        self.grow().map_err(|error| refused("ask at", &self.endpoint, error))?;
        let (sender, answers) = mpsc::channel(UNREAD);
        let wanted = 1 + self.receives.len();
        *self.round.lock() = State { answers: Some(sender), posted: wanted };
        if let Err((error, posted)) = self.post(question, window) {
            let mut state = self.round.lock();
            state.answers = None;
            state.posted -= wanted - posted;
            drop(state);
            return Err(refused("ask at", &self.endpoint, error));
        }
        Ok(Answers { answers, surveyor: self })
    }

    /// Makes as many receives as the peers that are connected may need.
    fn grow(&mut self) -> Result<(), nng::Error> {
        let wanted = RECEIVES.max(self.round.peers.len().saturating_sub(QUEUED));
        while self.receives.len() < wanted {
            self.receives.push(Self::receive(&self.round, &self.context)?);
        }
        Ok(())
    }

    /// Says, where it fails, how many operations were posted before.
    fn post(&self, question: &[u8], window: Duration) -> Result<(), (nng::Error, usize)> {
        let window = window.max(Duration::from_millis(1));
        self.context.set_opt::<SurveyTime>(Some(window)).map_err(|error| (error, 0))?;
        // A question goes out at once, or is dropped for a peer that does not read: the send never waits.
        self.context.send(self.send.get(), Message::from(question)).map_err(|(_, error)| (error, 0))?;
        for (nth, receive) in self.receives.iter().enumerate() {
            self.context.recv(receive.get()).map_err(|error| (error, 1 + nth))?;
        }
        Ok(())
    }
}

impl Round {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether more answers are wanted.
    fn deliver(&self, mut message: Message) -> bool {
        let peer = message.pipe().and_then(|pipe| self.peers.get(pipe));
        let state = self.lock();
        let Some(answers) = &state.answers else { return false };
        if let Some((peer, _)) = peer
            && answers.try_send((peer, Body::nng(message))).is_err()
        {
            tracing::warn!(?peer, "more than {UNREAD} answers to one question; this one is dropped");
        }
        true
    }

    fn came_back(&self) {
        let mut state = self.lock();
        state.posted -= 1;
        // The send comes back while the receives still wait; the last of these ends the round.
        if state.posted == 0 {
            state.answers = None;
            self.quiet.notify_one();
        }
    }

    async fn until_quiet(&self) {
        while self.lock().posted > 0 {
            self.quiet.notified().await;
        }
    }
}

impl Drop for Surveyor {
    fn drop(&mut self) {
        // Ends the receives; their callbacks hold the context, so dropping it here would not.
        self.context.close();
    }
}

/// The answers to one question, until its window is over.
#[derive(Debug)]
pub struct Answers<'a> {
    answers: mpsc::Receiver<(Peer, Body)>,
    surveyor: &'a mut Surveyor,
}

impl Answers<'_> {
    /// The next answer and who gave it; `None` once the window is over.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<(Peer, Body)> {
        self.answers.recv().await
    }
}

impl Drop for Answers<'_> {
    fn drop(&mut self) {
        self.surveyor.round.lock().answers = None;
        for receive in &self.surveyor.receives {
            receive.get().cancel();
        }
    }
}

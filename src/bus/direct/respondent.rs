//! RESPONDENT: one thread connects, again and again, and reads the questions; answers are written where they are given.

use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::thread::{self, Thread};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown, sockopt};
use tokio::sync::{mpsc, watch};

use super::frame::{self, Decoder, Found, Malformed};
use super::lock;
use super::socket::{self, Wait};
use crate::bus::counterpart::Counterpart;
use crate::bus::redial::Redial;
use crate::bus::{Body, BusError, Endpoint, Peer};

/// Questions that may wait to be answered; more wait in the socket.
const ROOM: usize = 2;

/// How long an attempt waits where many want to connect at the same moment.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the rest of a large answer waits for a surveyor that does not read on.
const STUCK: Duration = Duration::from_secs(1);

/// What one read takes at most; a question has some tens of bytes.
const SCRATCH: usize = 1024;

/// Answers surveys from one endpoint.
#[derive(Debug)]
pub(in crate::bus) struct Respondent {
    incoming: mpsc::Receiver<Asked>,
    line: Arc<Line>,
    thread: Thread,
}

/// What the thread that reads shares with the respondent.
#[derive(Debug, Default)]
struct Line {
    state: Mutex<State>,
    presence: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    ended: bool,
    connection: Option<Arc<Connection>>,
}

#[derive(Debug)]
struct Connection {
    peer: Peer,
    socket: OwnedFd,
    /// An answer is written whole before the next one.
    writing: Mutex<()>,
    gone: watch::Sender<bool>,
}

impl Respondent {
    pub(in crate::bus) fn dial(endpoint: &Endpoint) -> Result<Self, BusError> {
        let line = Arc::<Line>::default();
        let (sender, incoming) = mpsc::channel(ROOM);
        let (of_thread, at) = (Arc::clone(&line), endpoint.clone());
        let thread = thread::Builder::new().name("plugbus-survey".into()).spawn(move || of_thread.keep(&at, &sender));
        let thread = thread.map_err(|error| BusError::Transport {
            what: "start a thread for",
            endpoint: endpoint.to_string(),
            reason: error.to_string(),
        })?;
        Ok(Self { incoming, line, thread: thread.thread().clone() })
    }

    pub(in crate::bus) async fn next(&mut self) -> Option<Asked> {
        self.incoming.recv().await
    }

    /// Tells whether a surveyor is connected, now and whenever that changes.
    #[cfg(feature = "plugin")]
    pub(in crate::bus) fn presence(&self) -> watch::Receiver<bool> {
        self.line.presence.subscribe()
    }
}

impl Drop for Respondent {
    fn drop(&mut self) {
        let mut state = lock(&self.line.state);
        state.ended = true;
        if let Some(connection) = state.connection.take() {
            connection.hang_up();
        }
        drop(state);
        self.thread.unpark();
    }
}

impl Line {
    /// Connects and reads, until the respondent is dropped.
    fn keep(&self, endpoint: &Endpoint, questions: &mpsc::Sender<Asked>) {
        let (counterpart, mut redial) = (Counterpart::at(endpoint), Redial::new());
        let mut buffer = Vec::with_capacity(SCRATCH);
        while !lock(&self.state).ended {
            if let Ok(connection) = Connection::open(endpoint, &counterpart)
                && self.take_on(&connection)
            {
                // Whoever does not speak the protocol is hung up on like one who leaves.
                let _ = self.read(&connection, questions, &mut buffer);
                if self.presence.send_replace(false) {
                    redial = Redial::new();
                }
                connection.hang_up();
                connection.gone.send_replace(true);
            }
            thread::park_timeout(redial.next());
        }
    }

    /// Keeps it where the respondent can end it, unless it has ended already.
    fn take_on(&self, connection: &Arc<Connection>) -> bool {
        let mut state = lock(&self.state);
        state.connection = (!state.ended).then(|| Arc::clone(connection));
        !state.ended
    }

    /// Passes questions on, until the connection is over or nobody is left who would answer.
    fn read(
        &self,
        connection: &Arc<Connection>,
        questions: &mpsc::Sender<Asked>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        let mut decoder = Decoder::new(frame::SURVEYOR);
        loop {
            buffer.clear();
            match socket::receive_for(&mut decoder, &connection.socket, buffer, Wait::Yes) {
                Err(_) | Ok((0, _)) => return Ok(()),
                Ok(_) => {}
            }
            let mut input = &buffer[..];
            while let Some(found) = decoder.next(&mut input)? {
                let Found::Message(message) = found else {
                    self.presence.send_replace(true);
                    continue;
                };
                // One that has gone round in circles is answered by nobody.
                let Some(start) = frame::split_request(&message)? else { continue };
                let asked = Asked { body: Body::after(message, start), connection: Arc::clone(connection) };
                if questions.blocking_send(asked).is_err() {
                    return Ok(());
                }
            }
        }
    }
}

impl Connection {
    fn open(endpoint: &Endpoint, counterpart: &Counterpart) -> Result<Arc<Self>, Errno> {
        let socket = socket::connect(endpoint.path(), counterpart, &frame::RESPONDENT, PATIENCE)?;
        // Nothing has to be looked at while nobody asks.
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, None)?;
        let (uid, pid) = socket::credentials(&socket);
        let peer = Peer { connection: 0, pid, uid };
        Ok(Arc::new(Self { peer, socket, writing: Mutex::default(), gone: watch::Sender::new(false) }))
    }

    fn hang_up(&self) {
        let _ = shutdown(&self.socket, Shutdown::Both);
    }

    /// Writes a frame, waiting for the surveyor to read on where it is larger than what a socket takes.
    fn write(&self, frame: &[u8]) {
        let _writing = lock(&self.writing);
        let mut rest = frame;
        loop {
            match socket::send(&self.socket, &[IoSlice::new(rest)]) {
                Ok(sent) => rest = &rest[sent..],
                // It has read nothing for so long that there is no room: it does not get this one.
                Err(Errno::AGAIN) if rest.len() == frame.len() => return,
                Err(Errno::AGAIN) => match socket::poll(&self.socket, PollFlags::OUT, STUCK) {
                    Ok(events) if events.contains(PollFlags::OUT) => {}
                    // What would come next would be taken for the rest of this.
                    _ => return self.hang_up(),
                },
                Err(_) => return,
            }
            if rest.is_empty() {
                return;
            }
        }
    }
}

/// A question that waits for its answer; dropped without one, the surveyor gets none.
#[derive(Debug)]
pub(in crate::bus) struct Asked {
    body: Body,
    connection: Arc<Connection>,
}

impl Asked {
    pub(in crate::bus) fn body(&self) -> &Body {
        &self.body
    }

    pub(in crate::bus) fn peer(&self) -> Peer {
        self.connection.peer
    }

    pub(in crate::bus) fn gone(&self) -> watch::Receiver<bool> {
        self.connection.gone.subscribe()
    }

    /// Writes the answer at once.
    pub(in crate::bus) fn reply(self, body: &[u8]) {
        let header = self.body.header();
        self.connection.write(&[&frame::head(header.len() + body.len())[..], header, body].concat());
    }
}

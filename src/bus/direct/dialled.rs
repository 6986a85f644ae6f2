//! A connection that is made again and again, and the thread that reads it: what RESPONDENT and SUB share.

use std::io::IoSlice;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::thread::{self, Thread};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown, sockopt};
use tokio::sync::watch;

use super::frame::{Decoder, Found, Greetings};
use super::lock;
use super::socket::{self, Wait};
use crate::bus::counterpart::Counterpart;
use crate::bus::redial::Redial;
use crate::bus::{BusError, Endpoint, Peer};

/// How long an attempt waits where many want to connect at the same moment.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the rest of a large message waits for one who does not read on.
const STUCK: Duration = Duration::from_secs(1);

/// What one read takes at most; most messages have some tens or hundreds of bytes.
const SCRATCH: usize = 1024;

/// The thread, and the connection that it has at the moment; dropped, both end.
#[derive(Debug)]
pub(super) struct Dialled {
    line: Arc<Line>,
    thread: Thread,
}

/// What the thread shares with its owner.
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

/// One connection, as long as it lasts.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) peer: Peer,
    pub(super) gone: watch::Sender<bool>,
    socket: OwnedFd,
    /// A message is written whole before the next one.
    writing: Mutex<()>,
}

impl Dialled {
    /// Connects, whenever there is no connection, and has a thread of that name hand on each message that comes; it hangs
    /// up where it is told to break.
    pub(super) fn start<H>(name: &str, endpoint: &Endpoint, greetings: Greetings, heard: H) -> Result<Self, BusError>
    where
        H: FnMut(Vec<u8>, &Arc<Connection>) -> ControlFlow<()> + Send + 'static,
    {
        let line = Arc::<Line>::default();
        let (of_thread, at) = (Arc::clone(&line), endpoint.clone());
        let thread = thread::Builder::new().name(name.into()).spawn(move || of_thread.keep(&at, greetings, heard));
        let thread = thread.map_err(|error| BusError::transport("start a thread for", endpoint, error))?;
        Ok(Self { line, thread: thread.thread().clone() })
    }

    /// Tells whether the other side is there, now and whenever that changes.
    pub(super) fn presence(&self) -> watch::Receiver<bool> {
        self.line.presence.subscribe()
    }

    pub(super) fn is_connected(&self) -> bool {
        *self.line.presence.borrow()
    }
}

impl Drop for Dialled {
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
    /// Connects and reads, until its owner is dropped.
    fn keep(
        &self,
        endpoint: &Endpoint,
        greetings: Greetings,
        mut heard: impl FnMut(Vec<u8>, &Arc<Connection>) -> ControlFlow<()>,
    ) {
        let (counterpart, mut redial) = (Counterpart::at(endpoint), Redial::new());
        let mut buffer = Vec::with_capacity(SCRATCH);
        while !lock(&self.state).ended {
            if let Ok(connection) = Connection::open(endpoint, &counterpart, &greetings.own)
                && self.take_on(&connection)
            {
                let decoder = Decoder::new(greetings.theirs);
                // Whoever does not speak the protocol is hung up on like one who leaves.
                let _ = self.read(&connection, decoder, &mut buffer, &mut heard);
                if self.presence.send_replace(false) {
                    redial = Redial::new();
                }
                connection.hang_up();
                connection.gone.send_replace(true);
            }
            thread::park_timeout(redial.next());
        }
    }

    /// Keeps it where the owner can end it, unless that has ended already.
    fn take_on(&self, connection: &Arc<Connection>) -> bool {
        let mut state = lock(&self.state);
        state.connection = (!state.ended).then(|| Arc::clone(connection));
        !state.ended
    }

    /// Hands messages on until the connection is over, or is to be.
    fn read(
        &self,
        connection: &Arc<Connection>,
        mut decoder: Decoder,
        buffer: &mut Vec<u8>,
        heard: &mut impl FnMut(Vec<u8>, &Arc<Connection>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        loop {
            buffer.clear();
            match socket::receive_for(&mut decoder, &connection.socket, buffer, Wait::Yes) {
                Err(_) | Ok((0, _)) => return ControlFlow::Break(()),
                Ok(_) => {}
            }
            let mut input = &buffer[..];
            loop {
                match decoder.next(&mut input) {
                    Ok(None) => break,
                    Ok(Some(Found::Greeting)) => drop(self.presence.send_replace(true)),
                    Ok(Some(Found::Message(message))) => heard(message, connection)?,
                    Err(_) => return ControlFlow::Break(()),
                }
            }
        }
    }
}

impl Connection {
    fn open(endpoint: &Endpoint, counterpart: &Counterpart, greeting: &[u8]) -> Result<Arc<Self>, Errno> {
        let socket = socket::connect(endpoint.path(), counterpart, greeting, PATIENCE)?;
        // Nothing has to be looked at while nothing comes.
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, None)?;
        let (uid, pid) = socket::credentials(&socket);
        let peer = Peer { connection: 0, pid, uid };
        Ok(Arc::new(Self { peer, gone: watch::Sender::new(false), socket, writing: Mutex::default() }))
    }

    fn hang_up(&self) {
        let _ = shutdown(&self.socket, Shutdown::Both);
    }

    /// Writes a frame, waiting for the other side to read on where it is larger than what a socket takes.
    pub(super) fn write(&self, frame: &[u8]) {
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

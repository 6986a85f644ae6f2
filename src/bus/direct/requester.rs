//! REQ: a connection for each way of waiting, so that no caller depends on whether another one gets to run.
//!
//! Callers on plain threads share one connection and drive it themselves. Callers on a tokio runtime share one
//! that a task of that runtime drives. Callers on any other runtime are served by a thread of this library. Nothing
//! is ever sent twice.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tokio::runtime::{self, Handle};

use super::caller;
use super::frame::REQUESTER;
use super::home::Home;
use super::pending::{CONNECT_WAIT, Pending};
use super::state::Outcome;
use super::task::{self, Waiting};
use super::{lock, socket};
use crate::bus::counterpart::Counterpart;
use crate::bus::{Endpoint, Farewell, LONGEST, RequestError};
use crate::wire::MAX_MESSAGE;

/// How soon a listener with a full backlog is tried again; nothing reports that it has room.
const TRY_AGAIN: Duration = Duration::from_millis(5);

/// Sends requests to one endpoint, any number at a time.
#[derive(Debug)]
pub(in crate::bus) struct Requester {
    path: PathBuf,
    counterpart: Counterpart,
    /// The one that was made first, most often the only one: found without a lock.
    first: OnceLock<(Home, Arc<Pending>)>,
    connections: Mutex<Connections>,
}

impl Drop for Requester {
    fn drop(&mut self) {
        for (_, pending) in lock(&self.connections).drain(..) {
            pending.close();
        }
    }
}

impl Requester {
    pub(in crate::bus) fn dial(endpoint: &Endpoint, process: Option<u32>) -> Self {
        let counterpart = Counterpart::at(endpoint).expecting(process);
        Self { path: endpoint.path().into(), counterpart, first: OnceLock::new(), connections: Mutex::default() }
    }

    /// The first connection, where it is of that home and takes requests.
    fn first(&self, home: Home) -> Option<&Arc<Pending>> {
        self.first.get().filter(|(of, pending)| *of == home && !pending.is_over()).map(|(_, pending)| pending)
    }

    pub(in crate::bus) fn is_connected(&self) -> bool {
        self.first.get().is_some_and(|(_, pending)| pending.is_open()) || self.any_is_connected()
    }

    fn any_is_connected(&self) -> bool {
        lock(&self.connections).iter().any(|(_, pending)| pending.is_open())
    }

    pub(in crate::bus) fn is_lost(&self) -> bool {
        lock(&self.connections).iter().any(|(_, pending)| pending.is_lost())
    }

    pub(in crate::bus) async fn request(
        &self,
        body: &[u8],
        deadline: Instant,
        farewell: Option<Farewell<'_>>,
    ) -> Outcome {
        check(body)?;
        if let Some(pending) = Home::remembered().and_then(|home| self.first(home)) {
            return Waiting::new(pending, body, deadline, farewell).await;
        }
        let runtime = Handle::try_current().map_or_else(|_| own_runtime(), Ok)?;
        let home = Home::of(&runtime);
        if let Some(pending) = self.first(home) {
            drop(runtime);
            return Waiting::new(pending, body, deadline, farewell).await;
        }
        let pending = self.connect_async(&runtime, deadline).await?;
        let _ = self.first.set((home, Arc::clone(&pending)));
        Waiting::new(&pending, body, deadline, farewell).await
    }

    pub(in crate::bus) fn request_blocking(&self, body: &[u8], timeout: Duration) -> Outcome {
        check(body)?;
        let deadline = deadline(timeout);
        if let Some(pending) = self.first(Home::Threads) {
            return caller::request(pending, body, deadline);
        }
        let wait = deadline.saturating_duration_since(Instant::now()).min(CONNECT_WAIT);
        let standing = standing(&lock(&self.connections), Home::Threads)?;
        let pending = match standing {
            Some(pending) => pending,
            None => {
                // May wait, so not under the lock. Two threads at once make two connections, and one is used then.
                let socket = self.reach(wait.max(Duration::from_millis(1))).map_err(unreachable)?;
                keep(&mut lock(&self.connections), Home::Threads, socket)
            }
        };
        let _ = self.first.set((Home::Threads, Arc::clone(&pending)));
        caller::request(&pending, body, deadline)
    }

    fn reach(&self, wait: Duration) -> Result<OwnedFd, Errno> {
        socket::connect(&self.path, &self.counterpart, &REQUESTER, wait)
    }

    async fn connect_async(&self, runtime: &Handle, deadline: Instant) -> Result<Arc<Pending>, RequestError> {
        let home = Home::Runtime(runtime.id());
        let until = deadline.min(Instant::now() + CONNECT_WAIT);
        loop {
            match self.connect_now(home)? {
                Some((pending, false)) => return Ok(pending),
                Some((pending, true)) => {
                    runtime.spawn(task::drive(Arc::clone(&pending)));
                    return Ok(pending);
                }
                None if Instant::now() < until => {
                    let pause = {
                        let _context = runtime.enter();
                        tokio::time::sleep(TRY_AGAIN)
                    };
                    pause.await;
                }
                None => return Err(RequestError::NotSent),
            }
        }
    }

    /// The connection of that home, and whether it is new; `None` where the listener's backlog is full.
    fn connect_now(&self, home: Home) -> Result<Option<(Arc<Pending>, bool)>, RequestError> {
        let mut connections = lock(&self.connections);
        if let Some(pending) = standing(&connections, home)? {
            return Ok(Some((pending, false)));
        }
        match self.reach(Duration::ZERO) {
            Ok(socket) => Ok(Some((keep(&mut connections, home, socket), true))),
            Err(Errno::AGAIN) => Ok(None),
            Err(error) => Err(unreachable(error)),
        }
    }
}

type Connections = Vec<(Home, Arc<Pending>)>;

/// The connection of that home; an error where the other side has ended one.
fn standing(connections: &Connections, home: Home) -> Result<Option<Arc<Pending>>, RequestError> {
    match connections.iter().find(|(of, pending)| *of == home && !pending.is_over()) {
        Some((_, pending)) => Ok(Some(Arc::clone(pending))),
        None if connections.iter().any(|(_, pending)| pending.is_lost()) => Err(RequestError::NotSent),
        None => Ok(None),
    }
}

fn keep(connections: &mut Connections, home: Home, socket: OwnedFd) -> Arc<Pending> {
    let pending = Arc::new(Pending::new(socket));
    connections.retain(|(_, pending)| !pending.is_over() || pending.is_lost());
    connections.push((home, Arc::clone(&pending)));
    pending
}

/// When that time is over.
pub(in crate::bus) fn deadline(timeout: Duration) -> Instant {
    Instant::now() + timeout.min(LONGEST)
}

fn check(body: &[u8]) -> Result<(), RequestError> {
    if body.len() > MAX_MESSAGE { Err(RequestError::TooLarge(body.len())) } else { Ok(()) }
}

fn unreachable(error: Errno) -> RequestError {
    match error {
        Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS => RequestError::Transport(error.to_string()),
        // Nobody there, or nobody who takes connections.
        _ => RequestError::NotSent,
    }
}

/// The runtime of callers that have none: one thread for all of them.
fn own_runtime() -> Result<Handle, RequestError> {
    static OWN: OnceLock<Result<Handle, String>> = OnceLock::new();
    let own = OWN.get_or_init(|| {
        let runtime =
            runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let handle = runtime.handle().clone();
        let run = move || runtime.block_on(std::future::pending::<()>());
        let thread = std::thread::Builder::new().name("plugbus-calls".into()).spawn(run);
        thread.map(|_| handle).map_err(|error| error.to_string())
    });
    own.clone().map_err(RequestError::Transport)
}

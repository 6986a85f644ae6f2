//! REQ: a connection for each way of waiting, so that no caller depends on whether another one gets to run.
//!
//! Callers on plain threads share one connection and drive it themselves. Callers on a tokio runtime share one
//! that a task of that runtime drives. Callers on any other runtime are served by a thread of this library. Nothing
//! is ever sent twice: only what has surely not left goes out again, on a new connection.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tokio::runtime::{self, Handle};

use super::caller::{self, is_unsent};
use super::pending::{CONNECT_WAIT, Outcome, Pending};
use super::task::{self, Waiting};
use super::{lock, socket};
use crate::bus::{Endpoint, RequestError};
use crate::wire::MAX_MESSAGE;

/// How soon a listener with a full backlog is tried again; nothing reports that it has room.
const TRY_AGAIN: Duration = Duration::from_millis(5);

/// Sends requests to one endpoint, any number at a time.
#[derive(Debug)]
pub(in crate::bus) struct Requester {
    path: PathBuf,
    connections: Mutex<Vec<(Home, Arc<Pending>)>>,
}

/// Who drives a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Home {
    Threads,
    Runtime(runtime::Id),
}

impl Drop for Requester {
    fn drop(&mut self) {
        for (_, pending) in lock(&self.connections).drain(..) {
            pending.close();
        }
    }
}

impl Requester {
    pub(in crate::bus) fn dial(endpoint: &Endpoint) -> Self {
        Self { path: endpoint.path().into(), connections: Mutex::default() }
    }

    pub(in crate::bus) fn is_connected(&self) -> bool {
        lock(&self.connections).iter().any(|(_, pending)| pending.is_open())
    }

    pub(in crate::bus) async fn request(&self, body: &[u8], timeout: Duration) -> Outcome {
        let deadline = check(body, timeout)?;
        let runtime = Handle::try_current().map_or_else(|_| own_runtime(), Ok)?;
        let (pending, used) = self.connect_async(&runtime, deadline).await?;
        let outcome = exchange(&pending, body, deadline).await;
        if used && is_unsent(&outcome) && pending.is_over() {
            // It broke while nobody used it.
            let (pending, _) = self.connect_async(&runtime, deadline).await?;
            return exchange(&pending, body, deadline).await;
        }
        outcome
    }

    pub(in crate::bus) fn request_blocking(&self, body: &[u8], timeout: Duration) -> Outcome {
        let deadline = check(body, timeout)?;
        let (pending, used) = self.connect_blocking(deadline)?;
        let outcome = caller::request(&pending, body, deadline);
        if used && is_unsent(&outcome) && pending.is_over() {
            let (pending, _) = self.connect_blocking(deadline)?;
            return caller::request(&pending, body, deadline);
        }
        outcome
    }

    async fn connect_async(&self, runtime: &Handle, deadline: Instant) -> Result<(Arc<Pending>, bool), RequestError> {
        let until = deadline.min(Instant::now() + CONNECT_WAIT);
        loop {
            match self.connect(Home::Runtime(runtime.id()), Duration::ZERO) {
                Ok((pending, used)) => {
                    if !used {
                        runtime.spawn(task::drive(Arc::clone(&pending)));
                    }
                    return Ok((pending, used));
                }
                Err(Errno::AGAIN) if Instant::now() < until => {
                    let pause = {
                        let _context = runtime.enter();
                        tokio::time::sleep(TRY_AGAIN)
                    };
                    pause.await;
                }
                Err(error) => return Err(unreachable(error)),
            }
        }
    }

    fn connect_blocking(&self, deadline: Instant) -> Result<(Arc<Pending>, bool), RequestError> {
        let wait = deadline.saturating_duration_since(Instant::now()).min(CONNECT_WAIT);
        self.connect(Home::Threads, wait.max(Duration::from_millis(1))).map_err(unreachable)
    }

    /// The connection of that home, and whether it was there before.
    fn connect(&self, home: Home, wait: Duration) -> Result<(Arc<Pending>, bool), Errno> {
        let mut connections = lock(&self.connections);
        if let Some((_, pending)) = connections.iter().find(|(of, pending)| *of == home && !pending.is_over()) {
            return Ok((Arc::clone(pending), true));
        }
        connections.retain(|(_, pending)| !pending.is_over());
        if wait.is_zero() {
            let pending = Arc::new(Pending::new(socket::connect(&self.path, wait)?));
            connections.push((home, Arc::clone(&pending)));
            return Ok((pending, false));
        }
        // May wait; two threads that connect at once make two connections, and the later one is kept.
        drop(connections);
        let pending = Arc::new(Pending::new(socket::connect(&self.path, wait)?));
        lock(&self.connections).push((home, Arc::clone(&pending)));
        Ok((pending, false))
    }
}

async fn exchange(pending: &Pending, body: &[u8], deadline: Instant) -> Outcome {
    let id = pending.begin(body, deadline)?;
    Waiting::new(pending, id).await
}

fn check(body: &[u8], timeout: Duration) -> Result<Instant, RequestError> {
    /// As good as no deadline, and no overflow.
    const LONGEST: Duration = Duration::from_secs(60 * 60 * 24 * 365);
    if body.len() > MAX_MESSAGE {
        return Err(RequestError::TooLarge(body.len()));
    }
    Ok(Instant::now() + timeout.min(LONGEST))
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

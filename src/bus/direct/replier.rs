//! REP: a listening socket and the crew that serves it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::crew::{Attendant, Crew, Limits};
use super::incoming::Incoming;
use super::socket::{self, SocketFile};
use crate::bus::counterpart::Counterpart;
use crate::bus::{BusError, Endpoint, Guests};

/// As long as NNG gives.
pub(super) const GREETING: Duration = Duration::from_secs(10);

/// The largest message takes some milliseconds; a caller that is swapped out, or looked at in a debugger, gets more.
const FRAME: Duration = Duration::from_secs(60);

/// A peer that reads nothing for this long will not read at all.
const UNREAD: Duration = Duration::from_secs(30);

/// Answers requests at one endpoint.
#[derive(Debug)]
pub(in crate::bus) struct Replier {
    crew: Arc<Crew>,
    incoming: mpsc::UnboundedReceiver<Incoming>,
    file: SocketFile,
}

impl Replier {
    pub(in crate::bus) fn listen(endpoint: &Endpoint, room: usize, guests: &Guests) -> Result<Self, BusError> {
        let limits = Limits { greeting: GREETING, frame: FRAME, unread: UNREAD, room };
        Self::listen_with(endpoint, limits, guests)
    }

    pub(in crate::bus) fn listen_with(
        endpoint: &Endpoint,
        limits: Limits,
        guests: &Guests,
    ) -> Result<Self, BusError> {
        let refused = |error| socket::refused(endpoint, error);
        let listener = socket::listen(endpoint.path()).map_err(refused)?;
        let file = SocketFile::of(endpoint.path());
        // Bounded by the room: no more are handed out than that.
        let (sender, incoming) = mpsc::unbounded_channel();
        let counterpart = Counterpart::at(endpoint).welcoming(guests);
        let crew = Crew::new((listener, counterpart), limits, sender).map_err(refused)?;
        let replier = Self { crew, incoming, file };
        // One who stands by, and the workers: they find their places themselves.
        for _ in 0..=replier.crew.places() {
            let hired = replier.crew.hire();
            hired.map_err(|error| BusError::transport("start threads for", endpoint, error))?;
        }
        Ok(replier)
    }

    /// Has requests run on the thread that has read them, from now on, and within the runtime of the caller, if any.
    pub(in crate::bus) fn attend(&self, attendant: Attendant) {
        self.crew.attend(attendant);
    }

    /// Takes no more requests, and ends when those that were sent before are answered and their answers have left.
    pub(in crate::bus) fn hang_up(&self) -> impl Future<Output = ()> + Send + 'static {
        self.file.remove();
        let crew = Arc::clone(&self.crew);
        crew.door.close();
        async move { crew.door.until_empty().await }
    }

    /// What has nothing more received, from anywhere.
    pub(in crate::bus) fn bolt(&self) -> impl Fn() + Send + Sync + 'static {
        let crew = Arc::clone(&self.crew);
        move || crew.door.close()
    }

    #[cfg(test)]
    pub(super) fn crew(&self) -> &Crew {
        &self.crew
    }

    pub(in crate::bus) async fn next(&mut self) -> Option<Incoming> {
        self.incoming.recv().await
    }
}

impl Drop for Replier {
    fn drop(&mut self) {
        // First, so that nobody finds a file at which nobody listens.
        self.file.remove();
        self.crew.stop();
    }
}

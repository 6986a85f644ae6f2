//! One process's output while it is captured, whoever reads it.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::chunk::{LineCutter, Stream};
use super::reader::{Reader, open};
use super::sink::Orders;
use super::{Queue, Source};

/// How long the pipes of a process that has exited are read on, when something else holds them open.
const DRAIN: Duration = Duration::from_secs(2);

/// The capture of one process's two pipes; dropping it changes nothing.
#[derive(Debug)]
pub(in crate::supervisor) struct Capture {
    source: Arc<Source>,
    /// True when both pipes have ended, and all they held is remembered.
    ended: watch::Receiver<bool>,
    reading: Reading,
}

/// Who reads, to be told when it is enough.
#[derive(Debug)]
pub(super) enum Reading {
    Here(Vec<AbortHandle>),
    Sink(Orders),
}

impl Capture {
    pub(super) fn new(source: Arc<Source>, ended: watch::Receiver<bool>, reading: Reading) -> Self {
        Self { source, ended, reading }
    }

    /// Waits a moment for the last words of a process whose group is gone; answers the line that says best why it ended.
    ///
    /// A grandchild that left the group may hold the pipes open. They are read on for a while in the
    /// background, so that it is not killed by SIGPIPE at once, but a restart does not wait for it.
    pub(in crate::supervisor) async fn last_words(mut self, patience: Duration) -> Option<String> {
        // An error means that nobody reads any more, and then there is nothing to wait for.
        let end = self.ended.wait_for(|ended| *ended);
        if tokio::time::timeout(patience, end).await.is_err() {
            tracing::debug!(plugin = self.source.name, "something still holds its output open");
            let Self { source, mut ended, reading } = self;
            let instance = source.instance.clone();
            tokio::spawn(async move {
                if tokio::time::timeout(DRAIN, ended.wait_for(|ended| *ended)).await.is_err() {
                    reading.end(instance);
                }
            });
            return source.last_words();
        }
        self.source.last_words()
    }
}

impl Reading {
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Here(readers) => readers.iter().all(AbortHandle::is_finished),
            Self::Sink(_) => false,
        }
    }

    pub(super) fn end(self, instance: String) {
        match self {
            Self::Here(readers) => readers.iter().for_each(AbortHandle::abort),
            Self::Sink(orders) => orders.release(instance),
        }
    }
}

/// Reads pipes in this process; `ended` becomes true when all of them have ended.
pub(super) fn read_here(
    pipes: Vec<(Stream, OwnedFd)>,
    source: &Arc<Source>,
    queue: &Arc<Queue>,
    ended: watch::Sender<bool>,
) -> Reading {
    let mut readers = Vec::new();
    for (stream, fd) in pipes {
        match open(fd) {
            Ok(pipe) => {
                let (source, queue) = (Arc::clone(source), Arc::clone(queue));
                readers
                    .push(tokio::spawn(Reader { pipe, stream, source, queue, cutter: LineCutter::default() }.run()));
            }
            Err(error) => tracing::error!(%error, plugin = source.name, "its output cannot be read"),
        }
    }
    let handles = readers.iter().map(tokio::task::JoinHandle::abort_handle).collect();
    tokio::spawn(async move {
        for reader in readers {
            let _ = reader.await;
        }
        ended.send_replace(true);
    });
    Reading::Here(handles)
}

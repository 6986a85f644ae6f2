//! What plugins print: captured, kept in log files, and never able to hold a plugin up.
//!
//! Theory of operation: each pipe has a task that reads as fast as the plugin writes ([`capture`]). What it reads
//! goes into one [`Queue`] with a bound in bytes. When that is full, a task waits once, briefly, and from then on
//! lines are dropped and counted, because the alternative is a plugin that stands still in `write`. One thread ([`writer`]) takes from the queue and does
//! all that can block: log files, their rotation, the event log, and the supervisor's own tracing. A disk that is
//! full or a terminal that does not read stops that thread, and nothing else.

mod capture;
mod chunk;
mod file;
mod queue;
mod source;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

pub(super) use capture::Capture;
pub(super) use queue::{Queue, Record};
pub(super) use source::Source;
use writer::Writer;

use super::LogSpec;

/// How long the end of a supervisor waits for a disk that does not take what is left.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// The way in to the one writer thread; ends it when closed or dropped.
#[derive(Debug)]
pub(super) struct Output {
    queue: Arc<Queue>,
    written: oneshot::Receiver<()>,
}

impl Output {
    /// Starts the writer thread for a log directory.
    ///
    /// # Errors
    /// Where the system has no room for a thread.
    pub(super) fn start(directory: PathBuf, spec: LogSpec) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let of_thread = Arc::clone(&queue);
        let (done, written) = oneshot::channel();
        thread::Builder::new().name("plugbus-output".into()).spawn(move || {
            Writer::new(directory, spec).run(&of_thread);
            // Nobody waits for it where the output was just dropped.
            let _ = done.send(());
        })?;
        Ok(Self { queue, written })
    }

    /// Where pipes and the journal put what they have.
    pub(super) fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.queue)
    }

    /// Lets the thread write what is queued and end; waits for it, but not for ever.
    pub(super) async fn close(mut self) {
        self.queue.close();
        if tokio::time::timeout(LAST_WRITES, &mut self.written).await.is_err() {
            tracing::error!("the last of the logs could not be written: the disk does not answer");
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.queue.close();
    }
}

//! What plugins print: captured, kept in log files, and never able to hold a plugin up.
//!
//! Theory of operation: each pipe has a task that reads as fast as the plugin writes ([`capture`]). What it reads
//! goes into one [`Queue`] with a bound in bytes; when that is full, lines are dropped and counted, because the
//! alternative is a plugin that stands still in `write`. One thread ([`writer`]) takes from the queue and does
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
use std::thread::{self, JoinHandle};

pub(super) use capture::Capture;
pub(super) use queue::{Queue, Record};
pub(super) use source::Source;
use writer::Writer;

use super::LogSpec;

/// The way in to the one writer thread; ends it when closed or dropped.
#[derive(Debug)]
pub(super) struct Output {
    queue: Arc<Queue>,
    writer: Option<JoinHandle<()>>,
}

impl Output {
    /// Starts the writer thread for a log directory.
    ///
    /// # Errors
    /// Where the system has no room for a thread.
    pub(super) fn start(directory: PathBuf, spec: LogSpec) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let of_thread = Arc::clone(&queue);
        let writer = thread::Builder::new()
            .name("plugbus-output".into())
            .spawn(move || Writer::new(directory, spec).run(&of_thread))?;
        Ok(Self { queue, writer: Some(writer) })
    }

    /// Where pipes and the journal put what they have.
    pub(super) fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.queue)
    }

    /// Writes what is queued and ends the thread; blocks for as long as the disk does.
    pub(super) fn close(mut self) {
        self.queue.close();
        if let Some(writer) = self.writer.take() {
            // It panicked if this fails, and has said so itself.
            let _ = writer.join();
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.queue.close();
    }
}

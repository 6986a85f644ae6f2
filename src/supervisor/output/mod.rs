//! What plugins print: captured, kept in log files, and never able to hold a plugin up.
//!
//! # Theory of operation
//!
//! Each pipe has a task that reads as fast as the plugin writes (`reader`). What it reads goes into one [`Queue`]
//! with a bound in bytes. When that is full, a task waits once, briefly, and from then on lines are dropped and
//! counted, because the alternative is a plugin that stands still in `write`. One thread (`writer`) takes from the
//! queue and does all that can block: log files, their rotation, the event log, and the supervisor's own tracing. A
//! disk that is full or a terminal that does not read stops that thread, and nothing else.
//!
//! All this may happen in the supervisor itself, or in a process of its own, the *sink* ([`sink`]), which outlives a
//! supervisor that is killed. Both hold the reading ends of all pipes, so either may die without breaking one.

mod capture;
mod chunk;
mod file;
mod last_words;
mod queue;
mod reader;
mod sink;
mod source;
mod voice;
mod writer;

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

pub(super) use capture::Capture;
use capture::{Reading, read_here};
use chunk::Stream;
pub(super) use queue::{Queue, Record};
pub use sink::run_sink;
use sink::{Keeper, Orders, Place};
pub(super) use source::Source;
use voice::{Listener, Voice};
use writer::Writer;

use super::LogSpec;
use crate::bus::{BusDir, Publisher};

/// How long the end of a supervisor waits for a disk that does not take what is left.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// All that captures and writes; ended by [`close`](Self::close), or in the background when dropped.
#[derive(Debug)]
pub(super) struct Output {
    intake: Intake,
    written: oneshot::Receiver<()>,
}

/// Where processes and the journal hand in what they have.
#[derive(Debug, Clone)]
pub(super) struct Intake {
    queue: Arc<Queue>,
    directory: PathBuf,
    orders: Option<Orders>,
}

impl Output {
    /// Starts the writer thread for a bus, and the sink where a program for one is named.
    ///
    /// # Errors
    /// Where the system has no room for a thread.
    pub(super) fn start(
        dir: &BusDir,
        spec: LogSpec,
        sink: Option<Vec<String>>,
        publisher: Option<Publisher>,
    ) -> io::Result<Self> {
        let queue = Arc::new(Queue::after(file::last_seq(&dir.events_log())));
        let writer = Writer::new(dir.log_dir(), spec.clone(), Voice::new(Listener::Tracing));
        let writer = match publisher {
            Some(publisher) => writer.publishing(publisher),
            None => writer,
        };
        let written = start_writer(&queue, writer)?;
        let orders = sink.map(|command| Keeper::start(Place::new(dir, command, spec), &queue));
        Ok(Self { intake: Intake { queue, directory: dir.log_dir(), orders }, written })
    }

    /// The way in.
    pub(super) fn intake(&self) -> Intake {
        self.intake.clone()
    }

    /// Ends everything once it is written; waits for that, but not for ever.
    pub(super) async fn close(self) {
        if let Some(orders) = &self.intake.orders
            && tokio::time::timeout(LAST_WRITES, orders.close()).await.is_err()
        {
            tracing::error!("the last of the logs could not be written: the sink does not end");
        }
        self.write_last().await;
    }

    /// Ends what is in this process; a sink goes on reading what plugins print.
    pub(super) async fn leave(self) {
        if let Some(orders) = &self.intake.orders {
            orders.leave().await;
        }
        self.write_last().await;
    }

    async fn write_last(mut self) {
        self.intake.queue.close();
        if tokio::time::timeout(LAST_WRITES, &mut self.written).await.is_err() {
            tracing::error!("the last of the logs could not be written: the disk does not answer");
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.intake.queue.close();
    }
}

impl Intake {
    /// Where the journal puts its records.
    pub(super) fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.queue)
    }

    /// Captures what a process that was just started prints; needs a runtime around it.
    pub(super) fn capture(&self, source: Arc<Source>, stdout: OwnedFd, stderr: OwnedFd) -> Capture {
        let (end, ended) = watch::channel(false);
        let pipes = vec![(Stream::Out, stdout), (Stream::Err, stderr)];
        let reading = match &self.orders {
            Some(orders) => {
                orders.capture(Arc::clone(&source), pipes, end);
                Reading::Sink(orders.clone())
            }
            None => read_here(pipes, &source, &self.queue, end),
        };
        Capture::new(source, ended, reading)
    }

    /// Goes on capturing what a process prints that an earlier supervisor started.
    ///
    /// Where its pipes are lost, because no sink kept them, its last words are looked for in its log.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub(super) async fn recapture(&self, source: Arc<Source>) -> Capture {
        let (end, ended) = watch::channel(false);
        let found = match &self.orders {
            Some(orders) => orders.recapture(Arc::clone(&source), end).await,
            None => false,
        };
        if !found {
            let (of_task, directory) = (Arc::clone(&source), self.directory.clone());
            // Fails where the runtime is ending, and nobody will ask for the words.
            let _ = tokio::task::spawn_blocking(move || file::recall(&directory, &of_task)).await;
        }
        let reading = match &self.orders {
            Some(orders) => Reading::Sink(orders.clone()),
            None => Reading::Here(Vec::new()),
        };
        Capture::new(source, ended, reading)
    }

    /// Has logs kept otherwise from now on.
    pub(super) fn set_log(&self, spec: LogSpec) {
        if let Some(orders) = &self.orders {
            orders.set_log(spec.clone());
        }
        self.queue.set_spec(spec);
    }
}

fn start_writer(queue: &Arc<Queue>, writer: Writer) -> io::Result<oneshot::Receiver<()>> {
    let of_thread = Arc::clone(queue);
    let (done, written) = oneshot::channel();
    thread::Builder::new().name("plugbus-output".into()).spawn(move || {
        writer.run(&of_thread);
        // Nobody waits for it where the output was just dropped.
        let _ = done.send(());
    })?;
    Ok(written)
}

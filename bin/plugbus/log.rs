//! What the supervisor says, on standard error, without ever waiting for it.
//!
//! A terminal that was stopped with Ctrl-S takes nothing more. Whoever wrote to it directly would stand still, and
//! with the supervisor every survey round. So lines go through a bounded queue to a thread of their own, and are
//! counted and dropped when it is full.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::error::CommandError;
use crate::output;

/// Lines that may wait to be written.
const LINES: usize = 4096;

/// How long the end waits for the last lines to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

enum Item {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Keeps what is logged coming; dropping it writes the last lines.
#[derive(Debug)]
pub(crate) struct Log {
    queue: SyncSender<Item>,
}

impl Log {
    /// Sends tracing's events that pass the filter to standard error.
    pub(crate) fn start(filter: &str) -> Result<Self, CommandError> {
        let parsed = EnvFilter::try_new(filter)
            .map_err(|error| CommandError::Usage(format!("{filter:?} does not say what to log: {error}")))?;
        let (queue, lines) = sync_channel(LINES);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&dropped);
        thread::Builder::new()
            .name("plugbus-log".into())
            .spawn(move || write(&lines, &counted))
            .map_err(CommandError::system("start a thread"))?;
        // The first of a process stays; there is only one command in each.
        let _ = tracing_subscriber::fmt()
            .compact()
            .with_env_filter(parsed)
            .with_ansi(output::stderr_has_color())
            .with_writer(Lines { queue: queue.clone(), dropped })
            // Complaints about the log would go to where the log goes, by a way that panics when that is closed.
            .log_internal_errors(false)
            .try_init();
        Ok(Self { queue })
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let (done, written) = sync_channel(1);
        // A full queue means that nobody takes the lines: the last ones would not be taken either.
        if self.queue.try_send(Item::Flush(done)).is_ok() {
            let _ = written.recv_timeout(LAST_LINES);
        }
    }
}

fn write(lines: &Receiver<Item>, dropped: &AtomicU64) {
    let mut out = io::stderr();
    for item in lines {
        match item {
            // Whatever fails here has nowhere to be told.
            Item::Line(line) => drop(out.write_all(&line)),
            Item::Flush(done) => drop(done.send(())),
        }
        match dropped.swap(0, Ordering::Relaxed) {
            0 => {}
            lost => {
                drop(writeln!(out, "({lost} lines were not shown: they came faster than this terminal takes them)"))
            }
        }
    }
}

/// Gives each event the way into the queue.
struct Lines {
    queue: SyncSender<Item>,
    dropped: Arc<AtomicU64>,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

struct Line<'a>(&'a Lines);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.queue.try_send(Item::Line(line.to_vec())).is_err() {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

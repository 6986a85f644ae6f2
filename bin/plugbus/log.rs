//! What the supervisor says, on standard error, without ever waiting for it.
//!
//! A terminal that was stopped with Ctrl-S takes nothing more. Whoever wrote to it directly would stand still, and
//! with the supervisor every survey round. So lines go through a bounded queue to a thread of their own, and are
//! counted and dropped when it is full.

mod journal;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
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

/// How large the log file of a daemon may grow, in bytes.
const MAX_FILE: u64 = 10 * 1024 * 1024;

/// How long the end waits for the last lines to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

enum Item {
    Line(Vec<u8>),
    /// From now on, standard error is this file.
    MoveTo(PathBuf, SyncSender<io::Result<()>>),
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
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(parsed)
            .with_writer(Lines { queue: queue.clone(), dropped })
            // Complaints about the log would go to where the log goes, by a way that panics when that is closed.
            .log_internal_errors(false);
        let _ = if journal::is_stderr() {
            subscriber.with_ansi(false).event_format(journal::Format).try_init()
        } else {
            subscriber.compact().with_ansi(output::stderr_has_color()).try_init()
        };
        Ok(Self { queue })
    }

    /// Has everything that is said from now on, and everything else on standard error, go to a file.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub(crate) fn move_to(&self, file: &Path) -> io::Result<()> {
        let (done, moved) = sync_channel(1);
        let gone = |_| io::Error::other("the log has ended");
        self.queue.send(Item::MoveTo(file.to_owned(), done)).map_err(|_| io::Error::other("the log has ended"))?;
        moved.recv().map_err(gone)?
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
    let mut file: Option<LogFile> = None;
    for item in lines {
        match item {
            // Whatever fails here has nowhere to be told.
            Item::Line(line) => {
                if let Some(file) = &mut file {
                    file.make_room(line.len() as u64);
                }
                drop(out.write_all(&line));
            }
            Item::MoveTo(path, done) => {
                let moved = LogFile::take_over(path).map(|opened| file = Some(opened));
                drop(done.send(moved));
            }
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

/// The file that stands in for standard error, where panics go as well.
struct LogFile {
    path: PathBuf,
    size: u64,
}

impl LogFile {
    fn take_over(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        rustix::stdio::dup2_stderr(&file)?;
        Ok(Self { size: file.metadata()?.len(), path })
    }

    /// Begins a new file where this one would grow too large; one predecessor is kept.
    fn make_room(&mut self, more: u64) {
        self.size += more;
        if self.size > MAX_FILE && fs::rename(&self.path, self.path.with_extension("log.1")).is_ok() {
            // Fails on a full disk; then it goes on in the old file.
            if let Ok(new) = Self::take_over(self.path.clone()) {
                *self = new;
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

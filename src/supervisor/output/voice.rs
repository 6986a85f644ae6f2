//! Where a writer tells people what it does: tracing, or the supervisor on whose behalf it writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::chunk::{Chunk, Stream};
use super::sink::News;

/// Output that is shown in a [`PERIOD`], in bytes: the log files have all of it, and nobody reads faster.
const MAX_SHOWN: usize = 128 * 1024;

const PERIOD: Duration = Duration::from_millis(100);

/// What is said, and how much of it.
#[derive(Debug)]
pub(super) struct Voice {
    to: Listener,
    since: Instant,
    shown: usize,
    /// Lines that were not shown.
    withheld: u64,
}

/// Who hears it.
#[derive(Debug)]
pub(super) enum Listener {
    /// The tracing of this process.
    Tracing,
    /// Whatever supervisor is connected, which may or may not wish to show output.
    Supervisor { news: mpsc::Sender<News>, show: Arc<AtomicBool> },
}

impl Voice {
    pub(super) fn new(to: Listener) -> Self {
        Self { to, since: Instant::now(), shown: 0, withheld: 0 }
    }

    /// Shows lines as they are printed; in a flood some of them.
    pub(super) fn show(&mut self, chunk: &Chunk) {
        let wanted = match &self.to {
            Listener::Tracing => shows_output(),
            Listener::Supervisor { show, .. } => show.load(Ordering::Relaxed),
        };
        if !wanted {
            return;
        }
        if self.since.elapsed() >= PERIOD {
            (self.since, self.shown) = (Instant::now(), 0);
        }
        if self.shown + chunk.text.len() > MAX_SHOWN {
            self.withheld += chunk.count_lines();
            return;
        }
        self.shown += chunk.text.len();
        let withheld = std::mem::take(&mut self.withheld);
        let (name, stream) = (&chunk.source.name, chunk.stream);
        match &self.to {
            Listener::Tracing => show(name, stream, &String::from_utf8_lossy(&chunk.text), withheld),
            Listener::Supervisor { news, .. } => {
                let text = String::from_utf8_lossy(&chunk.text).into_owned();
                let shown = News::Shown { name: name.clone(), stream, text, withheld };
                if news.try_send(shown).is_err() {
                    self.withheld += withheld + chunk.count_lines();
                }
            }
        }
    }

    /// Something that somebody should look at, or that is well again.
    pub(super) fn note(&self, is_error: bool, text: String) {
        match &self.to {
            Listener::Tracing => note(is_error, &text),
            // A sink without a supervisor has nobody to tell; the log files themselves say what is missing.
            Listener::Supervisor { news, .. } => drop(news.try_send(News::Note { is_error, text })),
        }
    }
}

/// Whether anybody wants to see what plugins print.
pub(super) fn shows_output() -> bool {
    tracing::enabled!(target: "plugbus::output", tracing::Level::INFO)
}

pub(super) fn show(name: &str, stream: Stream, text: &str, withheld: u64) {
    if withheld > 0 {
        tracing::info!(target: "plugbus::output", plugin = name, "{withheld} more lines are in the log files alone");
    }
    for line in text.lines() {
        tracing::info!(target: "plugbus::output", plugin = name, stream = stream.as_str(), "{line}");
    }
}

pub(super) fn note(is_error: bool, text: &str) {
    match is_error {
        true => tracing::error!("{text}"),
        false => tracing::info!("{text}"),
    }
}

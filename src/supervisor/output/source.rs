//! One process's output: whose it is, and the last of it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::chunk::Stream;

/// Lines that are kept in memory of each process.
const RECENT: usize = 20;

/// The longest part of a line that is kept in memory, in bytes.
const MAX_RECENT: usize = 512;

/// Where captured output comes from: one instance of one plugin.
#[derive(Debug)]
pub(in crate::supervisor) struct Source {
    pub(super) name: String,
    pub(super) instance: String,
    recent: Mutex<Recent>,
    /// Lines dropped that the log file does not yet tell of.
    untold: AtomicU64,
    /// Lines dropped of this unit, over all its processes.
    dropped: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Recent {
    lines: VecDeque<String>,
    last_error: Option<String>,
}

impl Source {
    pub(in crate::supervisor) fn new(name: &str, instance: &str, dropped: Arc<AtomicU64>) -> Self {
        Self {
            name: name.into(),
            instance: instance.into(),
            recent: Mutex::default(),
            untold: AtomicU64::new(0),
            dropped,
        }
    }

    /// The newest line of standard error.
    pub(in crate::supervisor) fn last_error(&self) -> Option<String> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).last_error.clone()
    }

    /// The newest lines of both streams, the oldest first.
    pub(in crate::supervisor) fn recent(&self) -> Vec<String> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).lines.iter().cloned().collect()
    }

    /// Keeps the newest of some whole lines.
    pub(super) fn remember(&self, stream: Stream, lines: &[u8]) {
        let lines = lines.strip_suffix(b"\n").unwrap_or(lines);
        let newest: Vec<_> = lines.rsplit(|byte| *byte == b'\n').take(RECENT).map(clip).collect();
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if stream == Stream::Err
            && let Some(line) = newest.iter().find(|line| !line.trim().is_empty())
        {
            recent.last_error = Some(line.clone());
        }
        for line in newest.into_iter().rev() {
            if recent.lines.len() == RECENT {
                recent.lines.pop_front();
            }
            recent.lines.push_back(line);
        }
    }

    pub(super) fn count_dropped(&self, lines: u64) {
        self.untold.fetch_add(lines, Ordering::Relaxed);
        self.dropped.fetch_add(lines, Ordering::Relaxed);
    }

    /// Takes back what could not be told.
    pub(super) fn tell_again(&self, lines: u64) {
        self.untold.fetch_add(lines, Ordering::Relaxed);
    }

    /// The lines dropped since this was last asked.
    pub(super) fn take_untold(&self) -> u64 {
        self.untold.swap(0, Ordering::Relaxed)
    }
}

fn clip(line: &[u8]) -> String {
    String::from_utf8_lossy(&line[..line.len().min(MAX_RECENT)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept() {
        let source = Source::new("a", "b", Arc::default());
        assert_eq!((source.last_error(), source.recent().len()), (None, 0));
        source.remember(Stream::Out, b"one\n");
        source.remember(Stream::Err, b"two\nthree\n \n");
        source.remember(Stream::Out, b"four\n");
        assert_eq!(source.recent(), ["one", "two", "three", " ", "four"]);
        assert_eq!(source.last_error().unwrap(), "three");
        source.remember(Stream::Out, "x\n".repeat(1000).as_bytes());
        assert_eq!(source.recent(), ["x"; RECENT]);
        source.remember(Stream::Err, &[0xff; 4000]);
        assert!(source.last_error().unwrap().chars().count() <= MAX_RECENT);
    }
}

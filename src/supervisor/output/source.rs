//! One process's output: whose it is, and the last of it.
//!
//! Where a sink reads the pipes, the source there is the true one; the supervisor's mirrors what the sink tells of it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::chunk::Stream;
use super::last_words::{LastWords, clip};

/// Lines that are kept in memory of each process.
const RECENT: usize = 20;

/// Where captured output comes from: one instance of one plugin.
#[derive(Debug)]
pub(in crate::supervisor) struct Source {
    pub(super) name: String,
    pub(super) instance: String,
    recent: Mutex<Recent>,
    /// Something was said since this was last looked at, and who is woken by that.
    news: AtomicBool,
    bell: Option<Arc<Notify>>,
    /// Bytes that wait in the queue.
    pub(super) queued: AtomicUsize,
    /// Lines dropped that the log file does not yet tell of.
    untold: AtomicU64,
    /// Lines dropped of this unit, over all its processes.
    dropped: Arc<AtomicU64>,
    /// What a sink has told of them.
    mirrored: AtomicU64,
}

#[derive(Debug, Default)]
struct Recent {
    lines: VecDeque<String>,
    last_error: Option<String>,
    words: LastWords,
    /// The best of it, as a sink found it.
    told_words: Option<String>,
}

/// What is known of one process's output, as a sink tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) recent: Vec<String>,
    pub(super) last_error: Option<String>,
    pub(super) last_words: Option<String>,
    /// Lines dropped of this process.
    pub(super) dropped: u64,
}

impl Source {
    pub(in crate::supervisor) fn new(name: &str, instance: &str, dropped: Arc<AtomicU64>) -> Self {
        Self {
            name: name.into(),
            instance: instance.into(),
            recent: Mutex::default(),
            news: AtomicBool::new(false),
            bell: None,
            queued: AtomicUsize::new(0),
            untold: AtomicU64::new(0),
            dropped,
            mirrored: AtomicU64::new(0),
        }
    }

    /// One that counts for itself, and wakes somebody when there is something to tell.
    pub(super) fn with_bell(name: &str, instance: &str, bell: &Arc<Notify>) -> Self {
        Self { bell: Some(Arc::clone(bell)), ..Self::new(name, instance, Arc::default()) }
    }

    /// The newest line of standard error.
    pub(in crate::supervisor) fn last_error(&self) -> Option<String> {
        self.lock().last_error.clone()
    }

    /// The line that says best why the process ended: a panic or a fatal error, else the newest of standard error.
    pub(in crate::supervisor) fn last_words(&self) -> Option<String> {
        let recent = self.lock();
        let words = recent.words.fatal(Instant::now()).or(recent.told_words.as_deref());
        words.or(recent.last_error.as_deref()).map(str::to_owned)
    }

    /// The newest lines of both streams, the oldest first.
    pub(in crate::supervisor) fn recent(&self) -> Vec<String> {
        self.lock().lines.iter().cloned().collect()
    }

    /// Keeps the newest of some whole lines.
    pub(super) fn remember(&self, stream: Stream, text: &[u8]) {
        let lines = text.strip_suffix(b"\n").unwrap_or(text);
        let newest: Vec<_> = memchr::memrchr_iter(b'\n', lines)
            .map(|end| end + 1)
            .chain([0])
            .scan(lines.len(), |end, start| {
                let line = &lines[start..*end];
                *end = start.saturating_sub(1);
                Some(clip(line))
            })
            .take(RECENT)
            .collect();
        let mut recent = self.lock();
        if stream == Stream::Err {
            recent.words.hear(text, Instant::now());
            if let Some(line) = newest.iter().find(|line| !line.trim().is_empty()) {
                recent.last_error = Some(line.clone());
            }
        }
        for line in newest.into_iter().rev() {
            if recent.lines.len() == RECENT {
                recent.lines.pop_front();
            }
            recent.lines.push_back(line);
        }
        drop(recent);
        self.is_news();
    }

    fn is_news(&self) {
        if let (false, Some(bell)) = (self.news.swap(true, Ordering::Relaxed), &self.bell) {
            bell.notify_one();
        }
    }

    /// What there is to tell, where something is new.
    pub(super) fn take_news(&self) -> Option<Told> {
        self.news.swap(false, Ordering::Relaxed).then(|| self.told())
    }

    /// Everything there is to tell.
    pub(super) fn told(&self) -> Told {
        Told {
            recent: self.recent(),
            last_error: self.last_error(),
            last_words: self.last_words(),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }

    /// Takes over what a sink tells.
    pub(super) fn mirror(&self, told: Told) {
        let before = self.mirrored.swap(told.dropped, Ordering::Relaxed);
        self.dropped.fetch_add(told.dropped.saturating_sub(before), Ordering::Relaxed);
        let mut recent = self.lock();
        recent.lines = told.recent.into_iter().take(RECENT).collect();
        recent.last_error = told.last_error;
        recent.told_words = told.last_words;
    }

    /// Another sink begins to count anew.
    pub(super) fn mirror_anew(&self) {
        self.mirrored.store(0, Ordering::Relaxed);
    }

    pub(super) fn count_dropped(&self, lines: u64) {
        self.untold.fetch_add(lines, Ordering::Relaxed);
        self.dropped.fetch_add(lines, Ordering::Relaxed);
        self.is_news();
    }

    /// Whether the log does not tell yet of all lines that were dropped.
    pub(super) fn owes(&self) -> bool {
        self.untold.load(Ordering::Relaxed) > 0
    }

    /// Takes back what could not be told.
    pub(super) fn tell_again(&self, lines: u64) {
        self.untold.fetch_add(lines, Ordering::Relaxed);
    }

    /// The lines dropped since this was last asked.
    pub(super) fn take_untold(&self) -> u64 {
        self.untold.swap(0, Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        source.remember(Stream::Out, b"four\n\nfive");
        assert_eq!(source.recent(), ["one", "two", "three", " ", "four", "", "five"]);
        assert_eq!(source.last_error().unwrap(), "three");
        source.remember(Stream::Out, "x\n".repeat(1000).as_bytes());
        assert_eq!(source.recent(), ["x"; RECENT]);
        source.remember(Stream::Err, &[0xff; 4000]);
        assert!(source.last_error().unwrap().chars().count() <= 512);
    }

    #[test]
    fn the_best_line_is_the_last_word() {
        let source = Source::new("a", "b", Arc::default());
        source.remember(Stream::Err, b"one\n");
        assert_eq!(source.last_words().unwrap(), "one");
        source.remember(Stream::Out, b"panic: not on standard error\n");
        source.remember(Stream::Err, b"panic: no\n\ngoroutine 1\n");
        assert_eq!(
            (source.last_words().unwrap(), source.last_error().unwrap()),
            ("panic: no".into(), "goroutine 1".into())
        );
    }

    #[test]
    fn a_mirror_shows_what_it_is_told_and_counts_for_the_unit() {
        let (unit, there) = (Arc::new(AtomicU64::new(7)), Source::new("a", "b", Arc::default()));
        let here = Source::new("a", "b", Arc::clone(&unit));
        there.remember(Stream::Err, b"FATAL one\ntwo\n");
        there.remember(Stream::Out, b"three\n");
        there.count_dropped(5);
        here.mirror(there.take_news().unwrap());
        assert!(there.take_news().is_none());
        assert_eq!(here.recent(), ["FATAL one", "two", "three"]);
        assert_eq!((here.last_error().unwrap(), here.last_words().unwrap()), ("two".into(), "FATAL one".into()));
        there.count_dropped(1);
        here.mirror(there.told());
        assert_eq!(unit.load(Ordering::Relaxed), 13);
        here.mirror_anew();
        here.mirror(Told { dropped: 2, ..Told::default() });
        assert_eq!(unit.load(Ordering::Relaxed), 15);
    }
}

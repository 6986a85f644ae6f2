//! The one queue between everything that has something to write and the thread that writes it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::chunk::Chunk;

/// Output that may wait to be written, in bytes.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Lines of the event log that may wait; they are few, and worth more than output.
const MAX_RECORDS: usize = 4096;

/// One line of the event log, and how the supervisor's own tracing tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) struct Record {
    /// The line, in JSON.
    pub(in crate::supervisor) json: String,
    /// The same for people.
    pub(in crate::supervisor) words: String,
    /// Whether somebody should look at it.
    pub(in crate::supervisor) is_warning: bool,
}

/// What the writer finds when it looks.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) records: VecDeque<Record>,
    pub(super) chunks: VecDeque<Chunk>,
    /// Records that were dropped because there were too many.
    pub(super) lost_records: u64,
}

/// Waits for nothing on the way in: what does not fit is dropped and counted.
#[derive(Debug, Default)]
pub(in crate::supervisor) struct Queue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    batch: Batch,
    bytes: usize,
    closed: bool,
}

impl Queue {
    /// Adds output, or counts it as dropped with its source.
    pub(super) fn push_chunk(&self, chunk: Chunk) {
        let mut waiting = self.lock();
        if waiting.closed || waiting.bytes + chunk.text.len() > MAX_BYTES {
            drop(waiting);
            chunk.source.count_dropped(chunk.count_lines());
            return;
        }
        waiting.bytes += chunk.text.len();
        waiting.batch.chunks.push_back(chunk);
        drop(waiting);
        self.wake.notify_one();
    }

    /// Adds a line of the event log.
    pub(in crate::supervisor) fn push_record(&self, record: Record) {
        let mut waiting = self.lock();
        if waiting.batch.records.len() == MAX_RECORDS {
            waiting.batch.records.pop_front();
            waiting.batch.lost_records += 1;
        }
        waiting.batch.records.push_back(record);
        drop(waiting);
        self.wake.notify_one();
    }

    /// Lets the writer end once it has written what is there.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// Waits for something to write and takes all of it; `None` once closed and empty.
    pub(super) fn take(&self) -> Option<Batch> {
        let mut waiting = self.lock();
        while waiting.batch.is_empty() {
            if waiting.closed {
                return None;
            }
            waiting = self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.bytes = 0;
        Some(std::mem::take(&mut waiting.batch))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.chunks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::SystemTime;

    use super::super::Source;
    use super::super::chunk::Stream;
    use super::*;

    fn record(json: String) -> Record {
        Record { json, words: String::new(), is_warning: false }
    }

    #[test]
    fn invariant_6_a_full_queue_drops_and_counts() {
        let queue = Queue::default();
        let dropped = Arc::new(AtomicU64::new(0));
        let source = Arc::new(Source::new("a", "b", Arc::clone(&dropped)));
        let text = b"0123456789abcde\n".repeat(4096);
        let chunk = || Chunk {
            source: Arc::clone(&source),
            stream: Stream::Out,
            at: SystemTime::UNIX_EPOCH,
            text: text.clone(),
        };
        let fits = MAX_BYTES / text.len();
        for _ in 0..fits + 3 {
            queue.push_chunk(chunk());
        }
        assert_eq!(dropped.load(Ordering::Relaxed), 3 * 4096);
        assert_eq!(source.take_untold(), 3 * 4096);
        assert_eq!(queue.take().unwrap().chunks.len(), fits);
        queue.push_chunk(chunk());
        assert_eq!(queue.take().unwrap().chunks.len(), 1, "room again once it was taken");
    }

    #[test]
    fn records_are_bounded_and_the_newest_stay() {
        let queue = Queue::default();
        for number in 0..MAX_RECORDS + 2 {
            queue.push_record(record(number.to_string()));
        }
        queue.close();
        let batch = queue.take().unwrap();
        assert_eq!((batch.records.len(), batch.lost_records), (MAX_RECORDS, 2));
        assert_eq!(batch.records[0].json, "2");
        assert!(queue.take().is_none());
    }
}

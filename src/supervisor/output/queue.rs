//! The one queue between everything that has something to write and the thread that writes it.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::chunk::Chunk;
use crate::supervisor::LogSpec;

/// Output that may wait to be written, in bytes.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// The part of it that one process's output may take: a flood must not cost the others their lines.
const MAX_SHARE: usize = MAX_BYTES / 2;

/// Lines of the event log that may wait; they are few, and worth more than output.
const MAX_RECORDS: usize = 4096;

/// One line of the event log, and how the supervisor's own tracing tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) struct Record {
    /// The line, a JSON object; its number is added.
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
    /// Logs are to be kept otherwise from now on.
    pub(super) spec: Option<LogSpec>,
}

/// Bounded on the way in; what becomes of that which does not fit is for its owner to decide.
#[derive(Debug, Default)]
pub(in crate::supervisor) struct Queue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    room: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Of the newest record; it grows, over supervisors too.
    seq: u64,
    batch: Batch,
    bytes: usize,
    closed: bool,
}

impl Queue {
    /// Adds output; gives it back where there is no room.
    pub(super) fn push_chunk(&self, chunk: Chunk) -> Result<(), Chunk> {
        let mut waiting = self.lock();
        let (length, queued) = (chunk.text.len(), &chunk.source.queued);
        let share = queued.load(Ordering::Relaxed) + length;
        if waiting.closed || waiting.bytes + length > MAX_BYTES || share > MAX_SHARE {
            return Err(chunk);
        }
        waiting.bytes += length;
        queued.store(share, Ordering::Relaxed);
        waiting.batch.chunks.push_back(chunk);
        drop(waiting);
        self.wake.notify_one();
        Ok(())
    }

    /// Adds output as soon as there is room, and waits for it that long; gives it back where there is none.
    pub(super) async fn push_within(&self, mut chunk: Chunk, patience: Duration) -> Result<(), Chunk> {
        let deadline = Instant::now() + patience;
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            // Listens before it looks, or room made in between would go unheard.
            room.as_mut().enable();
            chunk = match self.push_chunk(chunk) {
                Ok(()) => return Ok(()),
                Err(chunk) => chunk,
            };
            if tokio::time::timeout_at(deadline, room).await.is_err() {
                return Err(chunk);
            }
        }
    }

    /// One whose records are numbered from the one after that.
    pub(super) fn after(seq: u64) -> Self {
        let queue = Self::default();
        queue.lock().seq = seq;
        queue
    }

    /// Numbers a line of the event log and adds it; answers it as it will be written.
    pub(in crate::supervisor) fn push_record(&self, mut record: Record) -> String {
        let mut waiting = self.lock();
        // Here, because several tasks have something to tell, and the log is in the order of its numbers.
        waiting.seq += 1;
        let fields = record.json.strip_prefix('{').unwrap_or("}");
        record.json = format!("{{\"seq\":{},{fields}", waiting.seq);
        let line = record.json.clone();
        if waiting.batch.records.len() == MAX_RECORDS {
            waiting.batch.records.pop_front();
            waiting.batch.lost_records += 1;
        }
        waiting.batch.records.push_back(record);
        drop(waiting);
        self.wake.notify_one();
        line
    }

    /// Has logs kept otherwise from now on.
    pub(super) fn set_spec(&self, spec: LogSpec) {
        self.lock().batch.spec = Some(spec);
        self.wake.notify_one();
    }

    /// Lets the writer end once it has written what is there.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// Waits for something to write, that long, and takes all of it; `None` once closed and empty.
    pub(super) fn take_within(&self, patience: Option<Duration>) -> Option<Batch> {
        let mut waiting = self.lock();
        while waiting.batch.is_empty() {
            if waiting.closed {
                return None;
            }
            match patience {
                None => waiting = self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let woken = self.wake.wait_timeout(waiting, patience).unwrap_or_else(PoisonError::into_inner);
                    if woken.1.timed_out() {
                        return Some(Batch::default());
                    }
                    waiting = woken.0;
                }
            }
        }
        waiting.bytes = 0;
        let batch = std::mem::take(&mut waiting.batch);
        for chunk in &batch.chunks {
            chunk.source.queued.store(0, Ordering::Relaxed);
        }
        drop(waiting);
        self.room.notify_waiters();
        Some(batch)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.chunks.is_empty() && self.spec.is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use super::super::Source;
    use super::super::chunk::Stream;
    use super::*;

    fn chunk() -> Chunk {
        let source = Arc::new(Source::new("a", "b", Arc::default()));
        let text = b"0123456789abcde\n".repeat(4096);
        Chunk { source, stream: Stream::Out, at: SystemTime::UNIX_EPOCH, text }
    }

    fn record(json: String) -> Record {
        Record { json, words: String::new(), is_warning: false }
    }

    #[test]
    fn invariant_10_output_that_waits_is_bounded() {
        let queue = Queue::default();
        let fits = MAX_BYTES / chunk().text.len();
        for _ in 0..fits {
            assert!(queue.push_chunk(chunk()).is_ok());
        }
        assert!(queue.push_chunk(chunk()).is_err());
        assert_eq!(queue.take_within(None).unwrap().chunks.len(), fits);
        assert!(queue.push_chunk(chunk()).is_ok(), "room again once it was taken");
    }

    #[test]
    fn one_flood_leaves_room_for_the_others() {
        let queue = Queue::default();
        let flood = chunk();
        let more = || Chunk { source: Arc::clone(&flood.source), text: flood.text.clone(), ..chunk() };
        while queue.push_chunk(more()).is_ok() {}
        assert!(queue.push_chunk(chunk()).is_ok());
        assert!(queue.take_within(None).is_some() && queue.push_chunk(more()).is_ok());
        assert!(queue.take_within(Some(Duration::ZERO)).is_some_and(|batch| batch.chunks.len() == 1));
        assert!(queue.take_within(Some(Duration::ZERO)).is_some_and(|batch| batch.is_empty()));
    }

    #[tokio::test]
    async fn room_is_waited_for_only_so_long() {
        let queue = Queue::default();
        let patience = Duration::from_millis(100);
        while queue.push_chunk(chunk()).is_ok() {}
        let start = Instant::now();
        assert!(queue.push_within(chunk(), patience).await.is_err());
        assert!(start.elapsed() >= patience);
        let (pushed, taken) = tokio::join!(queue.push_within(chunk(), patience), async { queue.take_within(None) });
        assert!(pushed.is_ok() && taken.is_some());
    }

    #[test]
    fn records_are_bounded_and_the_newest_stay() {
        let queue = Queue::default();
        for number in 0..MAX_RECORDS + 2 {
            queue.push_record(record(format!("{{\"x\":{number}}}")));
        }
        queue.close();
        let batch = queue.take_within(None).unwrap();
        assert_eq!((batch.records.len(), batch.lost_records), (MAX_RECORDS, 2));
        assert_eq!(batch.records[0].json, "{\"seq\":3,\"x\":2}");
        assert!(queue.take_within(None).is_none());
    }
}

//! Reads what one process prints.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::net::unix::pipe::Receiver;
use tokio::task::JoinHandle;

use super::chunk::{Chunk, LineCutter, Stream};
use super::{Queue, Source};

/// As much as a pipe holds.
const READ: usize = 64 * 1024;

/// How long a plugin may be held up, once, when its output comes faster than it is written.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long the pipes of a process that has exited are read on, when something else holds them open.
const DRAIN: Duration = Duration::from_secs(2);

/// The tasks that read one process's two pipes.
#[derive(Debug)]
pub(in crate::supervisor) struct Capture {
    readers: [JoinHandle<()>; 2],
    source: Arc<Source>,
}

impl Capture {
    /// Starts reading.
    pub(in crate::supervisor) fn start(
        stdout: OwnedFd,
        stderr: OwnedFd,
        source: Arc<Source>,
        queue: &Arc<Queue>,
    ) -> Self {
        let reader = |fd, stream| {
            let (source, queue) = (Arc::clone(&source), Arc::clone(queue));
            tokio::spawn(async move { read(fd, stream, source, &queue).await })
        };
        Self { readers: [reader(stdout, Stream::Out), reader(stderr, Stream::Err)], source }
    }

    /// Waits a moment for the last words of a process whose group is gone; answers its last line of standard error.
    ///
    /// A grandchild that left the group may hold the pipes open. They are read on for a while in the
    /// background, so that it is not killed by SIGPIPE at once, but a restart does not wait for it.
    pub(in crate::supervisor) async fn last_words(mut self, patience: Duration) -> Option<String> {
        let both = async {
            for reader in &mut self.readers {
                let _ = reader.await;
            }
        };
        if tokio::time::timeout(patience, both).await.is_err() {
            tracing::debug!(plugin = self.source.name, "something still holds its output open");
            let readers = self.readers;
            tokio::spawn(async move {
                tokio::time::sleep(DRAIN).await;
                readers.iter().for_each(JoinHandle::abort);
            });
        }
        self.source.last_error()
    }
}

async fn read(fd: OwnedFd, stream: Stream, source: Arc<Source>, queue: &Queue) {
    let pipe = match Receiver::from_owned_fd(fd) {
        Ok(pipe) => pipe,
        Err(error) => {
            tracing::error!(%error, plugin = source.name, "its output cannot be read");
            return;
        }
    };
    let mut cutter = LineCutter::default();
    let mut passer = Passer { stream, source, queue, dropping: false };
    while pipe.readable().await.is_ok() {
        match read_once(&pipe, &mut cutter) {
            Ok(Read::Lines(lines)) => passer.pass_on(lines).await,
            Ok(Read::Part) => {}
            // A plugin that closes its output is done with it; the pipe would stay readable for ever.
            Ok(Read::End) => break,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                tracing::warn!(%error, plugin = passer.source.name, "its output cannot be read any more");
                break;
            }
        }
        // A flood is always readable; others want to run too.
        tokio::task::coop::consume_budget().await;
    }
    if let Some(rest) = cutter.finish() {
        passer.pass_on(rest).await;
    }
}

/// Passes lines on to the queue.
struct Passer<'a> {
    stream: Stream,
    source: Arc<Source>,
    queue: &'a Queue,
    dropping: bool,
}

impl Passer<'_> {
    /// A full queue is waited for once, so that a burst which the disk can take is kept whole. After that all is
    /// dropped and counted until there is room: a disk that does not take it must not hold the plugin up again.
    async fn pass_on(&mut self, text: Vec<u8>) {
        self.source.remember(self.stream, &text);
        let source = Arc::clone(&self.source);
        let chunk = Chunk { source, stream: self.stream, at: SystemTime::now(), text };
        let passed = match self.queue.push_chunk(chunk) {
            Err(chunk) if !self.dropping => self.queue.push_within(chunk, PATIENCE).await,
            other => other,
        };
        self.dropping = passed.is_err();
        if let Err(chunk) = passed {
            self.source.count_dropped(chunk.count_lines());
        }
    }
}

enum Read {
    Lines(Vec<u8>),
    Part,
    End,
}

/// The buffer lives on the stack between two waits: an idle pipe costs no memory.
fn read_once(pipe: &Receiver, cutter: &mut LineCutter) -> io::Result<Read> {
    let mut buffer = [0; READ];
    Ok(match pipe.try_read(&mut buffer)? {
        0 => Read::End,
        length => cutter.feed(&buffer[..length]).map_or(Read::Part, Read::Lines),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[tokio::test]
    async fn invariant_6_what_a_plugin_prints_never_holds_it_up_and_what_is_dropped_is_counted() {
        let (reader, writer) = std::io::pipe().unwrap();
        let dropped = Arc::new(AtomicU64::new(0));
        let source = Arc::new(Source::new("a", "b", Arc::clone(&dropped)));
        // Nobody takes from it, as if the disk did not take anything.
        let queue = Queue::default();
        let lines: u64 = 1_000_000;
        let flood = tokio::task::spawn_blocking(move || {
            let mut writer = writer;
            (0..lines / 1000).for_each(|_| writer.write_all(&b"1234567\n".repeat(1000)).unwrap());
        });
        read(reader.into(), Stream::Out, Arc::clone(&source), &queue).await;
        flood.await.unwrap();
        let kept: u64 = queue.take().unwrap().chunks.iter().map(Chunk::count_lines).sum();
        assert!(kept > 0 && dropped.load(Ordering::Relaxed) > 0);
        assert_eq!(kept + dropped.load(Ordering::Relaxed), lines);
        assert_eq!(source.take_untold(), dropped.load(Ordering::Relaxed));
    }
}

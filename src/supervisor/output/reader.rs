//! Reads one pipe as fast as its plugin writes, and passes whole lines on.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::unix::pipe::Receiver;

use super::chunk::{Chunk, LineCutter, Stream};
use super::{Queue, Source};

/// What is read at once, in bytes: as much as a pipe holds at first.
const READ: usize = 64 * 1024;

/// The same for a flood, whose pipe is made that large: fewer turns are needed to empty it.
const WIDE: usize = 256 * 1024;

/// How long a plugin may be held up, once, when its output comes faster than it is written.
const PATIENCE: Duration = Duration::from_millis(100);

/// One pipe on its way into the queue.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) pipe: Arc<Receiver>,
    pub(super) stream: Stream,
    pub(super) source: Arc<Source>,
    pub(super) queue: Arc<Queue>,
    pub(super) cutter: LineCutter,
}

/// Takes a pipe's reading end into the runtime.
pub(super) fn open(fd: OwnedFd) -> io::Result<Arc<Receiver>> {
    Receiver::from_owned_fd(fd).map(Arc::new)
}

impl Reader {
    /// Reads until the pipe ends.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing that was read.
    pub(super) async fn run(mut self) {
        let mut dropping = false;
        let mut wide = false;
        while self.pipe.readable().await.is_ok() {
            let room = if wide { WIDE } else { READ };
            let (end, lines) = match read_once(&self.pipe, &mut self.cutter, room) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => {
                    tracing::warn!(%error, plugin = self.source.name, "its output cannot be read any more");
                    break;
                }
            };
            if let Some(lines) = lines {
                // A pipe that is found full has a plugin waiting behind it.
                if !wide && lines.len() >= READ / 2 {
                    wide = true;
                    widen(&self.pipe);
                }
                dropping = self.pass_on(lines, dropping).await;
            }
            // A plugin that closes its output is done with it; the pipe would stay readable for ever.
            if end {
                break;
            }
            // A flood is always readable; others want to run too.
            tokio::task::coop::consume_budget().await;
        }
        if let Some(rest) = self.cutter.finish() {
            self.pass_on(rest, dropping).await;
        }
    }

    /// Takes in what was read, to be passed on.
    fn chunk(&self, text: Vec<u8>) -> Chunk {
        self.source.remember(self.stream, &text);
        Chunk::now(&self.source, self.stream, text)
    }

    /// Passes lines on to the queue; whether they had to be dropped.
    ///
    /// A full queue is waited for once, so that a burst which the disk can take is kept whole. After that all is
    /// dropped and counted until there is room: a disk that does not take it must not hold the plugin up again.
    async fn pass_on(&self, text: Vec<u8>, dropping: bool) -> bool {
        let passed = match self.queue.push_chunk(self.chunk(text)) {
            Err(chunk) if !dropping => self.queue.push_within(chunk, PATIENCE).await,
            other => other,
        };
        let Err(chunk) = passed else { return false };
        self.source.count_dropped(chunk.count_lines());
        true
    }
}

impl Drop for Reader {
    /// Given up, because what still holds the pipe open is of no interest any more; what the pipe holds is.
    ///
    /// There may be plenty where the reading began late: the words of a plugin that died while no sink could be started.
    fn drop(&mut self) {
        let mut bytes = self.cutter.take_rest();
        let before = bytes.len();
        while bytes.len() < before + WIDE {
            let start = bytes.len();
            bytes.resize(start + READ, 0);
            // Does not wait, and does not ask the runtime, which may not have looked at the pipe yet.
            let read = rustix::io::read(&*self.pipe, &mut bytes[start..]).unwrap_or(0);
            bytes.truncate(start + read);
            if read == 0 {
                break;
            }
        }
        let lines = [self.cutter.feed(bytes), self.cutter.finish()];
        for text in lines.into_iter().flatten() {
            if let Err(chunk) = self.queue.push_chunk(self.chunk(text)) {
                self.source.count_dropped(chunk.count_lines());
            }
        }
    }
}

/// Reads all that is there, up to a bound; whether that was the end, and the lines that are whole by now.
///
/// The buffer lives between two waits alone: an idle pipe costs no memory.
fn read_once(pipe: &Receiver, cutter: &mut LineCutter, room: usize) -> io::Result<(bool, Option<Vec<u8>>)> {
    let mut buffer = cutter.take_rest();
    buffer.reserve_exact(room);
    let read = pipe.try_read_buf(&mut buffer);
    // Whatever came of it, the unfinished line goes back.
    let lines = cutter.feed(buffer);
    read.map(|length| (length == 0, lines))
}

#[cfg(target_os = "linux")]
fn widen(pipe: &Receiver) {
    // The system may have no more room for this user; then it stays as it is.
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, WIDE);
}

#[cfg(not(target_os = "linux"))]
fn widen(_: &Receiver) {
    let _ = WIDE;
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_is_in_a_pipe_when_it_is_given_up_is_kept() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"first\nla").unwrap();
        let (source, queue) = (Arc::new(Source::new("a", "b", Arc::default())), Arc::new(Queue::default()));
        let pipe = open(reader.into()).unwrap();
        // Given up before it ran at all, while the writer lives on.
        drop(Reader { pipe, stream: Stream::Out, source, queue: Arc::clone(&queue), cutter: LineCutter::default() });
        let batch = queue.take_within(None).unwrap();
        let lines = batch.chunks.iter().flat_map(|chunk| chunk.lines().map(<[u8]>::to_vec)).collect::<Vec<_>>();
        assert_eq!(lines, [&b"first"[..], b"la"]);
        drop(writer);
    }

    #[tokio::test]
    async fn invariant_6_what_a_plugin_prints_never_holds_it_up_and_what_is_dropped_is_counted() {
        let (reader, writer) = std::io::pipe().unwrap();
        let dropped = Arc::new(AtomicU64::new(0));
        let source = Arc::new(Source::new("a", "b", Arc::clone(&dropped)));
        // Nobody takes from it, as if the disk did not take anything.
        let queue = Arc::new(Queue::default());
        let lines: u64 = 1_000_000;
        let flood = tokio::task::spawn_blocking(move || {
            let mut writer = writer;
            (0..lines / 1000).for_each(|_| writer.write_all(&b"1234567\n".repeat(1000)).unwrap());
        });
        let pipe = open(reader.into()).unwrap();
        let (own_source, own_queue) = (Arc::clone(&source), Arc::clone(&queue));
        Reader { pipe, stream: Stream::Out, source: own_source, queue: own_queue, cutter: LineCutter::default() }
            .run()
            .await;
        flood.await.unwrap();
        let kept: u64 = queue.take_within(None).unwrap().chunks.iter().map(Chunk::count_lines).sum();
        assert!(kept > 0 && dropped.load(Ordering::Relaxed) > 0);
        assert_eq!(kept + dropped.load(Ordering::Relaxed), lines);
        assert_eq!(source.take_untold(), dropped.load(Ordering::Relaxed));
    }
}

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
    let pass_on = |text: Vec<u8>| {
        source.remember(stream, &text);
        queue.push_chunk(Chunk { source: Arc::clone(&source), stream, at: SystemTime::now(), text });
    };
    while pipe.readable().await.is_ok() {
        match read_once(&pipe, &mut cutter) {
            Ok(Read::Lines(lines)) => pass_on(lines),
            Ok(Read::Part) => {}
            // A plugin that closes its output is done with it; the pipe would stay readable for ever.
            Ok(Read::End) => break,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                tracing::warn!(%error, plugin = source.name, "its output cannot be read any more");
                break;
            }
        }
        // A flood is always readable; others want to run too.
        tokio::task::coop::consume_budget().await;
    }
    if let Some(rest) = cutter.finish() {
        pass_on(rest);
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

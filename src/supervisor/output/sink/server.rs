//! The sink's side: reads what it is given, writes it, and tells.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::net::unix::pipe::Receiver;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

use super::super::chunk::{Chunk, LineCutter, Stream};
use super::super::reader::{Reader, open};
use super::super::voice::{Listener, Voice};
use super::super::writer::Writer;
use super::super::{LAST_WRITES, Queue, Source, start_writer};
use super::link::{Link, Shared};
use super::message::{News, Wish};
use crate::bus::BusDir;
use crate::supervisor::{LogSpec, SupervisorError, raise_file_limit};

/// How long the first supervisor may take to connect.
const FIRST: Duration = Duration::from_secs(30);

/// The supervisor is told at most this often what was printed.
const TELL: Duration = Duration::from_millis(200);

/// Bytes that may wait to be sent to a supervisor before less important news is held back.
const MAX_WAITING: usize = 256 * 1024;

/// News of the writer that may wait.
const NOTES: usize = 64;

/// How much it gives way to everybody else: what is printed may wait, in the pipes.
const NICE: i32 = 5;

/// Runs the sink of a bus: reads what plugins print, and writes their logs, until nobody needs it any more.
///
/// A program that names itself in [`SupervisorSpec::sink`](crate::supervisor::SupervisorSpec::sink) calls this, and
/// nothing else, when it is started so. Its standard input is the socket on which supervisors connect.
///
/// # Errors
/// [`SupervisorError::Sink`] where standard input is no such socket, or the system refuses a thread.
pub fn run_sink(bus: &Path) -> Result<(), SupervisorError> {
    let prepare = || {
        let listener = io::stdin().as_fd().try_clone_to_owned()?;
        // Again, now as this process: a supervisor asks the kernel whom it has connected to.
        rustix::net::listen(&listener, 16)?;
        let listener = StdListener::from(listener);
        listener.set_nonblocking(true)?;
        // A terminal's signals and its end are for the supervisor. Fails where it leads a session already.
        let _ = rustix::process::setsid();
        let _ = rustix::process::nice(NICE);
        raise_file_limit();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { Server::new(listener, &BusDir::at(bus))?.run().await })
    };
    prepare().map_err(SupervisorError::Sink)
}

pub(super) struct Server {
    listener: UnixListener,
    socket: PathBuf,
    directory: PathBuf,
    link: Option<Link>,
    writing: Option<Writing>,
    instances: HashMap<String, Instance>,
    /// Instances whose pipes have ended.
    ends: (mpsc::UnboundedSender<String>, mpsc::UnboundedReceiver<String>),
    notes: (mpsc::Sender<News>, mpsc::Receiver<News>),
    news: Arc<Notify>,
    /// The supervisor wishes to show what plugins print.
    show: Arc<AtomicBool>,
    /// Asked to end by somebody else than a supervisor, which would lose what plugins print.
    _ignored: [Signal; 3],
}

/// The writer's thread; made when a supervisor has said how logs are kept.
struct Writing {
    queue: Arc<Queue>,
    written: oneshot::Receiver<()>,
}

struct Instance {
    source: Arc<Source>,
    pipes: Vec<(Stream, std::sync::Weak<Receiver>)>,
    readers: Vec<AbortHandle>,
    ended: bool,
    /// Forgotten as soon as it has ended.
    released: bool,
}

impl Server {
    pub(super) fn new(listener: StdListener, dir: &BusDir) -> io::Result<Self> {
        let ignore = |kind| signal(kind);
        Ok(Self {
            listener: UnixListener::from_std(listener)?,
            socket: dir.sink_socket(),
            directory: dir.log_dir(),
            link: None,
            writing: None,
            instances: HashMap::new(),
            ends: mpsc::unbounded_channel(),
            notes: mpsc::channel(NOTES),
            news: Arc::default(),
            show: Arc::default(),
            _ignored: [
                ignore(SignalKind::terminate())?,
                ignore(SignalKind::interrupt())?,
                ignore(SignalKind::hangup())?,
            ],
        })
    }

    pub(super) async fn run(mut self) -> io::Result<()> {
        match tokio::time::timeout(FIRST, self.listener.accept()).await {
            Ok(accepted) => self.connected(accepted?.0),
            // Whoever started it was killed at that moment.
            Err(_) => {
                let _ = std::fs::remove_file(&self.socket);
                return Ok(());
            }
        }
        let mut telling = tokio::time::interval(TELL);
        telling.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_news = false;
        let mut last = None;
        while self.is_needed() {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => self.connected(stream),
                    // No descriptor is left; it would be tried again at once.
                    Err(_) => tokio::time::sleep(TELL).await,
                },
                wish = next_wish(&mut self.link) => match wish {
                    Ok(Some((Wish::Leave, _))) => {
                        self.let_go().await;
                        break;
                    }
                    Ok(Some((wish, pipes))) => self.obey(wish, pipes)?,
                    // The end of the connection tells its supervisor that all is written: it stays open till then.
                    Ok(None) => last = self.link.take(),
                    Err(_) => self.link = None,
                },
                Some(instance) = self.ends.1.recv() => self.ended(&instance),
                Some(news) = self.notes.1.recv() => self.tell_if_room(&news),
                () = self.news.notified(), if !is_news => is_news = true,
                _ = telling.tick(), if is_news && self.link.is_some() => is_news = self.tell_news(),
            }
        }
        // Gone before it is deaf: whoever finds a socket here must find somebody who listens.
        let _ = std::fs::remove_file(&self.socket);
        if let Some(Writing { queue, written }) = self.writing.take() {
            queue.close();
            let _ = tokio::time::timeout(LAST_WRITES, written).await;
        }
        drop(last);
        Ok(())
    }

    /// Reads no further than to the end of what the pipes hold now; the rest is for the next sink.
    async fn let_go(&mut self) {
        for id in self.instances.keys().cloned().collect::<Vec<_>>() {
            self.release(id);
        }
        while !self.instances.is_empty() {
            let Some(ended) = self.ends.1.recv().await else { return };
            self.ended(&ended);
        }
    }

    fn is_needed(&self) -> bool {
        self.link.is_some() || self.instances.values().any(|instance| !instance.ended)
    }

    /// The newest supervisor is the one that holds the bus.
    fn connected(&mut self, stream: tokio::net::UnixStream) {
        if let Ok(link) = Link::new(stream) {
            self.link = Some(link);
        }
    }

    fn obey(&mut self, wish: Wish, pipes: Vec<OwnedFd>) -> io::Result<()> {
        match wish {
            Wish::Hello { log, show } => self.greet(log, show)?,
            Wish::Take { name, instance, streams, again } => {
                let pipes = streams.into_iter().zip(pipes).collect();
                self.take(&name, instance, pipes, again);
            }
            Wish::Release { instance } => self.release(instance),
            Wish::Log { log } => {
                if let Some(writing) = &self.writing {
                    writing.queue.set_spec(log);
                }
            }
            Wish::Ping { number } => self.tell(&News::Pong { number }, Vec::new()),
            // Ends the loop.
            Wish::Leave => {}
        }
        Ok(())
    }

    /// Tells a supervisor all there is to know.
    fn greet(&mut self, log: LogSpec, show: bool) -> io::Result<()> {
        self.show.store(show, Ordering::Relaxed);
        match &self.writing {
            Some(writing) => writing.queue.set_spec(log),
            None => {
                let queue = Arc::new(Queue::default());
                let (news, show) = (self.notes.0.clone(), Arc::clone(&self.show));
                let voice = Voice::new(Listener::Supervisor { news, show });
                let written = start_writer(&queue, Writer::new(self.directory.clone(), log, voice))?;
                self.writing = Some(Writing { queue, written });
            }
        }
        let Some(link) = &mut self.link else { return Ok(()) };
        for (id, instance) in &self.instances {
            let open: Vec<_> = instance.open().collect();
            let (name, told) = (instance.source.name.clone(), instance.source.told());
            let streams = open.iter().map(|(stream, _)| *stream).collect();
            let have = News::Have { name, instance: id.clone(), streams, ended: instance.ended, told };
            link.post(&have, open.into_iter().map(|(_, pipe)| pipe as Shared).collect());
        }
        let version = env!("CARGO_PKG_VERSION").into();
        link.post(&News::Ready { pid: std::process::id(), version }, Vec::new());
        Ok(())
    }

    fn take(&mut self, name: &str, instance: String, pipes: Vec<(Stream, OwnedFd)>, again: bool) {
        let Some(writing) = &self.writing else { return };
        let source = Arc::new(Source::with_bell(name, &instance, &self.news));
        if again {
            let text = b"what was read and not yet written is lost: the process that wrote this log died\n".to_vec();
            let chunk = Chunk::now(&source, Stream::Own, text);
            let _ = writing.queue.push_chunk(chunk);
        }
        let (mut kept, mut readers) = (Vec::new(), Vec::new());
        for (stream, fd) in pipes {
            let Ok(pipe) = open(fd) else { continue };
            kept.push((stream, Arc::downgrade(&pipe)));
            let (source, queue) = (Arc::clone(&source), Arc::clone(&writing.queue));
            let cutter = LineCutter::default();
            readers.push(tokio::spawn(Reader { pipe, stream, source, queue, cutter }.run()));
        }
        let handles = readers.iter().map(tokio::task::JoinHandle::abort_handle).collect();
        let (ends, of_task) = (self.ends.0.clone(), instance.clone());
        tokio::spawn(async move {
            for reader in readers {
                let _ = reader.await;
            }
            let _ = ends.send(of_task);
        });
        self.instances
            .insert(instance, Instance { source, pipes: kept, readers: handles, ended: false, released: false });
    }

    fn release(&mut self, id: String) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        if instance.ended {
            self.instances.remove(&id);
        } else {
            // What it has read is passed on before it has ended.
            instance.released = true;
            instance.readers.iter().for_each(AbortHandle::abort);
        }
    }

    fn ended(&mut self, id: &str) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        if instance.released {
            self.instances.remove(id);
            return;
        }
        instance.ended = true;
        let told = instance.source.told();
        self.tell(&News::Ended { instance: id.into(), told }, Vec::new());
    }

    /// Tells what was printed; whether something is left to tell.
    fn tell_news(&mut self) -> bool {
        let Some(link) = &mut self.link else { return false };
        for (id, instance) in &self.instances {
            if link.waiting() > MAX_WAITING {
                return true;
            }
            if let Some(told) = instance.source.take_news() {
                link.post(&News::Said { instance: id.clone(), told }, Vec::new());
            }
        }
        false
    }

    fn tell(&mut self, news: &News, pipes: Vec<Shared>) {
        if let Some(link) = &mut self.link {
            link.post(news, pipes);
        }
    }

    fn tell_if_room(&mut self, news: &News) {
        if self.link.as_ref().is_some_and(|link| link.waiting() < MAX_WAITING) {
            self.tell(news, Vec::new());
        }
    }
}

impl Instance {
    fn open(&self) -> impl Iterator<Item = (Stream, Arc<Receiver>)> {
        self.pipes.iter().filter_map(|(stream, pipe)| Some((*stream, pipe.upgrade()?)))
    }
}

async fn next_wish(link: &mut Option<Link>) -> io::Result<Option<(Wish, Vec<OwnedFd>)>> {
    match link {
        Some(link) => link.next().await,
        None => std::future::pending().await,
    }
}

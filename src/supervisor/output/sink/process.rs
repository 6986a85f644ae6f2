//! A sink's process: found by its socket, or started.

use std::fs;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::UnixStream;

use super::super::chunk::Stream;
use super::super::source::Told;
use super::super::voice::shows_output;
use super::Place;
use super::link::Link;
use super::message::{News, Wish};
use crate::bus::ProcessId;
use crate::supervisor::process::inherits_nothing;

/// How long a sink may take to say who it is: it has to be executed first, on a busy machine.
const GREETING: Duration = Duration::from_secs(10);

/// How long a sink that makes way may take to write what it has.
const DISMISSAL: Duration = Duration::from_secs(5);

/// The longest complaint that is repeated, in bytes.
const MAX_SAID: u64 = 1024;

/// What a sink knows of an instance: its name, the instance, its open pipes, what was said, whether it has ended.
pub(super) type Has = (String, String, Vec<(Stream, Arc<OwnedFd>)>, Told, bool);

/// A sink that has said who it is.
pub(super) struct Sink {
    pub(super) link: Link,
    pub(super) process: SinkProcess,
    pub(super) has: Vec<Has>,
    version: String,
}

/// The process, and the child that it is if this supervisor started it.
#[derive(Debug, Default)]
pub(super) struct SinkProcess {
    id: Option<ProcessId>,
    child: Option<Child>,
}

impl Sink {
    /// Connects to the sink of a supervisor before this one, or starts one.
    pub(super) async fn find_or_start(place: &Place) -> io::Result<Self> {
        let Ok(stream) = UnixStream::connect(&place.socket).await else { return Self::start(place).await };
        // Who listens there, as the kernel knows it; see `run_sink`.
        let listener = stream.peer_cred().ok().and_then(|peer| peer.pid()?.try_into().ok());
        match Self::greet(stream, SinkProcess::default(), place).await {
            Ok(sink) => Ok(sink),
            Err(error) => {
                tracing::warn!(%error, "the sink that was there cannot be used");
                if let Some(pid) = listener {
                    end_foreign(pid, place);
                }
                Self::start(place).await
            }
        }
    }

    /// Starts one; the socket of another becomes its own.
    pub(super) async fn start(place: &Place) -> io::Result<Self> {
        let of_thread = place.clone();
        // Starting a program may take its time.
        let started = tokio::task::spawn_blocking(move || spawn(&of_thread)).await;
        let child = started.map_err(io::Error::other)??;
        let process = SinkProcess { id: ProcessId::of(child.id()), child: Some(child) };
        match UnixStream::connect(&place.socket).await {
            Ok(stream) => Self::greet(stream, process, place).await,
            Err(error) => {
                process.end();
                Err(error)
            }
        }
    }

    pub(super) fn is_other_version(&self) -> bool {
        self.version != env!("CARGO_PKG_VERSION")
    }

    /// Has it write what it has and end, without closing a pipe that somebody else holds.
    pub(super) async fn dismiss(mut self) {
        self.link.post(&Wish::Leave, Vec::new());
        let end = async { while let Ok(Some(_)) = self.link.next::<News>().await {} };
        let _ = tokio::time::timeout(DISMISSAL, end).await;
        self.process.end();
    }

    async fn greet(stream: UnixStream, process: SinkProcess, place: &Place) -> io::Result<Self> {
        let mut link = Link::new(stream)?;
        let (mut process, mut has) = (Some(process), Vec::new());
        link.post(&Wish::Hello { log: place.spec.clone(), show: shows_output() }, Vec::new());
        let greeting = async {
            loop {
                match link.next::<News>().await? {
                    Some((News::Have { name, instance, streams, ended, told }, fds)) => {
                        let pipes = streams.into_iter().zip(fds.into_iter().map(Arc::new)).collect();
                        has.push((name, instance, pipes, told, ended));
                    }
                    Some((News::Ready { pid, version }, _)) => return Ok((pid, version)),
                    Some(_) => {}
                    None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended at once")),
                }
            }
        };
        let greeted = tokio::time::timeout(GREETING, greeting).await.unwrap_or_else(|late| Err(late.into()));
        let process = process.take().unwrap_or_default();
        match greeted {
            Ok((pid, version)) => {
                let id = process.id.or_else(|| ProcessId::of(pid));
                Ok(Self { link, process: SinkProcess { id, ..process }, has, version })
            }
            Err(error) => Err(process.failed(error)),
        }
    }
}

impl SinkProcess {
    /// Ends one that did not greet; what it said of that comes with the error.
    fn failed(mut self, error: io::Error) -> io::Error {
        let stderr = self.child.as_mut().and_then(|child| child.stderr.take());
        self.end();
        let mut said = String::new();
        // Killed by now: whatever it said is in the pipe.
        let _ = stderr.map(|pipe| pipe.take(MAX_SAID).read_to_string(&mut said));
        match said.trim() {
            "" => error,
            said => io::Error::new(error.kind(), format!("{error}: {said}")),
        }
    }

    /// Kills it, if it is still there, and reaps it in the background.
    pub(super) fn end(self) {
        if let Some(id) = self.id {
            kill(id);
        }
        if let Some(mut child) = self.child {
            // An error means that somebody else has reaped it.
            let _ = thread::Builder::new().name("plugbus-reap".into()).spawn(move || drop(child.wait()));
        }
    }

    /// Waits until it has exited, if it is a child.
    pub(super) async fn ended(self) {
        if let Some(mut child) = self.child {
            let _ = tokio::task::spawn_blocking(move || child.wait()).await;
        }
    }
}

/// The listening socket is made here, so that it can be connected to before the program has even been executed.
fn spawn(place: &Place) -> io::Result<Child> {
    match fs::remove_file(&place.socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&place.socket)?;
    let (program, arguments) = place
        .command
        .split_first()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the sink's command is empty"))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .arg(&place.bus)
        .stdin(OwnedFd::from(listener))
        .stdout(Stdio::null())
        // Heard only where it does not come to greet us.
        .stderr(Stdio::piped())
        // It needs nothing of ours, and outlives us.
        .env_clear()
        .current_dir("/");
    inherits_nothing(&mut command).spawn()
}

fn kill(id: ProcessId) {
    // A program that embeds both sides must not fall by its own hand. Verified right before; a sink of ours that has
    // exited stays a zombie until we reap it.
    if id != ProcessId::own()
        && id.is_alive()
        && let Some(pid) = id.pid.try_into().ok().and_then(Pid::from_raw)
    {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Kills a sink that does not answer, if it can be proved to be this bus's: its last argument is the bus directory.
fn end_foreign(pid: u32, place: &Place) {
    let Some(id) = ProcessId::of(pid).filter(|_| pid != std::process::id()) else { return };
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let last = arguments.strip_suffix(b"\0").unwrap_or(&arguments).rsplit(|byte| *byte == 0).next();
    if last == Some(place.bus.as_os_str().as_bytes()) {
        kill(id);
    }
}

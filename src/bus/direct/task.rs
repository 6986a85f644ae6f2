//! One task on the caller's runtime drives the connection for all callers there.
//!
//! It reads, wakes those whose replies came, lets them run, and writes what they have lined up meanwhile in one
//! go. Where many are under way it looks for more replies before it sleeps; where few are, callers write by themselves while
//! it sleeps. It waits for room only when the socket is full: a socket that is watched for that reports every read of the
//! other side.

use std::future::{Future, poll_fn};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Sleep, sleep_until};

use super::pending::{Pending, Read};
use super::socket::Wait;
use super::state::{Outcome, Phase};
use crate::bus::{Farewell, RequestError};

/// A request under way from its first poll on; dropped, it abandons it.
pub(super) struct Waiting<'a> {
    pending: &'a Pending,
    body: &'a [u8],
    deadline: Instant,
    farewell: Option<Farewell<'a>>,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    New,
    Begun(u32),
    Over,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(
        pending: &'a Pending,
        body: &'a [u8],
        deadline: Instant,
        farewell: Option<Farewell<'a>>,
    ) -> Self {
        Self { pending, body, deadline, farewell, stage: Stage::New }
    }
}

impl Future for Waiting<'_> {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let outcome = match self.stage {
            Stage::New => match self.pending.begin(self.body, self.deadline, Some(context.waker())) {
                Ok(id) => {
                    self.stage = Stage::Begun(id);
                    return Poll::Pending;
                }
                Err(error) => Err(error),
            },
            Stage::Begun(id) => match self.pending.outcome(id, context.waker()) {
                Some(outcome) => outcome,
                None => return Poll::Pending,
            },
            Stage::Over => return Poll::Pending,
        };
        self.stage = Stage::Over;
        Poll::Ready(outcome)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Stage::Begun(id) = self.stage else { return };
        let given_up = self.pending.lock().give_up(id);
        if let (RequestError::TimedOut, Some(farewell)) = (given_up, self.farewell) {
            self.pending.tell(&farewell());
        }
    }
}

/// The socket as something to wait for; the connection owns it.
struct Watched(Arc<Pending>);

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.0.socket.as_raw_fd()
    }
}

/// Watches for one thing alone, which tokio's own sockets cannot.
#[expect(
    deprecated,
    reason = "its successor is unsafe for those that do not own their descriptor; `OwnedFd` and `Watched` do, and keep it"
)]
fn watch<T: AsRawFd>(socket: T, interest: Interest) -> std::io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(socket, interest)
}

/// However the task ends, nobody waits for ever: its runtime may be shut down.
struct CloseOnDrop<'a>(&'a Pending);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// How soon a full socket is tried again that cannot be watched.
const WITHOUT_A_WATCH: Duration = Duration::from_millis(5);

/// Drives a connection until it is over.
pub(super) async fn drive(pending: Arc<Pending>) {
    let _close = CloseOnDrop(&pending);
    let Ok(readable) = watch(Watched(Arc::clone(&pending)), Interest::READABLE) else { return };
    let mut alarm = pin!(sleep_until(Instant::now().into()));
    // Where the other side only takes no more, replies may still come.
    while !pending.is_closed() {
        pending.lock().flushing = true;
        let written = pending.flush();
        pending.lock().flushing = false;
        match written {
            Ok(true) => {}
            Ok(false) if pending.is_open() => until_writable(&pending, &readable, alarm.as_mut()).await,
            Ok(false) | Err(_) => {}
        }
        let woken = match pending.look() {
            Some(Read::End) => return,
            Some(_) => {
                pending.lock().flushing = true;
                Woken::Writes
            }
            None => sleep(&pending, &readable, alarm.as_mut()).await,
        };
        if woken == Woken::Writes {
            // Whoever can run now may have something to say as well.
            pause().await;
        } else if read_all(&pending, &readable).await == Read::End {
            return;
        }
    }
}

/// Lets those go first who can run now.
///
/// That is all: `yield_now` has the runtime look for what has happened as well, and its other threads for work.
async fn pause() {
    let mut paused = false;
    poll_fn(|context| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Reads what has arrived; where several were served, lets them run and line up what they have to say.
async fn read_all(pending: &Pending, readable: &AsyncFd<Watched>) -> Read {
    loop {
        let Some(mut guard) = poll_fn(|context| Poll::Ready(ready_now(readable, context))).await else {
            return Read::Nothing;
        };
        pending.lock().flushing = true;
        match pending.read(Wait::No) {
            Read::Replies { more, served } => {
                if !more {
                    // A short read has emptied the socket; the end of the connection stays noted.
                    guard.clear_ready();
                }
                if served > 1 {
                    pause().await;
                }
                if !more {
                    return Read::Nothing;
                }
            }
            Read::Nothing => {
                guard.clear_ready();
                return Read::Nothing;
            }
            Read::End => return Read::End,
        }
    }
}

fn ready_now<'a>(
    readable: &'a AsyncFd<Watched>,
    context: &mut Context<'_>,
) -> Option<tokio::io::unix::AsyncFdReadyGuard<'a, Watched>> {
    match readable.poll_read_ready(context) {
        Poll::Ready(Ok(guard)) => Some(guard),
        // The runtime's I/O is shut down: nothing will be reported any more.
        Poll::Ready(Err(_)) | Poll::Pending => None,
    }
}

/// What for the driver is to do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Woken {
    Reads,
    Writes,
}

/// Sleeps until there is something to read or to write, or the connection was ended.
async fn sleep(pending: &Pending, readable: &AsyncFd<Watched>, mut alarm: Pin<&mut Sleep>) -> Woken {
    poll_fn(|context| {
        let mut state = pending.lock();
        if state.phase() == Phase::Closed {
            return Poll::Ready(Woken::Reads);
        }
        let writes = !state.line.is_empty() && state.phase() == Phase::Open;
        // Before the alarm is looked at, so that nobody sets it unseen.
        state.drive_with(context.waker());
        drop(state);
        poll_alarm(pending, alarm.as_mut(), context);
        if readable.poll_read_ready(context).is_ready() {
            return Poll::Ready(Woken::Reads);
        }
        if writes { Poll::Ready(Woken::Writes) } else { Poll::Pending }
    })
    .await
}

/// Sleeps until a full socket takes more, reading meanwhile: the other side may wait for that.
async fn until_writable(pending: &Arc<Pending>, readable: &AsyncFd<Watched>, mut alarm: Pin<&mut Sleep>) {
    // Of its own, so that it can be watched for this as well, and only now.
    let own = rustix::io::fcntl_dupfd_cloexec(&pending.socket, 0);
    let Ok(Ok(writable)) = own.map(|own| watch(own, Interest::WRITABLE)) else {
        // No descriptors left, most likely: it is tried again soon, and nobody spins.
        return tokio::time::sleep(WITHOUT_A_WATCH).await;
    };
    poll_fn(|context| {
        let mut state = pending.lock();
        if state.phase() != Phase::Open {
            return Poll::Ready(());
        }
        state.drive_with(context.waker());
        drop(state);
        poll_alarm(pending, alarm.as_mut(), context);
        if writable.poll_write_ready(context).is_ready() {
            return Poll::Ready(());
        }
        readable.poll_read_ready(context).map(drop)
    })
    .await;
}

/// Sees to those whose time is over, and to being woken for the next of them.
fn poll_alarm(pending: &Pending, mut alarm: Pin<&mut Sleep>, context: &mut Context<'_>) {
    loop {
        let Some(at) = pending.lock().alarm else { return };
        if alarm.deadline() != at.into() {
            alarm.as_mut().reset(at.into());
        }
        if alarm.as_mut().poll(context).is_pending() {
            return;
        }
        pending.expire(Instant::now());
    }
}

//! A call that runs on the thread that has read it.
//!
//! What finishes at once is answered before the next request is looked at: no thread is woken for it. An async
//! method that has to wait goes on as a task. Code that takes long keeps the thread and nothing else: the lane goes
//! on elsewhere, somebody watches the call's deadline and its caller, and the next calls of that method begin
//! elsewhere until they are quick again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::admission::Pass;
use super::builder::Method;
use super::call::{Call, Next, Unread, answer, cancelled_by_caller, departed_caller, job, panicked_with, too_late};
use super::cancel::Cancel;
use super::handler::{Job, Outcome};
use crate::bus::{IfSlow, Incoming, Turn};
use crate::wire::Fault;

/// A method that takes less is not worth a thread of its own.
///
/// Half of what the lane lets one keep its thread before it calls it slow: a method in between would stay what an accident had
/// made it. A result of a mebibyte takes 0.1 to 0.2 ms.
const QUICK: Duration = Duration::from_micros(500);

/// Whether a method's last call was found to take long.
#[derive(Debug, Default)]
pub(super) struct Pace(AtomicBool);

impl Pace {
    /// Runs it and notes when it is quick again.
    pub(super) fn time<T>(&self, run: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = run();
        if start.elapsed() < QUICK {
            self.0.store(false, Ordering::Relaxed);
        }
        result
    }

    fn is_slow(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A call that may be answered before its code has ended; whoever takes the request answers it.
struct Open {
    incoming: Mutex<Option<Incoming>>,
    method: Arc<Method>,
    started: Instant,
    deadline: Instant,
    cancel: Cancel,
    runtime: Handle,
}

impl IfSlow for Open {
    fn is_slow(self: Arc<Self>) {
        self.method.pace.0.store(true, Ordering::Relaxed);
        let runtime = self.runtime.clone();
        runtime.spawn(self.watch_over());
    }
}

impl Open {
    fn take(&self) -> Option<Incoming> {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn answer(&self, outcome: Outcome) {
        if let Some(incoming) = self.take() {
            answer(incoming, outcome, &self.method, self.started);
        }
    }

    /// Answers a call whose code goes on, as soon as nobody will wait for that.
    async fn watch_over(self: Arc<Self>) {
        let departed = self.incoming.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Incoming::departed);
        let Some(departed) = departed else { return };
        let fault = tokio::select! {
            told = self.cancel.told() => match told {
                true => cancelled_by_caller(),
                // Its code has ended, and has answered.
                false => return,
            },
            () = tokio::time::sleep_until(self.deadline.into()) => too_late(),
            () = departed => departed_caller(),
        };
        self.cancel.tell();
        self.answer(Err(fault));
    }
}

impl Call {
    /// Begins the call here; what has to wait goes on elsewhere.
    pub(super) fn run_here(mut self, unread: Unread, pass: Pass, turn: &Turn<'_>, runtime: &Handle) {
        self.ticket.begins();
        match guarded(|| job(&self.incoming, &self.method, unread)) {
            Ok(Ok(job)) if self.method.pace.is_slow() => drop(runtime.spawn(self.go_on(Next::Begin(job, pass)))),
            Ok(Ok(job)) => self.begin(job, pass, turn, runtime),
            Ok(Err(fault)) | Err(fault) => {
                answer(self.incoming, Err(fault), &self.method, self.ticket.started());
            }
        }
    }

    /// Runs a plain function to its end, an async method up to where it has to wait.
    fn begin(self, job: Job, pass: Pass, turn: &Turn<'_>, runtime: &Handle) {
        let Self { incoming, method, ticket } = self;
        let open = Arc::new(Open {
            incoming: Mutex::new(Some(incoming)),
            method: Arc::clone(&method),
            started: ticket.started(),
            deadline: ticket.deadline(),
            cancel: ticket.cancel(),
            runtime: runtime.clone(),
        });
        turn.if_slow(Arc::<Open>::clone(&open));
        let mut running = match job {
            Job::Blocking(run) => {
                open.answer(guarded(run).unwrap_or_else(Err));
                return drop((ticket, pass));
            }
            Job::Async(running) => running,
        };
        let mut nobody = std::task::Context::from_waker(Waker::noop());
        match guarded(|| running.as_mut().poll(&mut nobody)) {
            Ok(Poll::Ready(outcome)) => open.answer(outcome),
            Err(fault) => open.answer(Err(fault)),
            Ok(Poll::Pending) => match open.take() {
                // It is polled again where it goes on, and then with somebody to wake.
                Some(incoming) => {
                    let call = Self { incoming, method, ticket };
                    runtime.spawn(call.go_on(Next::GoOn(Job::Async(running), pass)));
                }
                // Answered: nobody waits for it any more.
                None => drop(guarded(move || drop(running))),
            },
        }
    }
}

/// A panic of the author's code ends that call and nothing else.
pub(super) fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| panicked_with(panic.as_ref()))
}

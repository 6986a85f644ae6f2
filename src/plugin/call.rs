//! One call, from its parameters to its reply.

use std::any::Any;
use std::future::poll_fn;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::{self, JoinError};
use tokio::time::timeout_at;
use tracing::{Instrument as _, Span};

use super::Context;
use super::admission::{Pass, Waiting};
use super::builder::Method;
use super::cancel::Cancel;
use super::handler::{Job, Outcome};
use super::ledger::Ticket;
use super::values::Encoded;
use crate::bus::Incoming;
use crate::wire::{Code, Fault, MAX_MESSAGE, Raw, Reply};

/// A call that was accepted and may have to wait for its turn.
pub(super) struct Call {
    pub(super) incoming: Incoming,
    pub(super) method: Arc<Method>,
    pub(super) ticket: Ticket,
}

/// What is needed to make a job of a call. It is done when the call has its turn: until then a call is only its bytes.
pub(super) struct Unread {
    /// Where in the message they are; `None` where there are none.
    pub(super) params: Option<Range<usize>>,
    pub(super) context: Context,
}

impl Call {
    /// Runs the call, or what is left of it, and sends its reply.
    pub(super) async fn go_on(self, next: Next) {
        let Self { incoming, method, mut ticket } = self;
        let (cancel, started, deadline) = (ticket.cancel(), ticket.started(), ticket.deadline());
        let departed = incoming.departed();
        let work = async {
            let (job, pass, timed) = match next {
                Next::Wait(waiting, unread) => {
                    let pass = waiting.turn().await?;
                    (job(&incoming, &method, unread)?, pass, Some(Arc::clone(&method)))
                }
                Next::Start(pass, unread) => (job(&incoming, &method, unread)?, pass, Some(Arc::clone(&method))),
                Next::Begin(job, pass) => (job, pass, Some(Arc::clone(&method))),
                // Its next step says nothing about how long a call takes to get there.
                Next::GoOn(job, pass) => (job, pass, None),
            };
            ticket.begins();
            work(job, (ticket, pass), timed).await
        };
        let outcome = tokio::select! {
            outcome = timeout_at(deadline.into(), work) => outcome.unwrap_or_else(|_| Err(too_late())),
            () = told_to_stop(&cancel) => Err(cancelled_by_caller()),
            () = departed => Err(departed_caller()),
        };
        // Code that runs on a thread of its own goes on; it can see that nobody waits any more.
        cancel.tell();
        answer(incoming, outcome, &method, started);
    }
}

/// Reads the parameters.
pub(super) fn job(incoming: &Incoming, method: &Method, Unread { params, context }: Unread) -> Result<Job, Fault> {
    let params = params.and_then(|params| incoming.body().get(params)).map_or(Raw::NIL, Raw::checked_before);
    if !tracing::enabled!(target: "plugbus::call", tracing::Level::DEBUG) {
        return (method.prepare)(params, context, incoming);
    }
    let span = span(method, &context);
    let job = span.in_scope(|| (method.prepare)(params, context, incoming))?;
    Ok(match job {
        Job::Blocking(run) => Job::Blocking(Box::new(move || span.in_scope(run))),
        Job::Async(running) => Job::Async(Box::pin(running.instrument(span))),
    })
}

/// What the method does for this call, for whoever listens to `tracing`.
fn span(method: &Method, context: &Context) -> Span {
    let (plugin, method, traceparent) = (context.plugin(), &*method.info.name, context.traceparent());
    tracing::debug_span!(target: "plugbus::call", "serve", plugin, method, traceparent)
}

/// Counts the call and sends its reply.
pub(super) fn answer(incoming: Incoming, outcome: Outcome, method: &Method, started: Instant) {
    let (reply, error) = encode(outcome);
    // A stream that was opened is counted when it ends.
    if error.is_some() || method.info.streams.is_none() {
        method.tally.count(error, started.elapsed());
    }
    incoming.reply_with(reply.head, reply.text);
}

/// What is to be done of a call.
pub(super) enum Next {
    /// All of it, when it has its turn.
    Wait(Waiting, Unread),
    /// All of it.
    Start(Pass, Unread),
    /// Its code, from the start.
    Begin(Job, Pass),
    /// The rest of its code.
    GoOn(Job, Pass),
}

/// What the call holds for as long as its own code runs, even past the reply.
type Held = (Ticket, Pass);

async fn work(job: Job, held: Held, timed: Option<Arc<Method>>) -> Outcome {
    let joined = match job {
        Job::Blocking(run) => {
            let run = move || {
                let outcome = match timed {
                    Some(method) => method.pace.time(run),
                    None => run(),
                };
                drop(held);
                outcome
            };
            task::spawn_blocking(run).await
        }
        Job::Async(mut running) => {
            let mut first = timed;
            let running = async move {
                let outcome = poll_fn(|context| match first.take() {
                    Some(method) => method.pace.time(|| running.as_mut().poll(context)),
                    None => running.as_mut().poll(context),
                });
                let outcome = outcome.await;
                drop(held);
                outcome
            };
            AbortOnDrop(task::spawn(running)).join().await
        }
    };
    joined.unwrap_or_else(|error| Err(panicked(error)))
}

/// A task of its own, so that a panic ends that task; dropped with the one who waits for it.
pub(super) struct AbortOnDrop<T>(pub(super) task::JoinHandle<T>);

impl<T> AbortOnDrop<T> {
    pub(super) async fn join(mut self) -> Result<T, JoinError> {
        (&mut self.0).await
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn told_to_stop(cancel: &Cancel) {
    if !cancel.told().await {
        // The call's own code has ended, so its outcome is on its way.
        std::future::pending::<()>().await;
    }
}

pub(super) fn too_late() -> Fault {
    Fault::new(Code::Deadline, "the caller's deadline passed before the method was done")
}

pub(super) fn cancelled_by_caller() -> Fault {
    Fault::new(Code::Cancelled, "the call was cancelled")
}

pub(super) fn departed_caller() -> Fault {
    Fault::new(Code::Cancelled, "the caller is gone")
}

pub(super) fn panicked(error: JoinError) -> Fault {
    match error.try_into_panic() {
        Ok(panic) => panicked_with(panic.as_ref()),
        Err(_) => Fault::new(Code::Failed, "the method was aborted"),
    }
}

pub(super) fn panicked_with(panic: &(dyn Any + Send)) -> Fault {
    Fault::new(Code::Failed, format!("the method panicked: {}", words(panic)))
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

/// The reply, and the code of its error.
fn encode(outcome: Outcome) -> (Encoded, Option<Code>) {
    let (reply, error) = match outcome {
        Ok(reply) => (reply, None),
        Err(fault) => (Reply::encode_error(&fault).into(), Some(fault.code)),
    };
    if reply.len() <= MAX_MESSAGE {
        return (reply, error);
    }
    let message = format!("the result has {} bytes, a message may have {MAX_MESSAGE}", reply.len());
    (Reply::encode_error(&Fault::new(Code::TooLarge, message)).into(), Some(Code::TooLarge))
}

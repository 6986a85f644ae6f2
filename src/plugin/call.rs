//! One call, from its parameters to its reply.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Semaphore, watch};
use tokio::task::{self, JoinError};
use tokio::time::timeout_at;

use super::Context;
use super::handler::{Job, Outcome, Prepare};
use super::ledger::{Ledger, Ticket};
use crate::bus::Incoming;
use crate::wire::{Code, Fault, MAX_MESSAGE, Reply, Request};

/// A call that was accepted and may have to wait for its turn.
pub(super) struct Call {
    pub(super) incoming: Incoming,
    pub(super) prepare: Prepare,
    pub(super) ticket: Ticket,
    pub(super) deadline: Instant,
    pub(super) ledger: Arc<Ledger>,
    pub(super) turns: Arc<Semaphore>,
}

impl Call {
    /// Runs the call and sends its reply.
    pub(super) async fn run(self) {
        let Self { incoming, prepare, ticket, deadline, ledger, turns } = self;
        let cancelled = ticket.cancelled();
        let context = Context { deadline, cancelled: cancelled.clone(), ledger: Arc::clone(&ledger) };
        let cancel = ticket.cancel();
        let departed = incoming.departed();
        let work = async {
            let turn = turns.acquire_owned().await;
            // Read here, not before its turn: until then a call is only its bytes.
            let job = Request::decode(incoming.body())
                .map_err(|error| Fault::new(Code::BadMessage, error.to_string()))
                .and_then(|request| prepare(request.params, context))?;
            work(job, (ticket, turn)).await
        };
        let outcome = tokio::select! {
            outcome = timeout_at(deadline.into(), work) => outcome.unwrap_or_else(|_| Err(too_late())),
            () = told_to_stop(cancelled) => Err(Fault::new(Code::Cancelled, "the call was cancelled")),
            () = departed => Err(Fault::new(Code::Cancelled, "the caller is gone")),
        };
        // Code that runs on a thread of its own goes on; it can see that nobody waits any more.
        cancel();
        ledger.count(outcome.is_ok());
        incoming.reply(&encode(outcome));
    }
}

/// What the call holds for as long as its own code runs, even past the reply.
type Held = (Ticket, Result<tokio::sync::OwnedSemaphorePermit, tokio::sync::AcquireError>);

async fn work(job: Job, held: Held) -> Outcome {
    let joined = match job {
        Job::Blocking(run) => {
            let run = move || {
                let outcome = run();
                drop(held);
                outcome
            };
            task::spawn_blocking(run).await
        }
        Job::Async(running) => {
            let running = async move {
                let outcome = running.await;
                drop(held);
                outcome
            };
            AbortOnDrop(task::spawn(running)).join().await
        }
    };
    joined.unwrap_or_else(|error| Err(panicked(error)))
}

/// A task of its own, so that a panic ends that task; dropped with the one who waits for it.
struct AbortOnDrop<T>(task::JoinHandle<T>);

impl<T> AbortOnDrop<T> {
    async fn join(mut self) -> Result<T, JoinError> {
        (&mut self.0).await
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn told_to_stop(mut cancelled: watch::Receiver<bool>) {
    if cancelled.wait_for(|told| *told).await.is_err() {
        // The call's own code has ended, so its outcome is on its way.
        std::future::pending::<()>().await;
    }
}

fn too_late() -> Fault {
    Fault::new(Code::Deadline, "the caller's deadline passed before the method was done")
}

fn panicked(error: JoinError) -> Fault {
    let message = match error.try_into_panic() {
        Ok(panic) => format!("the method panicked: {}", words(panic.as_ref())),
        Err(_) => "the method was aborted".into(),
    };
    Fault::new(Code::Failed, message)
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

fn encode(outcome: Outcome) -> Vec<u8> {
    let reply = outcome.unwrap_or_else(|fault| Reply::encode_error(&fault));
    if reply.len() <= MAX_MESSAGE {
        return reply;
    }
    let message = format!("the result has {} bytes, a message may have {MAX_MESSAGE}", reply.len());
    Reply::encode_error(&Fault::new(Code::TooLarge, message))
}

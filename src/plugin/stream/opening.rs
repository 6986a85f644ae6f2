//! From a call to an open stream.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tracing::{Instrument as _, Span};

use super::inbound::Inbound;
use super::items::Maker;
use super::line::Line;
use super::{MOST, Source, new_id};
use crate::bus::Incoming;
use crate::plugin::call::{AbortOnDrop, panicked};
use crate::plugin::cancel::Cancel;
use crate::plugin::handler::Outcome;
use crate::plugin::here::guarded;
use crate::plugin::ledger::{Ledger, Ticket};
use crate::plugin::tally::Tally;
use crate::plugin::{Context, Failure};
use crate::wire::{Code, Fault, Opened, Reply};

/// What a call and the stream that it opens share: whether that is over, and how it is counted.
#[derive(Debug)]
pub(in crate::plugin) struct Life {
    /// Of the stream, once it is open.
    cancel: OnceLock<Cancel>,
    tally: Arc<Tally>,
    began: Instant,
}

impl Life {
    /// Of a call of that method that was taken then.
    pub(in crate::plugin) fn new(tally: &Arc<Tally>, began: Instant) -> Self {
        Self { cancel: OnceLock::new(), tally: Arc::clone(tally), began }
    }

    /// Whether the stream was told to end; `None` where it is not open yet.
    pub(in crate::plugin) fn is_cancelled(&self) -> Option<bool> {
        self.cancel.get().map(Cancel::is_told)
    }

    /// For how long its caller has waited.
    pub(super) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// Counts the stream, by the time that its first item took; its end, where there was none.
    pub(super) fn count(&self, error: Option<Code>, first: Option<Duration>) {
        self.tally.count(error, first.unwrap_or_else(|| self.age()));
    }
}

/// A call that opens a stream, if all goes well.
pub(in crate::plugin) struct Opening {
    life: Arc<Life>,
    ledger: Arc<Ledger>,
    /// Of the call, not of the stream.
    call: Cancel,
    departed: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// An open stream, what holds it in the ledger, and the reply that names it.
type Begun = (Arc<Line>, Arc<Ticket>, Vec<u8>);

impl Opening {
    /// `None` for a call of a method that does not stream.
    pub(in crate::plugin) fn of(context: &Context, incoming: &Incoming) -> Option<Self> {
        let (life, ledger) = context.stream()?;
        Some(Self { life, ledger, call: context.cancel().clone(), departed: Box::pin(incoming.departed()) })
    }

    /// Opens a stream of what a method has returned.
    pub(in crate::plugin) fn give(self, source: Source) -> Outcome {
        let (line, ticket, reply) = self.begin(None)?;
        produce(line, ticket, std::future::ready(Ok(source)));
        Ok(reply.into())
    }

    /// Opens a stream of what the caller brings and a method makes of it.
    pub(in crate::plugin) fn take<F>(self, run: impl FnOnce(Arc<Line>) -> F) -> Outcome
    where
        F: Future<Output = Result<Source, Fault>> + Send + 'static,
    {
        let (line, ticket, reply) = self.begin(Some(Inbound::CREDIT))?;
        let running = run(Arc::clone(&line));
        produce(line, ticket, running);
        Ok(reply.into())
    }

    fn begin(self, credit: Option<u64>) -> Result<Begun, Fault> {
        let Some(ticket) = self.ledger.begin_stream(MOST).map(Arc::new) else {
            return Err(Fault::new(Code::Busy, format!("{MOST} streams are open, there are no more at once")));
        };
        // Who is told so does not get a stream as well, and nothing is counted twice.
        if !self.call.end() {
            return Err(Fault::new(Code::Cancelled, "nobody waits for the stream any more"));
        }
        let line = Arc::new(Line::new(new_id(), Arc::clone(&self.life), &self.ledger, &ticket));
        let opened = Reply::encode_stream(&Opened { id: &line.id, credit });
        let reply = opened.map_err(|error| Fault::new(Code::Failed, error.to_string()))?;
        let _ = self.life.cancel.set(ticket.cancel());
        self.ledger.streams().add(&line);
        tokio::spawn(Arc::clone(&line).keep(self.departed));
        Ok((line, ticket, reply))
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").finish_non_exhaustive()
    }
}

/// Runs a plain function on a thread of its own.
pub(in crate::plugin) async fn on_thread<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let span = Span::current();
    let joined = tokio::task::spawn_blocking(move || span.in_scope(|| guarded(run))).await;
    joined.unwrap_or_else(|error| Err(panicked(error)))?
}

/// Has the items made, until all are or nobody wants more.
fn produce(
    line: Arc<Line>,
    ticket: Arc<Ticket>,
    start: impl Future<Output = Result<Source, Fault>> + Send + 'static,
) {
    // That of the call: the items are made within it.
    let span = Span::current();
    tokio::spawn(async move {
        let (at_work, held) = (Arc::clone(&line), Arc::clone(&ticket));
        let making = async move { make(at_work, held, start.await?).await };
        // A task of its own, so that a panic ends that task, and with it the stream.
        let work = AbortOnDrop(tokio::spawn(making.instrument(span)));
        tokio::select! {
            joined = work.join() => line.finish(joined.unwrap_or_else(|error| Err(panicked(error)))),
            _ = line.cancel.told() => {}
        }
        drop(ticket);
    });
}

async fn make(line: Arc<Line>, ticket: Arc<Ticket>, source: Source) -> Result<(), Fault> {
    let Source { maker, ahead, endless } = source;
    if let Some(ahead) = ahead {
        line.set_ahead(ahead);
    }
    if endless {
        line.set_endless();
    }
    match maker {
        Maker::Value(value) => {
            let _ = line.give_async(&value).await;
            Ok(())
        }
        Maker::Plain(code) => {
            on_thread(move || {
                let outcome = code(line).map_err(Failure::into_fault);
                // For as long as the code runs: it may go on when nobody wants its items any more.
                drop(ticket);
                outcome
            })
            .await
        }
        Maker::Async(code) => code(line).await.map_err(Failure::into_fault),
    }
}

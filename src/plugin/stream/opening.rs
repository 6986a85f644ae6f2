//! From a call to an open stream.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

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
use crate::plugin::{Context, Failure};
use crate::wire::{Code, Fault, Opened, Reply};

/// Tells the context of a call that it has become a stream, and whether that is over.
#[derive(Debug, Default)]
pub(in crate::plugin) struct Life(OnceLock<Cancel>);

impl Life {
    /// Whether the stream was told to end; `None` where it is not open yet.
    pub(in crate::plugin) fn is_cancelled(&self) -> Option<bool> {
        self.0.get().map(Cancel::is_told)
    }
}

/// A call that opens a stream, if all goes well.
pub(in crate::plugin) struct Opening {
    life: Arc<Life>,
    ledger: Arc<Ledger>,
    departed: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// An open stream, what holds it in the ledger, and the reply that names it.
type Begun = (Arc<Line>, Arc<Ticket>, Vec<u8>);

impl Opening {
    pub(in crate::plugin) fn new(context: &mut Context, incoming: &Incoming) -> Self {
        let life = Arc::default();
        let ledger = context.becomes_stream(Arc::clone(&life));
        Self { life, ledger, departed: Box::pin(incoming.departed()) }
    }

    /// Opens a stream of what a method has returned.
    pub(in crate::plugin) fn give(self, source: Source) -> Outcome {
        let (line, ticket, reply) = self.begin(None)?;
        produce(line, ticket, std::future::ready(Ok(source)));
        Ok(reply)
    }

    /// Opens a stream of what the caller brings and a method makes of it.
    pub(in crate::plugin) fn take<F>(self, run: impl FnOnce(Arc<Line>) -> F) -> Outcome
    where
        F: Future<Output = Result<Source, Fault>> + Send + 'static,
    {
        let (line, ticket, reply) = self.begin(Some(Inbound::CREDIT))?;
        let running = run(Arc::clone(&line));
        produce(line, ticket, running);
        Ok(reply)
    }

    fn begin(self, credit: Option<u64>) -> Result<Begun, Fault> {
        let Some(ticket) = self.ledger.begin_stream(MOST).map(Arc::new) else {
            return Err(Fault::new(Code::Busy, format!("{MOST} streams are open, there are no more at once")));
        };
        let cancel = ticket.cancel();
        let line = Arc::new(Line::new(new_id(), cancel.clone(), &self.ledger, &ticket));
        let opened = Reply::encode_stream(&Opened { id: &line.id, credit });
        let reply = opened.map_err(|error| Fault::new(Code::Failed, error.to_string()))?;
        let _ = self.life.0.set(cancel);
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
    let joined = tokio::task::spawn_blocking(move || guarded(run)).await;
    joined.unwrap_or_else(|error| Err(panicked(error)))?
}

/// Has the items made, until all are or nobody wants more.
fn produce(
    line: Arc<Line>,
    ticket: Arc<Ticket>,
    start: impl Future<Output = Result<Source, Fault>> + Send + 'static,
) {
    tokio::spawn(async move {
        let (at_work, held) = (Arc::clone(&line), Arc::clone(&ticket));
        // A task of its own, so that a panic ends that task, and with it the stream.
        let work = AbortOnDrop(tokio::spawn(async move { make(at_work, held, start.await?).await }));
        tokio::select! {
            joined = work.join() => line.finish(joined.unwrap_or_else(|error| Err(panicked(error)))),
            _ = line.cancel.told() => {}
        }
        drop(ticket);
    });
}

async fn make(line: Arc<Line>, ticket: Arc<Ticket>, Source { maker, ahead }: Source) -> Result<(), Fault> {
    if let Some(ahead) = ahead {
        line.set_ahead(ahead);
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

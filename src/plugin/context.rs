//! What a handler may know of its call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cancel::Cancel;
use super::ledger::{Ledger, Ticket};
use super::stream::Life;
use crate::wire::{MAX_TTL, Phase, Trail};

/// The call a handler runs for: its deadline, and whether anybody still waits.
#[derive(Debug, Clone)]
pub struct Context {
    deadline: Instant,
    cancel: Cancel,
    ledger: Arc<Ledger>,
    trail: Trail,
    /// Of a method that takes or gives its items one by one.
    life: Option<Arc<Life>>,
}

impl Context {
    pub(super) fn new(ticket: &Ticket, ledger: &Arc<Ledger>, trail: Trail) -> Self {
        Self { deadline: ticket.deadline(), cancel: ticket.cancel(), ledger: Arc::clone(ledger), trail, life: None }
    }

    pub(super) fn plugin(&self) -> &str {
        self.ledger.plugin()
    }

    /// Notes that the call is to open a stream.
    pub(super) fn opens_stream(&mut self, life: Life) {
        self.life = Some(Arc::new(life));
    }

    /// What the stream has in common with the call, where it opens one.
    pub(super) fn stream(&self) -> Option<(Arc<Life>, Arc<Ledger>)> {
        Some((Arc::clone(self.life.as_ref()?), Arc::clone(&self.ledger)))
    }

    /// When the caller stops waiting; a stream that is open has a day, again and again.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        match self.stream_is_cancelled() {
            Some(_) => Instant::now() + MAX_TTL,
            None => self.deadline,
        }
    }

    fn stream_is_cancelled(&self) -> Option<bool> {
        self.life.as_ref()?.is_cancelled()
    }

    /// What is left until then.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.deadline().saturating_duration_since(Instant::now())
    }

    /// Whether nobody waits for the result any more: the caller left, cancelled, or its deadline passed.
    ///
    /// A handler that takes long looks at this now and then; an async one is dropped anyway.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.stream_is_cancelled().unwrap_or_else(|| self.cancel.is_told() || Instant::now() >= self.deadline)
    }

    /// Whether the plugin was told to leave: it takes no more calls, and waits for this one.
    ///
    /// Of use to code that decides itself when it has done enough. Items that never end are
    /// [`endless`](super::Items::endless) instead.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.ledger.phase() == Phase::Draining
    }

    /// Says that a long call gets somewhere, so that the supervisor does not take it for wedged.
    pub fn beat(&self) {
        self.ledger.beat();
    }

    /// The trace this call is part of, as W3C Trace Context writes it; `None` where its caller named none.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.trail.traceparent.as_deref()
    }

    /// Which calls this one is nested in, and its trace context.
    #[must_use]
    pub fn trail(&self) -> &Trail {
        &self.trail
    }
}

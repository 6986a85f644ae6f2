//! What a handler may know of its call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cancel::Cancel;
use super::ledger::{Ledger, Ticket};
use crate::wire::Trail;

/// The call a handler runs for: its deadline, and whether anybody still waits.
#[derive(Debug, Clone)]
pub struct Context {
    deadline: Instant,
    cancel: Cancel,
    ledger: Arc<Ledger>,
    trail: Trail,
}

impl Context {
    pub(super) fn new(ticket: &Ticket, ledger: &Arc<Ledger>, trail: Trail) -> Self {
        Self { deadline: ticket.deadline(), cancel: ticket.cancel(), ledger: Arc::clone(ledger), trail }
    }

    /// When the caller stops waiting.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What is left until then.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Whether nobody waits for the result any more: the caller left, cancelled, or its deadline passed.
    ///
    /// A handler that takes long looks at this now and then; an async one is dropped anyway.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_told() || Instant::now() >= self.deadline
    }

    /// Says that a long call gets somewhere, so that the supervisor does not take it for wedged.
    pub fn beat(&self) {
        self.ledger.beat();
    }

    /// Which calls this one is nested in, and its trace context.
    #[must_use]
    pub fn trail(&self) -> &Trail {
        &self.trail
    }
}

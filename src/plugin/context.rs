//! What a handler may know of its call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Nested;
use super::cancel::Cancel;
use super::home::Home;
use super::ledger::{Ledger, Ticket};
use super::stream::Life;
use crate::host::CallError;
use crate::wire::{MAX_TTL, Phase, Trail};

/// The call a handler runs for: its deadline, and whether anybody still waits.
#[derive(Debug, Clone)]
pub struct Context {
    deadline: Instant,
    cancel: Cancel,
    pub(super) home: Arc<Home>,
    trail: Trail,
    /// Of a method that takes or gives its items one by one.
    life: Option<Arc<Life>>,
}

impl Context {
    pub(super) fn new(ticket: &Ticket, home: &Arc<Home>, trail: Trail) -> Self {
        Self { deadline: ticket.deadline(), cancel: ticket.cancel(), home: Arc::clone(home), trail, life: None }
    }

    pub(super) fn plugin(&self) -> &str {
        self.home.ledger.plugin()
    }

    pub(super) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Notes that the call is to open a stream.
    pub(super) fn opens_stream(&mut self, life: Life) {
        self.life = Some(Arc::new(life));
    }

    /// What the stream has in common with the call, where it opens one.
    pub(super) fn stream(&self) -> Option<(Arc<Life>, Arc<Ledger>)> {
        Some((Arc::clone(self.life.as_ref()?), Arc::clone(&self.home.ledger)))
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
        self.home.ledger.phase() == Phase::Draining
    }

    /// Waits until the caller left or cancelled the call; for tasks that outlive a handler, it may never come.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn cancelled(&self) {
        if !self.cancel.told().await {
            std::future::pending::<()>().await;
        }
    }

    /// Calls a method, named `method` or `plugin.method`, as a part of this call.
    ///
    /// It has what is left of this call's time and is cancelled with it.
    ///
    /// # Errors
    /// [`CallError`]; with `?` it becomes this method's own failure.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call.
    pub async fn call<R, P>(&self, method: &str, params: &P) -> Result<R, CallError>
    where
        R: DeserializeOwned,
        P: Serialize + ?Sized,
    {
        self.request(method).call(params).await
    }

    /// As [`call`](Self::call), for plain functions: waits on the calling thread.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    pub fn call_blocking<R, P>(&self, method: &str, params: &P) -> Result<R, CallError>
    where
        R: DeserializeOwned,
        P: Serialize + ?Sized,
    {
        self.request(method).call_blocking(params)
    }

    /// A call with more to say than [`call`](Self::call) takes.
    pub fn request<'a>(&'a self, method: &'a str) -> Nested<'a> {
        Nested::new(self, method)
    }

    /// Says that a long call gets somewhere, so that the supervisor does not take it for wedged.
    pub fn beat(&self) {
        self.home.ledger.beat();
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

//! What the rest of the supervisor asks of the keeper of its sink.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::super::Source;
use super::super::chunk::Stream;
use crate::supervisor::LogSpec;

/// One order; `ended` becomes true when all pipes of the source have ended.
#[derive(Debug)]
pub(super) enum Order {
    Capture { source: Arc<Source>, pipes: Vec<(Stream, OwnedFd)>, ended: watch::Sender<bool> },
    Recapture { source: Arc<Source>, ended: watch::Sender<bool>, found: oneshot::Sender<bool> },
    Release { instance: String },
    SetLog { spec: LogSpec },
    Close { done: oneshot::Sender<()> },
    Leave { done: oneshot::Sender<()> },
}

/// The way to the keeper.
///
/// Without a bound, because whoever starts a process must not wait for a sink: there are two orders a process.
#[derive(Debug, Clone)]
pub(in crate::supervisor::output) struct Orders(mpsc::UnboundedSender<Order>);

impl Orders {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Order>) {
        let (orders, to_keeper) = mpsc::unbounded_channel();
        (Self(orders), to_keeper)
    }

    /// Has a process's pipes read.
    pub(in crate::supervisor::output) fn capture(
        &self,
        source: Arc<Source>,
        pipes: Vec<(Stream, OwnedFd)>,
        ended: watch::Sender<bool>,
    ) {
        self.give(Order::Capture { source, pipes, ended });
    }

    /// Takes over what an earlier supervisor had read; whether the sink knows of it.
    pub(in crate::supervisor::output) async fn recapture(
        &self,
        source: Arc<Source>,
        ended: watch::Sender<bool>,
    ) -> bool {
        let (found, answer) = oneshot::channel();
        self.give(Order::Recapture { source, ended, found });
        answer.await.unwrap_or(false)
    }

    /// Closes what is left of the pipes of an instance.
    pub(in crate::supervisor::output) fn release(&self, instance: String) {
        self.give(Order::Release { instance });
    }

    /// Has logs kept otherwise.
    pub(in crate::supervisor::output) fn set_log(&self, spec: LogSpec) {
        self.give(Order::SetLog { spec });
    }

    /// Closes all pipes and waits until everything is written.
    pub(in crate::supervisor::output) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        self.give(Order::Close { done });
        let _ = closed.await;
    }

    /// Lets go of the sink, which goes on.
    pub(in crate::supervisor::output) async fn leave(&self) {
        let (done, left) = oneshot::channel();
        self.give(Order::Leave { done });
        let _ = left.await;
    }

    fn give(&self, order: Order) {
        // Fails when the runtime is ending, and the keeper went before whoever asks.
        let _ = self.0.send(order);
    }
}

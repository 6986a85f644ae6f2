//! A unit in the dispatcher's hands, with what the pure unit must not know.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use tokio::sync::mpsc;

use super::attend::ProcessCommand;
use crate::supervisor::journal::Subject;
use crate::supervisor::output::Source;
use crate::supervisor::report::PluginStatus;
use crate::supervisor::startup::Inherited;
use crate::supervisor::unit::{Epoch, Unit};

/// A unit, its process's task, and its output.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) unit: Unit,
    /// When it last changed its state, by the wall clock.
    pub(super) since: String,
    /// The process that it has, is starting, or had last.
    pub(super) attended: Option<Attended>,
    pub(super) dropped_lines: Arc<AtomicU64>,
    /// What a supervisor before this one left of it, until the unit takes it back.
    pub(super) inherited: Option<Inherited>,
    /// Why its program is not trusted as it is now, where that was found out.
    pub(super) refusal: String,
    /// It is to be taken away once it is at rest.
    pub(super) retiring: bool,
    /// How many looks at its files are under way after each of which it is to be restarted.
    pub(super) restarts_due: u32,
}

/// The dispatcher's side of one process.
#[derive(Debug)]
pub(super) struct Attended {
    pub(super) epoch: Epoch,
    pub(super) instance: String,
    /// Once it was started, and after it is gone.
    pub(super) pid: Option<u32>,
    pub(super) commands: mpsc::Sender<ProcessCommand>,
    pub(super) source: Arc<Source>,
    /// By what it was trusted when it was started; nothing is known of one that was taken back.
    pub(super) trust: Arc<OnceLock<String>>,
}

impl Slot {
    pub(super) fn new(unit: Unit) -> Self {
        Self {
            unit,
            since: String::new(),
            attended: None,
            dropped_lines: Arc::default(),
            inherited: None,
            refusal: String::new(),
            retiring: false,
            restarts_due: 0,
        }
    }

    /// The process of that epoch, if it is the newest.
    pub(super) fn attended(&self, epoch: Epoch) -> Option<&Attended> {
        self.attended.as_ref().filter(|attended| attended.epoch == epoch)
    }

    pub(super) fn subject(&self) -> Subject<'_> {
        Subject {
            plugin: &self.unit.spec().name,
            replica: self.unit.replica(),
            instance: self.attended.as_ref().map(|attended| attended.instance.as_str()),
            pid: self.attended.as_ref().and_then(|attended| attended.pid),
        }
    }

    pub(super) fn status(&self, now: Instant) -> PluginStatus {
        let mut status = self.unit.status(now);
        status.since.clone_from(&self.since);
        status.last_line = self.attended.as_ref().and_then(|attended| attended.source.last_error());
        let attended = self.attended.as_ref().filter(|_| status.pid.is_some());
        status.trust = attended.and_then(|attended| attended.trust.get().cloned()).unwrap_or_default();
        status.refusal.clone_from(&self.refusal);
        status.dropped_lines = self.dropped_lines.load(Ordering::Relaxed);
        status
    }
}

//! What a unit does when it is asked for something: by an operator, a reload, or the supervisor's start and end.
//!
//! A command never counts as a crash, has no part in the counters of crashes, and the newest one wins.

use std::time::Instant;

use super::event::UnitCommand;
use super::run::EndCause;
use super::{Unit, UnitState};
use crate::supervisor::policy::backoff::Backoff;
use crate::supervisor::policy::intensity::Intensity;

impl Unit {
    pub(super) fn on_command(&mut self, command: UnitCommand, now: Instant) {
        match command {
            UnitCommand::Start => self.on_start("asked to start", now),
            UnitCommand::Stop => self.on_stop("asked to stop", now),
            UnitCommand::Restart => self.on_restart("asked to restart", now),
            UnitCommand::Reset => self.on_reset(now),
            UnitCommand::Disable => self.on_disable(now),
            UnitCommand::Enable => {
                self.spec.enabled = true;
                self.on_start("enabled", now);
            }
            UnitCommand::Reconfigure { spec, misses } => (self.spec, self.misses) = (*spec, misses),
        }
    }

    fn on_start(&mut self, reason: &str, now: Instant) {
        self.wanted = true;
        if !self.state.is_running() {
            // A command has its own counter: what crashes used up does not delay it, nor it them.
            self.forgive();
            self.begin(reason.into(), now);
        }
    }

    fn on_stop(&mut self, reason: &str, now: Instant) {
        self.wanted = false;
        match self.state {
            UnitState::Silent | UnitState::Wedged | UnitState::Stopping => {
                // It is on its way out already; from here on because it was asked to be.
                if let Some(run) = &mut self.run {
                    run.end = Some(EndCause::Commanded);
                }
                if self.state != UnitState::Stopping {
                    self.enter(UnitState::Stopping, reason.into(), now);
                }
            }
            UnitState::BackingOff | UnitState::Failed => {
                self.deadline = None;
                self.enter(self.at_rest(), reason.into(), now);
            }
            UnitState::Stopped | UnitState::Disabled => {}
            _ => self.end_run(EndCause::Commanded, reason.into(), now),
        }
    }

    fn on_restart(&mut self, reason: &str, now: Instant) {
        if self.run.is_some() {
            self.on_stop(reason, now);
            // What was asked for is its end and a new beginning, which `over` sees to.
            self.wanted = true;
        } else {
            self.on_start(reason, now);
        }
    }

    /// Forgets the failures; what was to run runs again at once.
    fn on_reset(&mut self, now: Instant) {
        self.forgive();
        if self.wanted && matches!(self.state, UnitState::Failed | UnitState::BackingOff) {
            self.begin("reset".into(), now);
        }
    }

    /// Forgets what crashes have used up.
    pub(super) fn forgive(&mut self) {
        self.backoff = Backoff::default();
        self.intensity = Intensity::default();
    }

    fn on_disable(&mut self, now: Instant) {
        self.spec.enabled = false;
        self.on_stop("disabled", now);
        if self.state == UnitState::Stopped {
            self.enter(UnitState::Disabled, "disabled".into(), now);
        }
    }

    /// The state of a unit that does not run and is not to.
    pub(super) fn at_rest(&self) -> UnitState {
        if self.spec.enabled { UnitState::Stopped } else { UnitState::Disabled }
    }
}

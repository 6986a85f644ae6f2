//! The end of a unit's process, wanted or not, and what comes after it.

use std::time::{Duration, Instant};

use super::event::UnitAction;
use super::exit::ExitState;
use super::reason;
use super::run::EndCause;
use super::{LastEnd, Unit, UnitState};
use crate::supervisor::policy::backoff::{Backoff, RunLength};
use crate::supervisor::policy::restart::{Aftermath, decide};

/// How long a process may take to go after SIGKILL before it is called stuck.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// What the next step depends on when a run is over.
struct RunEnd {
    commanded: bool,
    failed: bool,
    length: RunLength,
}

impl Unit {
    pub(super) fn on_start_timeout(&mut self, now: Instant) {
        let (answered, found) =
            self.run.as_ref().map_or((false, false), |run| (run.last_answer.is_some(), run.found));
        let detail = if answered { "it still says that it is starting" } else { "it never answered a survey" };
        let since = if found { "it was taken back" } else { "its start" };
        let fault = format!("not ready {} after {since}: {detail}", reason::duration(self.spec.start_timeout));
        self.end_run(EndCause::Fault(fault.clone()), fault, now);
    }

    /// Asks the process to end, with a grace period.
    pub(super) fn end_run(&mut self, cause: EndCause, reason: String, now: Instant) {
        let Some(run) = &mut self.run else { return };
        run.end = Some(cause);
        let exists = run.process.is_some();
        self.withdraw();
        self.enter(UnitState::Stopping, reason, now);
        if exists {
            self.actions.push(UnitAction::Terminate { epoch: self.epoch });
        }
        self.deadline = now.checked_add(self.spec.stop_grace);
    }

    pub(super) fn on_end_overdue(&mut self, now: Instant) {
        let Some(run) = &mut self.run else { return };
        let reason = match (&run.process, run.killed) {
            (Some(_), false) => {
                format!("still there {} after SIGTERM, killing it", reason::duration(self.spec.stop_grace))
            }
            (Some(process), true) => {
                format!("process {} is stuck in the kernel: SIGKILL does not end it", process.id.pid)
            }
            (None, _) => "its program is stuck being started".into(),
        };
        let escalate = run.process.is_some() && !run.killed;
        run.stuck = !escalate;
        self.actions.push(UnitAction::Note { reason });
        if escalate {
            self.kill(now);
        }
    }

    fn kill(&mut self, now: Instant) {
        if let Some(run) = &mut self.run {
            run.killed = true;
            self.actions.push(UnitAction::Kill { epoch: run.epoch });
            self.deadline = now.checked_add(KILL_PATIENCE);
        }
    }

    /// Ends a process that does not answer: it gets no grace, because it could not use it.
    pub(super) fn kill_silent(&mut self, fault: String, now: Instant) {
        let Some(run) = &mut self.run else { return };
        run.end = Some(EndCause::Fault(fault.clone()));
        self.withdraw();
        self.kill(now);
        self.enter(UnitState::Silent, fault, now);
    }

    pub(super) fn on_exit(&mut self, exit: ExitState, last_line: Option<&str>, now: Instant) {
        let Some(run) = self.run.take() else { return };
        self.actions.push(UnitAction::Sweep { epoch: run.epoch });
        let lived = now.saturating_duration_since(run.since);
        let reason = reason::run_end(&run, exit, lived, last_line);
        let failed = run.end.is_some() || !exit.is_success();
        let commanded = run.end == Some(EndCause::Commanded);
        self.over(RunEnd { commanded, failed, length: run.length(now) }, reason, now);
    }

    pub(super) fn on_spawn_failed(&mut self, error: String, now: Instant) {
        let Some(run) = self.run.take() else { return };
        let commanded = run.end == Some(EndCause::Commanded);
        self.over(RunEnd { commanded, failed: true, length: RunLength::NeverReady }, error, now);
    }

    /// Decides what comes after a run; there is no process at this point.
    fn over(&mut self, end: RunEnd, reason: String, now: Instant) {
        self.deadline = None;
        self.last_end = Some(LastEnd { reason: reason.clone(), at: now });
        if !self.wanted {
            self.enter(self.at_rest(), reason, now);
            return;
        }
        if end.commanded {
            self.enter(UnitState::Stopped, reason, now);
            self.backoff = Backoff::default();
            self.begin("started anew, as asked".into(), now);
            return;
        }
        match decide(self.spec.restart, end.failed) {
            Aftermath::Restart => self.back_off(end.length, &reason, now),
            Aftermath::Rest => self.enter(self.at_rest(), format!("{reason}; not to be restarted"), now),
            Aftermath::GiveUp => self.enter(UnitState::Failed, format!("{reason}; never to be restarted"), now),
        }
    }

    fn back_off(&mut self, length: RunLength, reason: &str, now: Instant) {
        let wait = self.backoff.next(&self.spec.backoff, length, self.dice.f64());
        if wait.is_zero() {
            self.enter(UnitState::BackingOff, format!("{reason}; restarting at once"), now);
            self.restart(now);
        } else {
            let when = reason::duration(wait);
            self.enter(UnitState::BackingOff, format!("{reason}; restarting in {when}"), now);
            self.deadline = now.checked_add(wait);
        }
    }

    pub(super) fn restart(&mut self, now: Instant) {
        self.restarts += 1;
        self.begin(format!("restart {}", self.restarts), now);
    }
}

//! The end of a unit's process, wanted or not, and what comes after it.

use std::time::{Duration, Instant};

use super::event::UnitAction;
use super::exit::ExitState;
use super::reason;
use super::run::EndCause;
use super::{LastEnd, Unit, UnitState};
use crate::supervisor::policy::backoff::RunLength;
use crate::supervisor::policy::intensity::Verdict;
use crate::supervisor::policy::restart::{Aftermath, decide};
use crate::supervisor::{IntensitySpec, SoftSignal};
use crate::wire::Load;

/// How long a process may take to go after SIGKILL before it is called stuck.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// What the next step depends on when a run is over.
struct RunEnd {
    cause: Option<EndCause>,
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

    /// Asks the process to end, with a grace period; where others still need it, once they are gone.
    pub(super) fn end_run(&mut self, cause: EndCause, reason: String, now: Instant) {
        let is_held = !self.wanted && self.gate.held_by.is_some();
        let Some(run) = &mut self.run else {
            // It was only waiting, and nothing has to end.
            self.enter(self.at_rest(), reason, now);
            return;
        };
        run.end = Some(cause);
        if is_held {
            // Its card stays: those that need it may call it until they are gone.
            run.held = true;
            self.deadline = None;
            let names = self.gate.held_by.as_deref().unwrap_or_default();
            let reason = format!("{reason}; first {names}, that depend on it, have to be gone");
            self.enter(UnitState::Stopping, reason, now);
            return;
        }
        self.withdraw();
        self.enter(UnitState::Stopping, reason, now);
        self.terminate(now);
    }

    /// Tells one to end that had to wait for others, when they are gone or it is wanted again.
    pub(super) fn let_go(&mut self, now: Instant) {
        let is_free = self.wanted || self.gate.held_by.is_none();
        let Some(run) = self.run.as_mut().filter(|run| run.held && is_free) else { return };
        run.held = false;
        self.withdraw();
        self.terminate(now);
    }

    /// Where its start is still under way, that comes first, and only the patience begins.
    fn terminate(&mut self, now: Instant) {
        let Some(run) = &mut self.run else { return };
        if run.process.is_some() {
            run.asked_with = Some(("SIGTERM", self.spec.stop_grace));
            self.actions.push(UnitAction::Terminate { epoch: run.epoch });
        }
        self.deadline = now.checked_add(self.spec.stop_grace);
    }

    pub(super) fn on_end_overdue(&mut self, now: Instant) {
        let Some(run) = &mut self.run else { return };
        let reason = match (&run.process, run.killed) {
            (Some(_), false) => {
                let (signal, time) = run.asked_with.unwrap_or(("SIGTERM", self.spec.stop_grace));
                format!("still there {} after {signal}, killing it", reason::duration(time))
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

    /// Ends a process that does not answer or gets nowhere: it gets no grace, because it could not use it.
    ///
    /// Where it may be able to leave a trace of what it is at, it is given a moment for that.
    pub(super) fn condemn(&mut self, verdict: UnitState, fault: String, now: Instant) {
        let Some(run) = &mut self.run else { return };
        run.end = Some(EndCause::Fault(fault.clone()));
        let last_answer = run.last_answer;
        self.withdraw();
        match self.spec.soft_signal {
            Some(signal) => self.urge(signal, now),
            None => self.kill(now),
        }
        self.enter(verdict, fault, now);
        if let Some(answer) = last_answer {
            let ago = reason::duration(now.saturating_duration_since(answer.at));
            let Load { done, failed, beat, .. } = answer.load;
            let calls = reason::calls(&answer.load);
            let reason = format!("its last answer, {ago} before: {calls}; {done} done, {failed} failed, beat {beat}");
            self.actions.push(UnitAction::Note { reason });
        }
    }

    fn urge(&mut self, signal: SoftSignal, now: Instant) {
        if let Some(run) = &mut self.run {
            run.asked_with = Some((signal.as_str(), self.spec.soft_wait));
            self.actions.push(UnitAction::Urge { epoch: run.epoch, signal });
            self.deadline = now.checked_add(self.spec.soft_wait);
        }
    }

    pub(super) fn on_exit(&mut self, exit: ExitState, last_line: Option<&str>, now: Instant) {
        let Some(run) = self.run.take() else { return };
        self.actions.push(UnitAction::Sweep { epoch: run.epoch });
        let lived = now.saturating_duration_since(run.since);
        let is_success = exit.is_success(&self.spec.success_codes);
        let reason = reason::run_end(&run, (exit, is_success), lived, last_line);
        let failed = run.end.is_some() || !is_success;
        self.over(RunEnd { failed, length: run.length(now), cause: run.end }, reason, now);
    }

    pub(super) fn on_spawn_failed(&mut self, error: String, now: Instant) {
        let Some(run) = self.run.take() else { return };
        self.over(RunEnd { cause: run.end, failed: true, length: RunLength::NeverReady }, error, now);
    }

    /// Whatever its restart policy says: another try would find the same program.
    pub(super) fn on_refused(&mut self, why: String, now: Instant) {
        self.run = None;
        self.deadline = None;
        let to = if self.wanted { UnitState::Failed } else { self.at_rest() };
        self.enter(to, format!("refused: {why}"), now);
    }

    /// Decides what comes after a run; there is no process at this point.
    fn over(&mut self, end: RunEnd, reason: String, now: Instant) {
        self.deadline = None;
        self.last_end = Some(LastEnd { reason: reason.clone(), at: now });
        if !self.wanted {
            self.enter(self.at_rest(), reason, now);
            return;
        }
        // Both ends are in good order, and no crash whatever the exit code.
        let anew = match end.cause {
            Some(EndCause::Commanded) => Some("started anew, as asked"),
            Some(EndCause::Bereft) => Some("still wanted"),
            Some(EndCause::Fault(_)) | None => None,
        };
        if let Some(anew) = anew {
            self.enter(UnitState::Stopped, reason, now);
            self.forgive();
            self.begin(anew.into(), now);
            return;
        }
        match decide(self.spec.restart, end.failed) {
            Aftermath::Restart => self.restart_in_time(end.length, &reason, now),
            Aftermath::Rest => self.enter(self.at_rest(), format!("{reason}; not to be restarted"), now),
            Aftermath::GiveUp => self.enter(UnitState::Failed, format!("{reason}; never to be restarted"), now),
        }
    }

    /// Restarts it after its backoff, unless that happens too often.
    fn restart_in_time(&mut self, length: RunLength, reason: &str, now: Instant) {
        let IntensitySpec { restarts, within, .. } = self.spec.intensity;
        let rate = || format!("{restarts} restarts within {}", reason::duration(within));
        match self.intensity.restart(&self.spec.intensity, now) {
            Verdict::TooMany => {
                let name = &self.spec.name;
                let reason = format!("{reason}; given up after {}; `plugbus reset {name}` starts it again", rate());
                self.enter(UnitState::Failed, reason, now);
                return;
            }
            Verdict::Flapping => {
                let reason = format!("{}, and it goes on; {reason}", rate());
                self.actions.push(UnitAction::Flapping { reason });
            }
            Verdict::Fine => {}
        }
        self.back_off(length, reason, now);
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

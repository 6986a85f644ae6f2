//! A unit's process while it is wanted: from the order to start it to being ready, and its answers.

use std::time::{Duration, Instant};

use super::event::{Epoch, UnitAction, UnitAnswer};
use super::reason;
use super::run::{EndCause, Run, RunProcess};
use super::{Unit, UnitState};
use crate::supervisor::policy::health::{Liveness, RoundOutcome, Stillness, is_busy, judge};
use crate::wire::Phase;

impl Unit {
    /// Starts a process, or begins to wait for those that have to be there first.
    pub(super) fn begin(&mut self, reason: String, now: Instant) {
        self.deadline = None;
        if let Some(names) = &self.gate.waits_for {
            let reason = format!("{reason}; waits for {names}");
            self.enter(UnitState::Starting, reason, now);
            return;
        }
        // First, so that the record of the change already has the new instance.
        self.spawn(now);
        self.enter(UnitState::Starting, reason, now);
    }

    fn spawn(&mut self, now: Instant) {
        debug_assert!(self.run.is_none(), "two processes for one unit");
        self.epoch = Epoch(self.epoch.0 + 1);
        self.run = Some(Run::new(self.epoch, now));
        self.actions.push(UnitAction::Spawn { epoch: self.epoch });
    }

    /// Does what the others let it do by now; looked at after every event.
    pub(super) fn heed_gate(&mut self, now: Instant) {
        if self.is_waiting() {
            match &self.gate.waits_for {
                Some(names) => self.reason = format!("waits for {names}"),
                None => {
                    self.reason = "has waited for what it depends on, and is being started".into();
                    self.spawn(now);
                }
            }
            return;
        }
        if let Some(lost) = &self.gate.lost
            && (self.state == UnitState::Starting || self.state.owes_answers())
        {
            let reason = format!("it requires {lost}");
            self.end_run(EndCause::Bereft, reason, now);
        }
        self.let_go(now);
    }

    pub(super) fn on_spawned(&mut self, process: RunProcess, now: Instant) {
        let epoch = self.epoch;
        let Some(run) = &mut self.run else { return };
        run.process = Some(process);
        run.since = now;
        run.stuck = false;
        if self.state == UnitState::Stopping {
            // The stop came first and wins; only now is there something to stop.
            if !run.held {
                self.actions.push(UnitAction::Terminate { epoch });
                self.deadline = now.checked_add(self.spec.stop_grace);
            }
        } else {
            self.deadline = now.checked_add(self.spec.start_timeout);
        }
    }

    /// Whoever may have been ready all the time gets the time back in which nobody asked.
    pub(super) fn on_standstill(&mut self, time: Duration) {
        if self.state == UnitState::Starting {
            self.deadline = self.deadline.and_then(|deadline| deadline.checked_add(time));
        }
    }

    pub(super) fn on_answer(&mut self, answer: UnitAnswer, now: Instant) {
        let (phase, load) = (answer.phase, answer.load);
        let Some(run) = self.run.as_mut().filter(|run| run.process.is_some()) else { return };
        let news = run.take_answer(answer, now);
        if news {
            self.info.clone_from(&run.info);
        }
        if news && self.state.takes_calls() && phase == Phase::Ready {
            self.publish();
        }
        match (self.state, phase) {
            (UnitState::Starting, Phase::Ready) => self.become_ready(now),
            (UnitState::Ready, Phase::Ready) if is_busy(&load) => {
                self.enter(UnitState::Busy, reason::calls(&load), now);
            }
            (UnitState::Busy, Phase::Ready) if !is_busy(&load) => {
                self.enter(UnitState::Ready, "its long calls are done".into(), now);
            }
            (UnitState::Ready | UnitState::Busy, Phase::Starting) => {
                self.withdraw();
                self.deadline = now.checked_add(self.spec.start_timeout);
                self.enter(UnitState::Starting, "says that it is starting again".into(), now);
            }
            (UnitState::Starting | UnitState::Ready | UnitState::Busy, Phase::Draining) => {
                self.withdraw();
                self.deadline = None;
                self.enter(UnitState::Draining, "says that it takes no more calls".into(), now);
            }
            _ => {}
        }
    }

    fn become_ready(&mut self, now: Instant) {
        // A card without the methods would be of no use to a caller; the next question asks for them.
        let Some(run) = self.run.as_mut().filter(|run| run.info.is_some()) else { return };
        run.ready_at = Some(now);
        let took = reason::duration(now.saturating_duration_since(run.since));
        // It was started long ago, and becomes ready again for whoever took it back.
        let reason = match std::mem::take(&mut run.found) {
            true => "answers as the instance it was".into(),
            false => format!("ready {took} after its start"),
        };
        self.deadline = None;
        self.publish();
        self.enter(UnitState::Ready, reason, now);
    }

    pub(super) fn on_round(&mut self, outcome: RoundOutcome, now: Instant) {
        let Some(run) = &mut self.run else { return };
        if !self.state.owes_answers() {
            return;
        }
        match judge(run.missed, outcome, self.misses) {
            Liveness::Alive { .. } if outcome == RoundOutcome::Answered => self.look_for_progress(now),
            Liveness::Alive { missed } => {
                run.missed = missed;
                if outcome == RoundOutcome::Void {
                    run.stillness = None;
                } else {
                    let reason = format!("no answer to {missed} of {} survey rounds", self.misses);
                    self.actions.push(UnitAction::Note { reason });
                }
            }
            Liveness::Silent { missed } => {
                run.missed = missed;
                let rounds = if missed == 1 { "round" } else { "rounds" };
                self.condemn(UnitState::Silent, format!("silent: missed {missed} survey {rounds}"), now);
            }
        }
    }

    fn look_for_progress(&mut self, now: Instant) {
        let grace = self.spec.wedge_grace;
        let Some(run) = &mut self.run else { return };
        run.missed = 0;
        let Some(answer) = run.last_answer else { return };
        let stillness = Stillness::see(run.stillness, &answer.load, now);
        run.stillness = Some(stillness);
        if stillness.is_wedged(&answer.load, grace, now) {
            let fault = format!("wedged: {}, and no progress", reason::calls(&answer.load));
            self.condemn(UnitState::Wedged, fault, now);
        }
    }

    fn publish(&mut self) {
        if let Some(run) = &mut self.run
            && let Some(info) = run.info.clone()
        {
            run.published = true;
            self.actions.push(UnitAction::PublishCard { epoch: run.epoch, info });
        }
    }

    pub(super) fn withdraw(&mut self) {
        if let Some(run) = self.run.as_mut().filter(|run| run.published) {
            run.published = false;
            self.actions.push(UnitAction::WithdrawCard { epoch: run.epoch });
        }
    }
}

//! What can be asked about a unit without changing it.

use std::time::{Duration, Instant};

use super::run::{LastAnswer, RunProcess};
use super::{Epoch, Unit, UnitState};
use crate::supervisor::PluginSpec;
use crate::supervisor::policy::dependency::{Gate, Member, Standing};
use crate::supervisor::report::{AnswerReport, EndReport, PluginStatus};
use crate::wire::MethodInfo;

impl Unit {
    pub(in crate::supervisor) fn spec(&self) -> &PluginSpec {
        &self.spec
    }

    pub(in crate::supervisor) fn replica(&self) -> u32 {
        self.replica
    }

    /// Its newest process; 0 before the first.
    pub(in crate::supervisor) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(in crate::supervisor) fn state(&self) -> UnitState {
        self.state
    }

    pub(in crate::supervisor) fn reason(&self) -> &str {
        &self.reason
    }

    pub(in crate::supervisor) fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Whether it is to run, as far as commands go; its restart policy may have given up all the same.
    pub(in crate::supervisor) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// When it wants to be told that time has passed.
    pub(in crate::supervisor) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The process, while one exists.
    pub(in crate::supervisor) fn process(&self) -> Option<&RunProcess> {
        self.run.as_ref()?.process.as_ref()
    }

    /// Whether there is nothing left to wait for once it was told to stop.
    pub(in crate::supervisor) fn is_settled(&self) -> bool {
        self.run.as_ref().is_none_or(|run| run.stuck) && self.deadline.is_none()
    }

    /// Whether it only waits for those that it depends on.
    pub(in crate::supervisor) fn is_waiting(&self) -> bool {
        self.state == UnitState::Starting && self.run.is_none()
    }

    /// Whether it will not take calls until somebody sees to it, or to what it requires.
    pub(in crate::supervisor) fn is_hopeless(&self) -> bool {
        self.state.standing(self.wanted) == Standing::Down || self.is_waiting() && self.gate.lost.is_some()
    }

    pub(in crate::supervisor) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// What others that depend on it, or that it depends on, have to know of it.
    pub(in crate::supervisor) fn member(&self) -> Member<'_> {
        Member {
            name: &self.spec.name,
            after: &self.spec.after,
            requires: &self.spec.requires,
            state: self.state,
            standing: self.state.standing(self.wanted),
            leaving: !self.wanted,
            gone: self.run.as_ref().is_none_or(|run| run.stuck),
        }
    }

    /// The methods its newest process said it has; `None` while none has said so.
    pub(in crate::supervisor) fn methods(&self) -> Option<&[MethodInfo]> {
        Some(&self.info.as_ref()?.methods)
    }

    /// Everything about it that people want to see; the caller adds what the wall clock and its output say.
    pub(in crate::supervisor) fn status(&self, now: Instant) -> PluginStatus {
        let run = self.run.as_ref();
        let process = self.process();
        PluginStatus {
            name: self.spec.name.clone(),
            replica: self.replica,
            state: self.state,
            reason: self.reason.clone(),
            state_ms: millis_since(self.state_since, now),
            since: String::new(),
            pid: process.map(|process| process.id.pid),
            instance: process.map(|process| process.instance.clone()),
            version: self.info.as_ref().map(|info| info.version.clone()).unwrap_or_default(),
            uptime_ms: run.filter(|run| run.process.is_some()).map(|run| millis_since(run.since, now)),
            restarts: self.restarts,
            last_end: self
                .last_end
                .as_ref()
                .map(|end| EndReport { reason: end.reason.clone(), ago_ms: millis_since(end.at, now) }),
            restart_in_ms: (self.state == UnitState::BackingOff)
                .then_some(self.deadline)
                .flatten()
                .map(|deadline| millis(deadline.saturating_duration_since(now))),
            answer: run.and_then(|run| run.last_answer).map(|answer| answer.report(now)),
            missed: run.map_or(0, |run| run.missed),
            last_line: None,
            dropped_lines: 0,
            trust: String::new(),
            refusal: String::new(),
        }
    }
}

impl LastAnswer {
    fn report(&self, now: Instant) -> AnswerReport {
        AnswerReport {
            ago_ms: millis_since(self.at, now),
            rtt_us: self.rtt.as_micros().try_into().unwrap_or(u64::MAX),
            in_flight: self.load.in_flight,
            oldest_ms: self.load.oldest_ms,
            done: self.load.done,
            failed: self.load.failed,
            beat: self.load.beat,
            overdue_ms: self.load.overdue_ms,
        }
    }
}

fn millis_since(then: Instant, now: Instant) -> u64 {
    millis(now.saturating_duration_since(then))
}

fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

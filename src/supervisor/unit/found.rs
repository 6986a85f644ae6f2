//! A process that another supervisor started, taken back with all that is known of it.

use std::time::{Duration, Instant};

use super::event::{Epoch, UnitAction};
use super::reason;
use super::run::{Run, RunProcess};
use super::{Unit, UnitState};

/// What a supervisor before this one has left of a unit.
#[derive(Debug, Clone)]
pub(in crate::supervisor) struct Found {
    pub(in crate::supervisor) process: RunProcess,
    /// It was gone when it was found: its exit is all there is to come.
    pub(in crate::supervisor) gone: bool,
    /// How long ago it started.
    pub(in crate::supervisor) age: Duration,
    /// Callers can find it; so it had been ready.
    pub(in crate::supervisor) published: bool,
    /// How often the unit had been restarted.
    pub(in crate::supervisor) restarts: u64,
}

impl Unit {
    /// It has a process from the beginning, which has to prove by an answer that it is the one.
    pub(super) fn on_found(&mut self, found: Found, now: Instant) {
        debug_assert!(self.run.is_none(), "two processes for one unit");
        self.wanted = true;
        self.restarts = found.restarts;
        self.epoch = Epoch(self.epoch.0 + 1);
        let pid = found.process.id.pid;
        let reason = match (found.gone, found.age) {
            (true, _) => format!("process {pid} of the supervisor before is gone"),
            (false, Duration::ZERO) => format!("taken back from the supervisor before: process {pid}"),
            (false, age) => {
                format!("taken back from the supervisor before: process {pid}, {} old", reason::duration(age))
            }
        };
        self.run = Some(Run {
            since: now.checked_sub(found.age).unwrap_or(now),
            process: Some(found.process),
            ready_at: found.published.then_some(now),
            published: found.published,
            found: true,
            gone: found.gone,
            ..Run::new(self.epoch, now)
        });
        self.deadline = now.checked_add(self.spec.start_timeout);
        self.actions.push(UnitAction::TakeBack { epoch: self.epoch });
        self.enter(UnitState::Starting, reason, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::ProcessId;
    use crate::supervisor::tests::plugin;
    use crate::supervisor::unit::{ExitState, UnitAnswer, UnitCommand, UnitEvent};
    use crate::wire::{Info, Load, Phase};

    const AGE: Duration = Duration::from_secs(300);

    fn found(gone: bool) -> UnitEvent {
        let id = ProcessId { pid: 7, start_time: 1 };
        let process = RunProcess { instance: "k3".into(), id };
        let age = if gone { Duration::ZERO } else { AGE };
        UnitEvent::Found(Found { process, gone, age, published: true, restarts: 4 })
    }

    fn words(actions: &[UnitAction]) -> Vec<String> {
        let words = |action: &UnitAction| match action {
            UnitAction::Record(change) => format!("{} → {}: {}", change.from, change.to, change.reason),
            other => format!("{other:?}").split(' ').next().unwrap().to_owned(),
        };
        actions.iter().map(words).collect()
    }

    #[test]
    fn who_is_found_is_ready_with_its_first_answer_and_never_started() {
        let now = Instant::now() + 2 * AGE;
        let mut unit = Unit::new(plugin("text", &["x"]), 0, 3, 7, now);
        let actions = unit.handle(found(false), now);
        let taken = "stopped → starting: taken back from the supervisor before: process 7, 5 min 0 s old";
        assert_eq!(words(&actions), ["TakeBack", taken]);
        // What starts with the supervisor runs already.
        assert_eq!(unit.handle(UnitEvent::Asked(UnitCommand::Start), now), []);
        let answer = UnitAnswer {
            phase: Phase::Ready,
            load: Load::default(),
            info: Some(Info::default()),
            rtt: Duration::ZERO,
        };
        let actions = unit.handle(UnitEvent::Answered { epoch: unit.epoch, answer }, now);
        assert_eq!(words(&actions), ["PublishCard", "starting → ready: answers as the instance it was"]);
        let status = unit.status(now);
        assert_eq!((status.restarts, status.uptime_ms), (4, Some(300_000)));
    }

    #[test]
    fn who_is_found_and_does_not_answer_is_ended() {
        let now = Instant::now() + 2 * AGE;
        let mut unit = Unit::new(plugin("text", &["x"]), 0, 3, 7, now);
        unit.handle(found(false), now);
        let late = unit.deadline().unwrap();
        let actions = unit.handle(UnitEvent::DeadlinePassed, late);
        let ended = "starting → stopping: not ready 30.0 s after it was taken back: it never answered a survey";
        assert_eq!(words(&actions), ["WithdrawCard", ended, "Terminate"]);
    }

    #[test]
    fn the_exit_that_was_missed_is_decided_on_as_any_other() {
        let now = Instant::now();
        let mut unit = Unit::new(plugin("text", &["x"]), 0, 3, 7, now);
        let actions = unit.handle(found(true), now);
        assert_eq!(words(&actions)[1], "stopped → starting: process 7 of the supervisor before is gone");
        let exited = UnitEvent::Exited { epoch: unit.epoch, exit: ExitState::Unknown, last_line: None };
        let actions = unit.handle(exited, now);
        let reason = "exited, its code is unknown: it ended while no supervisor ran; restarting at once";
        assert_eq!(words(&actions)[..2], ["Sweep".to_owned(), format!("starting → backing-off: {reason}")]);
        assert_eq!(unit.restarts(), 5);
    }
}

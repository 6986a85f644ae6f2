//! Restarts one after the other: the next instance goes only when the one before is ready again.

use std::collections::VecDeque;

use super::Dispatcher;
use super::orders::{Goal, OrderAnswer, Progress};
use crate::supervisor::unit::{UnitCommand, UnitEvent};

/// A rolling restart under way. It goes on when whoever ordered it has gone.
#[derive(Debug)]
pub(super) struct Roll {
    all: Vec<usize>,
    left: VecDeque<usize>,
    current: Option<(usize, Goal)>,
    answer: Option<OrderAnswer>,
}

impl Dispatcher {
    pub(super) fn roll(&mut self, units: Vec<usize>, answer: OrderAnswer, wait: bool) {
        let mut roll = Roll { left: units.iter().copied().collect(), all: units, current: None, answer: None };
        if wait {
            roll.answer = Some(answer);
        } else {
            let _ = answer.send(Ok(self.order_report(true, roll.all.iter().copied())));
        }
        self.rolls.push(roll);
        self.changed = true;
    }

    /// Takes every rolling restart as far as it goes at the moment.
    pub(super) fn serve_rolls(&mut self) {
        for mut roll in std::mem::take(&mut self.rolls) {
            match self.advance(&mut roll) {
                Progress::Underway => self.rolls.push(roll),
                end => self.finish(roll, end),
            }
        }
    }

    fn advance(&mut self, roll: &mut Roll) -> Progress {
        loop {
            if let Some((unit, goal)) = roll.current {
                match goal.progress(self.slots.get(unit)) {
                    Progress::There => roll.current = None,
                    // Somebody stopped or removed it meanwhile, which is no failure of the new process.
                    Progress::Off if !self.is_wanted(unit) => roll.current = None,
                    other => return other,
                }
            }
            let Some(unit) = roll.left.pop_front() else { return Progress::There };
            if self.slots.get(unit).is_some_and(|slot| !slot.retiring) {
                roll.current = Some((unit, Goal::ready_after(unit, self.slots[unit].unit.epoch())));
                self.tell(unit, UnitEvent::Asked(UnitCommand::Restart));
            }
        }
    }

    fn finish(&mut self, roll: Roll, end: Progress) {
        let done = end == Progress::There;
        if let Some((unit, _)) = roll.current.filter(|_| !done)
            && let Some(slot) = self.slots.get(unit)
        {
            let left = roll.left.len();
            let reason = format!("did not come up: the rolling restart ends here, {left} instances are as they were");
            self.journal.noted(slot.subject(), &reason);
        }
        if let Some(answer) = roll.answer {
            let _ = answer.send(Ok(self.order_report(done, roll.all.into_iter())));
        }
    }

    pub(super) fn is_wanted(&self, unit: usize) -> bool {
        self.slots.get(unit).is_some_and(|slot| slot.unit.is_wanted() && !slot.retiring)
    }
}

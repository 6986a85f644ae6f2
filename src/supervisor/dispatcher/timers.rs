//! The deadlines of all units, the earliest first.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

/// At most one deadline a unit.
#[derive(Debug, Default)]
pub(super) struct Timers {
    line: BTreeSet<(Instant, usize)>,
    of: HashMap<usize, Instant>,
}

impl Timers {
    /// Replaces a unit's deadline.
    pub(super) fn set(&mut self, unit: usize, deadline: Option<Instant>) {
        let old = match deadline {
            Some(deadline) => self.of.insert(unit, deadline),
            None => self.of.remove(&unit),
        };
        if old != deadline {
            if let Some(old) = old {
                self.line.remove(&(old, unit));
            }
            if let Some(deadline) = deadline {
                self.line.insert((deadline, unit));
            }
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.line.first().map(|(deadline, _)| *deadline)
    }

    /// Takes out a unit whose deadline has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<usize> {
        let (deadline, unit) = *self.line.first()?;
        (deadline <= now).then(|| {
            self.set(unit, None);
            unit
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_earliest_comes_first_and_a_unit_has_one() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut timers = Timers::default();
        timers.set(1, Some(at(30)));
        timers.set(2, Some(at(20)));
        timers.set(1, Some(at(10)));
        timers.set(3, Some(at(5)));
        timers.set(3, None);
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.take_due(at(9)), None);
        assert_eq!(
            [timers.take_due(at(20)), timers.take_due(at(20)), timers.take_due(at(20))],
            [Some(1), Some(2), None]
        );
        assert_eq!(timers.next(), None);
    }
}

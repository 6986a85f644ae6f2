//! Dependencies: tells each unit what the others let it do.
//!
//! Decides nothing: `policy::dependency` does. A unit whose outlook changed is looked at by those linked to it, and so on
//! until nothing changes any more, which comes soon because dependencies have no circles.

use std::collections::VecDeque;

use super::Dispatcher;
use crate::supervisor::policy::dependency::{Standing, gate, start_order};
use crate::supervisor::unit::UnitEvent;

/// What others see of a unit: how it stands, whether it is told to stay away, whether it is gone.
pub(super) type Outlook = (Standing, bool, bool);

impl Dispatcher {
    /// Begins to tell units how those stand that they depend on.
    ///
    /// Until then nobody is taken for down that has only not been started yet.
    pub(super) fn open_gates(&mut self) {
        self.gated = true;
        for unit in self.in_start_order() {
            self.regate(unit);
            self.pass_on(unit);
        }
    }

    pub(super) fn outlook(&self, unit: usize) -> Outlook {
        let member = self.slots[unit].unit.member();
        (member.standing, member.leaving, member.gone)
    }

    /// Tells a unit what the others let it do, where that has changed.
    pub(super) fn regate(&mut self, unit: usize) {
        if !self.gated {
            return;
        }
        let gate = gate(self.slots[unit].unit.member(), self.slots.iter().map(|slot| slot.unit.member()));
        if gate != *self.slots[unit].unit.gate() {
            self.tell_alone(unit, UnitEvent::Gate(gate));
        }
    }

    /// Tells those that a unit's outlook concerns.
    pub(super) fn pass_on(&mut self, unit: usize) {
        let mut changed = VecDeque::from([unit]);
        while let Some(unit) = changed.pop_front() {
            for other in self.linked(unit) {
                let before = self.outlook(other);
                self.regate(other);
                if self.outlook(other) != before {
                    changed.push_back(other);
                }
            }
        }
    }

    fn linked(&self, unit: usize) -> Vec<usize> {
        let member = self.slots[unit].unit.member();
        let units = self.slots.numbered().map(|(other, slot)| (other, slot.unit.member()));
        units.filter(|(other, known)| *other != unit && member.is_linked(known)).map(|(other, _)| other).collect()
    }

    /// All units, each after those that it depends on.
    pub(super) fn in_start_order(&self) -> Vec<usize> {
        let specs = self.slots.iter().map(|slot| slot.unit.spec());
        let specs: Vec<_> = specs.map(|spec| (spec.name.as_str(), spec.dependencies())).collect();
        let numbers = self.slots.all();
        // Circles are refused where specs come in.
        let places = start_order(&specs).unwrap_or_else(|_| (0..numbers.len()).collect());
        places.into_iter().map(|place| numbers[place]).collect()
    }
}

//! All units, each under a number that is never used twice.
//!
//! What a late event names may be gone by then; it can never be somebody else.

use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};

use super::slot::Slot;

/// The units in the order in which they start.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: BTreeMap<usize, Slot>,
    next: usize,
}

impl Slots {
    /// Takes one in; answers its number.
    pub(super) fn add(&mut self, slot: Slot) -> usize {
        let unit = self.next;
        self.next += 1;
        self.slots.insert(unit, slot);
        unit
    }

    pub(super) fn remove(&mut self, unit: usize) {
        self.slots.remove(&unit);
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn contains(&self, unit: usize) -> bool {
        self.slots.contains_key(&unit)
    }

    pub(super) fn get(&self, unit: usize) -> Option<&Slot> {
        self.slots.get(&unit)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> + Clone {
        self.slots.values()
    }

    /// All with their numbers.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (usize, &Slot)> + Clone {
        self.slots.iter().map(|(unit, slot)| (*unit, slot))
    }

    /// The numbers of those that fit, as they are now: the units may be changed while one goes through them.
    pub(super) fn which(&self, fits: impl Fn(&Slot) -> bool) -> Vec<usize> {
        self.slots.iter().filter(|(_, slot)| fits(slot)).map(|(unit, _)| *unit).collect()
    }

    /// The numbers of all.
    pub(super) fn all(&self) -> Vec<usize> {
        self.which(|_| true)
    }
}

/// For numbers that were just asked for, or that an event of this very moment names.
impl Index<usize> for Slots {
    type Output = Slot;

    fn index(&self, unit: usize) -> &Slot {
        &self.slots[&unit]
    }
}

impl IndexMut<usize> for Slots {
    fn index_mut(&mut self, unit: usize) -> &mut Slot {
        match self.slots.get_mut(&unit) {
            Some(slot) => slot,
            None => unreachable!("unit {unit} was taken out while it was worked on"),
        }
    }
}

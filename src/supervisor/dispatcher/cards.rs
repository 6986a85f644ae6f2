//! Cards: by them callers find an instance. One that a full disk has no room for is tried again after each round.

use std::collections::BTreeSet;

use super::Dispatcher;
use crate::bus::{BusDir, BusError, Card};
use crate::supervisor::unit::Epoch;
use crate::wire::{Info, PROTOCOL};

/// A card that could not be written.
#[derive(Debug)]
pub(super) struct Unpublished {
    unit: usize,
    epoch: Epoch,
    card: Card,
}

impl Dispatcher {
    pub(super) fn publish(&mut self, unit: usize, epoch: Epoch, info: Info) {
        // Its methods may be what somebody waits for.
        self.changed = true;
        self.forget_card(unit, epoch);
        let Some(card) = self.card(unit, epoch, info) else { return };
        let callers = &self.slots[unit].unit.spec().allow;
        let published = card.and_then(|card| match show(&self.workshop.dir, &card, callers) {
            Err(error) => {
                self.unpublished.push(Unpublished { unit, epoch, card });
                Err(error)
            }
            done => done,
        });
        if let Err(error) = published {
            self.journal.noted(self.slots[unit].subject(), &format!("callers cannot find it: {error}"));
        }
    }

    /// Tries again to write what could not be written.
    pub(super) fn publish_again(&mut self) {
        for unpublished in std::mem::take(&mut self.unpublished) {
            let Unpublished { unit, card, .. } = &unpublished;
            if !self.slots.contains(*unit) {
                continue;
            }
            match show(&self.workshop.dir, card, &self.slots[*unit].unit.spec().allow) {
                Ok(()) => {
                    self.changed = true;
                    self.journal.noted(self.slots[*unit].subject(), "callers can find it now");
                }
                Err(_) => self.unpublished.push(unpublished),
            }
        }
    }

    pub(super) fn withdraw(&mut self, unit: usize, epoch: Epoch) {
        self.forget_card(unit, epoch);
        let slot = &self.slots[unit];
        if let Some(attended) = slot.attended(epoch) {
            self.workshop.dir.withdraw(&slot.unit.spec().name, &attended.instance);
        }
    }

    pub(super) fn sweep(&mut self, unit: usize, epoch: Epoch) {
        self.forget_card(unit, epoch);
        let slot = &self.slots[unit];
        if let Some(attended) = slot.attended(epoch) {
            self.workshop.dir.sweep(&slot.unit.spec().name, &attended.instance);
        }
    }

    /// `None` where the instance is gone.
    fn card(&self, unit: usize, epoch: Epoch, info: Info) -> Option<Result<Card, BusError>> {
        let slot = &self.slots[unit];
        let (attended, process) = (slot.attended(epoch)?, slot.unit.process()?);
        let (name, instance) = (slot.unit.spec().name.clone(), attended.instance.clone());
        let endpoint = self.workshop.dir.endpoint_of(&name, &instance);
        Some(endpoint.map(|endpoint| Card {
            name,
            instance,
            version: info.version,
            process: process.id,
            protocol: PROTOCOL,
            protocol_max: info.protocol_max,
            url: endpoint.to_string(),
            methods: info.methods,
        }))
    }

    fn forget_card(&mut self, unit: usize, epoch: Epoch) {
        self.unpublished.retain(|card| (card.unit, card.epoch) != (unit, epoch));
    }
}

/// Has callers find an instance, those of other users too who may call it.
fn show(dir: &BusDir, card: &Card, callers: &BTreeSet<u32>) -> Result<(), BusError> {
    if !callers.is_empty() {
        dir.open_socket(&card.name, &card.instance, callers)?;
    }
    dir.publish_for(card, callers)
}

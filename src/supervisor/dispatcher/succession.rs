//! From one supervisor to the next: what it takes over, and what it leaves.

use std::time::{Duration, Instant};

use super::Dispatcher;
use super::attend::ProcessCommand;
use crate::supervisor::process::Launch;
use crate::supervisor::startup::{GRACE, Inherited, end_leftover, remove_stale_files, settle};
use crate::supervisor::unit::{Found, RunProcess, UnitCommand, UnitEvent};

/// How long tasks may take to be done with what they are in the middle of.
const FAREWELL: Duration = Duration::from_secs(10);

impl Dispatcher {
    /// Gives each instance that was found to its unit; what has none is ended in the background.
    pub(super) fn inherit(&mut self, inheritance: Vec<Inherited>) {
        let numbers = self.slots.all();
        let units: Vec<_> =
            self.slots.iter().map(|slot| (slot.unit.spec().name.as_str(), slot.unit.replica())).collect();
        let claims: Vec<_> = inheritance.iter().map(Inherited::claim).collect();
        let places = settle(&claims, &units);
        let kept: Vec<_> = inheritance.iter().map(|inherited| inherited.record.instance.clone()).collect();
        remove_stale_files(&self.workshop.dir, &kept, &self.journal);
        for (inherited, place) in inheritance.into_iter().zip(places) {
            match place.map(|place| numbers[place]) {
                // Nothing is to be decided about the end of what is not to run.
                Some(unit) if inherited.process.is_some() || self.starts_by_itself(unit) => {
                    self.inherit_one(unit, inherited);
                }
                _ => self.end_leftover(inherited),
            }
        }
    }

    fn inherit_one(&mut self, unit: usize, mut inherited: Inherited) {
        let slot = &mut self.slots[unit];
        let record = &mut inherited.record;
        record.replica = Some(slot.unit.replica());
        let wanted = Launch::fingerprint(slot.unit.spec());
        let changed = record.fingerprint.as_ref().is_some_and(|fingerprint| *fingerprint != wanted);
        let process = inherited.process.as_ref();
        let found = Found {
            process: RunProcess {
                instance: record.instance.clone(),
                id: process.map_or(record.process, |process| process.id()),
            },
            gone: process.is_none(),
            age: inherited.age,
            published: inherited.had_card,
            restarts: record.restarts,
        };
        let lives = process.is_some();
        slot.inherited = Some(inherited);
        self.tell(unit, UnitEvent::Found(found));
        if self.operator.stopped.contains(&self.slots[unit].unit.spec().name) {
            // Its supervisor was gone before the order was carried out.
            self.tell(unit, UnitEvent::Asked(UnitCommand::Stop));
        } else if changed && lives {
            self.journal.noted(self.slots[unit].subject(), "its configuration is another than it was started with");
            self.tell(unit, UnitEvent::Asked(UnitCommand::Restart));
        }
    }

    fn end_leftover(&self, leftover: Inherited) {
        let spec = self.slots.iter().map(|slot| slot.unit.spec()).find(|spec| spec.name == leftover.record.name);
        let grace = spec.map_or(GRACE, |spec| spec.stop_grace);
        let workshop = self.workshop.clone();
        // While it goes on, it holds the way in for events, and the end of this supervisor waits for it.
        tokio::spawn(async move { end_leftover(leftover, grace, &workshop.dir, &workshop.journal).await });
    }

    /// Leaves every plugin to itself, and to the next supervisor, which finds it by its record.
    pub(super) fn let_go(&mut self) {
        if self.stopping {
            return;
        }
        self.journal.own("leaving; the plugins run on by themselves");
        self.leaving = true;
        for attended in self.slots.iter().filter_map(|slot| slot.attended.as_ref()) {
            // Closed where the process is gone; and what is being started hears it as soon as it exists.
            let _ = attended.commands.try_send(ProcessCommand::LetGo);
        }
    }

    /// Closes the survey, and waits until all tasks are done with what their processes left, but not for ever.
    pub(super) async fn part(self) {
        let Self { slots, workshop, mut events, survey, .. } = self;
        drop((slots, workshop));
        survey.end().await;
        let deadline = Instant::now() + FAREWELL;
        while let Ok(Some(_)) = tokio::time::timeout_at(deadline.into(), events.recv()).await {}
    }
}

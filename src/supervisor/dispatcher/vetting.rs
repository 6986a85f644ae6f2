//! Before something that runs is ended to be started anew: would it be?
//!
//! A plugin goes on with the program that it was started with, whatever becomes of the file. Ended and then refused, it
//! would be gone. So its files are looked at first, on a thread of their own, and the answer comes back in line.

use std::sync::Arc;

use super::orders::{OrderAnswer, OrderQuery, OrderRefusal};
use super::{Dispatcher, Request};
use crate::supervisor::unit::{UnitCommand, UnitEvent};
use crate::trust::{NotAdmitted, Subject, Trust};

/// What is done once it is known.
#[derive(Debug)]
pub(in crate::supervisor) enum Next {
    /// Somebody ordered it, and hears of a refusal.
    Order(OrderQuery, OrderAnswer),
    /// It runs differently by now.
    Restart { unit: usize },
}

/// What was found out about plugins.
#[derive(Debug)]
pub(in crate::supervisor) struct Vetted {
    next: Next,
    /// Who was looked at, and why it would be refused, if so.
    plugins: Vec<(String, Option<String>)>,
}

impl Dispatcher {
    /// Looks whether those of them that run would be started again, then goes on.
    pub(super) fn vet(&mut self, units: &[usize], next: Next) {
        let running = units.iter().map(|unit| &self.slots[*unit].unit).filter(|unit| unit.process().is_some());
        let mut subjects: Vec<Subject> = running.map(|unit| unit.spec().subject()).collect();
        subjects.retain(|subject| subject.level != Trust::Any);
        subjects.dedup();
        let Some(itself) = self.itself.upgrade().filter(|_| !subjects.is_empty()) else {
            return self.go_on(next, &[]);
        };
        if let Next::Restart { unit } = next {
            self.slots[unit].restarts_due += 1;
        }
        let warden = Arc::clone(&self.workshop.warden);
        tokio::spawn(async move {
            let look = move |subject: Subject| match warden.would_admit(&subject) {
                Err(refused @ NotAdmitted::Refused(_)) => (subject.plugin, Some(refused.to_string())),
                // What the system says is told when it is started, and tried again.
                Err(NotAdmitted::System(_)) | Ok(()) => (subject.plugin, None),
            };
            let looked = tokio::task::spawn_blocking(move || subjects.into_iter().map(look).collect());
            let _ = itself.send(Request::Vetted(Vetted { next, plugins: looked.await.unwrap_or_default() })).await;
        });
    }

    pub(super) fn on_vetted(&mut self, Vetted { next, plugins }: Vetted) {
        if let Next::Restart { unit } = next
            && self.slots.contains(unit)
        {
            self.slots[unit].restarts_due -= 1;
            self.changed = true;
        }
        let mut refusals = Vec::new();
        for (name, refusal) in plugins {
            for unit in self.slots.which(|slot| slot.unit.spec().name == name) {
                self.slots[unit].refusal = refusal.clone().unwrap_or_default();
            }
            if let Some(why) = refusal {
                self.tell_refusal(&name, &why);
                refusals.push(format!("{name}: {why}"));
            }
        }
        self.go_on(next, &refusals);
    }

    fn go_on(&mut self, next: Next, refusals: &[String]) {
        match next {
            Next::Order(query, answer) if refusals.is_empty() => self.give_order(&query, answer),
            Next::Order(_, answer) => {
                let _ = answer.send(Err(OrderRefusal::Untrusted { message: refusals.join("; ") }));
            }
            Next::Restart { unit } if refusals.is_empty() && self.is_wanted(unit) => {
                self.tell(unit, UnitEvent::Asked(UnitCommand::Restart));
            }
            Next::Restart { .. } => {}
        }
    }

    /// Has plugins run what they are made of by now, those that are to run.
    pub(super) fn on_rebuilt(&mut self, names: &[String]) {
        for unit in self.slots.which(|slot| !slot.retiring && names.contains(&slot.unit.spec().name)) {
            if self.is_wanted(unit) && !self.stopping {
                self.journal.noted(self.slots[unit].subject(), "its files were made anew; restarted, for --dev");
                self.vet(&[unit], Next::Restart { unit });
            }
        }
    }

    fn tell_refusal(&self, name: &str, why: &str) {
        let units = self.slots.which(|slot| slot.unit.spec().name == name);
        if let Some(unit) = units.first() {
            self.journal.noted(self.slots[*unit].subject(), &format!("not restarted, and goes on as it is: {why}"));
        }
    }
}

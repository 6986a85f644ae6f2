//! Tells a unit what happened, and does what it then wants.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use tokio::sync::mpsc;

use super::Dispatcher;
use super::attend::{Attendance, ProcessCommand, Start};
use super::slot::Attended;
use crate::bus::new_instance;
use crate::supervisor::journal::now_in_words;
use crate::supervisor::output::Source;
use crate::supervisor::process::{Launch, Tree};
use crate::supervisor::startup::InstanceRecord;
use crate::supervisor::unit::{Change, Epoch, UnitAction, UnitEvent, UnitState};

impl Dispatcher {
    /// The only way in which a unit ever changes; those that it concerns are told what it means for them.
    pub(super) fn tell(&mut self, unit: usize, event: UnitEvent) {
        if let UnitEvent::Asked(_) = &event {
            self.regate(unit);
        }
        let before = self.outlook(unit);
        self.tell_alone(unit, event);
        if self.outlook(unit) != before {
            self.pass_on(unit);
        }
    }

    pub(super) fn tell_alone(&mut self, unit: usize, event: UnitEvent) {
        if let UnitEvent::Spawned { process, .. } = &event
            && let Some(attended) = &mut self.slots[unit].attended
        {
            attended.pid = Some(process.pid);
        }
        match &event {
            UnitEvent::Refused { why, .. } => self.slots[unit].refusal.clone_from(why),
            UnitEvent::Spawned { .. } => self.slots[unit].refusal.clear(),
            _ => {}
        }
        if let UnitEvent::Exited { epoch, .. }
        | UnitEvent::SpawnFailed { epoch, .. }
        | UnitEvent::Refused { epoch, .. } = &event
        {
            self.forget_instance(unit, *epoch);
        }
        let actions = self.slots[unit].unit.handle(event, Instant::now());
        for action in actions {
            self.act(unit, action);
        }
        self.timers.set(unit, self.slots[unit].unit.deadline());
    }

    fn act(&mut self, unit: usize, action: UnitAction) {
        match action {
            UnitAction::Spawn { epoch } => self.spawn(unit, epoch),
            UnitAction::TakeBack { epoch } => self.take_back(unit, epoch),
            UnitAction::Terminate { epoch } => self.command(unit, epoch, ProcessCommand::Terminate),
            UnitAction::Urge { epoch, signal } => self.command(unit, epoch, ProcessCommand::Urge(signal)),
            UnitAction::Kill { epoch } => self.command(unit, epoch, ProcessCommand::Kill),
            UnitAction::PublishCard { epoch, info } => self.publish(unit, epoch, info),
            UnitAction::WithdrawCard { epoch } => self.withdraw(unit, epoch),
            UnitAction::Sweep { epoch } => self.sweep(unit, epoch),
            UnitAction::Record(change) => self.record(unit, &change),
            UnitAction::Flapping { reason } => self.journal.flapping(self.slots[unit].subject(), &reason),
            UnitAction::Note { reason } => self.journal.noted(self.slots[unit].subject(), &reason),
        }
    }

    fn spawn(&mut self, unit: usize, epoch: Epoch) {
        let instance = new_instance();
        let (source, orders, trust) = self.attend(unit, epoch, &instance, None);
        let slot = &self.slots[unit];
        let spec = slot.unit.spec();
        let subject = spec.subject();
        match Launch::new(spec, &instance, &self.workshop.dir, self.workshop.lane) {
            Ok(launch) => {
                let cgroup = self.workshop.cgroups.as_ref().map(|groups| groups.of(&spec.name, &instance));
                let record = InstanceRecord {
                    replica: Some(slot.unit.replica()),
                    restarts: slot.unit.restarts(),
                    fingerprint: Some(Launch::fingerprint(spec)),
                    cgroup: cgroup.as_ref().map(|cgroup| cgroup.path().into()),
                    ..InstanceRecord::planned(spec.name.clone(), instance.clone())
                };
                let tree = Tree::marked(self.workshop.dir.path(), &instance).with_cgroup(cgroup);
                self.instances.insert(instance, (unit, epoch));
                let start = Start { launch, tree, record, subject, trust };
                let workshop = self.workshop.clone();
                tokio::spawn(Attendance { unit, epoch, source, commands: orders, workshop }.start(start));
            }
            // Told in line with everything else: the unit is in the middle of its own step.
            Err(error) => self.spawn_later_failed(unit, epoch, error.to_string()),
        }
    }

    /// Prepares to look after a process of that instance.
    fn attend(
        &mut self,
        unit: usize,
        epoch: Epoch,
        instance: &str,
        pid: Option<u32>,
    ) -> (Arc<Source>, mpsc::Receiver<ProcessCommand>, Arc<OnceLock<String>>) {
        let slot = &mut self.slots[unit];
        let source = Arc::new(Source::new(&slot.unit.spec().name, instance, Arc::clone(&slot.dropped_lines)));
        // A unit sends at most one soft signal, one SIGTERM and one SIGKILL to each process, and it may be let go.
        let (commands, orders) = mpsc::channel(4);
        let trust = Arc::new(OnceLock::new());
        slot.attended = Some(Attended {
            epoch,
            instance: instance.to_owned(),
            pid,
            commands,
            source: Arc::clone(&source),
            trust: Arc::clone(&trust),
        });
        (source, orders, trust)
    }

    fn take_back(&mut self, unit: usize, epoch: Epoch) {
        let Some(inherited) = self.slots[unit].inherited.take() else { return };
        let instance = inherited.record.instance.clone();
        let pid = inherited.process.as_ref().map(|process| process.id().pid);
        let (source, orders, _) = self.attend(unit, epoch, &instance, pid);
        self.instances.insert(instance, (unit, epoch));
        let workshop = self.workshop.clone();
        tokio::spawn(Attendance { unit, epoch, source, commands: orders, workshop }.take_back(inherited));
    }

    fn spawn_later_failed(&self, unit: usize, epoch: Epoch, error: String) {
        let events = self.workshop.events.clone();
        tokio::spawn(async move {
            let _ = events.send((unit, UnitEvent::SpawnFailed { epoch, error })).await;
        });
    }

    fn command(&self, unit: usize, epoch: Epoch, command: ProcessCommand) {
        if let Some(attended) = self.slots[unit].attended(epoch) {
            // Closed when the process has exited meanwhile, which its task is about to tell.
            let _ = attended.commands.try_send(command);
        }
    }

    fn record(&mut self, unit: usize, change: &Change) {
        self.changed = true;
        let slot = &mut self.slots[unit];
        slot.since = now_in_words();
        let failed =
            matches!(change.to, UnitState::BackingOff | UnitState::Failed | UnitState::Silent | UnitState::Wedged);
        let output = slot.attended.as_ref().filter(|_| failed).map(|attended| attended.source.recent());
        self.journal.changed(slot.subject(), change, &output.unwrap_or_default());
    }

    fn forget_instance(&mut self, unit: usize, epoch: Epoch) {
        let Some(attended) = self.slots[unit].attended(epoch) else { return };
        let instance = attended.instance.clone();
        self.instances.remove(&instance);
        if let Some(command) = self.rounds.gone((unit, epoch)) {
            self.command_survey(command);
        }
    }
}

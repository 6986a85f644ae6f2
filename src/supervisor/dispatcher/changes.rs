//! Which plugins there are: the configuration with the operator's word over it, and what changes when either does.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use tokio::sync::oneshot;

use super::Dispatcher;
use super::orders::{Goal, OrderAnswer, OrderRefusal};
use super::slot::Slot;
use super::vetting::Next;
use crate::supervisor::control::OWN_NAME;
use crate::supervisor::operator::{Operator, Scaled};
use crate::supervisor::policy::dependency::start_order;
use crate::supervisor::policy::plan::{Difference, Step, plan};
use crate::supervisor::report::{ReloadReport, ScaledPlugin};
use crate::supervisor::unit::{Epoch, Unit, UnitCommand, UnitEvent};
use crate::supervisor::{PluginRequest, PluginSpec, SupervisorSpec};
use crate::wire::check_plugin_name;

/// A configuration that was read anew.
#[derive(Debug)]
pub(in crate::supervisor) struct Reload {
    pub(in crate::supervisor) spec: Box<SupervisorSpec>,
    /// Only say what it would change.
    pub(in crate::supervisor) plan: bool,
    pub(in crate::supervisor) answer: oneshot::Sender<Result<ReloadReport, OrderRefusal>>,
}

impl Dispatcher {
    /// Makes the units that there are to be at the start.
    pub(super) fn take_stock(&mut self) {
        match Operator::load(&self.workshop.dir) {
            Ok(operator) => self.operator = operator,
            Err(problem) => self.journal.own(&problem),
        }
        self.operator.settle(&self.spec.plugins);
        for spec in self.operator.over(&self.spec.plugins, &self.spec.defaults) {
            for replica in 0..spec.replicas {
                self.add_unit(&spec, replica);
            }
            self.plugins.push(spec);
        }
        self.let_in();
    }

    pub(super) fn on_reload(&mut self, reload: Reload) {
        let Reload { spec, plan, answer } = reload;
        let report = match self.stopping {
            true => Err(OrderRefusal::Stopping),
            false if plan => Ok(self.foresee(&spec)),
            false => Ok(self.take_over(*spec)),
        };
        let _ = answer.send(report);
    }

    pub(super) fn on_add(&mut self, request: PluginRequest, wait: bool, answer: OrderAnswer) {
        if let Err(refusal) = self.may_add(&request) {
            let _ = answer.send(Err(refusal));
            return;
        }
        let name = request.name.clone();
        // Without a command it is the one that was removed.
        self.operator.removed.remove(&name);
        if !request.command.is_empty() {
            // Whoever adds it means what is there now, whatever once had that name.
            if let Err(error) = self.workshop.warden.forget([name.as_str()].into_iter()) {
                self.journal.own(&format!("what was pinned of {name} stays: {error}"));
            }
            self.operator.added.insert(name.clone(), request);
        }
        self.follow_operator();
        self.expect_up(&name, wait, answer);
    }

    pub(super) fn on_scale(&mut self, name: &str, replicas: u32, wait: bool, answer: OrderAnswer) {
        let Some(spec) = self.plugins.iter().find(|spec| spec.name == name) else {
            let _ = answer.send(Err(self.unknown(name)));
            return;
        };
        if let Err(refusal) = check_replicas(replicas) {
            let _ = answer.send(Err(refusal));
            return;
        }
        let configured =
            self.spec.plugins.iter().find(|spec| spec.name == name).map_or(spec.replicas, |spec| spec.replicas);
        self.operator.scaled.insert(name.to_owned(), Scaled { configured, wanted: replicas });
        self.follow_operator();
        self.expect_up(name, wait, answer);
    }

    /// Does what the operator's word has newly changed, and remembers it.
    pub(super) fn follow_operator(&mut self) {
        self.operator.settle(&self.spec.plugins);
        self.remember();
        let plugins = self.operator.over(&self.spec.plugins, &self.spec.defaults);
        self.change_to(plugins);
    }

    /// Writes the operator's word down; it holds now, even where that fails.
    pub(super) fn remember(&mut self) {
        if self.remembered == self.operator {
            return;
        }
        match self.operator.save(&self.workshop.dir) {
            Ok(()) => self.remembered.clone_from(&self.operator),
            Err(error) => {
                self.journal.own(&format!("what was ordered by hand will be forgotten with this supervisor: {error}"))
            }
        }
    }

    /// Takes units away that were to go and are at rest.
    pub(super) fn bury(&mut self) {
        let at_rest = self.slots.which(|slot| slot.retiring && slot.unit.state().is_at_rest());
        for unit in &at_rest {
            self.timers.set(*unit, None);
            let name = self.slots[*unit].unit.spec().name.clone();
            self.slots.remove(*unit);
            if self.slots.which(|slot| slot.unit.spec().name == name).is_empty() {
                self.workshop.dir.remove_room(&name);
            }
        }
        if !at_rest.is_empty() {
            // For some of the others it was stopped; now it is not there.
            self.slots.all().into_iter().for_each(|unit| self.regate(unit));
        }
    }

    fn expect_up(&mut self, name: &str, wait: bool, answer: OrderAnswer) {
        let units = self.slots.which(|slot| slot.unit.spec().name == name && slot.unit.is_wanted() && !slot.retiring);
        let goals = units.into_iter().map(|unit| Goal::ready_after(unit, Epoch(0)));
        self.run_errand(goals.collect(), wait, answer);
    }

    fn may_add(&self, request: &PluginRequest) -> Result<(), OrderRefusal> {
        let invalid = |message: String| Err(OrderRefusal::Invalid { message });
        let PluginRequest { name, command, cwd, .. } = request;
        if let Err(error) = check_plugin_name(name) {
            return invalid(error.to_string());
        }
        if name == OWN_NAME {
            return invalid(format!("{OWN_NAME} is the supervisor's own name"));
        }
        if self.plugins.iter().any(|spec| spec.name == *name) {
            return invalid(format!(
                "there is a plugin {name:?} already: choose another name, or remove that one first"
            ));
        }
        if command.is_empty() && !self.operator.removed.contains(name) {
            return invalid(format!("plugin {name:?} needs a command"));
        }
        if !command.is_empty() && self.operator.removed.contains(name) {
            return invalid(format!(
                "the configuration has a plugin {name:?} that was removed: add it without a command"
            ));
        }
        if cwd.as_ref().is_some_and(|cwd| cwd.is_relative()) {
            return invalid("cwd has to be an absolute path".into());
        }
        request.replicas.map_or(Ok(()), check_replicas)
    }

    /// What a reload would do.
    fn foresee(&self, spec: &SupervisorSpec) -> ReloadReport {
        let mut operator = self.operator.clone();
        operator.settle(&spec.plugins);
        let plugins = operator.over(&spec.plugins, &spec.defaults);
        let mut report = self.report(&plan(&self.plugins, &plugins), plugins.len());
        report.settings = self.spec.settings_changed(spec);
        report
    }

    fn take_over(&mut self, spec: SupervisorSpec) -> ReloadReport {
        let report = self.foresee(&spec);
        let misses = self.spec.survey.misses != spec.survey.misses;
        if self.spec.survey != spec.survey {
            self.rounds.reconfigure(spec.survey.clone(), Instant::now());
        }
        if self.spec.log != spec.log {
            self.workshop.output.set_log(spec.log.clone());
            self.spec.log = spec.log;
        }
        self.workshop.warden.reconfigure(spec.trust);
        // What else holds for the whole bus stays as it is, until the supervisor itself is restarted.
        (self.spec.survey, self.spec.plugins, self.spec.defaults) = (spec.survey, spec.plugins, spec.defaults);
        self.follow_operator();
        if misses {
            self.slots.all().into_iter().for_each(|unit| {
                let spec = self.slots[unit].unit.spec().clone();
                self.reconfigure(unit, spec);
            });
        }
        if !report.is_nothing() {
            self.journal.own(&format!("reloaded: {report}"));
        }
        report
    }

    fn change_to(&mut self, plugins: Vec<PluginSpec>) {
        let mut steps = plan(&self.plugins, &plugins);
        let (before, after) = (ranks(&self.plugins), ranks(&plugins));
        let rank = |ranks: &HashMap<&str, usize>, name: &str| ranks.get(name).copied().unwrap_or_default();
        steps.sort_by_key(|step| match step {
            Step::Remove(name) => (0, usize::MAX - rank(&before, name)),
            Step::Add(spec) | Step::Update { spec, .. } => (1, rank(&after, &spec.name)),
        });
        for step in steps {
            match step {
                Step::Remove(name) => self.retire(|slot| slot.unit.spec().name == name),
                Step::Add(spec) => (0..spec.replicas).for_each(|replica| self.bring_in(&spec, replica)),
                Step::Update { spec, what } => self.update(&spec, what),
            }
        }
        self.plugins = plugins;
        self.let_in();
        self.changed = true;
    }

    fn update(&mut self, spec: &PluginSpec, what: Difference) {
        if let Some((from, to)) = what.replicas {
            self.retire(|slot| slot.unit.spec().name == spec.name && slot.unit.replica() >= to);
            (from..to).for_each(|replica| self.bring_in(spec, replica));
        }
        for unit in self.slots.which(|slot| slot.unit.spec().name == spec.name && !slot.retiring) {
            self.reconfigure(unit, spec.clone());
            let command = match what.enabled {
                Some(true) if self.starts_by_itself(unit) => UnitCommand::Enable,
                Some(false) => UnitCommand::Disable,
                _ if what.launch && self.slots[unit].unit.is_wanted() => {
                    self.vet(&[unit], Next::Restart { unit });
                    continue;
                }
                _ => continue,
            };
            self.tell(unit, UnitEvent::Asked(command));
        }
    }

    fn reconfigure(&mut self, unit: usize, spec: PluginSpec) {
        let misses = self.spec.survey.misses;
        self.tell(unit, UnitEvent::Asked(UnitCommand::Reconfigure { spec: Box::new(spec), misses }));
    }

    fn retire(&mut self, leaves: impl Fn(&Slot) -> bool) {
        for unit in self.slots.which(|slot| !slot.retiring && leaves(slot)) {
            self.slots[unit].retiring = true;
            self.tell(unit, UnitEvent::Asked(UnitCommand::Stop));
        }
    }

    /// A unit for this replica that runs, if it is to; one that is just on its way out comes back.
    fn bring_in(&mut self, spec: &PluginSpec, replica: u32) {
        let is_it = |slot: &Slot| slot.unit.spec().name == spec.name && slot.unit.replica() == replica;
        let unit = match self.slots.which(is_it).first() {
            Some(unit) => {
                self.slots[*unit].retiring = false;
                self.reconfigure(*unit, spec.clone());
                *unit
            }
            None => self.add_unit(spec, replica),
        };
        if self.starts_by_itself(unit) {
            self.tell(unit, UnitEvent::Asked(UnitCommand::Start));
        }
    }

    fn add_unit(&mut self, spec: &PluginSpec, replica: u32) -> usize {
        let misses = self.spec.survey.misses;
        self.slots.add(Slot::new(Unit::new(spec.clone(), replica, misses, fastrand::u64(..), Instant::now())))
    }

    fn report(&self, steps: &[Step], plugins: usize) -> ReloadReport {
        let runs: HashSet<_> = self
            .slots
            .iter()
            .map(|slot| &slot.unit)
            .filter(|unit| unit.is_wanted())
            .map(|unit| &unit.spec().name)
            .collect();
        let mut report = ReloadReport::default();
        for step in steps {
            match step {
                Step::Add(spec) => report.added.push(spec.name.clone()),
                Step::Remove(name) => report.removed.push(name.clone()),
                Step::Update { spec, what } => {
                    let name = &spec.name;
                    match what {
                        Difference { launch: true, .. } if runs.contains(name) => report.restarted.push(name.clone()),
                        Difference { launch: true, .. } | Difference { policy: true, .. } => {
                            report.changed.push(name.clone());
                        }
                        _ => {}
                    }
                    if let Some((from, to)) = what.replicas {
                        report.scaled.push(ScaledPlugin { name: name.clone(), from, to });
                    }
                    match what.enabled {
                        Some(true) => report.enabled.push(name.clone()),
                        Some(false) => report.disabled.push(name.clone()),
                        None => {}
                    }
                }
            }
        }
        let touched = steps.iter().filter(|step| !matches!(step, Step::Remove(_))).count();
        report.unchanged = plugins.saturating_sub(touched).try_into().unwrap_or(u64::MAX);
        report
    }
}

/// The place of each plugin in the order in which they start.
fn ranks(plugins: &[PluginSpec]) -> HashMap<&str, usize> {
    let named: Vec<_> = plugins.iter().map(|spec| (spec.name.as_str(), spec.dependencies())).collect();
    // Circles are refused where specs come in.
    let order = start_order(&named).unwrap_or_default();
    order.into_iter().enumerate().map(|(rank, place)| (named[place].0, rank)).collect()
}

fn check_replicas(replicas: u32) -> Result<(), OrderRefusal> {
    match replicas {
        1..=PluginRequest::MAX_REPLICAS => Ok(()),
        _ => {
            let message = format!("replicas must be 1 to {}, not {replicas}", PluginRequest::MAX_REPLICAS);
            Err(OrderRefusal::Invalid { message })
        }
    }
}

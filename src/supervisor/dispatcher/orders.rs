//! What operators order of plugins by name, and who waits for it to be done.

use tokio::sync::oneshot;

use serde::{Deserialize, Serialize};

use super::Dispatcher;
use super::slot::Slot;
use super::vetting::Next;
use crate::supervisor::report::OrderReport;
use crate::supervisor::unit::{Epoch, Unit, UnitCommand, UnitEvent, UnitState};
use crate::wire::nearest;

/// An order that takes names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum Order {
    Start,
    Stop,
    Restart,
    /// One instance after the other, each only when the one before is ready again.
    RestartRolling,
    Reset,
    Enable,
    Disable,
    Remove,
}

/// What is ordered, of whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) struct OrderQuery {
    pub(in crate::supervisor) order: Order,
    /// Names of plugins, or patterns with `*` and `?`; for restarts also NAME/REPLICA.
    pub(in crate::supervisor) names: Vec<String>,
    /// Whether the answer is to wait until it is done.
    pub(in crate::supervisor) wait: bool,
}

/// Why an order is not carried out; nothing was changed then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(in crate::supervisor) enum OrderRefusal {
    #[error("no plugin {plugin:?} is supervised here{}", super::waiting::did_you_mean(.nearest))]
    UnknownPlugin { plugin: String, nearest: Vec<String> },
    #[error("which plugins? Name them, or \"*\" for all")]
    Nobody,
    #[error("{message}")]
    Invalid { message: String },
    #[error("not restarted, and what runs goes on: {message}")]
    Untrusted { message: String },
    #[error("the supervisor is stopping")]
    Stopping,
}

pub(in crate::supervisor) type OrderAnswer = oneshot::Sender<Result<OrderReport, OrderRefusal>>;

/// Somebody who waits until what was ordered is done.
#[derive(Debug)]
pub(super) struct Errand {
    goals: Vec<Goal>,
    answer: OrderAnswer,
}

/// Where one unit is to come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Goal {
    unit: usize,
    wanted: Wanted,
}

#[derive(Debug, Clone, Copy)]
enum Wanted {
    /// Ready, with a process newer than this.
    Up(Epoch),
    /// Without a process.
    Down,
    /// Wherever it is.
    Anywhere,
}

/// How far a unit is on the way to its goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    There,
    Underway,
    /// It failed meanwhile; by itself it may come there some time.
    Off,
}

impl Goal {
    pub(super) fn ready_after(unit: usize, epoch: Epoch) -> Self {
        Self { unit, wanted: Wanted::Up(epoch) }
    }

    /// How far it is; a unit that is not there any more has nowhere to go.
    pub(super) fn progress(self, slot: Option<&Slot>) -> Progress {
        let unit = slot.map(|slot| &slot.unit);
        let state = unit.map_or(UnitState::Stopped, Unit::state);
        match self.wanted {
            Wanted::Anywhere => Progress::There,
            Wanted::Down if state.is_at_rest() => Progress::There,
            Wanted::Down => Progress::Underway,
            // It is up, but not for long: what it runs was changed before this was ordered.
            Wanted::Up(_) if slot.is_some_and(|slot| slot.restarts_due > 0) => Progress::Underway,
            Wanted::Up(old) if state.takes_calls() && unit.is_some_and(|unit| unit.epoch() > old) => Progress::There,
            Wanted::Up(_) if state == UnitState::BackingOff || unit.is_none_or(Unit::is_hopeless) => Progress::Off,
            Wanted::Up(_) => Progress::Underway,
        }
    }
}

/// The plugins that were named.
#[derive(Debug, Default)]
struct Picked {
    units: Vec<usize>,
    /// The same, by the names of plugins.
    names: Vec<String>,
}

impl Dispatcher {
    pub(super) fn on_order(&mut self, query: OrderQuery, answer: OrderAnswer) {
        let ends_what_runs = matches!(query.order, Order::Restart | Order::RestartRolling);
        match self.pick(&query) {
            Ok(picked) if ends_what_runs && !self.stopping => self.vet(&picked.units, Next::Order(query, answer)),
            _ => self.give_order(&query, answer),
        }
    }

    /// Carries out an order, whatever comes of it.
    pub(super) fn give_order(&mut self, query: &OrderQuery, answer: OrderAnswer) {
        let picked = match self.pick(query) {
            Ok(_) if self.stopping => Err(OrderRefusal::Stopping),
            picked => picked,
        };
        match picked {
            Err(refusal) => drop(answer.send(Err(refusal))),
            Ok(picked) if query.order == Order::RestartRolling => {
                self.operator.stopped.retain(|name| !picked.names.contains(name));
                self.remember();
                self.roll(picked.units, answer, query.wait);
            }
            Ok(picked) => {
                let goals = self.carry_out(query.order, picked);
                self.run_errand(goals, query.wait, answer);
            }
        }
    }

    /// Answers when every unit is where it is to be, or at once.
    pub(super) fn run_errand(&mut self, mut goals: Vec<Goal>, wait: bool, answer: OrderAnswer) {
        if !wait {
            goals.iter_mut().for_each(|goal| goal.wanted = Wanted::Anywhere);
        }
        self.errands.retain(|errand| !errand.answer.is_closed());
        self.errands.push(Errand { goals, answer });
        self.changed = true;
    }

    /// Answers those whose order is done.
    pub(super) fn serve_errands(&mut self) {
        for errand in std::mem::take(&mut self.errands) {
            let progress = |goal: &Goal| goal.progress(self.slots.get(goal.unit));
            if errand.goals.iter().any(|goal| progress(goal) == Progress::Underway) {
                self.errands.push(errand);
                continue;
            }
            let done = errand.goals.iter().all(|goal| progress(goal) == Progress::There);
            let report = self.order_report(done, errand.goals.iter().map(|goal| goal.unit));
            let _ = errand.answer.send(Ok(report));
        }
    }

    pub(super) fn order_report(&self, done: bool, units: impl Iterator<Item = usize>) -> OrderReport {
        let now = std::time::Instant::now();
        OrderReport { done, plugins: units.filter_map(|unit| Some(self.slots.get(unit)?.status(now))).collect() }
    }

    fn carry_out(&mut self, order: Order, picked: Picked) -> Vec<Goal> {
        let Picked { units, names } = picked;
        let command = match order {
            Order::Start => UnitCommand::Start,
            Order::Stop => UnitCommand::Stop,
            Order::Restart | Order::RestartRolling => UnitCommand::Restart,
            Order::Reset => UnitCommand::Reset,
            Order::Enable | Order::Disable | Order::Remove => return self.change_service(order, &units, names),
        };
        match order {
            Order::Stop => self.operator.stopped.extend(names),
            Order::Reset => {}
            _ => self.operator.stopped.retain(|name| !names.contains(name)),
        }
        self.remember();
        let mut goals = Vec::new();
        for unit in units {
            let before = self.slots[unit].unit.epoch();
            self.tell(unit, UnitEvent::Asked(command.clone()));
            let stands = &self.slots[unit].unit;
            let wanted = match order {
                Order::Stop => Wanted::Down,
                Order::Restart => Wanted::Up(before),
                Order::Reset if !stands.is_wanted() => Wanted::Anywhere,
                // What runs already is as good as a new one.
                _ => Wanted::Up(Epoch(before.0.saturating_sub(1))),
            };
            goals.push(Goal { unit, wanted });
        }
        goals
    }

    /// Orders that change which plugins there are, or are in service.
    fn change_service(&mut self, order: Order, units: &[usize], names: Vec<String>) -> Vec<Goal> {
        let enabled = order == Order::Enable;
        let wanted = if enabled { Wanted::Up(Epoch(0)) } else { Wanted::Down };
        for name in names {
            self.operator.stopped.remove(&name);
            if order == Order::Remove {
                self.operator.added.remove(&name);
                if self.spec.plugins.iter().any(|spec| spec.name == name) {
                    self.operator.removed.insert(name);
                }
            } else {
                self.operator.enabled.insert(name, enabled);
            }
        }
        self.follow_operator();
        // Where the configuration says the same there is no difference to follow, but one that was enabled all the time
        // may have been stopped, and one that was disabled started by name.
        let command = match order {
            Order::Enable => Some(UnitCommand::Enable),
            Order::Disable => Some(UnitCommand::Disable),
            _ => None,
        };
        for unit in units {
            command.iter().for_each(|command| self.tell(*unit, UnitEvent::Asked(command.clone())));
        }
        units.iter().map(|unit| Goal { unit: *unit, wanted }).collect()
    }

    /// The units that are meant; a pattern leaves out what is out of service, where that would put it in service.
    fn pick(&self, query: &OrderQuery) -> Result<Picked, OrderRefusal> {
        if query.names.is_empty() {
            return Err(OrderRefusal::Nobody);
        }
        let revives = matches!(query.order, Order::Start | Order::Restart | Order::RestartRolling);
        let replicas = matches!(query.order, Order::Restart | Order::RestartRolling);
        let mut picked = Picked::default();
        for name in &query.names {
            let pattern = glob::Pattern::new(name)
                .map_err(|error| OrderRefusal::Invalid { message: format!("{name:?} is no pattern: {error}") })?;
            let exact = glob::Pattern::escape(name) == *name;
            let fits = |slot: &Slot| {
                let unit = &slot.unit;
                let label = || format!("{}/{}", unit.spec().name, unit.replica());
                !slot.retiring && (pattern.matches(&unit.spec().name) || (replicas && pattern.matches(&label())))
            };
            let found = self.slots.which(fits);
            if found.is_empty() {
                return Err(self.unknown(name));
            }
            let in_service =
                |unit: &usize| exact || !revives || self.slots[*unit].unit.state() != UnitState::Disabled;
            picked.units.extend(found.into_iter().filter(in_service));
        }
        // Each after those that it depends on, or before them where they are to end.
        let order = self.in_start_order();
        let ends = matches!(query.order, Order::Stop | Order::Disable | Order::Remove);
        picked.units = order.into_iter().filter(|unit| picked.units.contains(unit)).collect();
        if ends {
            picked.units.reverse();
        }
        picked.names = picked.units.iter().map(|unit| self.slots[*unit].unit.spec().name.clone()).collect();
        picked.names.dedup();
        Ok(picked)
    }

    pub(super) fn unknown(&self, plugin: &str) -> OrderRefusal {
        let names = self.slots.iter().map(|slot| slot.unit.spec().name.as_str());
        let nearest = nearest(plugin, names).into_iter().map(str::to_owned).collect();
        OrderRefusal::UnknownPlugin { plugin: plugin.to_owned(), nearest }
    }
}

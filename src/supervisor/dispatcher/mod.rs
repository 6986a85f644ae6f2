//! The one loop that puts events in a line, and carries out what the units want.
//!
//! Everything that happens comes through [`Dispatcher::run`]: news of processes, survey answers, requests, time.
//! It waits for nothing but the next of these: whatever takes time is done by a task or a thread of its own.
//! There is no lock; a unit is changed here alone. [`act`] carries out actions, [`surveys`] matches answers to
//! units, [`requests`] serves the outside.

mod act;
mod admitted;
mod attend;
mod cards;
mod changes;
mod gates;
mod orders;
mod request;
mod requests;
mod rolling;
mod slot;
mod slots;
mod succession;
mod surveys;
mod timers;
mod vetting;
mod visitors;
mod waiting;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::journal::Journal;
use super::operator::Operator;
use super::output::Intake;
use super::process::Cgroups;
use super::report::SurveyReport;
use super::startup::Inherited;
use super::survey::{Connected, Rounds, Survey};
use super::unit::{Epoch, RunProcess, UnitCommand, UnitEvent, UnitState, duration_in_words};
use super::{PluginSpec, SupervisorEnd, SupervisorSpec};
use crate::bus::{BusDir, PeerEvent};
use crate::trust::Warden;
use attend::{Told, Workshop};
use cards::Unpublished;
pub(super) use changes::Reload;
use orders::Errand;
pub(super) use orders::{Order, OrderQuery, OrderRefusal};
pub(super) use request::{NotReady, Request};
use requests::Waiter;
use rolling::Roll;
use slots::Slots;
use surveys::Heard;
use timers::Timers;
pub(super) use waiting::{WaitFound, WaitQuery, WaitRefusal};

/// Events of processes that may wait; their tasks wait when it is full.
const EVENTS: usize = 1024;

/// Processes that are started at once; more would only make each of them slower.
const STARTS: usize = 16;

/// Being this late is more than a busy machine's scheduling.
const STANDSTILL: Duration = Duration::from_millis(500);

/// What the dispatcher is made with.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) spec: SupervisorSpec,
    pub(super) dir: BusDir,
    pub(super) output: Intake,
    pub(super) journal: Journal,
    pub(super) cgroups: Option<Cgroups>,
    pub(super) inheritance: Vec<Inherited>,
    pub(super) survey: Survey,
    pub(super) requests: mpsc::Receiver<Request>,
    /// The way back in, for what takes time.
    pub(super) itself: mpsc::WeakSender<Request>,
    pub(super) warden: Arc<Warden>,
    /// Closed when the handle is gone.
    pub(super) owner: watch::Receiver<()>,
}

/// Owner of all units.
#[derive(Debug)]
pub(super) struct Dispatcher {
    /// As it was configured.
    spec: SupervisorSpec,
    /// What was ordered by hand, now and when it was last written down.
    operator: Operator,
    remembered: Operator,
    /// The plugins as they are to run: what is configured, with what was ordered over it.
    plugins: Vec<PluginSpec>,
    journal: Journal,
    slots: Slots,
    /// The unit and epoch of every instance that runs or is being started.
    instances: HashMap<String, (usize, Epoch)>,
    timers: Timers,
    survey: Survey,
    rounds: Rounds,
    connected: Connected,
    /// What the round under way has heard, for those who asked for a report.
    heard: Heard,
    surveys_wanted: Vec<oneshot::Sender<SurveyReport>>,
    waiters: Vec<Waiter>,
    errands: Vec<Errand>,
    rolls: Vec<Roll>,
    ready_waiters: Vec<oneshot::Sender<Result<(), Vec<NotReady>>>>,
    unpublished: Vec<Unpublished>,
    workshop: Workshop,
    events: mpsc::Receiver<Told>,
    requests: mpsc::Receiver<Request>,
    itself: mpsc::WeakSender<Request>,
    owner: watch::Receiver<()>,
    started: Instant,
    stopping: bool,
    /// Units are told how those stand that they depend on.
    gated: bool,
    /// Every plugin was let go: nothing is done to any of them any more.
    leaving: bool,
    /// A unit changed its state since those who wait were last looked at.
    changed: bool,
}

impl Dispatcher {
    pub(super) fn new(setting: Setting, now: Instant) -> Self {
        let Setting { spec, dir, output, journal, cgroups, inheritance, survey, requests, itself, warden, owner } =
            setting;
        let (tell, events) = mpsc::channel(EVENTS);
        let (starts, lane) = (Arc::new(Semaphore::new(STARTS)), spec.lane);
        let workshop =
            Workshop { dir, lane, output, journal: journal.clone(), cgroups, events: tell, warden, starts };
        let mut dispatcher = Self {
            operator: Operator::default(),
            remembered: Operator::default(),
            plugins: Vec::new(),
            slots: Slots::default(),
            instances: HashMap::new(),
            timers: Timers::default(),
            rounds: Rounds::new(spec.survey.clone(), now),
            survey,
            connected: Connected::default(),
            heard: Heard::default(),
            surveys_wanted: Vec::new(),
            waiters: Vec::new(),
            errands: Vec::new(),
            rolls: Vec::new(),
            ready_waiters: Vec::new(),
            unpublished: Vec::new(),
            workshop,
            events,
            requests,
            itself,
            owner,
            started: now,
            stopping: false,
            gated: false,
            leaving: false,
            changed: false,
            spec,
            journal,
        };
        dispatcher.take_stock();
        dispatcher.inherit(inheritance);
        dispatcher
    }

    /// Starts what is enabled and works until everything has been stopped, or let go.
    ///
    /// # Cancel safety
    /// Dropping it kills every plugin.
    pub(super) async fn run(mut self) -> SupervisorEnd {
        self.start_enabled();
        while !self.is_over() {
            let next = self.next_deadline();
            tokio::select! {
                Some((unit, event)) = self.events.recv() => self.on_event(unit, event),
                Some(event) = self.survey.events.recv() => self.on_survey(event),
                Some(event) = self.survey.peers.recv() => self.on_peer(event),
                Some(request) = self.requests.recv() => self.serve(request),
                // Says nothing but that it is gone, and with it whoever wanted the plugins to run.
                _ = self.owner.changed(), if !self.stopping => self.stop_all(),
                () = tokio::time::sleep_until(next.into()) => {}
            }
            self.on_time(next);
            self.serve_waiters();
        }
        let end = if self.leaving { SupervisorEnd::Left } else { SupervisorEnd::Stopped };
        if end == SupervisorEnd::Stopped {
            self.plugins.iter().for_each(|spec| self.workshop.dir.remove_room(&spec.name));
        }
        self.part().await;
        end
    }

    fn start_enabled(&mut self) {
        for unit in self.slots.all() {
            if self.starts_by_itself(unit) {
                self.tell(unit, UnitEvent::Asked(UnitCommand::Start));
            }
        }
        self.open_gates();
    }

    fn starts_by_itself(&self, unit: usize) -> bool {
        let spec = self.slots[unit].unit.spec();
        spec.enabled && !self.operator.stopped.contains(&spec.name)
    }

    /// Whether all has been stopped that could be.
    fn is_over(&self) -> bool {
        self.leaving || self.stopping && self.slots.iter().all(|slot| slot.unit.is_settled())
    }

    fn on_event(&mut self, unit: usize, event: UnitEvent) {
        if !self.slots.contains(unit) {
            return;
        }
        let spawned = matches!(event, UnitEvent::Spawned { .. });
        self.tell(unit, event);
        if spawned {
            // It may have connected before its start was known here.
            self.greet(unit);
        }
    }

    fn on_peer(&mut self, event: PeerEvent) {
        self.connected.take(event);
        let PeerEvent::Joined(peer) = event else { return };
        let mut starting = self.slots.iter().filter(|slot| slot.unit.state() == UnitState::Starting);
        let is_expected = |process: &RunProcess| self.connected.may_be(peer, process.id.pid);
        if starting.any(|slot| slot.unit.process().is_some_and(is_expected)) {
            self.rounds.somebody_arrived(Instant::now());
        }
    }

    fn stop_all(&mut self) {
        if std::mem::replace(&mut self.stopping, true) {
            return;
        }
        self.journal.own("stopping");
        for unit in self.in_start_order().into_iter().rev() {
            self.tell(unit, UnitEvent::Asked(UnitCommand::Stop));
        }
        self.changed = true;
    }

    /// Does what its time has come for; cheap when there is nothing, so it is looked at after every event.
    fn on_time(&mut self, planned: Instant) {
        let now = Instant::now();
        let late = now.saturating_duration_since(planned);
        if late >= STANDSTILL {
            self.on_standstill(late);
        }
        while let Some(unit) = self.timers.take_due(now) {
            self.tell(unit, UnitEvent::DeadlinePassed);
        }
        self.ask_if_due(now);
    }

    fn on_standstill(&mut self, time: Duration) {
        self.journal.own(&format!("stood still for {}: stopped, suspended or starved", duration_in_words(time)));
        for unit in self.slots.all() {
            self.tell(unit, UnitEvent::StoodStill { time });
        }
    }

    fn next_deadline(&self) -> Instant {
        let now = Instant::now();
        // With nothing to wait for but events, any time far off will do.
        let idle = now + self.spec.survey.interval.max(Duration::from_secs(1));
        [self.timers.next(), self.rounds.deadline(now)].into_iter().flatten().min().unwrap_or(idle)
    }
}

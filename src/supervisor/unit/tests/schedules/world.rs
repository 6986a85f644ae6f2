//! Three units and all that is around them: processes that live and die, orders, time; and what must hold meanwhile.

use super::*;
use crate::supervisor::policy::dependency::{Standing, gate};

/// What it takes to end everything is far less.
const LAST_STEPS: usize = 200;

/// What the world knows of one unit: its processes, and what was ordered.
#[derive(Debug, Default)]
struct Outside {
    spawning: Option<Epoch>,
    alive: Option<Epoch>,
    is_published: bool,
    signals: Vec<&'static str>,
    is_wanted: bool,
    /// Whether it is being ended because it is to stay away, and not for a fault or to come back.
    is_held_back: bool,
    missed: u32,
    load: Load,
}

impl Outside {
    fn has_process(&self) -> bool {
        self.spawning.is_some() || self.alive.is_some()
    }
}

pub(super) struct World {
    units: Vec<Unit>,
    outside: Vec<Outside>,
    pub(super) now: Instant,
}

impl World {
    pub(super) fn new(schedule: &Schedule) -> Self {
        let now = Instant::now();
        let unit = |place| Unit::new(spec_of(place, schedule), 0, MISSES, place as u64, now);
        let mut world = Self {
            units: (0..3).map(unit).collect(),
            outside: std::iter::repeat_with(Outside::default).take(3).collect(),
            now,
        };
        for (place, gone) in schedule.found.iter().enumerate().filter_map(|(place, gone)| Some((place, (*gone)?))) {
            let process = RunProcess { instance: "i".into(), id: ProcessId { pid: 1, start_time: 1 } };
            let found = Found { process, gone, age: Duration::ZERO, published: false, restarts: 0 };
            world.tell_alone(place, UnitEvent::Found(found));
        }
        // As the dispatcher does it: nobody is taken for down that has only not been started yet.
        for place in 0..3 {
            world.tell_alone(place, UnitEvent::Asked(UnitCommand::Start));
        }
        for place in 0..3 {
            world.regate(place);
            world.pass_on(place);
        }
        world
    }

    /// As the dispatcher does it: whom it concerns is told.
    pub(super) fn tell(&mut self, place: usize, event: UnitEvent) {
        self.tell_alone(place, event);
        self.pass_on(place);
    }

    fn pass_on(&mut self, place: usize) {
        let mut changed = vec![place];
        while let Some(place) = changed.pop() {
            for other in 0..3 {
                let linked = self.units[place].member().is_linked(&self.units[other].member());
                if linked && self.regate(other) {
                    changed.push(other);
                }
            }
        }
        for (unit, outside) in self.units.iter().zip(&mut self.outside) {
            // Once it was let go, because a process seemed to be stuck, it goes whatever that process does later.
            outside.is_held_back &= unit.run.as_ref().is_some_and(|run| run.held);
        }
    }

    fn gate_of(&self, place: usize) -> Gate {
        gate(self.units[place].member(), self.units.iter().map(Unit::member))
    }

    /// Whether that changed what others see of it.
    fn regate(&mut self, place: usize) -> bool {
        let outlook = |unit: &Unit| {
            let member = unit.member();
            (member.standing, member.leaving, member.gone)
        };
        let (found, before) = (self.gate_of(place), outlook(&self.units[place]));
        if found != *self.units[place].gate() {
            self.tell_alone(place, UnitEvent::Gate(found));
        }
        outlook(&self.units[place]) != before
    }

    fn tell_alone(&mut self, place: usize, event: UnitEvent) {
        self.see(place, &event);
        let outcome = match &event {
            UnitEvent::RoundEnded { outcome, .. } => Some(*outcome),
            _ => None,
        };
        for action in self.units[place].handle(event, self.now) {
            self.obey(place, &action, outcome);
        }
    }

    /// What the world knows once that has happened.
    fn see(&mut self, place: usize, event: &UnitEvent) {
        let outside = &mut self.outside[place];
        match event {
            UnitEvent::Asked(UnitCommand::Start | UnitCommand::Restart | UnitCommand::Enable) => {
                outside.is_wanted = true
            }
            UnitEvent::Asked(UnitCommand::Stop | UnitCommand::Disable) => outside.is_wanted = false,
            UnitEvent::Spawned { epoch, .. } if outside.spawning == Some(*epoch) => {
                outside.alive = outside.spawning.take();
            }
            UnitEvent::SpawnFailed { epoch, .. } if outside.spawning == Some(*epoch) => outside.spawning = None,
            UnitEvent::Exited { epoch, .. } if outside.alive == Some(*epoch) => outside.alive = None,
            UnitEvent::Answered { epoch, answer } if outside.alive == Some(*epoch) => {
                (outside.missed, outside.load) = (0, answer.load);
            }
            UnitEvent::RoundEnded { epoch, outcome } if outside.alive == Some(*epoch) => match outcome {
                RoundOutcome::Missed => outside.missed += 1,
                RoundOutcome::Answered => outside.missed = 0,
                RoundOutcome::Void => {}
            },
            _ => {}
        }
    }

    fn obey(&mut self, place: usize, action: &UnitAction, outcome: Option<RoundOutcome>) {
        let unit = &self.units[place];
        match action {
            UnitAction::Spawn { epoch } => {
                self.check_spawn(place);
                let outside = &mut self.outside[place];
                assert!(!outside.has_process(), "invariant 1: two processes");
                (outside.spawning, outside.signals, outside.missed) = (Some(*epoch), vec![], 0);
            }
            UnitAction::TakeBack { epoch } => {
                let outside = &mut self.outside[place];
                assert!(!outside.has_process(), "invariant 1: two processes");
                outside.alive = Some(*epoch);
            }
            UnitAction::Terminate { epoch } => {
                self.check_terminate(place);
                self.signal(place, *epoch, "TERM");
            }
            UnitAction::Urge { epoch, .. } => self.signal(place, *epoch, "soft"),
            UnitAction::Kill { epoch } => self.signal(place, *epoch, "KILL"),
            UnitAction::PublishCard { epoch, .. } => {
                assert_eq!(self.outside[place].alive, Some(*epoch), "a card of no process");
                self.outside[place].is_published = true;
            }
            UnitAction::WithdrawCard { .. } => self.outside[place].is_published = false,
            UnitAction::Sweep { .. } => {
                assert!(self.outside[place].alive.is_none(), "the files of a living process");
                self.outside[place].is_published = false;
            }
            UnitAction::Record(change) => {
                assert!(change.from.may_become(change.to), "{change:?}");
                assert!(!change.reason.is_empty(), "invariant 7: {change:?}");
                let outside = &mut self.outside[place];
                match change.to {
                    UnitState::Stopping => outside.is_held_back = !outside.is_wanted,
                    UnitState::Silent => {
                        assert!(outside.missed >= MISSES, "invariant 5: silent after {} misses", outside.missed);
                        assert_eq!(outcome, Some(RoundOutcome::Missed), "invariant 5: silent");
                    }
                    UnitState::Wedged => {
                        assert!(Duration::from_millis(outside.load.overdue_ms) >= GRACE, "{:?}", outside.load);
                        assert_eq!(outcome, Some(RoundOutcome::Answered), "invariant 5: wedged");
                    }
                    _ => {}
                }
            }
            UnitAction::Flapping { reason } | UnitAction::Note { reason } => {
                assert!(!reason.is_empty(), "{}", unit.state())
            }
        }
    }

    /// Somebody wants it, and all that it requires takes calls.
    fn check_spawn(&self, place: usize) {
        assert!(self.outside[place].is_wanted, "a stop does not win");
        for required in &self.units[place].spec().requires {
            let other = self.units.iter().find(|unit| unit.spec().name == *required).unwrap();
            assert_eq!(other.member().standing, Standing::Up, "{} before {required}", NAMES[place]);
        }
    }

    /// Whoever is to stay away goes after those that require it.
    fn check_terminate(&self, place: usize) {
        if self.outside[place].is_wanted || !self.outside[place].is_held_back {
            return;
        }
        for (other, unit) in self.units.iter().enumerate() {
            let requires = unit.spec().requires.iter().any(|required| required == NAMES[place]);
            let is_there = self.outside[other].has_process() && !unit.member().gone;
            assert!(!(requires && is_there), "{} is told to end before {}", NAMES[place], NAMES[other]);
        }
    }

    fn signal(&mut self, place: usize, epoch: Epoch, signal: &'static str) {
        let outside = &mut self.outside[place];
        assert_eq!(outside.alive, Some(epoch), "invariant 8: {signal} for nobody");
        assert!(!outside.signals.contains(&signal), "{signal} twice");
        outside.signals.push(signal);
    }

    pub(super) fn check(&self) {
        for (place, (unit, outside)) in self.units.iter().zip(&self.outside).enumerate() {
            let (state, deadline) = (unit.state(), unit.deadline());
            assert_eq!(unit.is_wanted(), outside.is_wanted, "{state}");
            assert_eq!(state.is_running() && !unit.is_waiting(), outside.has_process(), "invariant 7: {state}");
            let is_held = unit.run.as_ref().is_some_and(|run| run.held);
            let is_stuck = unit.run.as_ref().is_some_and(|run| run.stuck);
            assert_eq!(state.takes_calls() || is_held && outside.is_published, outside.is_published, "{state}");
            assert!(!is_held || !outside.is_wanted && unit.gate().held_by.is_some(), "held by nobody");
            match state {
                UnitState::BackingOff => assert!(deadline.is_some(), "backing off for ever"),
                UnitState::Starting if outside.alive.is_some() => assert!(deadline.is_some(), "starting for ever"),
                UnitState::Stopping => assert!(deadline.is_some() || is_held || is_stuck, "stopping for ever"),
                UnitState::Silent | UnitState::Wedged => {
                    let urged = outside.signals.iter().any(|signal| ["soft", "KILL"].contains(signal));
                    assert!(urged && (deadline.is_some() || is_stuck), "{state} for ever");
                }
                _ => {}
            }
            let never_rests =
                unit.spec().restart == RestartPolicy::Always && unit.spec().intensity.then == AtIntensity::GoOn;
            assert!(!(outside.is_wanted && never_rests && state.is_at_rest()), "invariant 7: wanted and {state}");
            // Everybody knows how the others stand, and keeps to it.
            assert_eq!(*unit.gate(), self.gate_of(place), "{} was not told", NAMES[place]);
            assert!(!unit.is_waiting() || unit.gate().waits_for.is_some(), "waits for nobody");
            let goes_on = state.owes_answers() || state == UnitState::Starting && !unit.is_waiting();
            assert!(!(goes_on && unit.gate().lost.is_some()), "{state} without what it requires");
        }
    }

    /// What may happen by now, by the dice of one step.
    pub(super) fn events(&self, place: usize, kind: u8, dice: u16) -> Vec<UnitEvent> {
        let outside = &self.outside[place];
        let low = usize::from(dice & 0xff);
        // Of the process that lives, or of one long gone.
        let epoch = match outside.alive {
            Some(epoch) if low % 16 != 15 => epoch,
            _ => Epoch(self.units[place].epoch.0.saturating_sub(1)),
        };
        let round = |outcome| UnitEvent::RoundEnded { epoch, outcome };
        let answered = UnitEvent::Answered { epoch, answer: answer(dice) };
        match kind {
            0..16 => vec![UnitEvent::Asked(self.command(place, low))],
            16..40 => vec![UnitEvent::DeadlinePassed],
            40..44 => vec![UnitEvent::StoodStill { time: Duration::from_millis(dice.into()) }],
            44..200 if outside.spawning.is_some() => vec![spawn_outcome(outside.spawning.unwrap_or_default(), low)],
            44..100 => vec![answered],
            100..180 => vec![answered, round(RoundOutcome::Answered)],
            180..220 => vec![round(RoundOutcome::Missed); 1 + low % 4],
            220..236 => vec![round(RoundOutcome::Void)],
            _ => {
                let exits = [ExitState::Code(0), ExitState::Code(1), ExitState::Signal(9), ExitState::Unknown];
                vec![UnitEvent::Exited { epoch, exit: exits[low % 4], last_line: None }]
            }
        }
    }

    fn command(&self, place: usize, dice: usize) -> UnitCommand {
        match dice % 10 {
            0..4 => UnitCommand::Start,
            4 | 5 => UnitCommand::Stop,
            6 => UnitCommand::Restart,
            7 => UnitCommand::Reset,
            8 if dice > 128 => UnitCommand::Disable,
            8 => UnitCommand::Enable,
            _ => UnitCommand::Reconfigure { spec: Box::new(self.units[place].spec().clone()), misses: MISSES },
        }
    }

    /// Whatever went before: what is told to stop ends, and in order.
    pub(super) fn end(&mut self) {
        for place in (0..3).rev() {
            self.tell(place, UnitEvent::Asked(UnitCommand::Stop));
            self.check();
        }
        for step in 0..LAST_STEPS {
            if self.units.iter().all(|unit| unit.state().is_at_rest()) {
                break;
            }
            let place = step % 3;
            let outside = &self.outside[place];
            let event = match (outside.spawning, outside.alive) {
                (Some(epoch), _) => spawn_outcome(epoch, step),
                // Ends when it is killed, or sooner.
                (_, Some(epoch)) if outside.signals.contains(&"KILL") || outside.signals.len() > place => {
                    UnitEvent::Exited { epoch, exit: ExitState::Signal(9), last_line: None }
                }
                _ => UnitEvent::DeadlinePassed,
            };
            self.now += Duration::from_secs(1);
            self.tell(place, event);
            self.check();
        }
        for unit in &self.units {
            assert!(unit.state().is_at_rest() && unit.is_settled(), "a stop that never ends: {}", unit.state());
        }
        assert!(self.outside.iter().all(|outside| !outside.is_published));
    }
}

fn spawn_outcome(epoch: Epoch, dice: usize) -> UnitEvent {
    let process = ProcessId { pid: 1, start_time: 1 };
    match dice % 4 {
        0 => UnitEvent::SpawnFailed { epoch, error: "no".into() },
        _ => UnitEvent::Spawned { epoch, instance: "i".into(), process },
    }
}

fn answer(dice: u16) -> UnitAnswer {
    let load = Load {
        in_flight: u64::from(dice & 1),
        oldest_ms: u64::from(dice & 0xfff),
        overdue_ms: if dice & 2 != 0 { 2 * u64::from(dice & 0xfff) } else { 0 },
        beat: u64::from(dice >> 4 & 3 == 0),
        ..Load::default()
    };
    let phase = match dice >> 12 {
        0 => Phase::Starting,
        1 => Phase::Draining,
        _ => Phase::Ready,
    };
    UnitAnswer { phase, load, info: (dice & 0x300 != 0).then(Info::default), rtt: Duration::ZERO }
}

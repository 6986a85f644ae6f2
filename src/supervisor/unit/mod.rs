//! One supervised instance over its life, as a pure state machine.
//!
//! A [`Unit`] is told what happened and what time it is, and answers what it wants done; it touches no process,
//! no socket and no clock. Everything a process causes carries its [`Epoch`], so that the late exit of an old
//! process never changes the new one. There is a new process only after the exit of the one before was seen.
//! [`asked`] has what commands do, [`living`] and [`ending`] are the two halves of a life, [`state`] has the
//! legal transitions, [`reason`] the words.

mod asked;
mod ending;
mod event;
mod exit;
mod found;
mod living;
mod observe;
mod reason;
mod run;
mod state;
#[cfg(test)]
mod tests;

use std::time::Instant;

pub(super) use event::{Change, Epoch, UnitAction, UnitAnswer, UnitCommand, UnitEvent};
pub(super) use exit::ExitState;
pub(super) use found::Found;
pub(super) use reason::duration as duration_in_words;
pub use state::UnitState;
#[cfg(test)]
pub(super) use tests::sample_spec;

use super::PluginSpec;
use super::policy::backoff::Backoff;
use super::policy::dependency::Gate;
use super::policy::intensity::Intensity;
use crate::wire::Info;
use run::Run;
pub(super) use run::RunProcess;

/// One supervised instance: the owner of the truth about it.
#[derive(Debug)]
pub(super) struct Unit {
    spec: PluginSpec,
    replica: u32,
    /// Rounds in a row that it may miss.
    misses: u32,
    /// Whether it is to run, as far as commands go.
    wanted: bool,
    state: UnitState,
    reason: String,
    state_since: Instant,
    epoch: Epoch,
    run: Option<Run>,
    deadline: Option<Instant>,
    backoff: Backoff,
    intensity: Intensity,
    /// What the others let it do.
    gate: Gate,
    restarts: u64,
    last_end: Option<LastEnd>,
    /// What its newest process that said so had.
    info: Option<Info>,
    dice: fastrand::Rng,
    actions: Vec<UnitAction>,
}

/// Why and when the unit's last process ended.
#[derive(Debug, Clone)]
struct LastEnd {
    reason: String,
    at: Instant,
}

impl Unit {
    /// A unit that does not run yet; the seed is all the randomness it will ever have.
    pub(super) fn new(spec: PluginSpec, replica: u32, misses: u32, seed: u64, now: Instant) -> Self {
        // Whoever depends on others waits until it is told how they stand.
        let others: Vec<_> = spec.dependencies().collect();
        let gate =
            Gate { waits_for: Some(others.join(" and ")).filter(|names| !names.is_empty()), ..Gate::default() };
        let (state, reason) = match spec.enabled {
            true => (UnitState::Stopped, "not started yet"),
            false => (UnitState::Disabled, "not enabled"),
        };
        Self {
            spec,
            replica,
            misses,
            wanted: false,
            state,
            reason: reason.into(),
            state_since: now,
            epoch: Epoch::default(),
            run: None,
            deadline: None,
            backoff: Backoff::default(),
            intensity: Intensity::default(),
            gate,
            restarts: 0,
            last_end: None,
            info: None,
            dice: fastrand::Rng::with_seed(seed),
            actions: Vec::new(),
        }
    }

    /// Takes in what happened; answers what is to be done, in order.
    pub(super) fn handle(&mut self, event: UnitEvent, now: Instant) -> Vec<UnitAction> {
        match event {
            UnitEvent::Asked(command) => self.on_command(command, now),
            UnitEvent::DeadlinePassed => self.on_deadline(now),
            UnitEvent::StoodStill { time } => self.on_standstill(time),
            UnitEvent::Found(found) => self.on_found(found, now),
            UnitEvent::Spawned { epoch, instance, process } if self.is_current(epoch) => {
                self.on_spawned(RunProcess { instance, id: process }, now);
            }
            // Nothing orders a second process while one is in the making; if it ever did, it must not live on.
            UnitEvent::Spawned { epoch, .. } => self.actions.push(UnitAction::Kill { epoch }),
            UnitEvent::SpawnFailed { epoch, error } if self.is_current(epoch) => self.on_spawn_failed(error, now),
            UnitEvent::Refused { epoch, why } if self.is_current(epoch) => self.on_refused(why, now),
            UnitEvent::Answered { epoch, answer } if self.is_current(epoch) => self.on_answer(answer, now),
            UnitEvent::RoundEnded { epoch, outcome } if self.is_current(epoch) => self.on_round(outcome, now),
            UnitEvent::Exited { epoch, exit, last_line } if self.is_current(epoch) => {
                self.on_exit(exit, last_line.as_deref(), now);
            }
            // The word of an old process.
            UnitEvent::SpawnFailed { .. }
            | UnitEvent::Refused { .. }
            | UnitEvent::Answered { .. }
            | UnitEvent::RoundEnded { .. }
            | UnitEvent::Exited { .. } => {}
            UnitEvent::Gate(gate) => self.gate = gate,
        }
        self.heed_gate(now);
        std::mem::take(&mut self.actions)
    }

    fn is_current(&self, epoch: Epoch) -> bool {
        self.run.as_ref().is_some_and(|run| run.epoch == epoch)
    }

    fn on_deadline(&mut self, now: Instant) {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        self.deadline = None;
        match self.state {
            UnitState::BackingOff => self.restart(now),
            UnitState::Starting => self.on_start_timeout(now),
            UnitState::Stopping | UnitState::Silent | UnitState::Wedged => self.on_end_overdue(now),
            UnitState::Ready
            | UnitState::Busy
            | UnitState::Draining
            | UnitState::Failed
            | UnitState::Stopped
            | UnitState::Disabled => {}
        }
    }

    fn enter(&mut self, to: UnitState, reason: String, now: Instant) {
        debug_assert!(self.state.may_become(to), "{} may not become {to}", self.state);
        let from = std::mem::replace(&mut self.state, to);
        self.state_since = now;
        self.reason.clone_from(&reason);
        self.actions.push(UnitAction::Record(Change { from, to, reason }));
    }
}

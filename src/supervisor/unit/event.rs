//! What can happen to a unit, and what it wants done about it.

use std::time::Duration;

use super::exit::ExitState;
use super::found::Found;
use super::state::UnitState;
use crate::bus::ProcessId;
use crate::supervisor::policy::dependency::Gate;
use crate::supervisor::policy::health::RoundOutcome;
use crate::supervisor::{PluginSpec, SoftSignal};
use crate::wire::{Info, Load, Phase};

/// Counts the processes of one unit, so that a late word of an old one never changes the new one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::supervisor) struct Epoch(pub(in crate::supervisor) u64);

/// Something that happened to one unit; all but commands and time belong to one of its processes.
#[derive(Debug, Clone)]
pub(in crate::supervisor) enum UnitEvent {
    /// An operator, or the supervisor's own start or end, wants something.
    Asked(UnitCommand),
    /// The deadline that the unit named has come.
    DeadlinePassed,
    /// The supervisor itself stood still this long, and could ask and hear nothing meanwhile.
    StoodStill { time: Duration },
    /// A supervisor before this one left a process; told before anything else.
    Found(Found),
    /// The process exists and its program was found and executed.
    Spawned { epoch: Epoch, instance: String, process: ProcessId },
    /// There is no process, for this reason in words.
    SpawnFailed { epoch: Epoch, error: String },
    /// There is no process, because its program is not trusted: not until somebody does something about it.
    Refused { epoch: Epoch, why: String },
    /// The plugin answered a survey.
    Answered { epoch: Epoch, answer: UnitAnswer },
    /// A regular survey round ended.
    RoundEnded { epoch: Epoch, outcome: RoundOutcome },
    /// The process is gone, and so is its group.
    Exited { epoch: Epoch, exit: ExitState, last_line: Option<String> },
    /// What those that it depends on, and those that depend on it, let it do from now on.
    Gate(Gate),
}

/// What a unit can be asked for.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::supervisor) enum UnitCommand {
    /// Run, from now on.
    Start,
    /// End, and stay ended.
    Stop,
    /// End, and run anew.
    Restart,
    /// Forget all failures; what gave up or waits tries again at once.
    Reset,
    /// End, and be out of service.
    Disable,
    /// Be in service again, and run.
    Enable,
    /// Be another spec from now on; a process that runs is left as it is.
    Reconfigure { spec: Box<PluginSpec>, misses: u32 },
}

/// What a unit needs of a survey answer that was proved to be its own.
#[derive(Debug, Clone)]
pub(in crate::supervisor) struct UnitAnswer {
    pub(in crate::supervisor) phase: Phase,
    pub(in crate::supervisor) load: Load,
    pub(in crate::supervisor) info: Option<Info>,
    /// From the question to the answer.
    pub(in crate::supervisor) rtt: Duration,
}

/// What a unit wants done; the dispatcher does it, in this order.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::supervisor) enum UnitAction {
    /// Start a process; answer with `Spawned` or `SpawnFailed` of this epoch.
    Spawn { epoch: Epoch },
    /// Look after the process that was found; answer with `Exited` of this epoch.
    TakeBack { epoch: Epoch },
    /// Ask the process group to end: SIGTERM, and SIGCONT so that a stopped one can hear it.
    Terminate { epoch: Epoch },
    /// Ask the process itself for a trace of what it is at; it is killed a little later.
    Urge { epoch: Epoch, signal: SoftSignal },
    /// End the process group: SIGKILL.
    Kill { epoch: Epoch },
    /// Let callers find the plugin.
    PublishCard { epoch: Epoch, info: Info },
    /// Let callers no longer find it.
    WithdrawCard { epoch: Epoch },
    /// Remove what a process that is gone left in the bus directory, its card and its socket.
    Sweep { epoch: Epoch },
    /// Write down a change of state.
    Record(Change),
    /// Tell somebody that it is restarted again and again.
    Flapping { reason: String },
    /// Write down something that changed no state.
    Note { reason: String },
}

/// One change of state, with its reason in words for people.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::supervisor) struct Change {
    pub(in crate::supervisor) from: UnitState,
    pub(in crate::supervisor) to: UnitState,
    pub(in crate::supervisor) reason: String,
}

//! Life of plugins: started, watched, restarted, stopped.
//!
//! # Theory of operation
//!
//! Each plugin instance that is to run is a *unit*: a pure state machine that is told what happened and what time
//! it is, and answers what it wants done (`unit`). What it decides by is in `policy`: whether to restart, when,
//! and what a missed survey round means.
//!
//! One task, the *dispatcher*, owns all units and puts everything that happens in a line: news of processes,
//! survey answers, requests, time. It waits for nothing but the next event, so an answer to `status` never waits
//! for a plugin. What takes time happens elsewhere and comes back as an event:
//!
//! - Each process has a task that starts it, passes on signals, sees its exit through a pidfd, kills what is left of
//!   its group and reaps it (`process`). An exit is seen at once; nothing polls. Every such event carries the
//!   epoch of its process, so a late one changes nothing.
//! - One task owns the SURVEYOR (`survey`). A plugin is ready when it first answers so; to find out quickly, a
//!   question goes out as soon as it connects. Only the regular rounds can be missed, and not if the supervisor
//!   itself was late.
//! - Each output pipe has a task that reads it, and one thread writes all log files, here or in a process of its own
//!   that outlives this one (`output`). A full queue or disk drops lines and counts them; it holds up neither a plugin
//!   nor the dispatcher.
//! - The supervisor's own methods are served like any plugin's (`control`) and become requests.
//!
//! What runs is also written to `state/`, so that a supervisor that comes after one that was killed knows what it
//! left (`startup`). The [`Supervisor`] handle only sends requests; dropping it stops everything in the
//! background, and a runtime that ends first takes every plugin's process group with it.
//!
//! Knows nothing of TOML or the terminal.

mod confinement;
mod control;
mod dispatcher;
mod error;
mod exposure;
mod handle;
mod hooks;
mod journal;
mod limits;
mod operator;
mod output;
mod policy;
mod process;
mod rebuilt;
mod report;
mod spec;
mod startup;
mod survey;
#[cfg(test)]
mod tests;
mod unit;

#[cfg(feature = "config")]
pub(crate) use policy::dependency::start_order;

pub use confinement::{Account, ConfinementSpec, LimitSpec, PASSED_ON, Sandbox, TotalSpec};
pub use error::SupervisorError;
pub use exposure::{Exposure, ExposurePoint};
pub use handle::{Supervisor, SupervisorEnd};
pub use limits::{raise_file_limit, restore_file_limit};
pub use output::run_sink;
pub use report::{
    AnswerReport, EndReport, MissingPlugin, OrderReport, PluginStatus, ReloadReport, ScaledPlugin, StatusReport,
    StopReport, SurveyReport, SurveyedPlugin,
};
pub use spec::{
    AtIntensity, BackoffSpec, CgroupUse, EventKind, EventSpec, HookSpec, IntensitySpec, LogSpec, PluginRequest,
    PluginSpec, RestartPolicy, SoftSignal, SupervisorSpec, SurveySpec,
};
pub use unit::UnitState;

//! To come.

mod control;
mod dispatcher;
mod error;
mod handle;
mod journal;
mod output;
mod policy;
mod process;
mod report;
mod spec;
mod startup;
mod survey;
#[cfg(test)]
mod tests;
mod unit;

pub use error::SupervisorError;
pub use handle::Supervisor;
pub use report::{AnswerReport, EndReport, MissingPlugin, PluginStatus, StatusReport, SurveyReport, SurveyedPlugin};
pub use spec::{BackoffSpec, LogSpec, PluginSpec, RestartPolicy, SupervisorSpec, SurveySpec};
pub use unit::UnitState;

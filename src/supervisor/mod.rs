//! To come.

mod output;
mod policy;
mod process;
mod report;
mod spec;
mod survey;
mod unit;

pub use report::{AnswerReport, EndReport, MissingPlugin, PluginStatus, StatusReport, SurveyReport, SurveyedPlugin};
pub use spec::{BackoffSpec, LogSpec, PluginSpec, RestartPolicy, SupervisorSpec, SurveySpec};
pub use unit::UnitState;

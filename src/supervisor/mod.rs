//! To come.

mod spec;

pub use spec::{BackoffSpec, LogSpec, PluginSpec, RestartPolicy, SupervisorSpec, SurveySpec};

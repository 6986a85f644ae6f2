//! Why a supervisor cannot do what it was asked for.

use std::io;
use std::time::Duration;

use crate::bus::BusError;

/// What can go wrong with a whole supervisor; a plugin that dies is an event and no error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SupervisorError {
    /// The bus directory or an endpoint cannot be used; a second supervisor on one bus among the reasons.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// Two plugins, or a plugin and the supervisor, would have the same name.
    #[error("the name {name:?} cannot be used for a plugin: {reason}")]
    BadName {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A plugin depends on one that is not there, or on itself in the end.
    #[error("plugin {name:?} cannot be run: {reason}")]
    BadDependency {
        /// The plugin's name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The supervisor's own methods cannot be served.
    #[error("the supervisor's own methods cannot be served: {0}")]
    Control(String),
    /// The system has no room for a thread.
    #[error("the supervisor cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    /// The process that reads what plugins print cannot do its work.
    #[error("the sink of plugins' output cannot run: {0}")]
    Sink(#[source] io::Error),
    /// Plugins are not ready, and waiting longer is of no use or was not wished.
    #[error("{}", in_words(.plugins, *.waited))]
    NotReady {
        /// Each plugin that is not ready, and why.
        plugins: Vec<(String, String)>,
        /// How long was waited; `None` where some will never be ready.
        waited: Option<Duration>,
    },
    /// The configuration that was to be taken over is wrong; what runs stays as it is.
    #[error("{0}")]
    Reload(String),
    /// The supervisor has stopped, or is about to.
    #[error("the supervisor has stopped")]
    Stopped,
}

fn in_words(plugins: &[(String, String)], waited: Option<Duration>) -> String {
    let each: Vec<_> = plugins.iter().map(|(name, reason)| format!("{name} is {reason}")).collect();
    let after = waited.map(|waited| format!(" after {}", super::unit::duration_in_words(waited)));
    format!("not ready{}: {}", after.unwrap_or_default(), each.join("; "))
}

//! How a bus and its plugins are to be run, validated; `config` makes these from files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// A whole bus: what `plugbus supervise` is given.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SupervisorSpec {
    /// The name of the bus.
    pub bus: String,
    /// The bus directory itself; `None` finds it as every caller does.
    pub directory: Option<PathBuf>,
    /// How liveness is asked for.
    pub survey: SurveySpec,
    /// How captured output is kept.
    pub log: LogSpec,
    /// Whether each instance gets a control group of its own.
    pub cgroup: CgroupUse,
    /// Whether orphans of this process come to it and are reaped: for a program that is nothing but a supervisor.
    pub adopts_orphans: bool,
    /// The plugins, in the order in which they start; they stop in the reverse order.
    pub plugins: Vec<PluginSpec>,
}

/// Whether instances get control groups of version 2, which end whole trees of processes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupUse {
    /// Where they can be had; nothing is said where not.
    Auto,
    /// As `Auto`, with a warning where they cannot be had.
    On,
    /// Never.
    Off,
}

/// How all plugins are asked whether they are alive.
#[derive(Debug, Clone, PartialEq)]
pub struct SurveySpec {
    /// Time from one round's question to the next.
    pub interval: Duration,
    /// How long a round waits for answers.
    pub deadline: Duration,
    /// Rounds in a row that a plugin may miss before it is restarted.
    pub misses: u32,
}

/// How much captured output is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct LogSpec {
    /// A log file that grows past this many bytes is rotated.
    pub max_size: u64,
    /// How many rotated files are kept beside the current one.
    pub keep: u32,
}

/// One plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginSpec {
    /// The plugin's name; all its replicas share it.
    pub name: String,
    /// The program, found and absolute where it could be found, and its arguments.
    pub command: Vec<String>,
    /// Where the plugin runs.
    pub cwd: PathBuf,
    /// Variables it is given beside the supervisor's own environment.
    pub env: BTreeMap<String, String>,
    /// How many instances run at once.
    pub replicas: u32,
    /// Whether it is started again after it exited.
    pub restart: RestartPolicy,
    /// How long to wait before it is started again.
    pub backoff: BackoffSpec,
    /// How long it may take from its start to its first answer as ready.
    pub start_timeout: Duration,
    /// How long it may take to exit after SIGTERM before it is killed.
    pub stop_grace: Duration,
    /// How long it runs on while no supervisor is there, before it ends by itself; `None` for ever.
    pub orphan_timeout: Option<Duration>,
    /// Whether it starts with the supervisor.
    pub enabled: bool,
}

/// Whether a plugin is started again after it exited, as in OTP and systemd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPolicy {
    /// After every exit that nobody asked for.
    Always,
    /// After a signal, a non-zero exit code, or silence.
    OnFailure,
    /// Never.
    Never,
}

/// How long to wait before a restart: doubling, with jitter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BackoffSpec {
    /// The shortest wait. A plugin that had been ready is restarted once without any, then after this long.
    pub min: Duration,
    /// The longest wait.
    pub max: Duration,
    /// The share of a wait that is random, 0 to 1.
    pub jitter: f64,
    /// After this long as ready, its restarts begin anew: at once, then `min`, and so on.
    pub reset: Duration,
}

//! How a bus and its plugins are to be run, validated; `config` makes these from files.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ConfinementSpec;
use crate::bus::Lane;
use crate::trust::{Subject, Trust, TrustSpec};

/// Where a program is looked for without a `PATH`, as by every shell.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A whole bus: what `plugbus supervise` is given.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SupervisorSpec {
    /// The name of the bus.
    pub bus: String,
    /// The bus directory itself; `None` finds it as every caller does.
    pub directory: Option<PathBuf>,
    /// What carries the calls of the supervisor and of its plugins, where `$PLUGBUS_LANE` says nothing else.
    pub lane: Lane,
    /// How liveness is asked for.
    pub survey: SurveySpec,
    /// How captured output is kept.
    pub log: LogSpec,
    /// Who is told when a plugin is in trouble.
    pub events: EventSpec,
    /// By what programs are judged before they are started.
    pub trust: TrustSpec,
    /// The command of the process that reads and keeps it; `None` where the supervisor does that itself.
    ///
    /// A process of its own goes on when the supervisor is killed; without one, plugins that print are killed with it
    /// by SIGPIPE. The command is given the bus directory as its last argument and calls [`run_sink`](super::run_sink).
    pub sink: Option<Vec<String>>,
    /// Whether each instance gets a control group of its own.
    pub cgroup: CgroupUse,
    /// Whether orphans of this process come to it and are reaped: for a program that is nothing but a supervisor.
    pub adopts_orphans: bool,
    /// The plugins, in the order in which they start; they stop in the reverse order.
    pub plugins: Vec<PluginSpec>,
    /// What a plugin is like that is added while the supervisor runs, but for its name and command.
    pub defaults: PluginSpec,
}

impl SupervisorSpec {
    /// The sections of a configuration, as people know them, that differ and are not about single plugins.
    pub(super) fn settings_changed(&self, other: &Self) -> Vec<String> {
        // This one's lane is the one that is used, whoever asked for it.
        let lane = Lane::asked_for().unwrap_or(other.lane);
        let bus = self.bus != other.bus || self.lane != lane || self.cgroup != other.cgroup;
        let sections = [("[bus]", bus), ("[events]", self.events != other.events)];
        sections.into_iter().filter(|(_, changed)| *changed).map(|(section, _)| section.to_owned()).collect()
    }
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogSpec {
    /// A log file that grows past this many bytes is rotated.
    pub max_size: u64,
    /// How many rotated files are kept beside the current one.
    pub keep: u32,
    /// A log file that was begun this long ago is rotated, when something is written to it.
    pub max_age: Duration,
}

/// Who is told of which events.
#[derive(Debug, Clone, PartialEq)]
pub struct EventSpec {
    /// Who is told; `None` for nobody.
    pub on_event: Option<HookSpec>,
    /// Of what.
    pub kinds: Vec<EventKind>,
    /// How long that may take.
    pub timeout: Duration,
}

/// Somebody who is given an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookSpec {
    /// A program and its arguments, which is given the event as JSON on its standard input.
    Command(Vec<String>),
    /// A plugin's method, `plugin.method`, which is called with the event.
    Method(String),
}

/// An event that somebody may want to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// A plugin failed and is not started again.
    Failed,
    /// A plugin was restarted more often than its `intensity` allows, and goes on.
    Flapping,
    /// A plugin answers, but gets nowhere.
    Wedged,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Failed, Self::Flapping, Self::Wedged];

    /// The kind as it is configured and sent.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Flapping => "flapping",
            Self::Wedged => "wedged",
        }
    }
}

/// One plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginSpec {
    /// The plugin's name; all its replicas share it.
    pub name: String,
    /// The program, found and absolute where it could be found, and its arguments.
    pub command: Vec<String>,
    /// What has to be known of its program before it is started.
    pub trust: Trust,
    /// Files, directories and patterns, absolute, that are judged with its program.
    pub files: Vec<PathBuf>,
    /// Where the plugin runs.
    pub cwd: PathBuf,
    /// Variables it is given beside those that are passed on and those of its files.
    pub env: BTreeMap<String, String>,
    /// What else it is given of the supervisor's, and what it may do.
    pub confinement: ConfinementSpec,
    /// Users who may call it beside the supervisor's own, by their numbers.
    pub allow: BTreeSet<u32>,
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
    /// Exit codes that say that it did what it had to do.
    pub success_codes: BTreeSet<u8>,
    /// What comes of it when it has to be restarted again and again.
    pub intensity: IntensitySpec,
    /// How long a call may outlive its deadline, without any progress of the plugin, before the plugin is wedged.
    pub wedge_grace: Duration,
    /// What a silent or wedged plugin is sent before it is killed, so that it can leave a trace of what it was at.
    pub soft_signal: Option<SoftSignal>,
    /// The time between that signal and the kill.
    pub soft_wait: Duration,
    /// Plugins that start before it where both are to start, and stop after it where both are to stop.
    pub after: Vec<String>,
    /// As `after`, and it only runs while these are in service.
    pub requires: Vec<String>,
}

impl PluginSpec {
    /// What is judged before it is started.
    #[must_use]
    pub fn subject(&self) -> Subject {
        let search = self.env.get("PATH").map(OsString::from).or_else(|| std::env::var_os("PATH"));
        Subject {
            plugin: self.name.clone(),
            level: self.trust,
            command: self.command.clone(),
            cwd: self.cwd.clone(),
            files: self.files.clone(),
            search: search.unwrap_or_else(|| DEFAULT_PATH.into()),
        }
    }

    /// All plugins that it starts after.
    pub(crate) fn dependencies(&self) -> impl Iterator<Item = &str> + Clone {
        self.requires.iter().chain(&self.after).map(String::as_str)
    }
}

impl PluginSpec {
    /// Whether a process of one is as good as a process of the other.
    pub(super) fn launches_like(&self, other: &Self) -> bool {
        let launch = |spec: &Self| (spec.command.clone(), spec.cwd.clone(), spec.env.clone(), spec.orphan_timeout);
        launch(self) == launch(other) && (&self.confinement, &self.allow) == (&other.confinement, &other.allow)
    }

    /// Takes over what [`launches_like`](Self::launches_like) compares.
    pub(super) fn launch_like(&mut self, other: &Self) {
        self.command.clone_from(&other.command);
        self.cwd.clone_from(&other.cwd);
        self.env.clone_from(&other.env);
        self.confinement.clone_from(&other.confinement);
        self.allow.clone_from(&other.allow);
        self.orphan_timeout = other.orphan_timeout;
    }
}

/// A plugin that is added while the supervisor runs; what is left out is as for the others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginRequest {
    /// The plugin's name; none of the plugins that are there may have it.
    pub name: String,
    /// The program and its arguments. Empty: the plugin of the configuration that was removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Where it runs, as an absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// Variables beside those that every plugin is given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// How many instances run at once, 1 to 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// Whether it is started again after it exited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<RestartPolicy>,
}

impl PluginRequest {
    /// The most instances that one plugin may have.
    pub const MAX_REPLICAS: u32 = 64;

    pub(super) fn spec(&self, defaults: &PluginSpec) -> PluginSpec {
        let mut spec = defaults.clone();
        spec.name.clone_from(&self.name);
        spec.command.clone_from(&self.command);
        spec.cwd = self.cwd.clone().unwrap_or(spec.cwd);
        spec.env.extend(self.env.clone());
        spec.replicas = self.replicas.unwrap_or(spec.replicas);
        spec.restart = self.restart.unwrap_or(spec.restart);
        spec
    }
}

/// Whether a plugin is started again after it exited, as in OTP and systemd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// After every exit that nobody asked for.
    Always,
    /// After a signal, an exit code that is no success, silence, or being wedged.
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

/// How often a plugin may be restarted in how short a time, as in OTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntensitySpec {
    /// Restarts within that time which are still no reason to worry.
    pub restarts: u32,
    /// The time.
    pub within: Duration,
    /// What comes of it when there would be one more.
    pub then: AtIntensity,
}

/// What comes of a plugin that would have to be restarted too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtIntensity {
    /// It is called flapping, and restarted on and on as its backoff says.
    GoOn,
    /// It has failed, and stays down until somebody resets or starts it.
    Fail,
}

/// A signal that a program may answer with a trace of what it is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoftSignal {
    /// SIGABRT: by default a core dump.
    Abort,
    /// SIGHUP.
    Hangup,
    /// SIGINT: a traceback, in Python.
    Interrupt,
    /// SIGQUIT: all stacks, in Go and Java.
    Quit,
    /// SIGUSR1.
    User1,
    /// SIGUSR2.
    User2,
}

impl SoftSignal {
    /// Every one of them.
    pub const ALL: [Self; 6] = [Self::Abort, Self::Hangup, Self::Interrupt, Self::Quit, Self::User1, Self::User2];

    /// Its name, `SIGQUIT` for instance.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Abort => "SIGABRT",
            Self::Hangup => "SIGHUP",
            Self::Interrupt => "SIGINT",
            Self::Quit => "SIGQUIT",
            Self::User1 => "SIGUSR1",
            Self::User2 => "SIGUSR2",
        }
    }
}

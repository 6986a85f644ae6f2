//! What the supervisor tells about itself and its plugins: the results of its own methods.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::unit::UnitState;

/// The result of `status`: the whole bus at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StatusReport {
    /// The name of the bus.
    pub bus: String,
    /// The bus directory.
    pub directory: String,
    /// The supervisor's own process.
    pub pid: u32,
    /// The supervisor's version.
    pub version: String,
    /// How long the supervisor has been running, in milliseconds.
    pub uptime_ms: u64,
    /// Survey rounds in which the supervisor itself was late, so that they counted against nobody.
    pub void_rounds: u64,
    /// Every instance that it looks after, in the order in which they start.
    pub plugins: Vec<PluginStatus>,
}

/// One supervised instance at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PluginStatus {
    /// The plugin's name.
    pub name: String,
    /// Which of the plugin's replicas it is, from 0.
    pub replica: u32,
    /// Where it stands.
    pub state: UnitState,
    /// Why it stands there, in words.
    pub reason: String,
    /// For how long it has stood there, in milliseconds.
    pub state_ms: u64,
    /// When it came there, for people: `2026-11-22T14:45:00.123Z`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub since: String,
    /// Its process, while there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Its process's instance, while there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The version it says it has.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// How long its process has been running, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime_ms: Option<u64>,
    /// How often it was started again without anybody asking.
    pub restarts: u64,
    /// Why its process before this one ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_end: Option<EndReport>,
    /// In how many milliseconds it is started again, while it backs off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_in_ms: Option<u64>,
    /// Its newest survey answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<AnswerReport>,
    /// Survey rounds in a row that it has missed.
    pub missed: u32,
    /// The newest line of its standard error output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_line: Option<String>,
    /// Lines of its output that were dropped because they came faster than they could be written.
    pub dropped_lines: u64,
    /// By what its process was trusted when it was started, in words: `locked, pinned at 2026-11-25T22:14:45Z`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trust: String,
    /// Why its program is not trusted as it is now: it failed for that, or runs what was trusted before.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub refusal: String,
}

/// Why and when a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EndReport {
    /// Why, in words.
    pub reason: String,
    /// How long ago, in milliseconds.
    pub ago_ms: u64,
}

/// What a plugin said last, and how long it took to say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AnswerReport {
    /// How old the answer is, in milliseconds.
    pub ago_ms: u64,
    /// From the question to the answer, in microseconds.
    pub rtt_us: u64,
    /// Calls that it was running.
    pub in_flight: u64,
    /// Age of the oldest of them, in milliseconds.
    pub oldest_ms: u64,
    /// Calls that had succeeded since its start.
    pub done: u64,
    /// Calls that had failed since its start.
    pub failed: u64,
    /// Moves whenever it gets somewhere.
    pub beat: u64,
    /// For how long a call had been running past its deadline, in milliseconds.
    #[serde(default)]
    pub overdue_ms: u64,
}

/// The result of `survey`: one round, asked for this caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SurveyReport {
    /// The round's number.
    pub round: u64,
    /// From the question to the end of the round, in microseconds.
    pub took_us: u64,
    /// Who answered, the fastest first.
    pub answers: Vec<SurveyedPlugin>,
    /// Who runs and did not answer within the round's window.
    pub missing: Vec<MissingPlugin>,
}

/// One answer of a survey round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SurveyedPlugin {
    /// The plugin's name.
    pub name: String,
    /// Its instance.
    pub instance: String,
    /// The process that answered.
    pub pid: u32,
    /// Where it stands by its own account: `starting`, `ready` or `draining`.
    pub state: crate::wire::Phase,
    /// From the question to the answer, in microseconds.
    pub rtt_us: u64,
    /// Its counters.
    #[serde(flatten)]
    pub load: crate::wire::Load,
}

/// A plugin instance that owed an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MissingPlugin {
    /// The plugin's name.
    pub name: String,
    /// Its instance.
    pub instance: String,
}

/// The result of `stop`: what is going to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StopReport {
    /// The supervisor's own process; it ends when it runs in a process of its own.
    pub pid: u32,
    /// Plugin processes that are being stopped.
    pub stopping: u64,
}

/// The result of an order: how those stand that it was about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OrderReport {
    /// Whether all of them came where the order wanted them; true where nobody waited for that.
    pub done: bool,
    /// The instances it was about; those that are gone are left out.
    pub plugins: Vec<PluginStatus>,
}

/// The result of `reload`: what the new configuration changed, or would change. Names of plugins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReloadReport {
    /// New, and started.
    pub added: Vec<String>,
    /// No longer there, and stopped.
    pub removed: Vec<String>,
    /// To be run in another way, and started anew for that.
    pub restarted: Vec<String>,
    /// Looked after in another way from now on; their processes go on.
    pub changed: Vec<String>,
    /// Of another number of replicas.
    pub scaled: Vec<ScaledPlugin>,
    /// In service from now on, and started.
    pub enabled: Vec<String>,
    /// Out of service from now on, and stopped.
    pub disabled: Vec<String>,
    /// How many plugins stay as they are.
    pub unchanged: u64,
    /// Sections of the configuration that changed and hold only once the supervisor itself is restarted.
    pub settings: Vec<String>,
}

/// A plugin of which another number of instances is to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScaledPlugin {
    /// The plugin's name.
    pub name: String,
    /// How many there were.
    pub from: u32,
    /// How many there are to be.
    pub to: u32,
}

impl ReloadReport {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self { unchanged: self.unchanged, ..Self::default() }
    }
}

/// On one line: `1 added (x), 2 restarted (a, b), 3 unchanged`.
impl fmt::Display for ReloadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scaled: Vec<_> =
            self.scaled.iter().map(|scaled| format!("{} {} to {}", scaled.name, scaled.from, scaled.to)).collect();
        for (names, what) in [
            (&self.added, "added"),
            (&self.removed, "removed"),
            (&self.restarted, "restarted"),
            (&self.changed, "changed"),
            (&scaled, "scaled"),
            (&self.enabled, "enabled"),
            (&self.disabled, "disabled"),
        ] {
            if !names.is_empty() {
                write!(f, "{} {what} ({}), ", names.len(), names.join(", "))?;
            }
        }
        write!(f, "{} unchanged", self.unchanged)?;
        match self.settings.as_slice() {
            [] => Ok(()),
            sections => write!(f, "; {} once the supervisor itself is restarted", sections.join(", ")),
        }
    }
}

//! The event log: every change of state with its reason, one JSON object a line.
//!
//! Writes nothing itself: records go to the output's writer thread, which also publishes them and tells them to
//! tracing, so that neither a slow disk nor a terminal that does not read can hold the dispatcher up. Who wants to be told of
//! a plugin in trouble is told by `hooks`.

use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;

use super::hooks::{HookCall, Hooks};
use super::output::{Queue, Record};
use super::unit::{Change, UnitState};
use super::{EventKind, EventSpec};
use crate::bus::BusDir;

/// Where what happens is written down.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    queue: Arc<Queue>,
    hooks: Option<Hooks>,
}

/// Whom an event is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) plugin: &'a str,
    pub(super) replica: u32,
    pub(super) instance: Option<&'a str>,
    pub(super) pid: Option<u32>,
}

/// One line of `log/supervisor.events.jsonl`; a field without value is left out.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    at: String,
    /// `state`, `flapping`, `note`, or `supervisor`.
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    plugin: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replica: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<UnitState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<UnitState>,
    reason: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    output: &'a [String],
}

impl Journal {
    /// Needs a runtime around it, where somebody is to be told of events.
    pub(super) fn new(queue: Arc<Queue>, spec: &EventSpec, dir: &BusDir) -> Self {
        let hooks = Hooks::start(spec, dir, &queue);
        Self { queue, hooks }
    }

    /// For what hooks themselves have to say.
    pub(super) fn without_hooks(queue: Arc<Queue>) -> Self {
        Self { queue, hooks: None }
    }

    /// A unit changed its state; `output` is what its process printed last, where that may explain it.
    pub(super) fn changed(&self, subject: Subject<'_>, change: &Change, output: &[String]) {
        let (from, to) = (Some(change.from), Some(change.to));
        let entry = Entry { event: "state", from, to, output, ..about(subject, &change.reason) };
        let words = format!("{} is {}: {}", name(subject), change.to, change.reason);
        let is_warning =
            matches!(change.to, UnitState::Silent | UnitState::Wedged | UnitState::BackingOff | UnitState::Failed);
        let line = self.push(&entry, words, is_warning);
        if let Some(kind) = EventKind::ALL.into_iter().find(|kind| kind.as_str() == change.to.as_str()) {
            self.tell(kind, subject, &change.reason, line);
        }
    }

    /// A unit is restarted again and again.
    pub(super) fn flapping(&self, subject: Subject<'_>, reason: &str) {
        let entry = Entry { event: EventKind::Flapping.as_str(), ..about(subject, reason) };
        let line = self.push(&entry, format!("{} is flapping: {reason}", name(subject)), true);
        self.tell(EventKind::Flapping, subject, reason, line);
    }

    /// Something about a unit that changed no state, and that somebody should look at.
    pub(super) fn noted(&self, subject: Subject<'_>, reason: &str) {
        self.push(&about(subject, reason), format!("{}: {reason}", name(subject)), true);
    }

    /// Something about the supervisor itself.
    pub(super) fn own(&self, reason: &str) {
        self.push(&entry(reason), format!("supervisor: {reason}"), false);
    }

    /// The line as it is written, with its number.
    fn push(&self, entry: &Entry<'_>, words: String, is_warning: bool) -> String {
        // Strings and numbers: nothing in it can fail to serialise.
        let json = serde_json::to_string(entry).unwrap_or_default();
        self.queue.push_record(Record { json, words, is_warning })
    }

    fn tell(&self, kind: EventKind, subject: Subject<'_>, reason: &str, json: String) {
        if let Some(hooks) = &self.hooks {
            hooks.tell(HookCall { kind, plugin: subject.plugin.to_owned(), reason: reason.to_owned(), json });
        }
    }
}

fn entry(reason: &str) -> Entry<'_> {
    Entry {
        at: now_in_words(),
        event: "supervisor",
        plugin: None,
        replica: None,
        instance: None,
        pid: None,
        from: None,
        to: None,
        reason,
        output: &[],
    }
}

fn about<'a>(subject: Subject<'a>, reason: &'a str) -> Entry<'a> {
    Entry {
        event: "note",
        plugin: Some(subject.plugin),
        replica: Some(subject.replica),
        instance: subject.instance,
        pid: subject.pid,
        ..entry(reason)
    }
}

fn name(subject: Subject<'_>) -> String {
    match subject.replica {
        0 => subject.plugin.to_owned(),
        replica => format!("{}/{replica}", subject.plugin),
    }
}

/// The wall clock's time, for display only.
pub(super) fn now_in_words() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

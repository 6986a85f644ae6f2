//! The method `wait`: who can serve a call now, or might soon.

use serde::{Deserialize, Serialize};

use crate::supervisor::unit::{Unit, UnitState};
use crate::wire;

/// What `wait` is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::supervisor) struct WaitQuery {
    /// The plugin that is wanted; any, where left out.
    pub(in crate::supervisor) plugin: Option<String>,
    /// The method that it must have; any, where left out.
    pub(in crate::supervisor) method: Option<String>,
    /// Instances that the caller found gone.
    pub(in crate::supervisor) not: Vec<String>,
}

/// An instance that is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::supervisor) struct WaitFound {
    pub(in crate::supervisor) plugin: String,
    pub(in crate::supervisor) instance: String,
}

/// Why waiting is of no use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(in crate::supervisor) enum WaitRefusal {
    #[error("no plugin {plugin:?} is supervised here{}", did_you_mean(.nearest))]
    UnknownPlugin { plugin: String, nearest: Vec<String> },
    #[error("no supervised plugin has a method {method:?}{}", did_you_mean(.nearest))]
    UnknownMethod { method: String, nearest: Vec<String> },
    #[error("plugin {plugin:?} is {state}: {reason}")]
    Down { plugin: String, state: UnitState, reason: String },
    #[error("no plugin is supervised here")]
    Nobody,
    #[error("the supervisor is stopping")]
    Stopping,
}

/// What is known at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Prospect {
    Ready(WaitFound),
    Soon,
    Never(WaitRefusal),
}

/// Looks for an instance that fits the query, or for a unit that may become one.
pub(super) fn look<'a>(query: &WaitQuery, units: impl Iterator<Item = &'a Unit> + Clone) -> Prospect {
    let named = units.clone().filter(|unit| query.plugin.as_ref().is_none_or(|name| *name == unit.spec().name));
    if let Some(plugin) = &query.plugin
        && named.clone().next().is_none()
    {
        let names = units.map(|unit| unit.spec().name.as_str());
        return Prospect::Never(WaitRefusal::UnknownPlugin {
            plugin: plugin.clone(),
            nearest: nearest(plugin, names),
        });
    }
    let fitting = named.clone().filter(|unit| may_offer(unit, query.method.as_deref()));
    if let Some(found) = fitting.clone().find_map(|unit| ready(unit, query)) {
        return Prospect::Ready(found);
    }
    if fitting.clone().any(|unit| !unit.is_hopeless()) {
        return Prospect::Soon;
    }
    // A plugin that never ran is no likely owner of a method that nobody has asked it for by name.
    let known = |unit: &&Unit| query.plugin.is_some() || query.method.is_none() || unit.methods().is_some();
    let refusal = match (fitting.clone().find(known), &query.method) {
        (Some(unit), _) => WaitRefusal::Down {
            plugin: unit.spec().name.clone(),
            state: unit.state(),
            reason: unit.reason().to_owned(),
        },
        (None, Some(method)) => {
            let methods = named.flat_map(|unit| unit.methods().unwrap_or_default());
            let nearest = nearest(method, methods.map(|known| known.name.as_str()));
            WaitRefusal::UnknownMethod { method: method.clone(), nearest }
        }
        (None, None) => WaitRefusal::Nobody,
    };
    Prospect::Never(refusal)
}

fn ready(unit: &Unit, query: &WaitQuery) -> Option<WaitFound> {
    let instance = &unit.process().filter(|_| unit.state().takes_calls())?.instance;
    let found = WaitFound { plugin: unit.spec().name.clone(), instance: instance.clone() };
    (!query.not.contains(instance)).then_some(found)
}

/// A unit whose methods nobody knows yet may have any.
fn may_offer(unit: &Unit, method: Option<&str>) -> bool {
    let (Some(method), Some(known)) = (method, unit.methods()) else { return true };
    known.iter().any(|known| known.name == method)
}

/// The names that may have been meant, the nearest first.
fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    wire::nearest(wanted, names).into_iter().map(str::to_owned).collect()
}

pub(super) fn did_you_mean(nearest: &[String]) -> String {
    match nearest {
        [] => String::new(),
        names => format!("; did you mean {}?", names.join(" or ")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::bus::ProcessId;
    use crate::supervisor::unit::{Epoch, ExitState, UnitAnswer, UnitCommand, UnitEvent, sample_spec};
    use crate::supervisor::{PluginSpec, RestartPolicy};
    use crate::wire::{Info, Load, MethodInfo, Phase};

    fn stopped(name: &str) -> Unit {
        let spec = PluginSpec { name: name.into(), restart: RestartPolicy::OnFailure, ..sample_spec() };
        Unit::new(spec, 0, 3, 1, Instant::now())
    }

    fn told(mut unit: Unit, events: Vec<UnitEvent>) -> Unit {
        for event in events {
            unit.handle(event, Instant::now());
        }
        unit
    }

    fn starting(name: &str) -> Unit {
        let process = ProcessId { pid: 1, start_time: 1 };
        let spawned = UnitEvent::Spawned { epoch: Epoch(1), instance: format!("{name}1"), process };
        told(stopped(name), vec![UnitEvent::Asked(UnitCommand::Start), spawned])
    }

    fn ready(name: &str, methods: &[&str]) -> Unit {
        let info = Info { methods: methods.iter().map(|name| MethodInfo::new(*name)).collect(), ..Info::default() };
        let rtt = Duration::ZERO;
        let answer = UnitAnswer { phase: Phase::Ready, load: Load::default(), info: Some(info), rtt };
        told(starting(name), vec![UnitEvent::Answered { epoch: Epoch(1), answer }])
    }

    fn exited(unit: Unit, code: i32) -> Unit {
        let exit = ExitState::Code(code);
        let exited = |epoch| UnitEvent::Exited { epoch: Epoch(epoch), exit, last_line: None };
        told(unit, vec![exited(1), UnitEvent::SpawnFailed { epoch: Epoch(2), error: "gone".into() }])
    }

    fn seen(query: (&str, &str, &[&str]), units: &[Unit]) -> String {
        let wanted = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let not = query.2.iter().map(|instance| (*instance).to_owned()).collect();
        let query = WaitQuery { plugin: wanted(query.0), method: wanted(query.1), not };
        match look(&query, units.iter()) {
            Prospect::Ready(found) => found.instance,
            Prospect::Soon => "soon".into(),
            Prospect::Never(refusal) => refusal.to_string(),
        }
    }

    #[test]
    fn who_can_serve_a_call() {
        let units = [ready("text", &["revert", "count"]), exited(ready("crashed", &["add"]), 1), starting("young")];
        for (query, expected) in [
            (("text", "", &[][..]), "text1"),
            (("", "revert", &[]), "text1"),
            (("text", "revert", &["other"]), "text1"),
            (("text", "revert", &["text1"]), "soon"),
            (("crashed", "", &[]), "soon"),
            (("", "add", &[]), "soon"),
            (("", "unheard", &[]), "soon"),
            (("young", "unheard", &[]), "soon"),
            (("text", "rever", &[]), "no supervised plugin has a method \"rever\"; did you mean revert?"),
            (("texd", "", &[]), "no plugin \"texd\" is supervised here; did you mean text?"),
            (("zzz", "revert", &[]), "no plugin \"zzz\" is supervised here"),
        ] {
            assert_eq!(seen(query, &units), expected, "{query:?}");
        }
    }

    #[test]
    fn who_never_will() {
        let units = [stopped("idle"), exited(ready("done", &["add"]), 0)];
        let done = "plugin \"done\" is stopped: exited with code 0 after 0 ms; not to be restarted";
        for (query, expected) in [
            (("idle", "", &[][..]), "plugin \"idle\" is stopped: not started yet"),
            (("done", "", &[]), done),
            (("", "add", &[]), done),
            (("", "adds", &[]), "no supervised plugin has a method \"adds\"; did you mean add?"),
            (("idle", "add", &[]), "plugin \"idle\" is stopped: not started yet"),
        ] {
            assert_eq!(seen(query, &units), expected, "{query:?}");
        }
        assert_eq!(seen(("", "x", &[]), &[]), "no supervised plugin has a method \"x\"");
        assert_eq!(seen(("", "", &[]), &[]), "no plugin is supervised here");
    }
}

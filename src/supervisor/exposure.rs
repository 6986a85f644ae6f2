//! What a plugin can do, by its spec: a list with weights, and their sum as a score.
//!
//! As `systemd-analyze security` has it: the score says how much is open, not how likely somebody walks in.

use serde::Serialize;

use super::{PluginSpec, Sandbox};
use crate::trust::Trust;

/// What one plugin can do.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Exposure {
    /// The plugin.
    pub plugin: String,
    /// 0 (locked in wherever that is possible) to 10 (can do whatever its user can).
    pub score: f64,
    /// Every point, whether it counts or not, in an order that never changes.
    pub points: Vec<ExposurePoint>,
}

/// One thing that a plugin can or cannot do.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ExposurePoint {
    /// The key by which that is changed.
    pub key: &'static str,
    /// What it adds to the score; 0 where the plugin cannot.
    pub weight: f64,
    /// What it can do, or cannot, in words.
    pub says: &'static str,
}

/// A point as it is judged: the key, how much of it is open of how much, and the words for what is so.
type Judged = (&'static str, u32, u32, &'static str);

impl Exposure {
    /// Judges a plugin that a supervisor of this user starts; `root` says whether that is root.
    #[must_use]
    pub fn of(spec: &PluginSpec, root: bool) -> Self {
        let judged = [origin(spec), rights(spec, root), locked(spec), used_up(spec)].concat();
        let most: u32 = judged.iter().map(|(_, _, most, _)| most).sum();
        let share = |open: u32| (f64::from(open) * 100.0 / f64::from(most.max(1))).round() / 10.0;
        let open = judged.iter().map(|(_, open, ..)| open).sum();
        let points = judged.iter().map(|&(key, open, _, says)| ExposurePoint { key, weight: share(open), says });
        Self { plugin: spec.name.clone(), score: share(open), points: points.collect() }
    }
}

fn origin(spec: &PluginSpec) -> Vec<Judged> {
    let trust = match spec.trust {
        Trust::Any => (10, "any program at its path is started"),
        Trust::Locked => (3, "its program is the one that was pinned"),
        Trust::Signed => (0, "its program is signed"),
    };
    let passed = &spec.confinement.pass_env;
    let variables = match passed.iter().any(|pattern| pattern == "*") {
        true => (6, "it sees every variable of the supervisor's"),
        false if passed.is_empty() => (0, "it sees none of the supervisor's variables but the harmless ones"),
        false => (1, "it sees those of the supervisor's variables that are named"),
    };
    vec![("trust", trust.0, 10, trust.1), ("pass_env", variables.0, 6, variables.1)]
}

fn rights(spec: &PluginSpec, root: bool) -> Vec<Judged> {
    let confinement = &spec.confinement;
    let plain = confinement.account.as_ref().is_some_and(|account| account.uid != 0);
    let capabilities = match (root && !plain, confinement.drop_capabilities) {
        (false, _) => (0, "it runs as a plain user"),
        (true, true) => (6, "it runs as root, without root's special rights"),
        (true, false) => (14, "it runs as root, with all of root's rights"),
    };
    let gains = confinement.no_new_privs || confinement.sandbox != Sandbox::Off;
    let gains = if gains { (0, "executing a file gives it no rights") } else { (10, "it can use setuid programs") };
    let umask = match confinement.umask {
        Some(umask) if umask & 0o007 == 0o007 => (0, "others cannot read the files it makes"),
        _ => (2, "others may be able to read the files it makes"),
    };
    vec![
        ("capabilities", capabilities.0, 14, capabilities.1),
        ("no_new_privs", gains.0, 10, gains.1),
        ("umask", umask.0, 2, umask.1),
    ]
}

fn locked(spec: &PluginSpec) -> Vec<Judged> {
    let confinement = &spec.confinement;
    let (off, strict) = (confinement.sandbox == Sandbox::Off, confinement.sandbox == Sandbox::Strict);
    let either = |open: bool, weight: u32, can: &'static str, cannot: &'static str| match open {
        true => ("sandbox", weight, weight, can),
        false => ("sandbox", 0, weight, cannot),
    };
    let ports = !confinement.tcp_listen.is_empty() || !confinement.tcp_connect.is_empty();
    vec![
        either(off, 12, "it can make every system call", "it cannot make the system calls that no plugin needs"),
        either(off, 6, "it can signal and trace its user's processes", "it can signal nobody but what it started"),
        either(!strict, 14, "it can read every file that its user can", "it reads the system and what is named"),
        either(!strict, 14, "it can change every file that its user can", "it changes only what is named"),
        match (strict, ports) {
            (false, _) => ("sandbox", 10, 10, "it can use the network"),
            (true, true) => ("tcp_connect", 3, 10, "it can use the TCP ports that are named"),
            (true, false) => ("sandbox", 0, 10, "it has no TCP"),
        },
    ]
}

fn used_up(spec: &PluginSpec) -> Vec<Judged> {
    let (limits, total) = (&spec.confinement.limits, &spec.confinement.total);
    let either = |key: &'static str, closed: bool, weight: u32, can: &'static str, cannot: &'static str| match closed
    {
        true => (key, 0, weight, cannot),
        false => (key, weight, weight, can),
    };
    vec![
        either(
            "limits.memory",
            limits.memory.or(total.memory).is_some(),
            4,
            "it can use up the memory",
            "its memory is limited",
        ),
        either(
            "limits.processes",
            limits.processes.or(total.processes).is_some(),
            3,
            "it can start any number of processes",
            "its processes are limited",
        ),
        either(
            "limits.files",
            limits.files.is_some(),
            2,
            "it opens as many files as the supervisor may",
            "its open files are limited",
        ),
        either(
            "limits.core",
            limits.core == Some(0),
            1,
            "what it knows may end in a core dump",
            "it leaves no core dump",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::ConfinementSpec;
    use crate::supervisor::unit::sample_spec;

    #[test]
    fn a_plugin_that_is_locked_in_has_no_score_and_one_that_is_not_has_ten() {
        let open = PluginSpec {
            trust: Trust::Any,
            confinement: ConfinementSpec { pass_env: vec!["*".into()], ..ConfinementSpec::default() },
            ..sample_spec()
        };
        let most = Exposure::of(&open, true);
        assert!((most.score - 10.0).abs() < f64::EPSILON, "{most:?}");
        let mut closed = PluginSpec { trust: Trust::Signed, ..sample_spec() };
        closed.confinement.sandbox = Sandbox::Strict;
        closed.confinement.umask = Some(0o077);
        closed.confinement.limits.memory = Some(1);
        closed.confinement.limits.processes = Some(1);
        closed.confinement.limits.files = Some(8);
        closed.confinement.limits.core = Some(0);
        let least = Exposure::of(&closed, false);
        assert!(least.score == 0.0 && least.points.iter().all(|point| point.weight == 0.0), "{least:?}");
        assert_eq!(least.points.len(), most.points.len());
        closed.confinement.sandbox = Sandbox::Standard;
        let between = Exposure::of(&closed, false).score;
        assert!(between > 2.0 && between < 6.0, "{between}");
    }
}

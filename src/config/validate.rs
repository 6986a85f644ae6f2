//! From what the files say to specs: the rules that concern more than one key, and the world outside.
//!
//! First everything is checked, then the specs are built; a value that was refused is in neither's way.

use std::cmp::max;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use super::accounts;
use super::confined;
use super::dependencies;
use super::program::{Programs, tidy};
use super::raw::{Field, Layer, Name, OnSupervisorExit, OrphanTimeout, RawBackoff, RawFile, RawPlugin, RawRun};
use super::report::{Report, quote};
use super::source::Place;
use super::trust;
use crate::supervisor::{
    BackoffSpec, EventSpec, HookSpec, IntensitySpec, LogSpec, PluginSpec, SupervisorSpec, SurveySpec,
};
use crate::trust::TrustSpec;
use crate::wire::check_plugin_name;

/// The name under which the supervisor itself is on the bus.
const SUPERVISOR: &str = "supervisor";

/// Checks a merged configuration and makes its spec; `None` after a problem.
///
/// `complete` says whether every file could be read: only then do values of different files belong together.
pub(super) fn validate(
    raw: &RawFile,
    complete: bool,
    programs: &Programs,
    report: &mut Report<'_>,
) -> Option<SupervisorSpec> {
    check_bus(raw, report);
    check_names(&raw.plugins, report);
    let plugins: Vec<_> = raw.plugins.iter().map(|plugin| with_defaults(plugin, &raw.defaults)).collect();
    for plugin in &plugins {
        check_command(plugin, report);
        check_cwd(plugin, report);
        confined::check(&plugin.run, report);
    }
    // Also where every plugin says something else, or there is none: it is what a plugin is like that is added later.
    accounts::check(&raw.defaults, report);
    if complete {
        check_survey(raw, report);
        check_backoff(&raw.defaults.backoff, report);
        check_orphans(&raw.defaults, report);
        for plugin in &plugins {
            check_backoff(&plugin.run.backoff, report);
            check_orphans(&plugin.run, report);
        }
        dependencies::check(&plugins, report);
        trust::check(raw, &plugins, report);
    }
    build(raw, &plugins, programs, report)
}

fn with_defaults(plugin: &RawPlugin, defaults: &RawRun) -> RawPlugin {
    let mut plugin = plugin.clone();
    plugin.run.fill(defaults);
    plugin
}

fn check_bus(raw: &RawFile, report: &mut Report<'_>) {
    let Some((field, name)) = set(&raw.bus.name) else { return };
    if check_plugin_name(name).is_err() {
        let rule = "use a-z, 0-9 and -, start with a letter, at most 32 bytes";
        report.problem(field.at, &field.key, format!("{} is not a bus name: {rule}", quote(name)));
    }
}

fn check_names(plugins: &[RawPlugin], report: &mut Report<'_>) {
    let mut first: HashMap<&str, Place> = HashMap::new();
    for plugin in plugins {
        if let Err(why) = check_plugin_name(&plugin.name) {
            report.problem(plugin.at, &plugin.key, why.to_string());
        } else if plugin.name == SUPERVISOR {
            report.problem(plugin.at, &plugin.key, "is the supervisor's own name: choose another");
        }
        match first.get(plugin.name.as_str()) {
            Some(at) => {
                let message = format!(
                    "is defined at {} already: a plugin belongs to one file, so rename or remove one",
                    report.describe(*at)
                );
                report.problem(plugin.at, &plugin.key, message);
            }
            None => drop(first.insert(&plugin.name, plugin.at)),
        }
    }
}

fn check_command(plugin: &RawPlugin, report: &mut Report<'_>) {
    if plugin.command.is_none() && plugin.is_table {
        let message = "is missing: say what to run, as in command = [\"program\", \"argument\"]";
        report.problem(plugin.at, &format!("{}.command", plugin.key), message);
    }
    let Some((field, command)) = set(&plugin.command) else { return };
    if command.first().is_none_or(|program| program.is_empty()) {
        report.problem(field.at, &field.key, "names no program: write [\"program\", \"argument\"]");
    }
}

fn check_cwd(plugin: &RawPlugin, report: &mut Report<'_>) {
    let Some((field, cwd)) = set(&plugin.run.cwd) else { return };
    let path = tidy(&report.source(plugin.at).directory().join(cwd));
    if !path.is_dir() {
        let message = format!("{} is not a directory: create it or name another", quote(&path.to_string_lossy()));
        report.problem(field.at, &field.key, message);
    }
}

fn check_survey(raw: &RawFile, report: &mut Report<'_>) {
    // The surveyor has one question open at a time: the next one voids the answers to this one.
    let why = "a round has to end before the next one begins";
    check_order(&raw.survey.deadline, &raw.survey.interval, why, report);
}

fn check_backoff(backoff: &RawBackoff, report: &mut Report<'_>) {
    check_order(&backoff.min, &backoff.max, "the first wait is the shortest", report);
}

/// Of two durations the first must not be longer; the one that was set later is blamed.
fn check_order(less: &Option<Field<Duration>>, more: &Option<Field<Duration>>, why: &str, report: &mut Report<'_>) {
    let (Some((less, short)), Some((more, long))) = (set(less), set(more)) else { return };
    if short <= long {
        return;
    }
    let [short, long] = [short, long].map(|duration| humantime::format_duration(*duration));
    let (blamed, message) = if less.at == max(less.at, more.at) {
        (less, format!("{short} is longer than {} ({long}, {}): {why}", more.key, report.describe(more.at)))
    } else {
        (more, format!("{long} is shorter than {} ({short}, {}): {why}", less.key, report.describe(less.at)))
    };
    report.problem(blamed.at, &blamed.key, message);
}

fn build(
    raw: &RawFile,
    plugins: &[RawPlugin],
    programs: &Programs,
    report: &mut Report<'_>,
) -> Option<SupervisorSpec> {
    Some(SupervisorSpec {
        bus: get(&raw.bus.name)?,
        directory: None,
        lane: get(&raw.bus.lane)?,
        survey: SurveySpec {
            interval: get(&raw.survey.interval)?,
            deadline: get(&raw.survey.deadline)?,
            misses: get(&raw.survey.misses)?,
        },
        log: LogSpec {
            max_size: get(&raw.log.max_size)?,
            keep: get(&raw.log.keep)?,
            max_age: get(&raw.log.max_age)?,
        },
        events: EventSpec {
            on_event: build_hook(raw.events.on_event.as_ref()?, programs, report)?,
            kinds: get(&raw.events.kinds)?,
            timeout: get(&raw.events.timeout)?,
        },
        trust: TrustSpec { keys: trust::keys(raw.trust.keys.as_ref()?, report)?, ..TrustSpec::default() },
        sink: None,
        cgroup: get(&raw.bus.cgroup)?,
        adopts_orphans: false,
        plugins: plugins.iter().map(|plugin| build_plugin(plugin, programs, report)).collect::<Option<_>>()?,
        defaults: build_run(&raw.defaults, report)?,
    })
}

/// Who is told of events; nobody where the command is empty.
fn build_hook(field: &Field<HookSpec>, programs: &Programs, report: &mut Report<'_>) -> Option<Option<HookSpec>> {
    match field.value.clone()? {
        HookSpec::Command(command) if command.is_empty() => Some(None),
        HookSpec::Command(command) => {
            let field = Field { at: field.at, key: field.key.clone(), value: Some(command) };
            Some(Some(HookSpec::Command(resolve(&field, programs, report)?)))
        }
        method @ HookSpec::Method(_) => Some(Some(method)),
    }
}

fn build_plugin(plugin: &RawPlugin, programs: &Programs, report: &mut Report<'_>) -> Option<PluginSpec> {
    let command = resolve(plugin.command.as_ref()?, programs, report)?;
    let cwd = tidy(&report.source(plugin.at).directory().join(get(&plugin.run.cwd)?));
    let (after, requires) = (names(&plugin.after)?, names(&plugin.requires)?);
    let base = report.source(plugin.at).directory();
    let files = names(&plugin.files)?.iter().map(|file| tidy(&base.join(file))).collect();
    Some(PluginSpec {
        name: plugin.name.clone(),
        command,
        files,
        cwd,
        after,
        requires,
        ..build_run(&plugin.run, report)?
    })
}

/// What a plugin is like that says nothing of its own; one that is added later starts where the supervisor does.
fn build_run(run: &RawRun, report: &Report<'_>) -> Option<PluginSpec> {
    let RawRun { cwd, env, replicas, restart, backoff, start_timeout, stop_grace, enabled, .. } = run;
    let env = env.iter().map(|(name, field)| Some((name.clone(), field.value.clone()?)));
    Some(PluginSpec {
        name: String::new(),
        command: Vec::new(),
        trust: get(&run.trust)?,
        files: Vec::new(),
        cwd: Some(PathBuf::from(get(cwd)?)).filter(|cwd| cwd.is_absolute()).unwrap_or_default(),
        env: env.collect::<Option<_>>()?,
        confinement: confined::build(run, report)?,
        allow: accounts::allowed(&run.allow)?,
        replicas: get(replicas)?,
        restart: get(restart)?,
        backoff: BackoffSpec {
            min: get(&backoff.min)?,
            max: get(&backoff.max)?,
            jitter: get(&backoff.jitter)?,
            reset: get(&backoff.reset)?,
        },
        start_timeout: get(start_timeout)?,
        stop_grace: get(stop_grace)?,
        orphan_timeout: orphan_timeout(run)?,
        enabled: get(enabled)?,
        success_codes: get(&run.success_codes)?,
        intensity: IntensitySpec {
            restarts: get(&run.intensity.restarts)?,
            within: get(&run.intensity.within)?,
            then: get(&run.intensity.then)?,
        },
        wedge_grace: get(&run.wedge_grace)?,
        soft_signal: get(&run.soft_signal)?,
        soft_wait: get(&run.soft_wait)?,
        after: Vec::new(),
        requires: Vec::new(),
    })
}

/// Names of other plugins; none where none are set.
fn names(field: &Option<Field<Vec<Name>>>) -> Option<Vec<String>> {
    let Some(field) = field else { return Some(Vec::new()) };
    Some(field.value.as_ref()?.iter().map(|name| name.text.clone()).collect())
}

/// What two keys say together: a plugin that is kept waits for ever, unless a time is named.
fn orphan_timeout(run: &RawRun) -> Option<Option<Duration>> {
    /// What `auto` means with `stop`; `configs/plugbus.toml` tells of it where it sets `auto`.
    const AUTO: Duration = Duration::from_secs(10);
    Some(match (get(&run.on_supervisor_exit)?, get(&run.orphan_timeout)?) {
        (_, OrphanTimeout::After(time)) => Some(time),
        (OnSupervisorExit::Keep, _) => None,
        (OnSupervisorExit::Stop, _) => Some(AUTO),
    })
}

/// One cannot be told to stop and never to stop; the one that was set later is blamed.
fn check_orphans(run: &RawRun, report: &mut Report<'_>) {
    let (Some((exit, what)), Some((timeout, when))) = (set(&run.on_supervisor_exit), set(&run.orphan_timeout)) else {
        return;
    };
    if (*what, *when) == (OnSupervisorExit::Stop, OrphanTimeout::Off) {
        let (at, key) = if timeout.at > exit.at { (timeout.at, &timeout.key) } else { (exit.at, &exit.key) };
        let message = "on_supervisor_exit = \"stop\" needs a time after which: orphan_timeout must not be \"off\"";
        report.problem(at, key, message);
    }
}

/// The command with its program's absolute path; one that is not found is left to fail when it is started.
fn resolve(field: &Field<Vec<String>>, programs: &Programs, report: &mut Report<'_>) -> Option<Vec<String>> {
    let mut command = field.value.clone()?;
    let program = command.first_mut()?;
    let path = programs.find(program, &report.source(field.at).directory()).unwrap_or_else(|missing| {
        report.warning(field.at, &field.key, missing.remark);
        missing.path
    });
    match path.into_os_string().into_string() {
        Ok(path) => *program = path,
        // A spec's command is text; the plain name still works where $PATH leads there.
        Err(path) => {
            let message = format!("{path:?} is not UTF-8: move the program elsewhere");
            report.warning(field.at, &field.key, message);
        }
    }
    Some(command)
}

/// A field with its value, unless that was refused.
pub(super) fn set<T>(field: &Option<Field<T>>) -> Option<(&Field<T>, &T)> {
    let field = field.as_ref()?;
    Some((field, field.value.as_ref()?))
}

/// Its value, unless that was refused.
pub(super) fn get<T: Clone>(field: &Option<Field<T>>) -> Option<T> {
    field.as_ref()?.value.clone()
}

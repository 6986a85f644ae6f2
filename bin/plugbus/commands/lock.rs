//! `plugbus lock`: what has changed of the programs that may run, and that it is meant.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plugbus::config::Loaded;
use plugbus::host::CallError;
use plugbus::host::blocking::Bus;
use plugbus::supervisor::{OrderReport, PluginSpec, PluginStatus, StatusReport, UnitState};
use plugbus::trust::{LockError, Review, Trust, Warden};
use plugbus::wire::nearest;
use serde::Serialize;
use serde_json::json;

use super::control;
use crate::args::Lock;
use crate::error::CommandError;
use crate::output::{self, BAD, BOLD, DIM, FAIR, GOOD, one_line};
use crate::settings::Settings;

/// How long a supervisor may take to say who was refused.
const PATIENCE: Duration = Duration::from_secs(5);

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    lock: &'a PathBuf,
    /// What was pinned, or would be with `--check`.
    plugins: Vec<&'a Review>,
    /// Plugins that are pinned as they are.
    unchanged: usize,
    /// Pins of plugins that are not there any more.
    forgotten: &'a [String],
    /// Plugins that cannot be pinned as they are, and why.
    problems: Vec<(&'a str, &'a str)>,
    /// Plugins that were refused, and are started again now.
    started: &'a [String],
}

/// What was found, plugin by plugin.
#[derive(Debug, Default)]
struct Found {
    changed: Vec<Review>,
    unchanged: usize,
    problems: Vec<(String, String)>,
    forgotten: Vec<String>,
}

pub(super) fn run(settings: &Settings, args: &Lock) -> Result<(), CommandError> {
    let loaded = settings.configuration(&args.config.config)?;
    let supervised = supervised(settings, &loaded)?;
    let warden = warden(settings, &loaded)?;
    let anew = is_broken(&warden, args)?;
    let mut found = look(&warden, &wanted(&loaded, &args.plugins, &supervised)?, anew);
    if !anew {
        found.forgotten = forgotten(&warden, &loaded, &args.plugins, &supervised)?;
    }
    let mut started = Vec::new();
    if !args.check {
        warden.accept(&found.changed, anew).map_err(unlocked)?;
        warden.forget(found.forgotten.iter().map(String::as_str)).map_err(unlocked)?;
        started = start_refused(settings, &loaded, &found, &supervised)?;
    }
    let place = warden.writable();
    match args.json {
        true => output::print_json(&Report {
            lock: &place,
            plugins: found.changed.iter().collect(),
            unchanged: found.unchanged,
            forgotten: &found.forgotten,
            problems: found.problems.iter().map(|(name, why)| (name.as_str(), why.as_str())).collect(),
            started: &started,
        })?,
        false => show(&found, &place, args.check, &started)?,
    }
    let open = if args.check { found.changed.len() } else { 0 };
    match open + found.problems.len() {
        0 => Ok(()),
        count => Err(CommandError::Trust(format!("{count} of the plugins would not be started as they are"))),
    }
}

/// Whether the lock file cannot be understood and is to be written anew, which takes an order for all plugins.
fn is_broken(warden: &Warden, args: &Lock) -> Result<bool, CommandError> {
    match warden.pinned() {
        Ok(_) => Ok(false),
        Err(error @ LockError::Broken { .. }) if args.plugins.is_empty() && !args.check => {
            output::warn(format!("{error}; it is written anew"));
            Ok(true)
        }
        Err(error) => Err(unlocked(error)),
    }
}

fn unlocked(error: LockError) -> CommandError {
    CommandError::Trust(error.to_string())
}

/// The plugins of the supervisor, where there is one: some may have been added by hand.
fn supervised(settings: &Settings, loaded: &Loaded) -> Result<Option<Vec<PluginStatus>>, CommandError> {
    let Ok(bus) = Bus::at(settings.bus_directory(&loaded.spec.bus)?.path()) else { return Ok(None) };
    let status = bus.request("status").plugin(control::SUPERVISOR).timeout(PATIENCE).call::<StatusReport, _>(&());
    Ok(status.ok().map(|status| status.plugins))
}

/// Plugins of no configuration: nobody's any more, or added by hand, to be pinned when they are started again.
fn forgotten(
    warden: &Warden,
    loaded: &Loaded,
    names: &[String],
    supervised: &Option<Vec<PluginStatus>>,
) -> Result<Vec<String>, CommandError> {
    let Some(supervised) = supervised else { return Ok(Vec::new()) };
    let is_configured = |name: &str| loaded.spec.plugins.iter().any(|plugin| plugin.name == name);
    let is_supervised = |name: &str| supervised.iter().any(|plugin| plugin.name == name);
    let pinned = warden.pinned().map_err(unlocked)?;
    let is_meant = |name: &String| names.contains(name) || names.is_empty() && !is_supervised(name);
    Ok(pinned.into_iter().filter(|name| !is_configured(name) && is_meant(name)).collect())
}

/// Whoever judges the programs of that configuration, as its supervisor does.
fn warden(settings: &Settings, loaded: &Loaded) -> Result<Warden, CommandError> {
    let directory = settings.bus_directory(&loaded.spec.bus)?;
    Ok(Warden::new(loaded.spec.trust.clone(), directory.state_dir().join("plugbus.lock")))
}

/// The plugins of the configuration that are meant and have something to pin.
fn wanted<'a>(
    loaded: &'a Loaded,
    names: &[String],
    supervised: &Option<Vec<PluginStatus>>,
) -> Result<Vec<&'a PluginSpec>, CommandError> {
    let plugins = &loaded.spec.plugins;
    let configured = plugins.iter().map(|plugin| plugin.name.as_str());
    let supervised = supervised.iter().flatten().map(|plugin| plugin.name.as_str());
    let known: Vec<_> = configured.chain(supervised).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        let nearest = nearest(unknown, known).into_iter().map(str::to_owned).collect();
        return Err(CallError::NoSuchPlugin { name: unknown.clone(), nearest }.into());
    }
    let is_meant = |plugin: &&PluginSpec| names.is_empty() || names.contains(&plugin.name);
    Ok(plugins.iter().filter(is_meant).filter(|plugin| plugin.trust == Trust::Locked).collect())
}

fn look(warden: &Warden, plugins: &[&PluginSpec], anew: bool) -> Found {
    let mut found = Found::default();
    for plugin in plugins {
        match warden.review(&plugin.subject(), anew) {
            Ok(review) if review.new || !review.changes.is_empty() => found.changed.push(review),
            Ok(_) => found.unchanged += 1,
            Err(problem) => found.problems.push((plugin.name.clone(), problem)),
        }
    }
    found
}

/// Has the supervisor, where there is one, try those again that it refused.
fn start_refused(
    settings: &Settings,
    loaded: &Loaded,
    found: &Found,
    supervised: &Option<Vec<PluginStatus>>,
) -> Result<Vec<String>, CommandError> {
    let accepted = found.changed.iter().map(|review| &review.plugin).chain(&found.forgotten);
    let is_refused = |name: &&String| {
        let mut plugins = supervised.iter().flatten();
        plugins.any(|plugin| plugin.name == **name && plugin.state == UnitState::Failed && !plugin.refusal.is_empty())
    };
    let names: Vec<_> = accepted.filter(is_refused).cloned().collect();
    if !names.is_empty() {
        let bus = Bus::at(settings.bus_directory(&loaded.spec.bus)?.path())?;
        let _: OrderReport = control::order(&bus, "reset", &json!({"names": names, "wait": false}), PATIENCE)?;
    }
    Ok(names)
}

fn show(found: &Found, place: &Path, check: bool, started: &[String]) -> Result<(), CommandError> {
    output::print(|out| {
        for review in &found.changed {
            let what = if review.new { "was never pinned" } else { "has changed" };
            writeln!(out, "{BOLD}{}{BOLD:#} {FAIR}{what}{FAIR:#}", review.plugin)?;
            for change in &review.changes {
                writeln!(out, "  {}", one_line(&change.to_string()))?;
            }
        }
        for (name, problem) in &found.problems {
            writeln!(out, "{BOLD}{name}{BOLD:#} {BAD}cannot be pinned{BAD:#}: {}", one_line(problem))?;
        }
        for name in &found.forgotten {
            writeln!(out, "{BOLD}{name}{BOLD:#} is not there any more")?;
        }
        for name in started {
            writeln!(out, "{BOLD}{name}{BOLD:#} {GOOD}is started again{GOOD:#}")?;
        }
        let count = found.changed.len() + found.forgotten.len();
        match (count, check) {
            (0, _) => writeln!(out, "{} as pinned {DIM}({}){DIM:#}", found.unchanged, place.display()),
            (count, true) => {
                writeln!(out, "{count} to accept, {} as pinned {DIM}({}){DIM:#}", found.unchanged, place.display())
            }
            (count, false) => {
                writeln!(out, "{count} accepted, {} as pinned {DIM}({}){DIM:#}", found.unchanged, place.display())
            }
        }
    })
}

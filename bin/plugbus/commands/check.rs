//! `plugbus check`: what is wrong with a configuration.

use std::io::Write;
use std::path::PathBuf;

use plugbus::config::{Loaded, Problem};
use plugbus::supervisor::Exposure;
use serde::Serialize;

use crate::args::Check;
use crate::error::CommandError;
use crate::output::{self, GOOD};
use crate::settings::Settings;

/// What `--json` prints.
#[derive(Debug, Default, Serialize)]
struct Report<'a> {
    ok: bool,
    files: Vec<&'a PathBuf>,
    plugins: Vec<&'a str>,
    problems: &'a [Problem],
    /// Problems beyond those that are listed.
    more: usize,
    warnings: &'a [Problem],
    /// What each plugin can do, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    security: Option<Vec<Exposure>>,
}

pub(super) fn run(settings: &Settings, args: &Check) -> Result<(), CommandError> {
    let loaded = settings.configuration(&args.config.config);
    if args.json {
        output::print_json(&match &loaded {
            Ok(loaded) => Report {
                ok: true,
                files: loaded.files.iter().collect(),
                plugins: loaded.spec.plugins.iter().map(|plugin| plugin.name.as_str()).collect(),
                warnings: &loaded.warnings,
                security: args.security.then(|| exposures(loaded)),
                ..Report::default()
            },
            Err(CommandError::Config(error)) => {
                Report { problems: &error.problems, more: error.more, ..Report::default() }
            }
            Err(_) => Report::default(),
        })?;
    }
    let loaded = loaded?;
    if !args.json {
        loaded.warnings.iter().for_each(output::warn);
        let count = loaded.spec.plugins.len();
        let plugins = if count == 1 { "plugin" } else { "plugins" };
        output::print(|out| writeln!(out, "{GOOD}ok{GOOD:#}: {count} {plugins}"))?;
        if args.security {
            exposures(&loaded).iter().try_for_each(|exposure| output::print(|out| list(out, exposure)))?;
        }
    }
    Ok(())
}

/// As a supervisor of this user would start them.
fn exposures(loaded: &Loaded) -> Vec<Exposure> {
    let root = rustix::process::geteuid().is_root();
    loaded.spec.plugins.iter().map(|plugin| Exposure::of(plugin, root)).collect()
}

/// What one plugin can do first, then what it cannot.
fn list(out: &mut dyn Write, exposure: &Exposure) -> std::io::Result<()> {
    writeln!(out, "\n{}: {:.1} of 10", exposure.plugin, exposure.score)?;
    let (can, cannot): (Vec<_>, Vec<_>) = exposure.points.iter().partition(|point| point.weight > 0.0);
    for point in can {
        writeln!(out, "  {:>3.1}  {:<17} {}", point.weight, point.key, point.says)?;
    }
    cannot.iter().try_for_each(|point| writeln!(out, "    -  {:<17} {}", point.key, point.says))
}

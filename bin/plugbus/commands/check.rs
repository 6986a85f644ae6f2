//! `plugbus check`: what is wrong with a configuration.

use std::io::Write;
use std::path::PathBuf;

use plugbus::config::Problem;
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
    }
    Ok(())
}

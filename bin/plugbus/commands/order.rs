//! `plugbus start`, `stop`, `restart`, `reset`, `enable`, `disable`, `remove`: orders to plugins by name.

use std::io::Write;

use plugbus::supervisor::{OrderReport, PluginStatus};
use serde::Serialize;

use super::control;
use crate::args::{Names, Restart, Stop, Waiting};
use crate::error::CommandError;
use crate::output::{self, BOLD, one_line};
use crate::settings::Settings;
use crate::span::span_ms;

/// What the supervisor's method of the same name takes.
#[derive(Debug, Serialize)]
struct Order<'a> {
    names: &'a [String],
    wait: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    rolling: Option<bool>,
}

pub(super) fn run(settings: &Settings, method: &str, args: &Names) -> Result<(), CommandError> {
    let order = Order { names: &args.names, wait: !args.waiting.no_wait, rolling: None };
    give(settings, method, &order, &args.waiting)
}

pub(super) fn restart(settings: &Settings, args: &Restart) -> Result<(), CommandError> {
    let Restart { names, rolling } = args;
    if names.names == [control::SUPERVISOR] {
        return control::replace_supervisor(settings, &names.waiting);
    }
    let order = Order { names: &names.names, wait: !names.waiting.no_wait, rolling: Some(*rolling) };
    give(settings, "restart", &order, &names.waiting)
}

pub(super) fn stop(settings: &Settings, args: &Stop) -> Result<(), CommandError> {
    if args.supervisor {
        return control::stop_supervisor(settings, &args.waiting);
    }
    let order = Order { names: &args.names, wait: !args.waiting.no_wait, rolling: None };
    give(settings, "stop", &order, &args.waiting)
}

/// Gives the order and shows what came of it.
pub(super) fn give(
    settings: &Settings,
    method: &str,
    order: &impl Serialize,
    waiting: &Waiting,
) -> Result<(), CommandError> {
    let report: OrderReport = control::order(&settings.bus()?, method, order, waiting.timeout)?;
    if waiting.json {
        output::print_json(&report)?;
    } else {
        output::print(|out| {
            for plugin in &report.plugins {
                writeln!(out, "{}", line(plugin, &report))?;
            }
            Ok(())
        })?;
    }
    if report.done { Ok(()) } else { Err(CommandError::NotDone(method.to_owned())) }
}

fn line(plugin: &PluginStatus, report: &OrderReport) -> String {
    let replicated = report.plugins.iter().filter(|other| other.name == plugin.name).count() > 1;
    let name = if replicated { format!("{}/{}", plugin.name, plugin.replica) } else { plugin.name.clone() };
    let process = plugin.pid.map(|pid| format!(", process {pid}")).unwrap_or_default();
    let since = span_ms(plugin.state_ms);
    format!("{BOLD}{name}{BOLD:#} is {}{process}, since {since}: {}", plugin.state, one_line(&plugin.reason))
}

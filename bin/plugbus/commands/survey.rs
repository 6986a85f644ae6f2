//! `plugbus survey`: one question to all, now.

use std::io::Write;
use std::time::Duration;

use plugbus::supervisor::SurveyReport;
use plugbus::wire::Phase;

use super::control;
use crate::args::Json;
use crate::error::CommandError;
use crate::output::{self, BAD, BOLD, DIM, FAIR, GOOD};
use crate::settings::Settings;
use crate::span::{span, span_ms};
use crate::table::{Cell, Side, Table};

pub(super) fn run(settings: &Settings, args: &Json) -> Result<(), CommandError> {
    let report: SurveyReport = control::ask(&settings.bus()?, "survey")?;
    if args.json {
        return output::print_json(&report);
    }
    let answered = report.answers.len();
    let asked = answered + report.missing.len();
    let took = span(Duration::from_micros(report.took_us));
    output::print(|out| {
        writeln!(out, "{BOLD}{answered} of {asked}{BOLD:#} answered; round {}, {took}", report.round)?;
        if asked > 0 {
            table(&report).write(out, output::width())?;
        }
        Ok(())
    })
}

fn table(report: &SurveyReport) -> Table<9> {
    let mut table = Table::new([
        ("PLUGIN", Side::Left),
        ("INSTANCE", Side::Left),
        ("PID", Side::Right),
        ("STATE", Side::Left),
        ("TOOK", Side::Right),
        ("IN FLIGHT", Side::Right),
        ("OLDEST", Side::Right),
        ("DONE", Side::Right),
        ("FAILED", Side::Right),
    ]);
    for plugin in &report.answers {
        let load = plugin.load;
        let cells = [
            plugin.name.as_str().into(),
            plugin.instance.as_str().into(),
            plugin.pid.to_string().into(),
            phase(plugin.state),
            span(Duration::from_micros(plugin.rtt_us)).into(),
            load.in_flight.to_string().into(),
            Cell::or_dash((load.in_flight > 0).then(|| span_ms(load.oldest_ms))),
            load.done.to_string().into(),
            Cell::styled(load.failed.to_string(), if load.failed > 0 { FAIR } else { DIM }),
        ];
        table.row(cells, String::new());
    }
    for plugin in &report.missing {
        let none = || Cell::or_dash(None::<String>);
        let (name, instance) = (plugin.name.as_str().into(), plugin.instance.as_str().into());
        let state = Cell::styled("no answer", BAD);
        table.row([name, instance, none(), state, none(), none(), none(), none(), none()], String::new());
    }
    table
}

fn phase(state: Phase) -> Cell {
    match state {
        Phase::Ready => Cell::styled("ready", GOOD),
        Phase::Starting => Cell::styled("starting", FAIR),
        Phase::Draining => Cell::styled("draining", FAIR),
    }
}

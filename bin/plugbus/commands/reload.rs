//! `plugbus reload`: the configuration anew, and exactly what changed in it.

use std::io::Write;

use plugbus::supervisor::ReloadReport;
use serde_json::json;

use super::control;
use crate::args::Reload;
use crate::error::CommandError;
use crate::output::{self, BOLD, DIM};
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, args: &Reload) -> Result<(), CommandError> {
    let report: ReloadReport = control::order(&settings.bus()?, "reload", &json!({"plan": args.plan}), args.timeout)?;
    if args.json {
        return output::print_json(&report);
    }
    output::print(|out| {
        for (line, why) in lines(&report) {
            writeln!(out, "{BOLD}{line}{BOLD:#}  {DIM}{why}{DIM:#}")?;
        }
        let nothing = if report.is_nothing() { "nothing changes; " } else { "" };
        writeln!(out, "{nothing}{} unchanged", report.unchanged)
    })
}

fn lines(report: &ReloadReport) -> Vec<(String, &'static str)> {
    let each = |sign: &str, names: &[String], why| names.iter().map(|name| (format!("{sign} {name}"), why)).collect();
    let groups: [Vec<_>; 7] = [
        each("+", &report.added, "new: is started"),
        each("-", &report.removed, "no longer there: is stopped"),
        each("!", &report.restarted, "runs differently: is restarted"),
        each("~", &report.changed, "is looked after differently: its processes go on"),
        each("+", &report.enabled, "enabled: is started"),
        each("-", &report.disabled, "disabled: is stopped"),
        each("*", &report.settings, "holds once the supervisor itself is restarted: plugbus restart supervisor"),
    ];
    let scaled = report
        .scaled
        .iter()
        .map(|scaled| (format!("~ {} {} → {}", scaled.name, scaled.from, scaled.to), "another number of instances"));
    groups.into_iter().flatten().chain(scaled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_says_what_happens_to_whom() {
        let report = serde_json::from_value(json!({
            "added": ["a"], "removed": ["b"], "restarted": ["c"], "changed": ["d"],
            "scaled": [{"name": "e", "from": 1, "to": 3}], "enabled": [], "disabled": ["f"], "unchanged": 4,
            "settings": ["[log]"],
        }));
        let shown: Vec<_> = lines(&report.unwrap()).into_iter().map(|(line, _)| line).collect();
        assert_eq!(shown, ["+ a", "- b", "! c", "~ d", "- f", "* [log]", "~ e 1 → 3"]);
    }
}

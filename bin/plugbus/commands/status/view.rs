//! What `status` shows, as a table or as JSON.

use std::io::{self, Write};
use std::path::PathBuf;

use plugbus::bus::Card;
use plugbus::supervisor::{AnswerReport, PluginStatus, StatusReport, UnitState};
use serde::{Serialize, Serializer};
use serde_json::json;

use crate::output::{BAD, BOLD, DIM, FAIR, GOOD, PLAIN, one_line};
use crate::span::span_ms;
use crate::table::{Cell, Side, Table};

/// A bus at one moment.
#[derive(Debug)]
pub(super) enum View {
    /// As its supervisor sees it.
    Supervised(StatusReport),
    /// Without one: what can still be called.
    Alone { directory: PathBuf, cards: Vec<Card> },
}

impl Serialize for View {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Supervised(report) => report.serialize(serializer),
            Self::Alone { directory, cards } => {
                let plugin = |card: &Card| {
                    json!({
                        "name": card.name, "instance": card.instance, "version": card.version,
                        "pid": card.process.pid, "state": "unsupervised",
                    })
                };
                let plugins: Vec<_> = cards.iter().map(plugin).collect();
                json!({"directory": directory.to_string_lossy(), "plugins": plugins}).serialize(serializer)
            }
        }
    }
}

impl View {
    /// Writes it for people.
    pub(super) fn write(&self, out: &mut impl Write, width: Option<usize>) -> io::Result<()> {
        match self {
            Self::Supervised(report) => supervised(out, report, width),
            Self::Alone { directory, cards } => {
                writeln!(
                    out,
                    "{BAD}no supervisor{BAD:#} {DIM}on the bus at {}: what dies is not started again{DIM:#}",
                    directory.display()
                )?;
                alone(cards).write(out, width)
            }
        }
    }
}

fn supervised(out: &mut impl Write, report: &StatusReport, width: Option<usize>) -> io::Result<()> {
    let StatusReport { bus, directory, pid, uptime_ms, .. } = report;
    let up = span_ms(*uptime_ms);
    write!(out, "bus {BOLD}{bus}{BOLD:#}, supervisor {pid} up {up} {DIM}({})", one_line(directory))?;
    if report.void_rounds > 0 {
        write!(out, ", {} survey rounds void because it was late itself", report.void_rounds)?;
    }
    writeln!(out, "{DIM:#}")?;
    if report.plugins.is_empty() {
        return writeln!(out, "no plugin is configured");
    }
    let mut table = Table::new([
        ("PLUGIN", Side::Left),
        ("INSTANCE", Side::Left),
        ("STATE", Side::Left),
        ("PID", Side::Right),
        ("UPTIME", Side::Right),
        ("RESTARTS", Side::Right),
        ("IN FLIGHT", Side::Right),
        ("LAST ANSWER", Side::Right),
    ])
    .notes("WHY");
    for plugin in &report.plugins {
        let replicated = report.plugins.iter().filter(|other| other.name == plugin.name).count() > 1;
        table.row(cells(plugin, replicated), why(plugin));
    }
    table.write(out, width)
}

fn cells(plugin: &PluginStatus, replicated: bool) -> [Cell; 8] {
    let name = if replicated { format!("{}/{}", plugin.name, plugin.replica) } else { plugin.name.clone() };
    let answer = plugin.answer.as_ref();
    let restarts = if plugin.restarts > 0 { PLAIN } else { DIM };
    [
        name.into(),
        Cell::or_dash(plugin.instance.as_deref()),
        Cell::styled(plugin.state.as_str(), style(plugin.state)),
        Cell::or_dash(plugin.pid.map(|pid| pid.to_string())),
        Cell::or_dash(plugin.uptime_ms.map(span_ms)),
        Cell::styled(plugin.restarts.to_string(), restarts),
        Cell::or_dash(answer.map(|answer| answer.in_flight.to_string())),
        Cell::or_dash(answer.map(|answer| format!("{} ago", span_ms(answer.ago_ms)))),
    ]
}

/// Why it stands where it stands; of what runs well, what became of the process before.
fn why(plugin: &PluginStatus) -> String {
    let mut why = match (plugin.state, &plugin.answer) {
        (UnitState::Ready, _) => String::new(),
        // As it is by now, not as it was when it became busy.
        (UnitState::Busy, Some(answer)) => calls(answer),
        _ => plugin.reason.clone(),
    };
    let mut add = |text: String| {
        if !why.is_empty() {
            why.push_str("; ");
        }
        why.push_str(&text);
    };
    if let Some(end) = plugin.last_end.as_ref().filter(|_| plugin.state.takes_calls()) {
        add(format!("{} ago: {}", span_ms(end.ago_ms), end.reason));
    }
    if plugin.state.is_running() && !plugin.refusal.is_empty() {
        add(format!("its program has changed and would not be started again: {}", plugin.refusal));
    }
    if plugin.missed > 0 {
        let rounds = if plugin.missed == 1 { "round" } else { "rounds" };
        add(format!("{} survey {rounds} missed", plugin.missed));
    }
    if plugin.dropped_lines > 0 {
        add(format!("{} lines of its output dropped", plugin.dropped_lines));
    }
    one_line(&why)
}

fn calls(answer: &AnswerReport) -> String {
    let mut words = match answer.in_flight {
        1 => format!("1 call, running for {}", span_ms(answer.oldest_ms)),
        calls => format!("{calls} calls, the oldest running for {}", span_ms(answer.oldest_ms)),
    };
    if answer.overdue_ms > 0 {
        words += &format!(", {} past its deadline", span_ms(answer.overdue_ms));
    }
    words
}

fn style(state: UnitState) -> anstyle::Style {
    match state {
        UnitState::Ready | UnitState::Busy => GOOD,
        UnitState::Silent | UnitState::Wedged | UnitState::Failed => BAD,
        UnitState::Stopped => DIM,
        _ => FAIR,
    }
}

fn alone(cards: &[Card]) -> Table<4> {
    let mut table =
        Table::new([("PLUGIN", Side::Left), ("INSTANCE", Side::Left), ("VERSION", Side::Left), ("PID", Side::Right)]);
    for card in cards {
        let version = Some(one_line(&card.version)).filter(|version| !version.is_empty());
        let (name, instance) = (card.name.as_str().into(), card.instance.as_str().into());
        table.row([name, instance, Cell::or_dash(version), card.process.pid.to_string().into()], String::new());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(plugins: &serde_json::Value) -> StatusReport {
        let report = json!({
            "bus": "default", "directory": "/run/plugbus/default", "pid": 7, "version": "0.1.0",
            "uptime_ms": 245_000, "void_rounds": 0, "plugins": plugins,
        });
        serde_json::from_value(report).unwrap()
    }

    fn shown(view: &View) -> String {
        let mut out = Vec::new();
        view.write(&mut out, None).unwrap();
        anstream::adapter::strip_bytes(&out).into_vec().try_into().unwrap()
    }

    #[test]
    fn what_happened_and_why() {
        let view = View::Supervised(report(&json!([
            {
                "name": "text", "replica": 0, "state": "ready", "reason": "answered as ready", "state_ms": 4000,
                "pid": 123, "instance": "abc", "uptime_ms": 4100, "restarts": 2, "missed": 1, "dropped_lines": 0,
                "last_end": {"reason": "killed by SIGKILL after 3.1 s", "ago_ms": 4200},
                "answer": {"ago_ms": 120, "rtt_us": 300, "in_flight": 1, "oldest_ms": 5, "done": 1, "failed": 0,
                    "beat": 3},
            },
            {
                "name": "py", "replica": 0, "state": "backing-off",
                "reason": "exited with code 1 after 20 ms: no\tmodule \u{1b}[31mx; restarting in 2.0 s",
                "state_ms": 1, "restarts": 3, "missed": 0, "dropped_lines": 0,
            },
        ])));
        let expected = "\
bus default, supervisor 7 up 4 min 5 s (/run/plugbus/default)
PLUGIN  INSTANCE  STATE        PID  UPTIME  RESTARTS  IN FLIGHT  LAST ANSWER  WHY
text    abc       ready        123   4.1 s         2          1   120 ms ago  4.2 s ago: killed by SIGKILL after 3.1 s; 1 survey round missed
py      -         backing-off    -       -         3          -            -  exited with code 1 after 20 ms: no module \\u{1b}[31mx; restarting in 2.0 s
";
        assert_eq!(shown(&view), expected);
    }

    #[test]
    fn who_is_busy_says_with_what() {
        let plugin = |state: &str, in_flight, overdue_ms| {
            json!({
                "name": "text", "replica": 0, "state": state, "reason": "the reason", "state_ms": 4000,
                "restarts": 1, "missed": 0, "dropped_lines": 0,
                "last_end": {"reason": "killed by SIGKILL", "ago_ms": 4200},
                "answer": {"ago_ms": 120, "rtt_us": 300, "in_flight": in_flight, "oldest_ms": 42_000, "done": 1,
                    "failed": 0, "beat": 3, "overdue_ms": overdue_ms},
            })
        };
        let words = |state, in_flight, overdue| {
            let text = shown(&View::Supervised(report(&json!([plugin(state, in_flight, overdue)]))));
            text.rsplit_once("120 ms ago  ").unwrap().1.trim().to_owned()
        };
        assert_eq!(words("busy", 1, 0), "1 call, running for 42.0 s; 4.2 s ago: killed by SIGKILL");
        let overdue = "3 calls, the oldest running for 42.0 s, 5.0 s past its deadline; 4.2 s ago: killed by SIGKILL";
        assert_eq!(words("busy", 3, 5000), overdue);
        assert_eq!(words("wedged", 1, 5000), "the reason");
        assert_eq!(words("starting", 0, 0), "the reason");
    }

    #[test]
    fn replicas_are_told_apart() {
        let plugin = |replica| {
            json!({
                "name": "text", "replica": replica, "state": "starting", "reason": "started", "state_ms": 4000,
                "restarts": 0, "missed": 0, "dropped_lines": 0,
            })
        };
        let text = shown(&View::Supervised(report(&json!([plugin(0), plugin(1)]))));
        assert!(text.contains("text/0") && text.contains("text/1"), "{text}");
        assert!(shown(&View::Supervised(report(&json!([])))).ends_with("no plugin is configured\n"));
    }
}

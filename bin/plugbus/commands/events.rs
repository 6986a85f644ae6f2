//! `plugbus events`: every change of a plugin's state with its reason, with or without a supervisor.
//!
//! All of it is read from the event log. The supervisor's live word that there is something new only ends the wait for
//! it early; so nothing is missed while no supervisor runs, or while one speaks faster than this listens.

use std::collections::VecDeque;
use std::io::{self, Write};

use plugbus::bus::{BusDir, Subscriber};
use serde::Deserialize;

use super::logs::is_stamp;
use super::signals::until_interrupted;
use crate::args::Events;
use crate::error::CommandError;
use crate::output::{self, BAD, BOLD, DIM, FAIR, GOOD, PLAIN, one_line, visible};
use crate::settings::Settings;
use crate::tail::{Follower, Print};

pub(super) fn run(settings: &Settings, args: &Events) -> Result<(), CommandError> {
    let bus = settings.directory()?;
    settings.logs()?;
    let path = bus.events_log();
    let mut follower = Follower::new(move || vec![(String::new(), path.clone())], args.range);
    let print = EventPrint { json: args.json, plugins: args.plugins.clone() };
    if !args.range.follow {
        return follower.print_all(&print);
    }
    until_interrupted(async {
        let live = tokio::sync::Mutex::new(subscribe(&bus));
        let nudge = || async {
            match live.lock().await.as_mut() {
                // All that waits is in the log as well.
                Some(live) => drop(live.next().await),
                None => std::future::pending().await,
            }
        };
        follower.follow(&print, nudge).await
    })
}

/// Without it the log is looked at often enough.
fn subscribe(bus: &BusDir) -> Option<Subscriber> {
    Subscriber::dial(&bus.events_endpoint().ok()?).ok()
}

struct EventPrint {
    json: bool,
    plugins: Vec<String>,
}

/// One line of the event log, as far as it is shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    at: String,
    event: String,
    plugin: Option<String>,
    replica: u32,
    to: Option<String>,
    reason: String,
    output: Vec<String>,
}

/// What decides whether and in what order a line is shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Head<'a> {
    #[serde(borrow)]
    at: Option<&'a str>,
    #[serde(borrow)]
    plugin: Option<&'a str>,
}

impl<'a> Head<'a> {
    fn of(line: &'a [u8]) -> Self {
        serde_json::from_slice(line).unwrap_or_default()
    }
}

impl Print for EventPrint {
    fn stamp<'a>(&self, line: &'a [u8]) -> Option<&'a str> {
        Head::of(line).at.filter(|stamp| is_stamp(stamp))
    }

    fn wants(&self, line: &[u8]) -> bool {
        self.plugins.is_empty() || Head::of(line).plugin.is_some_and(|name| self.plugins.iter().any(|p| p == name))
    }

    fn selects(&self) -> bool {
        !self.plugins.is_empty()
    }

    fn print(&self, lines: &mut VecDeque<(String, Vec<u8>)>) -> Result<(), CommandError> {
        if lines.is_empty() {
            return Ok(());
        }
        if self.json {
            return output::print_raw(|out| {
                lines.drain(..).try_for_each(|(_, line)| out.write_all(&line).and_then(|()| writeln!(out)))
            });
        }
        let mut text = Vec::new();
        for (_, line) in lines.drain(..) {
            // Writing to a Vec cannot fail.
            let _ = write_event(&mut text, &line);
        }
        output::print(|out| out.write_all(&text))
    }
}

fn write_event(out: &mut Vec<u8>, line: &[u8]) -> io::Result<()> {
    let Ok(event) = serde_json::from_slice::<Event>(line) else {
        return writeln!(out, "{}", one_line(&String::from_utf8_lossy(line)));
    };
    let who = match (&event.plugin, event.replica) {
        (None, _) => "supervisor".to_owned(),
        (Some(name), 0) => one_line(name),
        (Some(name), replica) => format!("{}/{replica}", one_line(name)),
    };
    let state = event.to.as_deref().or((event.event == "flapping").then_some("flapping"));
    write!(out, "{DIM}{}{DIM:#} {BOLD}{who}{BOLD:#} ", one_line(&event.at))?;
    if let Some(state) = state {
        let style = style(state);
        write!(out, "{style}{}{style:#}: ", one_line(state))?;
    }
    writeln!(out, "{}", one_line(&event.reason))?;
    event.output.iter().try_for_each(|line| writeln!(out, "    {DIM}| {}{DIM:#}", visible(line)))
}

fn style(state: &str) -> anstyle::Style {
    match state {
        "ready" => GOOD,
        "failed" | "silent" | "wedged" | "flapping" => BAD,
        "stopped" | "disabled" => PLAIN,
        _ => FAIR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        let mut out = Vec::new();
        write_event(&mut out, line.as_bytes()).unwrap();
        anstream::adapter::strip_bytes(&out).into_vec().try_into().unwrap()
    }

    #[test]
    fn events_in_words() {
        let failed = r#"{"seq":3,"at":"2026-11-22T18:00:00.000Z","event":"state","plugin":"text","replica":1,
            "from":"ready","to":"failed","reason":"exited: no","output":["one","\u001b[2Jtwo"]}"#;
        assert_eq!(
            shown(failed),
            "2026-11-22T18:00:00.000Z text/1 failed: exited: no\n    | one\n    | \\u{1b}[2Jtwo\n"
        );
        assert_eq!(shown(r#"{"at":"x","reason":"started"}"#), "x supervisor started\n");
        assert_eq!(shown(r#"{"event":"flapping","plugin":"a","reason":"r"}"#), " a flapping: r\n");
        assert_eq!(shown("{ half a"), "{ half a\n");
    }

    #[test]
    fn events_of_one_plugin() {
        let print = EventPrint { json: false, plugins: vec!["a".into()] };
        assert!(print.wants(br#"{"plugin":"a"}"#) && print.selects());
        assert!(!print.wants(br#"{"plugin":"b"}"#) && !print.wants(b"{}") && !print.wants(b"garbage"));
        assert_eq!(print.stamp(br#"{"seq":1,"at":"2026-11-22T18:00:00.000Z"}"#), Some("2026-11-22T18:00:00.000Z"));
    }
}

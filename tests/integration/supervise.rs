//! `plugbus supervise` in the foreground, and how it ends.

use std::fs;
use std::process::Stdio;

use rustix::process::Signal;

use crate::support::{Bench, TEXT, eventually, running, send};

/// A plugin that is never ready and does not go when it is asked to.
const STUBBORN: &str = r#"
[plugins.stubborn]
command = ["sh", "-c", "trap '' TERM; sleep 100000 & wait; sleep 100000"]
start_timeout = "1h"
stop_grace = "1h"
"#;

#[test]
fn a_signal_stops_everything_and_leaves_no_process_and_no_endpoint() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut bus = Bench::with_text();
        send(signal, bus.supervisor().id().into());
        assert_eq!(bus.exit(), Some(0), "{signal:?}");
        assert_eq!(running(bus.path()), [], "{signal:?}");
        let names = fs::read_dir(bus.path().join("default")).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = names.filter(|name| !["lock", "log", "state"].iter().any(|known| name == known)).collect();
        assert!(left.is_empty(), "{signal:?}: {left:?}");
    }
}

#[test]
fn a_second_signal_stops_by_force() {
    let mut bus = Bench::supervise(STUBBORN);
    eventually("the plugin runs", || bus.plugin()["pid"].as_u64());
    let supervisor = bus.supervisor().id().into();
    send(Signal::INT, supervisor);
    eventually("it is being stopped", || (bus.plugin()["state"] == "stopping").then_some(()));
    send(Signal::INT, supervisor);
    assert_eq!(bus.exit(), Some(1));
    eventually("no process is left", || running(bus.path()).is_empty().then_some(()));
}

#[test]
fn a_terminal_that_takes_nothing_more_holds_nothing_up() {
    let mut bus = Bench::empty();
    let flood =
        "[plugins.flood]\ncommand = [\"yes\", \"one line of many lines of many lines\"]\nstart_timeout = \"1h\"\n";
    let config = bus.write("plugbus.toml", &format!("{TEXT}{flood}"));
    let mut supervise = bus.plugbus(&["supervise", "-c", &config]);
    bus.start(supervise.stderr(Stdio::piped()));
    // More than a pipe holds and the lines that may wait for it.
    let log = bus.path().join("default/log/flood.log");
    eventually("the plugin has printed much", || fs::metadata(&log).ok().filter(|found| found.len() > 4 << 20));
    assert_eq!(bus.stdout(&["call", "revert", "ab"]), "ba\n");
    assert_eq!(bus.json(&["survey"])["answers"][0]["name"], "text");
    send(Signal::TERM, bus.supervisor().id().into());
    assert_eq!(bus.exit(), Some(0));
}

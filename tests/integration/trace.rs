//! What can be seen of calls: the wire trace, and the traces that calls are part of.

use std::fs;
use std::process::Command;

use plugbus::bus::Lane;

use crate::support::{Bench, PATIENT, Stage, TEXT, eventually, sdk_plugin};

/// Whether a line says that such a message went that way.
fn shows(said: &str, parts: &[&str]) -> bool {
    said.lines().any(|line| parts.iter().all(|part| line.contains(part)))
}

#[test]
fn a_call_shows_its_request_and_its_reply_and_nothing_else_changes() {
    for lane in Lane::ALL {
        let config = format!("bus.lane = '{}'\n{TEXT}", lane.name());
        let bench = Bench::supervise(&config);
        let mut call = bench.plugbus(&["call", "text.revert", "--timeout", "30s", "ab\u{9b}c"]);
        let called = call.env("PLUGBUS_TRACE", "wire").env("PLUGBUS_LANE", lane.name()).output().unwrap();
        assert_eq!(String::from_utf8(called.stdout).unwrap(), "c\u{9b}ba\n");
        let said = String::from_utf8(called.stderr).unwrap();
        let request = [" plugbus[", "] -> text.", ".ipc #", " bytes {\"v\":1,\"method\":\"revert\",\"params\":"];
        assert!(shows(&said, &request), "{said}");
        assert!(shows(&said, &["] <- text.", ".ipc #", " bytes {\"v\":1,\"result\":"]), "{said}");
        // What a terminal would obey is spelled out.
        assert!(!said.contains('\u{9b}'), "{said}");
    }
}

#[test]
fn supervisor_and_plugins_show_their_side() {
    let mut bench = Bench::empty();
    let config = bench.write("plugbus.toml", &format!("{TEXT}env = {{ PLUGBUS_TRACE = 'wire' }}\n"));
    let said = bench.path().join("said");
    let mut supervise = bench.plugbus(&["supervise", "-c", &config]);
    supervise.env("PLUGBUS_TRACE", "wire").stderr(fs::File::create(&said).unwrap());
    bench.start(&mut supervise);
    bench.expect(&["call", "text.revert", "ab"], 0);
    let said = fs::read_to_string(said).unwrap();
    assert!(shows(&said, &["] -> survey.ipc #", "\"want\":"]), "{said}");
    assert!(shows(&said, &["] <- pid ", "\"state\":\"ready\""]), "{said}");
    assert!(shows(&said, &["] -> subscribers #", " bytes "]), "{said}");
    for parts in [
        [" text[", "] <- pid ", "\"method\":\"revert\",\"params\":\"ab\""],
        [" text[", "] -> pid ", "\"result\":\"ba\""],
        [" text[", "] <- pid ", "\"round\":"],
        [" text[", "] -> pid ", "\"state\":\"ready\""],
    ] {
        eventually("the plugin shows it", || shows(&bench.stdout(&["logs", "text"]), &parts).then_some(()));
    }
}

#[test]
fn what_it_cannot_be_is_said_once() {
    let bench = Bench::with_text();
    let called = bench.plugbus(&["call", "text.revert", "ab"]).env("PLUGBUS_TRACE", "wires").output().unwrap();
    assert_eq!(called.stdout, b"ba\n");
    let said = String::from_utf8(called.stderr).unwrap();
    assert_eq!(said.matches("$PLUGBUS_TRACE is \"wires\", it can only be `wire`").count(), 1, "{said}");
}

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn a_trace_goes_with_the_call_as_a_span_of_its_own() {
    let bench = Bench::with_text();
    let call = |options: &[&str], variable: &str| {
        let mut call = bench.plugbus(&[&["call", "text.revert", "ab"], options].concat());
        let called = call.env("PLUGBUS_TRACE", "wire").env("TRACEPARENT", variable).output().unwrap();
        (called.status.code(), String::from_utf8(called.stderr).unwrap())
    };
    for (options, variable) in
        [(&["--traceparent", PARENT][..], ""), (&[], PARENT), (&["--traceparent", PARENT], "x")]
    {
        let (code, said) = call(options, variable);
        assert_eq!(code, Some(0), "{said}");
        let request = ["] -> text.", "\"method\":\"revert\"", "\"meta\":{\"traceparent\":\"", TRACE, "-01\""];
        assert!(shows(&said, &request) && !said.contains(PARENT), "{said}");
    }
    let (code, said) = call(&["--traceparent", "00-a-b-01"], "");
    assert_eq!(code, Some(2), "{said}");
    let (code, said) = call(&[], "00-a-b-01");
    assert!(code == Some(0) && said.contains("$TRACEPARENT is not heeded") && !said.contains("meta"), "{said}");
    let (code, said) = call(&[], "");
    assert!(code == Some(0) && !said.contains("meta"), "{said}");
}

#[test]
fn a_handler_sees_its_trace_and_whoever_listens_sees_a_span() {
    let stage = Stage::start(&(PATIENT.to_owned() + &sdk_plugin("sdk", "")));
    stage.ready("sdk");
    let plugbus = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plugbus"));
        command.args(arguments).env("PLUGBUS_DIR", stage.scratch()).env_remove("TRACEPARENT");
        let done = command.output().unwrap();
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    assert_eq!(plugbus(&["call", "sdk.traceparent", "-o", "json"]), "null\n");
    let seen = plugbus(&["call", "sdk.traceparent", "--traceparent", PARENT]);
    let seen = seen.trim();
    assert!(seen.starts_with(TRACE) && seen.len() == PARENT.len() && seen != PARENT, "{seen}");
    let span = ["serve{", "plugin=\"sdk\"", "method=\"traceparent\"", seen];
    eventually("the span is shown", || shows(&plugbus(&["logs", "sdk"]), &span).then_some(()));
    // What the handler calls is of the same trace, and a span of its own.
    for relay in ["sdk.relay", "sdk.relay_async"] {
        let inner = plugbus(&["call", relay, "--json", "[\"sdk.traceparent\", null]", "--traceparent", PARENT]);
        let inner = inner.trim();
        assert!(inner.starts_with(TRACE) && inner.len() == PARENT.len(), "{relay}: {inner}");
        let outer = |line: &str| {
            let method = relay.strip_prefix("sdk.").unwrap();
            shows(line, &["serve{", &format!("method=\"{method}\""), TRACE]) && !line.contains(inner)
        };
        eventually("both spans are shown", || {
            let said = plugbus(&["logs", "sdk"]);
            (said.lines().any(outer) && shows(&said, &["serve{", "method=\"traceparent\"", inner])).then_some(())
        });
    }
}

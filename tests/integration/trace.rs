//! The wire trace: what travels, as lines for people.

use std::fs;

use plugbus::bus::Lane;

use crate::support::{Bench, TEXT, eventually};

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

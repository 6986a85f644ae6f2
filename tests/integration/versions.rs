//! Versions of the protocol: a mismatch names both sides, and older plugins go on.

use std::process::Command;

use crate::support::{Bench, Stage};

#[test]
fn a_plugin_of_another_protocol_says_so_and_ends() {
    let stage = Stage::empty();
    let start = |oldest: &str, newest: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plugbus-text"));
        let url = |file: &str| format!("ipc://{}", stage.bus().path().join(file).display());
        command.env("PLUGBUS_PROTOCOL", oldest).env_remove("PLUGBUS_PROTOCOL_MAX");
        command.envs(newest.map(|newest| ("PLUGBUS_PROTOCOL_MAX", newest)));
        command.env("PLUGBUS_NAME", "text").env("PLUGBUS_INSTANCE", "abcdefghij");
        command.env("PLUGBUS_CALL_URL", url("text.abcdefghij.ipc")).env("PLUGBUS_SURVEY_URL", url("survey.ipc"));
        command.output().unwrap()
    };
    for (oldest, newest, theirs) in [("2", None, "protocol 2"), ("2", Some("4"), "protocols 2 to 4")] {
        let ended = start(oldest, newest);
        let said = String::from_utf8(ended.stderr).unwrap();
        let expected = format!("the supervisor speaks {theirs}, this plugin protocol 1; rebuild the plugin");
        assert!(!ended.status.success() && said.contains(&expected), "{said}");
    }
}

#[test]
fn plugbus_call_names_both_versions_and_sends_nothing() {
    let bus = Bench::with_text();
    let directory = bus.path().join("default");
    let mut found = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
    let is_card = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("text.") && name.ends_with(".json")
    };
    let path = found.find(is_card).expect("its card");
    let mut card: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!((&card["protocol"], card.get("protocol_max")), (&1.into(), None), "as older callers expect it");
    (card["protocol"], card["protocol_max"]) = (2.into(), 3.into());
    std::fs::write(&path, card.to_string()).unwrap();
    let ran = bus.expect(&["call", "text.revert", "ab"], 5);
    let expected = "text speaks protocols 2 to 3, this program protocol 1: upgrade this program";
    assert!(ran.stderr.contains(expected), "{ran:?}");
}

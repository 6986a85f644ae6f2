//! Orders to single plugins while all others run, and that they hold.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Bench, Stage, eventually, misbehaving, send, signal, text_plugin};

const TWO: &str = r#"
[defaults]
backoff = { min = "20ms", max = "1s", reset = "1s" }
[plugins.text]
command = ["plugbus-text"]
[plugins.other]
command = ["plugbus-text"]
[plugins.off]
command = ["plugbus-text"]
enabled = false
"#;

fn two() -> Bench {
    let bench = Bench::supervise(TWO);
    bench.expect(&["start", "text", "other"], 0);
    bench
}

fn plugin(bench: &Bench, name: &str) -> Value {
    let plugins = bench.json(&["status"])["plugins"].take();
    let found = plugins.as_array().unwrap().iter().find(|plugin| plugin["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {plugins}")).clone()
}

fn state(bench: &Bench, name: &str) -> String {
    plugin(bench, name)["state"].as_str().unwrap().to_owned()
}

#[test]
fn start_stop_and_restart_are_done_when_they_return_and_touch_nobody_else() {
    let bench = two();
    let (text, other) = (plugin(&bench, "text"), plugin(&bench, "other"));
    let said = bench.stdout(&["restart", "text"]);
    assert!(said.starts_with("text is ready, process "), "{said}");
    let again = plugin(&bench, "text");
    assert_ne!(again["pid"], text["pid"]);
    assert_eq!(again["restarts"], 0, "a commanded restart is no crash");
    bench.expect(&["stop", "te*"], 0);
    assert_eq!(state(&bench, "text"), "stopped");
    let refused = bench.expect(&["call", "text.revert", "ab"], 5);
    assert!(refused.stderr.contains("stopped"), "{refused:?}");
    bench.expect(&["start", "text"], 0);
    assert_eq!(bench.stdout(&["call", "text.revert", "ab"]), "ba\n");
    assert_eq!(plugin(&bench, "other")["pid"], other["pid"]);
}

#[test]
fn what_an_operator_stopped_or_disabled_stays_so_over_a_reload_and_a_new_supervisor() {
    let mut bench = two();
    bench.expect(&["stop", "text"], 0);
    bench.expect(&["disable", "other"], 0);
    bench.expect(&["reload"], 0);
    assert_eq!((state(&bench, "text"), state(&bench, "other")), ("stopped".into(), "disabled".into()));
    for end in [Signal::KILL, Signal::TERM] {
        send(end, bench.supervisor().id().into());
        bench.exit();
        let config = bench.path().join("plugbus.toml");
        bench.start(&mut bench.plugbus(&["supervise", "-c", config.to_str().unwrap()]));
        assert_eq!((state(&bench, "text"), state(&bench, "other")), ("stopped".into(), "disabled".into()), "{end:?}");
    }
    bench.expect(&["start", "*"], 0);
    assert_eq!((state(&bench, "text"), state(&bench, "other")), ("ready".into(), "disabled".into()));
    bench.expect(&["enable", "other"], 0);
    assert_eq!((state(&bench, "other"), state(&bench, "off")), ("ready".into(), "disabled".into()));
}

#[test]
fn a_disabled_one_is_started_by_name_alone() {
    let bench = two();
    assert_eq!(state(&bench, "off"), "disabled");
    bench.expect(&["restart", "*"], 0);
    assert_eq!(state(&bench, "off"), "disabled");
    bench.expect(&["start", "off"], 0);
    assert_eq!(state(&bench, "off"), "ready");
    bench.expect(&["stop", "off"], 0);
    assert_eq!(state(&bench, "off"), "disabled");
    bench.expect(&["start", "off"], 0);
    bench.expect(&["disable", "off"], 0);
    assert_eq!(state(&bench, "off"), "disabled");
}

#[test]
fn plugins_are_scaled_added_and_removed_and_that_is_remembered() {
    let mut bench = two();
    let first = plugin(&bench, "text")["pid"].clone();
    bench.expect(&["scale", "text", "3"], 0);
    bench.expect(&["add", "extra", "--env", "A=b", "--", "plugbus-text"], 0);
    bench.expect(&["remove", "other"], 0);
    let names = |bench: &Bench| -> Vec<String> {
        let plugins = bench.json(&["status"])["plugins"].take();
        let label = |plugin: &Value| format!("{}/{}", plugin["name"].as_str().unwrap(), plugin["replica"]);
        plugins.as_array().unwrap().iter().map(label).collect()
    };
    let mut seen = names(&bench);
    seen.sort();
    let expected = ["extra/0", "off/0", "text/0", "text/1", "text/2"];
    assert_eq!(seen, expected);
    assert_eq!(plugin(&bench, "text")["pid"], first);
    assert_eq!(bench.stdout(&["call", "extra.revert", "ab"]), "ba\n");
    send(Signal::TERM, bench.supervisor().id().into());
    bench.exit();
    let config = bench.path().join("plugbus.toml");
    bench.start(&mut bench.plugbus(&["supervise", "-c", config.to_str().unwrap()]));
    let mut seen = names(&bench);
    seen.sort();
    assert_eq!(seen, expected);
    bench.expect(&["scale", "text", "1"], 0);
    bench.expect(&["remove", "extra"], 0);
    bench.expect(&["add", "other"], 0);
    let mut seen = names(&bench);
    eventually("those that are too many are gone", || {
        seen = names(&bench);
        seen.sort();
        (seen == ["off/0", "other/0", "text/0"]).then_some(())
    });
}

#[test]
fn a_wrong_order_says_what_is_wrong_and_changes_nothing() {
    let bench = two();
    for (args, code, words) in [
        (&["stop", "txt"][..], 4, "did you mean text?"),
        (&["restart", "z*"], 4, "no plugin \"z*\""),
        (&["start", "[a"], 2, "no pattern"),
        (&["stop"], 2, "| --supervisor"),
        (&["scale", "text", "0"], 2, "1 to 64"),
        (&["scale", "nobody", "2"], 4, "nobody"),
        (&["add", "text", "--", "plugbus-text"], 2, "already"),
        (&["add", "supervisor", "--", "plugbus-text"], 2, "supervisor's own name"),
        (&["add", "Bad", "--", "plugbus-text"], 2, "Bad"),
        (&["add", "nothing"], 2, "needs a command"),
        (&["add", "x", "--", "plugbus-txt"], 2, "plugbus-text"),
    ] {
        let ran = bench.expect(args, code);
        assert!(ran.stderr.contains(words), "{args:?}: {ran:?}");
    }
    assert_eq!((state(&bench, "text"), state(&bench, "other")), ("ready".into(), "ready".into()));
    assert!(!bench.path().join("default/state/operator.json").exists());
}

#[test]
fn an_order_that_fails_says_so_at_once() {
    let bench = two();
    let ran = bench.expect(&["add", "broken", "--", "sh", "-c", "echo out of cheese >&2; exit 3"], 1);
    assert!(ran.stdout.contains("backing-off") && ran.stdout.contains("out of cheese"), "{ran:?}");
}

#[test]
fn while_one_takes_long_to_stop_all_else_is_answered() {
    let config = misbehaving("stubborn", "ignore-term", "stop_grace = '1h'") + &text_plugin("");
    let stage = Stage::start(&config);
    let before = stage.ready("text");
    stage.ready("stubborn");
    let bus = stage.caller();
    let ask = |method: &str, params: Value| -> Value {
        bus.request(method).plugin("supervisor").timeout(crate::support::LONG).call(&params).unwrap()
    };
    let stopping = ask("stop", serde_json::json!({"names": ["stubborn"], "wait": false}));
    assert_eq!(stopping["plugins"][0]["state"], "stopping");
    ask("restart", serde_json::json!({"names": ["text"]}));
    assert_ne!(stage.ready("text").pid, before.pid);
    let stubborn = stage.plugin("stubborn");
    assert_eq!(stubborn.state.as_str(), "stopping");
    signal(stubborn.pid.unwrap(), Signal::KILL);
    stage.until("stubborn", |plugin| plugin.state.as_str() == "stopped");
}

#[test]
fn stop_without_names_is_for_the_supervisor_and_waits_for_its_end() {
    let mut bench = two();
    bench.expect(&["stop", "--supervisor"], 0);
    assert_eq!(bench.exit(), Some(0));
    bench.expect(&["status"], 5);
}

#[test]
fn the_supervisor_itself_is_restarted_and_no_plugin_notices() {
    let mut bench = two();
    let pids = |bench: &Bench| [plugin(bench, "text")["pid"].clone(), plugin(bench, "other")["pid"].clone()];
    let (before, supervisor) = (pids(&bench), bench.supervisor().id());
    bench.expect(&["restart", "supervisor"], 0);
    bench.expect(&["start", "text", "other"], 0);
    assert_eq!(pids(&bench), before);
    assert_eq!(bench.json(&["status"])["pid"], supervisor);
    // With a configuration that its successor could not read, it stays.
    bench.write("plugbus.toml", "[plugins.text]\ncommand = 7\n");
    let ran = bench.expect(&["restart", "supervisor"], 3);
    assert!(ran.stderr.contains("plugins.text.command"), "{ran:?}");
    assert_eq!(pids(&bench), before);
}

//! A configuration that is read anew while its plugins run.

use std::collections::BTreeMap;
use std::fs;
use std::thread;

use plugbus::bus::Lane;
use plugbus::supervisor::ReloadReport;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Bench, LONG, Stage, eventually, send, text_plugin};

fn config(plugins: &[(&str, &str)]) -> String {
    let section = |(name, more): &(&str, &str)| format!("[plugins.{name}]\ncommand = ['plugbus-text']\n{more}\n");
    plugins.iter().map(section).collect()
}

/// The process of each plugin.
fn pids(bench: &Bench) -> BTreeMap<String, u64> {
    let plugins = bench.json(&["status"])["plugins"].take();
    let pid = |plugin: &Value| Some((plugin["name"].as_str()?.to_owned(), plugin["pid"].as_u64()?));
    plugins.as_array().unwrap().iter().filter_map(pid).collect()
}

const OLD: [(&str, &str); 5] = [("a", ""), ("b", ""), ("c", ""), ("d", ""), ("e", "")];

fn running() -> Bench {
    let bench = Bench::supervise(&config(&OLD));
    bench.expect(&["start", "*"], 0);
    bench
}

#[test]
fn exactly_what_changed_is_touched_and_a_plan_says_so_before() {
    let bench = running();
    let before = pids(&bench);
    // One is gone, one is new, one has another policy, one another environment.
    bench.write(
        "plugbus.toml",
        &config(&[("b", ""), ("c", "stop_grace = '7s'"), ("d", "env.A = 'b'"), ("e", ""), ("n", "")]),
    );
    let planned = bench.json(&["reload", "--plan"]);
    let expected = json!({
        "added": ["n"], "removed": ["a"], "restarted": ["d"], "changed": ["c"], "scaled": [], "enabled": [],
        "disabled": [], "unchanged": 2, "settings": [],
    });
    assert_eq!(planned, expected);
    assert_eq!(pids(&bench), before, "a plan changes nothing");
    assert_eq!(bench.json(&["reload"]), expected);
    bench.expect(&["start", "d", "n"], 0);
    let after =
        eventually("the one that is gone has stopped", || Some(pids(&bench)).filter(|pids| !pids.contains_key("a")));
    for name in ["b", "c", "e"] {
        assert_eq!(after[name], before[name], "{name}");
    }
    assert_ne!(after["d"], before["d"]);
    let log = fs::read_to_string(bench.path().join("default/log/supervisor.events.jsonl")).unwrap();
    let events: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let changes =
        |name: &str, to: &str| events.iter().filter(|event| event["plugin"] == name && event["to"] == to).count();
    assert_eq!(["a", "b", "c", "d", "e"].map(|name| changes(name, "stopping")), [1, 0, 0, 1, 0]);
    assert_eq!(["b", "c", "d", "e", "n"].map(|name| changes(name, "starting")), [1, 1, 2, 1, 1]);
    assert_eq!(bench.json(&["reload"])["unchanged"], 5);
}

#[test]
fn a_bad_configuration_leaves_what_runs_as_it_is() {
    let bench = running();
    let before = pids(&bench);
    bench.write("plugbus.toml", "[plugins.a]\ncommand = ['plugbus-text']\nreplicsa = 2\n[plugins.x]\n");
    let ran = bench.expect(&["reload"], 3);
    for words in ["plugbus.toml:3:1: plugins.a.replicsa", "did you mean \"replicas\"?", "plugins.x"] {
        assert!(ran.stderr.contains(words), "{words}: {ran:?}");
    }
    assert_eq!(pids(&bench), before);
    bench.write("plugbus.toml", &config(&OLD));
    assert_eq!(bench.json(&["reload"])["unchanged"], 5);
}

#[test]
fn sighup_reloads_and_ends_nothing() {
    let mut bench = running();
    let before = pids(&bench);
    bench.write("plugbus.toml", &config(&[&OLD[..], &[("n", "")]].concat()));
    send(Signal::HUP, bench.supervisor().id().into());
    let after = eventually("the new one runs", || Some(pids(&bench)).filter(|pids| pids.contains_key("n")));
    assert!(before.iter().all(|(name, pid)| after[name] == *pid), "{before:?} {after:?}");
}

#[test]
fn what_holds_for_the_whole_bus_waits_for_the_supervisor_but_survey_and_logs_change_at_once() {
    let bench = running();
    bench.write("plugbus.toml", &(config(&OLD) + "[survey]\nmisses = 7\n[log]\nkeep = 9\n[bus]\nname = 'another'\n"));
    let report = bench.json(&["reload"]);
    assert_eq!(report["settings"], json!(["[bus]"]));
    let other = Lane::ALL.into_iter().find(|lane| *lane != Lane::chosen()).unwrap();
    bench.write("plugbus.toml", &(config(&OLD) + &format!("[bus]\nlane = '{}'\n", other.name())));
    // Where the variable decides, what the file says of it changes nothing.
    let settings = if Lane::asked_for().is_some() { json!([]) } else { json!(["[bus]"]) };
    let report = bench.json(&["reload"]);
    assert_eq!(report["settings"], settings);
    assert_eq!(report["unchanged"], 5);
}

#[test]
fn a_thousand_reloads_at_once_are_few_readings() {
    let stage = Stage::spawn(&text_plugin(""));
    let before = stage.ready("text");
    let bus = stage.caller();
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let bus = bus.clone();
            thread::spawn(move || {
                for _ in 0..4 {
                    let report: Result<ReloadReport, _> =
                        bus.request("reload").plugin("supervisor").timeout(LONG).call(&());
                    assert_eq!(report.unwrap().unchanged, 1);
                }
            })
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    assert_eq!(stage.ready("text").pid, before.pid);
}

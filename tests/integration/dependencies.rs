//! Plugins that come after others, and plugins that need others.

use std::time::Duration;

use plugbus::host::CallError;
use plugbus::supervisor::UnitState;
use rustix::process::Signal;

use crate::support::{Bench, LONG, PATIENT, Stage, eventually, misbehaving, signal};

/// The events that tell of a change, as `plugin state`, in their order.
fn changes(stage: &Stage) -> Vec<String> {
    let events = stage.events().into_iter().filter(|event| event["to"].is_string());
    events.map(|event| format!("{} {}", event["plugin"].as_str().unwrap(), event["to"].as_str().unwrap())).collect()
}

#[track_caller]
fn assert_order(changes: &[String], wanted: &[&str]) {
    let mut rest = changes.iter();
    for change in wanted {
        assert!(rest.any(|found| found == change), "no {change:?} in its place: {changes:?}");
    }
}

#[test]
fn they_start_in_order_and_stop_in_reverse_and_each_waits_for_the_one_before() {
    let config = PATIENT.to_owned()
        + &misbehaving("web", "ignore-term", "requires = ['db']\nstop_grace = '400ms'")
        + &misbehaving("late", "", "after = ['web']")
        + &misbehaving("db", "ready-after=0.5", "");
    let mut stage = Stage::start(&config);
    let waiting = stage.until("web", |plugin| plugin.reason == "waits for db");
    assert_eq!((waiting.state, waiting.pid), (UnitState::Starting, None));
    stage.ready("late");
    // The log is written by a thread of its own.
    let logged = || Some(changes(&stage)).filter(|changes| changes.iter().any(|change| change == "late ready"));
    assert_order(&eventually("the log has it", logged), &["db ready", "web ready", "late ready"]);
    stage.stop_without_trace();
    assert_order(&changes(&stage), &["late stopped", "web stopped", "db stopped"]);
    let reason = stage.reasons("db", "stopping").pop().unwrap();
    assert_eq!(reason, "asked to stop; first web, that depend on it, have to be gone");
    // Nobody was in a hurry: it was told to end only when the one that needs it was killed.
    assert!(stage.reasons("web", "stopped")[0].contains("ignored SIGTERM"));
}

#[test]
fn whoever_runs_goes_on_through_restarts_of_what_it_requires_and_whoever_starts_waits_through_them() {
    let slowly = "backoff = { min = '1s', max = '1s', jitter = 0 }";
    let config = PATIENT.to_owned()
        + &misbehaving("db", "", slowly)
        + &misbehaving("web", "", "requires = ['db']")
        + &misbehaving("other", "", "after = ['db']");
    let stage = Stage::start(&config);
    let (mut db, web, other) = (stage.ready("db"), stage.ready("web"), stage.ready("other"));
    // The first restart is immediate, the second one is not.
    for _ in 0..2 {
        signal(db.pid.unwrap(), Signal::KILL);
        db = stage.until("db", |plugin| plugin.restarts > db.restarts || plugin.state == UnitState::BackingOff);
        if db.state != UnitState::BackingOff {
            db = stage.ready("db");
        }
    }
    assert_eq!((stage.plugin("web").pid, stage.plugin("other").pid), (web.pid, other.pid), "they went on");
    signal(web.pid.unwrap(), Signal::KILL);
    signal(other.pid.unwrap(), Signal::KILL);
    let waiting = stage.until("web", |plugin| plugin.restarts == 1);
    assert_eq!((waiting.state, &*waiting.reason), (UnitState::Starting, "waits for db"));
    stage.ready_again(&other);
    assert_eq!(stage.plugin("db").pid, None, "order alone waits for no restart");
    // A caller waits with it.
    assert_eq!(stage.caller().request("web.echo").timeout(LONG).call::<String, _>("ab").unwrap(), "ab");
}

#[test]
fn nobody_goes_on_without_what_it_requires() {
    let config = PATIENT.to_owned()
        + &misbehaving("web", "", "requires = ['db']")
        + &misbehaving("db", "exit-when-ready=1", "restart = 'never'");
    let stage = Stage::start(&config);
    let waiting = stage.until("web", |plugin| plugin.reason == "waits for db, which is failed");
    assert_eq!((waiting.state, waiting.pid, waiting.restarts), (UnitState::Starting, None, 0));
    if let Some(reason) = stage.reasons("web", "stopping").pop() {
        assert_eq!(reason, "it requires db, which is failed");
    }
    let begun = std::time::Instant::now();
    let refused = stage.caller().request("web.echo").timeout(LONG).call::<String, _>("ab").unwrap_err();
    assert!(begun.elapsed() < LONG / 2, "whoever calls it is told at once");
    assert!(refused.to_string().contains("waits for db, which is failed"), "{refused}");
    assert!(!matches!(refused, CallError::Deadline { .. }), "{refused}");
}

const CHAIN: &str = r#"
[plugins.web]
command = ["plugbus-text"]
requires = ["db"]
[plugins.late]
command = ["plugbus-text"]
after = ["db"]
[plugins.db]
command = ["plugbus-text"]
"#;

#[test]
fn orders_reach_those_who_depend_on_each_other_in_order() {
    let bench = Bench::supervise(CHAIN);
    let plugin = |name: &str| {
        let plugins = bench.json(&["status"])["plugins"].take();
        plugins.as_array().unwrap().iter().find(|plugin| plugin["name"] == name).unwrap().clone()
    };
    bench.expect(&["start", "*"], 0);
    let (web, late, db) = (plugin("web"), plugin("late"), plugin("db"));
    bench.expect(&["restart", "db"], 0);
    assert_ne!(plugin("db")["pid"], db["pid"]);
    assert_eq!((&plugin("web")["pid"], &plugin("late")["pid"]), (&web["pid"], &late["pid"]), "they went on");
    bench.expect(&["stop", "db"], 0);
    let waiting = plugin("web");
    assert_eq!((&waiting["state"], &waiting["pid"]), (&"starting".into(), &serde_json::Value::Null));
    assert_eq!(waiting["reason"], "waits for db, which is stopped");
    assert_eq!(plugin("late")["pid"], late["pid"], "order alone needs nobody");
    // Whoever waits for it, or calls it, is told at once what it lacks.
    let refused = bench.expect(&["call", "web.revert", "ab"], 5);
    assert!(refused.stderr.contains("waits for db, which is stopped"), "{refused:?}");
    let started = bench.run(&["start", "web"]);
    assert_ne!(started.code, 0, "{started:?}");
    bench.expect(&["start", "db"], 0);
    assert_eq!(bench.stdout(&["call", "web.revert", "ab"]), "ba\n");
    assert_eq!(plugin("web")["restarts"], 0);
}

#[test]
fn a_library_is_told_of_circles_and_of_names_that_are_not_there() {
    let stage = Stage::empty();
    let config = PATIENT.to_owned() + &misbehaving("a", "", "after = ['b']") + &misbehaving("b", "", "");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (needed, words) in [("a", "plugin \"a\" cannot be run: it waits for itself: a → b → a"), ("c", "\"c\"")] {
        let mut spec = stage.spec(&config);
        spec.plugins[1].requires = vec![needed.into()];
        let refused = runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(30), plugbus::supervisor::Supervisor::start(spec)).await
        });
        let refused = refused.unwrap().unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
}

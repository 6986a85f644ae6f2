//! Wanted up and not in backoff means running, and every change of state has its reason in the event log.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use plugbus::bus::ProcessId;
use plugbus::supervisor::UnitState;
use rustix::process::Signal;

use crate::support::{QUICK, Stage, misbehaving, signal, text_plugin};

fn config() -> String {
    let quickly = "backoff = { min = '20ms', max = '100ms' }\n";
    QUICK.to_owned()
        + &text_plugin(&format!("replicas = 2\n{quickly}"))
        + &misbehaving("crash", "exit-when-ready=1", quickly)
        + &misbehaving("mute", "mute", &format!("{quickly}start_timeout = '500ms'"))
        + "[plugins.missing]\ncommand = ['/no/such/program']\nbackoff = { min = '20ms', max = '100ms' }\n"
}

#[test]
fn invariant_7_who_is_wanted_and_not_backing_off_runs() {
    let stage = Stage::start(&config());
    stage.ready("text");
    let end = Instant::now() + Duration::from_secs(3);
    let mut signals = [Signal::KILL, Signal::STOP, Signal::TERM].into_iter().cycle();
    let mut next_hit = Instant::now();
    // For how long a unit has been seen without a process that it should have had.
    let mut without: BTreeMap<(String, u32), Instant> = BTreeMap::new();
    while Instant::now() < end {
        for plugin in stage.status().plugins {
            let key = (plugin.name.clone(), plugin.replica);
            let alive = plugin.pid.and_then(ProcessId::of).is_some_and(ProcessId::is_alive);
            match plugin.state {
                UnitState::BackingOff => {
                    assert!(plugin.restart_in_ms.unwrap() <= 100, "{plugin:?}");
                    without.remove(&key);
                }
                state => {
                    assert!(state.is_running(), "given up: {plugin:?}");
                    let since = *without.entry(key.clone()).or_insert_with(Instant::now);
                    // A process is on its way in or out for a moment; a machine under load makes it long.
                    assert!(alive || since.elapsed() < Duration::from_secs(10), "runs not: {plugin:?}");
                    if alive {
                        without.remove(&key);
                    }
                }
            }
            if plugin.name == "text" && plugin.state == UnitState::Ready && alive && Instant::now() > next_hit {
                signal(plugin.pid.unwrap(), signals.next().unwrap());
                next_hit = Instant::now() + Duration::from_millis(150);
            }
        }
    }
    stage.ready("text");
}

#[test]
fn invariant_7_every_change_of_state_has_its_reason_in_the_event_log() {
    let mut stage = Stage::start(&config());
    let mut before = stage.ready("text");
    for hit in [Signal::KILL, Signal::STOP, Signal::TERM] {
        signal(before.pid.unwrap(), hit);
        before = stage.ready_again(&before);
    }
    stage.until("crash", |plugin| plugin.restarts >= 2);
    stage.until("mute", |plugin| plugin.restarts >= 1);
    let states: BTreeMap<_, _> = stage
        .status()
        .plugins
        .into_iter()
        .map(|plugin| ((plugin.name, u64::from(plugin.replica)), plugin.restarts))
        .collect();
    stage.stop_without_trace();

    let mut now: BTreeMap<(String, u64), (String, u64)> = BTreeMap::new();
    for event in stage.events() {
        let Some(to) = event["to"].as_str() else { continue };
        let key = (event["plugin"].as_str().unwrap().to_owned(), event["replica"].as_u64().unwrap());
        let (state, restarts) = now.entry(key).or_insert(("stopped".into(), 0));
        assert_eq!(event["from"], state.as_str(), "a change is missing before {event}");
        assert!(event["reason"].as_str().is_some_and(|reason| reason.len() > 3), "no reason: {event}");
        assert!(event["at"].as_str().is_some_and(|at| at.ends_with('Z')), "no time: {event}");
        *restarts += u64::from(state == "backing-off" && to == "starting");
        *state = to.to_owned();
    }
    assert_eq!(now.len(), 5);
    for (unit, (state, restarts)) in now {
        assert_eq!(state, "stopped", "{unit:?}");
        assert!(restarts >= states[&unit], "{unit:?}: {restarts} restarts told, {} counted", states[&unit]);
    }
}

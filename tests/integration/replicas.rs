//! Several instances of one plugin share its calls, and stand in for each other.

use std::collections::BTreeSet;
use std::thread;

use plugbus::host::CallError;
use plugbus::host::blocking::Bus;
use plugbus::supervisor::UnitState;
use rustix::process::Signal;
use serde_json::json;

use crate::support::{LONG, PATIENT, Stage, eventually, signal, text_plugin};

/// Calls that each of three instances has answered with a result, by the first survey that hears all of them.
fn done(stage: &Stage) -> Vec<u64> {
    let done = || stage.survey().answers.iter().map(|answer| answer.load.done).collect();
    eventually("a survey with three answers", || Some(done()).filter(|done: &Vec<u64>| done.len() == 3))
}

fn slow_revert(bus: &Bus) -> String {
    bus.request("slow_revert").timeout(LONG).call(&json!({"text": "ab", "ms": 300})).unwrap()
}

#[test]
fn calls_at_once_go_to_different_instances() {
    let stage = Stage::start(&(PATIENT.to_owned() + &text_plugin("replicas = 3")));
    eventually("three cards", || (stage.cards().len() == 3).then_some(()));
    let bus = stage.caller();
    let callers: Vec<_> = (0..6)
        .map(|_| {
            let bus = bus.clone();
            thread::spawn(move || slow_revert(&bus))
        })
        .collect();
    callers.into_iter().for_each(|caller| assert_eq!(caller.join().unwrap(), "ba"));
    let done = done(&stage);
    assert!(done.len() == 3 && done.iter().all(|done| *done > 0), "{done:?}");
    assert_eq!(done.iter().sum::<u64>(), 6);
}

#[test]
fn idle_instances_share_calls_that_come_one_by_one() {
    let stage = Stage::start(&(PATIENT.to_owned() + &text_plugin("replicas = 3")));
    eventually("three cards", || (stage.cards().len() == 3).then_some(()));
    let bus = stage.caller();
    for _ in 0..30 {
        assert_eq!(bus.request("revert").timeout(LONG).call::<String, _>("ab").unwrap(), "ba");
    }
    assert_eq!(done(&stage), [10, 10, 10]);
}

#[test]
fn when_one_dies_the_others_serve() {
    let config = PATIENT.to_owned() + &text_plugin("replicas = 3\nbackoff = { min = '1h', max = '1h' }");
    let stage = Stage::start(&config);
    eventually("three cards", || (stage.cards().len() == 3).then_some(()));
    let instances: BTreeSet<_> = stage.cards().into_iter().map(|card| card.instance).collect();
    let bus = stage.caller();
    // Twice: the first restart after a good run is free of any wait, the second takes an hour.
    for _ in 0..2 {
        let victim = stage.status().plugins.into_iter().find(|plugin| plugin.replica == 1).unwrap();
        signal(victim.pid.unwrap(), Signal::KILL);
        let mut lost = 0;
        for _ in 0..50 {
            match bus.request("revert").timeout(LONG).call::<String, _>("ab") {
                Ok(result) => assert_eq!(result, "ba"),
                // Sent before the end of the victim was known; it is told, because it may have run.
                Err(CallError::Died { .. }) => lost += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(lost <= 1, "{lost} calls lost to one death");
        eventually("its end is seen", || {
            let found = stage.status().plugins.into_iter().find(|plugin| plugin.replica == 1)?;
            let settled = matches!(found.state, UnitState::Ready | UnitState::BackingOff);
            (settled && found.pid != victim.pid).then_some(())
        });
    }
    let left: BTreeSet<_> = stage.cards().into_iter().map(|card| card.instance).collect();
    assert_eq!((left.len(), left.intersection(&instances).count()), (2, 2));
}

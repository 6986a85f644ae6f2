//! Rolling restarts: every instance is a new one afterwards, and no caller noticed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use plugbus::supervisor::OrderReport;
use serde_json::json;

use crate::support::{LONG, PATIENT, Stage, eventually, text_plugin};

fn instances(stage: &Stage) -> BTreeSet<String> {
    stage.cards().into_iter().map(|card| card.instance).collect()
}

fn rolls_without_a_failed_call(replicas: usize) {
    let stage = Stage::spawn(&(PATIENT.to_owned() + &text_plugin(&format!("replicas = {replicas}"))));
    eventually("all can be called", || (stage.cards().len() == replicas).then_some(()));
    let before = instances(&stage);
    let (over, calls) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            let bus = stage.caller();
            let (over, calls) = (&over, &calls);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let result: Result<String, _> = bus.request("revert").timeout(LONG).call("ab");
                    assert_eq!(result.unwrap(), "ba");
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let roll = json!({"names": ["text"], "rolling": true});
        for _ in 0..3 {
            let report: OrderReport =
                stage.caller().request("restart").plugin("supervisor").timeout(LONG).call(&roll).unwrap();
            assert!(report.done && report.plugins.len() == replicas, "{report:?}");
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(calls.load(Ordering::Relaxed) > 0);
    let after = instances(&stage);
    assert!(after.len() == replicas && after.is_disjoint(&before), "{before:?} {after:?}");
}

#[test]
fn of_three_replicas() {
    rolls_without_a_failed_call(3);
}

#[test]
fn of_a_single_instance() {
    rolls_without_a_failed_call(1);
}

#[test]
fn it_ends_at_the_first_that_does_not_come_up() {
    let scratch = tempfile::tempdir().unwrap();
    let program = scratch.path().join("plugin");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_plugbus-text"), &program).unwrap();
    let config = crate::support::plugin("text", &[program.to_str().unwrap()], "replicas = 3");
    let stage = Stage::spawn(&(PATIENT.to_owned() + &config));
    eventually("all can be called", || (stage.cards().len() == 3).then_some(()));
    let before = instances(&stage);
    std::fs::remove_file(&program).unwrap();
    let roll = json!({"names": ["text"], "rolling": true});
    let report: OrderReport =
        stage.caller().request("restart").plugin("supervisor").timeout(LONG).call(&roll).unwrap();
    assert!(!report.done);
    assert_eq!(instances(&stage).intersection(&before).count(), 2, "the others go on as they were");
}

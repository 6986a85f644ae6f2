//! Whoever waits for a plugin or for the supervisor waits no longer than it wanted.

use std::time::{Duration, Instant};

use plugbus::host::CallError;
use rustix::process::Signal;

use crate::support::{LONG, PATIENT, Stage, signal, text_plugin};

const TIMEOUT: Duration = Duration::from_millis(500);

/// What a machine under load may add to a deadline.
const SLACK: Duration = Duration::from_secs(10);

/// Runs something that is to take as long as its deadline, no shorter and no longer.
#[track_caller]
fn in_time<T>(what: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let value = what();
    let took = begun.elapsed();
    assert!(took >= TIMEOUT.mul_f64(0.9) && took < TIMEOUT + SLACK, "took {took:?}");
    value
}

#[test]
fn invariant_3_a_frozen_plugin_holds_up_no_caller_and_no_supervisor() {
    let stage = Stage::start(&(PATIENT.to_owned() + &text_plugin("")));
    let plugin = stage.ready("text");
    let known = stage.caller();
    known.request("revert").timeout(LONG).call::<String, _>("x").unwrap();
    signal(plugin.pid.unwrap(), Signal::STOP);

    let late = in_time(|| known.request("revert").timeout(TIMEOUT).call::<String, _>("x")).unwrap_err();
    assert!(matches!(late, CallError::Deadline { .. }), "{late}");
    // Who never got a connection knows that nothing ran.
    let stranger = stage.caller();
    let late = in_time(|| stranger.request("revert").timeout(TIMEOUT).call::<String, _>("x")).unwrap_err();
    assert!(matches!(late, CallError::Unreachable { .. }), "{late}");

    let begun = Instant::now();
    let survey = stage.survey();
    assert_eq!((survey.answers.len(), survey.missing.len()), (0, 1), "{survey:?}");
    assert!(stage.plugin("text").missed > 0 || stage.until("text", |plugin| plugin.missed > 0).missed > 0);
    assert!(begun.elapsed() < SLACK, "status and survey took {:?}", begun.elapsed());

    signal(plugin.pid.unwrap(), Signal::CONT);
    assert_eq!(known.request("revert").timeout(LONG).call::<String, _>("ab").unwrap(), "ba");
    assert_eq!(stage.until("text", |plugin| plugin.missed == 0).restarts, 0);
}

#[test]
fn invariant_3_a_frozen_supervisor_holds_up_no_caller() {
    let stage = Stage::spawn(&(PATIENT.to_owned() + &text_plugin("")));
    let plugin = stage.ready("text");
    let bus = stage.caller();
    signal(stage.supervisor_pid(), Signal::STOP);
    let late = in_time(|| bus.request("supervisor.status").timeout(TIMEOUT).call::<(), _>(&())).unwrap_err();
    assert!(matches!(late, CallError::Deadline { .. } | CallError::Unreachable { .. }), "{late}");
    // With nobody to restart it, waiting for a dead plugin ends with the deadline too.
    signal(plugin.pid.unwrap(), Signal::KILL);
    let late = in_time(|| bus.request("text.revert").timeout(TIMEOUT).call::<String, _>("x")).unwrap_err();
    assert!(matches!(late, CallError::Unreachable { .. }), "{late}");
    signal(stage.supervisor_pid(), Signal::CONT);
    assert_eq!(bus.request("text.revert").timeout(LONG).call::<String, _>("ab").unwrap(), "ba");
}

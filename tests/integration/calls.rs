//! Calls while plugins are restarted, drained, busy or broken.

use std::thread;

use plugbus::host::CallError;
use plugbus::wire::Code;
use rustix::process::Signal;
use serde_json::json;

use crate::support::{LONG, PATIENT, QUICK, Stage, eventually, sdk_plugin, signal, text_plugin};

#[test]
fn a_call_made_while_its_plugin_is_restarted_waits_and_succeeds() {
    let stage = Stage::start(&(PATIENT.to_owned() + &text_plugin("backoff = { min = '50ms', max = '50ms' }")));
    let mut before = stage.ready("text");
    let known = stage.caller();
    for round in 0..10 {
        // Who knew the dead instance, and who comes as a stranger.
        let bus = if round % 2 == 0 { known.clone() } else { stage.caller() };
        signal(before.pid.unwrap(), Signal::KILL);
        // A call that was on its way may be lost, and says so; one that was not is never lost.
        let first = bus.request("revert").timeout(LONG).call::<String, _>("ab");
        match first {
            Ok(result) => assert_eq!(result, "ba"),
            Err(CallError::Died { .. }) => {
                assert_eq!(bus.request("revert").timeout(LONG).call::<String, _>("ab").unwrap(), "ba");
            }
            Err(error) => panic!("round {round}: {error}"),
        }
        before = stage.ready_again(&before);
    }
}

#[test]
fn stop_lets_the_running_call_finish() {
    let mut stage = Stage::start(&(PATIENT.to_owned() + &text_plugin("restart = 'on-failure'")));
    stage.ready("text");
    let bus = stage.caller();
    let caller = bus.clone();
    let slow = thread::spawn(move || {
        caller.request("slow_revert").timeout(LONG).call::<String, _>(&json!({"text": "abc", "ms": 1500}))
    });
    let running =
        |plugin: &plugbus::supervisor::PluginStatus| plugin.answer.is_some_and(|answer| answer.in_flight == 1);
    stage.until("text", running);
    bus.request("text.$stop").timeout(LONG).call::<(), _>(&()).unwrap();
    let refused = bus.request("text.revert").timeout(LONG).call::<String, _>("ab").unwrap_err();
    assert!(matches!(refused, CallError::Unreachable { .. } | CallError::NoSuchPlugin { .. }), "{refused}");
    assert_eq!(slow.join().unwrap().unwrap(), "cba");
    let ended = stage.until("text", |plugin| plugin.pid.is_none());
    assert!(ended.reason.starts_with("exited with code 0 after "), "{}", ended.reason);
    assert!(stage.reasons("text", "draining").len() == 1 || ended.reason.ends_with("; not to be restarted"));
    stage.stop_without_trace();
}

#[test]
fn a_handler_that_panics_fails_its_call_and_nothing_else() {
    let stage = Stage::start(&(PATIENT.to_owned() + &sdk_plugin("sdk", "")));
    let before = stage.ready("sdk");
    let bus = stage.caller();
    for round in 1..=3 {
        let failed = bus.request("sdk.panic").timeout(LONG).call::<String, _>("on purpose").unwrap_err();
        match failed {
            CallError::Plugin { fault, .. } => assert_eq!(fault.code, Code::Failed, "{fault}"),
            other => panic!("{other}"),
        }
        assert_eq!(bus.request("sdk.echo").timeout(LONG).call::<String, _>("still here").unwrap(), "still here");
        stage.until("sdk", |plugin| plugin.answer.is_some_and(|answer| answer.failed == round));
    }
    assert_eq!((stage.plugin("sdk").pid, stage.plugin("sdk").restarts), (before.pid, 0));
}

#[test]
fn a_plugin_whose_handlers_are_all_busy_answers_surveys_and_is_not_taken_for_silent() {
    let stage = Stage::start(&(QUICK.to_owned() + &text_plugin("")));
    let before = stage.ready("text");
    let bus = stage.caller();
    // As many as run at once, and then some that wait.
    let callers: Vec<_> = (0..80)
        .map(|_| {
            let bus = bus.clone();
            let call = move || {
                bus.request("slow_revert").timeout(LONG).call::<String, _>(&json!({"text": "ab", "ms": 2000}))
            };
            thread::Builder::new().stack_size(256 * 1024).spawn(call).unwrap()
        })
        .collect();
    let busy = stage.until("text", |plugin| plugin.answer.is_some_and(|answer| answer.in_flight >= 64));
    assert_eq!(busy.pid, before.pid);
    let survey = stage.survey();
    assert_eq!((survey.answers.len(), survey.missing.len()), (1, 0));
    for caller in callers {
        assert_eq!(caller.join().unwrap().unwrap(), "ba");
    }
    let after = stage.until("text", |plugin| plugin.answer.is_some_and(|answer| answer.in_flight == 0));
    assert_eq!((after.pid, after.restarts, after.answer.unwrap().done), (before.pid, 0, 80));
    eventually("nothing was missed", || (stage.plugin("text").missed == 0).then_some(()));
}

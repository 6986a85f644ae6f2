//! A call runs at most once, and who made it learns that it may have run.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use plugbus::host::CallError;
use rustix::process::Signal;

use crate::support::{LONG, PATIENT, Stage, eventually, misbehaving, signal};

/// The instances that ran the method.
fn ran(notes: &Path) -> Vec<String> {
    fs::read_to_string(notes).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn invariant_2_a_call_whose_plugin_is_killed_ran_once() {
    let mut stage = Stage::start(&(PATIENT.to_owned() + &misbehaving("work", "", "")));
    let before = stage.ready("work");
    let notes = stage.scratch().join("notes");
    let (bus, path) = (stage.caller(), notes.clone());
    let call = thread::spawn(move || {
        let died: Result<String, _> = bus.request("work.note_and_hang").timeout(LONG).call(&path);
        // The same caller goes on: nothing of the first call may be sent again with this one.
        (died, bus.request("work.note").timeout(LONG).call::<String, _>(&path))
    });
    eventually("the method runs", || (!ran(&notes).is_empty()).then_some(()));
    signal(before.pid.unwrap(), Signal::KILL);
    let (died, next) = call.join().unwrap();
    let first = before.instance.clone().unwrap();
    match died {
        Err(CallError::Died { instance, .. }) => assert_eq!(instance, first),
        other => panic!("not told that it died: {other:?}"),
    }
    let second = stage.ready_again(&before).instance.unwrap();
    assert_eq!(next.unwrap(), second);
    assert_eq!(ran(&notes), [first, second]);
    stage.stop_without_trace();
    assert_eq!(ran(&notes).len(), 2);
}

#[test]
fn invariant_2_a_call_that_nobody_waits_for_any_more_runs_once_at_most() {
    let stage = Stage::start(&(PATIENT.to_owned() + &misbehaving("work", "", "")));
    let plugin = stage.ready("work");
    let bus = stage.caller();
    let (given_up, waited_for) = (stage.scratch().join("given-up"), stage.scratch().join("waited-for"));
    bus.request("work.echo").timeout(LONG).call::<String, _>("connected").unwrap();
    signal(plugin.pid.unwrap(), Signal::STOP);
    let late: Result<String, _> = bus.request("work.note").timeout(Duration::from_millis(300)).call(&given_up);
    assert!(matches!(late, Err(CallError::Deadline { .. })), "{late:?}");
    signal(plugin.pid.unwrap(), Signal::CONT);
    bus.request("work.note").timeout(LONG).call::<String, _>(&waited_for).unwrap();
    assert_eq!(ran(&waited_for).len(), 1);
    assert!(ran(&given_up).len() <= 1);
}

//! A call runs at most once, and who made it learns that it may have run.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use plugbus::bus::Lane;
use plugbus::host::CallError;
use plugbus::wire::{Code, Reply, RequestHead};
use rustix::process::Signal;

use crate::support::{LONG, PATIENT, RawCaller, Stage, eventually, misbehaving, noted, sdk_plugin, signal};

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

#[test]
fn invariant_2_only_a_method_that_may_run_twice_is_sent_again() {
    let stage = Stage::start(&(PATIENT.to_owned() + &sdk_plugin("sdk", "")));
    let mut before = stage.ready("sdk");
    let bus = stage.caller();
    let notes = stage.scratch().join("once");
    let died: CallError = bus.request("sdk.die_once").timeout(LONG).call::<usize, _>(&notes).unwrap_err();
    assert!(matches!(died, CallError::Died { .. }) && died.may_have_run(), "{died}");
    before = stage.ready_again(&before);
    assert_eq!(noted(&notes).len(), 1);

    let notes = stage.scratch().join("twice");
    // Waits for the next instance, within its own deadline.
    assert_eq!(bus.request("sdk.die_once_again").timeout(LONG).call::<usize, _>(&notes).unwrap(), 2);
    assert_eq!(noted(&notes).len(), 2);
    stage.ready_again(&before);
}

#[test]
fn invariant_2_what_may_run_twice_goes_to_another_replica_at_once() {
    let more = "replicas = 2\nrestart = 'never'";
    let stage = Stage::start(&(PATIENT.to_owned() + &sdk_plugin("sdk", more)));
    eventually("both can be called", || (stage.cards().len() == 2).then_some(()));
    let bus = stage.caller();
    let notes = stage.scratch().join("twice");
    assert_eq!(bus.request("sdk.die_once_again").timeout(LONG).call::<usize, _>(&notes).unwrap(), 2);
    // Nobody is left: what is true of the first try is true of the call.
    let notes = stage.scratch().join("last");
    let died = bus.request("sdk.die_once_again").timeout(LONG).call::<usize, _>(&notes).unwrap_err();
    assert!(matches!(died, CallError::Died { .. }) && died.may_have_run(), "{died}");
    assert_eq!(noted(&notes).len(), 1);
}

#[test]
fn invariant_2_a_request_meant_for_another_instance_is_refused() {
    let stage = Stage::start(&(PATIENT.to_owned() + &sdk_plugin("sdk", "")));
    stage.ready("sdk");
    let card = stage.cards().pop().unwrap();
    let notes = stage.scratch().join("notes");
    let socket = stage.bus().endpoint(&card.name, &card.instance).unwrap();
    let mut caller = RawCaller::connect(socket.path()).unwrap();
    let mut head = RequestHead::new("hold", Duration::from_millis(1));
    head.instance = Some("another");
    let reply = caller.call(&head.encode(&notes).unwrap()).unwrap();
    let Reply::Error(fault) = Reply::decode(&reply).unwrap() else { panic!("it ran") };
    assert!(fault.code == Code::StaleInstance && fault.code.not_started(), "{fault}");
    assert_eq!(noted(&notes), [""; 0]);
}

#[test]
fn a_reply_that_was_sent_is_read_though_its_plugin_died_right_after() {
    let stage =
        Stage::start(&(PATIENT.to_owned() + &misbehaving("work", "", "backoff = { min = '1ms', max = '1ms' }")));
    let (mut before, bus) = (stage.ready("work"), stage.caller());
    for nth in 0..20 {
        // A connection that is there, and one that is made for this.
        let bus = if nth % 2 == 0 { bus.clone() } else { stage.caller() };
        match bus.request("work.reply_and_die").timeout(LONG).call::<String, _>("last words") {
            Ok(said) => assert_eq!(said, "last words"),
            // NNG may see the end of a connection before it has read what came on it.
            Err(CallError::Died { .. }) if Lane::chosen() == Lane::Nng => {}
            Err(error) => panic!("round {nth}: {error}"),
        }
        before = stage.ready_again(&before);
    }
}

//! Whoever stops waiting for a call stops it.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use plugbus::host::Bus;
use rustix::process::Signal;

use crate::support::{Bench, LONG, PATIENT, Stage, eventually, noted, sdk_plugin, sdk_plugin_of, signal};

fn stage() -> Stage {
    let stage = Stage::start(&(PATIENT.to_owned() + &sdk_plugin("sdk", "")));
    stage.ready("sdk");
    stage
}

fn until_begun(notes: &Path) {
    eventually("the method runs", || (!noted(notes).is_empty()).then_some(()));
}

/// Waits until the method knows that nobody waits, and says how long that took.
fn until_told(notes: &Path) -> Duration {
    let since = Instant::now();
    eventually("the method is told", || (noted(notes).len() > 1).then_some(()));
    assert_eq!(noted(notes), ["begun", "cancelled"]);
    since.elapsed()
}

#[test]
fn to_drop_a_call_is_to_cancel_it() {
    let stage = stage();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bus = Bus::at(stage.bus().path()).unwrap();
    for method in ["sdk.hold", "sdk.hold_async"] {
        // The first time it begins on the thread that has read it, the second time elsewhere.
        for nth in 0..4 {
            let notes = stage.scratch().join(format!("{method}-{nth}"));
            let (caller, path) = (bus.clone(), notes.clone());
            let call = async move { caller.request(method).timeout(LONG).call::<(), _>(&path).await };
            if nth % 2 == 0 {
                let calling = runtime.spawn(call);
                until_begun(&notes);
                calling.abort();
            } else {
                // Dropped where there is no runtime.
                let mut call = Box::pin(call);
                runtime.block_on(async {
                    tokio::select! {
                        ended = &mut call => panic!("{ended:?}"),
                        () = async { tokio::task::spawn_blocking({
                            let notes = notes.clone();
                            move || until_begun(&notes)
                        }).await.unwrap() } => {}
                    }
                });
                thread::spawn(move || drop(call)).join().unwrap();
            }
            until_told(&notes);
        }
    }
    // The connection goes on.
    assert_eq!(runtime.block_on(bus.call::<String, _>("sdk.echo", "on")).unwrap(), "on");
}

#[test]
fn a_call_that_was_cancelled_while_it_waited_for_its_turn_never_runs() {
    let stage = Stage::start(&(PATIENT.to_owned() + &sdk_plugin_of("sdk", "1,1", "")));
    stage.ready("sdk");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bus = Bus::at(stage.bus().path()).unwrap();
    let (running, waiting) = (stage.scratch().join("running"), stage.scratch().join("waiting"));
    let call = |path: &Path| {
        let (bus, path) = (bus.clone(), path.to_owned());
        runtime.spawn(async move { bus.request("sdk.hold").timeout(LONG).call::<(), _>(&path).await })
    };
    let first = call(&running);
    until_begun(&running);
    let second = call(&waiting);
    let in_flight = |wanted: u64| {
        eventually("so many calls are there", || {
            let load: plugbus::wire::Load = runtime.block_on(bus.call("sdk.$stats", &())).unwrap();
            (load.in_flight == wanted).then_some(())
        });
    };
    in_flight(2);
    second.abort();
    in_flight(1);
    first.abort();
    until_told(&running);
    in_flight(0);
    assert_eq!(noted(&waiting), [""; 0]);
}

#[test]
fn ctrl_c_cancels_the_call_of_a_shell() {
    let stage = stage();
    for (nth, (sent, code)) in [(Signal::INT, 130), (Signal::TERM, 143)].into_iter().enumerate() {
        let notes = stage.scratch().join(format!("signal-{nth}"));
        let mut command = Bench::empty().plugbus(&["call", "sdk.hold", notes.to_str().unwrap(), "--timeout", "30s"]);
        let mut call = command.env("PLUGBUS_DIR", stage.scratch()).current_dir("/").spawn().unwrap();
        until_begun(&notes);
        signal(call.id(), sent);
        until_told(&notes);
        let ended = eventually("it ends", || call.try_wait().unwrap());
        assert_eq!(ended.code(), Some(code));
    }
}

#[test]
fn a_caller_that_is_killed_needs_no_reply() {
    let stage = stage();
    let notes = stage.scratch().join("notes");
    let mut command = Bench::empty().plugbus(&["call", "sdk.hold", notes.to_str().unwrap(), "--timeout", "30s"]);
    let mut call = command.env("PLUGBUS_DIR", stage.scratch()).current_dir("/").spawn().unwrap();
    until_begun(&notes);
    call.kill().unwrap();
    until_told(&notes);
    call.wait().unwrap();
}

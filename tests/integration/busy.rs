//! Who works for long is left alone; who is past a deadline and gets nowhere is wedged, and restarted.

use std::thread;
use std::time::{Duration, Instant};

use plugbus::host::CallError;
use plugbus::host::blocking::Bus;
use plugbus::supervisor::UnitState;
use rustix::process::Signal;

use crate::support::{LONG, PATIENT, QUICK, Stage, eventually, misbehaving, sdk_plugin, sdk_plugin_of, signal};

/// Nobody is called silent, and wedged soon.
fn watchful(wedge_grace: &str) -> String {
    format!(
        "[survey]\ninterval = '250ms'\ndeadline = '250ms'\nmisses = 1000\n[defaults]\nwedge_grace = '{wedge_grace}'\n"
    )
}

/// Begins a call that takes so long; its outcome comes when somebody joins.
fn nap(bus: &Bus, millis: u64, timeout: Duration) -> thread::JoinHandle<Result<(), CallError>> {
    let bus = bus.clone();
    thread::spawn(move || bus.request("sdk.nap").timeout(timeout).call(&millis))
}

#[test]
fn a_long_call_within_its_deadline_makes_busy_and_disturbs_nothing() {
    let stage = Stage::start(&(watchful("300ms") + &sdk_plugin("sdk", "")));
    let before = stage.ready("sdk");
    let bus = stage.caller();
    let napping = nap(&bus, 4000, LONG);
    let busy = stage.until("sdk", |plugin| plugin.state == UnitState::Busy);
    assert!(busy.reason.starts_with("1 call, running for 1."), "{}", busy.reason);
    assert_eq!(busy.answer.unwrap().overdue_ms, 0);
    // Callers reach it as ever, those too who have to ask where it is.
    for caller in [bus, stage.caller()] {
        assert_eq!(caller.request("sdk.echo").timeout(LONG).call::<String, _>("ab").unwrap(), "ab");
    }
    assert_eq!(stage.cards().len(), 1);
    napping.join().unwrap().unwrap();
    let after = stage.until("sdk", |plugin| plugin.state == UnitState::Ready);
    assert_eq!((after.pid, after.restarts, &*after.reason), (before.pid, 0, "its long calls are done"));
}

#[test]
fn a_call_that_outlives_its_deadline_without_progress_is_the_end_of_its_plugin() {
    let stage = Stage::start(&(watchful("500ms") + &sdk_plugin("sdk", "restart = 'on-failure'")));
    let before = stage.ready("sdk");
    let bus = stage.caller();
    // Either side may be the first to say that its time is over.
    assert!(nap(&bus, 3_600_000, Duration::from_millis(300)).join().unwrap().is_err());
    let after = stage.ready_again(&before);
    assert_eq!(after.restarts, 1);
    let reason = eventually("the log has it", || stage.reasons("sdk", "wedged").pop());
    assert!(reason.starts_with("wedged: 1 call, running for "), "{reason}");
    assert!(reason.ends_with(" past its deadline, and no progress"), "{reason}");
    let figures = eventually("the log has its last answer", || {
        let mut reasons = stage.events().into_iter().filter_map(|event| event["reason"].as_str().map(str::to_owned));
        reasons.find(|reason| reason.starts_with("its last answer, "))
    });
    assert!(figures.contains("past its deadline; 0 done, 1 failed, beat 1"), "{figures}");
    assert_eq!(bus.request("sdk.echo").timeout(LONG).call::<String, _>("ab").unwrap(), "ab");
}

#[test]
fn callers_who_try_again_and_again_do_not_hide_that_it_is_wedged() {
    let stage = Stage::start(&(watchful("500ms") + &sdk_plugin_of("sdk", "1,1", "")));
    let before = stage.ready("sdk");
    let bus = stage.caller();
    let stuck = nap(&bus, 3_600_000, Duration::from_millis(200));
    let since = Instant::now();
    while stage.plugin("sdk").pid == before.pid {
        assert!(since.elapsed() < LONG, "nobody has seen it: {:?}", stage.plugin("sdk"));
        // Accepted, waits for its turn, and gives up.
        let _ = bus.request("sdk.echo").timeout(Duration::from_millis(30)).call::<String, _>("ab");
    }
    assert!(stuck.join().unwrap().is_err());
    let reason = eventually("the log has it", || stage.reasons("sdk", "wedged").pop());
    assert!(reason.starts_with("wedged: "), "{reason}");
}

#[test]
fn a_supervisor_that_was_stopped_finds_nobody_wedged() {
    const GRACE: Duration = Duration::from_millis(1500);
    let stage = Stage::spawn(&(watchful("1500ms") + &sdk_plugin("sdk", "")));
    let before = stage.ready("sdk");
    let stuck = nap(&stage.caller(), 3_600_000, Duration::from_secs(1));
    stage.until("sdk", |plugin| plugin.answer.is_some_and(|answer| answer.overdue_ms > 0));
    signal(stage.supervisor_pid(), Signal::STOP);
    thread::park_timeout(2 * GRACE);
    let since = Instant::now();
    signal(stage.supervisor_pid(), Signal::CONT);
    stage.ready_again(&before);
    // What it did while nobody looked says nothing: the grace begins anew.
    assert!(since.elapsed() >= GRACE, "after {:?}", since.elapsed());
    assert!(stage.status().void_rounds > 0);
    assert!(stuck.join().unwrap().is_err());
}

#[test]
fn a_trace_of_what_it_was_at_is_asked_for_before_the_kill() {
    let soft = "soft_signal = 'SIGUSR1'\nsoft_wait = '300ms'";
    let stage = Stage::start(&(QUICK.to_owned() + &misbehaving("moody", "trace", soft)));
    let before = stage.ready("moody");
    let spinning = {
        let bus = stage.caller();
        thread::spawn(move || bus.request("moody.spin").timeout(LONG).call::<(), _>(&()))
    };
    let after = stage.ready_again(&before);
    assert_eq!(after.restarts, 1);
    assert!(matches!(spinning.join().unwrap(), Err(CallError::Died { .. })));
    let is_back = |event: &serde_json::Value| event["from"] == "backing-off";
    let events = eventually("the log has it", || Some(stage.events()).filter(|events| events.iter().any(is_back)));
    let changes = |to: &str| events.iter().rfind(|event| event["to"] == to).unwrap().clone();
    assert_eq!(changes("silent")["reason"], "silent: missed 3 survey rounds");
    let killed = changes("backing-off");
    assert!(killed["output"].to_string().contains("in serve"), "no trace of it: {killed}");
    let note = events.iter().any(|event| event["reason"] == "still there 300 ms after SIGUSR1, killing it");
    assert!(note, "{events:?}");
}

#[test]
fn whoever_dies_of_the_soft_signal_is_restarted_as_if_it_had_been_killed() {
    let soft = "soft_signal = 'SIGQUIT'\nsoft_wait = '1h'\nrestart = 'on-failure'";
    let config = PATIENT.replace("misses = 1000", "misses = 3").replace("100ms", "250ms");
    let stage = Stage::start(&(config + &sdk_plugin("sdk", soft)));
    let before = stage.ready("sdk");
    // A stopped process hears the signal all the same.
    signal(before.pid.unwrap(), Signal::STOP);
    let after = stage.ready_again(&before);
    let reason = after.last_end.unwrap().reason;
    assert!(reason.starts_with("silent: missed 3 survey rounds; killed by SIGQUIT after "), "{reason}");
}

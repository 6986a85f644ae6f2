//! What exits, is killed, or falls silent is started again, and the reason is told in words.

use std::thread;
use std::time::{Duration, Instant};

use plugbus::host::CallError;
use plugbus::supervisor::{PluginStatus, UnitState};
use rustix::process::Signal;

use crate::support::{LONG, PATIENT, QUICK, Stage, misbehaving, signal, text_plugin};

#[track_caller]
fn last_end(plugin: &PluginStatus) -> &str {
    &plugin.last_end.as_ref().expect("it has ended once").reason
}

#[test]
fn after_a_signal_it_is_back_and_says_which_signal() {
    let stage = Stage::start(&(PATIENT.to_owned() + &text_plugin("backoff = { min = '10ms', max = '20ms' }")));
    let mut before = stage.ready("text");
    for (number, (signal_sent, words)) in [
        (Signal::KILL, "killed by SIGKILL after "),
        (Signal::USR1, "killed by SIGUSR1 after "),
        (Signal::ABORT, "killed by SIGABRT after "),
        (Signal::TERM, "exited with code 0 after "),
    ]
    .into_iter()
    .enumerate()
    {
        signal(before.pid.unwrap(), signal_sent);
        let after = stage.ready_again(&before);
        assert!(last_end(&after).starts_with(words), "{}", last_end(&after));
        assert_eq!(after.restarts, number as u64 + 1);
        assert!(stage.reasons("text", "backing-off")[number].starts_with(words));
        before = after;
    }
}

#[test]
fn after_an_exit_code_it_is_back_and_says_which_code_and_its_last_words() {
    let quickly = "backoff = { min = '10ms', max = '20ms' }";
    let stage = Stage::start(&(PATIENT.to_owned() + &misbehaving("moody", "exit-when-ready=3", quickly)));
    let plugin = stage.until("moody", |plugin| plugin.restarts >= 2 && !stage.reasons("moody", "ready").is_empty());
    assert!(last_end(&plugin).starts_with("exited with code 3 after "), "{plugin:?}");
    assert!(last_end(&plugin).ends_with(": leaving with 3"), "{plugin:?}");
}

#[test]
fn the_restart_policy_decides() {
    let config = PATIENT.to_owned()
        + &misbehaving("done", "exit=0", "restart = 'on-failure'")
        + &misbehaving("again", "exit=1", "restart = 'on-failure'")
        + &misbehaving("once", "exit=1", "restart = 'never'")
        + &misbehaving("ever", "exit=0", "restart = 'always'");
    let stage = Stage::start(&config);
    let done = stage.until("done", |plugin| plugin.state == UnitState::Stopped);
    assert!(done.reason.ends_with("; not to be restarted"), "{}", done.reason);
    let once = stage.until("once", |plugin| plugin.state == UnitState::Failed);
    assert!(once.reason.ends_with("; never to be restarted"), "{}", once.reason);
    stage.until("again", |plugin| plugin.restarts >= 2);
    stage.until("ever", |plugin| plugin.restarts >= 2);
    assert_eq!((stage.plugin("done").restarts, stage.plugin("once").restarts), (0, 0));
}

#[test]
fn what_is_frozen_is_found_silent_in_time_and_restarted() {
    let stage = Stage::start(&(QUICK.to_owned() + &text_plugin("") + &misbehaving("other", "twice", "")));
    let (before, other) = (stage.ready("text"), stage.ready("other"));
    let begun = Instant::now();
    signal(before.pid.unwrap(), Signal::STOP);
    let after = stage.ready_again(&before);
    let took = begun.elapsed();
    // Two intervals are the least three rounds can take; interval × misses + deadline is what is promised, and
    // the rest is for a machine under load.
    assert!(
        took > Duration::from_millis(500) && took < Duration::from_millis(1000) + Duration::from_secs(10),
        "{took:?}"
    );
    assert!(last_end(&after).starts_with("silent: missed 3 survey rounds; killed by SIGKILL after "), "{after:?}");
    assert_eq!(stage.reasons("text", "silent"), ["silent: missed 3 survey rounds"]);
    // To answer twice is odd and harmless.
    assert_eq!((stage.plugin("other").restarts, stage.plugin("other").pid), (0, other.pid));
}

#[test]
fn a_handler_that_keeps_its_plugin_from_answering_is_ended() {
    let stage = Stage::start(&(QUICK.to_owned() + &misbehaving("busy", "", "")));
    let before = stage.ready("busy");
    let bus = stage.caller();
    let call = thread::spawn(move || bus.request("busy.spin").timeout(LONG).call::<(), _>(&()));
    let after = stage.ready_again(&before);
    assert!(last_end(&after).starts_with("silent: missed 3 survey rounds"), "{after:?}");
    let died = call.join().unwrap();
    assert!(matches!(died, Err(CallError::Died { .. })), "{died:?}");
}

#[test]
fn what_never_gets_ready_is_ended_after_its_time_and_says_what_was_missing() {
    let hurry = "start_timeout = '1s'\nbackoff = { min = '10ms', max = '20ms' }";
    let config = PATIENT.to_owned()
        + &misbehaving("mute", "mute", hurry)
        + &misbehaving("slow", "starting", hurry)
        + &misbehaving("odd", "garbage", hurry)
        + &misbehaving("liar", "as=nobody-here", hurry)
        + &text_plugin("");
    let mut stage = Stage::start(&config);
    for (name, detail) in [
        ("mute", "it never answered a survey"),
        ("slow", "it still says that it is starting"),
        ("odd", "it never answered a survey"),
        ("liar", "it never answered a survey"),
    ] {
        let words = format!("not ready 1.0 s after its start: {detail}; killed by SIGTERM after ");
        // Under load even Python may need longer than that to connect; then it is the next time that shows it.
        let told = || stage.reasons(name, "backing-off").iter().any(|reason| reason.starts_with(&words));
        stage.until(name, |plugin| plugin.restarts >= 1 && told());
        assert!(stage.cards().iter().all(|card| card.name != name));
    }
    assert_eq!(stage.ready("text").restarts, 0);
    stage.stop_without_trace();
}

//! Which exits are failures, and how many restarts are too many.

use plugbus::supervisor::UnitState;

use crate::support::{LONG, PATIENT, Stage, misbehaving};

const QUICKLY: &str = "backoff = { min = '1ms', max = '1ms', jitter = 0 }\n";

#[test]
fn what_is_a_success_is_for_the_configuration_to_say() {
    let codes = "restart = 'on-failure'\nsuccess_codes = [3, 4]\n";
    let config = PATIENT.to_owned()
        + &misbehaving("done", "exit=3", codes)
        + &misbehaving("again", "exit=0", &(codes.to_owned() + QUICKLY))
        + &misbehaving("failed", "exit=0", "restart = 'never'\nsuccess_codes = []");
    let stage = Stage::start(&config);
    let done = stage.until("done", |plugin| plugin.state == UnitState::Stopped);
    assert!(done.reason.starts_with("exited with code 3 after "), "{}", done.reason);
    assert!(done.reason.ends_with("; not to be restarted"), "{}", done.reason);
    stage.until("again", |plugin| plugin.restarts >= 2);
    stage.until("failed", |plugin| plugin.state == UnitState::Failed);
}

#[test]
fn too_many_restarts_end_in_failed_and_say_so_or_go_on_for_ever_and_say_so() {
    let intensity = |then: &str| format!("{QUICKLY}intensity = {{ restarts = 3, within = '1h', then = '{then}' }}\n");
    let config = PATIENT.to_owned()
        + &misbehaving("fails", "exit=1", &intensity("fail"))
        + &misbehaving("goes-on", "exit=1", &intensity("go-on"));
    let mut stage = Stage::start(&config);
    let failed = stage.until("fails", |plugin| plugin.state == UnitState::Failed);
    assert_eq!(failed.restarts, 3);
    let given_up = "; given up after 3 restarts within 1 h 0 min; `plugbus reset fails` starts it again";
    assert!(failed.reason.ends_with(given_up), "{}", failed.reason);
    stage.until("goes-on", |plugin| plugin.restarts >= 8);
    assert_eq!(stage.plugin("fails").restarts, 3, "it stays down");
    // A command works at once, and has a counter of its own.
    for (order, restarts) in [("reset", 6), ("start", 9)] {
        let names = serde_json::json!({"names": ["fails"], "wait": false});
        let bus = stage.caller();
        bus.request(&format!("supervisor.{order}")).timeout(LONG).call::<serde_json::Value, _>(&names).unwrap();
        let failed =
            stage.until("fails", |plugin| plugin.state == UnitState::Failed && plugin.restarts > restarts - 3);
        assert_eq!(failed.restarts, restarts);
    }
    stage.stop_without_trace();
    let notes = stage.events().into_iter().filter(|event| {
        let words = event["reason"].as_str().unwrap_or_default();
        event["plugin"] == "goes-on"
            && event["event"] == "flapping"
            && words.starts_with("3 restarts within 1 h 0 min")
    });
    assert_eq!(notes.count(), 1, "said once");
}

//! A unit that depends on others, and one that others depend on.

use super::*;
use crate::supervisor::policy::dependency::Gate;

fn dependent() -> PluginSpec {
    PluginSpec { requires: vec!["db".into()], after: vec!["cache".into()], ..spec(RestartPolicy::Always) }
}

fn waits_for(names: &str) -> UnitEvent {
    UnitEvent::Gate(Gate { waits_for: Some(names.into()), ..Gate::default() })
}

fn lost(names: &str) -> UnitEvent {
    UnitEvent::Gate(Gate { waits_for: Some(names.into()), lost: Some(names.into()), held_by: None })
}

fn held_by(names: &str) -> UnitEvent {
    UnitEvent::Gate(Gate { held_by: Some(names.into()), ..Gate::default() })
}

fn open() -> UnitEvent {
    UnitEvent::Gate(Gate::default())
}

#[test]
fn it_waits_until_it_is_let_in() {
    let mut stage = Stage::of(dependent());
    stage.asked(UnitCommand::Start).did(&["stopped → starting: asked to start; waits for db and cache"]);
    assert!(stage.unit.is_waiting() && !stage.unit.is_hopeless() && stage.unit.deadline().is_none());
    stage.after(100_000).tell(UnitEvent::DeadlinePassed).tell(waits_for("db")).did(&[]);
    assert_eq!(stage.unit.reason(), "waits for db");
    stage.tell(open()).did(&["spawn 1"]);
    stage.spawned(1).answers(1, Phase::Ready).did(&["publish 1", "starting → ready: ready 0 ms after its start"]);
    // Whoever runs goes on while what it requires is restarted.
    stage.tell(waits_for("db")).did(&[]);
    stage.exits(1, ExitState::Code(1)).did(&[
        "sweep 1",
        "ready → backing-off: exited with code 1 after 0 ms: out of cheese; restarting at once",
        "backing-off → starting: restart 1; waits for db",
    ]);
    stage.asked(UnitCommand::Restart).asked(UnitCommand::Reset).asked(UnitCommand::Start).did(&[]);
    stage.tell(open()).did(&["spawn 2"]);
}

#[test]
fn a_stop_while_it_waits_wins() {
    for (command, rest) in
        [(UnitCommand::Stop, "stopped: asked to stop"), (UnitCommand::Disable, "disabled: disabled")]
    {
        let mut stage = Stage::of(dependent());
        stage.asked(UnitCommand::Start).story.clear();
        stage.asked(command).did(&[&format!("starting → {rest}")]);
        stage.tell(open()).did(&[]);
        assert!(stage.unit.is_settled());
    }
}

#[test]
fn it_does_not_go_on_without_what_it_requires_and_comes_back_with_it() {
    let mut stage = Stage::ready(RestartPolicy::Never);
    stage.tell(lost("db, which is stopped")).did(&[
        "withdraw 1",
        "ready → stopping: it requires db, which is stopped",
        "terminate 1",
    ]);
    assert!(!stage.unit.is_hopeless());
    stage.tell(lost("db, which is failed")).did(&[]);
    stage.exits(1, ExitState::Code(1)).did(&[
        "sweep 1",
        "stopping → stopped: stopped for want of what it requires: exited with code 1 after 40 ms",
        "stopped → starting: still wanted; waits for db, which is failed",
    ]);
    assert!(stage.unit.is_hopeless());
    stage.tell(open()).did(&["spawn 2"]);
    // Before its process exists, too.
    stage.tell(lost("db, which is stopped")).did(&["starting → stopping: it requires db, which is stopped"]);
    stage.tell(open()).spawned(2).did(&["terminate 2"]);
    stage.exits(2, ExitState::Signal(15)).story.drain(..2);
    stage.did(&["spawn 3", "stopped → starting: still wanted"]);
    assert_eq!(stage.unit.status(stage.now).restarts, 0);
}

#[test]
fn whoever_is_needed_goes_last() {
    let mut stage = Stage::ready(RestartPolicy::Always);
    stage.tell(held_by("web and api")).did(&[]);
    stage
        .asked(UnitCommand::Stop)
        .did(&["ready → stopping: asked to stop; first web and api, that depend on it, have to be gone"]);
    assert!(stage.unit.deadline().is_none() && !stage.unit.is_settled());
    stage.after(100_000).tell(UnitEvent::DeadlinePassed).answers(1, Phase::Ready).tell(held_by("api")).did(&[]);
    stage.tell(open()).did(&["withdraw 1", "terminate 1"]);
    stage.deadline_passes().did(&["note: still there 5.0 s after SIGTERM, killing it", "kill 1"]);
    stage.exits(1, ExitState::Signal(9));
    assert_eq!(stage.unit.state(), UnitState::Stopped);
}

#[test]
fn a_restart_or_a_start_waits_for_nobody() {
    let mut stage = Stage::ready(RestartPolicy::Always);
    stage.tell(held_by("web")).asked(UnitCommand::Restart);
    assert_eq!(stage.story.last().unwrap(), "terminate 1");
    stage.exits(1, ExitState::Code(0)).spawned(2).answers(2, Phase::Ready).asked(UnitCommand::Stop).story.clear();
    stage.asked(UnitCommand::Start).did(&["withdraw 2", "terminate 2"]);
    stage.exits(2, ExitState::Code(0));
    assert_eq!(stage.unit.state(), UnitState::Starting);
}

#[test]
fn whoever_ends_while_it_is_held_has_ended() {
    let mut stage = Stage::ready(RestartPolicy::Always);
    stage.tell(held_by("web")).asked(UnitCommand::Stop).exits(1, ExitState::Signal(11)).tell(open());
    assert_eq!(stage.unit.state(), UnitState::Stopped);
    assert!(!stage.story.iter().any(|line| line.starts_with("terminate")), "{:?}", stage.story);
    // A process that is still being made is held as well.
    let mut stage = Stage::new(RestartPolicy::Always);
    stage.tell(held_by("web")).asked(UnitCommand::Start).asked(UnitCommand::Stop).spawned(1).story.clear();
    stage.tell(open()).did(&["terminate 1"]);
}

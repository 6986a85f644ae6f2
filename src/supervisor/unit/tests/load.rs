//! Busy and wedged: what the counters of an answer lead to.

use super::*;
use crate::supervisor::SoftSignal;

fn load(in_flight: u64, oldest_ms: u64, overdue_ms: u64, beat: u64) -> Load {
    Load { in_flight, oldest_ms, overdue_ms, beat, done: 5, failed: 1 }
}

/// A second passes, then a round in which it answers like this.
fn second(stage: &mut Stage, load: Load, outcome: RoundOutcome) -> &mut Stage {
    stage.after(1000).works(1, Phase::Ready, load).round(1, outcome)
}

#[test]
fn a_long_call_makes_busy_and_its_end_ready_again() {
    let mut stage = Stage::ready(RestartPolicy::Always);
    stage.works(1, Phase::Ready, load(1, 900, 0, 1)).did(&[]);
    stage.works(1, Phase::Ready, load(2, 1900, 0, 1)).did(&["ready → busy: 2 calls, the oldest running for 1.9 s"]);
    stage.works(1, Phase::Ready, load(2, 2900, 0, 1)).did(&[]);
    stage.works(1, Phase::Ready, load(1, 10, 0, 2)).did(&["busy → ready: its long calls are done"]);
    stage.works(1, Phase::Ready, load(1, 1000, 0, 3)).story.clear();
    stage
        .works(1, Phase::Draining, load(1, 1000, 0, 3))
        .did(&["withdraw 1", "busy → draining: says that it takes no more calls"]);
}

#[test]
fn a_busy_one_is_left_alone_however_long_it_takes() {
    let mut stage = Stage::ready(RestartPolicy::Always);
    for seconds in 1..=600 {
        second(&mut stage, load(1, seconds * 1000, 0, 1), RoundOutcome::Answered);
    }
    stage.did(&["ready → busy: 1 call, running for 1.0 s"]);
    assert_eq!(stage.unit.deadline(), None);
}

#[test]
fn a_busy_one_may_fall_silent() {
    let mut stage = Stage::ready(RestartPolicy::Always);
    stage.works(1, Phase::Ready, load(1, 5000, 0, 1));
    stage.round(1, RoundOutcome::Missed).round(1, RoundOutcome::Missed).round(1, RoundOutcome::Missed);
    assert_eq!(stage.unit.state(), UnitState::Silent);
}

#[test]
fn past_its_deadline_and_still_for_the_grace_it_is_wedged_and_killed() {
    let mut stage = Stage::ready(RestartPolicy::OnFailure);
    for seconds in 1..=12 {
        // Its caller waited for two seconds.
        let age = seconds * 1000;
        second(&mut stage, load(1, age, u64::saturating_sub(age, 2000), 1), RoundOutcome::Answered);
    }
    let calls = "1 call, running for 12.0 s, 10.0 s past its deadline";
    stage.did(&[
        "ready → busy: 1 call, running for 1.0 s",
        "withdraw 1",
        "kill 1",
        &format!("busy → wedged: wedged: {calls}, and no progress"),
        &format!("note: its last answer, 0 ms before: {calls}; 5 done, 1 failed, beat 1"),
    ]);
    stage.answers(1, Phase::Ready).round(1, RoundOutcome::Missed).did(&[]);
    stage.after(3).exits(1, ExitState::Signal(9)).story.truncate(2);
    let went = "killed by SIGKILL after 12.0 s; restarting at once";
    stage.did(&["sweep 1", &format!("wedged → backing-off: wedged: {calls}, and no progress; {went}")]);
}

#[test]
fn whoever_moves_is_not_wedged() {
    let mut stage = Stage::ready(RestartPolicy::Always);
    for seconds in 1..=600 {
        // A beat every nine seconds.
        second(&mut stage, load(1, seconds * 1000, seconds * 1000, seconds / 9), RoundOutcome::Answered);
    }
    assert_eq!(stage.unit.state(), UnitState::Busy);
}

#[test]
fn invariant_5_a_late_supervisor_finds_nobody_wedged() {
    let mut stage = Stage::ready(RestartPolicy::Always);
    second(&mut stage, load(1, 1000, 0, 1), RoundOutcome::Answered);
    // The whole machine stood still: nothing has moved, by any clock.
    stage.after(30_000);
    second(&mut stage, load(1, 31_000, 30_000, 1), RoundOutcome::Void);
    for seconds in 1..=10 {
        second(&mut stage, load(1, 31_000 + seconds * 1000, 30_000, 1), RoundOutcome::Answered);
        assert_eq!(stage.unit.state(), UnitState::Busy, "{seconds} s after");
    }
    second(&mut stage, load(1, 50_000, 40_000, 1), RoundOutcome::Answered);
    assert_eq!(stage.unit.state(), UnitState::Wedged, "what it has had time to show counts");
}

#[test]
fn one_that_drains_may_be_wedged_too() {
    let mut stage = Stage::ready(RestartPolicy::Always);
    for seconds in 1..=12 {
        let load = load(1, 60_000, seconds * 1000, 1);
        stage.after(1000).works(1, Phase::Draining, load).round(1, RoundOutcome::Answered);
    }
    assert_eq!(stage.unit.state(), UnitState::Wedged);
}

fn soft() -> PluginSpec {
    PluginSpec { soft_signal: Some(SoftSignal::Quit), ..spec(RestartPolicy::Always) }
}

fn silent(stage: &mut Stage) -> &mut Stage {
    stage.round(1, RoundOutcome::Missed).round(1, RoundOutcome::Missed).story.clear();
    stage.round(1, RoundOutcome::Missed)
}

#[test]
fn a_soft_signal_comes_before_the_kill() {
    let mut stage = Stage::ready_of(soft());
    silent(&mut stage).did(&[
        "withdraw 1",
        "SIGQUIT 1",
        "ready → silent: silent: missed 3 survey rounds",
        "note: its last answer, 0 ms before: no call; 0 done, 0 failed, beat 0",
    ]);
    stage.answers(1, Phase::Ready).did(&[]);
    stage.deadline_passes().did(&["note: still there 2.0 s after SIGQUIT, killing it", "kill 1"]);
    stage.deadline_passes().did(&["note: process 1001 is stuck in the kernel: SIGKILL does not end it"]);
}

#[test]
fn whoever_ends_by_the_soft_signal_failed_all_the_same() {
    let mut stage = Stage::ready_of(PluginSpec { restart: RestartPolicy::OnFailure, ..soft() });
    silent(&mut stage).story.clear();
    let reason = "silent: missed 3 survey rounds; exited with code 0 after 50 ms: out of cheese; restarting at once";
    stage.after(10).exits(1, ExitState::Code(0)).did(&[
        "sweep 1",
        &format!("silent → backing-off: {reason}"),
        "spawn 2",
        "backing-off → starting: restart 1",
    ]);
}

#[test]
fn a_stop_after_the_soft_signal_wins() {
    let mut stage = Stage::ready_of(soft());
    silent(&mut stage).story.clear();
    stage.asked(UnitCommand::Stop).did(&["silent → stopping: asked to stop"]);
    stage.deadline_passes().did(&["note: still there 2.0 s after SIGQUIT, killing it", "kill 1"]);
    stage.exits(1, ExitState::Signal(9));
    assert_eq!(stage.unit.state(), UnitState::Stopped);
}

//! What comes after an end: tables of exits and policies, of stops in every state, and of too many restarts.

use super::*;

/// Every way in which a process can end.
fn exits() -> impl Iterator<Item = ExitState> {
    let signals = (1..=31).map(ExitState::Signal);
    (0..=255).map(ExitState::Code).chain(signals).chain([ExitState::Unknown])
}

fn is_success(exit: ExitState, codes: &BTreeSet<u8>) -> bool {
    matches!(exit, ExitState::Code(code) if codes.contains(&u8::try_from(code).unwrap()))
}

#[test]
fn every_exit_code_and_signal_under_every_policy() {
    for success_codes in [BTreeSet::from([0]), BTreeSet::from([0, 3, 255]), BTreeSet::from([7]), BTreeSet::new()] {
        for (exit, (restart, after_success, after_failure)) in exits().flat_map(|exit| {
            let table = [
                (RestartPolicy::Always, UnitState::Starting, UnitState::Starting),
                (RestartPolicy::OnFailure, UnitState::Stopped, UnitState::Starting),
                (RestartPolicy::Never, UnitState::Stopped, UnitState::Failed),
            ];
            table.map(|row| (exit, row))
        }) {
            let succeeded = is_success(exit, &success_codes);
            let spec = PluginSpec { success_codes: success_codes.clone(), ..spec(restart) };
            let mut stage = Stage::ready_of(spec.clone());
            stage.exits(1, exit);
            let expected = if succeeded { after_success } else { after_failure };
            assert_eq!(stage.unit.state(), expected, "{restart:?} after {exit}, successes {success_codes:?}");
            let last_words = stage.unit.status(stage.now).last_end.unwrap().reason.contains("out of cheese");
            assert_eq!(last_words, !succeeded && !exit.is_from_outside(), "{exit}");

            // Whoever was asked to stop has not failed, whatever it says at the end.
            let mut stage = Stage::ready_of(spec.clone());
            stage.asked(UnitCommand::Stop).exits(1, exit);
            assert_eq!(stage.unit.state(), UnitState::Stopped, "stopped under {restart:?}, then {exit}");

            // And whoever was asked to come back does, whatever its policy says of its exit.
            let mut stage = Stage::ready_of(spec);
            stage.asked(UnitCommand::Restart).exits(1, exit);
            assert_eq!(stage.unit.state(), UnitState::Starting, "restarted under {restart:?}, then {exit}");
            assert_eq!(stage.unit.status(stage.now).restarts, 0);
        }
    }
}

/// Brings a unit into a state.
fn bring(state: UnitState) -> Stage {
    let mut stage = Stage::new(RestartPolicy::Always);
    let stuck = Load { in_flight: 1, oldest_ms: 60_000, overdue_ms: 30_000, beat: 1, ..Load::default() };
    match state {
        UnitState::Stopped => return stage,
        UnitState::Disabled => {
            stage.asked(UnitCommand::Disable);
            return stage;
        }
        UnitState::Failed => {
            stage = Stage::ready(RestartPolicy::Never);
            stage.exits(1, ExitState::Code(1));
            return stage;
        }
        _ => stage.asked(UnitCommand::Start).spawned(1),
    };
    if state != UnitState::Starting && state != UnitState::BackingOff {
        stage.answers(1, Phase::Ready);
    }
    match state {
        UnitState::BackingOff => stage.exits(1, ExitState::Code(1)),
        UnitState::Busy => stage.works(1, Phase::Ready, stuck),
        UnitState::Draining => stage.answers(1, Phase::Draining),
        UnitState::Silent => (0..3).fold(&mut stage, |stage, _| stage.round(1, RoundOutcome::Missed)),
        UnitState::Wedged => (0..12).fold(&mut stage, |stage, _| {
            stage.after(1000).works(1, Phase::Ready, stuck).round(1, RoundOutcome::Answered)
        }),
        UnitState::Stopping => stage.asked(UnitCommand::Restart),
        _ => &mut stage,
    };
    stage
}

#[test]
fn a_stop_in_every_state_wins() {
    for state in UnitState::ALL {
        for command in [UnitCommand::Stop, UnitCommand::Disable] {
            let mut stage = bring(state);
            assert_eq!(stage.unit.state(), state);
            stage.story.clear();
            stage.asked(command.clone());
            let epoch = stage.unit.epoch.0;
            stage.answers(epoch, Phase::Ready).round(epoch, RoundOutcome::Missed);
            if state.is_running() {
                stage.deadline_passes().exits(epoch, ExitState::Code(1));
            }
            stage.after(100_000_000).tell(UnitEvent::DeadlinePassed);
            let expected = match command {
                UnitCommand::Stop if state != UnitState::Disabled => UnitState::Stopped,
                _ => UnitState::Disabled,
            };
            assert_eq!(stage.unit.state(), expected, "{state} and {command:?}");
            assert!(stage.unit.is_settled() && !stage.unit.is_wanted());
            let spawned = stage.story.iter().any(|line| line.starts_with("spawn"));
            assert!(!spawned, "{state} and {command:?}: {:?}", stage.story);
        }
    }
}

#[test]
fn a_stop_while_a_process_is_being_made_wins() {
    // A first start, a restart at once after a crash, a restart after a wait.
    for way in 0..3 {
        let mut stage = Stage::new(RestartPolicy::Always);
        stage.asked(UnitCommand::Start);
        if way == 1 {
            stage.spawned(1).answers(1, Phase::Ready).exits(1, ExitState::Signal(11));
        } else if way == 2 {
            stage.spawned(1).exits(1, ExitState::Code(1)).deadline_passes();
        }
        let epoch = stage.unit.epoch.0;
        stage.story.clear();
        stage.asked(UnitCommand::Stop).did(&["starting → stopping: asked to stop"]);
        stage.spawned(epoch).did(&[&format!("terminate {epoch}")]);
        stage.exits(epoch, ExitState::Signal(15));
        assert_eq!(stage.unit.state(), UnitState::Stopped, "way {way}");
    }
}

fn limited(then: AtIntensity) -> PluginSpec {
    let intensity = IntensitySpec { restarts: 3, within: Duration::from_secs(60), then };
    PluginSpec { intensity, ..spec(RestartPolicy::Always) }
}

#[test]
fn too_many_restarts_are_a_failure_where_that_is_wished() {
    let mut stage = Stage::of(limited(AtIntensity::Fail));
    stage.asked(UnitCommand::Start);
    for epoch in 1..=3 {
        stage.spawned(epoch).exits(epoch, ExitState::Code(1)).deadline_passes();
    }
    stage.spawned(4).story.clear();
    let given_up = "given up after 3 restarts within 1 min 0 s; `plugbus reset text` starts it again";
    stage
        .exits(4, ExitState::Code(1))
        .did(&["sweep 4", &format!("starting → failed: exited with code 1 after 0 ms: out of cheese; {given_up}")]);
    assert_eq!(stage.unit.deadline(), None);
    // A command has a counter of its own: it works at once, and the restarts begin anew.
    for command in [UnitCommand::Start, UnitCommand::Reset, UnitCommand::Restart] {
        stage.asked(command);
        let first = stage.unit.epoch.0;
        for epoch in first..first + 3 {
            stage.spawned(epoch).exits(epoch, ExitState::Code(1));
            assert_eq!(stage.unit.state(), UnitState::BackingOff);
            stage.deadline_passes();
        }
        stage.spawned(first + 3).exits(first + 3, ExitState::Code(1));
        assert_eq!(stage.unit.state(), UnitState::Failed);
    }
}

#[test]
fn by_default_it_goes_on_for_ever_and_is_called_flapping() {
    let mut stage = Stage::of(limited(AtIntensity::GoOn));
    stage.asked(UnitCommand::Start);
    for epoch in 1..=50 {
        stage.spawned(epoch).exits(epoch, ExitState::Code(1)).deadline_passes();
    }
    let told: Vec<_> = stage.story.iter().filter(|line| line.starts_with("flapping: ")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("flapping: 3 restarts within 1 min 0 s, and it goes on; exited with code 1"));
    assert_eq!(stage.unit.state(), UnitState::Starting);
}

#[test]
fn commands_use_up_nothing() {
    let mut stage = Stage::ready_of(limited(AtIntensity::Fail));
    for epoch in 1..=20 {
        stage.asked(UnitCommand::Restart).exits(epoch, ExitState::Code(1));
        stage.spawned(epoch + 1).answers(epoch + 1, Phase::Ready);
    }
    assert_eq!((stage.unit.state(), stage.unit.status(stage.now).restarts), (UnitState::Ready, 0));
}

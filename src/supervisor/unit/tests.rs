//! Scenarios and random schedules, without processes and without waiting.

mod ends;
mod gates;
mod load;
mod schedules;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::*;
use crate::bus::ProcessId;
use crate::supervisor::policy::health::RoundOutcome;
use crate::supervisor::{AtIntensity, BackoffSpec, ConfinementSpec, IntensitySpec, RestartPolicy};
use crate::trust::Trust;
use crate::wire::{Info, Load, Phase};

/// A plugin as tests have it.
pub(in crate::supervisor) fn sample_spec() -> PluginSpec {
    PluginSpec {
        name: "text".into(),
        command: vec!["plugbus-text".into()],
        trust: Trust::Any,
        files: Vec::new(),
        cwd: PathBuf::new(),
        env: BTreeMap::new(),
        confinement: ConfinementSpec::default(),
        allow: BTreeSet::new(),
        replicas: 1,
        restart: RestartPolicy::Always,
        backoff: BackoffSpec {
            min: Duration::from_millis(100),
            max: Duration::from_secs(60),
            jitter: 0.0,
            reset: Duration::from_secs(60),
        },
        start_timeout: Duration::from_secs(10),
        stop_grace: Duration::from_secs(5),
        orphan_timeout: None,
        enabled: true,
        success_codes: BTreeSet::from([0]),
        intensity: IntensitySpec { restarts: 1000, within: Duration::from_secs(60), then: AtIntensity::GoOn },
        wedge_grace: Duration::from_secs(10),
        soft_signal: None,
        soft_wait: Duration::from_secs(2),
        after: Vec::new(),
        requires: Vec::new(),
    }
}

fn spec(restart: RestartPolicy) -> PluginSpec {
    PluginSpec { restart, ..sample_spec() }
}

/// A unit, the time, and what it did.
struct Stage {
    unit: Unit,
    now: Instant,
    story: Vec<String>,
}

impl Stage {
    fn new(restart: RestartPolicy) -> Self {
        Self::of(spec(restart))
    }

    fn of(spec: PluginSpec) -> Self {
        let now = Instant::now();
        Self { unit: Unit::new(spec, 0, 3, 7, now), now, story: Vec::new() }
    }

    /// A unit that is ready, with an empty story.
    fn ready(restart: RestartPolicy) -> Self {
        Self::ready_of(spec(restart))
    }

    fn ready_of(spec: PluginSpec) -> Self {
        let mut stage = Self::of(spec);
        stage.tell(UnitEvent::Asked(UnitCommand::Start));
        stage.spawned(1);
        stage.after(40).answers(1, Phase::Ready);
        assert_eq!(stage.unit.state(), UnitState::Ready);
        stage.story.clear();
        stage
    }

    fn after(&mut self, millis: u64) -> &mut Self {
        self.now += Duration::from_millis(millis);
        self
    }

    fn tell(&mut self, event: UnitEvent) -> &mut Self {
        let actions = self.unit.handle(event, self.now);
        self.story.extend(actions.iter().map(|action| match action {
            UnitAction::Spawn { epoch } => format!("spawn {}", epoch.0),
            UnitAction::TakeBack { epoch } => format!("take back {}", epoch.0),
            UnitAction::Terminate { epoch } => format!("terminate {}", epoch.0),
            UnitAction::Urge { epoch, signal } => format!("{} {}", signal.as_str(), epoch.0),
            UnitAction::Kill { epoch } => format!("kill {}", epoch.0),
            UnitAction::PublishCard { epoch, .. } => format!("publish {}", epoch.0),
            UnitAction::WithdrawCard { epoch } => format!("withdraw {}", epoch.0),
            UnitAction::Sweep { epoch } => format!("sweep {}", epoch.0),
            UnitAction::Record(change) => format!("{} → {}: {}", change.from, change.to, change.reason),
            UnitAction::Flapping { reason } => format!("flapping: {reason}"),
            UnitAction::Note { reason } => format!("note: {reason}"),
        }));
        self
    }

    fn spawned(&mut self, epoch: u64) -> &mut Self {
        let process = ProcessId { pid: 1000 + u32::try_from(epoch).unwrap(), start_time: 1 };
        self.tell(UnitEvent::Spawned { epoch: Epoch(epoch), instance: format!("i{epoch}"), process })
    }

    fn answers(&mut self, epoch: u64, phase: Phase) -> &mut Self {
        self.works(epoch, phase, Load::default())
    }

    fn works(&mut self, epoch: u64, phase: Phase, load: Load) -> &mut Self {
        let answer = UnitAnswer { phase, load, info: Some(Info::default()), rtt: Duration::from_millis(1) };
        self.tell(UnitEvent::Answered { epoch: Epoch(epoch), answer })
    }

    fn round(&mut self, epoch: u64, outcome: RoundOutcome) -> &mut Self {
        self.tell(UnitEvent::RoundEnded { epoch: Epoch(epoch), outcome })
    }

    fn exits(&mut self, epoch: u64, exit: ExitState) -> &mut Self {
        let last_line = Some("out of cheese".into());
        self.tell(UnitEvent::Exited { epoch: Epoch(epoch), exit, last_line })
    }

    fn deadline_passes(&mut self) -> &mut Self {
        self.now = self.unit.deadline().expect("no deadline").max(self.now);
        self.tell(UnitEvent::DeadlinePassed)
    }

    fn asked(&mut self, command: UnitCommand) -> &mut Self {
        self.tell(UnitEvent::Asked(command))
    }

    #[track_caller]
    fn did(&mut self, expected: &[&str]) -> &mut Self {
        assert_eq!(std::mem::take(&mut self.story), expected);
        self
    }
}

#[test]
fn a_start_leads_to_ready() {
    let mut stage = Stage::new(RestartPolicy::Always);
    stage.asked(UnitCommand::Start).did(&["spawn 1", "stopped → starting: asked to start"]);
    stage.after(2).spawned(1).did(&[]);
    stage.after(30).answers(1, Phase::Starting).did(&[]);
    stage.after(10).answers(1, Phase::Ready).did(&["publish 1", "starting → ready: ready 40 ms after its start"]);
    stage.after(10).answers(1, Phase::Ready).did(&[]);
    assert_eq!(stage.unit.deadline(), None);
}

#[test]
fn without_its_methods_it_is_not_yet_ready() {
    let mut stage = Stage::new(RestartPolicy::Always);
    stage.asked(UnitCommand::Start).spawned(1);
    let answer = UnitAnswer { phase: Phase::Ready, load: Load::default(), info: None, rtt: Duration::from_millis(1) };
    stage.tell(UnitEvent::Answered { epoch: Epoch(1), answer });
    assert_eq!(stage.unit.state(), UnitState::Starting);
    stage.answers(1, Phase::Ready);
    assert_eq!(stage.unit.state(), UnitState::Ready);
}

#[test]
fn a_crash_after_being_ready_is_followed_by_a_start_at_once_then_by_waits() {
    let mut stage = Stage::ready(RestartPolicy::Always);
    stage.after(2060).exits(1, ExitState::Code(3)).did(&[
        "sweep 1",
        "ready → backing-off: exited with code 3 after 2.1 s: out of cheese; restarting at once",
        "spawn 2",
        "backing-off → starting: restart 1",
    ]);
    stage.spawned(2).answers(2, Phase::Ready).did(&["publish 2", "starting → ready: ready 0 ms after its start"]);
    stage
        .after(500)
        .exits(2, ExitState::Signal(9))
        .did(&["sweep 2", "ready → backing-off: killed by SIGKILL after 500 ms; restarting in 100 ms"]);
    stage.deadline_passes().did(&["spawn 3", "backing-off → starting: restart 2"]);
    assert_eq!(stage.unit.status(stage.now).restarts, 2);
}

#[test]
fn the_restart_policy_is_obeyed() {
    let mut stage = Stage::ready(RestartPolicy::OnFailure);
    stage
        .exits(1, ExitState::Code(0))
        .did(&["sweep 1", "ready → stopped: exited with code 0 after 40 ms; not to be restarted"]);
    let mut stage = Stage::ready(RestartPolicy::Never);
    stage
        .exits(1, ExitState::Signal(11))
        .did(&["sweep 1", "ready → failed: killed by SIGSEGV after 40 ms: out of cheese; never to be restarted"]);
    stage.asked(UnitCommand::Start).did(&["spawn 2", "failed → starting: asked to start"]);
}

#[test]
fn a_silent_one_is_killed_without_grace_and_started_again() {
    let mut stage = Stage::ready(RestartPolicy::OnFailure);
    stage.round(1, RoundOutcome::Missed).did(&["note: no answer to 1 of 3 survey rounds"]);
    stage.round(1, RoundOutcome::Void).did(&[]);
    stage.round(1, RoundOutcome::Missed).did(&["note: no answer to 2 of 3 survey rounds"]);
    stage.round(1, RoundOutcome::Missed).did(&[
        "withdraw 1",
        "kill 1",
        "ready → silent: silent: missed 3 survey rounds",
        "note: its last answer, 0 ms before: no call; 0 done, 0 failed, beat 0",
    ]);
    stage.after(3).exits(1, ExitState::Signal(9)).did(&[
        "sweep 1",
        "silent → backing-off: silent: missed 3 survey rounds; killed by SIGKILL after 43 ms; restarting at once",
        "spawn 2",
        "backing-off → starting: restart 1",
    ]);
}

#[test]
fn an_answer_between_two_misses_pardons() {
    let mut stage = Stage::ready(RestartPolicy::Always);
    for _ in 0..5 {
        stage.round(1, RoundOutcome::Missed).round(1, RoundOutcome::Missed).answers(1, Phase::Ready);
    }
    assert_eq!(stage.unit.state(), UnitState::Ready);
}

#[test]
fn one_that_never_gets_ready_is_ended_with_grace() {
    let mut stage = Stage::new(RestartPolicy::Always);
    stage.asked(UnitCommand::Start).spawned(1).round(1, RoundOutcome::Missed).story.clear();
    stage
        .deadline_passes()
        .did(&["starting → stopping: not ready 10.0 s after its start: it never answered a survey", "terminate 1"]);
    stage.deadline_passes().did(&["note: still there 5.0 s after SIGTERM, killing it", "kill 1"]);
    stage.after(0).exits(1, ExitState::Signal(9)).did(&[
        "sweep 1",
        "stopping → backing-off: not ready 10.0 s after its start: it never answered a survey; killed by SIGKILL after 15.0 s; restarting in 100 ms",
    ]);
}

#[test]
fn the_time_in_which_the_supervisor_stood_still_is_given_back() {
    let mut stage = Stage::new(RestartPolicy::Always);
    stage.asked(UnitCommand::Start).spawned(1).after(31_000).story.clear();
    stage.tell(UnitEvent::StoodStill { time: Duration::from_secs(30) }).tell(UnitEvent::DeadlinePassed).did(&[]);
    stage.deadline_passes();
    assert_eq!(stage.unit.state(), UnitState::Stopping);
    let overdue = stage.unit.deadline();
    stage.tell(UnitEvent::StoodStill { time: Duration::from_secs(30) });
    assert_eq!(stage.unit.deadline(), overdue, "a grace period is not for asking");
}

#[test]
fn a_program_that_cannot_be_started_backs_off() {
    let mut stage = Stage::new(RestartPolicy::Always);
    stage.asked(UnitCommand::Start).story.clear();
    for (epoch, wait) in [(1, "100 ms"), (2, "200 ms"), (3, "400 ms")] {
        let error = "program not found: /x".to_owned();
        stage.tell(UnitEvent::SpawnFailed { epoch: Epoch(epoch), error });
        let expected = format!("starting → backing-off: program not found: /x; restarting in {wait}");
        stage.did(&[&expected]);
        stage.deadline_passes().story.clear();
    }
}

#[test]
fn a_stop_ends_what_runs_and_is_never_a_crash() {
    let mut stage = Stage::ready(RestartPolicy::Always);
    stage.asked(UnitCommand::Stop).did(&["withdraw 1", "ready → stopping: asked to stop", "terminate 1"]);
    stage
        .after(10)
        .exits(1, ExitState::Code(1))
        .did(&["sweep 1", "stopping → stopped: stopped as asked: exited with code 1 after 50 ms"]);
    assert!(stage.unit.is_settled());
    stage.asked(UnitCommand::Stop).did(&[]);
}

#[test]
fn one_that_ignores_sigterm_is_killed_and_one_that_survives_that_is_called_stuck() {
    let mut stage = Stage::ready(RestartPolicy::Always);
    stage.asked(UnitCommand::Stop).story.clear();
    stage.deadline_passes().did(&["note: still there 5.0 s after SIGTERM, killing it", "kill 1"]);
    assert!(!stage.unit.is_settled());
    stage.deadline_passes().did(&["note: process 1001 is stuck in the kernel: SIGKILL does not end it"]);
    assert!(stage.unit.is_settled());
    stage.exits(1, ExitState::Signal(9)).did(&[
        "sweep 1",
        "stopping → stopped: stopped as asked, but ignored SIGTERM: killed by SIGKILL after 10.0 s",
    ]);
}

#[test]
fn a_stop_during_start_wins() {
    let mut stage = Stage::new(RestartPolicy::Always);
    stage.asked(UnitCommand::Start).asked(UnitCommand::Stop).did(&[
        "spawn 1",
        "stopped → starting: asked to start",
        "starting → stopping: asked to stop",
    ]);
    stage.spawned(1).did(&["terminate 1"]);
    stage.answers(1, Phase::Ready).did(&[]);
    stage.exits(1, ExitState::Signal(15));
    assert_eq!(stage.unit.state(), UnitState::Stopped);

    let mut stage = Stage::new(RestartPolicy::Always);
    stage.asked(UnitCommand::Start).asked(UnitCommand::Stop);
    stage.tell(UnitEvent::SpawnFailed { epoch: Epoch(1), error: "no".into() });
    assert_eq!(stage.unit.state(), UnitState::Stopped);
}

#[test]
fn a_stop_during_backoff_or_after_a_verdict_wins() {
    let mut stage = Stage::new(RestartPolicy::Always);
    stage.asked(UnitCommand::Start).spawned(1).exits(1, ExitState::Code(1)).story.clear();
    stage.asked(UnitCommand::Stop).did(&["backing-off → stopped: asked to stop"]);
    assert_eq!(stage.unit.deadline(), None);

    let mut stage = Stage::ready(RestartPolicy::Always);
    for _ in 0..3 {
        stage.round(1, RoundOutcome::Missed);
    }
    stage.story.clear();
    stage.asked(UnitCommand::Stop).did(&["silent → stopping: asked to stop"]);
    stage.exits(1, ExitState::Signal(9));
    assert_eq!(stage.unit.state(), UnitState::Stopped);
}

#[test]
fn a_start_while_it_stops_comes_after_the_exit() {
    let mut stage = Stage::ready(RestartPolicy::Never);
    stage.asked(UnitCommand::Stop).asked(UnitCommand::Start).story.clear();
    stage.exits(1, ExitState::Code(0)).did(&[
        "sweep 1",
        "stopping → stopped: stopped as asked: exited with code 0 after 40 ms",
        "spawn 2",
        "stopped → starting: started anew, as asked",
    ]);
}

#[test]
fn a_restart_ends_and_begins_and_a_stop_meanwhile_wins() {
    let mut stage = Stage::ready(RestartPolicy::Never);
    stage.asked(UnitCommand::Restart).did(&["withdraw 1", "ready → stopping: asked to restart", "terminate 1"]);
    stage.exits(1, ExitState::Code(1)).did(&[
        "sweep 1",
        "stopping → stopped: stopped as asked: exited with code 1 after 40 ms",
        "spawn 2",
        "stopped → starting: started anew, as asked",
    ]);
    assert_eq!(stage.unit.status(stage.now).restarts, 0);
    stage.spawned(2).answers(2, Phase::Ready).asked(UnitCommand::Restart).asked(UnitCommand::Stop);
    stage.exits(2, ExitState::Code(0));
    assert_eq!(stage.unit.state(), UnitState::Stopped);
    stage.story.clear();
    stage.asked(UnitCommand::Restart).did(&["spawn 3", "stopped → starting: asked to restart"]);
}

#[test]
fn whoever_is_disabled_rests_until_it_is_enabled_or_started() {
    let mut stage = Stage::ready(RestartPolicy::Always);
    stage.asked(UnitCommand::Disable).exits(1, ExitState::Code(0)).did(&[
        "withdraw 1",
        "ready → stopping: disabled",
        "terminate 1",
        "sweep 1",
        "stopping → disabled: stopped as asked: exited with code 0 after 40 ms",
    ]);
    stage.asked(UnitCommand::Stop).asked(UnitCommand::Disable).did(&[]);
    stage.asked(UnitCommand::Start).did(&["spawn 2", "disabled → starting: asked to start"]);
    stage.tell(UnitEvent::SpawnFailed { epoch: Epoch(2), error: "no".into() });
    stage.asked(UnitCommand::Stop);
    assert_eq!(stage.unit.state(), UnitState::Disabled);
    stage.story.clear();
    stage.asked(UnitCommand::Enable).did(&["spawn 3", "disabled → starting: enabled"]);
}

#[test]
fn a_reset_forgets_failures_and_tries_at_once() {
    let mut stage = Stage::ready(RestartPolicy::Never);
    stage.exits(1, ExitState::Code(1));
    assert_eq!(stage.unit.state(), UnitState::Failed);
    stage.story.clear();
    stage.asked(UnitCommand::Reset).did(&["spawn 2", "failed → starting: reset"]);
    stage.spawned(2).asked(UnitCommand::Reset).did(&[]);
    stage.asked(UnitCommand::Stop).exits(2, ExitState::Code(0)).story.clear();
    stage.asked(UnitCommand::Reset).did(&[]);
    assert_eq!(stage.unit.state(), UnitState::Stopped);
}

#[test]
fn the_late_word_of_an_old_process_changes_nothing() {
    let mut stage = Stage::ready(RestartPolicy::Always);
    stage.exits(1, ExitState::Code(1)).spawned(2).answers(2, Phase::Ready).story.clear();
    stage.exits(1, ExitState::Code(1)).round(1, RoundOutcome::Missed).answers(1, Phase::Draining).did(&[]);
    stage.tell(UnitEvent::SpawnFailed { epoch: Epoch(1), error: "late".into() }).did(&[]);
    assert_eq!(stage.unit.state(), UnitState::Ready);
    stage.spawned(9).did(&["kill 9"]);
}

#[test]
fn a_plugin_that_drains_can_no_longer_be_found() {
    let mut stage = Stage::ready(RestartPolicy::OnFailure);
    stage.answers(1, Phase::Draining).did(&["withdraw 1", "ready → draining: says that it takes no more calls"]);
    stage.exits(1, ExitState::Code(0));
    assert_eq!(stage.unit.state(), UnitState::Stopped);
}

//! A stop ends everything that was started, in time, and leaves nothing.

use std::time::Instant;

use rustix::process::Signal;

use crate::support::{PATIENT, Stage, eventually, misbehaving, processes_of, signal, text_plugin};

#[test]
fn a_frozen_plugin_stops_promptly() {
    let mut stage = Stage::start(&(PATIENT.to_owned() + &text_plugin("stop_grace = '20s'")));
    let plugin = stage.ready("text");
    signal(plugin.pid.unwrap(), Signal::STOP);
    // Without SIGCONT it would not hear SIGTERM before its grace is over.
    stage.stop_without_trace();
    let reason = stage.reasons("text", "stopped").pop().unwrap();
    assert!(reason.starts_with("stopped as asked: exited with code 0 after "), "{reason}");
}

#[test]
fn who_ignores_sigterm_is_killed_after_its_grace() {
    let config = PATIENT.to_owned() + &misbehaving("deaf", "ignore-term", "stop_grace = '300ms'");
    let mut stage = Stage::start(&config);
    stage.ready("deaf");
    let begun = Instant::now();
    stage.stop_without_trace();
    assert!(begun.elapsed().as_millis() >= 300, "its grace was cut short: {:?}", begun.elapsed());
    let reason = stage.reasons("deaf", "stopped").pop().unwrap();
    assert!(reason.starts_with("stopped as asked, but ignored SIGTERM: killed by SIGKILL"), "{reason}");
}

#[test]
fn children_end_with_their_plugin() {
    let stubborn = "stop_grace = '300ms'";
    let config = PATIENT.to_owned()
        + &misbehaving("parent", "child", "")
        + &misbehaving("deaf", "child ignore-term", stubborn);
    let mut stage = Stage::start(&config);
    let (parent, _) = (stage.ready("parent"), stage.ready("deaf"));
    let family = || processes_of(stage.bus());
    let before = family();
    assert_eq!(before.len(), 4, "two plugins with a child each: {before:?}");
    // A crash leaves no children either: they would keep on working beside the next instance.
    signal(parent.pid.unwrap(), Signal::KILL);
    stage.ready_again(&parent);
    let after = eventually("the first child is gone", || Some(family()).filter(|family| family.len() == 4));
    assert_eq!(after.iter().filter(|process| before.contains(process)).count(), 2, "{before:?} {after:?}");
    stage.stop_without_trace();
}

#[test]
fn a_stop_comes_through_in_every_state() {
    let config = PATIENT.to_owned()
        + &misbehaving("starting", "starting", "start_timeout = '1h'")
        + &misbehaving("waiting", "exit=1", "backoff = { min = '1h', max = '1h' }")
        + &misbehaving("over", "exit=0", "restart = 'never'")
        + "[plugins.missing]\ncommand = ['/no/such/program']\n"
        + &text_plugin("replicas = 2");
    let mut stage = Stage::spawn(&config);
    stage.ready("text");
    stage.until("waiting", |plugin| plugin.restart_in_ms.is_some());
    stage.until("starting", |plugin| plugin.answer.is_some());
    stage.stop_without_trace();
    for name in ["starting", "waiting", "over", "missing", "text"] {
        assert!(!stage.reasons(name, "stopped").is_empty(), "{name}");
    }
}

#[test]
fn a_bus_without_plugins_starts_and_stops_again_and_again() {
    let mut stage = Stage::empty();
    for _ in 0..3 {
        stage.supervise("");
        assert!(stage.status().plugins.is_empty());
        assert_eq!(stage.survey().answers, []);
        stage.stop_without_trace();
    }
}

#[test]
fn a_second_supervisor_is_refused_with_a_reason_and_disturbs_nobody() {
    let stage = Stage::start(&(PATIENT.to_owned() + &text_plugin("")));
    let before = stage.ready("text");
    let spec = stage.spec(&(PATIENT.to_owned() + &text_plugin("")));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let refused = runtime.block_on(plugbus::supervisor::Supervisor::start(spec)).unwrap_err().to_string();
    let path = stage.bus().path().display().to_string();
    assert!(refused.contains(&path) && refused.contains(&std::process::id().to_string()), "{refused}");
    assert_eq!((stage.survey().answers.len(), stage.plugin("text").pid), (1, before.pid));
}

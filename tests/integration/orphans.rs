//! A plugin whose supervisor stays away does what `on_supervisor_exit` says.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{PATIENT, Stage, eventually, plugin, processes_of, python, signal, text_plugin};

const STOP: &str = "on_supervisor_exit = 'stop'\norphan_timeout = '800ms'";

/// A supervisor that is stopped for longer than the time is there all the same.
const STOPPED: Duration = Duration::from_millis(2000);

#[track_caller]
fn ends_by_itself(config: &str, name: &str) {
    let mut stage = Stage::spawn(&(PATIENT.to_owned() + config + &plugin("keeper", &["/bin/sleep", "1000"], "")));
    let before = stage.ready(name);
    signal(stage.supervisor_pid(), Signal::STOP);
    thread::park_timeout(STOPPED);
    signal(stage.supervisor_pid(), Signal::CONT);
    assert_eq!((stage.ready(name).pid, stage.plugin(name).restarts), (before.pid, 0));
    let begun = Instant::now();
    stage.kill_supervisor();
    let left = || processes_of(stage.bus()).into_iter().any(|process| Some(process.pid) == before.pid);
    eventually("it ends", || (!left()).then_some(()));
    assert!(begun.elapsed() >= Duration::from_millis(600), "{:?}", begun.elapsed());
    assert!(!processes_of(stage.bus()).is_empty(), "whoever was not told to end runs on");
}

#[test]
fn with_stop_it_ends_once_nobody_came_back() {
    ends_by_itself(&text_plugin(STOP), "text");
}

#[test]
fn so_does_the_plugin_in_python() {
    let Some(python) = python() else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/python/text_plugin.py");
    ends_by_itself(&plugin("python", &[python.get_program().to_str().unwrap(), script], STOP), "python");
}

#[test]
fn with_keep_it_runs_on_and_a_supervisor_in_time_keeps_the_others() {
    let config = PATIENT.to_owned()
        + &text_plugin("")
        + &plugin("patient", &[env!("CARGO_BIN_EXE_plugbus-text")], "orphan_timeout = '20s'");
    let mut stage = Stage::spawn(&config);
    let before = ["text", "patient"].map(|name| stage.ready(name).pid);
    stage.kill_supervisor();
    thread::park_timeout(STOPPED);
    stage.supervise_apart(&config, |command| command);
    assert_eq!(["text", "patient"].map(|name| stage.ready(name).pid), before);
    stage.stop_without_trace();
}

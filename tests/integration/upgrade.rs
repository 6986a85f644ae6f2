//! The supervisor's program is replaced in place, and no plugin notices. U6 of the catalogue of faults.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use plugbus::supervisor::UnitState;
use rustix::process::Signal;

use crate::support::{LONG, QUICK, Stage, eventually, misbehaving, processes_of, signal, text_plugin};

/// The supervisor's card changes with each program, its process does not.
#[track_caller]
fn replaced(stage: &mut Stage, act: impl FnOnce(u32)) {
    let card = |stage: &Stage| {
        stage.bus().cards().unwrap().into_iter().find(|card| card.name == "supervisor").map(|card| card.instance)
    };
    let before = card(stage).unwrap();
    act(stage.supervisor_pid());
    eventually("another supervisor, in the same process", || card(stage).filter(|instance| *instance != before));
    stage.until_callable();
}

fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

fn all_ready(stage: &Stage) -> bool {
    stage.status().plugins.iter().all(|plugin| plugin.state == UnitState::Ready && plugin.restarts == 0)
}

/// A copy of the program that can be taken away.
fn program(directory: &Path) -> String {
    let path = directory.join("plugbus");
    fs::copy(env!("CARGO_BIN_EXE_plugbus"), &path).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn u6_no_plugin_is_restarted_and_no_call_fails() {
    let config = QUICK.to_owned() + &text_plugin("replicas = 5") + &misbehaving("other", "", "");
    let mut stage = Stage::spawn(&config);
    eventually("all are ready", || all_ready(&stage).then_some(()));
    let pids = |stage: &Stage| {
        let mut pids: Vec<_> = processes_of(stage.bus()).into_iter().map(|process| process.pid).collect();
        pids.sort_unstable();
        pids
    };
    let (before, pid) = (pids(&stage), stage.supervisor_pid());
    let mut files = Vec::new();
    for _ in 0..4 {
        // Many signals at once are one, or the next; none of them ends the process.
        replaced(&mut stage, |pid| (0..3).for_each(|_| signal(pid, Signal::USR2)));
        let bus = stage.caller();
        assert_eq!(bus.request("text.revert").timeout(LONG).call::<String, _>("ab").unwrap(), "ba");
        eventually("all are ready again", || all_ready(&stage).then_some(()));
        files.push(open_files(pid));
    }
    assert_eq!((pids(&stage), stage.supervisor_pid()), (before, pid));
    assert!(files.iter().max().unwrap() - files.iter().min().unwrap() <= 6, "descriptors are lost: {files:?}");
    // They are its children still.
    let other = stage.ready("other");
    signal(other.pid.unwrap(), Signal::USR1);
    let end = stage.ready_again(&other).last_end.unwrap().reason;
    assert!(end.starts_with("killed by SIGUSR1 after "), "{end}");
    stage.stop_without_trace();
}

#[test]
fn what_cannot_be_replaced_goes_on_as_it_is() {
    let mut stage = Stage::empty();
    let program = program(stage.scratch());
    let config = QUICK.to_owned() + &text_plugin("");
    let started = |stage: &mut Stage| {
        let mut command = std::process::Command::new(&program);
        command.args(["supervise", "-c"]).arg(stage.scratch().join("plugbus.toml"));
        command.env("PLUGBUS_DIR", stage.scratch()).stderr(std::process::Stdio::null());
        stage.launch(&config, |given| {
            *given = command;
            given
        });
        stage.until_callable();
    };
    started(&mut stage);
    let before = stage.ready("text");
    let said = || stage.events();
    let leaving = |events: Vec<serde_json::Value>| {
        events.iter().filter(|event| event["reason"] == "leaving; the plugins run on by themselves").count()
    };
    // A configuration that is broken is noticed before anything is let go.
    fs::write(stage.scratch().join("plugbus.toml"), "nonsense").unwrap();
    signal(stage.supervisor_pid(), Signal::USR2);
    // The next word is heard after it.
    assert_eq!(stage.ready("text").pid, before.pid);
    fs::write(stage.scratch().join("plugbus.toml"), &config).unwrap();
    assert_eq!(leaving(said()), 0);
    // A file that is no program is found out too late, and taken back by whoever tried.
    fs::remove_file(&program).unwrap();
    fs::write(&program, "no program\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    replaced(&mut stage, |pid| signal(pid, Signal::USR2));
    let after = stage.ready("text");
    assert_eq!((after.pid, after.restarts), (before.pid, 0));
    assert_eq!(leaving(stage.events()), 1);
    stage.stop_without_trace();
}

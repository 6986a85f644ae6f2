//! What carries calls, and who decides that.

use std::fs;
use std::process::Command;

use plugbus::bus::Lane;

use crate::support::{QUICK, Stage, plugin, text_plugin};

/// The lane that a process serves its calls on, by the threads it has for that.
fn serves_on(pid: u32) -> Lane {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let mut names = threads.filter_map(|thread| fs::read_to_string(thread.unwrap().path().join("comm")).ok());
    if names.any(|name| name.trim() == "plugbus-lane") { Lane::Direct } else { Lane::Nng }
}

fn supervise(stage: &mut Stage, config: &str, variable: Option<Lane>) {
    let config = format!("{config}{QUICK}{}", text_plugin(""));
    stage.supervise_apart(&config, |command| match variable {
        Some(lane) => command.env("PLUGBUS_LANE", lane.name()),
        None => command.env_remove("PLUGBUS_LANE"),
    });
    stage.ready("text");
}

fn assert_serve_on(stage: &Stage, lane: Lane) {
    let text = stage.ready("text").pid.unwrap();
    assert_eq!((serves_on(stage.supervisor_pid()), serves_on(text)), (lane, lane));
    let environment = fs::read(format!("/proc/{text}/environ")).unwrap();
    let told = format!("PLUGBUS_LANE={}", lane.name());
    assert!(environment.split(|byte| *byte == 0).any(|variable| variable == told.as_bytes()), "{told} is missing");
}

#[test]
fn the_configuration_decides_for_supervisor_and_plugins_and_either_calls_either() {
    for lane in Lane::ALL {
        let mut stage = Stage::empty();
        supervise(&mut stage, &format!("bus.lane = '{}'\n", lane.name()), None);
        assert_serve_on(&stage, lane);
        for caller in Lane::ALL {
            for (method, expected) in [("text.revert", "cba\n"), ("supervisor.$ping", "")] {
                let mut call = Command::new(env!("CARGO_BIN_EXE_plugbus"));
                call.args(["call", method]).args((method == "text.revert").then_some("abc"));
                call.env("PLUGBUS_DIR", stage.scratch()).env("PLUGBUS_LANE", caller.name());
                let called = call.output().unwrap();
                let said = (String::from_utf8(called.stdout).unwrap(), String::from_utf8(called.stderr).unwrap());
                assert_eq!(said, (expected.to_owned(), String::new()), "{method} from {caller:?} to {lane:?}");
            }
        }
        stage.stop_without_trace();
    }
}

#[test]
fn the_variable_wins_over_the_file_and_a_plugins_own_over_both() {
    let mut stage = Stage::empty();
    supervise(&mut stage, "bus.lane = 'direct'\n", Some(Lane::Nng));
    assert_serve_on(&stage, Lane::Nng);
    stage.stop_without_trace();

    let mut stage = Stage::empty();
    let own = plugin("own", &[env!("CARGO_BIN_EXE_plugbus-text")], "env = { PLUGBUS_LANE = 'nng' }\n");
    stage.supervise_apart(&format!("{QUICK}{}{own}", text_plugin("")), |command| command.env_remove("PLUGBUS_LANE"));
    assert_eq!(serves_on(stage.ready("own").pid.unwrap()), Lane::Nng);
    assert_eq!(serves_on(stage.ready("text").pid.unwrap()), Lane::Direct);
    stage.stop_without_trace();
}

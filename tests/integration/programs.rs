//! Programs that cannot be run: said in words, tried again with patience, and nobody else is disturbed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use plugbus::supervisor::{EndReport, UnitState};
use rustix::process::Signal;

use crate::support::{LONG, PATIENT, Stage, eventually, misbehaving, plugin, signal, text_plugin};

const BACKOFF: &str = "backoff = { min = '40ms', max = '200ms', jitter = 0.0 }";

fn file(directory: &Path, name: &str, content: &[u8], mode: u32) -> String {
    let path = directory.join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The start of a program for a SPARC of the nineties.
fn foreign_program() -> Vec<u8> {
    let mut header = vec![0; 64];
    header[..7].copy_from_slice(b"\x7fELF\x02\x02\x01");
    (header[17], header[19], header[23]) = (2, 2, 1);
    header
}

#[test]
fn what_cannot_be_run_says_why_in_words() {
    let mut stage = Stage::empty();
    let at = stage.scratch().to_owned();
    let data = file(&at, "data", b"#!/bin/sh\n", 0o644);
    let foreign = file(&at, "foreign", &foreign_program(), 0o755);
    let script = file(&at, "script", b"#!/no/such/interpreter -x\n", 0o755);
    let folder = at.to_str().unwrap().to_owned();
    let cases = [
        ("missing", "/no/such/program".to_owned(), "program not found: /no/such/program".to_owned()),
        ("unknown", "no-such-program-anywhere".into(), "program not found on PATH: no-such-program-anywhere".into()),
        ("data", data.clone(), format!("not executable: {data}: it lacks the execute permission (chmod +x)")),
        ("folder", folder.clone(), format!("not executable: {folder}: it is a directory")),
        (
            "foreign",
            foreign.clone(),
            format!("not a program for this machine: {foreign} is for another architecture"),
        ),
        (
            "script",
            script.clone(),
            format!("interpreter not found: {script} starts with \"#!/no/such/interpreter -x\""),
        ),
    ];
    let sections: String = cases.iter().map(|(name, program, _)| plugin(name, &[program], BACKOFF)).collect();
    stage.supervise(&(PATIENT.to_owned() + &sections + &text_plugin("")));
    let healthy = stage.ready("text");
    for (name, _, words) in &cases {
        let said = |end: &Option<EndReport>| end.as_ref().is_some_and(|end| end.reason.starts_with(words.as_str()));
        let status = stage.until(name, |plugin| plugin.restarts >= 2 && said(&plugin.last_end));
        assert_eq!(status.pid, None);
        let waiting = stage.until(name, |plugin| plugin.state == UnitState::BackingOff);
        assert!(waiting.reason.starts_with(words.as_str()) && waiting.reason.contains("; restarting in "));
        let told = stage.reasons(name, "backing-off");
        assert!(told.iter().any(|reason| reason.starts_with(words.as_str())), "{told:?}");
    }
    assert_eq!(stage.caller().request("revert").timeout(LONG).call::<String, _>("ab").unwrap(), "ba");
    assert_eq!((stage.plugin("text").restarts, stage.plugin("text").pid), (0, healthy.pid));
    stage.stop_without_trace();
}

#[test]
fn what_exits_at_once_waits_twice_as_long_each_time() {
    let config = PATIENT.to_owned() + &misbehaving("crash", "exit=7", BACKOFF) + &text_plugin("");
    let mut stage = Stage::start(&config);
    stage.until("crash", |plugin| plugin.restarts >= 5);
    let reasons = stage.reasons("crash", "backing-off");
    for (reason, wait) in reasons.iter().zip(["40 ms", "80 ms", "160 ms", "200 ms", "200 ms"]) {
        assert!(reason.starts_with("exited with code 7 after "), "{reason}");
        assert!(reason.ends_with(&format!(": leaving with 7; restarting in {wait}")), "{reasons:?}");
    }
    assert_eq!(stage.ready("text").restarts, 0);
    stage.stop_without_trace();
}

/// C5: the system has no room. Whoever runs is left alone, and who cannot be started waits and says why.
#[test]
fn without_room_for_another_open_file_who_runs_goes_on() {
    let many = "replicas = 40\nstart_timeout = '1h'\nbackoff = { min = '200ms', max = '1s' }";
    let config = PATIENT.to_owned() + &text_plugin("") + &plugin("many", &["/bin/sleep", "1000"], many);
    let mut stage = Stage::empty();
    let limited = stage.scratch().join("limited.sh");
    fs::write(&limited, "ulimit -n 96; exec \"$@\"\n").unwrap();
    stage.supervise_apart_by(&config, &["bash", limited.to_str().unwrap()]);
    let healthy = stage.ready("text");
    let words = "too many open files: the supervisor's limit (ulimit -n) has no room for another plugin";
    eventually("one cannot be started", || {
        let told = stage.reasons("many", "backing-off");
        told.iter().any(|reason| reason.starts_with(words)).then_some(())
    });
    let bus = stage.caller();
    assert_eq!(bus.request("text.revert").timeout(LONG).call::<String, _>("ab").unwrap(), "ba");
    // Some end, and there is room for others.
    let status = stage.status();
    let running = status.plugins.iter().filter(|plugin| plugin.name == "many").filter_map(|plugin| plugin.pid);
    running.take(5).for_each(|pid| signal(pid, Signal::KILL));
    eventually("others are started in their place", || {
        stage.status().plugins.iter().any(|plugin| plugin.restarts > 0 && plugin.pid.is_some()).then_some(())
    });
    assert_eq!((stage.ready("text").pid, stage.plugin("text").restarts), (healthy.pid, 0));
    stage.stop_without_trace();
}

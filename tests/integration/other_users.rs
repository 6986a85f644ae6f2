//! Plugins of other users, and callers of other users, as far as a configuration lets them in. Real users, so as root alone.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use plugbus::supervisor::UnitState;
use rustix::process::Signal;

use crate::support::{LONG, PATIENT, Stage, plugin, signal, text_plugin};

/// Users whom every system has, and as whom nothing runs here.
const NOBODY: u32 = 65534;
const DAEMON: u32 = 1;

/// Whether this is root, and others can execute what was built; says so where not.
fn others_can_be_tried() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    let tried =
        is_root && run_as(NOBODY, Path::new("/"), &["--version"]).is_some_and(|output| output.status.success());
    if !tried {
        let _ = writeln!(
            io::stderr(),
            "not root, or others cannot execute plugbus here: nothing is tried as another user"
        );
    }
    tried
}

/// `plugbus` as that user, on the buses below that directory; `None` where it cannot be executed.
fn run_as(user: u32, buses: &Path, arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plugbus"));
    command.args(arguments).env("PLUGBUS_DIR", buses).env_remove("XDG_RUNTIME_DIR").current_dir("/");
    command.stdin(Stdio::null()).uid(user).gid(user).output().ok()
}

/// What it prints, and what it says.
fn said(stage: &Stage, user: u32, arguments: &[&str]) -> (String, String) {
    let output = run_as(user, stage.scratch(), arguments).unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim_end().to_owned();
    (text(output.stdout), text(output.stderr))
}

/// A file that plugins of other users can write to.
fn for_all_to_write(stage: &Stage) -> PathBuf {
    let file = stage.scratch().join("seen");
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    file
}

/// A line of `/proc/PID/status`, without its name.
fn of_process(pid: u32, line: &str) -> Vec<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(':')).unwrap().to_owned();
    line.split_whitespace().map(str::to_owned).collect()
}

fn revert(stage: &Stage, method: &str) -> String {
    stage.caller().request(method).timeout(LONG).call("ab").unwrap()
}

#[test]
fn a_plugin_runs_as_another_user_and_is_called_killed_and_taken_back_like_any_other() {
    if !others_can_be_tried() {
        return;
    }
    for lane in ["direct", "nng"] {
        let mut stage = Stage::empty();
        let config = format!("[bus]\nlane = '{lane}'\n{PATIENT}{}", text_plugin("user = 'nobody'\nreplicas = 2"));
        stage.supervise_apart(&config, |command| command);
        let first = stage.ready("text");
        let pid = first.pid.unwrap();
        assert_eq!(of_process(pid, "Uid"), vec![NOBODY.to_string(); 4]);
        assert!(!of_process(pid, "Groups").contains(&"0".to_owned()) && of_process(pid, "Gid")[0] != "0");
        assert_eq!(of_process(pid, "CapPrm"), ["0000000000000000"]);
        assert_eq!(revert(&stage, "revert"), "ba");
        signal(pid, Signal::KILL);
        let again = stage.ready_again(&first);
        stage.kill_supervisor();
        assert_eq!(revert(&stage, "revert"), "ba");
        stage.supervise_apart(&config, |command| command);
        assert_eq!(stage.ready("text").pid, again.pid);
        assert_eq!(revert(&stage, "text.revert"), "ba");
        stage.stop_without_trace();
    }
}

#[test]
fn a_plugin_of_another_user_sees_nothing_of_the_bus_but_itself() {
    if !others_can_be_tried() {
        return;
    }
    let mut stage = Stage::empty();
    let seen = for_all_to_write(&stage);
    let script = format!(
        "{{ id -u; id -un; echo $HOME $USER; ls {bus:?} || echo NO LIST; ls {bus:?}/log || echo NO LOG; \
         cat {bus:?}/supervisor.*.json || echo NO CARD; {own:?} call --bus default other.revert ab || echo NO CALL; \
         }} > {seen:?} 2>&1; echo said > /dev/stdout; exec {text:?}",
        bus = stage.bus().path(),
        own = env!("CARGO_BIN_EXE_plugbus"),
        text = env!("CARGO_BIN_EXE_plugbus-text"),
    );
    let config = PATIENT.to_owned()
        + &plugin("other", &[env!("CARGO_BIN_EXE_plugbus-text")], "")
        + &plugin(
            "text",
            &["/bin/sh", "-c", &script],
            &format!("user = 'nobody'\nafter = ['other']\nenv.PLUGBUS_DIR = {:?}", stage.scratch()),
        );
    stage.supervise(&config);
    stage.ready("text");
    let seen = fs::read_to_string(&seen).unwrap();
    assert!(seen.starts_with("65534\nnobody\n"), "{seen}");
    for line in ["NO LIST", "NO LOG", "NO CARD", "NO CALL"] {
        assert!(seen.lines().any(|found| found == line), "{line}: {seen}");
    }
    assert!(stage.log("text.log").contains("said"), "its output is its own: {}", stage.log("text.log"));
    stage.stop_without_trace();
}

#[test]
fn users_who_are_named_call_what_is_open_to_them_and_nothing_else() {
    if !others_can_be_tried() {
        return;
    }
    for lane in ["direct", "nng"] {
        let mut stage = Stage::empty();
        let config = |allow: &str| {
            format!("[bus]\nlane = '{lane}'\n{PATIENT}{}", text_plugin(allow))
                + &plugin("other", &[env!("CARGO_BIN_EXE_plugbus-text")], "")
        };
        stage.supervise_apart(&config("allow = { users = [65534] }"), |command| command.env("PLUGBUS_LANE", lane));
        stage.ready("text");
        stage.ready("other");
        assert_eq!(said(&stage, NOBODY, &["call", "text.revert", "ab"]), ("ba".into(), String::new()), "{lane}");
        assert_eq!(said(&stage, NOBODY, &["call", "revert", "ab"]).0, "ba", "it is the only one he sees");
        let (printed, why) = said(&stage, NOBODY, &["call", "other.revert", "ab"]);
        assert!(printed.is_empty() && why.contains("there is no plugin \"other\""), "{why}");
        for order in [&["stop", "text"][..], &["call", "supervisor.stop", "text"], &["logs"], &["events"]] {
            let (printed, why) = said(&stage, NOBODY, order);
            assert!(printed.is_empty() && !why.is_empty(), "{order:?}: {why}");
        }
        let status = said(&stage, NOBODY, &["status"]);
        assert!(!format!("{status:?}").contains("other"), "{status:?}");
        let (printed, why) = said(&stage, DAEMON, &["call", "text.revert", "ab"]);
        assert!(printed.is_empty() && why.contains("belongs to user 0, not to you (1)"), "{why}");
        // Taken back, it holds at once for who connects anew.
        let before = stage.ready("text");
        fs::write(stage.scratch().join("plugbus.toml"), config("")).unwrap();
        let reloaded: serde_json::Value =
            stage.caller().request("supervisor.reload").timeout(LONG).call(&()).unwrap();
        assert_eq!(reloaded["restarted"], serde_json::json!(["text"]));
        stage.ready_again(&before);
        let (printed, why) = said(&stage, NOBODY, &["call", "text.revert", "ab"]);
        assert!(printed.is_empty() && why.contains("belongs to user 0"), "{why}");
        assert_eq!(revert(&stage, "text.revert"), "ba");
        stage.stop_without_trace();
    }
}

#[test]
fn a_plugin_of_another_user_calls_what_is_open_to_it() {
    if !others_can_be_tried() {
        return;
    }
    let mut stage = Stage::empty();
    let seen = for_all_to_write(&stage);
    let script = format!(
        "{own:?} call other.revert ab > {seen:?} 2>&1; exec {text:?}",
        own = env!("CARGO_BIN_EXE_plugbus"),
        text = env!("CARGO_BIN_EXE_plugbus-text"),
    );
    let config = PATIENT.to_owned()
        + &plugin("other", &[env!("CARGO_BIN_EXE_plugbus-text")], "allow = { users = ['nobody'] }")
        + &plugin(
            "text",
            &["/bin/sh", "-c", &script],
            &format!("user = 'nobody'\nrequires = ['other']\nenv.PLUGBUS_DIR = {:?}", stage.scratch()),
        );
    stage.supervise(&config);
    stage.ready("text");
    assert_eq!(fs::read_to_string(&seen).unwrap().trim_end(), "ba");
    stage.stop_without_trace();
}

#[test]
fn who_is_not_root_cannot_make_a_plugin_somebody_else() {
    if !others_can_be_tried() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let config = root.path().join("plugbus.toml");
    fs::write(&config, PATIENT.to_owned() + &text_plugin("user = 'daemon'\nrestart = 'never'\ntrust = 'any'"))
        .unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let buses = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(buses.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_plugbus"));
    command.arg("supervise").arg("-c").arg(&config).env("PLUGBUS_DIR", buses.path()).uid(NOBODY).gid(NOBODY);
    let mut supervisor = command.current_dir("/").stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let status = || {
        let output = run_as(NOBODY, buses.path(), &["status", "--json"])?;
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        (found["plugins"][0]["state"] == UnitState::Failed.to_string()).then(|| found["plugins"][0].to_string())
    };
    let found = crate::support::eventually("the plugin has failed", status);
    signal(supervisor.id(), Signal::TERM);
    supervisor.wait().unwrap();
    assert!(found.contains("its `user` cannot be set"), "{found}");
}

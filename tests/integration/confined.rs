//! What a plugin's process is given, and what it may do, as it sees it itself.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use plugbus::supervisor::UnitState;
use rustix::process::Signal;

use crate::support::{LONG, PATIENT, Stage, plugin, signal, text_plugin};

const SECRET: &str = "swordfish-4711";

/// The plugin `text`, whose process first writes down what this shell script finds out.
fn looking(script: &str, more: &str) -> String {
    let script = format!("{{ {script}; }} > \"$SEEN\" 2>&1; exec {:?}", env!("CARGO_BIN_EXE_plugbus-text"));
    plugin("text", &["/bin/sh", "-c", &script], more)
}

/// What it wrote, once it is ready; it works as ever.
fn seen(stage: &Stage, file: &Path) -> String {
    stage.ready("text");
    assert_eq!(stage.caller().request("revert").timeout(LONG).call::<String, _>("ab").unwrap(), "ba");
    fs::read_to_string(file).unwrap()
}

/// All files below a directory.
fn texts(directory: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let text = |path: std::path::PathBuf| match path.is_dir() {
        true => texts(&path),
        false => {
            vec![(path.display().to_string(), String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).into())]
        }
    };
    entries.flat_map(text).collect()
}

#[test]
fn a_plugin_gets_what_is_meant_for_it_and_nothing_else() {
    let mut stage = Stage::empty();
    let (file, secrets) = (stage.scratch().join("seen"), stage.scratch().join("secrets.env"));
    fs::write(&secrets, format!("# mine\nTOKEN={SECRET}\nBOTH=file\n")).unwrap();
    fs::set_permissions(&secrets, fs::Permissions::from_mode(0o600)).unwrap();
    let keys = format!(
        "env = {{ SEEN = {file:?}, BOTH = 'own' }}\nenv_file = {secrets:?}\npass_env = ['GIVEN_*']\numask = '0137'\ncwd = '/'"
    );
    // The shell keeps the log at 10 for the time being, and `ls` itself has the directory open.
    let script = "env; echo FDS $(ls /proc/self/fd); echo UMASK $(umask); echo CWD $(pwd)";
    let config = PATIENT.to_owned() + &looking(script, &keys);
    stage.supervise_apart(&config, |command| command.env("GIVEN_A", "passed").env("KEPT_B", "kept").env("TZ", "UTC"));
    let found = seen(&stage, &file);
    let has = |line: &str| found.lines().any(|found| found == line);
    for line in ["GIVEN_A=passed", "TZ=UTC", "BOTH=own", "UMASK 0137", "CWD /", "FDS 0 1 2 3", "PLUGBUS_NAME=text"] {
        assert!(has(line), "{line}: {found}");
    }
    assert!(has(&format!("TOKEN={SECRET}")) && !found.contains("KEPT_B"), "{found}");
    fs::remove_file(&file).unwrap();
    fs::remove_file(&secrets).unwrap();
    let shown = format!("{:?}", stage.status());
    let leaked: Vec<_> = texts(stage.scratch()).into_iter().filter(|(_, text)| text.contains(SECRET)).collect();
    assert!(leaked.is_empty() && !shown.contains(SECRET), "{leaked:?} {shown}");
    stage.stop_without_trace();
}

#[test]
fn what_is_forbidden_or_limited_is_so_in_the_process_itself() {
    let mut stage = Stage::empty();
    let file = stage.scratch().join("seen");
    let keys = format!(
        "env = {{ SEEN = {file:?} }}\ncapabilities = 'none'\nnice = 7\noom_score_adj = 321\n\
         limits = {{ files = 77, processes = 5000, memory = '3GiB', core = '0B', cpu = '1h' }}"
    );
    let script = "cat /proc/$$/status /proc/$$/limits; echo OOM $(cat /proc/$$/oom_score_adj); \
                  echo NICE $(cut -d' ' -f19 /proc/$$/stat)";
    stage.supervise(&(PATIENT.to_owned() + &looking(script, &keys)));
    let found = seen(&stage, &file);
    let words: Vec<String> =
        found.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let none = "0".repeat(16);
    let expected = [
        "NoNewPrivs: 1".to_owned(),
        format!("CapPrm: {none}"),
        format!("CapEff: {none}"),
        format!("CapInh: {none}"),
        format!("CapAmb: {none}"),
        "Max open files 77 77 files".into(),
        "Max processes 5000 5000 processes".into(),
        "Max address space 3221225472 3221225472 bytes".into(),
        "Max core file size 0 0 bytes".into(),
        "Max cpu time 3600 3600 seconds".into(),
        "OOM 321".into(),
        "NICE 7".into(),
    ];
    for line in expected {
        assert!(words.contains(&line), "{line}: {found}");
    }
    if rustix::process::geteuid().is_root() {
        assert!(words.contains(&format!("CapBnd: {none}")), "root would have them again: {found}");
    }
    stage.stop_without_trace();
}

#[test]
fn what_cannot_be_carried_out_is_refused_with_its_key() {
    let stage_with = |keys: &str| {
        let quick = "backoff = { min = '40ms', max = '1s' }\n";
        Stage::start(&(PATIENT.to_owned() + &plugin("text", &["/bin/sleep", "1000"], &(quick.to_owned() + keys))))
    };
    let cases = [
        ("env_file = '/no/such/file'", "could not be started: env_file /no/such/file: No such file or directory"),
        // More than the kernel grants anybody.
        ("limits = { files = 1000000000000 }", "could not be started: its `limits.files` cannot be set: "),
    ];
    for (keys, words) in cases {
        let mut stage = stage_with(keys);
        let waiting = stage.until("text", |plugin| plugin.state == UnitState::BackingOff);
        assert!(waiting.reason.starts_with(words), "{waiting:?}");
        stage.stop_without_trace();
    }
}

/// Whether this kernel has Landlock of at least that version; said where not.
#[expect(clippy::print_stderr, reason = "whoever reads of a test that passed is to know that it saw nothing")]
fn has_landlock(version: i64) -> bool {
    // The third argument asks for the version.
    let probe = "import ctypes; print(ctypes.CDLL(None, use_errno=True).syscall(444, 0, 0, 1))";
    let found = std::process::Command::new("python3").args(["-c", probe]).output().unwrap();
    let found: i64 = String::from_utf8(found.stdout).unwrap().trim().parse().unwrap_or(-1);
    if found < version {
        eprintln!("skipped: this kernel has Landlock {found}, and {version} is needed");
    }
    found >= version
}

/// Every place in a script where something was tried, with how that ended.
const TRY: &str =
    "try() { name=$1; shift; if \"$@\" >/dev/null 2>&1; then echo \"$name yes\"; else echo \"$name no\"; fi; }; ";

#[test]
fn in_a_standard_sandbox_a_plugin_reaches_neither_its_supervisor_nor_the_machine() {
    if !has_landlock(6) {
        return;
    }
    for (sandbox, can) in [("off", "yes"), ("standard", "no")] {
        let mut stage = Stage::empty();
        let file = stage.scratch().join("seen");
        let keys = format!("env = {{ SEEN = {file:?} }}\nsandbox = '{sandbox}'\nsandbox_required = true");
        let script = "try signal kill -0 $PPID; try own sh -c 'sleep 100 & kill $!'; \
                      try hostname hostname \"$(hostname)\"; try memory sh -c 'exec 3< /proc/'$PPID'/mem'; \
                      grep -E 'NoNewPrivs|Seccomp:' /proc/$$/status | tr -d '\\t'";
        stage.supervise_apart(&(PATIENT.to_owned() + &looking(&(TRY.to_owned() + script), &keys)), |command| command);
        let found = seen(&stage, &file);
        let has = |line: &str| found.lines().any(|found| found == line);
        assert!(
            has(&format!("signal {can}")) && has(&format!("memory {can}")) && has("own yes"),
            "{sandbox}: {found}"
        );
        assert!(
            has("NoNewPrivs:1") && has(if can == "no" { "Seccomp:2" } else { "Seccomp:0" }),
            "{sandbox}: {found}"
        );
        if rustix::process::geteuid().is_root() {
            assert!(has(&format!("hostname {can}")), "{sandbox}: {found}");
        }
        stage.stop_without_trace();
    }
}

#[test]
fn in_a_strict_sandbox_a_plugin_has_the_files_that_are_named_and_no_others() {
    if !has_landlock(6) {
        return;
    }
    let mut stage = Stage::empty();
    let at = stage.scratch().join("files");
    for name in ["readable", "writable", "other"] {
        fs::create_dir_all(at.join(name)).unwrap();
        fs::write(at.join(name).join("file"), "x").unwrap();
    }
    let file = at.join("writable/seen");
    let keys = format!(
        "env = {{ SEEN = {file:?}, AT = {at:?} }}\nsandbox = 'strict'\nsandbox_required = true\n\
         read = [{:?}, {:?}]\nwrite = {:?}",
        at.join("readable"),
        env!("CARGO_BIN_EXE_plugbus-text"),
        at.join("writable"),
    );
    let script = "try named cat $AT/readable/file; try changes sh -c 'echo y > $AT/readable/file'; \
                  try writes sh -c 'echo y > $AT/writable/file'; try other cat $AT/other/file; \
                  try logs cat $PLUGBUS_BUS_DIR/log/neighbour.log; try state ls $PLUGBUS_BUS_DIR/state; \
                  try cards sh -c 'cat $PLUGBUS_BUS_DIR/*.json'; try config cat $PLUGBUS_BUS_DIR/../plugbus.toml; \
                  try system cat /etc/passwd; try null sh -c 'echo x > /dev/null'; try home ls /root; \
                  try environ cat /proc/$PPID/environ; try itself cat /proc/$$/status; \
                  cp /bin/true $AT/writable/true; try runs $AT/writable/true";
    let config = PATIENT.to_owned()
        + &looking(&(TRY.to_owned() + script), &keys)
        + &crate::support::misbehaving("neighbour", "", "");
    stage.supervise(&config);
    stage.ready("neighbour");
    let found = seen(&stage, &file);
    let answers: Vec<_> = found.lines().filter(|line| line.ends_with(" yes")).collect();
    assert_eq!(answers, ["named yes", "writes yes", "system yes", "null yes", "itself yes"], "{found}");
    stage.stop_without_trace();
}

/// What its cgroup is held to, by files of the kernel's; `None` where there is no such controller.
fn controlled(stage: &Stage, file: &str) -> Option<String> {
    let groups = stage.cgroups();
    Some(fs::read_to_string(groups.first()?.join(file)).ok()?.trim_end().to_owned())
}

#[test]
fn what_all_its_processes_may_use_up_is_in_its_control_group() {
    let controllers = ["memory.max", "pids.max", "cpu.max"];
    let keys = "limits = { total_memory = '300MiB', total_processes = 33, total_cpu = 150 }";
    let mut stage = Stage::spawn(&(PATIENT.to_owned() + &text_plugin(keys)));
    let first = stage.ready("text");
    let found = controllers.map(|file| controlled(&stage, file));
    for (found, wanted) in found.iter().zip(["314572800", "33", "150000 100000"]) {
        assert!(found.as_deref().is_none_or(|found| found == wanted), "{found:?} instead of {wanted}");
    }
    if found.contains(&None) {
        assert!(stage.said().contains("plugins run without"), "{}", stage.said());
        let _ = writeln!(io::stderr(), "not every controller is to be had here: {found:?}");
    }
    // The supervisor that moved aside, and one that follows it, make groups beside their own.
    signal(first.pid.unwrap(), Signal::KILL);
    let again = stage.ready_again(&first);
    assert_eq!(controllers.map(|file| controlled(&stage, file)), found);
    stage.kill_supervisor();
    stage.supervise_apart(&(PATIENT.to_owned() + &text_plugin(keys)), |command| command);
    assert_eq!(stage.ready("text").pid, again.pid);
    signal(again.pid.unwrap(), Signal::KILL);
    stage.ready_again(&again);
    assert_eq!(controllers.map(|file| controlled(&stage, file)), found);
    stage.stop_without_trace();
}

//! Whatever a plugin started ends with it, however far it went. S3 and S5 of the catalogue of faults.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{PATIENT, Stage, eventually, misbehaving, signal, with_argument, zombies_of};

/// A length of sleep that nobody else on this machine asks for.
fn long_sleep(kind: u32) -> String {
    format!("{}{kind}", 1_000_000 + std::process::id())
}

/// A plugin with three generations below it, each in a session of its own, all holding its output.
#[track_caller]
fn the_whole_tree_ends(bus: &str, kind: u32, start: impl FnOnce(&mut Stage, &str)) {
    let sleep = long_sleep(kind);
    let config = bus.to_owned() + PATIENT + &misbehaving("parent", &format!("tree={sleep}"), "stop_grace = '20s'");
    let mut stage = Stage::empty();
    start(&mut stage, &config);
    let before = stage.ready("parent");
    let sleepers = || with_argument(&sleep);
    let family = eventually("the family is complete", || Some(sleepers()).filter(|found| found.len() == 4));
    let cgroups = stage.cgroups();
    // A crash leaves nobody either, and the restart does not wait for whoever holds the output.
    signal(before.pid.unwrap(), Signal::KILL);
    stage.ready_again(&before);
    eventually("the first family is gone", || {
        let found = sleepers();
        (found.len() == 4 && found.iter().all(|pid| !family.contains(pid))).then_some(())
    });
    let begun = Instant::now();
    stage.stop_without_trace();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(sleepers(), [0; 0], "somebody survived");
    assert!(cgroups.iter().all(|path| !path.exists()), "a cgroup is left: {cgroups:?}");
}

#[test]
fn s3_by_cgroup_where_there_is_one() {
    the_whole_tree_ends("", 1, |stage, config| stage.supervise_apart(config, |command| command));
}

#[test]
fn s3_by_looking_for_orphans_without_one() {
    let bus = "[bus]\ncgroup = 'off'\n";
    the_whole_tree_ends(bus, 2, |stage, config| stage.supervise_apart(config, |command| command));
}

#[test]
fn s3_by_environment_in_a_program_that_brings_its_plugins_along() {
    // The last generation has no environment by which it could be found once its parents are dead.
    let sleep = long_sleep(3);
    let config =
        "[bus]\ncgroup = 'off'\n".to_owned() + PATIENT + &misbehaving("parent", &format!("tree={sleep}"), "");
    let mut stage = Stage::start(&config);
    stage.ready("parent");
    eventually("the family is complete", || (with_argument(&sleep).len() == 4).then_some(()));
    stage.stop_without_trace();
    assert_eq!(with_argument(&sleep), [0; 0], "somebody survived");
}

#[test]
fn orphans_of_plugins_come_to_the_supervisor_and_are_reaped() {
    let stage = Stage::spawn(&(PATIENT.to_owned() + &misbehaving("parent", "orphan", "")));
    stage.ready("parent");
    let supervisor = stage.supervisor_pid();
    eventually("one has exited and waits", || (!zombies_of(supervisor).is_empty()).then_some(()));
    eventually("nobody waits any more", || zombies_of(supervisor).is_empty().then_some(()));
    assert_eq!(stage.plugin("parent").restarts, 0);
}

#[test]
fn exits_of_plugins_are_never_taken_by_who_reaps_orphans() {
    let config = PATIENT.to_owned()
        + &misbehaving("crash", "exit=7 orphan", "backoff = { min = '1ms', max = '1ms' }")
        + &misbehaving("other", "orphan", "");
    let stage = Stage::spawn(&config);
    stage.until("crash", |plugin| plugin.restarts >= 30);
    let ends = stage.reasons("crash", "backing-off");
    assert!(ends.iter().all(|end| end.starts_with("exited with code 7 after ")), "{ends:?}");
    eventually("nobody waits any more", || zombies_of(stage.supervisor_pid()).is_empty().then_some(()));
}

/// As process 1 of a container, where every orphan comes and nobody else is.
#[test]
fn process_1_reaps_whoever_comes_and_ends_in_order() {
    let mut stage = Stage::empty();
    let config = PATIENT.to_owned() + &misbehaving("parent", "orphan child", "");
    let file = stage.scratch().join("plugbus.toml");
    fs::write(&file, &config).unwrap();
    let program = env!("CARGO_BIN_EXE_plugbus");
    let mut unshare = std::process::Command::new("unshare");
    unshare.args(["--pid", "--fork", "--mount-proc", "--kill-child", program, "supervise", "-c"]).arg(&file);
    unshare.env("PLUGBUS_DIR", stage.scratch()).stdin(std::process::Stdio::null());
    let log = fs::File::create(stage.scratch().join("said")).unwrap();
    let mut outside = unshare.stderr(log).spawn().unwrap();
    let said = || fs::read_to_string(stage.scratch().join("said")).unwrap();
    let ready = || !stage.reasons("parent", "ready").is_empty();
    let came = eventually("it is ready, or there are no namespaces", || match outside.try_wait().unwrap() {
        Some(_) => Some(false),
        None => ready().then_some(true),
    });
    if !came {
        // An unprivileged user may not have one.
        assert!(said().contains("unshare"), "{}", said());
        return;
    }
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", outside.id())).unwrap();
    let first: u32 = children.trim().parse().unwrap();
    eventually("nobody waits any more", || zombies_of(first).is_empty().then_some(()));
    signal(first, Signal::TERM);
    let ended = eventually("it ends", || outside.try_wait().unwrap());
    assert!(ended.success(), "{ended:?}: {}", said());
    assert_eq!(stage.reasons("parent", "stopped").len(), 1, "{}", said());
    assert!(stage.records().is_empty(), "{:?}", stage.records());
    stage.supervise("");
    stage.stop_without_trace();
}

//! With real processes: nothing else shows what the system really does.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncReadExt;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};

use super::*;
use crate::supervisor::ConfinementSpec;

fn launch(program: &str, arguments: &[&str]) -> Launch {
    Launch {
        program: program.into(),
        arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        cwd: PathBuf::new(),
        env: BTreeMap::new(),
        confinement: ConfinementSpec::default(),
        room: None,
        checked: None,
    }
}

/// A child that ends with the test, however that goes.
#[derive(Debug)]
pub(in crate::supervisor) struct Ends(pub(in crate::supervisor) std::process::Child);

impl std::ops::Deref for Ends {
    type Target = std::process::Child;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl std::ops::DerefMut for Ends {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Everybody with a mark, who ends with the test as well.
#[derive(Debug)]
pub(in crate::supervisor) struct EndsTree(pub(in crate::supervisor) Tree);

impl Drop for EndsTree {
    fn drop(&mut self) {
        self.0.end_blocking();
    }
}

/// A tree that nothing is ever found of: no cgroup, and a mark that nobody bears.
fn tree() -> Tree {
    Tree::marked(Path::new("/no/such/bus"), &crate::bus::new_instance())
}

fn shell(script: &str) -> Spawned {
    spawn(&launch("sh", &["-c", script]), tree()).unwrap()
}

async fn exit_of(mut process: Process) -> ExitState {
    tokio::time::timeout(Duration::from_secs(10), process.exited()).await.unwrap();
    let exit = process.exit().await;
    assert_eq!(process.end_tree().await, []);
    exit
}

/// A pipe ends only once the last process that holds it is gone.
async fn until_closed(pipe: OwnedFd) {
    let mut pipe = tokio::net::unix::pipe::Receiver::from_owned_fd(pipe).unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), pipe.read_to_end(&mut rest)).await.expect("still held").unwrap();
}

#[tokio::test]
async fn exits_are_seen_as_they_are() {
    assert_eq!(exit_of(shell("exit 0").process).await, ExitState::Code(0));
    assert_eq!(exit_of(shell("exit 42").process).await, ExitState::Code(42));
    assert_eq!(exit_of(shell("kill -SEGV $$").process).await, ExitState::Signal(11));
}

#[tokio::test]
async fn a_stopped_process_ends_when_it_is_asked_to() {
    let spawned = shell("kill -STOP $$; exit 1");
    let pid = Pid::from_raw(spawned.process.id().pid.try_into().unwrap()).unwrap();
    let stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(pid), stopped).unwrap();
    spawned.process.terminate_group();
    assert_eq!(exit_of(spawned.process).await, ExitState::Signal(15));
}

#[tokio::test]
async fn reaping_ends_what_the_process_left_in_its_group() {
    let Spawned { process, stdout, .. } = shell("sleep 1000 & exit 0");
    assert_eq!(exit_of(process).await, ExitState::Code(0));
    until_closed(stdout).await;
}

#[tokio::test]
async fn a_dropped_process_is_killed() {
    let Spawned { process, stdout, .. } = shell("sleep 1000");
    let id = process.id();
    assert!(id.is_alive());
    drop(process);
    until_closed(stdout).await;
    let end = std::time::Instant::now() + Duration::from_secs(10);
    while id.is_alive() {
        assert!(std::time::Instant::now() < end, "its files are closed, but it lives");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_waiting_thread_of_other_systems_sees_exits_too() {
    let mut child = launch("sh", &["-c", "exit 7"]).command().unwrap().spawn().unwrap();
    let mut watch = other::ExitWatch::new(Pid::from_child(&child)).unwrap();
    tokio::time::timeout(Duration::from_secs(10), watch.exited()).await.unwrap();
    watch.exited().await;
    assert_eq!(child.wait().unwrap().code(), Some(7), "the exit is still there to be collected");
}

#[tokio::test]
async fn other_systems_see_the_end_of_somebody_elses_child_too() {
    let mut child = Ends(launch("cat", &[]).command().unwrap().stdin(std::process::Stdio::piped()).spawn().unwrap());
    let id = ProcessId::of(child.id()).unwrap();
    let mut watch = other::ExitWatch::verified(id).unwrap();
    let tick = Duration::from_millis(1);
    assert!(tokio::time::timeout(tick, watch.exited()).await.is_err(), "it runs");
    drop(child.stdin.take());
    tokio::time::timeout(Duration::from_secs(10), watch.exited()).await.unwrap();
    assert!(other::ExitWatch::verified(id).is_none());
    child.wait().unwrap();
}

#[tokio::test]
async fn a_plugin_gets_what_the_contract_says_and_nothing_of_another_plugin() {
    let mut launch = launch("env", &[]);
    launch.env.insert("PLUGBUS_NAME".into(), "text".into());
    let Spawned { process, stdout, .. } = spawn(&launch, tree()).unwrap();
    let mut text = String::new();
    fs::File::from(stdout).read_to_string(&mut text).unwrap();
    assert_eq!(exit_of(process).await, ExitState::Code(0));
    let ours: Vec<_> = text.lines().filter(|line| line.starts_with("PLUGBUS_")).collect();
    assert_eq!(ours, ["PLUGBUS_NAME=text"]);
    assert!(text.lines().any(|line| line.starts_with("PATH=")));
}

fn file(directory: &Path, name: &str, mode: u32, text: &[u8]) -> String {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path();
    let foreign = [&b"\x7fELF\x02\x01\x01"[..], &[0; 9], &[2, 0, 0xff, 0x7f], &[0; 100]].concat();
    let gone = dir.join("gone").to_str().unwrap().to_owned();
    for (program, words) in [
        (gone.as_str(), "program not found: "),
        ("plugbus-no-such-program", "program not found on PATH: plugbus-no-such-program"),
        (dir.to_str().unwrap(), "it is a directory"),
        (&file(dir, "plain", 0o644, b"#!/bin/sh\n"), "chmod +x"),
        (&file(dir, "script", 0o755, b"#!/no/such/python3 -u\n"), "\"#!/no/such/python3 -u\""),
        (&file(dir, "foreign", 0o755, &foreign), "for another architecture"),
        ("", "no command"),
    ] {
        let error = spawn(&launch(program, &[]), tree()).unwrap_err().to_string();
        assert!(error.contains(words), "{program:?}: {error}");
    }
    let lost = Launch { cwd: dir.join("gone"), ..launch("true", &[]) };
    assert!(spawn(&lost, tree()).unwrap_err().to_string().contains("it does not exist"));
}

#[test]
fn limits_of_the_system_are_named() {
    let launch = launch("x", &[]);
    for (number, words) in
        [(rustix::io::Errno::AGAIN, "too many processes"), (rustix::io::Errno::MFILE, "too many open files")]
    {
        let error = std::io::Error::from_raw_os_error(number.raw_os_error());
        assert!(SpawnError::diagnose(&error, &launch).to_string().contains(words));
    }
}

#[tokio::test]
async fn a_process_that_is_taken_back_is_ended_with_all_that_it_started() {
    for script in ["sleep 1000 & sleep 1000", "trap '' TERM; sleep 1000 & while :; do sleep 1000; done"] {
        let Spawned { process, stdout, .. } = shell(script);
        let id = process.id();
        process.let_go();
        let taken = Process::take_back(id, tree()).unwrap();
        assert_eq!(taken.stop(Duration::from_millis(200)).await, []);
        until_closed(stdout).await;
        assert!(!id.is_alive());
    }
}

/// Whether the kernel tells the exits of processes that were reaped.
#[cfg(target_os = "linux")]
fn tells_exits() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut parts = release.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next(), parts.next()) >= (Some(6), Some(15))
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_exit_of_somebody_elses_child_is_seen_and_known() {
    // A shell's child is not ours, and the shell collects it.
    for (end, expected) in [("exit 42", ExitState::Code(42)), ("kill -9 $$", ExitState::Signal(9))] {
        let script = format!("exec 3<&0; sh -c 'echo $$; read line; {end}' <&3 & wait");
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &script]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut parent = Ends(command.spawn().unwrap());
        let mut pid = String::new();
        let mut stdout = std::io::BufReader::new(parent.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut stdout, &mut pid).unwrap();
        let id = ProcessId::of(pid.trim().parse().unwrap()).unwrap();
        let mut process = Process::take_back(id, tree()).unwrap();
        assert!(!process.leader.is_child());
        let tick = Duration::from_millis(1);
        assert!(tokio::time::timeout(tick, process.exited()).await.is_err(), "it runs");
        drop(parent.stdin.take());
        tokio::time::timeout(Duration::from_secs(10), process.exited()).await.unwrap();
        let exit = process.exit().await;
        // The shell may have collected it already; then, before Linux 6.15, nobody tells.
        assert!(exit == expected || exit == ExitState::Unknown && !tells_exits(), "{exit}");
        assert_eq!(process.end_tree().await, []);
        parent.wait().unwrap();
    }
}

#[tokio::test]
async fn a_zombie_is_taken_back_for_its_exit() {
    let Spawned { mut process, .. } = shell("exit 3");
    process.exited().await;
    let id = process.id();
    process.let_go();
    let mut taken = Process::take_back(id, tree()).unwrap();
    taken.exited().await;
    assert_eq!(taken.exit().await, ExitState::Code(3));
    taken.end_tree().await;
    assert!(Process::take_back(id, tree()).is_none(), "it was collected");
}

/// Whoever leaves its session and loses its parent, three levels deep; with and without its environment.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn whoever_left_the_session_ends_with_its_tree() {
    let root = tempfile::tempdir().unwrap();
    let groups = Cgroups::find().ok();
    for (cgroups, script) in [
        (groups.as_ref(), "setsid sh -c 'setsid env -i sh -c \"sleep 1000 & sleep 1000\" &' & wait; exit 5"),
        (None, "setsid sh -c 'setsid sh -c \"sleep 1000 & sleep 1000\" &' & wait; exit 5"),
    ] {
        let instance = crate::bus::new_instance();
        let cgroup = cgroups.map(|groups| groups.of("text", &instance));
        let path = cgroup.as_ref().map(|cgroup| cgroup.path().to_owned());
        let mut launch = launch("sh", &["-c", script]);
        launch.env.insert("PLUGBUS_BUS_DIR".into(), root.path().to_str().unwrap().into());
        launch.env.insert("PLUGBUS_INSTANCE".into(), instance.clone());
        let tree = Tree::marked(root.path(), &instance).with_cgroup(cgroup);
        let _end = EndsTree(tree.clone());
        let Spawned { process, stdout, .. } = spawn(&launch, tree).unwrap();
        assert_eq!(exit_of(process).await, ExitState::Code(5));
        until_closed(stdout).await;
        assert!(path.is_none_or(|path| !path.exists()), "a cgroup is left");
    }
}

#[test]
fn a_start_that_fails_half_way_leaves_no_process() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let root = tempfile::tempdir().unwrap();
    let mark = root.path().join("mark");
    let script = format!("echo $$ > {0}.new && mv {0}.new {0}; sleep 1000", mark.display());
    let half_way = std::panic::catch_unwind(|| {
        // Without input and output a runtime cannot watch for the exit.
        runtime.block_on(async { spawn(&launch("sh", &["-c", &script]), tree()) })
    });
    assert!(half_way.is_err());
    let end = std::time::Instant::now() + Duration::from_secs(10);
    let its_pid = || fs::read_to_string(&mark).ok()?.trim().parse().ok();
    // It may be ended before it gets as far as to say its pid.
    while its_pid().and_then(ProcessId::of).is_some() {
        assert!(std::time::Instant::now() < end, "it lives on");
        std::thread::yield_now();
    }
}

#[test]
fn invariant_8_only_a_verified_process_is_signalled() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _context = runtime.enter();
    let Spawned { process, .. } = shell("sleep 1000");
    let child = process.id();
    assert!(!group::signal_foreign_group(ProcessId { start_time: child.start_time + 1, ..child }, Signal::KILL));
    assert!(!group::signal_foreign_group(ProcessId { start_time: 0, ..child }, Signal::KILL));
    assert!(child.is_alive());
    let own = ProcessId::own();
    assert!(!group::signal_foreign_group(ProcessId { pid: 0, start_time: 1 }, Signal::KILL));
    assert!(leads_group_of(own.pid, own.pid));
    assert!(!leads_group_of(own.pid, 1));
    assert_eq!(system::group_of(own.pid), other::group_of(own.pid));
}

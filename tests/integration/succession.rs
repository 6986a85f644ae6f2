//! A supervisor may die at any moment: the next one takes its plugins back, and nobody else notices.
//!
//! U1 to U5 of the catalogue of faults.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use plugbus::supervisor::UnitState;
use rustix::process::Signal;

use crate::support::{LONG, QUICK, Stage, eventually, misbehaving, processes_of, signal, text_plugin};

/// Callers that never stop, and end at the first call that fails.
struct Callers {
    over: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Callers {
    fn begin(stage: &Stage, count: usize) -> Self {
        let (over, calls) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let one = |_| {
            let (bus, over, calls) = (stage.caller(), Arc::clone(&over), Arc::clone(&calls));
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let answer = bus.request("text.revert").timeout(LONG).call::<String, _>("ab");
                    assert_eq!(answer.unwrap(), "ba");
                    calls.fetch_add(1, Ordering::Relaxed);
                    // Not as fast as can be: the machine is needed for the supervisor too.
                    thread::park_timeout(Duration::from_millis(1));
                }
            })
        };
        let threads = (0..count).map(one).collect();
        Self { over, calls, threads }
    }

    /// Waits until so many more calls have been answered.
    #[track_caller]
    fn more(&self, by: u64) {
        let target = self.calls.load(Ordering::Relaxed) + by;
        eventually("calls go on", || {
            assert!(!self.threads.iter().any(JoinHandle::is_finished), "a call failed");
            (self.calls.load(Ordering::Relaxed) >= target).then_some(())
        });
    }

    fn end(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        self.calls.load(Ordering::Relaxed)
    }
}

fn pids(stage: &Stage) -> Vec<u32> {
    let mut pids: Vec<_> = processes_of(stage.bus()).into_iter().map(|process| process.pid).collect();
    pids.sort_unstable();
    pids
}

/// A random length of time, spread evenly over what a start of the supervisor takes, and more.
fn moment() -> Duration {
    use std::hash::{BuildHasher, RandomState};
    Duration::from_micros(RandomState::new().hash_one(0) % 150_000)
}

fn pause(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        thread::park_timeout(left);
    }
}

#[test]
fn invariant_1_u1_a_supervisor_killed_at_random_is_followed_by_one_that_takes_all_back() {
    let config = QUICK.to_owned() + &text_plugin("replicas = 2") + &misbehaving("other", "", "");
    let mut stage = Stage::spawn(&config);
    eventually("all are ready", || (stage.cards().len() == 3).then_some(()));
    let before = pids(&stage);
    assert_eq!(before.len(), 3);
    let callers = Callers::begin(&stage, 2);
    for _ in 0..20 {
        stage.kill_supervisor();
        stage.launch(&config, |command| command);
        pause(moment());
        assert_eq!(pids(&stage), before, "somebody was started or ended");
        callers.more(5);
    }
    stage.until_callable();
    eventually("all are ready again", || {
        let ready =
            |plugin: &plugbus::supervisor::PluginStatus| plugin.state == UnitState::Ready && plugin.restarts == 0;
        stage.status().plugins.iter().all(ready).then_some(())
    });
    assert_eq!(pids(&stage), before);
    assert!(callers.end() > 100);
    let taken = stage.reasons("other", "starting");
    assert!(taken.last().unwrap().starts_with("taken back from the supervisor before: process "), "{taken:?}");
    assert_eq!(stage.reasons("other", "ready").last().unwrap(), "answers as the instance it was");
    stage.stop_without_trace();
}

#[test]
fn invariant_1_u1_a_supervisor_killed_while_it_starts_a_plugin_leaves_none_that_is_not_found() {
    let config = QUICK.to_owned() + &text_plugin("replicas = 3");
    let mut stage = Stage::empty();
    for _ in 0..10 {
        stage.launch(&config, |command| command);
        pause(moment() / 3);
        stage.kill_supervisor();
    }
    stage.supervise_apart(&config, |command| command);
    eventually("all are ready", || (stage.cards().len() == 3).then_some(()));
    let status = stage.status();
    let mut known: Vec<_> = status.plugins.iter().filter_map(|plugin| plugin.pid).collect();
    known.sort_unstable();
    assert_eq!(eventually("one process each", || Some(pids(&stage)).filter(|pids| pids.len() == 3)), known);
    stage.stop_without_trace();
}

#[test]
fn u2_who_died_meanwhile_is_noticed_at_once_and_its_restart_policy_decides() {
    let config = QUICK.to_owned()
        + &text_plugin("")
        + &misbehaving("done", "", "restart = 'never'")
        + &misbehaving("well", "", "");
    let mut stage = Stage::spawn(&config);
    let [text, done, well] = ["text", "done", "well"].map(|name| stage.ready(name));
    stage.kill_supervisor();
    for plugin in [&text, &done] {
        signal(plugin.pid.unwrap(), Signal::KILL);
    }
    eventually("they are gone", || (pids(&stage).len() == 1).then_some(()));
    stage.launch(&config, |command| command);
    stage.until_callable();
    let begun = Instant::now();
    let after = stage.until("text", |plugin| plugin.pid.is_some_and(|pid| Some(pid) != text.pid));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let end = after.last_end.unwrap();
    // Known where process 1 has not collected it yet.
    let known = end.reason.starts_with("killed by SIGKILL after ");
    assert!(known || end.reason == "exited, its code is unknown: it ended while no supervisor ran", "{end:?}");
    assert_eq!(after.restarts, 1);
    let done = stage.until("done", |plugin| plugin.state == UnitState::Failed);
    assert!(done.reason.ends_with("; never to be restarted"), "{}", done.reason);
    assert_eq!((stage.ready("well").pid, stage.plugin("well").restarts), (well.pid, 0));
    stage.ready("text");
    stage.stop_without_trace();
}

#[test]
fn u2b_the_exit_of_one_that_was_taken_back_is_seen_at_once_and_known() {
    let config = QUICK.to_owned() + &misbehaving("quits", "", "") + &misbehaving("killed", "", "");
    let mut stage = Stage::spawn(&config);
    let [quits, killed] = ["quits", "killed"].map(|name| stage.ready(name));
    stage.kill_supervisor();
    stage.supervise_apart(&config, |command| command);
    let [quits, killed] = [(&quits, Signal::USR1), (&killed, Signal::KILL)].map(|(before, sent)| {
        assert_eq!(stage.ready(&before.name).pid, before.pid);
        signal(before.pid.unwrap(), sent);
        stage.ready_again(before)
    });
    for (after, words) in [(quits, "killed by SIGUSR1 after "), (killed, "killed by SIGKILL after ")] {
        let end = after.last_end.unwrap().reason;
        // Before Linux 6.15 nobody tells.
        assert!(end.starts_with(words) || end.starts_with("exited, its code is unknown after "), "{end}");
        assert_eq!(after.restarts, 1);
    }
    stage.stop_without_trace();
}

#[test]
fn u4_records_that_are_broken_are_named_and_nobody_is_started_twice() {
    let config = QUICK.to_owned() + &text_plugin("replicas = 3");
    let mut stage = Stage::spawn(&config);
    eventually("all are ready", || (stage.cards().len() == 3).then_some(()));
    let before = pids(&stage);
    stage.kill_supervisor();
    let [truncated, old, gone] = stage.records().try_into().unwrap();
    let text = fs::read(&truncated).unwrap();
    fs::write(&truncated, &text[..text.len() / 2]).unwrap();
    // As the first version wrote it.
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&old).unwrap()).unwrap();
    record
        .as_object_mut()
        .unwrap()
        .retain(|key, _| ["name", "instance", "pid", "start_time"].contains(&key.as_str()));
    fs::write(&old, record.to_string()).unwrap();
    fs::remove_file(&gone).unwrap();
    let garbage = stage.bus().state_dir().join("text.garbage.json");
    fs::write(&garbage, [0xff; 4000]).unwrap();
    // What can be neither read nor removed.
    let stubborn = stage.bus().state_dir().join("text.stubborn.json");
    fs::create_dir(&stubborn).unwrap();
    let callers = Callers::begin(&stage, 1);
    stage.supervise_apart(&config, |command| command);
    eventually("all are ready", || {
        stage.status().plugins.iter().all(|plugin| plugin.state == UnitState::Ready).then_some(())
    });
    callers.more(5);
    callers.end();
    assert_eq!(pids(&stage), before);
    let said: Vec<_> = stage.events().iter().map(|event| event["reason"].as_str().unwrap().to_owned()).collect();
    for (path, words) in [(&truncated, "removed "), (&garbage, "removed "), (&stubborn, "")] {
        let named = format!("{words}{}", path.display());
        assert!(said.iter().any(|said| said.starts_with(&named)), "{named}: {said:?}");
    }
    assert_eq!(said.iter().filter(|said| said.ends_with(", without a record of it")).count(), 2, "{said:?}");
    fs::remove_dir(&stubborn).unwrap();
    stage.stop_without_trace();
}

#[test]
fn u5_a_second_supervisor_exits_and_changes_nothing() {
    let config = QUICK.to_owned() + &text_plugin("");
    let mut stage = Stage::spawn(&config);
    let before = stage.ready("text");
    let mut second = std::process::Command::new(env!("CARGO_BIN_EXE_plugbus"));
    second.args(["supervise", "-c"]).arg(stage.scratch().join("plugbus.toml")).env("PLUGBUS_DIR", stage.scratch());
    let ended = second.output().unwrap();
    assert!(!ended.status.success());
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains(&stage.supervisor_pid().to_string()), "{said}");
    assert_eq!((stage.ready("text").pid, stage.plugin("text").restarts), (before.pid, 0));
    stage.stop_without_trace();
}

#[test]
fn what_is_configured_otherwise_is_taken_back_and_then_restarted() {
    let text = |more| QUICK.to_owned() + &text_plugin(more) + &misbehaving("other", "", "");
    let mut stage = Stage::spawn(&text(""));
    let [before, other] = ["text", "other"].map(|name| stage.ready(name));
    stage.kill_supervisor();
    stage.supervise_apart(&text("env = { NEW = '1' }"), |command| command);
    let after = stage.ready_again(&before);
    let ends = stage.reasons("text", "stopped");
    assert!(ends.last().unwrap().starts_with("stopped as asked: exited with code 0 after "), "{ends:?}");
    assert_eq!(after.restarts, 0, "a commanded restart is no crash");
    assert_eq!(stage.ready("other").pid, other.pid);
    stage.kill_supervisor();
    // Nobody asks for one of them any more.
    stage.supervise_apart(&(QUICK.to_owned() + &misbehaving("other", "", "")), |command| command);
    eventually("it is ended", || (pids(&stage) == [other.pid.unwrap()]).then_some(()));
    stage.stop_without_trace();
}

//! There is never more than one live process for a plugin instance, whatever is killed when.

use std::fs;

use plugbus::supervisor::UnitState;
use rustix::process::Signal;

use crate::support::{QUICK, Stage, eventually, misbehaving, processes_of, signal};

/// A plugin that holds a lock while it lives, and tells of it when it found the lock held: the kernel gives
/// the lock back before a dead process can be waited for, so there is no moment in which two may hold it.
fn exclusive(stage: &Stage) -> String {
    let lock = stage.scratch().join("lock");
    let at_once = "backoff = { min = '1ms', max = '1ms' }\nstop_grace = '60s'";
    QUICK.to_owned() + &misbehaving("solo", &format!("exclusive={}", lock.display()), at_once)
}

#[track_caller]
fn assert_never_two(stage: &Stage) {
    assert!(stage.scratch().join("lock").exists(), "the plugin never took the lock");
    let twice = fs::read_to_string(stage.scratch().join("lock.twice")).unwrap_or_default();
    assert_eq!(twice, "", "these instances met another one");
}

#[test]
fn invariant_1_one_process_whatever_is_done_to_the_plugin() {
    let mut stage = Stage::empty();
    stage.supervise(&exclusive(&stage));
    let mut last = None;
    for round in 0..24 {
        // As soon as it exists, once it is ready, or frozen until it is found silent.
        let hit = match round % 3 {
            0 => stage.until("solo", |plugin| plugin.pid.is_some() && plugin.pid != last),
            _ => stage.until("solo", |plugin| plugin.state == UnitState::Ready && plugin.pid != last),
        };
        last = hit.pid;
        signal(hit.pid.unwrap(), if round % 12 == 11 { Signal::STOP } else { Signal::KILL });
    }
    let ready = stage.until("solo", |plugin| plugin.state == UnitState::Ready && plugin.pid != last);
    assert_eq!(ready.restarts, 24);
    assert_never_two(&stage);
    stage.stop_without_trace();
}

#[test]
fn invariant_1_one_process_whenever_the_supervisor_is_killed() {
    let mut stage = Stage::empty();
    let config = exclusive(&stage);
    for round in 0..8 {
        stage.supervise_apart(&config, |command| command);
        match round % 4 {
            // At once, as soon as there is a process, when it is ready, and while it is being restarted.
            0 => {}
            1 => drop(eventually("a plugin process", || processes_of(stage.bus()).pop())),
            2 => drop(stage.ready("solo")),
            _ => signal(stage.ready("solo").pid.unwrap(), Signal::KILL),
        }
        stage.kill_supervisor();
    }
    stage.supervise_apart(&config, |command| command);
    let ready = stage.ready("solo");
    let alive: Vec<_> = processes_of(stage.bus()).into_iter().map(|process| process.pid).collect();
    assert_eq!(alive, [ready.pid.unwrap()]);
    assert_never_two(&stage);
    stage.stop_without_trace();
}

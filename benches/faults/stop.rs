//! S: stopping, and whole trees.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use plugbus::bus::ProcessId;
use plugbus::host::blocking::Bus;
use plugbus::supervisor::UnitState;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::Fault;
use crate::act;
use crate::figure::{Figure, Size, in_ms};
use crate::ground::{LONG, lasting};
use crate::measure::Timings;
use crate::support::{Stage, eventually, plugin, processes_of, signal};

pub(crate) const FAULTS: &[Fault] = &[
    ("S1", "a plugin that ignores SIGTERM", ignores),
    ("S2", "a stop of a plugin that SIGSTOP froze", frozen),
    ("S3", "grandchildren that left by double fork and setsid", escaped),
    ("S4", "a plugin that forks without end", bomb),
    ("S5", "a grandchild that holds the output open", holds_output),
    ("S6", "a hundred orders at once to one plugin", orders),
    ("S7", "the end of very many plugins", crowd),
    ("S8", "SIGTERM twice", twice),
];

fn order(bus: &Bus, method: &str, name: &str) -> Value {
    let params = json!({"names": [name]});
    bus.request(method).plugin("supervisor").timeout(LONG).call(&params).unwrap()
}

/// How long a stop takes; then it is started again, and nobody waits for that.
fn stop_and_start(bus: &Bus) -> Duration {
    let begun = Instant::now();
    order(bus, "stop", "target");
    let took = begun.elapsed();
    let start = json!({"names": ["target"], "wait": false});
    let _: Value = bus.request("start").plugin("supervisor").call(&start).unwrap();
    took
}

/// A script as a plugin; it never answers a survey and is given all the time it wants.
fn script(name: &str, script: &str, more: &str) -> String {
    plugin(name, &["/bin/sh", "-c", script], &format!("start_timeout = '1h'\n{more}"))
}

fn ignores(size: Size) -> Vec<Figure> {
    let grace = Duration::from_millis(700);
    let stage = Stage::spawn(&script("target", "trap '' TERM; while :; do sleep 1000; done", "stop_grace = '700ms'"));
    let bus = stage.caller();
    let timings = (0..size.pick(20, 2)).map(|_| {
        stage.until("target", |plugin| {
            plugin.pid.is_some() && plugin.state == UnitState::Starting && plugin.state_ms > 100
        });
        stop_and_start(&bus)
    });
    let timings = Timings::from(timings.collect());
    let off = timings.percentile(100.0).saturating_sub(grace);
    vec![Figure::timing(
        format!("ended {} after SIGTERM at most, with a grace of {}", in_ms(timings.percentile(100.0)), in_ms(grace)),
        "grace + 100 ms",
        off < Duration::from_millis(100) && timings.percentile(1.0) >= grace,
    )]
}

fn frozen(size: Size) -> Vec<Figure> {
    let stage = Stage::spawn(&act::plugin("target", "serve", ""));
    let bus = stage.caller();
    let timings = (0..size.pick(50, 3)).map(|_| {
        signal(stage.ready("target").pid.unwrap(), Signal::STOP);
        let begun = Instant::now();
        order(&bus, "stop", "target");
        let took = begun.elapsed();
        order(&bus, "start", "target");
        took
    });
    vec![Figure::most("stopped in", &Timings::from(timings.collect()), Duration::from_millis(200))]
}

/// Processes whose environment has this mark.
fn marked(mark: &str) -> Vec<ProcessId> {
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let has = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|variable| variable.starts_with(b"FAULTS_MARK=") && variable.ends_with(mark.as_bytes()))
    };
    pids.filter(has).filter_map(ProcessId::of).filter(|process| process.is_alive()).collect()
}

fn mark(what: &str) -> String {
    format!("{what}-{}-{}", std::process::id(), fastrand::u32(..))
}

fn tree_ends(what: &str, script_text: &str, at_least: usize, size: Size) -> (usize, usize, Timings) {
    let (mut survivors, mut seen, mut timings) = (0, 0, Vec::new());
    for _ in 0..size.pick(20, 2) {
        let mark = mark(what);
        let stage = Stage::spawn(&script(
            "target",
            script_text,
            &format!("env.FAULTS_MARK = '{mark}'\nstop_grace = '300ms'"),
        ));
        let all = eventually("the tree has grown", || Some(marked(&mark).len()).filter(|count| *count >= at_least));
        seen = seen.max(all);
        let begun = Instant::now();
        order(&stage.caller(), "stop", "target");
        timings.push(begun.elapsed());
        lasting(Duration::from_millis(50));
        let left = marked(&mark);
        survivors += left.len();
        for process in left {
            signal(process.pid, Signal::KILL);
        }
    }
    (survivors, seen, Timings::from(timings))
}

fn escaped(size: Size) -> Vec<Figure> {
    // Each level leaves its group and session, and its parent is gone.
    let tree = "(setsid sh -c '(setsid sh -c \"(setsid sleep 1000 &) ; sleep 1000\" &) ; sleep 1000' &) ; sleep 1000";
    let (survivors, seen, _) = tree_ends("escaped", tree, 4, size);
    vec![Figure::new(format!("{survivors} survivors of trees of {seen}"), "0", survivors == 0)]
}

fn bomb(size: Size) -> Vec<Figure> {
    // A bomb that burns the same number of processes for ever: what dies is replaced at once.
    let bomb = "burn() { while :; do sleep 0.01; sh -c 'sleep 0.05; sleep 0.05' & done }; ulimit -u 4000; for n in 1 2 3 4; do burn & done; wait";
    let (survivors, seen, timings) = tree_ends("bomb", bomb, 20, size);
    vec![
        Figure::new(format!("{survivors} survivors of trees of {seen}"), "0", survivors == 0),
        Figure::most("gone in", &timings, Duration::from_secs(1)),
    ]
}

fn holds_output(size: Size) -> Vec<Figure> {
    let mark = mark("holder");
    let holder = "setsid sleep 1000 & exec sleep 1000";
    let more = format!("env.FAULTS_MARK = '{mark}'\nstop_grace = '500ms'");
    let stage = Stage::spawn(&script("target", holder, &more));
    let bus = stage.caller();
    let timings = (0..size.pick(20, 2)).map(|_| {
        stage.until("target", |plugin| plugin.pid.is_some() && plugin.state_ms > 50);
        stop_and_start(&bus)
    });
    let timings = Timings::from(timings.collect());
    drop(stage);
    marked(&mark).into_iter().for_each(|process| signal(process.pid, Signal::KILL));
    vec![Figure::most("stopped in", &timings, Duration::from_millis(700))]
}

/// Supervisors whose rounds go on side by side: each has a bus and a plugin of its own.
const SIDE_BY_SIDE: u64 = 4;

fn orders(size: Size) -> Vec<Figure> {
    let rounds = size.pick(1000, 5);
    let (mut wrong, mut doubled) = (0, 0);
    thread::scope(|scope| {
        let lane = |first| scope.spawn(move || orders_to_one((first..rounds).step_by(SIDE_BY_SIDE as usize)));
        let lanes: Vec<_> = (0..SIDE_BY_SIDE.min(rounds)).map(lane).collect();
        for lane in lanes {
            let bad = lane.join().unwrap();
            wrong += bad.0;
            doubled += bad.1;
        }
    });
    vec![
        Figure::none("rounds did not end as the last order said", wrong, usize::try_from(rounds).unwrap()),
        Figure::none("rounds had two copies", doubled, usize::try_from(rounds).unwrap()),
    ]
}

/// A round for each seed; how many ended wrongly, and how many had two copies.
fn orders_to_one(seeds: impl Iterator<Item = u64>) -> (usize, usize) {
    let stage = Stage::spawn(&act::plugin(
        "target",
        "serve",
        "stop_grace = '2s'\nbackoff = { min = '1ms', max = '1ms', reset = '1ms' }",
    ));
    stage.ready("target");
    let bus = stage.caller();
    let (mut wrong, mut doubled) = (0, 0);
    for seed in seeds {
        thread::scope(|scope| {
            for caller in 0..10 {
                let bus = bus.clone();
                scope.spawn(move || {
                    let mut dice = fastrand::Rng::with_seed(seed * 100 + caller);
                    for _ in 0..10 {
                        let method = ["start", "stop", "restart", "reset"][dice.usize(0..4)];
                        let params = json!({"names": ["target"], "wait": false});
                        let _: Value = bus.request(method).plugin("supervisor").timeout(LONG).call(&params).unwrap();
                    }
                });
            }
        });
        let last = if seed % 2 == 0 { "start" } else { "stop" };
        let report = order(&bus, last, "target");
        let expected = if last == "start" { "ready" } else { "stopped" };
        wrong += usize::from(report["plugins"][0]["state"] != expected);
        let copies = processes_of(stage.bus()).iter().filter(|process| is_target(process.pid)).count();
        doubled += usize::from(copies > 1);
    }
    (wrong, doubled)
}

fn is_target(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
        environment.split(|byte| *byte == 0).any(|variable| variable == b"PLUGBUS_NAME=target")
    })
}

fn crowd(size: Size) -> Vec<Figure> {
    let count = size.pick(1000, 40);
    let config: String = (0..count / 40)
        .map(|nth| act::plugin(&format!("target-{nth}"), "serve", "replicas = 40\nstart_timeout = '2min'"))
        .collect();
    let mut stage = Stage::spawn(&config);
    let until = Instant::now() + 4 * LONG;
    while stage.status().plugins.iter().any(|plugin| plugin.state != UnitState::Ready) {
        assert!(Instant::now() < until, "{count} plugins never became ready");
        lasting(Duration::from_millis(100));
    }
    let begun = Instant::now();
    stage.stop_without_trace();
    let took = begun.elapsed();
    vec![Figure::timing(
        format!("{count} plugins gone in {:.1} s, nothing left", took.as_secs_f64()),
        "grace (5 s) + 2 s",
        took < Duration::from_secs(7),
    )]
}

fn twice(_: Size) -> Vec<Figure> {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("plugbus.toml");
    fs::write(&file, script("target", "trap '' TERM; while :; do sleep 1000; done", "stop_grace = '1h'")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_plugbus"));
    command.args(["supervise", "-q", "-q", "-c"]).arg(&file).env("PLUGBUS_DIR", root.path());
    let mut child = command.spawn().unwrap();
    let bus = plugbus::bus::BusDir::at(root.path().join("default"));
    let state = || {
        let bus = Bus::at(bus.path()).ok()?;
        let report: Value = bus.call("supervisor.status", &()).ok()?;
        Some(report["plugins"][0]["state"].as_str()?.to_owned())
    };
    eventually("the plugin runs", || state().filter(|state| state == "starting" && !processes_of(&bus).is_empty()));
    signal(child.id(), Signal::TERM);
    eventually("it is being stopped", || state().filter(|state| state == "stopping"));
    let begun = Instant::now();
    signal(child.id(), Signal::TERM);
    let code = eventually("it ends", || child.try_wait().unwrap()).code();
    let took = begun.elapsed();
    eventually("nothing is left", || processes_of(&bus).is_empty().then_some(()));
    vec![Figure::timing(
        format!("exit code {code:?} after {}, nothing left", in_ms(took)),
        "at once, and said (1)",
        code == Some(1) && took < Duration::from_secs(5),
    )]
}

//! U: the supervisor itself dies, or is replaced.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use plugbus::host::blocking::Bus;
use plugbus::supervisor::UnitState;
use rustix::process::Signal;

use crate::Fault;
use crate::act;
use crate::figure::{Figure, Size, in_ms};
use crate::ground::{lasting, stamp};
use crate::support::{Stage, eventually, processes_of, signal};

pub(crate) const FAULTS: &[Fault] = &[
    ("U1", "kill -9 of the supervisor at random moments, under calls", killed),
    ("U2", "a plugin dies while there is no supervisor", died_meanwhile),
    ("U2b", "a plugin that was taken back dies", died_later),
    ("U3", "a record that names somebody else's process", reused),
    ("U4", "records that are no records", unreadable),
    ("U5", "a second supervisor", second),
    ("U6", "the supervisor is replaced in place", replaced),
];

const QUICK: &str = "[survey]\ninterval = '300ms'\ndeadline = '250ms'\nmisses = 8\n";

fn plugins(count: usize) -> String {
    let section = |nth| act::plugin(&format!("target-{nth}"), "serve", "backoff = { min = '1ms', max = '10ms' }");
    QUICK.to_owned() + &(0..count).map(section).collect::<String>()
}

fn all_ready(stage: &Stage) -> BTreeMap<String, u32> {
    eventually("all are ready", || {
        let plugins = stage.status().plugins;
        let pids: Option<BTreeMap<_, _>> = plugins
            .into_iter()
            .map(|plugin| (plugin.state == UnitState::Ready).then_some((plugin.name, plugin.pid?)))
            .collect();
        pids
    })
}

/// Ends the calls, also when a fault could not be done.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Calls that go on all the time, each to the next plugin.
struct Callers {
    calls: AtomicU64,
    failed: Mutex<Vec<String>>,
    over: AtomicBool,
}

impl Callers {
    fn around(bus: Bus, count: usize, during: impl FnOnce()) -> Self {
        let callers = Self { calls: AtomicU64::new(0), failed: Mutex::default(), over: AtomicBool::new(false) };
        thread::scope(|scope| {
            scope.spawn(|| callers.call(&bus, count));
            let _over = Over(&callers.over);
            during();
        });
        callers
    }

    /// A thousand calls a second, as near as the system's timers allow.
    fn call(&self, bus: &Bus, count: usize) {
        while !self.over.load(Ordering::Relaxed) {
            let name = format!("target-{}", self.calls.load(Ordering::Relaxed) as usize % count);
            if let Err(error) = bus.request("echo").plugin(&name).call::<String, _>("x") {
                self.failed.lock().unwrap().push(error.to_string());
            }
            self.calls.fetch_add(1, Ordering::Relaxed);
            lasting(Duration::from_micros(600));
        }
    }
}

fn killed(size: Size) -> Vec<Figure> {
    const PLUGINS: usize = 5;
    let config = plugins(PLUGINS);
    let mut stage = Stage::spawn(&config);
    let pids = all_ready(&stage);
    let times = size.pick(500, 6);
    let mut dice = fastrand::Rng::with_seed(2);
    let (mut doubled, mut changed) = (0, 0);
    let begun = Instant::now();
    let callers = Callers::around(stage.caller(), PLUGINS, || {
        for _ in 0..times {
            stage.kill_supervisor();
            stage.supervise_apart(&config, |command| command);
            lasting(Duration::from_millis(dice.u64(0..200)));
            // Every fourth time it is killed before it has taken everything back.
            if dice.u8(0..4) > 0 {
                changed += usize::from(all_ready(&stage) != pids);
                doubled += usize::from(
                    processes_of(stage.bus())
                        .iter()
                        .filter(|process| pids.values().any(|pid| *pid == process.pid))
                        .count()
                        != PLUGINS,
                );
            }
        }
    });
    let after = all_ready(&stage);
    let ends: Vec<_> = (0..PLUGINS)
        .flat_map(|nth| ["backing-off", "stopping"].map(|state| stage.reasons(&format!("target-{nth}"), state)))
        .flatten()
        .collect();
    let copies = own_plugins(&stage);
    let failed = callers.failed.into_inner().unwrap();
    let rate = callers.calls.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    vec![
        Figure::new(
            format!(
                "{} of {} calls failed ({rate:.0}/s) {}",
                failed.len(),
                callers.calls.load(Ordering::Relaxed),
                failed.first().map_or("", String::as_str)
            ),
            "0",
            failed.is_empty(),
        ),
        Figure::new(format!("{copies} plugin processes at the end"), "5", copies == PLUGINS),
        // Whoever does not come to answer within `start_timeout` is restarted, which a busy machine may bring about.
        Figure::timing(
            format!("{changed} times another process, {doubled} times one missing, of {times} {}", ends.join("; ")),
            "0, 0",
            changed + doubled == 0 && after == pids,
        ),
    ]
}

/// Processes of plugins, without what else the bus runs.
fn own_plugins(stage: &Stage) -> usize {
    let acts = |pid: u32| {
        fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
            environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(act::ACT.as_bytes()))
        })
    };
    processes_of(stage.bus()).into_iter().filter(|process| acts(process.pid)).count()
}

fn died_meanwhile(size: Size) -> Vec<Figure> {
    let config = plugins(2);
    let mut slowest = Duration::ZERO;
    let times = size.pick(50, 3);
    let mut stage = Stage::spawn(&config);
    for _ in 0..times {
        let pids = all_ready(&stage);
        stage.kill_supervisor();
        signal(pids["target-0"], Signal::KILL);
        stage.supervise_apart(&config, |command| command);
        let back = Instant::now();
        let now = eventually("the dead one runs again", || {
            let now = all_ready(&stage);
            (now["target-0"] != pids["target-0"]).then_some(now)
        });
        slowest = slowest.max(back.elapsed());
        assert_eq!(now["target-1"], pids["target-1"], "the living one was touched");
    }
    let reason = stage.reasons("target-0", "backing-off").pop().unwrap_or_default();
    vec![Figure::timing(
        format!("ready again {} most after the supervisor; {reason}", in_ms(slowest)),
        "1 s",
        slowest < Duration::from_secs(1),
    )]
}

fn died_later(size: Size) -> Vec<Figure> {
    let config = plugins(1);
    let mut stage = Stage::spawn(&config);
    let mut seen = Vec::new();
    for _ in 0..size.pick(50, 3) {
        let pids = all_ready(&stage);
        stage.kill_supervisor();
        stage.supervise_apart(&config, |command| command);
        assert_eq!(all_ready(&stage), pids, "not taken back");
        let at = std::time::SystemTime::now();
        signal(pids["target-0"], Signal::KILL);
        let event = eventually("its end is seen", || {
            stage
                .events()
                .into_iter()
                .rev()
                .find(|event| event["to"] == "backing-off" && stamp(event) >= at - Duration::from_millis(1))
        });
        seen.push(stamp(&event).duration_since(at).unwrap_or_default());
        eventually("it runs again", || (all_ready(&stage) != pids).then_some(()));
    }
    let reason = stage.reasons("target-0", "backing-off").pop().unwrap_or_default();
    vec![
        Figure::most("its end was seen", &crate::measure::Timings::from(seen), Duration::from_millis(50)),
        Figure::new(
            reason.clone(),
            "SIGKILL, where the kernel tells (6.15)",
            reason.contains("SIGKILL") || reason.contains("unknown"),
        ),
    ]
}

fn reused(_: Size) -> Vec<Figure> {
    let config = plugins(1);
    let mut stage = Stage::spawn(&config);
    let pids = all_ready(&stage);
    stage.kill_supervisor();
    signal(pids["target-0"], Signal::KILL);
    let mut stranger = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    for entry in fs::read_dir(stage.bus().state_dir()).unwrap() {
        let path = entry.unwrap().path();
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let Ok(mut record) = serde_json::from_str::<serde_json::Value>(&text) else { continue };
        if record["pid"].is_u64() {
            record["pid"] = stranger.id().into();
            fs::write(path, record.to_string()).unwrap();
        }
    }
    stage.supervise_apart(&config, |command| command);
    let now = all_ready(&stage);
    let untouched = stranger.try_wait().unwrap().is_none() && now["target-0"] != stranger.id();
    let _ = stranger.kill();
    let _ = stranger.wait();
    vec![Figure::new(if untouched { "neither signalled nor adopted" } else { "touched" }, "never touched", untouched)]
}

fn unreadable(_: Size) -> Vec<Figure> {
    let config = plugins(1);
    let mut stage = Stage::spawn(&config);
    all_ready(&stage);
    stage.kill_supervisor();
    let garbage: [(&str, &[u8]); 5] = [
        ("half.x.json", b"{\"name\":\"ha"),
        ("empty.x.json", b""),
        ("target-0.zzzz.json", b"\xff\xfe\0garbage"),
        ("up.x.json", b"{\"name\":\"../up\",\"instance\":\"x\",\"pid\":1,\"start_time\":1}"),
        ("operator.json", b"{\"stopped\": 7"),
    ];
    for (name, text) in garbage {
        fs::write(stage.bus().state_dir().join(name), text).unwrap();
    }
    stage.supervise_apart(&config, |command| command);
    all_ready(&stage);
    let told = stage
        .events()
        .iter()
        .map(|event| event["reason"].as_str().unwrap_or_default().to_owned())
        .collect::<Vec<_>>()
        .join("\n");
    let unnamed = garbage.iter().filter(|(name, _)| !told.contains(name)).count();
    vec![Figure::none(
        "files were not named in the event log; the supervisor started all the same",
        unnamed,
        garbage.len(),
    )]
}

fn second(_: Size) -> Vec<Figure> {
    let stage = Stage::spawn(&plugins(1));
    let pids = all_ready(&stage);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_plugbus"))
        .args(["supervise", "-c"])
        .arg(stage.scratch().join("plugbus.toml"))
        .env("PLUGBUS_DIR", stage.scratch())
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    let clear = words.contains(&stage.supervisor_pid().to_string());
    let untouched = all_ready(&stage) == pids;
    vec![Figure::new(
        format!(
            "exit code {}, names the first one's process: {clear}, plugins untouched: {untouched}",
            output.status.code().unwrap_or(-1)
        ),
        "refused",
        !output.status.success() && clear && untouched,
    )]
}

fn replaced(size: Size) -> Vec<Figure> {
    let count = size.pick(100, 5);
    let stage = Stage::spawn(&plugins(count));
    let pids = all_ready(&stage);
    let supervisor = stage.supervisor_pid();
    let mut kept = true;
    let callers = Callers::around(stage.caller(), count, || {
        for _ in 0..2 {
            let own = || {
                let card = stage.bus().cards().ok()?.into_iter().find(|card| card.name == "supervisor")?;
                Some(card.instance)
            };
            let before = own();
            signal(supervisor, Signal::USR2);
            eventually("the new one is on the bus", || own().filter(|now| Some(now) != before.as_ref()));
            kept &= all_ready(&stage) == pids && stage.status().pid == supervisor;
        }
    });
    let failed = callers.failed.into_inner().unwrap();
    vec![Figure::new(
        format!(
            "{count} plugins, replaced twice: same processes: {kept}, {} of {} calls failed",
            failed.len(),
            callers.calls.load(Ordering::Relaxed)
        ),
        "0 restarts, 0 failed",
        kept && failed.is_empty(),
    )]
}

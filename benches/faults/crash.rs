//! C: crash and restart.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use plugbus::host::blocking::Bus;
use plugbus::supervisor::{PluginStatus, StatusReport, UnitState};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::Fault;
use crate::act::{self, BEACON};
use crate::environment::supervise_after;
use crate::figure::{Figure, Size};
use crate::ground::{Beacon, Holdings, LONG, lasting, processor_time};
use crate::measure::Timings;
use crate::support::{Stage, eventually, eventually_or, plugin, signal};

pub(crate) const FAULTS: &[Fault] = &[
    ("C1", "kill -9 of a plugin that was ready", kill),
    ("C2", "a storm of kill -9 over many plugins", storm),
    ("C3", "every exit code and signal under every policy", truth),
    ("C4", "a plugin that crashes at its start, for ever", crash_loop),
    ("C5", "programs that cannot be started", not_startable),
    ("C6", "a crash after a good run, after many bad ones", good_run),
    ("C7", "a start by hand after giving up", by_hand),
    ("C8", "restarts in great number", restarts),
];

/// Waits until another instance of the plugin can be called; answers it.
pub(crate) fn ready_but_not(bus: &Bus, name: &str, not: &[&str]) -> String {
    let query = json!({"plugin": name, "not": not});
    let found: Value = bus.request("wait").plugin("supervisor").timeout(LONG).call(&query).unwrap();
    found["instance"].as_str().unwrap().to_owned()
}

fn kill(size: Size) -> Vec<Figure> {
    let beacon = Beacon::new();
    let more = format!("env.{BEACON} = '{}'\nbackoff = {{ min = '1ms', max = '1ms', reset = '1ms' }}", beacon.path);
    let stage = Stage::spawn(&act::plugin("target", "serve", &more));
    let bus = stage.caller();
    let mut instance = ready_but_not(&bus, "target", &[]);
    let (_, mut pid) = beacon.next();
    let times = size.pick(1000, 40);
    let (mut execs, mut readies) = (Vec::new(), Vec::new());
    for _ in 0..times {
        let killed = Instant::now();
        signal(pid, Signal::KILL);
        let (heard, next) = beacon.next();
        instance = ready_but_not(&bus, "target", &[&instance]);
        readies.push(killed.elapsed());
        execs.push(heard - killed);
        pid = next;
    }
    let restarts = stage.plugin("target").restarts;
    vec![
        Figure::median("to the next exec", &Timings::from(execs), Duration::from_millis(10)),
        Figure::median("to ready", &Timings::from(readies), Duration::from_millis(100)),
        Figure::new(format!("{restarts} restarts after {times} kills"), "as many", restarts == times),
    ]
}

fn storm(size: Size) -> Vec<Figure> {
    let plugins = size.pick(50, 10);
    let quick = "backoff = { min = '1ms', max = '100ms', reset = '1ms' }\n";
    let config = (0..plugins).map(|nth| act::plugin(&format!("target-{nth}"), "serve", quick));
    let stage = Stage::spawn(&config.collect::<String>());
    let all_ready =
        || plugins_of(&stage).filter(|plugins| plugins.iter().all(|plugin| plugin.state == UnitState::Ready));
    eventually("all are ready", all_ready);
    lasting(size.pick(Duration::from_secs(5), Duration::from_millis(500)));
    let before = Holdings::of(&stage);
    let at_rest = || {
        let ended = Instant::now();
        eventually("all are ready again", all_ready);
        let held = || Holdings::of(&stage).with_no_more_descriptors_than(&before);
        (ended.elapsed(), eventually_or(held).unwrap_or_else(|more| more))
    };
    // Where it grows, whether it goes on growing.
    let mut kills = kill_all_for(&stage, size.pick(Duration::from_secs(60), Duration::from_secs(2)));
    let (_, warm) = at_rest();
    kills += kill_all_for(&stage, size.pick(Duration::from_secs(240), Duration::from_secs(2)));
    let (recovered, after) = at_rest();
    let growth = |from: &Holdings| (after.resident_kib as f64 / from.resident_kib as f64 - 1.0) * 100.0;
    vec![
        Figure::timing(
            format!("{kills} kills, all ready {:.1} s after the end", recovered.as_secs_f64()),
            "10 s",
            recovered < Duration::from_secs(10),
        ),
        Figure::new(
            format!("descriptors {} → {}", before.descriptors, after.descriptors),
            "as before",
            after.descriptors <= before.descriptors,
        ),
        Figure::new(
            format!("memory {:+.1} %, of that {:+.1} % after its first fifth", growth(&before), growth(&warm)),
            "10 %",
            growth(&before) < 10.0,
        ),
    ]
}

/// Kills every plugin ten times a second; how many were killed.
fn kill_all_for(stage: &Stage, time: Duration) -> usize {
    let over = Instant::now() + time;
    let mut kills = 0;
    while Instant::now() < over {
        let pids = plugins_of(stage).into_iter().flatten().filter_map(|plugin| plugin.pid);
        let processes = pids.filter_map(|pid| rustix::process::Pid::from_raw(pid.cast_signed()));
        kills += processes.filter(|process| rustix::process::kill_process(*process, Signal::KILL).is_ok()).count();
        lasting(Duration::from_millis(100));
    }
    kills
}

/// How all stand; `None` where the supervisor does not answer.
fn plugins_of(stage: &Stage) -> Option<Vec<PluginStatus>> {
    let status: StatusReport = stage.caller().request("supervisor.status").timeout(LONG).call(&()).ok()?;
    Some(status.plugins)
}

fn truth(size: Size) -> Vec<Figure> {
    let ends: Vec<String> = (0..=255)
        .map(|code| format!("exit {code}"))
        // Those that a shell can die of: neither stopping nor ignored ones.
        .chain(
            [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 24, 25, 26, 27, 29, 30, 31]
                .map(|signal| format!("kill -{signal} $$")),
        )
        .collect();
    let step = size.pick(1, 16);
    let mut wrong = Vec::new();
    let mut tried = 0;
    for policy in ["always", "on-failure", "never"] {
        let some: Vec<_> = ends.iter().step_by(step).collect();
        for batch in some.chunks(40) {
            let section = |(nth, end): (usize, &&String)| {
                let more = format!("restart = '{policy}'\nbackoff = {{ min = '1h', max = '1h' }}");
                plugin(&format!("end-{nth}"), &["/bin/sh", "-c", end], &more)
            };
            let stage = Stage::spawn(&batch.iter().enumerate().map(section).collect::<String>());
            let settled = || {
                let plugins = stage.status().plugins;
                let over = |state| matches!(state, UnitState::BackingOff | UnitState::Stopped | UnitState::Failed);
                plugins.iter().all(|plugin| over(plugin.state)).then_some(plugins)
            };
            for (plugin, end) in eventually("all have ended", settled).iter().zip(batch) {
                tried += 1;
                let expected = match (policy, end.as_str() == "exit 0") {
                    ("always", _) | ("on-failure", false) => UnitState::BackingOff,
                    ("never", false) => UnitState::Failed,
                    _ => UnitState::Stopped,
                };
                if plugin.state != expected {
                    wrong.push(format!("{policy}: {end}: {}", plugin.state));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    vec![Figure::none("ends were answered wrongly", wrong.len(), tried)]
}

fn crash_loop(size: Size) -> Vec<Figure> {
    let beacon = Beacon::new();
    let more = format!("env.{BEACON} = '{}'\nbackoff = {{ min = '50ms', max = '800ms', jitter = 0.2 }}", beacon.path);
    let stage = Stage::spawn(&act::plugin("target", "crash", &more));
    // What its own start has cost is no part of it.
    let (started, before) = (Instant::now(), processor_time(stage.supervisor_pid()));
    let starts: Vec<Instant> = (0..size.pick(20, 9)).map(|_| beacon.next().0).collect();
    let spent = (processor_time(stage.supervisor_pid()) - before).as_secs_f64() / started.elapsed().as_secs_f64();
    let bus = stage.caller();
    let answers =
        Timings::of(2, size.pick(100, 20), || drop(bus.call::<Value, _>("supervisor.status", &()).unwrap()));
    let mut off = 0;
    for (nth, pair) in starts.windows(2).enumerate() {
        let planned = Duration::from_millis((50 << nth.min(10)).min(800));
        let waited = pair[1] - pair[0];
        // The process itself takes a moment to start, to end and to be noticed.
        let slack = Duration::from_millis(60);
        off += usize::from(waited < planned.mul_f64(0.79) || waited > planned.mul_f64(1.01) + slack);
    }
    vec![
        Figure::none(
            "waits were off the curve of 50 ms, doubling to 800 ms, less 20 % jitter",
            off,
            starts.len() - 1,
        ),
        Figure::new(
            format!("supervisor takes {:.2} % of a core", spent * 100.0),
            size.pick("1 %", "5 %"),
            spent < size.pick(0.01, 0.05),
        ),
        Figure::most("`status` answered in", &answers, Duration::from_millis(100)),
    ]
}

fn not_startable(_: Size) -> Vec<Figure> {
    let scratch = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str, mode: u32| {
        let path = scratch.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let cases = [
        ("missing", "/nowhere/at-all".to_owned(), "program not found"),
        ("denied", file("denied", "x", 0o644), "not executable"),
        ("nointerp", file("nointerp", "#!/nowhere/interpreter\n", 0o755), "interpreter not found"),
        ("garbage", file("garbage", "\x7fELF garbage", 0o755), "not a program for this machine"),
    ];
    let config: String = cases
        .iter()
        .map(|(name, program, _)| plugin(name, &[program], "backoff = { min = '200ms', max = '1h' }"))
        .collect();
    let stage = Stage::spawn(&config);
    let mut unnamed = 0;
    for (name, _, words) in &cases {
        let plugin = stage.until(name, |plugin| plugin.restarts >= 2);
        let reason = plugin.last_end.map(|end| end.reason).unwrap_or_default();
        unnamed += usize::from(!reason.contains(words));
        assert!(reason.contains(words), "{name}: {reason:?}");
    }
    vec![Figure::none("kinds of failure were not named", unnamed, cases.len()), no_room(), read_only()]
}

/// A bus directory on a disk that nothing can be written to.
fn read_only() -> Figure {
    let scratch = tempfile::tempdir().unwrap();
    let (bus, file) = (scratch.path().join("bus"), scratch.path().join("plugbus.toml"));
    fs::create_dir(&bus).unwrap();
    fs::write(&file, plugin("target", &["/bin/true"], "")).unwrap();
    let supervise = "mount -t tmpfs -o ro none \"$PLUGBUS_DIR\" || exit 99; exec \"$0\" supervise -c \"$1\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "/bin/sh", "-c", supervise, env!("CARGO_BIN_EXE_plugbus")]).arg(&file);
    let said = command.env("PLUGBUS_DIR", &bus).stdin(Stdio::null()).output();
    match said {
        Ok(said) if said.status.code() != Some(99) && !said.stderr.starts_with(b"unshare") => {
            let words = String::from_utf8_lossy(&said.stderr).replace(scratch.path().to_str().unwrap(), "");
            let named = words.contains("/bus/default") && words.contains("Read-only");
            Figure::new(
                format!("a bus on a read-only disk: {}", words.trim()),
                "refused by name",
                named && !said.status.success(),
            )
        }
        _ => Figure::new("skipped: no file system may be mounted here", "", true),
    }
}

/// A control group that limits how many processes there may be, root's too; removed with this value.
struct Limited(PathBuf);

impl Limited {
    /// `None` where none can be made.
    fn new() -> Option<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        let below = |mount: &str, line: &str| {
            let own = groups.lines().find_map(|group| group.split_once(line).map(|(_, path)| path))?;
            Some(PathBuf::from(format!("{mount}{own}/plugbus-faults.{}", std::process::id())))
        };
        let places = [below("/sys/fs/cgroup", "0::"), below("/sys/fs/cgroup/pids", ":pids:")];
        places.into_iter().flatten().find_map(|path| {
            fs::create_dir(&path).ok()?;
            let group = Self(path);
            group.0.join("pids.max").exists().then_some(group)
        })
    }

    fn allow(&self, processes: &str) {
        fs::write(self.0.join("pids.max"), processes).unwrap();
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        // Whoever was in it may take a moment to be gone.
        let _ = eventually_or(|| fs::remove_dir(&self.0));
    }
}

/// No room for one process more (EAGAIN), and then room again.
fn no_room() -> Figure {
    let Some(group) = Limited::new() else {
        return Figure::new("skipped: no group that limits processes can be made here", "", true);
    };
    let retry = "backoff = { min = '100ms', max = '200ms' }";
    let config =
        act::plugin("first", "serve", retry) + &act::plugin("target", "serve", &format!("enabled = false\n{retry}"));
    let mut stage = Stage::empty();
    supervise_after(&mut stage, &config, &format!("echo $$ > '{}/cgroup.procs'", group.0.display()));
    let first = stage.ready("first");
    group.allow(fs::read_to_string(group.0.join("pids.current")).unwrap().trim());
    let order = json!({"names": ["target"], "wait": false});
    let _: Value = stage.caller().request("enable").plugin("supervisor").timeout(LONG).call(&order).unwrap();
    let _: Value = stage.caller().request("start").plugin("supervisor").timeout(LONG).call(&order).unwrap();
    let why = |plugin: &PluginStatus| plugin.reason.contains("too many processes");
    let refused = stage.until("target", |plugin| why(plugin)).reason;
    group.allow("max");
    stage.ready("target");
    let untouched = stage.ready("first").pid == first.pid;
    Figure::new(
        format!(
            "no room for a process: {}; with room it is ready, the other was left alone: {untouched}",
            refused.split(';').next().unwrap_or_default()
        ),
        "named, and recovers",
        untouched,
    )
}

fn good_run(_: Size) -> Vec<Figure> {
    let more = "backoff = { min = '300ms', max = '10s', jitter = 0, reset = '1s' }";
    let stage = Stage::spawn(&act::plugin("target", "serve", more));
    let mut last = stage.ready("target");
    let kill = |last: &mut plugbus::supervisor::PluginStatus| {
        let killed = Instant::now();
        signal(last.pid.unwrap(), Signal::KILL);
        *last = stage.ready_again(last);
        killed.elapsed()
    };
    let bad: Vec<_> = (0..3).map(|_| kill(&mut last)).collect();
    stage.until("target", |plugin| plugin.state_ms >= 1100);
    let after = kill(&mut last);
    vec![Figure::timing(
        format!(
            "waits after bad runs {:?}, after a good one {} ms",
            bad.iter().map(Duration::as_millis).collect::<Vec<_>>(),
            after.as_millis()
        ),
        "at once again (250 ms)",
        after < Duration::from_millis(250) && bad[2] > Duration::from_millis(600),
    )]
}

fn by_hand(_: Size) -> Vec<Figure> {
    let stage = Stage::spawn(&act::plugin("target", "serve", "restart = 'never'"));
    let first = stage.ready("target");
    signal(first.pid.unwrap(), Signal::KILL);
    stage.until("target", |plugin| plugin.state == UnitState::Failed);
    let begun = Instant::now();
    let order = json!({"names": ["target"]});
    let report: Value = stage.caller().request("start").plugin("supervisor").timeout(LONG).call(&order).unwrap();
    let took = begun.elapsed();
    vec![Figure::timing(
        format!("ready {} ms after the order", took.as_millis()),
        "at once (1 s)",
        report["done"] == true && took < Duration::from_secs(1),
    )]
}

fn restarts(size: Size) -> Vec<Figure> {
    let beacon = Beacon::new();
    let more = format!("env.{BEACON} = '{}'\nbackoff = {{ min = '1ms', max = '1ms', reset = '1ms' }}", beacon.path);
    let stage = Stage::spawn(&act::plugin("target", "serve", &more));
    let bus = stage.caller();
    let mut instance = ready_but_not(&bus, "target", &[]);
    let mut pid = beacon.next().1;
    let mut turn = |times: usize| {
        for _ in 0..times {
            signal(pid, Signal::KILL);
            pid = beacon.next().1;
            instance = ready_but_not(&bus, "target", &[&instance]);
        }
    };
    turn(size.pick(500, 50));
    let before = Holdings::of(&stage);
    let times = size.pick(10_000, 100);
    turn(times);
    let as_before = |after: &Holdings| {
        after.descriptors <= before.descriptors
            && after.threads <= before.threads
            && after.zombies == 0
            && after.files <= before.files
    };
    // A thread that has blocked is kept for another ten seconds.
    let until = Instant::now() + Duration::from_secs(20);
    let mut after = Holdings::of(&stage);
    while !as_before(&after) && Instant::now() < until {
        lasting(Duration::from_millis(100));
        after = Holdings::of(&stage);
    }
    let growth = after.resident_kib as f64 / before.resident_kib as f64 - 1.0;
    let held = |after: Holdings| (after.descriptors, after.threads, after.zombies, after.files);
    vec![
        Figure::new(
            format!("{times} restarts: descriptors, threads, zombies, files {:?} → {:?}", held(before), held(after)),
            "as before",
            as_before(&after),
        ),
        Figure::new(
            format!("memory {:+.1} %", growth * 100.0),
            size.pick("± 5 %", "± 20 %"),
            growth.abs() <= size.pick(0.05, 0.20),
        ),
    ]
}

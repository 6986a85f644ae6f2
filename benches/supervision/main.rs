//! What the command and the supervisor cost: `cargo bench --bench supervision`, or `-- crowd` for one part.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints, and stops where it cannot go on")]

mod cancelled;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use plugbus::config;
use plugbus::host::{Bus, CallError};
use plugbus::supervisor::{PluginStatus, StatusReport, Supervisor, UnitState};
use support::{Timings, head, machine, micros, millis, resident_kib, row};

const LONG: Duration = Duration::from_secs(60);
const TEXT: &str = "Live on time, emit no evil";

fn main() {
    if cancelled::is_wanted() {
        return cancelled::serve();
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |part: &str| wanted.is_empty() || wanted.iter().any(|name| name == part);
    println!("{}\n", machine());
    head(&["figure", "median", "p99", "bound"]);
    if wanted("call") {
        whole_call();
    }
    if wanted("idle") {
        idle();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if wanted("cancelled") {
        cancelled::measure(&runtime);
    }
    if wanted("killed") {
        runtime.block_on(killed());
    }
    if wanted("crowd") {
        runtime.block_on(crowd());
    }
    if wanted("confined") {
        runtime.block_on(confined());
    }
}

/// What a sandbox costs a start and a call: the same plugin in each, side by side, turn by turn.
async fn confined() {
    const SANDBOXES: [&str; 3] = ["off", "standard", "strict"];
    const STARTS: usize = 100;
    const CALLS: usize = 5000;
    let root = tempfile::tempdir().unwrap();
    let defaults = "[defaults]\ntrust = \"any\"\nbackoff = { reset = \"1ms\" }\n".to_owned();
    let table = |name| format!("[plugins.{name}]\ncommand = [\"plugbus-text\"]\nsandbox = \"{name}\"\n");
    let (supervisor, bus) = supervise(root.path(), &(defaults + &SANDBOXES.map(table).concat())).await;
    let (mut starts, mut calls) = (SANDBOXES.map(|_| Vec::new()), SANDBOXES.map(|_| Vec::new()));
    // Whose turn is first changes: the first is the one that finds the processor cold.
    let turns =
        |count: usize| (0..count * SANDBOXES.len()).map(|turn| (turn + turn / SANDBOXES.len()) % SANDBOXES.len());
    for nth in turns(STARTS) {
        starts[nth].push(killed_once(&supervisor, nth).await);
    }
    for nth in turns(CALLS) {
        let method = format!("{}.revert", SANDBOXES[nth]);
        let begun = Instant::now();
        bus.call::<String, _>(&method, TEXT).await.unwrap();
        calls[nth].push(begun.elapsed());
    }
    for ((name, starts), calls) in SANDBOXES.iter().zip(starts).zip(calls) {
        show(&format!("sandbox {name}: kill -9 to ready again"), &Timings::from(starts), "off + 5 ms");
        let calls = Timings::from(calls);
        row([&format!("sandbox {name}: a call"), &micros(calls.median()), &micros(calls.percentile(99.0)), "as off"]);
    }
    supervisor.stop().await;
}

/// From SIGKILL of that plugin until its next instance is ready.
async fn killed_once(supervisor: &Supervisor, nth: usize) -> Duration {
    let before = supervisor.status().await.unwrap().plugins.swap_remove(nth);
    let pid = before.pid.and_then(|pid| rustix::process::Pid::from_raw(pid.try_into().unwrap())).unwrap();
    let begun = Instant::now();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    loop {
        let now = supervisor.status().await.unwrap().plugins.swap_remove(nth);
        if now.state == UnitState::Ready && now.pid != before.pid {
            return begun.elapsed();
        }
        tokio::task::yield_now().await;
    }
}

fn show(what: &str, timings: &Timings, bound: &str) {
    row([what, &millis(timings.median()), &millis(timings.percentile(99.0)), bound]);
}

/// `plugbus supervise` with that many instances of `text`, as its own process.
struct Daemon(Child);

impl Daemon {
    fn start(root: &Path, plugins: usize) -> Self {
        let tables = (0..plugins).map(|nth| format!("[plugins.text-{nth}]\ncommand = [\"plugbus-text\"]\n"));
        let config = root.join("bench.toml");
        fs::write(&config, tables.collect::<String>()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_plugbus"));
        command.arg("supervise").arg("-c").arg(config).env("PLUGBUS_DIR", root);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn status(root: &Path) -> Result<StatusReport, CallError> {
        plugbus::host::blocking::Bus::at(root.join("default"))?.call("supervisor.status", &())
    }

    fn wait_ready(root: &Path, plugins: usize) {
        let until = Instant::now() + LONG;
        let ready = |report: &StatusReport| report.plugins.iter().filter(|p| p.state == UnitState::Ready).count();
        while !Self::status(root).is_ok_and(|report| ready(&report) == plugins) {
            assert!(Instant::now() < until, "not ready within {LONG:?}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

/// The whole process `plugbus call`, from the shell's point of view.
fn whole_call() {
    let root = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(root.path(), 1);
    Daemon::wait_ready(root.path(), 1);
    let call = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plugbus"));
        let output = command.args(["call", "revert", TEXT]).env("PLUGBUS_DIR", root.path()).output().unwrap();
        assert_eq!(output.stdout, b"live on time ,emit no eviL\n");
    };
    show("whole `plugbus call` from the shell", &Timings::of(10, 200, call), "20 ms median");
    drop(daemon);
}

/// What the supervisor takes while ten plugins do nothing.
fn idle() {
    const OBSERVED: Duration = Duration::from_secs(30);
    let root = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(root.path(), 10);
    Daemon::wait_ready(root.path(), 10);
    let pid = daemon.0.id();
    let before = cpu_ticks(pid);
    std::thread::park_timeout(OBSERVED);
    let share = (cpu_ticks(pid) - before) as f64 / 100.0 / OBSERVED.as_secs_f64();
    let percent = format!("{:.2} % of a core", share * 100.0);
    row(["supervisor with 10 idle plugins, processor", &percent, "", "under 1 %"]);
    let resident = format!("{:.1} MiB", resident_kib(pid, "VmRSS") as f64 / 1024.0);
    row(["supervisor with 10 idle plugins, resident", &resident, "", "under 20 MiB"]);
    let plugin = Daemon::status(root.path()).unwrap().plugins[0].pid.unwrap();
    row(["one idle plugin, resident", &format!("{:.1} MiB", resident_kib(plugin, "VmRSS") as f64 / 1024.0), "", ""]);
}

/// User and system time, in ticks of 10 ms: fields 14 and 15.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

async fn supervise(root: &Path, config: &str) -> (Supervisor, Bus) {
    let file = root.join("bench.toml");
    fs::write(&file, config).unwrap();
    let mut spec = config::load(&[file]).unwrap().spec;
    spec.directory = Some(root.join("bus"));
    let supervisor = Supervisor::start(spec).await.unwrap();
    supervisor.wait_ready(LONG).await.unwrap();
    let bus = Bus::at(supervisor.directory()).unwrap();
    (supervisor, bus)
}

/// From SIGKILL of a plugin until another instance answers as ready, each time as after a good run.
async fn killed() {
    let root = tempfile::tempdir().unwrap();
    let config = "[plugins.text]\ncommand = [\"plugbus-text\"]\nbackoff = { reset = \"1ms\" }\n";
    let (supervisor, bus) = supervise(root.path(), config).await;
    let (mut ready, mut answered) = (Vec::new(), Vec::new());
    for _ in 0..40 {
        let before = text(&supervisor).await;
        let killed = Instant::now();
        let pid = before.pid.and_then(|pid| rustix::process::Pid::from_raw(pid.try_into().unwrap())).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        while bus.call::<String, _>("text.revert", TEXT).await.is_err() {}
        answered.push(killed.elapsed());
        loop {
            let now = text(&supervisor).await;
            if now.state == UnitState::Ready && now.pid != before.pid {
                break;
            }
            tokio::task::yield_now().await;
        }
        ready.push(killed.elapsed());
    }
    show("kill -9 to a call answered again", &Timings::from(answered), "");
    show("kill -9 to ready again", &Timings::from(ready), "250 ms median");
    supervisor.stop().await;
}

async fn text(supervisor: &Supervisor) -> PluginStatus {
    supervisor.status().await.unwrap().plugins.swap_remove(0)
}

/// How long a survey of 200 plugins takes, all answers in.
async fn crowd() {
    let root = tempfile::tempdir().unwrap();
    let tables: String = (0..4)
        .map(|nth| {
            format!("[plugins.text-{nth}]\ncommand = [\"plugbus-text\"]\nreplicas = 50\nstart_timeout = \"60s\"\n")
        })
        .collect();
    let start = Instant::now();
    let (supervisor, _) = supervise(root.path(), &tables).await;
    row(["200 plugins, from nothing to all ready", &millis(start.elapsed()), "", ""]);
    let mut rounds = Vec::new();
    for _ in 0..30 {
        let report = supervisor.survey().await.unwrap();
        assert_eq!(report.answers.len(), 200, "{:?}", report.missing);
        rounds.push(Duration::from_micros(report.took_us));
    }
    show("200 plugins, one survey round", &Timings::from(rounds), "200 ms");
    supervisor.stop().await;
}

//! E: the machine around the supervisor.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use plugbus::supervisor::{PluginStatus, UnitState};
use rustix::process::Signal;

use crate::Fault;
use crate::act;
use crate::figure::{Figure, Size, in_ms};
use crate::ground::{LONG, crowd_of, crowd_ready, lasting, processor_time, status_field, zombies_of};
use crate::measure::Timings;
use crate::support::{Stage, eventually, eventually_or, jumping_clock, plugin, signal};

pub(crate) const FAULTS: &[Fault] = &[
    ("E1", "a wall clock that jumps by years", clock),
    ("E2", "no descriptor left", descriptors),
    ("E3", "a thousand plugins", thousand),
    ("E4", "no control group, first process of a namespace", bare),
    ("E5", "socket paths that are stale, occupied, too long", paths),
];

const QUICK: &str = "[survey]\ninterval = '300ms'\ndeadline = '250ms'\nmisses = 3\n";

fn clock(size: Size) -> Vec<Figure> {
    let library = jumping_clock();
    let mut stage = Stage::empty();
    let config = QUICK.to_owned()
        + &act::plugin(
            "target",
            "serve",
            "pass_env = ['LD_PRELOAD']\nbackoff = { min = '1ms', max = '1ms', reset = '1ms' }",
        );
    stage.supervise_apart(&config, |command| command.env("LD_PRELOAD", &library));
    let before = stage.ready("target");
    lasting(size.pick(Duration::from_secs(60), Duration::from_secs(2)));
    let untouched = stage.ready("target").pid == before.pid;
    let begun = Instant::now();
    signal(before.pid.unwrap(), Signal::STOP);
    stage.ready_again(&before);
    let verdict = begun.elapsed();
    drop(stage);
    fs::remove_file(library).unwrap();
    vec![Figure::new(
        format!("restarted by the jumps: {}; a frozen one found in {}", !untouched, in_ms(verdict)),
        "timers unmoved",
        untouched && verdict < Duration::from_secs(10),
    )]
}

/// `plugbus supervise` by way of a shell that first does something to the process.
pub(crate) fn supervise_after(stage: &mut Stage, config: &str, first: &str) {
    let script = format!("{first}; exec \"$0\" \"$@\"");
    stage.supervise_apart(config, |command| {
        let program = command.get_program().to_owned();
        let arguments: Vec<_> = command.get_args().map(std::ffi::OsStr::to_owned).collect();
        let variables: Vec<_> =
            command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
        *command = Command::new("/bin/sh");
        command.arg("-c").arg(&script).arg(program).args(arguments).envs(variables);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
    });
}

fn descriptors(_: Size) -> Vec<Figure> {
    let section =
        |nth: usize| act::plugin(&format!("target-{nth:02}"), "serve", "backoff = { min = '100ms', max = '500ms' }");
    let mut stage = Stage::empty();
    let config: String = (0..30).map(section).collect();
    supervise_after(&mut stage, &(QUICK.to_owned() + &config), "ulimit -n 64");
    let ready = || stage.status().plugins.into_iter().filter(|plugin| plugin.state == UnitState::Ready).count();
    let refused = eventually("some cannot be started, and it is said why", || {
        let plugins = stage.status().plugins;
        let why = |plugin: &PluginStatus| plugin.reason.contains("too many open files");
        Some(plugins.into_iter().filter(why).count()).filter(|count| *count > 0)
    });
    let some = eventually("some are ready", || Some(ready()).filter(|count| *count > 0));
    // One that runs is looked after all the same, and one that was refused comes when there is room.
    let find = |fits: &dyn Fn(&PluginStatus) -> bool| stage.status().plugins.into_iter().find(|plugin| fits(plugin));
    let running = find(&|plugin| plugin.state == UnitState::Ready).expect("one that runs");
    let refused_one = find(&|plugin| plugin.state == UnitState::BackingOff).expect("one that was refused");
    let names: Vec<_> = (0..30)
        .map(|nth| format!("target-{nth:02}"))
        .filter(|name| *name != running.name && *name != refused_one.name)
        .collect();
    let order = serde_json::json!({"names": names});
    let _: serde_json::Value =
        stage.caller().request("stop").plugin("supervisor").timeout(LONG).call(&order).unwrap();
    signal(running.pid.unwrap(), Signal::KILL);
    stage.ready_again(&running);
    let recovered = eventually("the rest comes up", || Some(ready()).filter(|count| *count == 2));
    vec![Figure::new(
        format!("of 30 with 64 descriptors {some} ready, {refused} refused by name; with room for two {recovered}"),
        "recovers",
        recovered == 2,
    )]
}

fn thousand(size: Size) -> Vec<Figure> {
    let count = size.pick(1000, 40);
    let config = crowd_of(count);
    let mut stage = Stage::empty();
    let begun = Instant::now();
    stage.supervise_apart(&config, |command| command);
    let first = pids(&crowd_ready(&stage, count));
    let start = begun.elapsed();
    lasting(size.pick(Duration::from_secs(5), Duration::from_secs(1)));
    let spent = processor_time(stage.supervisor_pid());
    let time = size.pick(Duration::from_secs(30), Duration::from_secs(2));
    lasting(time);
    let share = (processor_time(stage.supervisor_pid()) - spent).as_secs_f64() / time.as_secs_f64() * 100.0;
    let memory = status_field(stage.supervisor_pid(), "VmRSS:") / 1024;
    let rounds = (0..size.pick(100, 5)).map(|_| Duration::from_micros(stage.survey().took_us));
    let rounds = Timings::from(rounds.collect());
    stage.kill_supervisor();
    // Long enough that all of them ask more rarely whether there is another.
    lasting(size.pick(Duration::from_secs(10), Duration::from_secs(1)));
    let killed = Instant::now();
    stage.supervise_apart(&config, |command| command);
    let second = pids(&crowd_ready(&stage, count));
    let back = killed.elapsed();
    // In order: a thousand that are killed at one moment keep the machine busy with their ends while the next fault runs.
    stage.stop();
    vec![
        Figure::timing(
            format!("{count} ready in {:.1} s", start.as_secs_f64()),
            "30 s",
            start < Duration::from_secs(30),
        ),
        Figure::new(
            format!(
                "of {count} {} were started anew when a new supervisor came",
                first.symmetric_difference(&second).count() / 2
            ),
            "0",
            first == second,
        ),
        Figure::timing(
            format!("taken back by it in {:.1} s", back.as_secs_f64()),
            "30 s",
            back < Duration::from_secs(30),
        ),
        Figure::timing(format!("idle {share:.1} % of a core"), "3 %", share < 3.0),
        Figure::new(format!("{memory} MiB"), "100 MiB", memory < 100),
        Figure::timing(
            format!("a survey round {} p99, {} median", in_ms(rounds.percentile(99.0)), in_ms(rounds.median())),
            "300 ms p99",
            rounds.percentile(99.0) < Duration::from_millis(300),
        ),
    ]
}

fn pids(plugins: &[PluginStatus]) -> BTreeSet<Option<u32>> {
    plugins.iter().map(|plugin| plugin.pid).collect()
}

/// A process that does not outlive the fault, whatever becomes of that.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The one child of a process.
fn child_of(parent: u32) -> Option<String> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    Some(children.trim().to_owned()).filter(|child| !child.is_empty())
}

fn bare(_: Size) -> Vec<Figure> {
    let unshare = Command::new("unshare").args(["--pid", "--fork", "--mount", "--mount-proc", "true"]).output();
    if !unshare.is_ok_and(|output| output.status.success()) {
        return vec![Figure::new("skipped: no namespaces may be made here", "", true)];
    }
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("plugbus.toml");
    // Inside, pids are others: only what it says itself can be looked at.
    let orphan = plugin("orphan", &["/bin/sh", "-c", "(setsid sleep 0.2 &) ; sleep 1000"], "start_timeout = '1h'");
    fs::write(&file, act::plugin("target", "serve", "") + &orphan).unwrap();
    let script = "umount -R /sys/fs/cgroup 2>/dev/null; mount -t tmpfs -o ro none /sys/fs/cgroup 2>/dev/null; exec \"$0\" supervise -c \"$1\"";
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount", "--mount-proc", "--kill-child", "/bin/sh", "-c", script]);
    command.arg(env!("CARGO_BIN_EXE_plugbus")).arg(&file).env("PLUGBUS_DIR", root.path());
    let log = root.path().join("said");
    let mut child = Ends(command.stdin(Stdio::null()).stderr(fs::File::create(&log).unwrap()).spawn().unwrap());
    // Its pids are others than ours, so whoever asks it has to be in there, too.
    let inside = |arguments: &[&str]| -> Option<serde_json::Value> {
        let mut command = Command::new("nsenter");
        command.args(["--pid", "--mount", "--target", &child_of(child.0.id())?]).arg(env!("CARGO_BIN_EXE_plugbus"));
        let output = command.args(arguments).env("PLUGBUS_DIR", root.path()).output().ok()?;
        serde_json::from_slice(&output.stdout).ok()
    };
    let report = eventually("the plugin is ready", || {
        inside(&["status", "--json"]).filter(|report| report["plugins"][0]["state"] == "ready")
    });
    let first = report["pid"] == 1;
    lasting(Duration::from_millis(600));
    // One that has just ended is a zombie for the moment until it is collected.
    let clear = || child_of(child.0.id()).is_some_and(|pid| zombies_of(pid.parse().unwrap()) == 0);
    let reaps = eventually_or(|| if clear() { Ok(()) } else { Err(()) }).is_ok();
    inside(&["stop", "--supervisor", "--json"]);
    let code = eventually("it ends", || child.0.try_wait().unwrap()).code();
    let warnings =
        fs::read_to_string(&log).unwrap_or_default().lines().filter(|line| line.contains("cgroup")).count();
    vec![Figure::new(
        format!(
            "as process 1: {first}; reaps: {reaps}; exit code {code:?}; {warnings} warnings about control groups"
        ),
        "works, at most one warning",
        first && reaps && code == Some(0) && warnings <= 1,
    )]
}

fn paths(_: Size) -> Vec<Figure> {
    let refused = |root: &Path| {
        let file = root.join("plugbus.toml");
        fs::write(&file, plugin("target", &["/bin/true"], "")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_plugbus"));
        command.args(["supervise", "-c"]).arg(&file).env("PLUGBUS_DIR", root).stdin(Stdio::null());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let scratch = tempfile::tempdir().unwrap();
    // Too long by far: the limit of a socket's path is 107 bytes.
    let long = scratch.path().join("x".repeat(120));
    fs::create_dir(&long).unwrap();
    let (code, words) = refused(&long);
    let too_long = code != Some(0) && words.contains("107");
    // Open to others.
    let loose = scratch.path().join("loose");
    fs::create_dir_all(loose.join("default")).unwrap();
    fs::set_permissions(loose.join("default"), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let (code, words) = refused(&loose);
    let open = code != Some(0) && words.contains("default");
    // Stale: a socket that nobody listens on is in the way, and is taken away.
    let mut stage = Stage::empty();
    drop(UnixListener::bind(stage.bus().path().join("survey.ipc")).unwrap());
    drop(UnixListener::bind(stage.bus().path().join("gone.abc.ipc")).unwrap());
    stage.supervise_apart(&act::plugin("target", "serve", ""), |command| command);
    stage.ready("target");
    let stale = !stage.bus().path().join("gone.abc.ipc").exists();
    vec![Figure::new(
        format!(
            "too long refused with the limit: {too_long}; open to others refused: {open}; stale ones cleared: {stale}"
        ),
        "all",
        too_long && open && stale,
    )]
}

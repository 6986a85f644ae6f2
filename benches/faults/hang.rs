//! H: hangs, and what must not be taken for one.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use plugbus::host::CallError;
use plugbus::supervisor::{PluginStatus, UnitState};
use rustix::process::Signal;

use crate::Fault;
use crate::act;
use crate::figure::{Figure, Size, in_ms};
use crate::ground::{LONG, crowd_of, crowd_ready, lasting, stamp};
use crate::measure::Timings;
use crate::support::{Stage, eventually, signal};

pub(crate) const FAULTS: &[Fault] = &[
    ("H1", "SIGSTOP of a plugin at a random moment", frozen),
    ("H2", "a handler that spins for ever", spinning),
    ("H3", "takes no call, with a live socket", deaf_to_calls),
    ("H4", "answers no survey, but calls", deaf_to_surveys),
    ("H5", "one long call within its deadline", long_call),
    ("H6", "eight times more work than processors", starved),
    ("H7", "SIGSTOP of the supervisor", supervisor_frozen),
    ("H8", "answers around the deadline", boundary),
    ("H9", "many plugins that answer at the same moment", crowd),
];

const INTERVAL: Duration = Duration::from_millis(300);
const DEADLINE: Duration = Duration::from_millis(250);
const MISSES: u32 = 3;
const QUICK: &str = "[survey]\ninterval = '300ms'\ndeadline = '250ms'\nmisses = 3\n";
const AT_ONCE: &str = "backoff = { min = '1ms', max = '1ms', reset = '1ms' }";

fn starts_of(stage: &Stage, name: &str) -> usize {
    stage.reasons(name, "starting").len()
}

/// Supervisors whose plugins are frozen side by side: a frozen one takes no time of the others'.
const SIDE_BY_SIDE: usize = 5;

fn frozen(size: Size) -> Vec<Figure> {
    let each = size.pick(40, 1);
    let (mut verdicts, mut left) = (Vec::new(), 0);
    std::thread::scope(|scope| {
        let lanes: Vec<_> =
            (0..SIDE_BY_SIDE as u64).map(|seed| scope.spawn(move || frozen_here(each, seed))).collect();
        for lane in lanes {
            let seen = lane.join().unwrap();
            verdicts.extend(seen.0);
            left += seen.1;
        }
    });
    let times = verdicts.len();
    let bound = INTERVAL * MISSES + DEADLINE + Duration::from_millis(100);
    let late = verdicts.iter().filter(|verdict| **verdict > bound).count();
    let verdicts = Timings::from(verdicts);
    vec![
        Figure::timing(
            format!(
                "{late} of {times} verdicts late; {} most, {} median",
                in_ms(verdicts.percentile(100.0)),
                in_ms(verdicts.median())
            ),
            format!("none later than {}", in_ms(bound)),
            late == 0,
        ),
        Figure::none("frozen processes were left", left, times),
    ]
}

/// Freezes one plugin so often; how long each verdict took, and how many processes were left.
fn frozen_here(times: usize, seed: u64) -> (Vec<Duration>, usize) {
    let stage = Stage::spawn(&(QUICK.to_owned() + &act::plugin("target", "serve", AT_ONCE)));
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut target = stage.ready("target");
    let (mut verdicts, mut left) = (Vec::new(), 0);
    for _ in 0..times {
        lasting(Duration::from_millis(dice.u64(0..300)));
        let (at, pid) = (SystemTime::now(), target.pid.unwrap());
        signal(pid, Signal::STOP);
        target = stage.ready_again(&target);
        let events = stage.events();
        let silent = events.iter().rev().find(|event| event["to"] == "silent").expect("a verdict");
        verdicts.push(stamp(silent).duration_since(at).unwrap_or_default());
        left += usize::from(plugbus::bus::ProcessId::of(pid).is_some_and(|process| process.is_alive()));
    }
    (verdicts, left)
}

fn spinning(_: Size) -> Vec<Figure> {
    let more = format!("{AT_ONCE}\nwedge_grace = '1s'\nrestart = 'always'");
    let stage = Stage::spawn(&(QUICK.to_owned() + &act::plugin("target", "serve", &more)));
    let before = stage.ready("target");
    let call = stage.caller().request("spin").timeout(Duration::from_millis(500)).call::<(), _>(&());
    // Its own clock or the plugin's tells the caller, whichever is sooner.
    let late = matches!(&call, Err(CallError::Deadline { .. }))
        || matches!(&call, Err(CallError::Plugin { fault, .. }) if fault.code == plugbus::wire::Code::Deadline);
    assert!(late, "{call:?}");
    let begun = Instant::now();
    stage.ready_again(&before);
    let reason = stage.reasons("target", "wedged").pop().unwrap_or_default();
    vec![Figure::new(
        format!("restarted {:.1} s after its deadline: {reason}", begun.elapsed().as_secs_f64()),
        "wedged",
        !reason.is_empty(),
    )]
}

fn deaf_to_calls(size: Size) -> Vec<Figure> {
    let stage = Stage::spawn(&(QUICK.to_owned() + &act::plugin("target", "deaf to calls", AT_ONCE)));
    let before = stage.ready("target");
    let call =
        stage.caller().request("$ping").plugin("target").timeout(Duration::from_millis(300)).call::<String, _>("x");
    lasting(size.pick(Duration::from_secs(10), Duration::from_secs(1)));
    let same = stage.ready("target").pid == before.pid;
    vec![Figure::new(
        format!(
            "the call: {}; restarted: {}",
            call.map_or_else(|error| error.to_string(), |_| "answered".into()),
            !same
        ),
        "the caller's deadline tells it; the survey cannot",
        same,
    )]
}

fn deaf_to_surveys(_: Size) -> Vec<Figure> {
    let more = format!("{AT_ONCE}\nstart_timeout = '2s'");
    let stage = Stage::spawn(&(QUICK.to_owned() + &act::plugin("target", "deaf to surveys", &more)));
    let before = stage.ready("target");
    stage.ready_again(&before);
    let reason = stage.reasons("target", "silent").pop().unwrap_or_default();
    vec![Figure::new(&reason, "silent, and restarted", reason.contains("missed"))]
}

fn long_call(size: Size) -> Vec<Figure> {
    let stage = Stage::spawn(&(QUICK.to_owned() + &act::plugin("target", "serve", "wedge_grace = '500ms'")));
    stage.ready("target");
    let long = size.pick(60_000, 3_000);
    let result: Result<u64, _> =
        stage.caller().request("wait").plugin("target").timeout(Duration::from_secs(90)).call(&long);
    let restarts = starts_of(&stage, "target") - 1;
    vec![Figure::new(
        format!(
            "a call of {} s: {}, {restarts} restarts",
            long / 1000,
            if result.is_ok() { "answered" } else { "lost" }
        ),
        "answered, 0 restarts",
        matches!(result, Ok(ms) if ms == long) && restarts == 0,
    )]
}

/// Processes that take all they can get.
struct Burners(Vec<Child>);

impl Burners {
    fn start(count: usize) -> Self {
        let burn = |_| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", "while :; do :; done"]).stdin(Stdio::null());
            command.spawn().unwrap()
        };
        Self((0..count).map(burn).collect())
    }
}

impl Drop for Burners {
    fn drop(&mut self) {
        for burner in &mut self.0 {
            let _ = burner.kill();
            let _ = burner.wait();
        }
    }
}

fn starved(size: Size) -> Vec<Figure> {
    // The defaults, as people have them.
    let config: String = (0..10).map(|nth| act::plugin(&format!("target-{nth}"), "serve", "")).collect();
    let stage = Stage::spawn(&config);
    let all = |states: &[PluginStatus]| states.iter().all(|plugin| plugin.state == UnitState::Ready);
    eventually("all are ready", || all(&stage.status().plugins).then_some(()));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let burners = Burners::start(8 * cores);
    let time = size.pick(Duration::from_secs(600), Duration::from_secs(8));
    lasting(time);
    drop(burners);
    let report = stage.status();
    let restarts: u64 = report.plugins.iter().map(|plugin| plugin.restarts).sum();
    vec![Figure::new(
        format!("{restarts} restarts of 10 plugins in {} s, {} rounds void", time.as_secs(), report.void_rounds),
        "0",
        restarts == 0,
    )]
}

fn supervisor_frozen(size: Size) -> Vec<Figure> {
    let stage = Stage::spawn(&(QUICK.to_owned() + &act::plugin("target", "serve", "wedge_grace = '1s'")));
    stage.ready("target");
    let time = size.pick(Duration::from_secs(30), Duration::from_secs(3));
    signal(stage.supervisor_pid(), Signal::STOP);
    lasting(time);
    signal(stage.supervisor_pid(), Signal::CONT);
    eventually("it surveys again", || (stage.survey().answers.len() == 1).then_some(()));
    lasting(INTERVAL * (MISSES + 1));
    let restarts = starts_of(&stage, "target") - 1;
    vec![Figure::new(format!("{restarts} restarts after {} s", time.as_secs()), "0", restarts == 0)]
}

fn boundary(size: Size) -> Vec<Figure> {
    // Far enough apart that the scheduler of a busy machine does not decide.
    let survey = "[survey]\ninterval = '1s'\ndeadline = '500ms'\nmisses = 2\n";
    let times = [("early", 350, true), ("late", 650, false), ("next", 990, false)];
    let section = |(name, delay, _): &(&str, u64, bool)| {
        act::plugin(name, "slow to answer", &format!("env.FAULTS_DELAY = '{delay}'\nstart_timeout = '2s'\n{AT_ONCE}"))
    };
    let stage = Stage::spawn(&(survey.to_owned() + &times.iter().map(section).collect::<String>()));
    let mut figures = Vec::new();
    lasting(size.pick(Duration::from_secs(60), Duration::from_secs(6)));
    for (name, delay, in_time) in times {
        let verdicts = stage.reasons(name, "silent").len() + stage.reasons(name, "backing-off").len();
        let ready = stage.reasons(name, "ready").len();
        figures.push(Figure::timing(
            format!("answers after {delay} ms of 500: {ready} times ready, {verdicts} verdicts"),
            if in_time { "ready, and no verdict" } else { "never credited" },
            (ready > 0) == in_time && (verdicts == 0) == in_time,
        ));
    }
    figures
}

fn crowd(size: Size) -> Vec<Figure> {
    let count = size.pick(1000, 40);
    let mut stage = Stage::spawn(&crowd_of(count));
    let before = crowd_ready(&stage, count);
    let victim = before[count / 2].clone();
    signal(victim.pid.unwrap(), Signal::STOP);
    let until = Instant::now() + LONG;
    let same = |a: &PluginStatus, b: &PluginStatus| (&a.name, a.replica) == (&b.name, b.replica);
    let after = loop {
        let plugins = stage.status().plugins;
        let found = plugins.iter().find(|plugin| same(plugin, &victim)).unwrap();
        if found.pid.is_some() && found.pid != victim.pid && found.state == UnitState::Ready {
            break plugins;
        }
        assert!(Instant::now() < until, "the silent one was never found");
        lasting(Duration::from_millis(50));
    };
    let touched = after.iter().filter(|now| !same(now, &victim)).filter(|now| {
        let then = before.iter().find(|then| same(then, now)).unwrap();
        then.pid != now.pid
    });
    let touched = touched.count();
    let rounds = (0..size.pick(50, 5)).map(|_| {
        let report = stage.survey();
        assert_eq!(report.answers.len(), count, "{} answers missing", report.missing.len());
        Duration::from_micros(report.took_us)
    });
    let rounds = Timings::from(rounds.collect());
    stage.stop();
    vec![
        Figure::none("others were touched while the one silent was restarted", touched, count - 1),
        Figure::timing(
            format!("a round of {count}: {} p99, {} median", in_ms(rounds.percentile(99.0)), in_ms(rounds.median())),
            "300 ms p99",
            rounds.percentile(99.0) < Duration::from_millis(300),
        ),
    ]
}

//! What the lanes cost beside the floor, free and pinned to one core: `cargo bench --bench lane`.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints, and stops where it cannot go on")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use plugbus::bus::{Endpoint, Lane, Replier, Requester, block_on};
use plugbus::host::{Bus, blocking};
use support::{Plugin, Timings, head, machine, micros, row};

const WARM: usize = 2_000;
const COUNTED: usize = 10_000;
const TEXT: &str = "Live on time, emit no evil";
const LONG: Duration = Duration::from_secs(5);
/// This program again, as the other end: `floor`, `direct` or `nng`, and where.
const SERVE: &str = "PLUGBUS_BENCH_SERVE";
/// This program again, on one core.
const PINNED: &str = "PLUGBUS_BENCH_PINNED";
/// Only the rows with a plugin, or with `64` only the one with many callers; for a profiler.
const ONLY_REVERT: &str = "PLUGBUS_BENCH_REVERT";

fn main() {
    if let Ok(what) = std::env::var(SERVE) {
        let (what, path) = what.split_once(' ').unwrap();
        return serve(what, Path::new(path));
    }
    if std::env::var_os(PINNED).is_some() {
        return measure("one core");
    }
    println!("p50 and p99 of {COUNTED} after {WARM}. {}\n", machine());
    measure("free");
    let itself = std::env::current_exe().unwrap();
    println!();
    if Command::new("taskset").args(["-c", "0"]).arg(itself).env(PINNED, "1").status().is_err() {
        println!("not pinned: there is no taskset");
    }
}

fn measure(how: &str) {
    let root = tempfile::tempdir().unwrap();
    if std::env::var_os(ONLY_REVERT).is_some_and(|only| only == "64") {
        return many_callers(&Plugin::start(root.path()), Bus::at(root.path().join("default")).unwrap());
    }
    head(&[how, "p50", "p99", "× floor"]);
    let floor = floor(root.path());
    let show = |what: &str, timings: &Timings| {
        let of_floor = timings.median().as_secs_f64() / floor.median().as_secs_f64();
        let times = [50.0, 99.0].map(|percent| micros(timings.percentile(percent)));
        row([vec![what.to_owned()], times.into(), vec![format!("{of_floor:.2}")]].concat());
    };
    show("raw Unix socket", &floor);
    if std::env::var_os(ONLY_REVERT).is_some() {
        return revert(root.path(), &show);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let current = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (lane, name) in [(Lane::Direct, "direct"), (Lane::Nng, "nng")] {
        let served = Served::start(name, &root.path().join(name));
        let requester = Arc::new(Requester::dial_on(lane, &served.endpoint).unwrap());
        let call = || drop(requester.request_blocking(TEXT.as_bytes(), LONG).unwrap());
        show(&format!("{name} lane, blocking"), &Timings::of(WARM, COUNTED, call));
        let caller = Arc::clone(&requester);
        let timed = runtime.block_on(async move { tokio::spawn(timed_requests(caller)).await.unwrap() });
        show(&format!("{name} lane, async, default runtime"), &timed);
        let timed = current.block_on(timed_requests(Arc::clone(&requester)));
        show(&format!("{name} lane, async, current-thread runtime"), &timed);
        let caller = Arc::clone(&requester);
        let rate = runtime.block_on(rate(move || {
            let caller = Arc::clone(&caller);
            async move { drop(caller.request(TEXT.as_bytes(), LONG).await.unwrap()) }
        }));
        row([format!("{name} lane, 64 callers"), format!("{rate:.0}/s")]);
    }
    revert(root.path(), &show);
}

fn revert(root: &Path, show: &dyn Fn(&str, &Timings)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let plugin = Plugin::start(root);
    let bus = blocking::Bus::at(root.join("default")).unwrap();
    let call = || drop(bus.call::<String, _>("text.revert", TEXT).unwrap());
    show("`revert`, blocking host", &Timings::of(WARM, COUNTED, call));
    let bus = Bus::at(root.join("default")).unwrap();
    let caller = bus.clone();
    show(
        "`revert`, async host, default runtime",
        &runtime.block_on(async { tokio::spawn(timed_calls(caller)).await.unwrap() }),
    );
    many_callers(&plugin, bus);
}

/// Says also what a call costs of the processor, on both sides together: that depends less on who else runs.
fn many_callers(plugin: &Plugin, bus: Bus) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let spent = || processor_time(std::process::id()) + processor_time(plugin.pid());
    let before = spent();
    let rate = runtime.block_on(rate(move || {
        let bus = bus.clone();
        async move { drop(bus.call::<String, _>("text.revert", TEXT).await.unwrap()) }
    }));
    let each = (spent() - before) / CALLS;
    row(["`revert`, 64 callers".into(), format!("{rate:.0}/s"), format!("{} of processor time", micros(each))]);
}

/// What a process has used, to a hundredth of a second.
fn processor_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    [11, 12].iter().map(|field| Duration::from_millis(10) * fields[*field].parse().unwrap()).sum()
}

async fn timed_requests(requester: Arc<Requester>) -> Timings {
    let mut timings = Vec::with_capacity(COUNTED);
    for nth in 0..WARM + COUNTED {
        let start = Instant::now();
        requester.request(TEXT.as_bytes(), LONG).await.unwrap();
        if nth >= WARM {
            timings.push(start.elapsed());
        }
    }
    Timings::from(timings)
}

async fn timed_calls(bus: Bus) -> Timings {
    let mut timings = Vec::with_capacity(COUNTED);
    for nth in 0..WARM + COUNTED {
        let start = Instant::now();
        let _: String = bus.call("text.revert", TEXT).await.unwrap();
        if nth >= WARM {
            timings.push(start.elapsed());
        }
    }
    Timings::from(timings)
}

const CALLERS: usize = 64;
const EACH: usize = 3_000;
/// Of [`rate`], the uncounted ones among them.
const CALLS: u32 = (CALLERS * (EACH + EACH / 10)) as u32;

/// Calls a second with 64 under way.
async fn rate<F: Future<Output = ()> + Send>(call: impl Fn() -> F + Clone + Send + 'static) -> f64 {
    for each in [EACH / 10, EACH] {
        let start = Instant::now();
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let call = call.clone();
                tokio::spawn(async move {
                    for _ in 0..each {
                        call().await;
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
        if each == EACH {
            return (CALLERS * EACH) as f64 / start.elapsed().as_secs_f64();
        }
    }
    0.0
}

fn floor(root: &Path) -> Timings {
    let path = root.join("floor");
    let listener = UnixListener::bind(&path).unwrap();
    let itself = std::env::current_exe().unwrap();
    let mut other = Command::new(itself).env(SERVE, format!("floor {}", path.display())).spawn().unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut buffer = [0; 256];
    let timings = Timings::of(WARM, COUNTED, || {
        stream.write_all(TEXT.as_bytes()).unwrap();
        assert_eq!(stream.read(&mut buffer).unwrap(), TEXT.len());
    });
    drop(stream);
    other.wait().unwrap();
    timings
}

fn serve(what: &str, path: &Path) {
    let endpoint = || Endpoint::ipc(path).unwrap();
    match what {
        "floor" => {
            let mut stream = UnixStream::connect(path).unwrap();
            let mut buffer = [0; 256];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                stream.write_all(&buffer[..length]).unwrap();
            }
        }
        "direct" => {
            let replier = Replier::listen_on(Lane::Direct, &endpoint(), 64).unwrap();
            replier.attend(|incoming, _| {
                let body = incoming.body().to_vec();
                incoming.reply(&body);
            });
            println!("listening");
            let _ = std::io::stdin().read(&mut [0]);
        }
        _ => {
            let mut replier = Replier::listen_on(Lane::Nng, &endpoint(), 64).unwrap();
            println!("listening");
            while let Some(incoming) = block_on(replier.next()) {
                let body = incoming.body().to_vec();
                incoming.reply(&body);
            }
        }
    }
}

/// This program as a replier.
struct Served {
    child: Child,
    endpoint: Endpoint,
}

impl Served {
    fn start(what: &str, path: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(SERVE, format!("{what} {}", path.display())).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
        Self { child, endpoint: Endpoint::ipc(path).unwrap() }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

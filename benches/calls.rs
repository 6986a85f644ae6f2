//! What a call costs, beside a raw Unix-socket ping-pong in the same run: `cargo bench --bench calls`.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints, and stops where it cannot go on")]

mod support;

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use plugbus::host::{Bus, blocking};
use support::{Plugin, Timings, head, machine, micros, row};

const WARM: usize = 2_000;
const COUNTED: usize = 10_000;
const TEXT: &str = "Live on time, emit no evil";
/// This program again, as the other end of the ping-pong.
const ECHO: &str = "PLUGBUS_BENCH_ECHO";

fn main() {
    if let Some(path) = std::env::var_os(ECHO) {
        return echo(Path::new(&path));
    }
    let root = tempfile::tempdir().unwrap();
    println!("{} calls after {WARM} uncounted ones, one at a time. {}\n", COUNTED, machine());
    head(&["one call", "p50", "p99", "p99.9", "× floor"]);
    let floor = ping_pong(root.path());
    let of_floor = |timings: &Timings| timings.median().as_secs_f64() / floor.median().as_secs_f64();
    let show = |what: &str, timings: &Timings| {
        let times = [50.0, 99.0, 99.9].map(|percent| micros(timings.percentile(percent)));
        row([vec![what.to_owned()], times.into(), vec![format!("{:.1}", of_floor(timings))]].concat());
    };
    show("raw Unix socket, 26 bytes there and back", &floor);

    let plugin = Plugin::start(root.path());
    let bus = blocking::Bus::at(root.path().join("default")).unwrap();
    let call = || drop(bus.call::<String, _>("text.revert", TEXT).unwrap());
    show("`revert`, blocking host", &Timings::of(WARM, COUNTED, call));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let bus = Bus::at(root.path().join("default")).unwrap();
    show("`revert`, async host on tokio", &runtime.block_on(calls(bus)));
    drop(plugin);
}

async fn calls(bus: Bus) -> Timings {
    // A task of its own, as a host's calls are.
    let timed = tokio::spawn(async move {
        let mut timings = Vec::with_capacity(COUNTED);
        for nth in 0..WARM + COUNTED {
            let start = std::time::Instant::now();
            let _: String = bus.call("text.revert", TEXT).await.unwrap();
            if nth >= WARM {
                timings.push(start.elapsed());
            }
        }
        Timings::from(timings)
    });
    timed.await.unwrap()
}

/// `write` and `read` between two processes, blocking on both sides: nothing out of process is faster.
fn ping_pong(root: &Path) -> Timings {
    let path = root.join("floor");
    let listener = UnixListener::bind(&path).unwrap();
    let mut other = Command::new(std::env::current_exe().unwrap()).env(ECHO, &path).spawn().unwrap();
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

fn echo(path: &Path) {
    let mut stream = UnixStream::connect(path).unwrap();
    let mut buffer = [0; 256];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        stream.write_all(&buffer[..length]).unwrap();
    }
}

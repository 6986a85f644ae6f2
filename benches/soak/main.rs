//! Calls for as long as wished, and what they leave behind: `cargo bench --bench soak -- [--calls N | --for SECONDS]`.
//!
//! 64 callers of one plugin made with the SDK. Both sides count what they have allocated and not freed. Ten lines, one
//! a tenth, each read when no call is under way; then the verdict, which is also the exit code.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints, and stops where it cannot go on")]

mod histogram;
mod live;
#[path = "../support/mod.rs"]
mod support;
mod verdict;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use histogram::Histogram;
use live::Live;
use plugbus::host::Bus;
use plugbus::plugin;
use support::{Plugin, TEXT, head, machine, micros, open_files, resident_kib, row, wait_on_bus};

const CALLERS: u64 = 64;
const PARTS: u64 = 10;
/// This program again, as the plugin.
const SERVE: &str = "PLUGBUS_BENCH_SERVE";

/// What one tenth ends with: so many calls, or so much time.
#[derive(Clone, Copy)]
struct Tenth {
    calls: u64,
    time: Duration,
}

/// What one tenth left behind; the pairs are caller and plugin.
struct Seen {
    calls: u64,
    errors: u64,
    tail: Duration,
    resident_kib: [u64; 2],
    files: [usize; 2],
    live: [Live; 2],
}

fn main() -> ExitCode {
    if std::env::var_os(SERVE).is_some() {
        serve();
        return ExitCode::SUCCESS;
    }
    let tenth = tenth();
    let root = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    let plugin = wait_on_bus(command.env(SERVE, "1").env("PLUGBUS_DIR", root.path()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("{CALLERS} callers of one plugin, a line each tenth. {}\n", machine());
    let parts = runtime.block_on(parts(&plugin, root.path(), tenth));
    verdict::print(&parts)
}

fn tenth() -> Tenth {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        Some(arguments.get(at + 1).and_then(|n| n.parse::<u64>().ok()).expect("a number after --calls or --for"))
    };
    let never = Duration::from_secs(u64::from(u32::MAX));
    match (number("--calls"), number("--for")) {
        (_, Some(seconds)) => Tenth { calls: u64::MAX, time: Duration::from_secs(seconds) / PARTS as u32 },
        (calls, None) => Tenth { calls: calls.unwrap_or(1_000_000) / PARTS, time: never },
    }
}

fn serve() {
    let revert = |text: String| Ok::<_, plugin::Failure>(text.chars().rev().collect::<String>());
    let live = |(): ()| Ok::<_, plugin::Failure>(Live::now());
    plugin::Plugin::new("soak", "1.0.0")
        .method("revert", "Reverses a text.", revert)
        .method("live", "What is allocated and not freed.", live)
        .serve()
        .unwrap();
}

async fn parts(plugin: &Plugin, root: &Path, tenth: Tenth) -> Vec<Seen> {
    let bus = Bus::at(root.join("default")).unwrap();
    head(&["calls", "errors", "calls/s", "p99", "p99.9", "resident KiB", "files", "live bytes", "live blocks"]);
    let mut parts: Vec<Seen> = Vec::with_capacity(PARTS as usize);
    let mut calls = 0;
    for _ in 0..PARTS {
        let start = Instant::now();
        let (histogram, errors) = part(&bus, tenth).await;
        let took = start.elapsed();
        calls += histogram.count();
        let pids = [std::process::id(), plugin.pid()];
        let seen = Seen {
            calls,
            errors,
            tail: histogram.percentile(99.9),
            resident_kib: pids.map(|pid| resident_kib(pid, "VmRSS")),
            files: pids.map(open_files),
            live: [Live::now(), bus.call("soak.live", &()).await.unwrap()],
        };
        let rate = format!("{:.0}", histogram.count() as f64 / took.as_secs_f64());
        show(&seen, &rate, histogram.percentile(99.0));
        parts.push(seen);
    }
    parts
}

fn show(seen: &Seen, rate: &str, p99: Duration) {
    let pair = |[one, other]: [i64; 2]| format!("{one} + {other}");
    row([
        seen.calls.to_string(),
        seen.errors.to_string(),
        rate.to_owned(),
        micros(p99),
        micros(seen.tail),
        pair(seen.resident_kib.map(u64::cast_signed)),
        pair(seen.files.map(usize::cast_signed).map(|files| files as i64)),
        pair([0, 1].map(|side: usize| seen.live[side].bytes)),
        pair([0, 1].map(|side: usize| seen.live[side].blocks)),
    ]);
}

/// One tenth by all callers: how long the calls took, and how many failed.
async fn part(bus: &Bus, tenth: Tenth) -> (Histogram, u64) {
    let callers: Vec<_> = (0..CALLERS).map(|_| tokio::spawn(caller(bus.clone(), tenth))).collect();
    let (mut all, mut errors) = (Histogram::default(), 0);
    for caller in callers {
        let (histogram, failed) = caller.await.unwrap();
        all.add(&histogram);
        errors += failed;
    }
    (all, errors)
}

async fn caller(bus: Bus, tenth: Tenth) -> (Histogram, u64) {
    let (mut histogram, mut errors) = (Histogram::default(), 0);
    let began = Instant::now();
    let mut now = began;
    for _ in 0..tenth.calls / CALLERS {
        let reply: Result<String, _> = bus.call("soak.revert", TEXT).await;
        errors += u64::from(!reply.is_ok_and(|text| text.len() == TEXT.len()));
        let after = Instant::now();
        histogram.record(after - now);
        now = after;
        if now - began >= tenth.time {
            break;
        }
    }
    (histogram, errors)
}

//! What the benchmarks share: timings, their percentiles, a table.

#![allow(dead_code, clippy::print_stdout, reason = "each benchmark uses a part; printing is what they are for")]

mod calls;
mod process;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[allow(unused_imports, reason = "as above")]
pub(crate) use calls::{TEXT, timed, together};
#[allow(unused_imports, reason = "as above")]
pub(crate) use process::{open_files, resident_kib};

/// Sorted timings of one thing done many times.
pub(crate) struct Timings(Vec<Duration>);

impl Timings {
    /// Does it `warm` times uncounted, then `counted` times.
    pub(crate) fn of(warm: usize, counted: usize, mut it: impl FnMut()) -> Self {
        (0..warm).for_each(|_| it());
        let timed = |_| {
            let start = Instant::now();
            it();
            start.elapsed()
        };
        Self::from((0..counted).map(timed).collect())
    }

    pub(crate) fn from(mut timings: Vec<Duration>) -> Self {
        timings.sort_unstable();
        Self(timings)
    }

    /// The timing that this share of all do not exceed.
    pub(crate) fn percentile(&self, percent: f64) -> Duration {
        let rank = (percent / 100.0 * self.0.len() as f64).ceil() as usize;
        self.0[rank.clamp(1, self.0.len()) - 1]
    }

    pub(crate) fn median(&self) -> Duration {
        self.percentile(50.0)
    }
}

/// Prints a row of a Markdown table.
pub(crate) fn row<S: AsRef<str>>(cells: impl IntoIterator<Item = S>) {
    let cells: Vec<String> = cells.into_iter().map(|cell| cell.as_ref().to_owned()).collect();
    println!("| {} |", cells.join(" | "));
}

pub(crate) fn head(cells: &[&str]) {
    row(cells);
    row(cells.iter().map(|_| "---"));
}

pub(crate) fn micros(time: Duration) -> String {
    format!("{:.1} µs", time.as_secs_f64() * 1e6)
}

pub(crate) fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// What the figures were taken on.
pub(crate) fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{model}, {cores} cores, Linux {}", read("/proc/sys/kernel/osrelease").trim())
}

/// A plugin started by hand.
pub(crate) struct Plugin(Child);

impl Plugin {
    /// The plugin `text`.
    pub(crate) fn start(root: &Path) -> Self {
        wait_on_bus(Command::new(env!("CARGO_BIN_EXE_plugbus-text")).env("PLUGBUS_DIR", root))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

/// Starts a plugin and waits until it says that it is on the bus.
pub(crate) fn wait_on_bus(command: &mut Command) -> Plugin {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("on the bus"), "{line}");
    Plugin(child)
}

impl Drop for Plugin {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

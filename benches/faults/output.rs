//! L: what plugins print.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use plugbus::host::blocking::Bus;
use serde_json::Value;

use crate::Fault;
use crate::act;
use crate::figure::{Figure, Size, in_ms};
use crate::ground::{LONG, lasting, processor_time, status_field};
use crate::measure::Timings;
use crate::support::Stage;

pub(crate) const FAULTS: &[Fault] = &[
    ("L1", "a flood of output", flood),
    ("L2", "lines without end, NUL, no UTF-8, and the last words", odd_lines),
    ("L3", "a plugin that closes its output", closed),
    ("L4", "a disk that is full", full_disk),
    ("L5", "a log file that is deleted, and its directory", deleted),
    ("L6", "rotation under a flood", rotated),
    ("L7", "kill -9 of the supervisor during a flood", orphaned),
];

/// Makes the plugin print that many lines of 100 bytes as fast as it can; answers in how many milliseconds.
fn print(bus: &Bus, lines: u64) -> u64 {
    bus.request("print").plugin("target").timeout(4 * LONG).call(&lines).unwrap()
}

fn lines_of(path: &Path) -> u64 {
    let text = fs::read(path).unwrap_or_default();
    text.iter().filter(|byte| **byte == b'\n').count() as u64
}

fn size_of(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

/// How long one such line is in the log, with what is put before it; as long as any other.
fn length_in_log(stage: &Stage, bus: &Bus) -> u64 {
    let before = size_of(&log(stage));
    print(bus, 1);
    eventually_long(|| Some(size_of(&log(stage)) - before).filter(|length| *length > 0))
}

fn log(stage: &Stage) -> std::path::PathBuf {
    stage.bus().log_dir().join("target.log")
}

const WHOLE: &str = "[log]\nmax_size = '100GiB'\n";

fn pings(bus: &Bus, time: Duration) -> Timings {
    let over = Instant::now() + time;
    let mut timings = Vec::new();
    while Instant::now() < over {
        let begun = Instant::now();
        let _: String = bus.request("echo").plugin("other").timeout(LONG).call("x").unwrap();
        timings.push(begun.elapsed());
    }
    Timings::from(timings)
}

fn flood(size: Size) -> Vec<Figure> {
    let stage =
        Stage::spawn(&(WHOLE.to_owned() + &act::plugin("target", "serve", "") + &act::plugin("other", "serve", "")));
    stage.ready("target");
    stage.ready("other");
    let bus = stage.caller();
    let lines = size.pick(3_000_000, 100_000);
    let length = length_in_log(&stage, &bus);
    let (before, bytes) = (lines_of(&log(&stage)), size_of(&log(&stage)));
    let quiet = pings(&bus, size.pick(Duration::from_secs(5), Duration::from_millis(300)));
    let begun = Instant::now();
    print(&bus, lines);
    let dropped = eventually_long(|| {
        // By the size: to count lines again and again would take the processor from those that write them.
        let (kept, dropped) = ((size_of(&log(&stage)) - bytes) / length, stage.plugin("target").dropped_lines);
        (kept + dropped >= lines).then_some(dropped)
    });
    let rate = lines as f64 * 100.0 / 1e6 / begun.elapsed().as_secs_f64();
    let written = (lines_of(&log(&stage)) - before, dropped);
    let rest = stage.supervisor_pid();
    let memory = status_field(rest, "VmRSS:");
    let flooding = std::thread::scope(|scope| {
        let flood = scope.spawn(|| print(&stage.caller(), size.pick(10_000_000, 300_000)));
        let timings = pings(&bus, size.pick(Duration::from_secs(10), Duration::from_millis(500)));
        flood.join().unwrap();
        timings
    });
    let growth = status_field(rest, "VmRSS:").saturating_sub(memory) / 1024;
    let (quiet, flooding) = (quiet.percentile(99.0), flooding.percentile(99.0));
    vec![
        Figure::new(
            format!("{} MB: {} lines kept, {} dropped", lines / 10_000, written.0, written.1),
            "none lost",
            written.0 + written.1 == lines,
        ),
        Figure::timing(
            format!("{} dropped, {rate:.0} MB/s until the last is in the file", written.1),
            "0 dropped, 100 MB/s",
            written.1 == 0 && rate >= 100.0,
        ),
        Figure::timing(
            format!("p99 of calls to another plugin {} quiet, {} under the flood", in_ms(quiet), in_ms(flooding)),
            "+10 ms",
            flooding < quiet + Duration::from_millis(10),
        ),
        Figure::new(format!("supervisor +{growth} MiB"), "64 MiB", growth < 64),
    ]
}

fn eventually_long<T>(mut answer: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + 4 * LONG;
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(Instant::now() < until, "waited in vain");
        lasting(Duration::from_millis(50));
    }
}

fn odd_lines(size: Size) -> Vec<Figure> {
    let megabytes = size.pick(1000, 20);
    let script = format!(
        "printf 'a\\0b\\n'; printf '\\377\\376x\\n' >&2; head -c {megabytes}000000 /dev/zero | tr '\\0' 'x'; printf 'last words'; kill -9 $$"
    );
    let stage = Stage::spawn(
        &(WHOLE.to_owned() + &crate::support::plugin("target", &["/bin/sh", "-c", &script], "restart = 'never'")),
    );
    eventually_long(|| (stage.plugin("target").state.as_str() == "failed").then_some(()));
    let path = log(&stage);
    let whole = eventually_long(|| {
        let text = fs::read(&path).unwrap_or_default();
        text.windows(10).rev().take(10_000).any(|part| part == b"last words").then_some(text)
    });
    let kept = whole.iter().filter(|byte| **byte == b'x').count();
    let dropped = stage.plugin("target").dropped_lines;
    let memory = status_field(stage.supervisor_pid(), "VmHWM:") / 1024;
    vec![
        Figure::new(
            format!(
                "{megabytes} MB in one line: {} MB kept, {dropped} pieces dropped; the last words are there",
                kept / 1_000_000
            ),
            "nothing lost unsaid",
            kept >= megabytes * 1_000_000 || dropped > 0,
        ),
        Figure::new(format!("supervisor {memory} MiB at most"), "64 MiB more", memory < 100),
    ]
}

fn closed(size: Size) -> Vec<Figure> {
    let own = std::env::current_exe().unwrap();
    let command = format!("exec '{}' >&- 2>&-", own.display());
    let more = format!("env.{} = 'serve'", act::ACT);
    let stage = Stage::spawn(&crate::support::plugin("target", &["/bin/sh", "-c", &command], &more));
    let before = stage.ready("target");
    let spent = processor_time(stage.supervisor_pid());
    let time = size.pick(Duration::from_secs(20), Duration::from_secs(2));
    lasting(time);
    let share = (processor_time(stage.supervisor_pid()) - spent).as_secs_f64() / time.as_secs_f64() * 100.0;
    let same = stage.ready("target").pid == before.pid;
    vec![
        Figure::new(format!("restarted: {}", !same), "no", same),
        Figure::timing(format!("supervisor takes {share:.2} % of a core"), "1 %", share < 1.0),
    ]
}

/// A file system of its own, small; `None` for whoever may not mount one.
struct Small(tempfile::TempDir);

impl Small {
    fn mount() -> Option<Self> {
        let root = tempfile::tempdir().unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=8m", "plugbus-faults"]).arg(root.path());
        command.output().is_ok_and(|output| output.status.success()).then_some(Self(root))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

fn full_disk(size: Size) -> Vec<Figure> {
    let Some(disk) = Small::mount() else {
        return vec![Figure::new("skipped: only root may mount a small disk", "", true)];
    };
    let stage = Stage::spawn(&(WHOLE.to_owned() + &act::plugin("target", "serve", "")));
    let before = stage.ready("target");
    // The log directory is now on the small disk.
    let logs = stage.bus().log_dir();
    let moved = logs.with_extension("moved");
    fs::rename(&logs, &moved).unwrap();
    std::os::unix::fs::symlink(disk.0.path(), &logs).unwrap();
    let bus = stage.caller();
    let lines = size.pick(1_000_000, 200_000);
    let took = Duration::from_millis(print(&bus, lines));
    let calls = Timings::of(2, 50, || {
        drop(bus.request("echo").plugin("target").timeout(LONG).call::<String, _>("x").unwrap())
    });
    let dropped = eventually_long(|| Some(stage.plugin("target").dropped_lines).filter(|dropped| *dropped > 0));
    // Room again.
    for entry in fs::read_dir(disk.0.path()).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let begun = Instant::now();
    let path = logs.join("target.log");
    eventually_long(|| {
        print(&bus, 1);
        (lines_of(&path) > 0).then_some(())
    });
    let resumed = begun.elapsed();
    let same = stage.ready("target").pid == before.pid;
    drop(stage);
    vec![
        Figure::new(
            format!(
                "{} MB printed in {:.1} s with a full disk, {dropped} lines dropped and counted; calls {} most",
                lines / 10_000,
                took.as_secs_f64(),
                in_ms(calls.percentile(100.0))
            ),
            "never blocked",
            same,
        ),
        Figure::new(
            format!("writes again {} after there is room", in_ms(resumed)),
            "5 s",
            resumed < Duration::from_secs(5),
        ),
    ]
}

fn deleted(_: Size) -> Vec<Figure> {
    let stage = Stage::spawn(&act::plugin("target", "serve", ""));
    stage.ready("target");
    let bus = stage.caller();
    let mut back = 0;
    for what in ["file", "directory", "renamed"] {
        print(&bus, 10);
        eventually_long(|| (lines_of(&log(&stage)) >= 10).then_some(()));
        match what {
            "file" => fs::remove_file(log(&stage)).unwrap(),
            "directory" => fs::remove_dir_all(stage.bus().log_dir()).unwrap(),
            _ => fs::rename(log(&stage), stage.bus().log_dir().join("elsewhere")).unwrap(),
        }
        print(&bus, 10);
        eventually_long(|| (lines_of(&log(&stage)) >= 10).then_some(()));
        back += 1;
    }
    vec![Figure::new(format!("{back} of 3 times written anew where people look"), "3", back == 3)]
}

fn rotated(size: Size) -> Vec<Figure> {
    let stage =
        Stage::spawn(&("[log]\nmax_size = '1MiB'\nkeep = 100\n".to_owned() + &act::plugin("target", "serve", "")));
    stage.ready("target");
    // As much as a hundred files hold.
    let lines = size.pick(600_000, 60_000);
    print(&stage.caller(), lines);
    let all = || -> Vec<u64> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(stage.bus().log_dir()).unwrap().flatten() {
            if entry.file_name().to_string_lossy().starts_with("target.log") {
                let text = String::from_utf8_lossy(&fs::read(entry.path()).unwrap_or_default()).into_owned();
                numbers.extend(
                    text.lines()
                        .filter_map(|line| line.split("line ").nth(1)?.split(' ').next()?.parse::<u64>().ok()),
                );
            }
        }
        numbers.sort_unstable();
        numbers
    };
    let (numbers, dropped) = eventually_long(|| {
        let (numbers, dropped) = (all(), stage.plugin("target").dropped_lines);
        (numbers.len() as u64 + dropped >= lines).then_some((numbers, dropped))
    });
    let gaps = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    let files = fs::read_dir(stage.bus().log_dir()).unwrap().count();
    vec![Figure::new(
        format!("{} lines over {files} files, {gaps} gaps, {dropped} dropped", numbers.len()),
        "contiguous",
        numbers.len() as u64 + dropped == lines && (gaps == 0 || dropped > 0),
    )]
}

fn orphaned(size: Size) -> Vec<Figure> {
    let config = WHOLE.to_owned() + &act::plugin("target", "serve", "");
    let mut stage = Stage::spawn(&config);
    let before = stage.ready("target");
    let bus = stage.caller();
    let lines = size.pick(3_000_000, 300_000);
    let took = std::thread::scope(|scope| {
        let flood = scope.spawn(move || print(&bus, lines));
        lasting(Duration::from_millis(20));
        stage.kill_supervisor();
        flood.join().unwrap()
    });
    let alone: Value = stage.caller().request("echo").plugin("target").call("x").unwrap();
    stage.supervise_apart(&config, |command| command);
    let same = stage.ready("target").pid == before.pid;
    let kept = eventually_long(|| {
        let kept = lines_of(&log(&stage));
        (kept + stage.plugin("target").dropped_lines >= lines).then_some(kept)
    });
    vec![
        Figure::new(
            format!("the flood ended in {took} ms, the plugin answers {alone}, taken back: {same}"),
            "no SIGPIPE, not blocked",
            same,
        ),
        Figure::new(format!("{kept} of {lines} lines in the log"), "all, or counted", kept > 0),
    ]
}

//! Only the monotonic clock decides; the wall clock is for people to read.

use std::fs;
use std::path::{Path, PathBuf};

use plugbus::supervisor::UnitState;
use rustix::process::Signal;

use crate::support::{LONG, QUICK, Stage, jumping_clock, misbehaving, signal, text_plugin};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Where lines of logs and of `status` are stamped, and nothing else is done with it.
const STAMPS: [&str; 4] = [
    "src/supervisor/journal.rs",
    "src/supervisor/output/chunk.rs",
    "src/supervisor/output/writer.rs",
    "src/trust/stamp.rs",
];

/// Where log files, lines of earlier processes and programs are found to be old: no other clock has run since.
const AGES: [&str; 3] = ["src/supervisor/output/file.rs", "bin/plugbus/tail/since.rs", "src/trust/evidence.rs"];

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn invariant_9_the_wall_clock_is_read_for_stamps_alone() {
    let mut files = Vec::new();
    ["src", "bin"].iter().for_each(|folder| sources(&Path::new(ROOT).join(folder), &mut files));
    assert!(files.len() > 50, "only {} files", files.len());
    let (mut seen, mut wrong) = (Vec::new(), Vec::new());
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(ROOT).unwrap().to_str().unwrap().to_owned();
        let is_wall = |line: &&str| {
            let clock = ["SystemTime", "UNIX_EPOCH", "clock_gettime"].iter().any(|word| line.contains(word));
            clock && !line.contains("ClockId::Monotonic")
        };
        // Its own tests close a file.
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        let lines: Vec<_> = code.lines().filter(is_wall).collect();
        if STAMPS.contains(&name.as_str()) {
            // An arithmetic with it would be a decision in the making.
            let reckons = |line: &&&str| {
                ["elapsed", "duration_since", " - ", " + ", " < ", " > "].iter().any(|op| line.contains(op))
            };
            wrong.extend(lines.iter().filter(reckons).map(|line| format!("{name}: {line}")));
            seen.push(name);
        } else if !AGES.contains(&name.as_str()) {
            wrong.extend(lines.iter().map(|line| format!("{name}: {line}")));
        }
    }
    assert!(wrong.is_empty(), "the wall clock is read:\n{}", wrong.join("\n"));
    assert_eq!(seen.len(), STAMPS.len(), "a file is gone: {seen:?}");
}

#[test]
fn invariant_9_a_wall_clock_that_jumps_by_years_moves_nothing() {
    let library = jumping_clock();
    let mut stage = Stage::empty();
    let slowly = "backoff = { min = '300ms', max = '300ms', jitter = 0.0 }";
    let config =
        QUICK.to_owned() + &text_plugin("pass_env = ['LD_PRELOAD']") + &misbehaving("crash", "exit=1", slowly);
    stage.supervise_apart(&config, |command| command.env("LD_PRELOAD", &library));
    let before = stage.ready("text");
    // Timers of every kind run as they should: rounds, backoff, calls and deadlines.
    let crash = stage.until("crash", |plugin| plugin.restarts >= 3 && plugin.state == UnitState::BackingOff);
    assert!(crash.restart_in_ms.is_some_and(|wait| wait <= 300), "{crash:?}");
    let status = stage.status();
    assert!(status.uptime_ms >= 600 && status.uptime_ms < 60_000, "{status:?}");
    assert_eq!((stage.plugin("text").restarts, stage.survey().answers.len()), (0, 1));
    let slow = serde_json::json!({"text": "ab", "ms": 200});
    assert_eq!(stage.caller().request("slow_revert").timeout(LONG).call::<String, _>(&slow).unwrap(), "ba");
    signal(before.pid.unwrap(), Signal::STOP);
    let after = stage.ready_again(&before);
    assert!(after.last_end.unwrap().reason.starts_with("silent: missed 3 survey rounds"));
    // It did jump: two lines of the event log are two years apart.
    let stamp = |event: &serde_json::Value| event["at"].as_str().unwrap()[..4].parse::<i32>().unwrap();
    let years: Vec<_> = stage.events().iter().map(stamp).collect();
    assert!(years.iter().max().unwrap() - years.iter().min().unwrap() >= 1, "{years:?}");
    stage.stop_without_trace();
    fs::remove_file(library).unwrap();
}

//! The process that reads what plugins print: either it or the supervisor may be killed, and no plugin notices.

use std::fs;
use std::path::Path;

use plugbus::bus::ProcessId;
use plugbus::supervisor::UnitState;
use rustix::process::Signal;

use crate::support::{PATIENT, Stage, eventually, misbehaving, plugin, signal, text_plugin};

/// A plugin that counts on standard output, as fast as it can, until the file `stop` is there.
fn counting(stage: &Stage) -> String {
    let script = format!(
        "import os, sys\nn = 0\nwhile not os.path.exists({stop:?}):\n    for _ in range(1000):\n        n += 1\n        \
        print(n)\n    sys.stdout.flush()\nopen({done:?}, 'w').write(str(n))\nimport time; time.sleep(1000)\n",
        stop = stage.scratch().join("stop"),
        done = stage.scratch().join("done"),
    );
    fs::write(stage.scratch().join("count.py"), script).unwrap();
    let path = stage.scratch().join("count.py");
    let more = "start_timeout = '1h'\nrestart = 'never'\n[log]\nmax_size = '1GiB'\n";
    PATIENT.to_owned() + &plugin("count", &["python3", path.to_str().unwrap()], more)
}

/// Lets the counting end; answers how many it printed.
fn end_counting(stage: &Stage) -> u64 {
    fs::write(stage.scratch().join("stop"), "").unwrap();
    eventually("the counting ends", || fs::read_to_string(stage.scratch().join("done")).ok()?.parse::<u64>().ok())
}

/// Lets the counting end and waits until its last number is in the log; answers how many it printed.
fn finish(stage: &Stage) -> u64 {
    let done = end_counting(stage);
    eventually("all is written", || {
        // The newest file may have been begun by what the log says of dropped lines.
        let log = stage.log("count.log.1") + &stage.log("count.log");
        let mut told_after = 0;
        for line in log.lines().rev() {
            match line.split_once("out| ") {
                Some((_, number)) => return (number.parse::<u64>().ok()? + told_after >= done).then_some(()),
                None => told_after += dropped(line),
            }
        }
        None
    });
    done
}

/// As [`finish`], where logs are rotated: what is missing behind the last line may be told before it, in an older file.
///
/// It is told when the writer comes to it, and lines that came before it may still wait in the queue then.
fn finish_rotated(stage: &Stage) -> (u64, String) {
    let done = end_counting(stage);
    let log = |number| if number == 0 { "count.log".to_owned() } else { format!("count.log.{number}") };
    let read = || (0..=100).rev().map(|number| stage.log(&log(number))).collect::<String>();
    eventually("all is written", || {
        let all = read();
        let last = *counted(&all).last()?;
        let (missing, told) = missing_and_told(&all, done);
        // What is missing before the last line is told, too.
        let gaps = missing - (done - last);
        (last + told.saturating_sub(gaps) >= done).then_some(())
    });
    // A file that was renamed while the others were read was missed; now nothing moves any more.
    (done, read())
}

/// The numbers in the log, and whether it tells that some are missing.
fn numbers(stage: &Stage) -> (Vec<u64>, bool) {
    let log = stage.log("count.log");
    (counted(&log), log.contains(" ---| "))
}

fn counted(log: &str) -> Vec<u64> {
    log.lines().filter_map(|line| line.split_once("out| ")?.1.parse().ok()).collect()
}

/// How many the log says had to be dropped, if this line says so.
fn dropped(line: &str) -> u64 {
    let told = line
        .split_once(" ---| ")
        .and_then(|(_, told)| told.strip_suffix(" lines dropped: they came faster than they could be written"));
    told.map_or(0, |count| count.parse().unwrap())
}

/// How many lines from the first to number `done` are not there, and how many of them the log tells of.
fn missing_and_told(log: &str, done: u64) -> (u64, u64) {
    let numbers = counted(log);
    assert!(numbers.is_sorted_by(|one, next| one < next), "a line came twice or too late");
    (done + 1 - numbers[0] - numbers.len() as u64, log.lines().map(dropped).sum())
}

fn grows(path: &Path) {
    let length = || fs::metadata(path).map(|found| found.len()).unwrap_or_default();
    let before = length();
    eventually("the log grows", || (length() > before).then_some(()));
}

/// The sink of a bus.
fn sink(stage: &Stage) -> Option<ProcessId> {
    let bus = stage.bus().path().to_str().unwrap();
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: u32| {
        let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        let is_sink = arguments.split('\0').rev().skip(1).take(2).eq([bus, "sink"]);
        ProcessId::of(pid).filter(|process| is_sink && process.is_alive())
    })
    .next()
}

#[test]
fn a_flood_goes_on_when_the_supervisor_is_killed_and_not_a_line_is_lost() {
    let mut stage = Stage::empty();
    let config = counting(&stage);
    stage.supervise_apart(&config, |command| command);
    let path = stage.bus().log_dir().join("count.log");
    let pid = stage.until("count", |plugin| plugin.pid.is_some()).pid.unwrap();
    grows(&path);
    let keeper = sink(&stage).unwrap();
    stage.kill_supervisor();
    grows(&path);
    let done = finish(&stage);
    assert!(ProcessId::of(pid).is_some_and(ProcessId::is_alive), "the plugin was killed by SIGPIPE");
    // Where the machine is too slow for the flood some are dropped, and counted.
    let log = stage.log("count.log");
    let (missing, told) = missing_and_told(&log, done);
    assert_eq!((counted(&log)[0], missing), (1, told));
    assert!(keeper.is_alive());
    // It is needed as long as a plugin may print.
    signal(pid, Signal::KILL);
    eventually("the sink ends", || (!keeper.is_alive()).then_some(()));
    assert!(!stage.bus().state_dir().join("sink.sock").exists());
}

#[test]
fn a_sink_that_is_killed_is_replaced_and_no_plugin_notices() {
    let mut stage = Stage::empty();
    let config = counting(&stage);
    stage.supervise_apart(&config, |command| command);
    let log = stage.bus().log_dir().join("count.log");
    let before = stage.until("count", |plugin| plugin.pid.is_some());
    for _ in 0..3 {
        grows(&log);
        let first = sink(&stage).unwrap();
        signal(first.pid, Signal::KILL);
        eventually("another sink", || sink(&stage).filter(|second| *second != first));
        grows(&log);
    }
    let done = finish(&stage);
    let after = stage.plugin("count");
    assert_eq!((after.pid, after.restarts), (before.pid, 0));
    // What the dead one had read is missing, which the log says where it is missing; nothing came twice.
    let (numbers, told) = numbers(&stage);
    // Where the dead one had read the start of a line, its successor has the rest: the end of the number before the next.
    let is_rest = |number: u64, next: u64| number + 1 < next && (next - 1).to_string().ends_with(&number.to_string());
    let next = numbers.iter().skip(1).map(Some).chain([None]);
    let whole: Vec<u64> = numbers
        .iter()
        .zip(next)
        .filter(|(one, next)| !next.is_some_and(|next| is_rest(**one, *next)))
        .map(|(one, _)| *one)
        .collect();
    let odd: Vec<_> = whole.windows(2).filter(|pair| pair[0] > pair[1]).collect();
    assert!(whole.len() + 3 >= numbers.len(), "more rests of lines than sinks were killed");
    assert!(
        told && odd.is_empty() && whole.last() == Some(&done),
        "told: {told}, {odd:?}, {:?} of {done}",
        whole.last()
    );
    stage.stop_without_trace();
    eventually("no sink is left", || sink(&stage).is_none().then_some(()));
}

#[test]
fn a_sink_that_stands_still_is_replaced() {
    let mut stage = Stage::empty();
    let config = counting(&stage);
    stage.supervise_apart(&config, |command| command);
    let log = stage.bus().log_dir().join("count.log");
    grows(&log);
    let first = sink(&stage).unwrap();
    signal(first.pid, Signal::STOP);
    eventually("another sink", || sink(&stage).filter(|second| *second != first));
    grows(&log);
    finish(&stage);
    assert!(!first.is_alive());
}

#[test]
fn who_cannot_start_a_sink_reads_the_pipes_itself() {
    let mut stage = Stage::empty();
    let config =
        PATIENT.to_owned() + &text_plugin("") + &misbehaving("poet", r"die=first\nlast", "restart = 'never'");
    let mut spec = stage.spec(&config);
    spec.sink = Some(vec!["/bin/false".into()]);
    stage.supervise_spec(spec);
    stage.ready("text");
    stage.until("poet", |plugin| plugin.state == UnitState::Failed);
    eventually("its last words", || stage.log("poet.log").ends_with("out| last\n").then_some(()));
    stage.stop_without_trace();
}

#[test]
fn a_reason_comes_from_the_line_that_tells_it() {
    let dies = "import sys\nprint('before', file=sys.stderr)\ndef f():\n    raise ValueError('out of cheese')\nf()\n";
    let mut stage = Stage::empty();
    let script = stage.scratch().join("dies.py");
    fs::write(&script, dies).unwrap();
    let go =
        "echo goroutine; echo 'panic: no' >&2; echo 'goroutine 1 [running]:' >&2; echo 'exit status 2' >&2; exit 2";
    let config = plugin("python", &["python3", script.to_str().unwrap()], "restart = 'never'")
        + &plugin("go", &["sh", "-c", go], "restart = 'never'");
    stage.supervise_apart(&config, |command| command);
    let reason = |name| stage.until(name, |plugin| plugin.state == UnitState::Failed).reason;
    assert!(reason("python").contains(": ValueError: out of cheese; never"), "{}", reason("python"));
    assert!(reason("go").contains(": panic: no; never"), "{}", reason("go"));
    // What the sink has told is there for the event log, too.
    let events = stage.events();
    let failed = events.iter().find(|event| event["plugin"] == "go" && event["to"] == "failed").unwrap();
    assert_eq!(failed["output"].as_array().unwrap().len(), 4);
}

#[test]
fn every_line_is_kept_or_counted_while_logs_are_rotated_deleted_and_renamed() {
    let mut stage = Stage::empty();
    let config = counting(&stage).replace("1GiB", "64KiB") + "keep = 100\n";
    stage.supervise_apart(&config, |command| command);
    let log_dir = stage.bus().log_dir();
    let log = log_dir.join("count.log");
    grows(&log);
    // Rotated many times by now; the numbers of all files together have no gap.
    eventually("rotated often", || log_dir.join("count.log.20").exists().then_some(()));
    let (done, all) = finish_rotated(&stage);
    // What the oldest file tells may be missing from one that is gone.
    let ((missing, told), dropped) = (missing_and_told(&all, done), stage.plugin("count").dropped_lines);
    assert!(missing <= told && told <= dropped, "{missing} missing, {told} told, {dropped} dropped");
}

#[test]
fn a_plugin_has_the_file_limit_that_the_supervisor_was_given() {
    let mut stage = Stage::empty();
    let prints = "sleep 0.2; ulimit -Sn; exec sleep 1000";
    let config = plugin("limits", &["bash", "-c", prints], "start_timeout = '1h'");
    let limited = stage.scratch().join("limited.sh");
    fs::write(&limited, "ulimit -Sn 256; exec \"$@\"\n").unwrap();
    stage.supervise_apart_by(&config, &["bash", limited.to_str().unwrap()]);
    eventually("its limit", || stage.log("limits.log").ends_with("out| 256\n").then_some(()));
    let limits = fs::read_to_string(format!("/proc/{}/limits", stage.supervisor_pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert!(!line.contains(" 256 "), "{line}");
    stage.stop_without_trace();
}

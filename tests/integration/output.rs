//! What a plugin prints never blocks it; what is dropped is counted and shown.

use std::fs;
use std::io::Read;
use std::process::Command;

use plugbus::host::blocking::Bus;
use plugbus::supervisor::UnitState;
use rustix::process::Signal;

use crate::support::{LONG, PATIENT, Stage, eventually, misbehaving, plugin, signal, text_plugin};

/// Lines that the flood has printed so far.
fn printed(bus: &Bus) -> u64 {
    bus.request("loud.printed").timeout(LONG).call(&()).unwrap()
}

/// It prints far more than pipes and queues hold, so somebody must be taking it.
fn assert_flows(bus: &Bus) {
    let target = printed(bus) + 100_000;
    eventually("the flood goes on", || (printed(bus) > target).then_some(()));
}

#[test]
fn invariant_6_a_flood_onto_a_disk_that_stands_still_blocks_nobody_and_is_counted() {
    let mut stage = Stage::empty();
    let log = stage.bus().log_dir().join("loud.log");
    fs::create_dir_all(stage.bus().log_dir()).unwrap();
    // Nobody reads it: whoever opens it to write stands still there, as on a disk that does not answer.
    assert!(Command::new("mkfifo").arg(&log).status().unwrap().success());
    stage.supervise(&(PATIENT.to_owned() + &misbehaving("loud", "flood", "") + &text_plugin("")));
    stage.ready("loud");
    let bus = stage.caller();
    assert_flows(&bus);
    let dropped = stage.until("loud", |plugin| plugin.dropped_lines > 100_000).dropped_lines;
    assert_flows(&bus);
    assert!(stage.plugin("loud").dropped_lines > dropped);
    let other = stage.ready("text");
    assert_eq!((other.restarts, other.dropped_lines, stage.plugin("loud").restarts), (0, 0, 0));
    assert_eq!(bus.request("revert").timeout(LONG).call::<String, _>("ab").unwrap(), "ba");

    // The disk is back: what is missing is told where it is missing.
    let mut pipe = fs::File::open(&log).unwrap();
    let reader = std::thread::spawn(move || {
        let (mut seen, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
        let mut told = false;
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            if !told {
                seen.extend_from_slice(&buffer[..length]);
                told = String::from_utf8_lossy(&seen).contains("lines dropped: they came faster");
                seen.drain(..seen.len().saturating_sub(200));
            }
        }
        told
    });
    stage.until("text", |plugin| plugin.state == UnitState::Ready);
    stage.stop_without_trace();
    assert!(reader.join().unwrap(), "the log does not tell that lines are missing");
}

#[test]
fn invariant_6_what_a_log_does_not_take_is_counted_to_the_line() {
    let mut stage = Stage::empty();
    let log = stage.bus().log_dir().join("counted.log");
    fs::create_dir_all(&log).unwrap();
    let go = stage.scratch().join("go");
    let prints = format!("seq 1000; until test -e {}; do sleep 0.05; done; echo more; exec sleep 1000", go.display());
    stage.supervise(&(PATIENT.to_owned() + &plugin("counted", &["sh", "-c", &prints], "start_timeout = '1h'")));
    stage.until("counted", |plugin| plugin.dropped_lines == 1000);
    // The log can be written again: what is missing is told where it is missing.
    fs::remove_dir(&log).unwrap();
    fs::write(go, "").unwrap();
    let log =
        eventually("the last line", || Some(stage.log("counted.log")).filter(|log| log.contains("out| more\n")));
    assert!(log.contains("---| 1000 lines dropped: "), "{log}");
    assert_eq!(stage.plugin("counted").dropped_lines, 1000);
    stage.stop_without_trace();
}

#[test]
fn last_words_are_kept_whatever_their_bytes() {
    let dying = r"die=first\nnul\x00bad\xff\xfebell\x07\nno-newline";
    let config = PATIENT.to_owned() + &misbehaving("poet", dying, "restart = 'never'") + &text_plugin("");
    let stage = Stage::start(&config);
    let dead = stage.until("poet", |plugin| plugin.state == UnitState::Failed);
    assert!(dead.reason.starts_with("killed by SIGKILL after"), "{}", dead.reason);
    let log = eventually("its last words", || Some(stage.log("poet.log")).filter(|log| log.contains("no-newline\n")));
    assert!(log.contains("out| first\n"), "{log:?}");
    assert!(log.contains("out| nul\0bad\u{fffd}\u{fffd}bell\u{7}\n"), "{log:?}");
    assert_eq!(stage.ready("text").restarts, 0);
}

#[test]
fn a_line_without_end_costs_no_memory_and_nothing_of_it_is_lost() {
    let endless = "head -c 3000000 /dev/zero | tr '\\\\0' 'x'; echo the end; exec sleep 1000";
    let section = format!("[plugins.long]\ncommand = ['sh', '-c', \"{endless}\"]\n[log]\nmax_size = '1GiB'\n");
    let stage = Stage::start(&section);
    let log = eventually("the end", || Some(stage.log("long.log")).filter(|log| log.ends_with("the end\n")));
    let kept: usize = log.lines().map(|line| line.split_once("| ").unwrap().1.matches('x').count()).sum();
    assert_eq!(kept, 3_000_000);
    let longest = log.lines().map(str::len).max().unwrap();
    assert!(longest < 10_000, "a line of {longest} bytes");
}

#[test]
fn a_plugin_that_closes_its_output_goes_on_and_nothing_spins() {
    let stage = Stage::spawn(&(PATIENT.to_owned() + &misbehaving("mute", "close-output", "")));
    stage.ready("mute");
    let busy = |pid: u32| -> u64 {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<u64>().unwrap())
            .sum()
    };
    let (begun, before) = (std::time::Instant::now(), busy(stage.supervisor_pid()));
    (0..20).for_each(|_| drop(stage.survey()));
    let answers = stage.until("mute", |plugin| plugin.uptime_ms.unwrap() > 2000);
    // A tick is a hundredth of a second: a task that spins would use up all the time there is.
    let share = (busy(stage.supervisor_pid()) - before) as f64 / 100.0 / begun.elapsed().as_secs_f64();
    assert!(share < 0.5, "the supervisor used {share:.2} of a core");
    assert_eq!(answers.restarts, 0);
}

#[test]
fn who_holds_the_output_open_delays_neither_restart_nor_stop() {
    // Its child has left the process group and keeps the pipes open for ten seconds.
    let mut stage = Stage::start(&(PATIENT.to_owned() + &misbehaving("parent", "daemon", "")));
    let before = stage.ready("parent");
    let begun = std::time::Instant::now();
    signal(before.pid.unwrap(), Signal::KILL);
    stage.ready_again(&before);
    stage.stop();
    assert!(begun.elapsed().as_secs() < 8, "took {:?}", begun.elapsed());
}

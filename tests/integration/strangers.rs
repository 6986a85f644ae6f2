//! What lies in the bus directory and who connects to the supervisor may be anything at all.
//!
//! `garbage` is about what is sent to a plugin; this is about files, and about the supervisor.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::Command;

use plugbus::supervisor::UnitState;

use crate::support::{LONG, PATIENT, RawCaller, Stage, golden, misbehaving, text_plugin};

/// What no reader may take for what it reads.
fn junk() -> Vec<Vec<u8>> {
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let large = [br#"{"name":"#.to_vec(), vec![b'"'], vec![b'x'; 32 << 20]].concat();
    let wrong = br#"{"name":"text","instance":"x","pid":-1,"start_time":1e400,"protocol":"1","url":7,"methods":{}}"#;
    let climbing =
        br#"{"name":"../../text","instance":"..","pid":1,"start_time":1,"protocol":1,"url":"ipc:///","methods":[]}"#;
    vec![vec![], b"{".to_vec(), vec![0; 4096], vec![0xff; 4096], deep, large, wrong.to_vec(), climbing.to_vec()]
}

fn peak_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn invariant_10_files_of_the_bus_directory_may_hold_anything() {
    let mut stage = Stage::empty();
    let (bus, state) = (stage.bus().path().to_owned(), stage.bus().state_dir());
    fs::create_dir_all(&state).unwrap();
    let litter = |nth: usize, bytes: &[u8]| {
        for name in [format!("text.junk{nth}.json"), format!("text.junk{nth}.ipc"), format!("junk{nth}")] {
            fs::write(bus.join(&name), bytes).unwrap();
            fs::write(state.join(&name), bytes).unwrap();
        }
    };
    junk().iter().enumerate().for_each(|(nth, bytes)| litter(nth, bytes));
    fs::create_dir(bus.join("text.folder.json")).unwrap();
    // Nobody writes to these: whoever opens one as if it were a file stands still.
    for fifo in [bus.join("text.fifo.json"), state.join("text.fifo.json")] {
        assert!(Command::new("mkfifo").arg(fifo).status().unwrap().success());
    }
    std::os::unix::fs::symlink("text.circle.json", bus.join("text.circle.json")).unwrap();
    stage.supervise_apart(&(PATIENT.to_owned() + &text_plugin("")), |command| command);
    let plugin = stage.ready("text");
    // And again, while it runs.
    junk().iter().enumerate().for_each(|(nth, bytes)| litter(nth, bytes));
    let caller = stage.caller();
    for _ in 0..20 {
        assert_eq!(caller.request("revert").timeout(LONG).call::<String, _>("ab").unwrap(), "ba");
    }
    assert_eq!((stage.plugin("text").pid, stage.survey().answers.len()), (plugin.pid, 1));
    let peak = peak_memory(stage.supervisor_pid());
    assert!(peak < 100, "{peak} MiB");
    stage.stop();
}

#[test]
fn invariant_10_who_connects_to_the_supervisor_may_say_anything() {
    let stage = Stage::spawn(
        &(PATIENT.to_owned() + &text_plugin("") + &misbehaving("odd", "garbage", "start_timeout = '1h'")),
    );
    let plugin = stage.ready("text");
    let survey = stage.bus().survey_endpoint().unwrap();
    let own = stage.bus().cards().unwrap().into_iter().find(|card| card.name == "supervisor").unwrap();
    let own: plugbus::bus::Endpoint = own.url.parse().unwrap();
    let mut stay = Vec::new();
    for noise in junk() {
        for path in [survey.path(), own.path()] {
            for greeting in ["socket/greeting-requester", "socket/greeting-respondent", ""] {
                let Ok(mut stream) = UnixStream::connect(path) else { panic!("nobody listens") };
                // It may be hung up on before all of it is written.
                let _ = stream.set_write_timeout(Some(std::time::Duration::from_secs(1)));
                let greeting = if greeting.is_empty() { Vec::new() } else { golden(greeting) };
                let head = [&[1][..], &(noise.len() as u64 + 4).to_be_bytes(), &[0x80, 0, 0, 1]].concat();
                let _ = stream.write_all(&greeting).and_then(|()| stream.write_all(&head));
                let _ = stream.write_all(&noise[..noise.len().min(1 << 20)]);
                stay.push(stream);
            }
        }
    }
    // Its own methods take no nonsense either.
    let mut caller = RawCaller::connect(own.path()).unwrap();
    caller.ping().unwrap();
    let wait = stage.caller().request("supervisor.wait").timeout(LONG).call::<(), _>(&[1, 2, 3]).unwrap_err();
    assert!(wait.to_string().contains("bad_params"), "{wait}");
    assert_eq!(stage.survey().answers.len(), 1);
    drop(stay);
    assert_eq!((stage.plugin("text").pid, stage.plugin("text").restarts), (plugin.pid, 0));
    assert_eq!(stage.plugin("odd").state, UnitState::Starting);
    let peak = peak_memory(stage.supervisor_pid());
    assert!(peak < 200, "{peak} MiB");
}

//! Streams of items, between processes and on both lanes.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::thread;

use plugbus::bus::Lane;
use plugbus::host::CallError;
use plugbus::supervisor::OrderReport;
use plugbus::wire::{Code, Load, Opened, Reply, RequestHead};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    Bench, LONG, PATIENT, PluginProcess, RawCaller, Stage, eventually, python, send, signal, text_plugin,
};

fn text_on(lane: Lane) -> PluginProcess {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plugbus-text"));
    command.env("PLUGBUS_LANE", lane.name());
    PluginProcess::start(command)
}

fn lines(count: usize) -> String {
    (0..count).map(|number| format!("line {number}\n")).collect()
}

fn ask(caller: &mut RawCaller, method: &str, params: &Value) -> Vec<u8> {
    caller.call(&RequestHead::new(method, LONG).encode(params).unwrap()).unwrap()
}

fn open(caller: &mut RawCaller, text: &str) -> String {
    let reply = ask(caller, "lines", &json!(text));
    let Ok(Reply::Stream(Opened { id, credit: None })) = Reply::decode(&reply) else { panic!("{reply:x?}") };
    id.to_owned()
}

fn code(reply: &[u8]) -> Option<Code> {
    match Reply::decode(reply).unwrap() {
        Reply::Error(fault) => Some(fault.code),
        _ => None,
    }
}

fn load(plugin: &PluginProcess) -> Load {
    let mut caller = RawCaller::connect(&plugin.socket()).unwrap();
    let reply = ask(&mut caller, "$stats", &Value::Null);
    let Ok(Reply::Result(result)) = Reply::decode(&reply) else { panic!("{reply:x?}") };
    result.to().unwrap()
}

#[test]
fn the_ten_lines_of_the_protocol_text_read_a_stream() {
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/protocol.md")).unwrap();
    let snippet = document.split("```python stream\n").nth(1).expect("the reader").split("```").next().unwrap();
    assert!(snippet.lines().filter(|line| !line.trim().is_empty()).count() <= 10);
    for lane in Lane::ALL {
        let Some(mut python) = python() else { return };
        let plugin = text_on(lane);
        let text = lines(3000);
        let read = python.args(["-c", snippet, plugin.endpoint().as_str(), "lines", &text]).output().unwrap();
        assert_eq!(String::from_utf8(read.stdout).unwrap(), text, "{}", String::from_utf8_lossy(&read.stderr));
    }
}

#[test]
fn nonsense_about_streams_is_refused_and_disturbs_nobody() {
    for lane in Lane::ALL {
        let plugin = text_on(lane);
        let mut caller = RawCaller::connect(&plugin.socket()).unwrap();
        // So many that the method has not ended meanwhile.
        let id = open(&mut caller, &lines(100_000));
        for method in ["$next", "$put", "$close"] {
            for params in [
                Value::Null,
                json!([id]),
                json!({}),
                json!({"stream": 7}),
                json!({"from": 0}),
                json!({"stream": "nobody's"}),
                json!({"stream": id, "from": -1, "items": 7}),
                json!({"stream": id, "from": 18_000_000_000_000_000_000_u64, "items": [1]}),
            ] {
                // To close a stream takes its id, whatever stands beside it; to close what is not there is no error.
                if method == "$close" && params["stream"].is_string() {
                    continue;
                }
                assert_eq!(code(&ask(&mut caller, method, &params)), Some(Code::BadParams), "{method} {params}");
            }
        }
        let reply = ask(&mut caller, "$next", &json!({"stream": id, "from": 0}));
        let Ok(Reply::Result(result)) = Reply::decode(&reply) else { panic!("{reply:x?}") };
        assert_eq!(result.to::<Value>().unwrap()["items"][0], "line 0");
    }
}

#[test]
fn a_caller_that_departs_ends_its_stream() {
    for lane in Lane::ALL {
        let plugin = text_on(lane);
        let mut caller = RawCaller::connect(&plugin.socket()).unwrap();
        open(&mut caller, &lines(100_000));
        eventually("the stream is open, and the call is over", || (load(&plugin).in_flight == 1).then_some(()));
        drop(caller);
        eventually("the stream ends", || (load(&plugin).in_flight == 0).then_some(()));
    }
}

#[test]
fn a_stream_that_is_left_alone_for_too_long_ends() {
    for lane in Lane::ALL {
        let plugin = text_on(lane);
        let mut caller = RawCaller::connect(&plugin.socket()).unwrap();
        let id = open(&mut caller, &lines(100_000));
        let next = json!({"stream": id, "keep_ms": 50});
        assert_eq!(code(&ask(&mut caller, "$next", &next)), None);
        eventually("the stream ends", || (load(&plugin).in_flight == 0).then_some(()));
        assert_eq!(code(&ask(&mut caller, "$next", &next)), Some(Code::BadParams));
        // It counts as cancelled: nobody has had its end.
        assert_eq!(load(&plugin).failed, 1);
    }
}

#[test]
fn draining_waits_for_no_endless_stream_and_loses_no_item_of_others() {
    for lane in Lane::ALL {
        let mut plugin = text_on(lane);
        let mut endless = RawCaller::connect(&plugin.socket()).unwrap();
        let reply = ask(&mut endless, "repeat", &json!("again"));
        let Ok(Reply::Stream(Opened { id: again, .. })) = Reply::decode(&reply) else { panic!("{reply:x?}") };
        let mut other = RawCaller::connect(&plugin.socket()).unwrap();
        let id = open(&mut other, &lines(3000));
        assert_eq!(code(&ask(&mut other, "$stop", &Value::Null)), None);
        let (count, batch) = read_to_end(&mut endless, again);
        // What was there when it was told.
        assert!(count <= 1024 + 1 && batch.get("error").is_none(), "{count} {batch}");
        let (count, batch) = read_to_end(&mut other, &id);
        assert_eq!((count, batch.get("error")), (3000, None));
        assert_eq!(plugin.exit().code(), Some(0));
    }
}

/// How many items came, and the last batch.
fn read_to_end(caller: &mut RawCaller, id: &str) -> (usize, Value) {
    let mut count = 0;
    loop {
        let reply = ask(caller, "$next", &json!({"stream": id, "from": count}));
        let Ok(Reply::Result(result)) = Reply::decode(&reply) else { panic!("{reply:x?}") };
        let batch: Value = result.to().unwrap();
        count += batch["items"].as_array().unwrap().len();
        assert!(count < 1_000_000, "it never ends");
        if batch.get("end").or(batch.get("error")).is_some() {
            return (count, batch);
        }
    }
}

#[test]
fn a_rolling_restart_ends_endless_streams_within_their_grace() {
    // Of an hour: whoever waits for it fails this test.
    let stage = Stage::start(&(PATIENT.to_owned() + &text_plugin("stop_grace = '1h'")));
    let before = stage.ready("text");
    let bus = stage.caller();
    let mut reader = bus.request("repeat").timeout(LONG).stream::<String, _>("again").unwrap();
    assert_eq!(reader.next().unwrap().unwrap(), "again");
    let (read, until_read) = std::sync::mpsc::channel();
    let note = move |_: &String| read.send(()).unwrap_or_default();
    let reading = thread::spawn(move || reader.map(Result::unwrap).inspect(note).count());
    until_read.recv_timeout(LONG).unwrap();
    let roll = json!({"names": ["text"], "rolling": true});
    let report: OrderReport = bus.request("restart").plugin("supervisor").timeout(LONG).call(&roll).unwrap();
    assert!(report.done, "{report:?}");
    assert!(reading.join().unwrap() > 0);
    assert_ne!(stage.ready("text").instance, before.instance);
}

#[test]
fn a_plugin_that_dies_leaves_what_was_read() {
    let stage = Stage::start(&(PATIENT.to_owned() + &text_plugin("restart = 'never'")));
    let plugin = stage.ready("text");
    let bus = stage.caller();
    let mut reader = bus.request("lines").timeout(LONG).stream::<String, _>(&lines(100_000)).unwrap();
    assert_eq!(reader.next().unwrap().unwrap(), "line 0");
    signal(plugin.pid.unwrap(), Signal::KILL);
    let mut read = 1;
    let error = loop {
        match reader.next().expect("an error comes before the end") {
            Ok(line) => assert_eq!(line, format!("line {read}")),
            Err(error) => break error,
        }
        read += 1;
    };
    assert!(matches!(error, CallError::Died { .. }), "{error}");
    assert!(read < 100_000 && reader.next().is_none());
}

#[test]
fn the_command_prints_items_and_takes_lines() {
    let bench = Bench::with_text();
    assert_eq!(bench.stdout(&["call", "lines", "one\ntwo\n\nfour"]), "one\ntwo\n\nfour\n");
    assert_eq!(bench.stdout(&["call", "lines", "-o", "json", "one\ntwo"]), "\"one\"\n\"two\"\n");
    assert_eq!(bench.stdout(&["call", "lines", ""]), "");
    assert_eq!(bench.stdout(&["call", "count_words", "one two", "three"]), "3\n");
    let many = lines(5000);
    let counted = bench.pipe(many.as_bytes(), &["call", "count_words"]);
    assert_eq!((counted.code, counted.stdout.as_str()), (0, "10000\n"), "{counted:?}");
    let reverted = bench.pipe(b"abc\ndef\n", &["call", "revert_each", "xyz", "-"]);
    assert_eq!((reverted.code, reverted.stdout.as_str()), (0, "zyx\ncba\nfed\n"), "{reverted:?}");
    assert!(reverted.stderr.is_empty(), "{reverted:?}");
}

#[test]
fn ctrl_c_ends_the_stream_on_both_sides() {
    let bench = Bench::with_text();
    let mut call = bench.plugbus(&["call", "repeat", "again"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(call.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "again\n");
    let in_flight = || {
        let stats: Value = serde_json::from_str(&bench.stdout(&["call", "-o", "json", "text.$stats"])).unwrap();
        stats["in_flight"].as_u64().unwrap()
    };
    assert_eq!(in_flight(), 1);
    send(Signal::INT, call.id().into());
    // Which a shell calls 130.
    assert_eq!(call.wait().unwrap().signal(), Some(Signal::INT.as_raw()));
    eventually("its code has ended", || (in_flight() == 0).then_some(()));
}

#[test]
fn progress_is_drawn_on_a_terminal_and_nowhere_else() {
    let bench = Bench::with_text();
    let args = ["call", "slow_lines", "text=one\ntwo", "ms=1"];
    let plain = bench.expect(&args, 0);
    assert_eq!((plain.stdout.as_str(), plain.stderr.as_str()), ("one\ntwo\n", ""));
    let Some(mut python) = python() else { return };
    // What the command writes to its terminal, and its exit code.
    let script = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let plugbus = bench.plugbus(&args);
    python.args(["-c", script]).arg(plugbus.get_program()).args(plugbus.get_args());
    python.envs(plugbus.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
    let seen = python.output().unwrap();
    let screen = String::from_utf8(seen.stdout).unwrap();
    assert!(seen.status.success(), "{screen}");
    assert!(screen.contains("one\r\n") && screen.contains("two\r\n"), "{screen:?}");
    let bar =
        |percent: &str| screen.contains(&format!("]  {percent} % ")) || screen.contains(&format!("] {percent} % "));
    assert!(bar("50") || bar("100"), "{screen:?}");
    // The last one is taken away.
    let last = screen.rfind("\x1b[K").unwrap();
    assert!(!screen[last..].contains('%'), "{screen:?}");
}

//! Limits: so many calls run, so many wait, and no caller keeps the others out.

use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use plugbus::bus::{Card, Lane};
use plugbus::host::CallError;
use plugbus::wire::{Code, Fault, Reply, RequestHead, Stats, from_slice};
use serde_json::{Value, json};

use crate::support::{LONG, PATIENT, RawCaller, Stage, eventually, sdk_plugin_of, text_on};

/// One plugin of this lane, with limits.
fn limited(lane: Lane, limits: &str, more: &str) -> Stage {
    let config = format!("bus.lane = '{}'\n{PATIENT}{}", lane.name(), sdk_plugin_of("sdk", limits, more));
    Stage::start(&config)
}

/// Sends the method `turn` so often, without waiting; each call holds its turn until there is such a file.
///
/// Not so often that the replies, which nobody reads meanwhile, fill the socket.
fn flood(card: &Card, calls: u32, file: &Path) -> RawCaller {
    let mut caller = RawCaller::connect(Path::new(card.url.strip_prefix("ipc://").unwrap())).unwrap();
    let request = RequestHead::new("turn", LONG).encode(file.to_str().unwrap()).unwrap();
    (0..calls).for_each(|number| caller.send(&[0x8000_0000 | number], &request).unwrap());
    caller
}

/// The next reply: which turn the call had, or why it had none.
fn reply(caller: &mut RawCaller) -> Result<u64, Fault> {
    let (_, body) = caller.receive().unwrap();
    match Reply::decode(&body).unwrap() {
        Reply::Result(turn) => Ok(turn.to().unwrap()),
        Reply::Error(fault) => Err(fault),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn expect_busy(caller: &mut RawCaller, times: usize, limits: &Value) {
    for _ in 0..times {
        let fault = reply(caller).expect_err("more than may wait");
        assert_eq!(fault.code, Code::Busy, "{fault}");
        let told: Value = from_slice(fault.data.as_deref().expect("the limits")).unwrap();
        assert_eq!(told, *limits);
    }
}

/// `plugbus call sdk.turn`, which is another caller than the test.
fn single(stage: &Stage, file: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plugbus"));
    command.args(["call", "--timeout", "30s", "sdk.turn"]).arg(file).env("PLUGBUS_DIR", stage.scratch());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_flood_delays_another_caller_by_one_call_and_no_more_wait_than_may() {
    for lane in Lane::ALL {
        let stage = limited(lane, "1,20", "");
        stage.ready("sdk");
        let card = stage.cards().remove(0);
        let gate = stage.scratch().join("gate");
        let mut flood = flood(&card, 100, &gate);
        let limits = json!({"concurrency": 1, "queue": 20});
        expect_busy(&mut flood, 100 - 21, &limits);
        let mut single = single(&stage, &gate);
        // It gets in: the newest call of those that wait has to go.
        expect_busy(&mut flood, 1, &limits);
        flood.0.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let nothing = flood.receive().expect_err("nobody else has to go");
        assert!(matches!(nothing.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{nothing}");
        assert!(single.try_wait().unwrap().is_none());
        flood.0.set_read_timeout(Some(LONG)).unwrap();
        std::fs::write(&gate, "").unwrap();
        // One was running, one of the flood was first in line, and then it is the other caller's turn.
        let single = single.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&single.stdout), "2\n", "on {lane:?}");
        let mut turns: Vec<_> = (0..20).map(|_| reply(&mut flood).unwrap()).collect();
        // Replies come in any order.
        turns.sort_unstable();
        assert_eq!(turns, [vec![0, 1], (3..21).collect()].concat(), "on {lane:?}");
        let stats: Stats = stage.caller().call("sdk.$stats", &()).unwrap();
        let turn = &stats.methods["turn"];
        assert_eq!((turn.done, turn.failed, turn.codes["busy"], turn.latency.count()), (21, 0, 80, 21));
    }
}

#[test]
fn who_is_busy_is_passed_over_for_another_instance() {
    let stage = limited(Lane::Direct, "1,0", "replicas = 2");
    let cards = eventually("two cards", || Some(stage.cards()).filter(|cards| cards.len() == 2));
    let gate = stage.scratch().join("gate");
    let bus = stage.caller();
    let keep_busy = |card: &Card| {
        let flood = flood(card, 1, &gate);
        eventually("it is busy", || {
            let stats: Stats = bus.request("sdk.$stats").instance(&card.instance).call(&()).unwrap();
            (stats.load.in_flight == 1).then_some(())
        });
        flood
    };
    let mut first = keep_busy(&cards[0]);
    // Nobody has told the host: it finds out, and loses no call.
    for _ in 0..10 {
        assert_eq!(bus.request("sdk.echo").timeout(LONG).call::<String, _>("ab").unwrap(), "ab");
    }
    let mut second = keep_busy(&cards[1]);
    let refused = bus.request("sdk.echo").timeout(LONG).call::<String, _>("ab").unwrap_err();
    let CallError::Plugin { fault, .. } = refused else { panic!("{refused}") };
    assert_eq!(fault.to_string(), "busy: it runs 1 calls at once and lets 0 wait, it takes no more now");
    std::fs::write(&gate, "").unwrap();
    assert_eq!((reply(&mut first), reply(&mut second)), (Ok(0), Ok(0)));
    assert_eq!(bus.request("sdk.echo").timeout(LONG).call::<String, _>("ab").unwrap(), "ab");
}

/// One connection that calls without a pause, and throws away what is answered; ends when dropped.
struct Torrent {
    stream: UnixStream,
    threads: Vec<JoinHandle<()>>,
}

impl Torrent {
    fn at(socket: &Path) -> Self {
        let RawCaller(stream) = RawCaller::connect(socket).unwrap();
        stream.set_read_timeout(None).unwrap();
        stream.set_write_timeout(None).unwrap();
        let ping = RequestHead::new("$ping", LONG).encode(&()).unwrap();
        let length = (4 + ping.len()) as u64;
        let frame = [&[1], &length.to_be_bytes()[..], &0x8000_0001_u32.to_be_bytes(), &ping].concat();
        let (mut calls, mut replies) = (stream.try_clone().unwrap(), stream.try_clone().unwrap());
        let calling = thread::spawn(move || {
            let many = frame.repeat(1000);
            while calls.write_all(&many).is_ok() {}
        });
        let reading = thread::spawn(move || drop(std::io::copy(&mut replies, &mut std::io::sink())));
        Self { stream, threads: vec![calling, reading] }
    }
}

impl Drop for Torrent {
    fn drop(&mut self) {
        // The plugin may have ended.
        let _ = self.stream.shutdown(Shutdown::Both);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

#[test]
fn connections_that_always_have_more_leave_others_their_turn() {
    for lane in Lane::ALL {
        let plugin = text_on(lane);
        // One for every thread that waits for calls, and some more.
        let torrents: Vec<_> = (0..6).map(|_| Torrent::at(&plugin.socket())).collect();
        for _ in 0..20 {
            RawCaller::connect(&plugin.socket()).unwrap().ping().unwrap();
        }
        drop(torrents);
        RawCaller::connect(&plugin.socket()).unwrap().ping().unwrap();
    }
}

//! Caller and, as `stdio plugin`, plugin: calls with an id, one MessagePack value after another.
//!
//! `threads` is built as nushell and its plugins are: on either side a thread reads and hands over through channels, on
//! the caller's side by id, on the plugin's to a thread that runs calls. `lockstep` is what is left without all that: one
//! thread on each side, one call at a time.

use std::collections::HashMap;
use std::io::{BufReader, BufWriter, Read, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::TrySendError;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const TEXT: &str = "Live on time, emit no evil";

#[derive(Serialize, Deserialize)]
enum Message {
    Call(usize, String),
    Response(usize, Result<String, String>),
}

fn send(output: &mut impl Write, message: &impl Serialize) {
    rmp_serde::encode::write_named(output, message).unwrap();
    output.flush().unwrap();
}

fn receive<M: DeserializeOwned>(input: &mut impl Read) -> Option<M> {
    rmp_serde::decode::from_read(input).ok()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["plugin", "lockstep"] => lockstep_plugin(),
        ["plugin", _] => threads_plugin(),
        ["lockstep", "one", warm, counted] => lockstep(warm.parse().unwrap(), counted.parse().unwrap()),
        ["threads", what, first, second] => threads(what, first.parse().unwrap(), second.parse().unwrap()),
        _ => panic!("lockstep or threads, then one WARM COUNTED or many CALLERS EACH"),
    }
}

fn reverted(text: &str) -> Result<String, String> {
    Ok(text.chars().rev().collect())
}

fn lockstep_plugin() {
    let mut input = BufReader::new(std::io::stdin().lock());
    let mut output = BufWriter::new(std::io::stdout().lock());
    while let Some(Message::Call(id, text)) = receive(&mut input) {
        send(&mut output, &Message::Response(id, reverted(&text)));
    }
}

/// One thread reads, one gives out, one runs; where that one is busy, a call gets a thread of its own.
fn threads_plugin() {
    let (to_desk, calls) = mpsc::channel();
    thread::spawn(move || {
        let mut input = BufReader::new(std::io::stdin().lock());
        while let Some(Message::Call(id, text)) = receive(&mut input) {
            to_desk.send((id, text)).unwrap();
        }
    });
    let output = Mutex::new(BufWriter::new(std::io::stdout()));
    let run = &|(id, text): (usize, String)| {
        send(&mut *output.lock().unwrap(), &Message::Response(id, reverted(&text)));
    };
    thread::scope(|scope| {
        let (to_runner, runs) = mpsc::sync_channel(0);
        scope.spawn(move || runs.into_iter().for_each(run));
        for call in calls {
            if let Err(TrySendError::Full(call) | TrySendError::Disconnected(call)) = to_runner.try_send(call) {
                scope.spawn(move || run(call));
            }
        }
    });
}

fn start(how: &str) -> std::process::Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["plugin", how]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

fn lockstep(warm: usize, counted: usize) {
    let mut plugin = start("lockstep");
    let mut input = BufReader::new(plugin.stdout.take().unwrap());
    let mut output = BufWriter::new(plugin.stdin.take().unwrap());
    let mut nth = 0;
    print_timings(warm, counted, || {
        nth += 1;
        send(&mut output, &Message::Call(nth, TEXT.to_owned()));
        let Some(Message::Response(id, Ok(text))) = receive(&mut input) else { panic!("no reply") };
        assert!(id == nth && text.len() == TEXT.len());
    });
    drop(output);
    plugin.wait().unwrap();
}

/// What callers share.
struct Plugin {
    output: Mutex<BufWriter<ChildStdin>>,
    waiting: Mutex<HashMap<usize, mpsc::Sender<Result<String, String>>>>,
    next: AtomicUsize,
}

impl Plugin {
    fn call(&self) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = mpsc::channel();
        self.waiting.lock().unwrap().insert(id, answer);
        send(&mut *self.output.lock().unwrap(), &Message::Call(id, TEXT.to_owned()));
        let text = answered.recv().unwrap().unwrap();
        assert_eq!(text.len(), TEXT.len());
    }

    fn read(&self, input: impl Read) {
        let mut input = BufReader::new(input);
        while let Some(Message::Response(id, answer)) = receive(&mut input) {
            let waiting = self.waiting.lock().unwrap().remove(&id).unwrap();
            let _ = waiting.send(answer);
        }
    }
}

fn threads(what: &str, first: usize, second: usize) {
    let mut process = start("threads");
    let input = process.stdout.take().unwrap();
    let output = Mutex::new(BufWriter::new(process.stdin.take().unwrap()));
    let plugin = Arc::new(Plugin { output, waiting: Mutex::default(), next: AtomicUsize::new(0) });
    let reader = Arc::clone(&plugin);
    thread::spawn(move || reader.read(input));
    if what == "one" {
        print_timings(first, second, || plugin.call());
    } else {
        together(&plugin, first, second / 10);
        let took = together(&plugin, first, second);
        println!("rate {:.0}", (first * second) as f64 / took.as_secs_f64());
    }
    process.kill().unwrap();
    process.wait().unwrap();
}

fn together(plugin: &Plugin, callers: usize, each: usize) -> Duration {
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..callers {
            scope.spawn(|| (0..each).for_each(|_| plugin.call()));
        }
    });
    start.elapsed()
}

fn print_timings(warm: usize, counted: usize, mut call: impl FnMut()) {
    let mut line = String::from("ns");
    for nth in 0..warm + counted {
        let start = Instant::now();
        call();
        let took = start.elapsed();
        if nth >= warm {
            line += &format!(" {}", took.as_nanos());
        }
    }
    println!("{line}");
}

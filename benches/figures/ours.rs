//! Our own contestants: this program again, in a role.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use plugbus::host::{Bus, blocking};
use plugbus::plugin;

use crate::contestant::{Contestant, Kind};
use crate::items;
use crate::support::{Plugin, TEXT, timed, together, wait_on_bus};

/// The environment variable that names the role.
pub(crate) const ROLE: &str = "PLUGBUS_BENCH_ROLE";
const MEBIBYTE: usize = 1 << 20;

pub(crate) fn all() -> Vec<Contestant> {
    let itself = std::env::current_exe().unwrap();
    let one = |name, kind, role| {
        let mut contestant = Contestant::new(name, kind, &itself);
        contestant.variables.push((ROLE, role));
        contestant
    };
    let on_nng = |name, role| {
        let mut contestant = one(name, Kind::Nng, role);
        contestant.variables.push(("PLUGBUS_LANE", "nng"));
        contestant
    };
    let mut all = vec![
        one("raw Unix socket (the floor)", Kind::Floor, "floor"),
        one("**plugbus, blocking**", Kind::Blocking, "blocking"),
        one("**plugbus, async**", Kind::Async, "async"),
        on_nng("plugbus on the NNG lane, blocking", "blocking"),
        on_nng("plugbus on the NNG lane, async", "async"),
        one("raw Unix socket", Kind::Mebibyte { made: false }, "floor of mebibytes"),
        one("plugbus, blocking", Kind::Mebibyte { made: false }, "blocking mebibytes"),
        one("plugbus, async", Kind::Mebibyte { made: false }, "async mebibytes"),
        one("plugbus, blocking, made for each call", Kind::Mebibyte { made: true }, "blocking made mebibytes"),
        one("plugbus, async, made for each call", Kind::Mebibyte { made: true }, "async made mebibytes"),
    ];
    // Nothing but an async caller can have many calls under way on one thread.
    all.iter_mut().filter(|one| one.name.ends_with("async") || one.name.ends_with("async**")).for_each(|one| {
        one.many = one.kind.is_of_calls();
    });
    all
}

pub(crate) fn play(role: &str) {
    // These are killed in the end, and would leave a directory behind.
    match role {
        "echo" | "echo mebibytes" => return echo(role == "echo mebibytes"),
        "mebibyte plugin" => return mebibyte_plugin(),
        _ => {}
    }
    let root = tempfile::tempdir().unwrap();
    let wish = Wish::read();
    match role {
        "floor" | "floor of mebibytes" => floor(root.path(), role == "floor of mebibytes", &wish),
        "blocking" => blocking(&Plugin::start(root.path()), root.path(), "text.revert", &wish),
        "async" => wish.on_tokio(&Plugin::start(root.path()), root.path(), "text.revert"),
        "blocking mebibytes" => blocking(&mebibytes(root.path()), root.path(), "bench.mebibyte", &wish),
        "async mebibytes" => wish.on_tokio(&mebibytes(root.path()), root.path(), "bench.mebibyte"),
        "blocking made mebibytes" => blocking(&mebibytes(root.path()), root.path(), "bench.made", &wish),
        "async made mebibytes" => wish.on_tokio(&mebibytes(root.path()), root.path(), "bench.made"),
        _ => assert!(items::play(role, root.path()), "no such role: {role}"),
    }
}

/// The last three arguments, as every contestant gets them.
struct Wish {
    many: bool,
    first: usize,
    second: usize,
}

impl Wish {
    fn read() -> Self {
        let arguments: Vec<String> = std::env::args().collect();
        let number = |from_end| arguments.iter().rev().nth(from_end).and_then(|n| n.parse().ok()).unwrap_or(0);
        Self { many: arguments.iter().any(|argument| argument == "many"), first: number(1), second: number(0) }
    }

    fn on_tokio(&self, _plugin: &Plugin, root: &Path, method: &'static str) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        // One for all callers, as a host has it.
        let bus: &'static Bus = Box::leak(Box::new(Bus::at(root.join("default")).unwrap()));
        let call = move || async move { drop(bus.call::<String, _>(method, TEXT).await.unwrap()) };
        let (first, second) = (self.first, self.second);
        runtime.block_on(async move {
            if !self.many {
                return print(&tokio::spawn(timed(first, second, call)).await.unwrap());
            }
            together(first, second / 10, call).await;
            let took = together(first, second, call).await;
            println!("rate {:.0}", (first * second) as f64 / took.as_secs_f64());
        });
    }

    fn timed_here(&self, mut call: impl FnMut()) {
        (0..self.first).for_each(|_| call());
        let timed = |_| {
            let start = Instant::now();
            call();
            start.elapsed()
        };
        print(&(0..self.second).map(timed).collect::<Vec<_>>());
    }
}

fn print(timings: &[Duration]) {
    let numbers: Vec<String> = timings.iter().map(|time| time.as_nanos().to_string()).collect();
    println!("ns {}", numbers.join(" "));
}

fn blocking(_plugin: &Plugin, root: &Path, method: &str, wish: &Wish) {
    let bus = blocking::Bus::at(root.join("default")).unwrap();
    wish.timed_here(|| drop(bus.call::<String, _>(method, TEXT).unwrap()));
}

/// This program as a plugin made with the SDK.
fn mebibyte_plugin() {
    let text: Arc<str> = "x".repeat(MEBIBYTE).into();
    let own = Arc::clone(&text);
    let mebibyte = move |_: String| Ok::<_, plugin::Failure>(Arc::clone(&own));
    let made = move |_: String| Ok::<_, plugin::Failure>(text.to_string());
    let plugin = plugin::Plugin::new("bench", "1.0.0").method("mebibyte", "One that is there.", mebibyte);
    plugin.method("made", "One that is made for each call.", made).serve().unwrap();
}

fn mebibytes(root: &Path) -> Plugin {
    let mut command = Command::new(std::env::current_exe().unwrap());
    wait_on_bus(command.env(ROLE, "mebibyte plugin").env("PLUGBUS_DIR", root))
}

/// `write` and `read` between two processes, blocking on both sides: nothing out of process is faster.
fn floor(root: &Path, mebibytes: bool, wish: &Wish) {
    let path = root.join("floor");
    let listener = UnixListener::bind(&path).unwrap();
    let mut other = other(&path, if mebibytes { "echo mebibytes" } else { "echo" });
    let (mut stream, _) = listener.accept().unwrap();
    let mut buffer = vec![0; if mebibytes { MEBIBYTE } else { TEXT.len() }];
    wish.timed_here(|| {
        stream.write_all(TEXT.as_bytes()).unwrap();
        stream.read_exact(&mut buffer).unwrap();
    });
    drop(stream);
    other.wait().unwrap();
}

fn other(path: &Path, role: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(ROLE, role).env("PLUGBUS_BENCH_PATH", path).stdout(Stdio::null()).spawn().unwrap()
}

fn echo(mebibytes: bool) {
    let mut stream = UnixStream::connect(std::env::var_os("PLUGBUS_BENCH_PATH").unwrap()).unwrap();
    let mebibyte = vec![b'x'; MEBIBYTE];
    let mut buffer = [0; 256];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        stream.write_all(if mebibytes { &mebibyte } else { &buffer[..length] }).unwrap();
    }
}

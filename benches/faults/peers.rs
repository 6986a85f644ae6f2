//! The same crash under the supervisors that people use today: SIGKILL to the next program's first instructions.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::Fault;
use crate::act::{ACT, BEACON};
use crate::figure::{Figure, Size, in_ms};
use crate::ground::{Beacon, lasting};
use crate::measure::Timings;
use crate::support::{Stage, plugin, signal};

pub(crate) const FAULTS: &[Fault] = &[
    ("peer plugbus", "kill -9 of a program that ran for over a second, to the next exec", plugbus),
    ("peer runit", "the same under runsv", runit),
    ("peer s6", "the same under s6-supervise", s6),
    ("peer supervisord", "the same under supervisord", supervisord),
    ("peer circus", "the same under circusd", circus),
];

/// Longer than any of them wants a program to have run before it counts as started.
const RUN: Duration = Duration::from_millis(1500);

fn kills(beacon: &Beacon, size: Size) -> Vec<Figure> {
    let (_, mut pid) = beacon.next();
    let mut timings = Vec::new();
    for _ in 0..size.pick(20, 2) {
        lasting(RUN);
        let killed = Instant::now();
        signal(pid, Signal::KILL);
        let (heard, next) = beacon.next();
        timings.push(heard - killed);
        pid = next;
    }
    let timings = Timings::from(timings);
    let seen = format!("{} median, {} most", in_ms(timings.median()), in_ms(timings.percentile(100.0)));
    vec![Figure::new(seen, "to compare", true)]
}

fn plugbus(size: Size) -> Vec<Figure> {
    let beacon = Beacon::new();
    let own = std::env::current_exe().unwrap();
    let more = format!("env = {{ {ACT} = 'beacon', {BEACON} = '{}' }}\nstart_timeout = '1h'", beacon.path)
        + "\nbackoff = { min = '1ms', max = '1ms', reset = '1s' }";
    let _stage = Stage::spawn(&plugin("target", &[own.to_str().unwrap()], &more));
    kills(&beacon, size)
}

/// A supervisor of somebody else's, with what it started.
struct Peer(Child);

impl Peer {
    fn start(command: &mut Command) -> Option<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok().map(Self)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        signal(self.0.id(), Signal::TERM);
        for _ in 0..100 {
            if matches!(self.0.try_wait(), Ok(Some(_))) {
                return;
            }
            lasting(Duration::from_millis(50));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A script that becomes the program under test.
fn script(path: &Path, beacon: &Beacon) {
    let own = std::env::current_exe().unwrap();
    let text = format!("#!/bin/sh\nexport {ACT}=beacon {BEACON}={}\nexec {}\n", beacon.path, own.display());
    fs::write(path, text).unwrap();
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

fn beside(peer: Option<Peer>, beacon: &Beacon, size: Size, what: &str) -> Vec<Figure> {
    match peer {
        Some(_peer) => kills(beacon, size),
        None => vec![Figure::new(format!("skipped: {what} is not installed"), "", true)],
    }
}

fn runit(size: Size) -> Vec<Figure> {
    let (root, beacon) = (tempfile::tempdir().unwrap(), Beacon::new());
    script(&root.path().join("run"), &beacon);
    beside(Peer::start(Command::new("runsv").arg(root.path())), &beacon, size, "runit")
}

fn s6(size: Size) -> Vec<Figure> {
    let (root, beacon) = (tempfile::tempdir().unwrap(), Beacon::new());
    script(&root.path().join("run"), &beacon);
    beside(Peer::start(Command::new("s6-supervise").arg(root.path())), &beacon, size, "s6")
}

fn supervisord(size: Size) -> Vec<Figure> {
    let (root, beacon) = (tempfile::tempdir().unwrap(), Beacon::new());
    script(&root.path().join("run"), &beacon);
    let text = format!(
        "[supervisord]\nnodaemon=true\nlogfile={0}/log\npidfile={0}/pid\nchildlogdir={0}\n[program:target]\ncommand={0}/run\nautorestart=true\n",
        root.path().display()
    );
    fs::write(root.path().join("supervisord.conf"), text).unwrap();
    let mut command = Command::new("supervisord");
    beside(Peer::start(command.arg("-c").arg(root.path().join("supervisord.conf"))), &beacon, size, "supervisord")
}

fn circus(size: Size) -> Vec<Figure> {
    let (root, beacon) = (tempfile::tempdir().unwrap(), Beacon::new());
    script(&root.path().join("run"), &beacon);
    let endpoint = |name: &str| format!("ipc://{}/{name}", root.path().display());
    let text = format!(
        "[circus]\nendpoint = {}\npubsub_endpoint = {}\n[watcher:target]\ncmd = {}/run\n",
        endpoint("e"),
        endpoint("p"),
        root.path().display()
    );
    fs::write(root.path().join("circus.ini"), text).unwrap();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/circusd");
    let program = if own.exists() { own } else { "circusd".into() };
    beside(Peer::start(Command::new(program).arg(root.path().join("circus.ini"))), &beacon, size, "circus")
}

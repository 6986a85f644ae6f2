//! A process that has no descriptors left waits; it does not spin, and goes on when there are some again.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::{Pid, Resource, Rlimit, Signal};

use super::*;

/// The test that runs alone.
const ALONE: &str = "PLUGBUS_TEST_ALONE";

/// Runs a test in a process of its own, where the limit is nobody else's; true in there.
pub(super) fn is_alone(test: &str) -> bool {
    if std::env::var_os(ALONE).is_some_and(|alone| alone == test) {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("bus::direct::tests::{test}")]).env(ALONE, test);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_child(&child);
    let (sender, ended) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output().unwrap()));
    let Ok(output) = ended.recv_timeout(3 * LONG) else {
        // Not waited for, so the pid is still its own.
        let _ = rustix::process::kill_process(pid, Signal::KILL);
        panic!("it hangs: {:?}", ended.recv());
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    false
}

/// No descriptor can be made while it lives.
struct Scarcity {
    before: Rlimit,
    /// Of this process; opened while that was possible.
    stat: File,
}

impl Scarcity {
    fn begin() -> Self {
        let before = rustix::process::getrlimit(Resource::Nofile);
        let stat = File::open("/proc/self/stat").unwrap();
        // Those below are all taken, and the limit is for the number of a new one.
        let few = Rlimit { current: Some(5), maximum: before.maximum };
        rustix::process::setrlimit(Resource::Nofile, few).unwrap();
        assert_eq!(rustix::io::dup(std::io::stdin()).unwrap_err(), rustix::io::Errno::MFILE);
        Self { before, stat }
    }

    /// What this process has used, to a hundredth of a second.
    fn processor_time(&self) -> Duration {
        let mut stat = [0; 1024];
        let length = self.stat.read_at(&mut stat, 0).unwrap();
        let stat = String::from_utf8_lossy(&stat[..length]);
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        // `utime` and `stime`, counted from behind the name.
        [11, 12].iter().map(|field| Duration::from_millis(10) * fields[*field].parse().unwrap()).sum()
    }

    /// Waits for a byte that does not come, and sees that the process does next to nothing meanwhile.
    fn is_quiet(&self, stream: &mut UnixStream) {
        let before = self.processor_time();
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let error = stream.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        stream.set_read_timeout(Some(LONG)).unwrap();
        let spent = self.processor_time() - before;
        assert!(spent < Duration::from_millis(150), "{spent:?} of work in half a second");
    }
}

impl Drop for Scarcity {
    fn drop(&mut self) {
        rustix::process::setrlimit(Resource::Nofile, self.before).unwrap();
    }
}

#[test]
fn who_cannot_be_let_in_is_let_in_later() {
    if !is_alone("descriptors::who_cannot_be_let_in_is_let_in_later") {
        return;
    }
    let place = Place::new();
    let endpoint = place.endpoint();
    let _replier = echo(&endpoint, LIMITS);
    let mut inside = Raw::greeted(&endpoint);
    let socket = || rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    let sockets: Vec<_> = (0..100).map(|_| socket().unwrap()).collect();
    let address = SocketAddrUnix::new(endpoint.path()).unwrap();
    let scarcity = Scarcity::begin();
    let connect = |socket| {
        rustix::net::connect(&socket, &address).unwrap();
        Raw(UnixStream::from(socket))
    };
    let mut crowd: Vec<_> = sockets.into_iter().map(connect).collect();
    for raw in &mut crowd {
        raw.0.write_all(&[&REQUESTER[..], &frame(1, b"waits")].concat()).unwrap();
    }
    scarcity.is_quiet(&mut crowd[0].0);
    inside.0.write_all(&frame(7, b"inside")).unwrap();
    inside.expect(7, b"inside");
    drop(scarcity);
    for raw in &mut crowd {
        raw.0.set_read_timeout(Some(LONG)).unwrap();
        raw.0.read_exact(&mut [0; 8]).unwrap();
        raw.expect(1, b"waits");
    }
}

#[test]
fn a_full_socket_that_cannot_be_watched_is_tried_again() {
    if !is_alone("descriptors::a_full_socket_that_cannot_be_watched_is_tried_again") {
        return;
    }
    let place = Place::new();
    let listener = UnixListener::bind(place.endpoint().path()).unwrap();
    let requester = Requester::dial(&place.endpoint(), None);
    let large = vec![3; 4 << 20];
    let (mut quiet, _other_end) = UnixStream::pair().unwrap();
    thread::scope(|scope| {
        let first = scope.spawn(|| block_on(requester.request(b"first", deadline(LONG), None)).map(drop));
        let mut raw = accept(&listener);
        let request = raw.receive().unwrap();
        raw.0.write_all(&[&head(request.len())[..], &request].concat()).unwrap();
        first.join().unwrap().unwrap();
        let scarcity = Scarcity::begin();
        let call =
            scope.spawn(|| block_on(requester.request(&large, deadline(3 * LONG), None)).map(|body| body.len()));
        // A part of it is there, and for now no more is read.
        raw.0.read_exact(&mut [0; HEAD]).unwrap();
        scarcity.is_quiet(&mut quiet);
        let mut request = vec![0; 4 + large.len()];
        raw.0.read_exact(&mut request).unwrap();
        raw.0.write_all(&[&head(request.len())[..], &request].concat()).unwrap();
        assert_eq!(call.join().unwrap(), Ok(large.len()));
    });
}

//! Who is let in and who is believed, over real sockets, with a second user where the tests run as root.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Uid, geteuid};
use rustix::thread::set_thread_res_uid;

use super::{
    Endpoint, Guests, Lane, PeerEvent, Publisher, Replier, RequestError, Requester, Surveyor, block_on,
    refused_connections,
};

const LONG: Duration = Duration::from_secs(20);
const NOBODY: u32 = 65534;

/// Does that as another user, for the kernel a different one in every way; `None` where this user cannot become one.
fn as_nobody<T: Send>(what: impl FnOnce() -> T + Send) -> Option<T> {
    if !geteuid().is_root() {
        let _ = writeln!(io::stderr(), "not root: nothing is tried as another user");
        return None;
    }
    let become_nobody = || {
        // Of this thread alone, which then ends.
        let nobody = Uid::from_raw(NOBODY);
        set_thread_res_uid(nobody, nobody, nobody).unwrap();
        what()
    };
    thread::scope(|scope| Some(scope.spawn(become_nobody).join().unwrap()))
}

/// A directory that lets everybody in, as no bus has it.
struct Open(tempfile::TempDir);

impl Open {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        chmod(root.path(), 0o777);
        Self(root)
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::ipc(&self.0.path().join("e")).unwrap()
    }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Connects, greets in that role, sends a frame, and returns what it is told until it is hung up on.
fn told(path: &Path, role: u8) -> Vec<u8> {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let frame = [0, b'S', b'P', 0, 0, role, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5, 0x80, 0, 0, 1, b'x'];
    // It may be hung up on before all of it is written.
    let _ = stream.write_all(&frame);
    let mut told = Vec::new();
    match stream.read_to_end(&mut told) {
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset => panic!("still open: {error}"),
        _ => told,
    }
}

/// Answers every request with itself; counts them.
fn echo(lane: Lane, endpoint: &Endpoint) -> (tokio::sync::oneshot::Sender<()>, Arc<AtomicUsize>) {
    let mut replier = Replier::listen_on(lane, endpoint, 4).unwrap();
    let (guard, mut stop) = tokio::sync::oneshot::channel();
    let counted = Arc::<AtomicUsize>::default();
    let counter = Arc::clone(&counted);
    thread::spawn(move || {
        block_on(async {
            loop {
                tokio::select! {
                    Some(incoming) = replier.next() => {
                        counter.fetch_add(1, Ordering::SeqCst);
                        let body = incoming.body().to_vec();
                        incoming.reply(&body);
                    }
                    _ = &mut stop => return,
                }
            }
        });
    });
    (guard, counted)
}

fn ask(lane: Lane, endpoint: &Endpoint, process: Option<u32>) -> Result<Vec<u8>, RequestError> {
    let requester = Requester::reach(lane, endpoint, process).unwrap();
    requester.request_blocking(b"x", LONG).map(|reply| reply.to_vec())
}

#[test]
fn a_caller_of_another_user_is_hung_up_on_whatever_the_modes_say() {
    for lane in Lane::ALL {
        let place = Open::new();
        let endpoint = place.endpoint();
        let (_guard, counted) = echo(lane, &endpoint);
        assert_eq!(mode(endpoint.path()), 0o600, "{lane:?}");
        assert!(as_nobody(|| UnixStream::connect(endpoint.path()).is_err()).unwrap_or(true), "{lane:?}");
        chmod(endpoint.path(), 0o666);
        let refused = refused_connections();
        if let Some(told) = as_nobody(|| told(endpoint.path(), 0x30)) {
            assert!(told.len() <= 8, "{lane:?}: more than a greeting: {told:?}");
            assert!(refused_connections() > refused, "{lane:?}");
            assert_eq!(counted.load(Ordering::SeqCst), 0, "{lane:?}");
        }
        assert_eq!(ask(lane, &endpoint, None).unwrap(), b"x", "{lane:?}");
    }
}

#[test]
fn whoever_answers_a_survey_or_hears_events_is_this_user_too() {
    for lane in Lane::ALL {
        let place = Open::new();
        let survey = place.endpoint();
        let (_surveyor, mut joined) = Surveyor::listen_for(lane, &survey, &Guests::default()).unwrap();
        let events = Endpoint::ipc(&place.0.path().join("events")).unwrap();
        let publisher = Publisher::listen_on(lane, &events).unwrap();
        for (endpoint, role) in [(&survey, 0x63), (&events, 0x21)] {
            assert_eq!(mode(endpoint.path()), 0o600, "{lane:?}");
            chmod(endpoint.path(), 0o666);
            let Some(told) = as_nobody(|| told(endpoint.path(), role)) else { return };
            assert!(told.len() <= 8, "{lane:?}: more than a greeting: {told:?}");
        }
        // Nobody has joined before the first one who may.
        let mut own = UnixStream::connect(survey.path()).unwrap();
        own.write_all(b"\0SP\0\0\x63\0\0").unwrap();
        let first = block_on(joined.recv()).unwrap();
        assert!(matches!(first, PeerEvent::Joined(peer) if peer.uid == Some(0)), "{lane:?}: {first:?}");
        publisher.close();
    }
}

#[test]
fn nothing_is_sent_to_a_listener_of_another_user() {
    for lane in Lane::ALL {
        let place = Open::new();
        let endpoint = place.endpoint();
        let Some(listener) = as_nobody(|| UnixListener::bind(endpoint.path()).unwrap()) else { return };
        // It would answer anything.
        let impostor = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.write_all(b"\0SP\0\0\x31\0\0");
            let mut heard = Vec::new();
            let _ = stream.read_to_end(&mut heard);
            heard
        });
        assert_eq!(ask(lane, &endpoint, None), Err(RequestError::NotSent), "{lane:?}");
        let heard = impostor.join().unwrap();
        assert!(heard.len() <= 8, "{lane:?}: more than a greeting: {heard:?}");
    }
}

#[test]
fn nothing_is_sent_to_another_process_than_the_one_that_is_meant() {
    for lane in Lane::ALL {
        let place = Open::new();
        let endpoint = place.endpoint();
        let (_guard, counted) = echo(lane, &endpoint);
        // Process 1 lives, and listens nowhere here.
        assert_eq!(ask(lane, &endpoint, Some(1)), Err(RequestError::NotSent), "{lane:?}");
        assert_eq!(counted.load(Ordering::SeqCst), 0, "{lane:?}");
        assert_eq!(ask(lane, &endpoint, Some(std::process::id())).unwrap(), b"x", "{lane:?}");
    }
}

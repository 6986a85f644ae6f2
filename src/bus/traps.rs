//! The traps of NNG that bite, each with the test that shows that no lane is in it.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

use super::{BusError, Endpoint, Lane, Replier, RequestError, Requester, block_on};
use crate::wire::MAX_MESSAGE;

pub(super) const LONG: Duration = Duration::from_secs(20);
const REP_GREETING: [u8; 8] = [0, b'S', b'P', 0, 0, 0x31, 0, 0];

/// The lanes of requester and replier, or surveyor and respondent: each pairing has to behave the same.
pub(super) const PAIRS: [(Lane, Lane); 4] =
    [(Lane::Direct, Lane::Direct), (Lane::Direct, Lane::Nng), (Lane::Nng, Lane::Direct), (Lane::Nng, Lane::Nng)];
pub(super) const LANES: [Lane; 2] = [Lane::Direct, Lane::Nng];

/// The two ways to wait for a reply.
const WAYS: [Way; 2] = [request, Requester::request_blocking];
type Way = fn(&Requester, &[u8], Duration) -> Result<super::Body, RequestError>;

fn request(requester: &Requester, body: &[u8], timeout: Duration) -> Result<super::Body, RequestError> {
    block_on(requester.request(body, timeout))
}

pub(super) struct Place(tempfile::TempDir);

impl Place {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn endpoint(&self, name: &str) -> Endpoint {
        Endpoint::ipc(&self.0.path().join(name)).unwrap()
    }
}

/// Answers every request with itself, on a thread of its own, until the returned guard is dropped.
fn echo(lane: Lane, endpoint: &Endpoint) -> tokio::sync::oneshot::Sender<()> {
    let mut replier = Replier::listen_on(lane, endpoint, 4).unwrap();
    let (guard, mut stop) = tokio::sync::oneshot::channel();
    thread::spawn(move || {
        block_on(async {
            loop {
                tokio::select! {
                    Some(incoming) = replier.next() => {
                        let body = incoming.body().to_vec();
                        incoming.reply(&body);
                    }
                    _ = &mut stop => return,
                }
            }
        });
    });
    guard
}

/// Takes one connection by hand: greets, and reads a whole request with its id.
fn accept_request(listener: &UnixListener) -> (UnixStream, Vec<u8>) {
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(&REP_GREETING).unwrap();
    let (mut greeting, mut head) = ([0; 8], [0; 9]);
    stream.read_exact(&mut greeting).unwrap();
    stream.read_exact(&mut head).unwrap();
    let length = u64::from_be_bytes(head[1..].try_into().unwrap());
    let mut request = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut request).unwrap();
    (stream, request)
}

#[test]
fn requests_are_answered_in_parallel() {
    for (from, to) in PAIRS {
        let place = Place::new();
        let endpoint = place.endpoint("echo");
        let _guard = echo(to, &endpoint);
        let requester = Requester::dial_on(from, &endpoint).unwrap();
        thread::scope(|scope| {
            for caller in 0..8_u8 {
                let (requester, way) = (&requester, WAYS[usize::from(caller % 2)]);
                scope.spawn(move || {
                    for call in 0..100_u8 {
                        assert_eq!(*way(requester, &[caller, call], LONG).unwrap(), [caller, call]);
                    }
                });
            }
        });
    }
}

#[test]
fn a_lost_connection_fails_the_call_at_once_and_nothing_is_sent_again() {
    for (lane, way) in each_lane_and_way() {
        let place = Place::new();
        let endpoint = place.endpoint("dies");
        let listener = UnixListener::bind(endpoint.path()).unwrap();
        let requester = Requester::dial_on(lane, &endpoint).unwrap();
        thread::scope(|scope| {
            let call = scope.spawn(|| way(&requester, b"once", LONG));
            let (stream, request) = accept_request(&listener);
            assert_eq!(request[4..], *b"once");
            let lost = Instant::now();
            drop(stream);
            assert_eq!(call.join().unwrap().unwrap_err(), RequestError::Lost);
            assert!(lost.elapsed() < LONG / 2, "not the deadline, the connection: {:?}", lost.elapsed());
        });
        // With NNG's own settings the request would be the first thing on a new connection.
        listener.set_nonblocking(true).unwrap();
        let until = Instant::now() + Duration::from_millis(300);
        while Instant::now() < until {
            let Ok((mut again, _)) = listener.accept() else {
                thread::yield_now();
                continue;
            };
            again.set_nonblocking(false).unwrap();
            again.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            let _ = again.write_all(&REP_GREETING);
            let mut received = Vec::new();
            let _ = again.read_to_end(&mut received);
            assert!(received.len() <= 8, "the request was sent a second time: {received:?}");
        }
        let late = Instant::now();
        assert_eq!(way(&requester, b"late", LONG).unwrap_err(), RequestError::NotSent);
        assert!(late.elapsed() < LONG / 2, "a lost connection is known: {:?}", late.elapsed());
        assert!(requester.is_lost());
    }
}

#[test]
fn without_a_listener_the_request_is_not_sent() {
    for (lane, way) in each_lane_and_way() {
        let place = Place::new();
        let requester = Requester::dial_on(lane, &place.endpoint("nobody")).unwrap();
        assert_eq!(way(&requester, b"x", LONG).unwrap_err(), RequestError::NotSent);
    }
}

#[test]
fn a_silent_peer_costs_the_deadline_and_no_more() {
    for (lane, way) in each_lane_and_way() {
        let place = Place::new();
        let endpoint = place.endpoint("silent");
        let listener = UnixListener::bind(endpoint.path()).unwrap();
        let requester = Requester::dial_on(lane, &endpoint).unwrap();
        thread::scope(|scope| {
            let stream = scope.spawn(|| accept_request(&listener));
            assert_eq!(way(&requester, b"x", Duration::from_secs(1)).unwrap_err(), RequestError::TimedOut);
            drop(stream.join());
        });
    }
}

#[test]
fn an_oversize_message_is_refused_here_and_there() {
    for (from, to) in PAIRS {
        let place = Place::new();
        let endpoint = place.endpoint("large");
        let _guard = echo(to, &endpoint);
        let requester = Requester::dial_on(from, &endpoint).unwrap();
        let large = vec![7; MAX_MESSAGE + 1];
        for way in WAYS {
            assert_eq!(way(&requester, &large, LONG).unwrap_err(), RequestError::TooLarge(large.len()));
            let whole = &large[..MAX_MESSAGE - 64];
            assert!(*way(&requester, whole, LONG).unwrap() == *whole);
        }
    }
    for (lane, way) in each_lane_and_way() {
        let place = Place::new();
        let endpoint = place.endpoint("liar");
        let listener = UnixListener::bind(endpoint.path()).unwrap();
        let requester = Requester::dial_on(lane, &endpoint).unwrap();
        thread::scope(|scope| {
            let call = scope.spawn(|| way(&requester, b"x", LONG));
            let (mut stream, _) = accept_request(&listener);
            // A reply of 4 GiB, of which only the length is ever sent.
            stream.write_all(&[1, 0, 0, 0, 1, 0, 0, 0, 0]).unwrap();
            assert_eq!(call.join().unwrap().unwrap_err(), RequestError::Lost);
        });
    }
}

#[test]
fn requests_dropped_early_leave_no_trace() {
    for (from, to) in PAIRS {
        let place = Place::new();
        let endpoint = place.endpoint("echo");
        let _guard = echo(to, &endpoint);
        let requester = Requester::dial_on(from, &endpoint).unwrap();
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for call in 0..2_000_u32 {
            let mut request = Box::pin(requester.request(b"abandoned", LONG));
            let _ = request.as_mut().poll(&mut context);
            drop(request);
            if call % 100 == 0 {
                assert_eq!(*block_on(requester.request(b"kept", LONG)).unwrap(), *b"kept");
            }
        }
        // Whatever was abandoned has been read before this: nothing is on its way when the replier closes.
        assert_eq!(*block_on(requester.request(b"last", LONG)).unwrap(), *b"last");
    }
}

#[test]
fn a_requester_may_be_dropped_with_requests_under_way() {
    for (from, to) in PAIRS {
        let place = Place::new();
        let endpoint = place.endpoint("echo");
        // Never closed: requests may still be on their way to it, and NNG does not survive that (see its requester).
        std::mem::forget(echo(to, &endpoint));
        for _ in 0..20 {
            let requester = Requester::dial_on(from, &endpoint).unwrap();
            let mut request = Box::pin(requester.request(b"x", LONG));
            let _ = request.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
            drop(request);
            drop(requester);
        }
        let requester = Requester::dial_on(from, &endpoint).unwrap();
        assert_eq!(*block_on(requester.request(b"still here", LONG)).unwrap(), *b"still here");
    }
}

#[test]
fn strangers_that_connect_and_leave_disturb_nobody() {
    for (from, to) in PAIRS {
        let place = Place::new();
        let endpoint = place.endpoint("echo");
        let _guard = echo(to, &endpoint);
        for nth in 0..20 {
            let mut stranger = UnixStream::connect(endpoint.path()).unwrap();
            // Nothing, a part of a greeting, or that of another protocol.
            let _ = stranger.write_all(&[0, b'S', b'P', 0, 0, 0x10, 0, 0][..[0, 3, 8][nth % 3]]);
        }
        let requester = Requester::dial_on(from, &endpoint).unwrap();
        assert_eq!(*block_on(requester.request(b"hello", LONG)).unwrap(), *b"hello");
    }
}

#[test]
fn the_departure_of_a_caller_is_noticed() {
    for lane in LANES {
        let place = Place::new();
        let endpoint = place.endpoint("rep");
        let mut replier = Replier::listen_on(lane, &endpoint, 4).unwrap();
        let mut caller = UnixStream::connect(endpoint.path()).unwrap();
        caller.write_all(&[0, b'S', b'P', 0, 0, 0x30, 0, 0]).unwrap();
        caller.write_all(&[1, 0, 0, 0, 0, 0, 0, 0, 5, 0x80, 0, 0, 1, b'x']).unwrap();
        let incoming = block_on(replier.next()).unwrap();
        assert_eq!(**incoming.body(), *b"x");
        assert_eq!(incoming.peer().pid, Some(std::process::id()));
        drop(caller);
        block_on(incoming.departed());
    }
}

#[test]
fn a_second_listener_is_an_error_that_harms_nobody() {
    for (first, second) in PAIRS {
        let place = Place::new();
        let endpoint = place.endpoint("echo");
        let _guard = echo(first, &endpoint);
        assert!(matches!(Replier::listen_on(second, &endpoint, 4), Err(BusError::InUse(_))));
        let requester = Requester::dial_on(second, &endpoint).unwrap();
        assert_eq!(*block_on(requester.request(b"unharmed", LONG)).unwrap(), *b"unharmed");
    }
}

#[test]
fn a_file_that_nobody_listens_at_any_more_is_replaced() {
    for lane in LANES {
        let place = Place::new();
        let endpoint = place.endpoint("stale");
        drop(UnixListener::bind(endpoint.path()).unwrap());
        let _guard = echo(lane, &endpoint);
        let requester = Requester::dial_on(lane, &endpoint).unwrap();
        assert_eq!(*block_on(requester.request(b"fresh", LONG)).unwrap(), *b"fresh");
    }
}

fn each_lane_and_way() -> impl Iterator<Item = (Lane, Way)> {
    LANES.into_iter().flat_map(|lane| WAYS.map(|way| (lane, way)))
}

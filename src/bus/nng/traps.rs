//! The traps of NNG that bite, each with the test that shows we are out of it.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::bus::{RequestError, block_on};
use crate::wire::MAX_MESSAGE;

const LONG: Duration = Duration::from_secs(20);
const REP_GREETING: [u8; 8] = [0, b'S', b'P', 0, 0, 0x31, 0, 0];

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn endpoint(&self, name: &str) -> Endpoint {
        Endpoint::ipc(&self.0.path().join(name)).unwrap()
    }
}

/// Answers every request with itself, on a thread of its own, until the returned guard is dropped.
fn echo(endpoint: &Endpoint) -> tokio::sync::oneshot::Sender<()> {
    let mut replier = Replier::listen(endpoint, 4).unwrap();
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

/// Takes one connection by hand: greets, and reads a whole request.
fn accept_request(listener: &UnixListener) -> UnixStream {
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(&REP_GREETING).unwrap();
    let (mut greeting, mut head) = ([0; 8], [0; 9]);
    stream.read_exact(&mut greeting).unwrap();
    stream.read_exact(&mut head).unwrap();
    let length = u64::from_be_bytes(head[1..].try_into().unwrap());
    let mut request = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut request).unwrap();
    stream
}

#[test]
fn requests_are_answered_in_parallel() {
    let place = Place::new();
    let endpoint = place.endpoint("echo");
    let _guard = echo(&endpoint);
    let requester = Requester::dial(&endpoint).unwrap();
    thread::scope(|scope| {
        for caller in 0..8_u8 {
            let requester = &requester;
            scope.spawn(move || {
                for call in 0..100_u8 {
                    let reply = block_on(requester.request(&[caller, call], LONG)).unwrap();
                    assert_eq!(*reply, [caller, call]);
                }
            });
        }
    });
}

#[test]
fn a_lost_connection_fails_the_call_at_once_and_nothing_is_sent_again() {
    let place = Place::new();
    let endpoint = place.endpoint("dies");
    let listener = UnixListener::bind(endpoint.path()).unwrap();
    let requester = Requester::dial(&endpoint).unwrap();
    thread::scope(|scope| {
        let call = scope.spawn(|| block_on(requester.request(b"once", LONG)));
        let stream = accept_request(&listener);
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
    assert_eq!(block_on(requester.request(b"late", LONG)).unwrap_err(), RequestError::NotSent);
    assert!(late.elapsed() < LONG / 2, "a lost connection is known: {:?}", late.elapsed());
}

#[test]
fn without_a_listener_the_request_is_not_sent() {
    let place = Place::new();
    let requester = Requester::dial(&place.endpoint("nobody")).unwrap();
    assert_eq!(block_on(requester.request(b"x", LONG)).unwrap_err(), RequestError::NotSent);
}

#[test]
fn a_silent_peer_costs_the_deadline_and_no_more() {
    let place = Place::new();
    let endpoint = place.endpoint("silent");
    let listener = UnixListener::bind(endpoint.path()).unwrap();
    let requester = Requester::dial(&endpoint).unwrap();
    thread::scope(|scope| {
        let stream = scope.spawn(|| accept_request(&listener));
        let call = block_on(requester.request(b"x", Duration::from_millis(200)));
        assert_eq!(call.unwrap_err(), RequestError::TimedOut);
        drop(stream.join());
    });
}

#[test]
fn an_oversize_message_is_refused_here_and_there() {
    let place = Place::new();
    let endpoint = place.endpoint("large");
    let guard = echo(&endpoint);
    let requester = Requester::dial(&endpoint).unwrap();
    let large = vec![0; MAX_MESSAGE + 1];
    assert_eq!(block_on(requester.request(&large, LONG)).unwrap_err(), RequestError::TooLarge(large.len()));
    let whole = &large[..MAX_MESSAGE];
    assert_eq!(block_on(requester.request(whole, LONG)).unwrap().len(), whole.len());
    drop(guard);

    let endpoint = place.endpoint("liar");
    let listener = UnixListener::bind(endpoint.path()).unwrap();
    let requester = Requester::dial(&endpoint).unwrap();
    thread::scope(|scope| {
        let call = scope.spawn(|| block_on(requester.request(b"x", LONG)));
        let mut stream = accept_request(&listener);
        // A reply of 4 GiB, of which only the length is ever sent.
        stream.write_all(&[1, 0, 0, 0, 1, 0, 0, 0, 0]).unwrap();
        assert_eq!(call.join().unwrap().unwrap_err(), RequestError::Lost);
    });
}

#[test]
fn requests_dropped_early_leave_no_trace() {
    let place = Place::new();
    let endpoint = place.endpoint("echo");
    let _guard = echo(&endpoint);
    let requester = Requester::dial(&endpoint).unwrap();
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

#[test]
fn a_requester_may_be_dropped_with_requests_under_way() {
    let place = Place::new();
    let endpoint = place.endpoint("echo");
    // Never closed: requests may still be on their way to it, and NNG does not survive that (see `Requester`).
    std::mem::forget(echo(&endpoint));
    for _ in 0..20 {
        let requester = Requester::dial(&endpoint).unwrap();
        let mut request = Box::pin(requester.request(b"x", LONG));
        let _ = request.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        drop(request);
        drop(requester);
    }
    let requester = Requester::dial(&endpoint).unwrap();
    assert_eq!(*block_on(requester.request(b"still here", LONG)).unwrap(), *b"still here");
}

#[test]
fn strangers_that_connect_and_leave_disturb_nobody() {
    let place = Place::new();
    let endpoint = place.endpoint("echo");
    let _guard = echo(&endpoint);
    for nth in 0..20 {
        let mut stranger = UnixStream::connect(endpoint.path()).unwrap();
        // Nothing, a part of a greeting, or that of another protocol.
        let _ = stranger.write_all(&[0, b'S', b'P', 0, 0, 0x10, 0, 0][..[0, 3, 8][nth % 3]]);
    }
    let requester = Requester::dial(&endpoint).unwrap();
    assert_eq!(*block_on(requester.request(b"hello", LONG)).unwrap(), *b"hello");
}

#[test]
fn more_than_128_answers_to_one_survey_all_arrive() {
    const CROWD: usize = 140;
    let place = Place::new();
    let endpoint = place.endpoint("survey");
    let (mut surveyor, mut events) = Surveyor::listen(&endpoint).unwrap();
    let crowd: Vec<_> = (0..CROWD).map(|_| Respondent::dial(&endpoint).unwrap()).collect();
    block_on(async {
        for _ in 0..CROWD {
            assert!(
                matches!(events.recv().await, Some(PeerEvent::Joined(peer)) if peer.pid == Some(std::process::id()))
            );
        }
    });
    thread::scope(|scope| {
        // All read the question before the first answers, so that the answers come in one burst.
        let barrier = std::sync::Arc::new(std::sync::Barrier::new(CROWD));
        let (heard, until_heard) = tokio::sync::watch::channel(());
        for mut respondent in crowd {
            let (barrier, mut until_heard) = (barrier.clone(), until_heard.clone());
            scope.spawn(move || {
                let question = block_on(respondent.next()).unwrap();
                barrier.wait();
                let body = question.body().to_vec();
                question.reply(&body);
                let _ = block_on(until_heard.changed());
            });
        }
        block_on(async {
            let mut answers = surveyor.survey(b"who?", LONG).await.unwrap();
            for nth in 0..CROWD {
                let answer = answers.next().await;
                assert!(answer.is_some_and(|(_, body)| *body == *b"who?"), "answer {nth} of {CROWD}");
            }
        });
        drop(heard);
    });
}

#[test]
fn a_round_ends_with_its_window() {
    let place = Place::new();
    let endpoint = place.endpoint("survey");
    let (mut surveyor, _events) = Surveyor::listen(&endpoint).unwrap();
    for _ in 0..3 {
        let nobody = block_on(async {
            let mut answers = surveyor.survey(b"anybody?", Duration::from_millis(20)).await.unwrap();
            answers.next().await.is_none()
        });
        assert!(nobody);
    }
}

#[test]
fn the_departure_of_a_caller_is_noticed() {
    let place = Place::new();
    let endpoint = place.endpoint("rep");
    let mut replier = Replier::listen(&endpoint, 4).unwrap();
    let mut caller = UnixStream::connect(endpoint.path()).unwrap();
    caller.write_all(&[0, b'S', b'P', 0, 0, 0x30, 0, 0]).unwrap();
    caller.write_all(&[1, 0, 0, 0, 0, 0, 0, 0, 5, 0x80, 0, 0, 1, b'x']).unwrap();
    let incoming = block_on(replier.next()).unwrap();
    assert_eq!(**incoming.body(), *b"x");
    assert_eq!(incoming.peer().pid, Some(std::process::id()));
    drop(caller);
    block_on(incoming.departed());
}

#[test]
fn a_second_listener_is_an_error_that_harms_nobody() {
    let place = Place::new();
    let endpoint = place.endpoint("echo");
    let _guard = echo(&endpoint);
    assert!(matches!(Replier::listen(&endpoint, 4), Err(BusError::InUse(_))));
    let requester = Requester::dial(&endpoint).unwrap();
    assert_eq!(*block_on(requester.request(b"unharmed", LONG)).unwrap(), *b"unharmed");
}

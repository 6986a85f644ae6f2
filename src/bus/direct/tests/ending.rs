//! How a replier ends: nothing is lost, and nobody is left in doubt.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::pin::pin;
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::thread;

use super::*;

#[test]
fn the_file_is_for_its_owner_and_goes_with_the_replier() {
    let place = Place::new();
    let endpoint = place.endpoint();
    let replier = echo(&endpoint, LIMITS);
    let mode = std::fs::metadata(endpoint.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(replier);
    assert!(!endpoint.path().exists());
    let replier = echo(&endpoint, LIMITS);
    std::fs::remove_file(endpoint.path()).unwrap();
    let _next = echo(&endpoint, LIMITS);
    drop(replier);
    serves(&endpoint);
}

fn is_pending(future: std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

#[test]
fn what_was_sent_before_the_end_is_answered_and_nothing_is_sent_after_it() {
    for way in ways() {
        let place = Place::new();
        let endpoint = place.endpoint();
        let mut replier = Replier::listen_with(&endpoint, LIMITS, &Guests::default()).unwrap();
        let requester = Requester::dial(&endpoint, None);
        thread::scope(|scope| {
            let call = scope.spawn(|| way(&requester, b"before", LONG));
            let incoming = block_on(replier.next()).unwrap();
            let mut ended = pin!(replier.hang_up());
            assert!(is_pending(ended.as_mut()), "there is an answer to be given");
            assert_eq!(way(&requester, b"after", LONG).unwrap_err(), RequestError::NotSent);
            assert_eq!(way(&Requester::dial(&endpoint, None), b"new", LONG).unwrap_err(), RequestError::NotSent);
            assert!(!endpoint.path().exists());
            incoming.reply(b"answer"[..].into());
            block_on(ended);
            assert_eq!(*call.join().unwrap().unwrap(), *b"answer");
        });
    }
}

#[test]
fn behind_the_bolt_nobody_is_in_doubt() {
    for way in ways() {
        let place = Place::new();
        let endpoint = place.endpoint();
        let replier = echo(&endpoint, LIMITS);
        let requester = Requester::dial(&endpoint, None);
        for _ in 0..20 {
            way(&requester, b"before", LONG).unwrap();
        }
        let bolt = replier.bolt();
        bolt();
        assert_eq!(way(&requester, b"after", LONG).unwrap_err(), RequestError::NotSent);
        assert_eq!(way(&Requester::dial(&endpoint, None), b"new", LONG).unwrap_err(), RequestError::NotSent);
    }
}

#[test]
fn the_end_waits_for_requests_that_wait_and_for_answers_that_are_read_late() {
    let place = Place::new();
    let endpoint = place.endpoint();
    let mut replier = Replier::listen_with(&endpoint, Limits { room: 1, ..LIMITS }, &Guests::default()).unwrap();
    let mut raw = Raw::greeted(&endpoint);
    raw.0.write_all(&[frame(1, b""), frame(2, b""), frame(3, b"")].concat()).unwrap();
    let mut incoming = block_on(replier.next()).unwrap();
    let mut ended = pin!(replier.hang_up());
    // More than a socket takes before somebody reads.
    let large = vec![1; 4 << 20];
    for _ in 1..3 {
        incoming.reply(b"small"[..].into());
        incoming = block_on(replier.next()).unwrap();
    }
    incoming.reply((&large[..]).into());
    assert!(is_pending(ended.as_mut()), "nobody has read the answers");
    raw.expect_all(&[(1, b"small"), (2, b"small"), (3, &large)]);
    block_on(ended);
    raw.expect_closed();
}

#[test]
fn callers_of_one_that_ends_are_never_in_doubt() {
    const ROUNDS: usize = 20;
    for way in ways() {
        for _ in 0..ROUNDS {
            let place = Place::new();
            let endpoint = place.endpoint();
            let replier = echo(&endpoint, LIMITS);
            let (shared, (answered, when_answered)) = (Requester::dial(&endpoint, None), mpsc::channel());
            thread::scope(|scope| {
                for own in [false, false, true, true] {
                    let (shared, answered, endpoint) = (&shared, answered.clone(), &endpoint);
                    scope.spawn(move || {
                        let own = own.then(|| Requester::dial(endpoint, None));
                        let requester = own.as_ref().unwrap_or(shared);
                        let error = loop {
                            match way(requester, b"call", LONG) {
                                Ok(_) => answered.send(()).unwrap(),
                                Err(error) => break error,
                            }
                        };
                        assert_eq!(error, RequestError::NotSent);
                    });
                }
                (0..50).for_each(|_| when_answered.recv_timeout(LONG).unwrap());
                block_on(replier.hang_up());
                drop(replier);
            });
        }
    }
}

//! Streams that come in pieces, break off, or say what nobody asked for.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::{Duration, Instant};

use super::*;

#[test]
fn a_stream_may_come_in_any_two_pieces_and_a_byte_at_a_time() {
    let place = Place::new();
    let endpoint = place.endpoint();
    let _replier = echo(&endpoint, LIMITS);
    let stream = [&REQUESTER[..], &frame(1, b"one"), &frame(2, b"")].concat();
    for at in 0..=stream.len() {
        let mut raw = Raw::open(&endpoint);
        raw.0.write_all(&stream[..at]).unwrap();
        // Somebody else's exchange in between: the first piece has been read by then, more likely than not.
        serves(&endpoint);
        raw.0.write_all(&stream[at..]).unwrap();
        raw.0.read_exact(&mut [0; 8]).unwrap();
        raw.expect_all(&[(1, b"one"), (2, b"")]);
    }
    let mut raw = Raw::open(&endpoint);
    for byte in &stream {
        raw.0.write_all(&[*byte]).unwrap();
    }
    raw.0.read_exact(&mut [0; 8]).unwrap();
    raw.expect_all(&[(1, b"one"), (2, b"")]);
}

#[test]
fn a_reply_may_come_in_any_two_pieces_or_with_others_in_one() {
    for way in ways() {
        let place = Place::new();
        let listener = UnixListener::bind(place.endpoint().path()).unwrap();
        let requester = Requester::dial(&place.endpoint(), None);
        thread::scope(|scope| {
            const LENGTH: usize = HEAD + 4 + 3;
            let calls = scope.spawn(|| {
                for _ in 0..=LENGTH {
                    assert_eq!(*way(&requester, b"abc", LONG).unwrap(), *b"abc");
                }
            });
            let mut raw = accept(&listener);
            for at in 0..=LENGTH {
                let request = raw.receive().unwrap();
                let reply = [&head(request.len())[..], &request].concat();
                // One that nobody waits for, in front and in the same piece.
                raw.0.write_all(&[&frame(0x7777, b"never"), &reply[..at]].concat()).unwrap();
                thread::yield_now();
                raw.0.write_all(&reply[at..]).unwrap();
            }
            calls.join().unwrap();
        });
    }
}

#[test]
fn a_replier_that_greets_a_byte_at_a_time_is_waited_for() {
    for way in ways() {
        let place = Place::new();
        let listener = UnixListener::bind(place.endpoint().path()).unwrap();
        let requester = Requester::dial(&place.endpoint(), None);
        thread::scope(|scope| {
            let call = scope.spawn(|| way(&requester, b"abc", LONG).map(|body| body.to_vec()));
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(LONG)).unwrap();
            let mut raw = Raw(stream);
            for byte in REPLIER {
                raw.0.write_all(&[byte]).unwrap();
                thread::yield_now();
            }
            raw.0.read_exact(&mut [0; 8]).unwrap();
            let request = raw.receive().unwrap();
            raw.0.write_all(&[&head(request.len())[..], &request].concat()).unwrap();
            assert_eq!(call.join().unwrap(), Ok(b"abc".to_vec()));
        });
    }
}

#[test]
fn an_id_used_twice_is_answered_twice() {
    let place = Place::new();
    let endpoint = place.endpoint();
    let _replier = echo(&endpoint, LIMITS);
    let mut raw = Raw::greeted(&endpoint);
    raw.0.write_all(&[frame(7, b"a"), frame(7, b"b")].concat()).unwrap();
    raw.expect_all(&[(7, b"a"), (7, b"b")]);
}

#[test]
fn replies_to_ids_that_never_were_or_were_answered_are_ignored() {
    for way in ways() {
        let place = Place::new();
        let listener = UnixListener::bind(place.endpoint().path()).unwrap();
        let requester = Requester::dial(&place.endpoint(), None);
        thread::scope(|scope| {
            let calls = scope.spawn(|| [b"a", b"b"].map(|body| way(&requester, body, LONG).unwrap().to_vec()));
            let mut raw = accept(&listener);
            for expected in [b"a", b"b"] {
                let request = raw.receive().unwrap();
                assert_eq!(request[4..], *expected);
                let reply = [&head(request.len())[..], &request].concat();
                let without_bit = [&head(4)[..], &[0, 0, 0, 1]].concat();
                raw.0.write_all(&[frame(0x7777, b"never"), without_bit, reply.clone(), reply].concat()).unwrap();
            }
            assert_eq!(calls.join().unwrap(), [b"a", b"b"]);
        });
    }
}

#[test]
fn an_exchange_cut_at_any_byte_by_its_caller_harms_nobody() {
    let place = Place::new();
    let endpoint = place.endpoint();
    let _replier = echo(&endpoint, LIMITS);
    let (request, reply) = ([&REQUESTER[..], &frame(1, b"x")].concat(), frame(1, b"x").len() + 8);
    for cut in 0..=request.len() + reply {
        let mut raw = Raw::open(&endpoint);
        raw.0.write_all(&request[..cut.min(request.len())]).unwrap();
        let _ = raw.0.read_exact(&mut vec![0; cut.saturating_sub(request.len())]);
        drop(raw);
        serves(&endpoint);
    }
}

#[test]
fn an_exchange_cut_at_any_byte_by_its_replier_fails_at_once_and_truly() {
    for way in ways() {
        let stream = [&REPLIER[..], &frame(1, b"reply")].concat();
        for cut in 0..=stream.len() {
            let place = Place::new();
            let listener = UnixListener::bind(place.endpoint().path()).unwrap();
            let requester = Requester::dial(&place.endpoint(), None);
            thread::scope(|scope| {
                let call = scope.spawn(|| way(&requester, b"request", LONG));
                let (mut raw, _) = listener.accept().unwrap();
                raw.write_all(&stream[..cut.min(8)]).unwrap();
                raw.read_exact(&mut [0; 8]).unwrap();
                if cut >= 8 {
                    raw.read_exact(&mut [0; HEAD + 4 + 7]).unwrap();
                    raw.write_all(&stream[8..cut]).unwrap();
                }
                drop(raw);
                let outcome = call.join().unwrap().map(|body| body.to_vec());
                let expected = match cut {
                    ..8 => Err(RequestError::NotSent),
                    _ if cut < stream.len() => Err(RequestError::Lost),
                    _ => Ok(b"reply".to_vec()),
                };
                assert_eq!(outcome, expected, "cut at {cut}");
            });
        }
    }
}

#[test]
fn a_listener_that_never_greets_is_not_sent_to() {
    for way in ways() {
        let place = Place::new();
        let _silent = UnixListener::bind(place.endpoint().path()).unwrap();
        let requester = Requester::dial(&place.endpoint(), None);
        let start = Instant::now();
        assert_eq!(way(&requester, b"x", LONG).unwrap_err(), RequestError::NotSent);
        assert!(start.elapsed() < LONG / 2, "{:?}", start.elapsed());
    }
}

#[test]
fn what_never_left_is_told_from_what_did() {
    for way in ways() {
        let place = Place::new();
        let listener = UnixListener::bind(place.endpoint().path()).unwrap();
        let requester = Requester::dial(&place.endpoint(), None);
        thread::scope(|scope| {
            let first = scope.spawn(|| way(&requester, &vec![0; 4 << 20], Duration::from_secs(2)));
            let mut raw = accept(&listener);
            // A part of it is there, and the rest is never read.
            raw.0.read_exact(&mut [0; HEAD]).unwrap();
            let second = scope.spawn(|| way(&requester, b"behind it", Duration::from_millis(300)));
            assert_eq!(second.join().unwrap().unwrap_err(), RequestError::NotSent);
            assert_eq!(first.join().unwrap().unwrap_err(), RequestError::TimedOut);
        });
    }
}

#[test]
fn a_request_that_never_arrived_whole_was_not_received() {
    for way in ways() {
        let place = Place::new();
        let listener = UnixListener::bind(place.endpoint().path()).unwrap();
        let requester = Requester::dial(&place.endpoint(), None);
        thread::scope(|scope| {
            let call = scope.spawn(|| way(&requester, &vec![0; 4 << 20], LONG));
            let mut raw = accept(&listener);
            raw.0.read_exact(&mut [0; HEAD]).unwrap();
            drop(raw);
            assert_eq!(call.join().unwrap().unwrap_err(), RequestError::NotSent);
        });
    }
}

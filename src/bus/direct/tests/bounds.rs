//! What one side may have the other keep, and for how long.

use std::io::{self, Write};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit};

use super::super::lock;
use super::descriptors::is_alone;
use super::*;

#[test]
fn one_who_never_greets_is_hung_up_on() {
    let place = Place::new();
    let endpoint = place.endpoint();
    let _replier = echo(&endpoint, Limits { greeting: Duration::from_millis(50), ..LIMITS });
    let mut polite = Raw::greeted(&endpoint);
    for part in [0, 7] {
        let mut raw = Raw::open(&endpoint);
        raw.0.write_all(&REQUESTER[..part]).unwrap();
        raw.expect_closed();
    }
    // One who has greeted may be silent for as long as it likes.
    polite.0.write_all(&frame(1, b"here")).unwrap();
    polite.expect(1, b"here");
}

#[test]
fn a_message_that_never_ends_is_hung_up_on() {
    let place = Place::new();
    let endpoint = place.endpoint();
    let _replier = echo(&endpoint, Limits { frame: Duration::from_millis(100), ..LIMITS });
    let whole = frame(1, &[7; 1000]);
    // In the middle of its length, of its id, of its body; after a whole one in the same breath as well.
    for (before, part) in [(&b""[..], 1), (b"", HEAD), (b"", HEAD + 2), (b"", 500), (&whole, 500)] {
        let mut raw = Raw::greeted(&endpoint);
        raw.0.write_all(&[before, &whole[..part]].concat()).unwrap();
        if !before.is_empty() {
            raw.expect(1, &[7; 1000]);
        }
        raw.expect_closed();
    }
    serves(&endpoint);
}

#[test]
fn a_message_that_waits_behind_a_slow_one_has_all_its_time() {
    let place = Place::new();
    let endpoint = place.endpoint();
    // Long enough for what is honest here, on a machine with a hundred other things to do.
    let limits = Limits { room: 1, frame: Duration::from_secs(2), ..LIMITS };
    let mut replier = Replier::listen_with(&endpoint, limits, &Guests::default()).unwrap();
    let mut raw = Raw::greeted(&endpoint);
    let large = frame(3, &[3; 300_000]);
    let begun = [frame(1, b"1"), frame(2, b"2"), large[..1000].to_vec()].concat();
    raw.0.write_all(&begun).unwrap();
    let first = block_on(replier.next()).unwrap();
    // Well past the time of the third, which nobody can read before the second is handed out.
    let (later, when_later) = mpsc::channel::<()>();
    assert!(when_later.recv_timeout(Duration::from_secs(3)).is_err());
    drop(later);
    first.reply(b"1"[..].into());
    let second = block_on(replier.next()).unwrap();
    second.reply(b"2"[..].into());
    raw.0.write_all(&large[1000..]).unwrap();
    let third = block_on(replier.next()).unwrap();
    assert_eq!(third.body().len(), 300_000);
}

#[test]
fn one_who_sends_and_never_reads_is_held_back_and_hung_up_on() {
    let place = Place::new();
    let endpoint = place.endpoint();
    let _replier = echo(&endpoint, Limits { unread: Duration::from_millis(200), ..LIMITS });
    let mut raw = Raw::greeted(&endpoint);
    let request = frame(1, &[0; 10_000]);
    let mut sent = 0;
    let error = loop {
        match raw.0.write_all(&request) {
            Ok(()) => sent += request.len(),
            Err(error) => break error,
        }
    };
    assert!(matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset), "{error}");
    assert!(sent < 2 << 20, "{sent} bytes were taken from one who does not read");
    serves(&endpoint);
}

#[test]
fn held_back_is_not_lost_one_who_reads_late_gets_everything() {
    const MANY: u32 = 200;
    let place = Place::new();
    let endpoint = place.endpoint();
    let _replier = echo(&endpoint, LIMITS);
    let mut raw = Raw::greeted(&endpoint);
    let mut writer = raw.0.try_clone().unwrap();
    let body = vec![5; 20_000];
    thread::scope(|scope| {
        let (full, when_full) = mpsc::channel();
        let requests = &body;
        scope.spawn(move || {
            writer.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
            let stream: Vec<u8> = (0..MANY).flat_map(|id| frame(id, requests)).collect();
            let mut rest = &stream[..];
            while !rest.is_empty() {
                match writer.write(rest) {
                    Ok(written) => rest = &rest[written..],
                    // Nothing is taken any more.
                    Err(_) => full.send(()).unwrap(),
                }
            }
        });
        when_full.recv_timeout(LONG).unwrap();
        raw.expect_all(&(0..MANY).map(|id| (id, &body[..])).collect::<Vec<_>>());
    });
}

#[test]
fn ten_thousand_connections_are_all_served() {
    const MANY: usize = 10_000;
    // Its own process: two descriptors each, and other tests have theirs.
    if !is_alone("bounds::ten_thousand_connections_are_all_served") {
        return;
    }
    let limit = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let room = limit.maximum.map_or(MANY, |most| usize::try_from(most.saturating_sub(100) / 2).unwrap());
    let many = room.min(MANY);
    if many < MANY {
        // The test runner hides what `eprintln!` prints.
        let _ = writeln!(io::stderr(), "{many} connections instead of {MANY}: the system allows no more descriptors");
    }
    let place = Place::new();
    let endpoint = place.endpoint();
    let _replier = echo(&endpoint, LIMITS);
    let mut crowd: Vec<Raw> = (0..many).map(|_| Raw::greeted(&endpoint)).collect();
    for raw in &mut crowd {
        raw.0.write_all(&frame(3, b"each")).unwrap();
    }
    for raw in &mut crowd {
        raw.expect(3, b"each");
    }
    // When they leave all at once, whoever comes next is served all the same.
    drop(crowd);
    serves(&endpoint);
}

#[test]
fn no_more_requests_are_handed_out_than_there_is_room_for() {
    let place = Place::new();
    let endpoint = place.endpoint();
    let mut replier = Replier::listen_with(&endpoint, Limits { room: 2, ..LIMITS }, &Guests::default()).unwrap();
    let mut callers = [Raw::greeted(&endpoint), Raw::greeted(&endpoint)];
    for raw in &mut callers {
        raw.0.write_all(&[frame(1, b"1"), frame(2, b"2"), frame(3, b"3")].concat()).unwrap();
    }
    let mut taken: Vec<_> = (0..2).map(|_| block_on(replier.next()).unwrap()).collect();
    for left in (0..6).rev() {
        let incoming = taken.remove(0);
        let mut third = Box::pin(replier.next());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(third.as_mut().poll(&mut context).is_pending(), "more than there is room for");
        drop(third);
        incoming.reply(b"done"[..].into());
        if left > 1 {
            taken.push(block_on(replier.next()).unwrap());
        }
    }
}

#[test]
fn room_that_one_did_not_need_is_for_the_next() {
    let place = Place::new();
    let endpoint = place.endpoint();
    let replier = Replier::listen_with(&endpoint, Limits { room: 1, ..LIMITS }, &Guests::default()).unwrap();
    let ((begins, begun), (release, released)) = (mpsc::channel(), mpsc::channel::<()>());
    let released = Mutex::new(released);
    replier.attend(Box::new(move |incoming, _| {
        if **incoming.body() == *b"first" {
            begins.send(()).unwrap();
            let _ = lock(&released).recv();
        }
        incoming.reply(b"done"[..].into());
    }));
    let mut callers: Vec<_> = (1..=3).map(|_| Raw::greeted(&endpoint)).collect();
    callers[0].0.write_all(&frame(1, b"first")).unwrap();
    begun.recv_timeout(LONG).unwrap();
    // The second one waits, and is looked at again each time some more of what it has to say comes.
    callers[1].0.write_all(&frame(2, b"second")).unwrap();
    let part = frame(9, b"what never becomes a whole request");
    for byte in &part[..part.len() - 1] {
        callers[1].0.write_all(&[*byte]).unwrap();
        thread::yield_now();
    }
    callers[2].0.write_all(&frame(3, b"third")).unwrap();
    drop(release);
    for (raw, id) in callers.iter_mut().zip(1..) {
        raw.expect(id, b"done");
    }
}

#[test]
fn reminders_do_not_pile_up() {
    let place = Place::new();
    let endpoint = place.endpoint();
    let replier = echo(&endpoint, LIMITS);
    let requester = Requester::dial(&endpoint, None);
    let large = vec![0; 1 << 20];
    for _ in 0..50 {
        assert_eq!(requester.request_blocking(&large, LONG).unwrap().len(), large.len());
        drop(Raw::greeted(&endpoint));
        serves(&endpoint);
    }
    // Those who have hung up are forgotten when that was seen.
    let until = Instant::now() + LONG;
    while replier.crew().alarm.reminders() > 3 {
        assert!(Instant::now() < until, "{} of them", replier.crew().alarm.reminders());
        thread::yield_now();
    }
}

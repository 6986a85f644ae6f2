//! What strangers may do to the direct lane, over real sockets.

use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::crew::Limits;
use super::frame::{HEAD, REPLIER, REQUEST_ID, REQUESTER, head};
use super::*;
use crate::bus::{Endpoint, Lane, RequestError, block_on};

const LONG: Duration = Duration::from_secs(20);
const LIMITS: Limits = Limits { greeting: LONG, unread: LONG, room: 16 };

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::ipc(&self.0.path().join("e")).unwrap()
    }
}

/// Answers every request with itself.
fn echo(endpoint: &Endpoint, limits: Limits) -> Replier {
    let replier = Replier::listen_with(endpoint, limits).unwrap();
    replier.attend(Box::new(|incoming, _| {
        let body = incoming.body().to_vec();
        incoming.reply(&body);
    }));
    replier
}

/// A caller by hand.
struct Raw(UnixStream);

impl Raw {
    fn open(endpoint: &Endpoint) -> Self {
        let stream = UnixStream::connect(endpoint.path()).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_write_timeout(Some(LONG)).unwrap();
        Self(stream)
    }

    fn greeted(endpoint: &Endpoint) -> Self {
        let mut raw = Self::open(endpoint);
        raw.0.write_all(&REQUESTER).unwrap();
        let mut greeting = [0; 8];
        raw.0.read_exact(&mut greeting).unwrap();
        assert_eq!(greeting, REPLIER);
        raw
    }

    fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut head = [0; HEAD];
        self.0.read_exact(&mut head)?;
        let length = u64::from_be_bytes(head[1..].try_into().unwrap());
        let mut message = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut message)?;
        Ok(message)
    }

    fn expect(&mut self, id: u32, body: &[u8]) {
        assert_eq!(self.receive().unwrap(), message(id, body));
    }

    fn expect_closed(&mut self) {
        match self.0.read_to_end(&mut Vec::new()) {
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => panic!("still open: {error}"),
            _ => {}
        }
    }
}

fn message(id: u32, body: &[u8]) -> Vec<u8> {
    [&(REQUEST_ID | id).to_be_bytes(), body].concat()
}

fn frame(id: u32, body: &[u8]) -> Vec<u8> {
    [&head(4 + body.len())[..], &message(id, body)].concat()
}

fn serves(endpoint: &Endpoint) {
    let requester = Requester::dial(endpoint);
    assert_eq!(*requester.request_blocking(b"next", LONG).unwrap(), *b"next");
}

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
        raw.expect(1, b"one");
        raw.expect(2, b"");
    }
    let mut raw = Raw::open(&endpoint);
    for byte in &stream {
        raw.0.write_all(&[*byte]).unwrap();
    }
    raw.0.read_exact(&mut [0; 8]).unwrap();
    raw.expect(1, b"one");
    raw.expect(2, b"");
}

#[test]
fn an_id_used_twice_is_answered_twice() {
    let place = Place::new();
    let endpoint = place.endpoint();
    let _replier = echo(&endpoint, LIMITS);
    let mut raw = Raw::greeted(&endpoint);
    raw.0.write_all(&[frame(7, b"a"), frame(7, b"b")].concat()).unwrap();
    raw.expect(7, b"a");
    raw.expect(7, b"b");
}

/// A replier by hand: greets, and reads whole requests.
fn accept(listener: &UnixListener) -> Raw {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut raw = Raw(stream);
    raw.0.write_all(&REPLIER).unwrap();
    let mut greeting = [0; 8];
    raw.0.read_exact(&mut greeting).unwrap();
    assert_eq!(greeting, REQUESTER);
    raw
}

type Way = fn(&Requester, &[u8], Duration) -> Result<crate::bus::Body, RequestError>;

fn ways() -> [Way; 2] {
    [|requester, body, timeout| block_on(requester.request(body, timeout)), Requester::request_blocking]
}

#[test]
fn replies_to_ids_that_never_were_or_were_answered_are_ignored() {
    for way in ways() {
        let place = Place::new();
        let listener = UnixListener::bind(place.endpoint().path()).unwrap();
        let requester = Requester::dial(&place.endpoint());
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
        for id in 0..MANY {
            raw.expect(id, &body);
        }
    });
}

#[test]
fn many_connections_are_all_served() {
    // Two descriptors each, and this process runs other tests as well.
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let many = usize::try_from(descriptors / 8).unwrap().min(3_000);
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
            let requester = Requester::dial(&place.endpoint());
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
        let requester = Requester::dial(&place.endpoint());
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
        let requester = Requester::dial(&place.endpoint());
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
fn no_more_requests_are_handed_out_than_there_is_room_for() {
    let place = Place::new();
    let endpoint = place.endpoint();
    let mut replier = Replier::listen_with(&endpoint, Limits { room: 2, ..LIMITS }).unwrap();
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
        incoming.reply(b"done");
        if left > 1 {
            taken.push(block_on(replier.next()).unwrap());
        }
    }
}

#[test]
fn a_request_that_takes_long_holds_nobody_up() {
    let place = Place::new();
    let endpoint = place.endpoint();
    let replier = Replier::listen_with(&endpoint, LIMITS).unwrap();
    let (release, released) = mpsc::channel::<()>();
    let (slow, when_slow) = mpsc::channel();
    let released = Mutex::new(released);
    replier.attend(Box::new(move |incoming, turn| {
        if **incoming.body() == *b"long" {
            let slow = slow.clone();
            turn.if_slow(move || slow.send(()).unwrap());
            let _ = lock(&released).recv();
        }
        let body = incoming.body().to_vec();
        incoming.reply(&body);
    }));
    let mut raw = Raw::greeted(&endpoint);
    // In one piece: those behind it have been read when it is run, the one before it has been answered.
    raw.0.write_all(&[frame(1, b"before"), frame(2, b"long"), frame(3, b"behind")].concat()).unwrap();
    raw.expect(1, b"before");
    raw.expect(3, b"behind");
    when_slow.recv_timeout(LONG).unwrap();
    serves(&endpoint);
    drop(release);
    raw.expect(2, b"long");
    serves(&endpoint);
}

#[test]
fn any_number_of_long_requests_hold_nobody_up() {
    const MANY: u32 = 12;
    let place = Place::new();
    let endpoint = place.endpoint();
    let replier = Replier::listen_with(&endpoint, LIMITS).unwrap();
    let barrier = Arc::new(std::sync::Barrier::new(MANY as usize));
    replier.attend(Box::new(move |incoming, _| {
        // Each waits for all the others.
        barrier.wait();
        incoming.reply(b"together");
    }));
    let mut raw = Raw::greeted(&endpoint);
    raw.0.write_all(&(0..MANY).flat_map(|id| frame(id, b"")).collect::<Vec<_>>()).unwrap();
    let mut ids: Vec<_> = (0..MANY).map(|_| raw.receive().unwrap()).collect();
    ids.sort();
    assert_eq!(ids, (0..MANY).map(|id| message(id, b"together")).collect::<Vec<_>>());
}

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

#[test]
fn a_requester_outlives_the_runtime_it_was_used_on() {
    let place = Place::new();
    let endpoint = place.endpoint();
    let _replier = echo(&endpoint, LIMITS);
    let requester = Requester::dial(&endpoint);
    for _ in 0..3 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        assert_eq!(*runtime.block_on(requester.request(b"a", LONG)).unwrap(), *b"a");
        // The first runtime is there, and nobody drives it.
        let another = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        assert_eq!(*another.block_on(requester.request(b"b", LONG)).unwrap(), *b"b");
    }
    assert_eq!(*requester.request_blocking(b"c", LONG).unwrap(), *b"c");
}

/// A seeded generator: the same streams in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    /// A piece of a stream, most often a sound one.
    fn piece(&mut self, id: u32) -> Vec<u8> {
        let size = usize::try_from([0, 1, 30, 5_000, 200_000][usize::try_from(self.below(5)).unwrap()]).unwrap();
        let relays = |count: usize, id: u32| {
            let message = [vec![1; 4 * count], message(id, b"relayed")].concat();
            [&head(message.len())[..], &message].concat()
        };
        match self.below(40) {
            0 => vec![2, 0, 0, 0, 0, 0, 0, 0, 4, 0x80, 0, 0, 1],
            1 => [&head(2)[..], &[0x80, 0]].concat(),
            2 => [&head(6)[..], &[0, 0, 0, 1, 0x80, 0]].concat(),
            3 => head(1 << 40).to_vec(),
            4..10 => relays(usize::try_from(5 + self.below(5)).unwrap(), id),
            _ => frame(id, &vec![u8::try_from(id % 251).unwrap(); size]),
        }
    }
}

/// What comes back for these pieces: the replies, and whether the connection was kept.
fn answers(endpoint: &Endpoint, pieces: &[Vec<u8>]) -> (Vec<Vec<u8>>, bool) {
    const LAST: u32 = 0x00ff_ffff;
    let mut raw = Raw::greeted(endpoint);
    let mut writer = raw.0.try_clone().unwrap();
    let pieces = [pieces, &[frame(LAST, b"last")]].concat();
    thread::scope(|scope| {
        scope.spawn(move || {
            for piece in pieces {
                // It may be hung up on.
                if writer.write_all(&piece).is_err() {
                    break;
                }
            }
        });
        let mut replies = Vec::new();
        let kept = loop {
            match raw.receive() {
                Ok(reply) if reply == message(LAST, b"last") => break true,
                Ok(reply) => replies.push(reply),
                Err(_) => break false,
            }
        };
        replies.sort();
        (replies, kept)
    })
}

#[test]
fn the_lane_answers_any_stream_as_nng_does() {
    let place = Place::new();
    let (ours, theirs) = (place.endpoint(), Endpoint::ipc(&place.0.path().join("nng")).unwrap());
    let _ours = echo(&ours, LIMITS);
    let mut nng = crate::bus::Replier::listen_on(Lane::Nng, &theirs, 1).unwrap();
    thread::spawn(move || {
        // With room for one, replies come in the order of the requests.
        while let Some(incoming) = block_on(nng.next()) {
            let body = incoming.body().to_vec();
            incoming.reply(&body);
        }
    });
    let mut dice = Dice(0x5eed_cafe);
    let mut kept_ones = 0;
    for round in 0..300 {
        let count = 1 + u32::try_from(dice.below(8)).unwrap();
        let pieces: Vec<_> = (0..count).map(|id| dice.piece(id)).collect();
        let (our_replies, kept) = answers(&ours, &pieces);
        let (their_replies, kept_there) = answers(&theirs, &pieces);
        assert_eq!(kept, kept_there, "round {round}");
        // Which replies still got out before the end is a matter of luck.
        assert!(!kept || our_replies == their_replies, "round {round}");
        kept_ones += u32::from(kept);
    }
    assert!((50..280).contains(&kept_ones), "{kept_ones} of 300 streams were sound: the dice are loaded");
}

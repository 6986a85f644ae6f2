//! Requests that take long, and runtimes that end.

use std::sync::{Arc, Mutex, mpsc};

use super::super::lock;
use super::*;
use crate::bus::IfSlow;

struct Slow(mpsc::Sender<()>);

impl IfSlow for Slow {
    fn is_slow(self: Arc<Self>) {
        self.0.send(()).unwrap();
    }
}

#[test]
fn a_request_that_takes_long_holds_nobody_up() {
    let place = Place::new();
    let endpoint = place.endpoint();
    let replier = Replier::listen_with(&endpoint, LIMITS, &Guests::default()).unwrap();
    let (release, released) = mpsc::channel::<()>();
    let (slow, when_slow) = mpsc::channel();
    let released = Mutex::new(released);
    replier.attend(Box::new(move |incoming, turn| {
        if **incoming.body() == *b"long" {
            turn.if_slow(Arc::new(Slow(slow.clone())));
            let _ = lock(&released).recv();
        }
        let body = incoming.body().to_vec();
        incoming.reply(body.into());
    }));
    let mut raw = Raw::greeted(&endpoint);
    // In one piece: those behind it have been read when it is run, the one before it has been answered.
    raw.0.write_all(&[frame(1, b"before"), frame(2, b"long"), frame(3, b"behind")].concat()).unwrap();
    raw.expect_all(&[(1, b"before"), (3, b"behind")]);
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
    let replier = Replier::listen_with(&endpoint, LIMITS, &Guests::default()).unwrap();
    let barrier = Arc::new(std::sync::Barrier::new(MANY as usize));
    replier.attend(Box::new(move |incoming, _| {
        // Each waits for all the others.
        barrier.wait();
        incoming.reply(b"together"[..].into());
    }));
    let mut raw = Raw::greeted(&endpoint);
    raw.0.write_all(&(0..MANY).flat_map(|id| frame(id, b"")).collect::<Vec<_>>()).unwrap();
    let mut ids: Vec<_> = (0..MANY).map(|_| raw.receive().unwrap()).collect();
    ids.sort();
    assert_eq!(ids, (0..MANY).map(|id| message(id, b"together")).collect::<Vec<_>>());
}

#[test]
fn a_requester_outlives_the_runtime_it_was_used_on() {
    let place = Place::new();
    let endpoint = place.endpoint();
    let _replier = echo(&endpoint, LIMITS);
    let requester = Requester::dial(&endpoint, None);
    for _ in 0..3 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        assert_eq!(*runtime.block_on(requester.request(b"a", deadline(LONG), None)).unwrap(), *b"a");
        // The first runtime is there, and nobody drives it.
        let another = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        assert_eq!(*another.block_on(requester.request(b"b", deadline(LONG), None)).unwrap(), *b"b");
    }
    assert_eq!(*requester.request_blocking(b"c", LONG).unwrap(), *b"c");
}

//! What strangers may do to the direct lane, over real sockets.

mod bounds;
mod descriptors;
mod ending;
mod running;
mod same_as_nng;
mod staying;
mod streams;

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use super::crew::Limits;
use super::deadline;
use super::frame::{HEAD, REPLIER, REQUEST_ID, REQUESTER, head};
use super::{Replier, Requester};
use crate::bus::{Body, Endpoint, Guests, RequestError, block_on};

const LONG: Duration = Duration::from_secs(20);
const LIMITS: Limits = Limits { greeting: LONG, frame: LONG, unread: LONG, room: 16 };

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
    let replier = Replier::listen_with(endpoint, limits, &Guests::default()).unwrap();
    replier.attend(Box::new(|incoming, _| {
        let body = incoming.body().to_vec();
        incoming.reply(body.into());
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
        self.expect_all(&[(id, body)]);
    }

    /// Replies in any order: on a busy machine a handler that was not let finish is overtaken.
    fn expect_all(&mut self, replies: &[(u32, &[u8])]) {
        let mut received: Vec<_> = replies.iter().map(|_| self.receive().unwrap()).collect();
        let mut expected: Vec<_> = replies.iter().map(|(id, body)| message(*id, body)).collect();
        received.sort();
        expected.sort();
        let short = |messages: &[Vec<u8>]| -> Vec<_> {
            messages.iter().map(|message| (message.len(), message[..message.len().min(20)].to_vec())).collect()
        };
        assert!(received == expected, "{:?} instead of {:?}", short(&received), short(&expected));
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
    let requester = Requester::dial(endpoint, None);
    assert_eq!(*requester.request_blocking(b"next", LONG).unwrap(), *b"next");
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

type Way = fn(&Requester, &[u8], Duration) -> Result<Body, RequestError>;

fn ways() -> [Way; 2] {
    [
        |requester, body, timeout| block_on(requester.request(body, deadline(timeout), None)),
        Requester::request_blocking,
    ]
}

//! A caller that writes bytes to the socket by hand, as `docs/protocol.md` has them, and can get them wrong.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use plugbus::wire::{Reply, RequestHead};

const REQUESTER: [u8; 8] = [0, b'S', b'P', 0, 0, 0x30, 0, 0];
const REPLIER: [u8; 8] = [0, b'S', b'P', 0, 0, 0x31, 0, 0];

/// One connection to a plugin.
pub(crate) struct RawCaller(pub(crate) UnixStream);

impl RawCaller {
    /// Connects, and says nothing yet.
    pub(crate) fn open(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_write_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self(stream))
    }

    /// Connects and exchanges greetings.
    pub(crate) fn connect(socket: &Path) -> io::Result<Self> {
        let mut caller = Self::open(socket)?;
        caller.0.write_all(&REQUESTER)?;
        let mut greeting = [0; 8];
        caller.0.read_exact(&mut greeting)?;
        assert_eq!(greeting, REPLIER, "not the greeting of a replier");
        Ok(caller)
    }

    /// Sends one frame with these ids before the body.
    pub(crate) fn send(&mut self, ids: &[u32], body: &[u8]) -> io::Result<()> {
        let header: Vec<u8> = ids.iter().flat_map(|id| id.to_be_bytes()).collect();
        let length = (header.len() + body.len()) as u64;
        self.0.write_all(&[&[1], &length.to_be_bytes()[..], &header, body].concat())
    }

    /// Reads one frame: its id and its body.
    pub(crate) fn receive(&mut self) -> io::Result<(u32, Vec<u8>)> {
        let mut head = [0; 13];
        self.0.read_exact(&mut head)?;
        assert_eq!(head[0], 1, "no frame begins like this: {head:x?}");
        let length = u64::from_be_bytes(head[1..9].try_into().unwrap());
        let mut body = vec![0; usize::try_from(length).unwrap().checked_sub(4).expect("room for an id")];
        self.0.read_exact(&mut body)?;
        Ok((u32::from_be_bytes(head[9..].try_into().unwrap()), body))
    }

    /// Sends a body and returns the body that comes back.
    pub(crate) fn call(&mut self, body: &[u8]) -> io::Result<Vec<u8>> {
        self.send(&[0x8000_0007], body)?;
        let (id, reply) = self.receive()?;
        assert_eq!(id, 0x8000_0007, "the reply to another request");
        Ok(reply)
    }

    /// Calls `$ping`.
    pub(crate) fn ping(&mut self) -> io::Result<()> {
        let reply = self.call(&RequestHead::new("$ping", Duration::from_secs(30)).encode(&()).unwrap())?;
        match Reply::decode(&reply).unwrap() {
            Reply::Result(_) | Reply::Stream(_) => Ok(()),
            Reply::Error(fault) => Err(io::Error::other(fault)),
        }
    }

    /// Waits until the other side has closed the connection.
    #[track_caller]
    pub(crate) fn expect_closed(&mut self) {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("the connection is still open: {error}"),
        }
    }
}

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");

/// The bytes of a golden file, `socket/frame-request` for instance.
pub(crate) fn golden(name: &str) -> Vec<u8> {
    let text = read(&format!("{GOLDEN}/{name}.hex"));
    let digits: String =
        text.lines().flat_map(|line| line.split('#').next()).flat_map(str::split_whitespace).collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// The golden requests that a plugin must refuse: name, bytes, and the code of the error.
pub(crate) fn refused_requests() -> Vec<(String, Vec<u8>, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(format!("{GOLDEN}/refused")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = file.strip_suffix(".hex").filter(|name| name.starts_with("request-")) else { continue };
        let beside: serde_json::Value =
            serde_json::from_str(&read(&format!("{GOLDEN}/refused/{name}.json"))).unwrap();
        let code = beside["code"].as_str().unwrap().to_owned();
        found.push((name.to_owned(), golden(&format!("refused/{name}")), code));
    }
    found
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

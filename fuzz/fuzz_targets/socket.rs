//! A live plugin is sent anything at all, over its socket, and answers the next caller.
#![no_main]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use libfuzzer_sys::{Corpus, fuzz_target};
use plugbus::bus::{BusDir, Endpoint, Requester};
use plugbus::plugin::{Failure, Plugin};
use plugbus::wire::{Reply, RequestHead};

const LONG: Duration = Duration::from_secs(10);

/// Where it listens; started with the first input, on a bus of its own.
static PLUGIN: LazyLock<Endpoint> = LazyLock::new(|| {
    let root = tempfile::tempdir().expect("a directory").keep();
    // SAFETY: no other thread runs yet that reads or writes variables.
    unsafe { std::env::set_var("PLUGBUS_DIR", &root) };
    thread::spawn(|| Plugin::new("fuzzed", "0.1.0").method("echo", "Gives back a text.", echo).serve());
    let bus = BusDir::locate("default").expect("a bus");
    let since = Instant::now();
    loop {
        let card = bus.cards().unwrap_or_default().pop();
        if let Some(card) = card {
            return card.url.parse().expect("an endpoint");
        }
        assert!(since.elapsed() < LONG, "the plugin does not come");
        thread::yield_now();
    }
});

fn echo(text: String) -> Result<String, Failure> {
    Ok(text)
}

fuzz_target!(|bytes: &[u8]| -> Corpus {
    if bytes.windows(5).any(|part| part == b"$stop") {
        return Corpus::Reject;
    }
    let mut stream = UnixStream::connect(PLUGIN.path()).expect("it listens");
    stream.set_read_timeout(Some(LONG)).expect("a time limit");
    // It may hang up on us before all of it is written.
    let _ = stream.write_all(b"\0SP\0\0\x30\0\0").and_then(|()| stream.write_all(bytes));
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
    let ping = RequestHead::new("$ping", LONG).encode(&()).expect("a request");
    let reply = Requester::dial(&PLUGIN).expect("a requester").request_blocking(&ping, LONG);
    assert!(matches!(Reply::decode(&reply.expect("an answer")), Ok(Reply::Result(_))));
    Corpus::Keep
});

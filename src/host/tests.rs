//! Calls over real sockets, to plugins in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::{Bus, CallError, blocking};
use crate::bus::{BusDir, Card, Lane, ProcessId, new_instance};
use crate::plugin::{Context, Failure, Plugin, Server};
use crate::wire::{Code, Info};

/// Of chars; more than any socket takes at once.
const LARGE_TEXT: usize = 3 << 20;

struct Served {
    root: tempfile::TempDir,
    servers: Vec<Server>,
}

fn shout(text: String) -> Result<String, Failure> {
    Ok(text.to_uppercase())
}

/// A text that the plugin goes on holding.
fn hold(length: usize) -> impl Fn(()) -> Result<Arc<str>, Failure> {
    let text: Arc<str> = large(length).into();
    move |()| Ok(Arc::clone(&text))
}

fn large(length: usize) -> String {
    "0123456789äöü".chars().cycle().take(length).collect()
}

fn parse(text: String) -> Result<i64, std::num::ParseIntError> {
    text.parse()
}

fn panics(_: ()) -> Result<(), Failure> {
    panic!("on purpose")
}

async fn stuck(_: (), _: Context) -> Result<(), Failure> {
    std::future::pending().await
}

/// Plain, and goes on until nobody waits for it, and then some.
fn holds(_: (), context: Context) -> Result<(), Failure> {
    BEGUN.notify_one();
    while !context.is_cancelled() {
        std::thread::yield_now();
    }
    let (left, told) = (context.remaining().as_secs(), Instant::now());
    while told.elapsed() < Duration::from_millis(200) {
        std::thread::yield_now();
    }
    LEFT.store(left, Ordering::SeqCst);
    Ok(())
}

/// As [`holds`], by an author who blocks where it should wait.
async fn holds_async(nothing: (), context: Context) -> Result<(), Failure> {
    holds(nothing, context)
}

/// `holds` has begun.
static BEGUN: Notify = Notify::const_new();

/// Seconds that the last `holds` had left when it ended.
static LEFT: AtomicU64 = AtomicU64::new(u64::MAX);

fn nothing(_: Option<u8>) -> Result<(), Failure> {
    Ok(())
}

impl Served {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        BusDir::at(root.path().join("b")).create().unwrap();
        Self { root, servers: Vec::new() }
    }

    fn directory(&self) -> BusDir {
        BusDir::at(self.root.path().join("b"))
    }

    fn add(&mut self, name: &str) -> String {
        let plugin = Plugin::new(name, "1.2.3")
            .method("shout", "Says it louder.", shout)
            .method("parse", "Reads a number.", parse)
            .method("large", "Has a large text.", hold(LARGE_TEXT))
            .method("small", "Has a small one.", hold(9))
            .method("panics", "Panics.", panics)
            .method("holds", "Waits for being cancelled.", holds)
            .method_async("holds_async", "Blocks its task until it is cancelled.", holds_async)
            .method("nothing", "Does nothing.", nothing)
            .method_async("stuck", "Never ends.", stuck);
        let info = plugin.info();
        let instance = new_instance();
        let call = self.directory().endpoint(name, &instance).unwrap();
        self.servers.push(plugin.start(name, &instance, &call, None).unwrap());
        let card = Card {
            name: name.into(),
            instance: instance.clone(),
            version: info.version,
            process: ProcessId::own(),
            protocol: 1,
            protocol_max: None,
            url: call.to_string(),
            methods: info.methods,
        };
        self.directory().publish(&card).unwrap();
        instance
    }

    fn bus(&self) -> Bus {
        Bus::at(self.directory().path()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_their_errors() {
    let mut served = Served::new();
    served.add("text");
    let bus = served.bus();
    assert_eq!(bus.call::<String, _>("shout", "hello").await.unwrap(), "HELLO");
    assert_eq!(bus.call::<i64, _>("text.parse", "-7").await.unwrap(), -7);
    bus.call::<(), _>("nothing", &()).await.unwrap();
    assert_eq!(bus.call::<Info, _>("text.$info", &()).await.unwrap().version, "1.2.3");
    let fault = |result: Result<i64, CallError>| match result {
        Err(CallError::Plugin { fault, .. }) => fault,
        other => unreachable!("{other:?}"),
    };
    let failed = fault(bus.call("parse", "seven").await);
    assert_eq!((failed.code, failed.message.as_str()), (Code::Failed, "invalid digit found in string"));
    assert_eq!(fault(bus.call("parse", &7).await).code, Code::BadParams);
    let panicked = fault(bus.call("panics", &()).await);
    assert_eq!((panicked.code, panicked.message.as_str()), (Code::Failed, "the method panicked: on purpose"));
    assert!(matches!(bus.call::<u8, _>("shout", "x").await, Err(CallError::Reply { .. })));
    let missing = bus.call::<(), _>("shuot", &()).await.unwrap_err().to_string();
    assert_eq!(missing, "there is no method \"shuot\"; did you mean shout?");
    let late = bus.request("stuck").timeout(Duration::from_millis(50)).call::<(), _>(&()).await;
    assert!(
        matches!(&late, Err(CallError::Deadline { .. }))
            || matches!(&late, Err(CallError::Plugin { fault, .. }) if fault.code == Code::Deadline),
        "{late:?}"
    );
}

/// The rest of the deadline that `holds` sees once it has ended.
async fn left() -> u64 {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        match LEFT.swap(u64::MAX, Ordering::SeqCst) {
            u64::MAX => assert!(Instant::now() < until, "it goes on"),
            left => return left,
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn code_that_blocks_holds_nobody_up_and_is_told_when_nobody_waits() {
    let mut served = Served::new();
    served.add("text");
    let bus = served.bus();
    for method in ["holds", "holds_async"] {
        // The first time it begins on the thread that has read it, the second time elsewhere.
        for _ in 0..2 {
            if Lane::chosen() == Lane::Nng {
                // Its connections outlive a caller that may still get a reply: see `nng::requester`.
                break;
            }
            let departs = served.bus();
            let request = departs.request(method).timeout(Duration::from_secs(600));
            let ended = tokio::select! {
                ended = request.call::<(), _>(&()) => Some(ended),
                () = BEGUN.notified() => None,
            };
            assert!(ended.is_none(), "{method}: {ended:?}");
            drop(departs);
            assert!(left().await > 500, "{method}: told by its caller's departure, not by the deadline");
        }
        let caller = bus.clone();
        let late =
            tokio::spawn(
                async move { caller.request(method).timeout(Duration::from_secs(1)).call::<(), _>(&()).await },
            );
        BEGUN.notified().await;
        assert_eq!(bus.call::<String, _>("shout", "meanwhile").await.unwrap(), "MEANWHILE");
        let late = late.await.unwrap();
        assert!(
            matches!(&late, Err(CallError::Deadline { .. }))
                || matches!(&late, Err(CallError::Plugin { fault, .. }) if fault.code == Code::Deadline),
            "{late:?}"
        );
        assert_eq!(left().await, 0, "{method}");
        assert_eq!(bus.call::<String, _>("shout", "after").await.unwrap(), "AFTER");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_drains_takes_no_more_calls_and_the_other_does() {
    let mut served = Served::new();
    let first = served.add("text");
    let bus = served.bus();
    bus.request("text.$stop").instance(&first).call::<(), _>(&()).await.unwrap();
    served.add("text");
    for _ in 0..20 {
        match bus.call::<String, _>("shout", "still").await {
            Ok(shouted) => assert_eq!(shouted, "STILL"),
            // A request that is sent in the last moment of an instance: only the direct lane can tell.
            Err(CallError::Died { .. }) if Lane::chosen() == Lane::Nng => {}
            Err(error) => panic!("{error}"),
        }
    }
    served.servers.remove(0).finished().await;
    assert_eq!(bus.call::<String, _>("shout", "here").await.unwrap(), "HERE");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_blocking_twin_needs_no_runtime() {
    let mut served = Served::new();
    let instance = served.add("text");
    let path = served.directory().path().to_path_buf();
    let calls = move || {
        let bus = blocking::Bus::at(path).unwrap();
        assert_eq!(bus.plugins().unwrap().len(), 1);
        assert_eq!(bus.call::<String, _>("shout", "hello").unwrap(), "HELLO");
        let request = bus.request("shout").plugin("text").instance(&instance).timeout(Duration::from_secs(9));
        assert_eq!(request.call_raw("x").unwrap(), [0xa1, b'X']);
        assert!(matches!(bus.call::<(), _>("test.shout", &()), Err(CallError::NoSuchPlugin { .. })));
    };
    std::thread::spawn(calls).join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn large_texts_come_whole_and_again() {
    let mut served = Served::new();
    served.add("text");
    let (bus, whole) = (served.bus(), large(LARGE_TEXT));
    let shouted = whole.to_uppercase();
    for _ in 0..3 {
        let (held, made, small, optional) = tokio::join!(
            bus.call::<String, _>("large", &()),
            bus.call::<String, _>("shout", &whole),
            bus.call::<String, _>("small", &()),
            bus.call::<Option<Box<str>>, _>("large", &()),
        );
        assert!(held.unwrap() == whole && made.unwrap() == shouted && optional.unwrap().as_deref() == Some(&whole));
        assert_eq!(small.unwrap(), whole[..9]);
    }
    let no_text = bus.call::<i64, _>("large", &()).await;
    assert!(matches!(no_text, Err(CallError::Reply { .. })), "{no_text:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_timeout_will_do() {
    let mut served = Served::new();
    served.add("text");
    let (bus, path) = (served.bus(), served.directory().path().to_path_buf());
    let shout = bus.request("shout").timeout(Duration::MAX).call::<String, _>("hello");
    assert_eq!(shout.await.unwrap(), "HELLO");
    let calls = move || blocking::Bus::at(path)?.request("shout").timeout(Duration::MAX).call::<String, _>("hello");
    assert_eq!(std::thread::spawn(calls).join().unwrap().unwrap(), "HELLO");
}

#[test]
fn no_bus_says_how_to_start_one() {
    let root = tempfile::tempdir().unwrap();
    let error = blocking::Bus::at(root.path().join("none")).unwrap_err();
    assert!(matches!(error, CallError::NoBus(_)) && error.to_string().contains("plugbus supervise"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_speaks_more_is_called_and_another_protocol_is_named() {
    let mut served = Served::new();
    let instance = served.add("text");
    let again = |protocol: u32, protocol_max: Option<u32>| {
        let mut card = served.directory().cards().unwrap().remove(0);
        assert_eq!(card.instance, instance);
        (card.protocol, card.protocol_max) = (protocol, protocol_max);
        served.directory().publish(&card).unwrap();
        served.bus()
    };
    assert_eq!(again(1, Some(3)).call::<String, _>("shout", "hello").await.unwrap(), "HELLO");
    for (oldest, newest, words) in [
        (2, None, "text speaks protocol 2, this program protocol 1: upgrade this program"),
        (2, Some(4), "text speaks protocols 2 to 4, this program protocol 1: upgrade this program"),
        (0, None, "text speaks protocol 0, this program protocol 1: upgrade text"),
    ] {
        let refused = again(oldest, newest).call::<String, _>("shout", "hello").await.unwrap_err();
        assert!(matches!(refused, CallError::Protocol { .. }), "{refused:?}");
        assert_eq!(refused.to_string(), words);
    }
}

//! How streams end, as the plugin's side sees it, over real sockets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bus::{BusDir, Card, ProcessId, new_instance};
use crate::host::Bus;
use crate::plugin::{Context, Failure, Input, Items, Plugin, Sender, Server};
use crate::wire::{Load, Stats};

/// As good as never.
const LONG: Duration = Duration::from_secs(30);

struct Served {
    root: tempfile::TempDir,
    server: Server,
}

fn numbers(to: u64) -> Result<Items<u64>, Failure> {
    Ok(Items::of(0..to))
}

fn torn(count: u64) -> Result<Items<u64>, Failure> {
    let items: Vec<_> = (0..count).map(Ok).chain([Err(Failure::new("torn"))]).collect();
    Ok(Items::try_of(items))
}

/// Plain, and gives its items when nobody waits for them any more.
fn late(to: u64, context: Context) -> Result<Items<u64>, Failure> {
    tokio::runtime::Handle::current().block_on(context.cancelled());
    numbers(to)
}

/// Says one number and waits for ever.
async fn one(number: u64) -> Result<Items<u64>, Failure> {
    let items = move |mut sender: Sender<u64>| async move {
        sender.send(&number).await?;
        std::future::pending().await
    };
    Ok(Items::channel(items).endless())
}

fn repeat(number: u64) -> Result<Items<u64>, Failure> {
    Ok(Items::of(std::iter::repeat(number)).endless())
}

fn echo(numbers: Input<u64>) -> Result<Items<u64>, Failure> {
    Ok(Items::try_of(numbers).endless())
}

async fn until_draining(_: (), context: Context) -> Result<Items<u64>, Failure> {
    let items = move |mut sender: Sender<u64>| async move {
        while !context.is_draining() {
            sender.send(&1).await?;
        }
        sender.send(&2).await.map_err(Failure::from)
    };
    Ok(Items::channel(items))
}

impl Served {
    fn new() -> Self {
        let plugin = Plugin::new("s", "1")
            .method("numbers", "Counts.", numbers)
            .method("torn", "Fails in the end.", torn)
            .method("late", "Counts too late.", late)
            .method_async("one", "Says one thing.", one)
            .method("repeat", "Never ends.", repeat)
            .method("echo", "Says what it hears.", echo)
            .method_async("until_draining", "Ends by itself.", until_draining);
        Self::of(plugin)
    }

    fn of(plugin: Plugin) -> Self {
        let root = tempfile::tempdir().unwrap();
        let directory = BusDir::at(root.path().join("b"));
        directory.create().unwrap();
        let (info, instance) = (plugin.info(), new_instance());
        let call = directory.endpoint("s", &instance).unwrap();
        let server = plugin.start("s", &instance, &call, None).unwrap();
        let (name, process, url) = ("s".to_owned(), ProcessId::own(), call.to_string());
        let (version, methods) = (info.version, info.methods);
        let card = Card { name, instance, version, process, protocol: 1, protocol_max: None, url, methods };
        directory.publish(&card).unwrap();
        Self { root, server }
    }

    fn bus(&self) -> Bus {
        Bus::at(self.root.path().join("b")).unwrap()
    }

    /// How many streams it knows, open or not.
    fn known(&self) -> usize {
        self.server.ledger.streams().lock().lines.len()
    }
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < end, "{what}: never");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_have_ended_are_dropped() {
    let served = Served::new();
    let bus = served.bus();
    for _ in 0..3 {
        let mut reader = bus.request("numbers").stream::<u64, _>(&3).await.unwrap();
        while reader.next().await.is_some() {}
    }
    assert_eq!(served.known(), 3);
    drop(bus.request("repeat").stream::<u64, _>(&3).await.unwrap());
    until("the closed one is forgotten", || served.known() == 3).await;
    drop(bus);
    until("nobody can ask for them any more", || served.known() == 0).await;
    let ledger = Arc::downgrade(&served.server.ledger);
    let bus = served.bus();
    assert!(bus.request("numbers").stream::<u64, _>(&0).await.unwrap().next().await.is_none());
    served.server.stopper().stop();
    served.server.finished().await;
    until("all that the server knew is dropped", || ledger.strong_count() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_ends_what_would_not_end() {
    let served = Served::new();
    let bus = served.bus();
    let mut readers = Vec::new();
    for method in ["one", "repeat", "until_draining"] {
        let params = (method != "until_draining").then_some(1);
        let mut reader = bus.request(method).stream::<u64, _>(&params).await.unwrap();
        assert_eq!(reader.next().await.unwrap().unwrap(), 1);
        readers.push(reader);
    }
    let (mut writer, reader) = bus.request("echo").open::<u64, u64>().await.unwrap();
    assert!(writer.send(&2).await.unwrap());
    readers.push(reader);
    served.server.stopper().stop();
    let finished = tokio::spawn(served.server.finished());
    for reader in &mut readers {
        // What was there, and then an ordinary end.
        let to_the_end = async {
            while let Some(item) = reader.next().await {
                item.unwrap();
            }
        };
        tokio::time::timeout(LONG, to_the_end).await.expect("it ends");
    }
    assert!(!writer.send(&3).await.unwrap_or(false));
    finished.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_counted_once_at_its_end() {
    let served = Served::new();
    let bus = served.bus();
    let stats = || async { bus.call::<Stats, _>("s.$stats", &()).await.unwrap() };
    let mut reader = bus.request("torn").stream::<u64, _>(&3).await.unwrap();
    let Load { done, failed, in_flight, .. } = stats().await.load;
    assert_eq!((done, failed, in_flight), (0, 0, 1));
    while let Some(Ok(_)) = reader.next().await {}
    let mut reader = bus.request("numbers").stream::<u64, _>(&3).await.unwrap();
    while let Some(item) = reader.next().await {
        item.unwrap();
    }
    // Whoever closes a stream has had what it wanted.
    drop(bus.request("repeat").stream::<u64, _>(&3).await.unwrap());
    let stats = loop {
        let stats = stats().await;
        if stats.load.in_flight == 0 {
            break stats;
        }
    };
    assert_eq!((stats.load.done, stats.load.failed), (2, 1));
    let torn = &stats.methods["torn"];
    assert_eq!((torn.done, torn.failed, torn.latency.count()), (0, 1, 1));
    assert_eq!(torn.codes, [("failed".to_owned(), 1)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_answered_opens_no_stream_as_well() {
    let served = Served::new();
    let bus = served.bus();
    let stats = || async { bus.call::<Stats, _>("s.$stats", &()).await.unwrap() };
    let call = bus.request("late").timeout(Duration::from_millis(50)).stream::<u64, _>(&3).await;
    assert!(call.is_err(), "{call:?}");
    let stats = loop {
        let stats = stats().await;
        if stats.load.in_flight == 0 {
            break stats;
        }
    };
    // For one reason or the other: the caller's deadline, or its word that it waits no more.
    assert_eq!((stats.load.done, stats.load.failed), (0, 1));
}

#[cfg(feature = "stream")]
mod with_the_feature {
    use std::convert::Infallible;
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use futures_core::Stream;

    use super::*;

    struct Countdown(u64);

    impl Stream for Countdown {
        type Item = Result<u64, Infallible>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            let left = self.0.checked_sub(1);
            self.0 = left.unwrap_or_default();
            Poll::Ready(left.map(Ok))
        }
    }

    async fn countdown(from: u64) -> Result<Items<u64>, Failure> {
        Ok(Items::stream(Countdown(from)))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn streams_are_ordinary_ones_on_both_sides() {
        let served = Served::of(Plugin::new("s", "1").method_async("countdown", "Counts down.", countdown));
        let mut reader = served.bus().request("countdown").stream::<u64, _>(&3000).await.unwrap();
        let mut reader = Pin::new(&mut reader);
        let mut items = Vec::new();
        while let Some(item) = poll_fn(|context| Stream::poll_next(reader.as_mut(), context)).await {
            items.push(item.unwrap());
        }
        assert!(items.into_iter().eq((0..3000).rev()));
    }
}

//! Streams over real sockets, from plugins in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Piece;
use crate::bus::{BusDir, Card, ProcessId, new_instance};
use crate::host::{Bus, CallError, blocking};
use crate::plugin::{Context, Failure, Input, Items, Plugin, Server};
use crate::wire::{Code, Progress, Streams};

struct Served {
    root: tempfile::TempDir,
    server: Server,
    made: Arc<AtomicU64>,
    dropped: Arc<AtomicU64>,
}

/// Counts when it is dropped.
struct Guard(Arc<AtomicU64>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn sum(numbers: Input<u64>) -> Result<u64, Failure> {
    numbers.sum()
}

async fn first(mut texts: Input<String>) -> Result<String, Failure> {
    texts.receive().await.unwrap_or_else(|| Err(Failure::new("nothing came")))
}

fn double(numbers: Input<u64>) -> Result<Items<u64>, Failure> {
    Ok(Items::try_of(numbers.map(|number| number.map(|number| 2 * number))))
}

fn torn(count: u64) -> Result<Items<u64>, Failure> {
    let items = (0..count).map(Ok).chain([Err(Failure::new("torn").with_data(&count))]);
    Ok(Items::try_of(items.collect::<Vec<Result<u64, Failure>>>()))
}

async fn steps(count: u64) -> Result<Items<u64>, Failure> {
    Ok(Items::channel(move |mut sender| async move {
        for done in 0..count {
            sender.progress(Progress { done, total: Some(count), message: None });
            sender.send(&done).await?;
        }
        Ok(())
    }))
}

fn refuses(_: ()) -> Result<Items<u64>, Failure> {
    Err(Failure::bad_params("never"))
}

fn panics(count: u64) -> Result<Items<u64>, Failure> {
    Ok(Items::of((0..=count).inspect(move |number| assert!(*number < count, "on purpose"))))
}

impl Served {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let directory = BusDir::at(root.path().join("b"));
        directory.create().unwrap();
        let (made, dropped) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (counts, drops) = (Arc::clone(&made), Arc::clone(&dropped));
        let count = move |size: usize, context: Context| {
            let (counts, guard) = (Arc::clone(&counts), Guard(Arc::clone(&drops)));
            Ok::<_, Failure>(Items::of(std::iter::repeat_with(move || {
                let _held = &guard;
                assert!(!context.is_cancelled() || context.remaining() > Duration::ZERO);
                counts.fetch_add(1, Ordering::SeqCst);
                "x".repeat(size)
            })))
        };
        let drops = Arc::clone(&dropped);
        let silent = move |_: ()| {
            let guard = Guard(Arc::clone(&drops));
            async move {
                Ok::<_, Failure>(Items::<()>::channel(move |_| async move {
                    let _held = guard;
                    std::future::pending().await
                }))
            }
        };
        let plugin = Plugin::new("s", "1")
            .method("range", "Counts.", |to: u64| Ok::<_, Failure>(Items::of(0..to)))
            .method("count", "Never ends.", count)
            .method_async("silent", "Never says anything.", silent)
            .method("sum", "Sums.", sum)
            .method_async("first", "Takes one.", first)
            .method("double", "Doubles.", double)
            .method("torn", "Fails in the end.", torn)
            .method_async("steps", "Says how far it is.", steps)
            .method("refuses", "Refuses.", refuses)
            .method("panics", "Panics in the end.", panics)
            .method("echo", "Does not stream.", |number: u64| Ok::<_, Failure>(number));
        let info = plugin.info();
        let instance = new_instance();
        let call = directory.endpoint("s", &instance).unwrap();
        let server = plugin.start("s", &instance, &call, None).unwrap();
        let (version, methods) = (info.version, info.methods);
        let (name, process, url) = ("s".to_owned(), ProcessId::own(), call.to_string());
        directory
            .publish(&Card { name, instance, version, process, protocol: 1, protocol_max: None, url, methods })
            .unwrap();
        Self { root, server, made, dropped }
    }

    fn bus(&self) -> Bus {
        Bus::at(self.root.path().join("b")).unwrap()
    }

    async fn until_dropped(&self, count: u64) {
        until("the method was told", || self.dropped.load(Ordering::SeqCst) == count).await;
    }
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < end, "{what}: never");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn fault(error: &CallError) -> (Code, &str) {
    match error {
        CallError::Plugin { fault, .. } => (fault.code, &fault.message),
        other => panic!("{other}"),
    }
}

async fn all(bus: &Bus, method: &str, params: u64) -> (Vec<u64>, Option<CallError>) {
    let mut reader = bus.request(method).stream::<u64, _>(&params).await.unwrap();
    let mut items = Vec::new();
    while let Some(item) = reader.next().await {
        match item {
            Ok(item) => items.push(item),
            Err(error) => {
                assert!(reader.next().await.is_none());
                return (items, Some(error));
            }
        }
    }
    (items, None)
}

#[tokio::test(flavor = "multi_thread")]
async fn items_come_in_order_and_end() {
    let served = Served::new();
    let bus = served.bus();
    for count in [0, 1, 10_000] {
        let (items, error) = all(&bus, "range", count).await;
        assert!(error.is_none() && items.into_iter().eq(0..count), "{count}");
    }
    assert_eq!(all(&bus, "echo", 7).await.0, [7]);
    let (items, error) = all(&bus, "torn", 5).await;
    assert_eq!((items.len(), fault(&error.unwrap())), (5, (Code::Failed, "torn")));
    let (items, error) = all(&bus, "panics", 3).await;
    assert_eq!((items.len(), fault(&error.unwrap())), (3, (Code::Failed, "the method panicked: on purpose")));
    let refused = bus.request("refuses").stream::<u64, _>(&()).await.unwrap_err();
    assert_eq!(fault(&refused), (Code::BadParams, "never"));
    let streams = |name: &str| {
        let cards = bus.plugins().unwrap();
        cards[0].methods.iter().find(|method| method.name == name).unwrap().streams
    };
    assert_eq!([streams("echo"), streams("range")], [None, Some(Streams::Out)]);
    assert_eq!([streams("sum"), streams("double")], [Some(Streams::In), Some(Streams::Both)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn items_are_taken_and_the_method_may_stop_early() {
    let served = Served::new();
    let bus = served.bus();
    let (mut writer, reader) = bus.request("sum").open::<u64, u64>().await.unwrap();
    let numbers: Vec<u64> = (0..5000).collect();
    assert!(writer.send_all(&numbers).await.unwrap());
    assert!(writer.send(&1).await.unwrap());
    writer.end().await.unwrap();
    assert_eq!(reader.only().await.unwrap(), numbers.iter().sum::<u64>() + 1);

    let (mut writer, reader) = bus.request("first").open::<String, String>().await.unwrap();
    assert!(writer.send(&"one".to_owned()).await.unwrap());
    let mut sent = 1_u64;
    while writer.send(&"more".to_owned()).await.unwrap() {
        sent += 1;
        assert!(sent < 100_000, "it never says that it has enough");
    }
    assert_eq!(reader.only().await.unwrap(), "one");

    let (mut writer, reader) = bus.request("sum").open::<String, u64>().await.unwrap();
    writer.send(&"no number".to_owned()).await.unwrap();
    writer.end().await.unwrap();
    let refused = reader.only().await.unwrap_err();
    assert!(fault(&refused).0 == Code::BadParams && fault(&refused).1.starts_with("item 0: "), "{refused}");

    let (mut writer, mut reader) = bus.request("double").open::<u64, u64>().await.unwrap();
    for number in 0..10 {
        writer.send(&number).await.unwrap();
        assert_eq!(reader.next().await.unwrap().unwrap(), 2 * number);
    }
    writer.end().await.unwrap();
    assert!(reader.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_told_apart_from_items() {
    let served = Served::new();
    let mut reader = served.bus().request("steps").stream::<u64, _>(&100).await.unwrap();
    let (mut items, mut last) = (0, None);
    while let Some(piece) = reader.next_piece().await {
        match piece.unwrap() {
            Piece::Item(item) => {
                assert_eq!(item, items);
                items += 1;
            }
            Piece::Progress(progress) => last = Some(progress),
        }
    }
    assert_eq!((items, last.unwrap().total), (100, Some(100)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_reads_slowly_holds_the_method_back() {
    let served = Served::new();
    let mut reader = served.bus().request("count").stream::<String, _>(&1000).await.unwrap();
    let made = || served.made.load(Ordering::SeqCst);
    assert_eq!(reader.next().await.unwrap().unwrap().len(), 1000);
    // 256 KiB wait, one batch of 64 KiB is on its way, and one item is being made.
    let mut before = 0;
    until("it stops", || std::mem::replace(&mut before, made()) == made()).await;
    assert!(made() < 400, "{} items were made", made());
    for _ in 0..2000 {
        reader.next().await.unwrap().unwrap();
    }
    assert!(made() < 2400 && made() > 2000, "{} items were made", made());
    drop(reader);
    served.until_dropped(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_closes_or_departs_ends_the_method() {
    let served = Served::new();
    let bus = served.bus();
    let mut silent = bus.request("silent").timeout(Duration::from_millis(200)).stream::<(), _>(&()).await.unwrap();
    // Longer than the timeout of each question, which is answered all the same.
    let waited = tokio::time::timeout(Duration::from_millis(700), silent.next()).await;
    assert!(waited.is_err(), "{waited:?}");
    drop(silent);
    served.until_dropped(1).await;
    let (writer, _reader) = bus.request("sum").open::<u64, u64>().await.unwrap();
    drop(writer);
    if crate::bus::Lane::chosen() == crate::bus::Lane::Direct {
        let departs = served.bus();
        let reader = departs.request("count").stream::<String, _>(&9).await.unwrap();
        drop(departs);
        // Its connection stays for as long as the stream wants it.
        std::mem::forget(reader);
    }
    until("nothing runs", || {
        let stats = blocking_stats(&served);
        stats <= 1
    })
    .await;
}

#[test]
fn a_runtime_that_ends_does_not_wait_for_streams() {
    let (ended, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let held = runtime.block_on(async {
            let served = Served::new();
            let reader = served.bus().request("count").stream::<String, _>(&9).await.unwrap();
            (served, reader)
        });
        drop(runtime);
        ended.send(held).unwrap();
    });
    let held = end.recv_timeout(Duration::from_secs(60));
    assert!(held.is_ok(), "its code still waits for somebody who reads");
}

fn blocking_stats(served: &Served) -> u64 {
    let path = served.root.path().join("b");
    let asked = std::thread::spawn(move || {
        let bus = blocking::Bus::at(path).unwrap();
        bus.call::<crate::wire::Load, _>("s.$stats", &()).unwrap().in_flight
    });
    asked.join().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_grows_old_without_being_called_wedged_and_is_finished_before_the_end() {
    let served = Served::new();
    let bus = served.bus();
    let mut reader = bus.request("range").timeout(Duration::from_secs(1)).stream::<u64, _>(&5000).await.unwrap();
    assert_eq!(reader.next().await.unwrap().unwrap(), 0);
    // What the reader asks for ahead is a call as well, until it is answered.
    let alone = async {
        loop {
            let load = bus.call::<crate::wire::Load, _>("s.$stats", &()).await.unwrap();
            if (load.in_flight, load.oldest_ms, load.overdue_ms) == (1, 0, 0) {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), alone).await.expect("the stream alone, which has no age");
    served.server.stopper().stop();
    let finished = tokio::spawn(served.server.finished());
    for expected in 1..5000 {
        assert_eq!(reader.next().await.unwrap().unwrap(), expected);
    }
    assert!(reader.next().await.is_none());
    finished.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_streams_is_not_called_as_if_it_did_not() {
    let served = Served::new();
    let bus = served.bus();
    assert!(matches!(bus.call::<u64, _>("count", &1).await, Err(CallError::Streams { .. })));
    served.until_dropped(1).await;
    assert!(matches!(bus.request("silent").open::<u64, u64>().await, Err(CallError::Streams { .. })));
    served.until_dropped(2).await;
}

#[test]
fn the_blocking_twins_are_an_iterator_and_a_writer() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let served = runtime.block_on(async { Served::new() });
    let bus = blocking::Bus::at(served.root.path().join("b")).unwrap();
    let read: Result<Vec<u64>, _> = bus.request("range").stream(&3000).unwrap().collect();
    assert!(read.unwrap().into_iter().eq(0..3000));
    let (mut writer, reader) = bus.request("sum").open::<u64, u64>().unwrap();
    writer.send_all(&[1, 2, 3]).unwrap();
    writer.end().unwrap();
    assert_eq!(reader.only().unwrap(), 6);
    let some: Vec<String> = bus.request("count").stream(&5).unwrap().map(Result::unwrap).take(3).collect();
    assert_eq!(some, ["xxxxx"; 3]);
    runtime.block_on(served.until_dropped(1));
}

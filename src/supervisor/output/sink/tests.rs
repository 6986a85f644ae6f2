//! Both sides in one process, over a real socket and real pipes.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::super::{Intake, Output, Source};
use super::server::Server;
use crate::bus::BusDir;
use crate::supervisor::LogSpec;

const LONG: Duration = Duration::from_secs(20);

/// A sink that any number of supervisors may find.
fn stage() -> (TempDir, BusDir, tokio::task::JoinHandle<std::io::Result<()>>) {
    let root = tempfile::tempdir().unwrap();
    let dir = BusDir::at(root.path().join("bus"));
    dir.create().unwrap();
    let listener = UnixListener::bind(dir.sink_socket()).unwrap();
    listener.set_nonblocking(true).unwrap();
    let server = Server::new(listener, &dir).unwrap();
    (root, dir, tokio::spawn(server.run()))
}

fn output(dir: &BusDir) -> (Output, Intake) {
    let spec = LogSpec { max_size: 1 << 20, keep: 1, max_age: Duration::MAX };
    let output = Output::start(dir, spec, Some(vec!["/nowhere/sink".into()]), None).unwrap();
    let intake = output.intake();
    (output, intake)
}

fn source(instance: &str, dropped: &Arc<AtomicU64>) -> Arc<Source> {
    Arc::new(Source::new("loud", instance, Arc::clone(dropped)))
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_next_supervisor_is_given_everything_back() {
    let (_root, dir, sink) = stage();
    let (first, intake) = output(&dir);
    let dropped = Arc::default();
    let (ours, theirs) = (source("k3", &dropped), source("k4", &dropped));
    let (out, mut write_out) = std::io::pipe().unwrap();
    let (err, mut write_err) = std::io::pipe().unwrap();
    let (other, mut write_other) = std::io::pipe().unwrap();
    let (closed, _) = std::io::pipe().unwrap();
    let _capture = intake.capture(Arc::clone(&ours), out.into(), err.into());
    let _other = intake.capture(Arc::clone(&theirs), closed.into(), other.into());
    write_out.write_all(b"one\n").unwrap();
    write_err.write_all(b"panic: no\ntwo\nhalf").unwrap();
    write_other.write_all(b"FATAL end").unwrap();
    until("it is mirrored", || ours.last_error().as_deref() == Some("two")).await;
    first.leave().await;
    drop(write_other);
    write_err.write_all(b" a line\n").unwrap();

    let (second, intake) = output(&dir);
    let (again, gone) = (source("k3", &dropped), source("k4", &dropped));
    let capture = intake.recapture(Arc::clone(&again)).await;
    until("it is mirrored again", || again.last_error().as_deref() == Some("half a line")).await;
    assert_eq!(again.recent(), ["one", "panic: no", "two", "half a line"]);
    let ended = intake.recapture(gone).await;
    assert_eq!(ended.last_words(LONG).await.as_deref(), Some("FATAL end"));
    drop((write_out, write_err));
    let begun = Instant::now();
    assert_eq!(capture.last_words(LONG).await.as_deref(), Some("panic: no"));
    assert!(begun.elapsed() < LONG / 2);

    // One that no sink knows of: its words are in the log.
    fs::write(dir.log_dir().join("loud.log"), "2026-11-22T18:00:00.000Z k5 err| last words\n").unwrap();
    let unknown = intake.recapture(source("k5", &dropped)).await;
    assert_eq!(unknown.last_words(LONG).await.as_deref(), Some("last words"));
    second.close().await;
    sink.await.unwrap().unwrap();
    assert!(!dir.sink_socket().exists());
    assert_eq!(dropped.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_is_held_open_is_closed_in_the_end_and_the_unfinished_line_is_kept() {
    let (_root, dir, sink) = stage();
    let (supervisor, intake) = output(&dir);
    let (out, mut held_open) = std::io::pipe().unwrap();
    let (err, _) = std::io::pipe().unwrap();
    let capture = intake.capture(source("k3", &Arc::default()), out.into(), err.into());
    held_open.write_all(b"one\nunfinished").unwrap();
    until("it is read", || fs::read(dir.log_dir().join("loud.log")).is_ok_and(|log| !log.is_empty())).await;
    let begun = Instant::now();
    assert_eq!(capture.last_words(Duration::from_millis(20)).await, None);
    assert!(begun.elapsed() < LONG / 2);
    let log = || fs::read_to_string(dir.log_dir().join("loud.log")).unwrap();
    until("it is given up", || log().ends_with("| unfinished\n")).await;
    until("the pipe is closed", || held_open.write_all(b"x").is_err()).await;
    supervisor.close().await;
    sink.await.unwrap().unwrap();
}

//! `plugbus demo`: the whole story, and nothing left of it however it ends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use crate::support::{Bench, exit_code, running, send};

/// The demo, with a place for temporary files that nobody else uses.
fn demo(bench: &Bench) -> Command {
    let mut command = bench.plugbus(&["demo"]);
    fs::create_dir_all(temporary(bench)).unwrap();
    command.env("TMPDIR", temporary(bench)).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn temporary(bench: &Bench) -> std::path::PathBuf {
    bench.path().join("tmp")
}

#[track_caller]
fn assert_nothing_is_left(bench: &Bench) {
    assert_eq!(running(bench.path()), []);
    let left: Vec<_> = fs::read_dir(temporary(bench)).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Ends the demo early and returns its exit code.
fn interrupt_after(bench: &Bench, step: &str) -> Option<i32> {
    let mut child: Child = demo(bench).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains(step)), "no step {step:?}");
    send(Signal::INT, child.id().into());
    // Read on, so that the next step does not fail for want of a reader.
    lines.for_each(drop);
    exit_code(&mut child)
}

#[test]
fn it_tells_the_whole_story() {
    let bench = Bench::empty();
    let told = demo(&bench).output().unwrap();
    let text = String::from_utf8(told.stdout).unwrap();
    assert!(told.status.success(), "{text}{}", String::from_utf8_lossy(&told.stderr));
    let steps: Vec<&str> =
        text.lines().filter_map(|line| line.split('✓').nth(1)?.split_whitespace().next()).collect();
    assert_eq!(steps, ["started", "called", "killed", "called", "froze", "called", "stopped", "checked"], "{text}");
    assert_eq!(text.matches("live on time ,emit no eviL").count(), 3, "{text}");
    assert!(text.contains("missed 2 survey rounds"), "{text}");
    assert!(!text.contains('\x1b') && told.stderr.is_empty(), "{text}");
    assert_nothing_is_left(&bench);
}

#[test]
fn an_interrupt_leaves_nothing() {
    for step in ["started", "killed", "called"] {
        let bench = Bench::empty();
        assert_eq!(interrupt_after(&bench, step), Some(1), "{step}");
        assert_nothing_is_left(&bench);
    }
}

#[test]
fn a_reader_that_goes_away_leaves_nothing() {
    let bench = Bench::empty();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let told = demo(&bench).stdout(writer).spawn().unwrap().wait_with_output().unwrap();
    assert_eq!((told.status.code(), told.stderr.as_slice()), (Some(0), &b""[..]));
    assert_nothing_is_left(&bench);
}

#[test]
fn a_plugin_that_is_missing_is_named_and_nothing_is_left() {
    let bench = Bench::empty();
    let alone = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let program = alone.path().join("deep/plugbus");
    fs::create_dir(alone.path().join("deep")).unwrap();
    fs::hard_link(Path::new(env!("CARGO_BIN_EXE_plugbus")), &program).unwrap();
    let mut command = Command::new(program);
    fs::create_dir(temporary(&bench)).unwrap();
    let told = command.arg("demo").env("TMPDIR", temporary(&bench)).env("PATH", "/nowhere").output().unwrap();
    assert_eq!(told.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&told.stderr);
    assert!(stderr.contains("plugbus-text"), "{stderr}");
    assert_nothing_is_left(&bench);
}

//! `plugbus logs` and `plugbus events`: what happened, told afterwards and as it happens.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Bench, eventually, exit_code, send};

/// A command that stays, and the lines that it prints.
pub(crate) struct Following {
    pub(crate) child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Following {
    pub(crate) fn start(bench: &Bench, args: &[&str]) -> Self {
        let mut child = bench.plugbus(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (tell, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { child, lines, seen: Vec::new() }
    }

    /// Waits until a line has that in it; answers all lines until then.
    #[track_caller]
    pub(crate) fn until(&mut self, text: &str) -> Vec<String> {
        eventually(text, || {
            self.seen.extend(self.lines.try_iter());
            let found = self.seen.iter().position(|line| line.contains(text))?;
            Some(self.seen.drain(..=found).collect())
        })
    }

    /// Ctrl-C, which it takes for an end and not for an error.
    #[track_caller]
    pub(crate) fn interrupt(mut self) {
        send(Signal::INT, self.child.id().into());
        assert_eq!(exit_code(&mut self.child), Some(0));
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A bus where nobody supervises, with these logs.
fn logs(files: &[(&str, &str)]) -> Bench {
    let bench = Bench::empty();
    let bus = bench.path().join("default");
    fs::create_dir_all(bus.join("log")).unwrap();
    fs::set_permissions(&bus, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    for (name, text) in files {
        fs::write(bus.join("log").join(name), text).unwrap();
    }
    bench
}

const A: &str = "2026-01-01T00:00:02.000Z k1 out| a2\n2026-01-01T00:00:04.000Z k1 err| a4 \u{1b}[31m\n";
const OLDER_A: &str = "2026-01-01T00:00:01.000Z k1 out| a1\n";
const B: &str = "2026-01-01T00:00:03.000Z k2 out| b3\ngarbage\n2026-01-01T00:00:05.000Z k2 ---| 7 lines dropped: x\n";

#[test]
fn logs_of_several_plugins_are_merged_by_time_without_a_supervisor() {
    let bench = logs(&[("a.log", A), ("a.log.1", OLDER_A), ("b.log", B), ("supervisor.events.jsonl", "{}\n")]);
    let expected = "\
2026-01-01T00:00:01.000Z a k1 out| a1
2026-01-01T00:00:02.000Z a k1 out| a2
2026-01-01T00:00:03.000Z b k2 out| b3
b garbage
2026-01-01T00:00:04.000Z a k1 err| a4 \u{1b}[31m
2026-01-01T00:00:05.000Z b k2 ---| 7 lines dropped: x
";
    // Nobody obeys an escape sequence that goes into a pipe; without colours it is taken out.
    let expected = expected.replace("\u{1b}[31m", "");
    assert_eq!(bench.stdout(&["logs"]), expected);
    assert_eq!(bench.stdout(&["logs", "a"]).lines().count(), 3);
    let last = bench.stdout(&["logs", "-n", "2"]);
    assert!(expected.ends_with(&last) && last.lines().count() == 2, "{last}");
    assert_eq!(bench.stdout(&["logs", "--since", "5m"]), "");
    let lines: Vec<Value> =
        bench.stdout(&["logs", "a", "--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[2]["text"], "a4 \u{1b}[31m");
    assert_eq!(
        (&lines[2]["plugin"], &lines[2]["instance"], &lines[2]["stream"]),
        (&"a".into(), &"k1".into(), &"err".into())
    );
    let unknown = bench.expect(&["logs", "aa"], 4);
    assert!(unknown.stderr.contains("did you mean") || unknown.stderr.contains("\"a\""), "{}", unknown.stderr);
    assert_eq!(Bench::empty().run(&["logs"]).code, 5);
    // A reader that goes away is no error.
    let script = format!("{} logs | true", env!("CARGO_BIN_EXE_plugbus"));
    let status = std::process::Command::new("bash")
        .args(["-c", &format!("set -o pipefail; {script}")])
        .env("PLUGBUS_DIR", bench.path())
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn following_goes_on_over_rotation_and_deletion() {
    let bench = logs(&[("a.log", A)]);
    let mut follow = Following::start(&bench, &["logs", "-f"]);
    follow.until("a2");
    let path = |name: &str| bench.path().join("default/log").join(name);
    fs::write(path("new.log"), "2026-01-01T00:00:06.000Z k3 out| of a new plugin\n").unwrap();
    follow.until("of a new plugin");
    fs::rename(path("a.log"), path("a.log.1")).unwrap();
    fs::write(path("a.log"), "2026-01-01T00:00:07.000Z k1 out| after rotation\n").unwrap();
    follow.until("after rotation");
    fs::remove_file(path("a.log")).unwrap();
    fs::remove_file(path("a.log.1")).unwrap();
    fs::write(path("a.log"), "2026-01-01T00:00:08.000Z k1 out| after deletion\n").unwrap();
    let lines = follow.until("after deletion");
    assert!(!lines.iter().any(|line| line.contains("after rotation")), "{lines:?}");
    follow.interrupt();
}

#[test]
fn what_a_plugin_prints_is_followed_live() {
    let section =
        "[plugins.ticker]\ncommand = ['bash', '-c', 'for i in $(seq 100000); do echo tick $i; sleep 0.01; done']\n";
    let bench = Bench::supervise(&(section.to_owned() + "start_timeout = '1h'\n[log]\nmax_size = '4KiB'\n"));
    eventually("it prints", || bench.path().join("default/log/ticker.log").exists().then_some(()));
    let mut follow = Following::start(&bench, &["logs", "-f", "ticker", "-n", "1"]);
    let number = |line: &String| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
    let first = number(&follow.until("tick")[0]);
    // Over several rotations, with no line missing and none twice.
    let rest = follow.until(&format!("tick {}", first + 300));
    assert_eq!(rest.iter().map(number).collect::<Vec<_>>(), (first + 1..=first + 300).collect::<Vec<_>>());
    follow.interrupt();
}

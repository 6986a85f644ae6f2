//! The command `plugbus`, on a bus of the test's own.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::eventually;

/// What the plugin that ships needs to be started by a supervisor under test, and noticed soon when it is silent.
pub(crate) const TEXT: &str = r#"
[survey]
interval = "250ms"
deadline = "200ms"
misses = 2
[plugins.text]
command = ["plugbus-text"]
backoff = { min = "20ms", max = "1s", reset = "1s" }
"#;

/// What the supervisor said; shown with a test that fails.
const SAID: &str = "supervise.log";

/// A directory for buses, with a supervisor or without; nothing of it is left when it is dropped.
pub(crate) struct Bench {
    root: TempDir,
    supervisor: Option<Child>,
}

impl Bench {
    /// A place where nothing runs.
    pub(crate) fn empty() -> Self {
        Self { root: tempfile::tempdir().unwrap(), supervisor: None }
    }

    /// `plugbus supervise` with this configuration, on the bus.
    pub(crate) fn supervise(config: &str) -> Self {
        let mut bench = Self::empty();
        let config = bench.write("plugbus.toml", config);
        let said = fs::File::create(bench.path().join(SAID)).unwrap();
        bench.start(bench.plugbus(&["supervise", "-c", &config]).stderr(said));
        bench
    }

    /// The same with the plugin `text`, which can be called.
    pub(crate) fn with_text() -> Self {
        let bench = Self::supervise(TEXT);
        bench.expect(&["call", "text.$ping"], 0);
        bench
    }

    /// Starts a supervisor and waits until it is on the bus.
    pub(crate) fn start(&mut self, command: &mut Command) {
        self.supervisor = Some(command.spawn().unwrap());
        eventually("the supervisor is on the bus", || (self.run(&["survey"]).code == 0).then_some(()));
    }

    pub(crate) fn supervisor(&mut self) -> &mut Child {
        self.supervisor.as_mut().expect("a supervisor runs here")
    }

    /// Waits until the supervisor has ended by itself and returns its exit code.
    pub(crate) fn exit(&mut self) -> Option<i32> {
        exit_code(self.supervisor())
    }

    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    /// Writes a file beside the buses and returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// `plugbus` with an environment that is only about this bench.
    pub(crate) fn plugbus(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plugbus"));
        // The lane is what a whole run may choose.
        let foreign =
            |name: &str| (name.starts_with("PLUGBUS_") && name != "PLUGBUS_LANE") || name.starts_with("CLICOLOR");
        for (name, _) in std::env::vars().filter(|(name, _)| foreign(name)) {
            command.env_remove(name);
        }
        for name in ["NO_COLOR", "RUST_LOG", "XDG_CONFIG_HOME"] {
            command.env_remove(name);
        }
        command.env("PLUGBUS_DIR", self.path()).env("HOME", self.path()).current_dir(self.path());
        command.args(args).stdin(Stdio::null());
        command
    }

    /// Runs `plugbus` to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::new(self.plugbus(args).output().unwrap())
    }

    /// Runs `plugbus` with something on its standard input.
    pub(crate) fn pipe(&self, input: &[u8], args: &[&str]) -> Ran {
        let mut command = self.plugbus(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        Ran::new(child.wait_with_output().unwrap())
    }

    /// Runs `plugbus` and insists on its exit code.
    #[track_caller]
    pub(crate) fn expect(&self, args: &[&str], code: i32) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, code, "plugbus {args:?}: {ran:?}");
        ran
    }

    /// Runs `plugbus` for what it prints.
    #[track_caller]
    pub(crate) fn stdout(&self, args: &[&str]) -> String {
        self.expect(args, 0).stdout
    }

    /// What `plugbus ... --json` says.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.stdout(&[args, &["--json"]].concat())).unwrap()
    }

    /// The status of the one plugin.
    #[track_caller]
    pub(crate) fn plugin(&self) -> serde_json::Value {
        self.json(&["status"])["plugins"][0].clone()
    }
}

impl Drop for Bench {
    /// Ends what a test left behind, in the order in which nothing starts anything again.
    fn drop(&mut self) {
        if let Some(mut supervisor) = self.supervisor.take() {
            let _ = supervisor.kill();
            let _ = supervisor.wait();
        }
        if std::thread::panicking() {
            let said = fs::read(self.path().join(SAID)).unwrap_or_default();
            let _ = std::io::stderr().write_all(&said);
        }
        for pid in running(self.path()) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// How a command ended and what it printed.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    fn new(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// Waits until a process has ended by itself and returns its exit code.
pub(crate) fn exit_code(child: &mut Child) -> Option<i32> {
    eventually("the process ends", || child.try_wait().unwrap()).code()
}

/// Sends a signal to a process of the test's.
pub(crate) fn send(signal: Signal, pid: u64) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
}

/// Processes with that directory in their environment.
pub(crate) fn running(directory: &Path) -> Vec<Pid> {
    let directory = directory.as_os_str().as_encoded_bytes();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    pids.filter(|pid| {
        let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap_or_default();
        environment.windows(directory.len()).any(|part| part == directory)
    })
    .collect()
}

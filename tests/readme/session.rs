//! The bash in which the README's commands are typed, one after the other.
//!
//! Bash reads commands from a pipe and writes nothing on its own stdout but a line when one is done. The commands'
//! stdout and stderr go to files: a plugin left in the background would hold a pipe open for ever.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

use crate::markdown::Step;

/// What builds takes minutes on two cores; `cargo` and `make` are taken to build.
const BUILD_DEADLINE: Duration = Duration::from_secs(15 * 60);
const DEADLINE: Duration = Duration::from_secs(30);
/// How often the bus directory is looked at; only this test waits on it, so not worth a file watch.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug)]
struct Job {
    pid: String,
    command: String,
    stderr: PathBuf,
}

/// One bash, its private directory, and the jobs it has in the background.
#[derive(Debug)]
pub(crate) struct Session {
    bash: Child,
    stdin: ChildStdin,
    done: Receiver<String>,
    dir: TempDir,
    jobs: Vec<Job>,
    count: usize,
}

impl Session {
    pub(crate) fn start(root: &Path) -> Session {
        let dir = TempDir::new().expect("a temporary directory");
        let path = std::env::var("PATH").unwrap_or_default();
        let installed = dir.path().join("installed");
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc", "-s"]).current_dir(root).process_group(0);
        // What cargo and make told this test is not for the cargo and make that a reader would start.
        for (name, _) in std::env::vars() {
            let told_by_cargo =
                ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|start| name.starts_with(start));
            if told_by_cargo || name.starts_with("PLUGBUS_") {
                command.env_remove(name);
            }
        }
        for name in ["CARGO", "CARGO_CRATE_NAME", "LD_LIBRARY_PATH", "MAKEFLAGS", "MFLAGS", "MAKELEVEL"] {
            command.env_remove(name);
        }
        command
            .env("XDG_RUNTIME_DIR", dir.path())
            .env("CARGO_INSTALL_ROOT", &installed)
            .env("PATH", format!("{}:{path}", installed.join("bin").display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut bash = command.spawn().expect("bash");
        let stdin = bash.stdin.take().expect("its stdin is a pipe");
        let stdout = BufReader::new(bash.stdout.take().expect("its stdout is a pipe"));
        let (sender, done) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Session { bash, stdin, done, dir, jobs: Vec::new(), count: 0 }
    }

    /// Types one command and waits for what the README says of it.
    pub(crate) fn run(&mut self, step: &Step) -> Result<(), String> {
        self.count += 1;
        let stdout = self.dir.path().join(format!("{}.out", self.count));
        let stderr = self.dir.path().join(format!("{}.err", self.count));
        let told = |problem: String| {
            let text = |path| std::fs::read_to_string(path).unwrap_or_default();
            format!(
                "README.md:{}: {problem}\n  command:\n{}\n  its stdout:\n{}\n  the README's:\n{}\n  its stderr:\n{}",
                step.line,
                step.command,
                text(&stdout),
                step.prints.join("\n"),
                text(&stderr)
            )
        };
        let before = self.on_the_bus("json");
        let line = format!(
            "{{ {}\n}} </dev/null >'{}' 2>'{}'; echo $? $!",
            step.command,
            stdout.display(),
            stderr.display()
        );
        let builds = step.command.starts_with("make ") || step.command.starts_with("cargo ");
        let answer = self.ask(&line, if builds { BUILD_DEADLINE } else { DEADLINE }).map_err(told)?;
        let (status, last_job) = answer.split_once(' ').unwrap_or((&answer, ""));
        if status != "0" {
            return Err(told(format!("exit status {status}")));
        }
        if step.in_background() {
            self.jobs.push(Job { pid: last_job.to_owned(), command: step.command.clone(), stderr: stderr.clone() });
            let started = |session: &Session| !session.on_the_bus("json").is_subset(&before);
            let patience = if builds { BUILD_DEADLINE } else { DEADLINE };
            return self.until("it brings a card onto the bus", patience, started).map_err(told);
        }
        let output = std::fs::read_to_string(&stdout).map_err(|error| told(error.to_string()))?;
        if step.is_satisfied_by(&output) { Ok(()) } else { Err(told("it prints something else".to_owned())) }
    }

    /// Asks each background job to stop, and sees that it did and left nothing.
    pub(crate) fn finish(mut self) -> Result<(), String> {
        for Job { pid, command, stderr } in std::mem::take(&mut self.jobs) {
            // Bash knows which of its jobs still run, so the pid cannot be somebody else's by now.
            let stop = format!("jobs -rp | grep -qx {pid} && kill {pid}; wait {pid}; echo $?");
            let status = self.ask(&stop, DEADLINE)?;
            if status != "0" {
                let said = std::fs::read_to_string(stderr).unwrap_or_default();
                return Err(format!("`{command}` ended with {status} after SIGTERM; its stderr:\n{said}"));
            }
        }
        self.until("no process of the README's commands runs", DEADLINE, |session| session.running().is_empty())?;
        self.until("no endpoint of theirs is left", DEADLINE, |session| session.on_the_bus("ipc").is_empty())
    }

    /// Has bash do `line` and returns the line it prints on its own stdout.
    fn ask(&mut self, line: &str, deadline: Duration) -> Result<String, String> {
        writeln!(self.stdin, "{line}").map_err(|error| format!("the shell is gone: {error}"))?;
        self.done.recv_timeout(deadline).map_err(|error| match error {
            RecvTimeoutError::Timeout => format!("not done after {deadline:?}"),
            RecvTimeoutError::Disconnected => "it ended the shell".to_owned(),
        })
    }

    fn until(&self, what: &str, patience: Duration, condition: impl Fn(&Session) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + patience;
        while !condition(self) {
            if Instant::now() > deadline {
                let (running, cards) = (self.running(), self.on_the_bus("json"));
                return Err(format!("waited {patience:?} until {what}; processes: {running:?}; cards: {cards:?}"));
            }
            // Nothing was asked, so a line from bash cannot come: this only passes the time.
            self.done.recv_timeout(LOOK).ok();
        }
        Ok(())
    }

    /// The files that end in `end` in the directories of all buses of this session.
    fn on_the_bus(&self, end: &str) -> BTreeSet<PathBuf> {
        let entries = |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        entries(&self.dir.path().join("plugbus"))
            .flat_map(|bus| entries(&bus))
            .filter(|path| path.extension().is_some_and(|extension| extension == end))
            .collect()
    }

    /// Whatever runs with this session's directory in its environment, bash aside.
    fn running(&self) -> Vec<(Pid, String)> {
        let ours = self.dir.path().as_os_str().as_encoded_bytes();
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        processes
            .filter_map(|entry| {
                let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
                let environment = std::fs::read(entry.path().join("environ")).ok()?;
                let bash = pid.as_raw_nonzero().get().cast_unsigned() == self.bash.id();
                let found = !bash && environment.windows(ours.len()).any(|part| part == ours);
                let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
                found.then(|| (pid, name.trim().to_owned()))
            })
            .collect()
    }
}

impl Drop for Session {
    /// Leaves nothing running, whatever the README's commands did.
    fn drop(&mut self) {
        if let (Ok(None), Some(group)) = (self.bash.try_wait(), Pid::from_raw(self.bash.id().cast_signed())) {
            kill_process_group(group, Signal::KILL).ok();
        }
        self.bash.wait().ok();
        // A supervisor that was killed leaves its plugins, which have process groups of their own.
        for (pid, _) in self.running() {
            kill_process(pid, Signal::KILL).ok();
        }
    }
}

//! Tells somebody of a plugin in trouble: a command, or a plugin's method.
//!
//! One task tells one event after the other, each within its time. What there is to tell waits in a bounded line; the
//! dispatcher never waits for it. A hook that fails or is late is named in the event log, and tried again with the next
//! event only.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use serde::de::IgnoredAny;
use tokio::sync::{mpsc, oneshot};

use super::journal::Journal;
use super::output::Queue;
use super::process::inherits_nothing;
use super::unit::duration_in_words;
use super::{EventKind, EventSpec, HookSpec};
use crate::bus::BusDir;
use crate::host::Bus;

/// Events that may wait to be told.
const CALLS: usize = 64;

/// Where events are handed in.
#[derive(Debug, Clone)]
pub(super) struct Hooks {
    kinds: Arc<[EventKind]>,
    calls: mpsc::Sender<HookCall>,
    missed: Arc<AtomicU64>,
}

/// One event that somebody is told of.
#[derive(Debug)]
pub(super) struct HookCall {
    pub(super) kind: EventKind,
    pub(super) plugin: String,
    pub(super) reason: String,
    /// The event as it stands in the log.
    pub(super) json: String,
}

impl Hooks {
    /// Starts the task that tells, where somebody is to be told.
    pub(super) fn start(spec: &EventSpec, dir: &BusDir, queue: &Arc<Queue>) -> Option<Self> {
        let hook = spec.on_event.clone()?;
        let (calls, to_task) = mpsc::channel(CALLS);
        let hooks = Self { kinds: spec.kinds.clone().into(), calls, missed: Arc::default() };
        let (timeout, dir, journal) = (spec.timeout, dir.clone(), Journal::without_hooks(Arc::clone(queue)));
        let missed = Arc::clone(&hooks.missed);
        tokio::spawn(Teller { hook, timeout, dir, journal, missed }.run(to_task));
        Some(hooks)
    }

    /// Hands in an event; one that has no room any more is missed, which is told with the next.
    pub(super) fn tell(&self, call: HookCall) {
        if self.kinds.contains(&call.kind) && self.calls.try_send(call).is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

struct Teller {
    hook: HookSpec,
    timeout: Duration,
    dir: BusDir,
    journal: Journal,
    missed: Arc<AtomicU64>,
}

impl Teller {
    async fn run(self, mut calls: mpsc::Receiver<HookCall>) {
        while let Some(call) = calls.recv().await {
            let told = match &self.hook {
                HookSpec::Command(command) => self.execute(command, &call).await,
                HookSpec::Method(method) => self.call(method, &call).await,
            };
            if let Err(problem) = told {
                let (kind, plugin) = (call.kind.as_str(), &call.plugin);
                self.journal.own(&format!("the hook {} failed for {plugin}, {kind}: {problem}", self.name()));
            }
            match self.missed.swap(0, Ordering::Relaxed) {
                0 => {}
                missed => {
                    self.journal.own(&format!("the hook {} is too slow: it missed {missed} events", self.name()));
                }
            }
        }
    }

    fn name(&self) -> &str {
        match &self.hook {
            HookSpec::Command(command) => command.first().map_or("", String::as_str),
            HookSpec::Method(method) => method,
        }
    }

    async fn call(&self, method: &str, call: &HookCall) -> Result<(), String> {
        let words = |error: &dyn std::fmt::Display| error.to_string();
        let event: serde_json::Value = serde_json::from_str(&call.json).map_err(|error| words(&error))?;
        let bus = Bus::at(self.dir.path()).map_err(|error| words(&error))?;
        let answer = bus.request(method).timeout(self.timeout).call::<IgnoredAny, _>(&event).await;
        answer.map(drop).map_err(|error| words(&error))
    }

    async fn execute(&self, command: &[String], call: &HookCall) -> Result<(), String> {
        let mut running = Running::start(command, call).map_err(|error| format!("it cannot be started: {error}"))?;
        let exited = tokio::time::timeout(self.timeout, &mut running.exited).await.is_ok();
        let status = running.end();
        match (exited, status) {
            (false, _) => Err(format!("it was killed after {}", duration_in_words(self.timeout))),
            (true, Ok(status)) if status.success() => Ok(()),
            (true, Ok(status)) => Err(format!("it ended with {status}")),
            (true, Err(error)) => Err(error.to_string()),
        }
    }
}

/// A hook's process, which leads a group of its own and stays a zombie until [`end`](Self::end).
struct Running {
    child: Child,
    exited: oneshot::Receiver<()>,
}

impl Running {
    fn start(command: &[String], call: &HookCall) -> std::io::Result<Self> {
        let (program, arguments) = command.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("PLUGBUS_EVENT", call.kind.as_str())
            .env("PLUGBUS_EVENT_PLUGIN", &call.plugin)
            .env("PLUGBUS_EVENT_REASON", &call.reason)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        let mut child = inherits_nothing(&mut command).spawn()?;
        let (tell, exited) = oneshot::channel();
        let (stdin, pid) = (child.stdin.take(), Pid::from_child(&child));
        let line = format!("{}\n", call.json);
        let waiting = thread::Builder::new().name("plugbus-hook".into()).spawn(move || {
            // Fails where the hook does not want to read it; one that neither reads nor ends is killed.
            drop(stdin.map(|mut stdin| stdin.write_all(line.as_bytes())));
            // Only seen, not reaped: its pid, and with it its group, stays its own.
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            let _ = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(pid), options));
            let _ = tell.send(());
        });
        let running = Self { child, exited };
        waiting.map(|_| running)
    }

    /// Kills what is left of its group, and reaps it.
    fn end(&mut self) -> std::io::Result<ExitStatus> {
        // Not reaped before this, by nobody: the group is the one that was started.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        self.child.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = self.end();
        }
    }
}

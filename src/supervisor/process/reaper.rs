//! Takes in the orphans of plugins and collects their exits, without ever taking another's.
//!
//! For a program that is nothing but a supervisor, and for process 1 of a container, to whom every orphan comes.
//! What plugins leave behind when they exit comes here too, where it can be told from everything else on the machine.
//!
//! `waitid` for any child would take exits that somebody here waits for: those of plugins, and of whatever a
//! library starts. So only children are collected that nobody has entered as [its own](super::children), and
//! whose exit nobody came for all that time.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use super::children::{is_own, may_be_in_birth};
use super::system;
use super::table::{Row, children};

/// How long the exit of a child that nobody entered is left to whoever may come for it.
const COURTESY: Duration = Duration::from_millis(500);

/// Exits come in bursts; looking at each of them would be looking all the time.
const LOOK: Duration = Duration::from_millis(100);

static AT_WORK: AtomicBool = AtomicBool::new(false);

/// Whether orphans of what is started now will come to this process.
pub(super) fn is_at_work() -> bool {
    AT_WORK.load(Ordering::Relaxed)
}

/// The task that reaps; it ends when this is dropped.
#[derive(Debug)]
pub(in crate::supervisor) struct Reaper(JoinHandle<()>);

impl Reaper {
    /// Makes this process the heir of its orphans; to be called before anything is started.
    ///
    /// # Errors
    /// Where the system does not have that.
    pub(in crate::supervisor) fn adopt_orphans() -> io::Result<()> {
        system::adopt_orphans()?;
        AT_WORK.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Begins to reap; what another supervisor left has been entered before that.
    ///
    /// # Errors
    /// Where the system does not tell of exits.
    pub(in crate::supervisor) fn start() -> io::Result<Self> {
        let exits = signal(SignalKind::child())?;
        Ok(Self(tokio::spawn(run(exits))))
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn run(mut exits: Signal) {
    let mut waiting = HashMap::new();
    loop {
        if waiting.is_empty() {
            exits.recv().await;
        }
        tokio::time::sleep(LOOK).await;
        waiting = collect(waiting, Instant::now());
    }
}

/// Collects who has waited long enough; answers who is still waiting, and since when.
fn collect(waiting: HashMap<u32, Instant>, now: Instant) -> HashMap<u32, Instant> {
    let strangers = children(std::process::id()).into_iter().filter(|pid| !is_own(*pid));
    let exited = strangers.filter(|pid| Row::read(*pid).is_some_and(|row| row.exited));
    let mut still = HashMap::new();
    for pid in exited {
        let since = waiting.get(&pid).copied().unwrap_or(now);
        let theirs = now.duration_since(since) < COURTESY || may_be_in_birth(since);
        let reaped = !theirs && {
            tracing::debug!(pid, "an orphan has exited");
            let pid = pid.try_into().ok().and_then(Pid::from_raw);
            pid.is_some_and(|pid| waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG).is_ok())
        };
        if !reaped {
            still.insert(pid, since);
        }
    }
    still
}

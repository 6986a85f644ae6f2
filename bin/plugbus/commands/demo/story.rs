//! What the demo tells, step by step.

use std::time::{Duration, Instant};

use plugbus::bus::{Card, ProcessId};
use plugbus::host::Bus;
use plugbus::supervisor::{PluginStatus, Supervisor};
use rustix::process::{Pid, Signal, kill_process};

use super::say;
use super::stage::Stage;
use crate::error::CommandError;
use crate::output::one_line;

const PLUGIN: &str = "text";
const TEXT: &str = "Live on time, emit no evil";
const REVERTED: &str = "live on time ,emit no eviL";

/// No step takes this long, unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(20);

/// From one look to the next.
const LOOK: Duration = Duration::from_millis(2);

pub(super) struct Story<'a> {
    stage: &'a Stage,
    supervisor: &'a Supervisor,
}

impl<'a> Story<'a> {
    pub(super) fn new(stage: &'a Stage, supervisor: &'a Supervisor) -> Self {
        Self { stage, supervisor }
    }

    pub(super) async fn tell(&self, begun: Instant) -> Result<(), CommandError> {
        self.start(begun).await?;
        self.call(&format!("revert {TEXT:?}")).await?;
        self.kill().await?;
        self.call("revert again, which waited for the restart").await?;
        self.freeze().await?;
        self.call("revert again").await
    }

    async fn start(&self, begun: Instant) -> Result<(), CommandError> {
        self.supervisor.wait_ready(PATIENCE).await?;
        let pid = self.card().await?.process.pid;
        say("started", &format!("plugin {PLUGIN} from configs/demo.toml, process {pid}"), begun.elapsed())
    }

    async fn call(&self, what: &str) -> Result<(), CommandError> {
        let begun = Instant::now();
        let reply: String = self.bus()?.request("revert").timeout(PATIENCE).call(TEXT).await?;
        let took = begun.elapsed();
        if reply != REVERTED {
            return Err(CommandError::Demo(format!("revert {TEXT:?} answered {reply:?}")));
        }
        let pid = self.card().await?.process.pid;
        say("called", &format!("{what} → {reply} (process {pid})"), took)
    }

    /// The next call comes right after the death: it finds nobody and waits for the next instance.
    async fn kill(&self) -> Result<(), CommandError> {
        let begun = Instant::now();
        let process = self.card().await?.process;
        send(process, Signal::KILL)?;
        // A call that reaches a dying process fails, rightly: it may have run.
        self.until("the process that was killed is gone", async || Ok((!process.is_alive()).then_some(()))).await?;
        say("killed", &format!("process {} with SIGKILL", process.pid), begun.elapsed())
    }

    async fn freeze(&self) -> Result<(), CommandError> {
        let begun = Instant::now();
        let frozen = self.card().await?;
        send(frozen.process, Signal::STOP)?;
        let replaced = async || {
            let status = self.status().await?;
            let other = status.instance.as_ref() != Some(&frozen.instance);
            Ok(status.last_end.filter(|_| other))
        };
        let end = self.until("the survey notices the frozen process", replaced).await?;
        let what =
            format!("process {} with SIGSTOP; the survey noticed: {}", frozen.process.pid, one_line(&end.reason));
        say("froze", &what, begun.elapsed())
    }

    /// A new connection each time, as the next `plugbus call` would make.
    fn bus(&self) -> Result<Bus, CommandError> {
        Ok(Bus::at(self.stage.bus().path())?)
    }

    async fn card(&self) -> Result<Card, CommandError> {
        let find = async || Ok(self.bus()?.plugins()?.into_iter().find(|card| card.name == PLUGIN));
        self.until("the plugin is on the bus", find).await
    }

    async fn status(&self) -> Result<PluginStatus, CommandError> {
        let status = self.supervisor.status().await?;
        let plugin = status.plugins.into_iter().find(|plugin| plugin.name == PLUGIN);
        plugin.ok_or_else(|| CommandError::Demo(format!("the supervisor has no plugin {PLUGIN}")))
    }

    async fn until<T>(
        &self,
        what: &str,
        mut look: impl AsyncFnMut() -> Result<Option<T>, CommandError>,
    ) -> Result<T, CommandError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look().await? {
                return Ok(found);
            }
            if Instant::now() > deadline {
                let reason = self.status().await?.reason;
                return Err(CommandError::Demo(format!("waited in vain: {what} ({PLUGIN}: {reason})")));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Signals that very process, not one that has its pid by now.
fn send(process: ProcessId, signal: Signal) -> Result<(), CommandError> {
    let pid = Pid::from_raw(process.pid.cast_signed()).filter(|_| process.is_alive());
    let pid = pid.ok_or_else(|| CommandError::Demo(format!("process {} is gone already", process.pid)))?;
    kill_process(pid, signal).map_err(|error| CommandError::system("signal the plugin")(error.into()))
}

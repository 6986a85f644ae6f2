//! One process, from its start until it is reaped: the task that owns it.
//!
//! Alone here is a process signalled and reaped, so no signal can come after the reaping. Its events reach the
//! dispatcher in the order in which they happened.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

use crate::bus::{BusDir, Lane};
use crate::supervisor::output::{Intake, Source};
use crate::supervisor::process::{Launch, Process, SpawnError, Spawned, spawn};
use crate::supervisor::startup::InstanceRecord;
use crate::supervisor::unit::{Epoch, UnitEvent};

/// How long the exit of a process waits for the end of its output, to know its last words.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// What the task is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProcessCommand {
    /// SIGTERM and SIGCONT to the group.
    Terminate,
    /// SIGKILL to the group.
    Kill,
}

/// What happened, and to which unit.
pub(super) type Told = (usize, UnitEvent);

/// What all such tasks share.
#[derive(Debug, Clone)]
pub(super) struct Workshop {
    pub(super) dir: BusDir,
    /// What plugins are told to have their calls carried by.
    pub(super) lane: Lane,
    pub(super) output: Intake,
    pub(super) events: mpsc::Sender<Told>,
    /// Starts that go on at once; each holds a thread while the system executes a program.
    pub(super) starts: Arc<Semaphore>,
}

/// One process to be.
#[derive(Debug)]
pub(super) struct Attendance {
    pub(super) unit: usize,
    pub(super) epoch: Epoch,
    pub(super) launch: Launch,
    pub(super) source: Arc<Source>,
    pub(super) commands: mpsc::Receiver<ProcessCommand>,
    pub(super) workshop: Workshop,
}

impl Attendance {
    /// Starts the process, obeys, and tells when it is gone.
    ///
    /// # Cancel safety
    /// Dropping it kills the process and its group.
    pub(super) async fn run(mut self) {
        let epoch = self.epoch;
        let (spawned, record) = match self.spawn().await {
            Ok(started) => started,
            Err(error) => {
                self.tell(UnitEvent::SpawnFailed { epoch, error: error.to_string() }).await;
                return;
            }
        };
        let Spawned { mut process, stdout, stderr } = spawned;
        let capture = self.workshop.output.capture(Arc::clone(&self.source), stdout, stderr);
        let instance = record.instance.clone();
        self.tell(UnitEvent::Spawned { epoch, instance, process: process.id() }).await;
        if self.obey(&mut process).await.is_none() {
            // Nobody is left to tell; dropping the process ends it.
            return;
        }
        let exit = process.reap();
        record.remove(&self.workshop.dir);
        let last_line = capture.last_words(LAST_WORDS).await;
        self.tell(UnitEvent::Exited { epoch, exit, last_line }).await;
    }

    async fn spawn(&self) -> Result<(Spawned, InstanceRecord), SpawnError> {
        // The semaphore is never closed.
        let _permit = self.workshop.starts.acquire().await;
        let (launch, dir) = (self.launch.clone(), self.workshop.dir.clone());
        let (name, instance) = self.source.identity();
        let start = tokio::task::spawn_blocking(move || {
            // Twice: whoever kills the supervisor in between must not leave a process that nobody knows of.
            let mut record = InstanceRecord::planned(name, instance);
            write_down(&record, &dir);
            let spawned = spawn(&launch).inspect_err(|_| record.remove(&dir))?;
            record.process = spawned.process.id();
            write_down(&record, &dir);
            Ok((spawned, record))
        });
        start.await.unwrap_or_else(|error| Err(SpawnError::System(error.to_string())))
    }

    /// Waits for the exit and passes on signals until then; `None` when the dispatcher is gone.
    async fn obey(&mut self, process: &mut Process) -> Option<()> {
        loop {
            tokio::select! {
                () = process.exited() => return Some(()),
                command = self.commands.recv() => match command? {
                    ProcessCommand::Terminate => process.terminate_group(),
                    ProcessCommand::Kill => process.kill_group(),
                },
            }
        }
    }

    async fn tell(&self, event: UnitEvent) {
        // Fails when the dispatcher is gone, and then there is nobody to tell.
        let _ = self.workshop.events.send((self.unit, event)).await;
    }
}

/// A full disk is no reason to refuse service; it is the next supervisor that would miss the record.
fn write_down(record: &InstanceRecord, dir: &BusDir) {
    if let Err(error) = record.write(dir) {
        tracing::warn!(%error, plugin = record.name, "the record of an instance cannot be written");
    }
}

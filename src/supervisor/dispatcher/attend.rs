//! One process, from its start or its being found until nothing of it is left: the task that owns it.
//!
//! Alone here is a process signalled and reaped, so no signal can come after the reaping. Its events reach the
//! dispatcher in the order in which they happened.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::admitted::{Admitted, NoProcess};
use crate::bus::{BusDir, Lane};
use crate::supervisor::SoftSignal;
use crate::supervisor::journal::Journal;
use crate::supervisor::output::{Capture, Intake, Source};
use crate::supervisor::process::{Cgroups, Launch, Process, SpawnError, Spawned, Survivor, Tree};
use crate::supervisor::startup::{Inherited, InstanceRecord};
use crate::supervisor::unit::{Epoch, ExitState, UnitEvent};
use crate::trust::{self, Warden};

/// How long the exit of a process waits for the end of its output, to know its last words, and of its children.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// How long it waits for the sink to hand over what it has of a process that was taken back.
const RECAPTURE: Duration = Duration::from_millis(200);

/// What the task is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProcessCommand {
    /// SIGTERM and SIGCONT to the group.
    Terminate,
    /// A signal to the leader, so that it leaves a trace of what it is at.
    Urge(SoftSignal),
    /// SIGKILL to the group.
    Kill,
    /// Leave it to itself, and to the next supervisor.
    LetGo,
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
    pub(super) journal: Journal,
    /// Where instances get a cgroup each; `None` where there are none to be had.
    pub(super) cgroups: Option<Cgroups>,
    pub(super) events: mpsc::Sender<Told>,
    /// Judges programs before they are started.
    pub(super) warden: Arc<Warden>,
    /// Starts that go on at once; each holds a thread while the system executes a program.
    pub(super) starts: Arc<Semaphore>,
}

/// One process to be looked after.
#[derive(Debug)]
pub(super) struct Attendance {
    pub(super) unit: usize,
    pub(super) epoch: Epoch,
    pub(super) source: Arc<Source>,
    pub(super) commands: mpsc::Receiver<ProcessCommand>,
    pub(super) workshop: Workshop,
}

/// A process to be.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) launch: Launch,
    pub(super) tree: Tree,
    pub(super) record: InstanceRecord,
    /// What is judged before it is started.
    pub(super) subject: trust::Subject,
    /// Where it is said by what it is trusted.
    pub(super) trust: Arc<OnceLock<String>>,
}

/// What became of a process that was looked after.
enum Fate {
    Exited,
    LetGo,
    /// The dispatcher is gone without a word.
    Abandoned,
}

impl Attendance {
    /// Starts a process, obeys, and tells when it is gone.
    ///
    /// # Cancel safety
    /// Dropping it kills the process and its group.
    pub(super) async fn start(self, start: Start) {
        let epoch = self.epoch;
        match self.spawn(start).await {
            Ok((Spawned { process, stdout, stderr }, record)) => {
                let capture = self.workshop.output.capture(Arc::clone(&self.source), stdout, stderr);
                let instance = record.instance.clone();
                self.tell(UnitEvent::Spawned { epoch, instance, process: process.id() }).await;
                self.look_after(process, tokio::spawn(std::future::ready(capture)), record).await;
            }
            Err(NoProcess::Spawn(error)) => {
                self.tell(UnitEvent::SpawnFailed { epoch, error: error.to_string() }).await;
            }
            Err(NoProcess::Refused(why)) => self.tell(UnitEvent::Refused { epoch, why }).await,
        }
    }

    /// Takes over a process that another supervisor started, or only tells of its exit.
    ///
    /// # Cancel safety
    /// Dropping it kills the process and its group.
    pub(super) async fn take_back(self, inherited: Inherited) {
        let Inherited { record, process, tree, .. } = inherited;
        let (output, source) = (self.workshop.output.clone(), Arc::clone(&self.source));
        // Apart, because the sink may have to be started first, and the process may exit meanwhile.
        let capture = tokio::spawn(async move { output.recapture(source).await });
        match process {
            Some(process) => {
                // It may have been found by other means than a record.
                write_down(&record, &self.workshop.dir);
                self.look_after(process, capture, record).await;
            }
            None => {
                let ending = tokio::spawn(async move { tree.end().await });
                self.bury(ExitState::Unknown, capture, ending, &record).await;
            }
        }
    }

    async fn look_after(mut self, mut process: Process, capture: JoinHandle<Capture>, record: InstanceRecord) {
        match self.obey(&mut process).await {
            Fate::Exited => {
                let pid = process.id().pid;
                tracing::debug!(pid, plugin = record.name, "exited");
                let exit = process.exit().await;
                let ending = tokio::spawn(process.end_tree());
                self.bury(exit, capture, ending, &record).await;
            }
            Fate::LetGo => process.let_go(),
            // Nobody is left to tell; dropping the process ends it.
            Fate::Abandoned => {}
        }
    }

    /// Tells of an exit as soon as its circumstances are known, and stays until nothing of the process is left.
    async fn bury(
        &self,
        exit: ExitState,
        capture: JoinHandle<Capture>,
        mut ending: JoinHandle<Vec<Survivor>>,
        record: &InstanceRecord,
    ) {
        let last_words = async {
            let capture = tokio::time::timeout(RECAPTURE, capture).await.ok()?.ok()?;
            capture.last_words(LAST_WORDS).await
        };
        let (last_line, ended) = tokio::join!(last_words, tokio::time::timeout(LAST_WORDS, &mut ending));
        self.tell(UnitEvent::Exited { epoch: self.epoch, exit, last_line }).await;
        let survivors = match ended {
            Ok(ended) => ended,
            Err(_) => ending.await,
        };
        match survivors.unwrap_or_default().as_slice() {
            [] => record.remove(&self.workshop.dir),
            // The record stays: by it the next supervisor looks for them again.
            survivors => self.name(survivors, record),
        }
    }

    fn name(&self, survivors: &[Survivor], record: &InstanceRecord) {
        for survivor in survivors {
            self.workshop
                .journal
                .noted(record.subject(), &format!("left behind, and SIGKILL does not end it: {survivor}"));
        }
    }

    async fn spawn(&self, start: Start) -> Result<(Spawned, InstanceRecord), NoProcess> {
        // The semaphore is never closed.
        let _permit = self.workshop.starts.acquire().await;
        let (dir, warden, journal) =
            (self.workshop.dir.clone(), Arc::clone(&self.workshop.warden), self.workshop.journal.clone());
        let spawning = tokio::task::spawn_blocking(move || {
            let Start { launch, tree, mut record, subject, trust } = start;
            let admitted = Admitted::look(&warden, &subject, launch)?;
            if let Some(note) = admitted.note() {
                journal.noted(record.subject(), note);
            }
            let _ = trust.set(admitted.words().to_owned());
            // Twice: whoever kills the supervisor in between must not leave a process that nobody knows of.
            write_down(&record, &dir);
            let spawned = admitted.spawn(tree, &record.copies(&dir)).inspect_err(|_| record.remove(&dir))?;
            record.process = spawned.process.id();
            write_down(&record, &dir);
            Ok((spawned, record))
        });
        spawning.await.unwrap_or_else(|error| Err(SpawnError::System(error.to_string()).into()))
    }

    /// Waits for the exit and passes on signals until then.
    async fn obey(&mut self, process: &mut Process) -> Fate {
        loop {
            tokio::select! {
                () = process.exited() => return Fate::Exited,
                command = self.commands.recv() => match command {
                    Some(ProcessCommand::Terminate) => process.terminate_group(),
                    Some(ProcessCommand::Urge(signal)) => process.urge(signal),
                    Some(ProcessCommand::Kill) => process.kill(),
                    Some(ProcessCommand::LetGo) => return Fate::LetGo,
                    None => return Fate::Abandoned,
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

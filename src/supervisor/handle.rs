//! The supervisor from outside: start it, ask it, stop it.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::control::{Control, Loader, OWN_NAME, ReloadRefusal, Reloader};
use super::dispatcher::{Dispatcher, NotReady, Request, Setting};
use super::journal::Journal;
use super::output::Output;
use super::report::{ReloadReport, StatusReport, SurveyReport};
use super::startup::clear_leftovers;
use super::survey::Survey;
use super::{SupervisorError, SupervisorSpec};
use crate::bus::{BusDir, BusLock, Lane, Publisher};

/// Requests that may wait for the dispatcher; whoever comes later waits to be let in.
const REQUESTS: usize = 64;

/// A supervisor that runs in tasks of the current tokio runtime.
///
/// Dropping it tells the supervisor to stop and waits for nothing: while the runtime goes on, every plugin is
/// stopped as by [`stop`](Self::stop). If the runtime ends first, each plugin's process group is killed.
#[derive(Debug)]
pub struct Supervisor {
    dir: BusDir,
    requests: mpsc::Sender<Request>,
    reloader: Option<Reloader>,
    ended: watch::Receiver<bool>,
    _owner: watch::Sender<()>,
}

impl Supervisor {
    /// Takes the bus, clears away what a dead supervisor left, and begins to start plugins.
    ///
    /// Returns when the supervisor can be called on the bus; plugins may still be starting. Plugins that an earlier
    /// supervisor left running are ended first, which may take as long as their grace.
    ///
    /// # Errors
    /// [`SupervisorError::Bus`] where the directory cannot be used or another supervisor has it.
    ///
    /// # Cancel safety
    /// Dropping the future leaves no process behind.
    pub async fn start(spec: SupervisorSpec) -> Result<Self, SupervisorError> {
        Self::start_with(spec, None).await
    }

    /// As [`start`](Self::start), with a way to read the configuration anew, for [`reload`](Self::reload) and for
    /// the method of that name; its error is for people. It is called on a thread that may block.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    ///
    /// # Cancel safety
    /// As for [`start`](Self::start).
    pub async fn start_reloadable(
        spec: SupervisorSpec,
        load: impl Fn() -> Result<SupervisorSpec, String> + Send + Sync + 'static,
    ) -> Result<Self, SupervisorError> {
        Self::start_with(spec, Some(Loader::new(load))).await
    }

    async fn start_with(mut spec: SupervisorSpec, loader: Option<Loader>) -> Result<Self, SupervisorError> {
        // The variable is for a try: it wins over what is written down.
        spec.lane = Lane::asked_for().unwrap_or(spec.lane);
        check_names(&spec)?;
        let dir = match &spec.directory {
            Some(path) => BusDir::at(path),
            None => BusDir::locate(&spec.bus)?,
        };
        dir.create()?;
        let lock = dir.lock()?;
        let publisher = Publisher::listen(&dir.events_endpoint()?)?;
        let output = Output::start(&dir, spec.log.clone(), spec.sink.clone(), Some(publisher));
        let output = output.map_err(SupervisorError::Thread)?;
        let journal = Journal::new(output.intake().queue(), &spec.events, &dir);
        journal.own(&format!("started with process {}", std::process::id()));
        clear_leftovers(&dir, &spec.plugins, &journal).await;
        let survey = Survey::start(&dir)?;
        let (requests, to_dispatcher) = mpsc::channel(REQUESTS);
        let reloader = loader.map(|loader| Reloader::start(loader, requests.clone()));
        let control = Control::start(&dir, spec.lane, &requests, reloader.clone())?;
        let (owner, of_dispatcher) = watch::channel(());
        let (end, ended) = watch::channel(false);
        let setting = Setting {
            spec,
            dir: dir.clone(),
            output: output.intake(),
            journal: journal.clone(),
            survey,
            requests: to_dispatcher,
            owner: of_dispatcher,
        };
        let dispatcher = Dispatcher::new(setting, Instant::now());
        tokio::spawn(Life { dispatcher, control, output, journal, lock, end }.run());
        Ok(Self { dir, requests, reloader, ended, _owner: owner })
    }

    /// The bus directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.dir.path()
    }

    /// Waits until every plugin that starts with the supervisor is ready.
    ///
    /// # Errors
    /// [`SupervisorError::NotReady`] names those that are not when the time is over, and at once those that
    /// will never be.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn wait_ready(&self, timeout: Duration) -> Result<(), SupervisorError> {
        match tokio::time::timeout(timeout, self.ask(Request::WaitReady)).await {
            Ok(answer) => answer?.map_err(|plugins| not_ready(plugins, None)),
            Err(_) => Err(not_ready(self.ask(Request::NotReady).await?, Some(timeout))),
        }
    }

    /// Where every plugin stands.
    ///
    /// # Errors
    /// [`SupervisorError::Stopped`].
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn status(&self) -> Result<StatusReport, SupervisorError> {
        self.ask(Request::Status).await
    }

    /// Answers when the loop that looks after the plugins has come round once more: a supervisor that does not has
    /// to be restarted.
    ///
    /// # Errors
    /// [`SupervisorError::Stopped`].
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn is_well(&self) -> Result<(), SupervisorError> {
        self.ask(Request::Ping).await
    }

    /// Asks every plugin whether it is alive; takes as long as the slowest, at most two rounds' deadlines.
    ///
    /// # Errors
    /// [`SupervisorError::Stopped`].
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn survey(&self) -> Result<SurveyReport, SupervisorError> {
        self.ask(Request::Survey).await
    }

    /// Reads the configuration anew and does exactly what changed; with `plan`, only says what that would be.
    ///
    /// # Errors
    /// [`SupervisorError::Reload`] where the configuration is wrong, or where there is no way to read it: see
    /// [`start_reloadable`](Self::start_reloadable). What runs then stays as it is.
    ///
    /// # Cancel safety
    /// Dropping the future does not take the order back.
    pub async fn reload(&self, plan: bool) -> Result<ReloadReport, SupervisorError> {
        let Some(reloader) = &self.reloader else {
            return Err(SupervisorError::Reload("it was not started from configuration files".into()));
        };
        reloader.reload(plan).await.map_err(|refusal| match refusal {
            ReloadRefusal::BadConfiguration { problems } => SupervisorError::Reload(problems),
            ReloadRefusal::Stopping => SupervisorError::Stopped,
        })
    }

    /// Stops every plugin, the last started first, and leaves the bus; nothing is left behind.
    ///
    /// Each is sent SIGTERM and SIGCONT, and killed with its group after its grace. They stop side by side.
    ///
    /// # Cancel safety
    /// Dropping the future does not take the order back.
    pub async fn stop(self) {
        // Fails where it has stopped already.
        let _ = self.requests.send(Request::Stop).await;
        self.stopped().await;
    }

    /// Waits until the supervisor has stopped, on whosever order.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn stopped(&self) {
        // An error means that its task is gone, which is the same.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, SupervisorError> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(request(answer)).await.map_err(|_| SupervisorError::Stopped)?;
        answered.await.map_err(|_| SupervisorError::Stopped)
    }
}

/// What runs, and what holds the bus while it does; fields are dropped in this order.
struct Life {
    dispatcher: Dispatcher,
    control: Control,
    output: Output,
    journal: Journal,
    lock: BusLock,
    end: watch::Sender<bool>,
}

impl Life {
    async fn run(self) {
        self.dispatcher.run().await;
        self.control.stop().await;
        self.journal.own("stopped");
        self.output.close().await;
        // The bus is free only now that nothing of this supervisor touches it any more.
        drop(self.lock);
        self.end.send_replace(true);
    }
}

fn not_ready(plugins: Vec<NotReady>, waited: Option<Duration>) -> SupervisorError {
    SupervisorError::NotReady { plugins: plugins.into_iter().map(|one| (one.name, one.reason)).collect(), waited }
}

fn check_names(spec: &SupervisorSpec) -> Result<(), SupervisorError> {
    let bad = |name: &str, reason: String| Err(SupervisorError::BadName { name: name.to_owned(), reason });
    for (nth, plugin) in spec.plugins.iter().enumerate() {
        let name = plugin.name.as_str();
        if let Err(error) = crate::wire::check_plugin_name(name) {
            return bad(name, error.to_string());
        }
        if name == OWN_NAME {
            return bad(name, "it is the supervisor's own".into());
        }
        if spec.plugins[..nth].iter().any(|other| other.name == name) {
            return bad(name, "two plugins have it".into());
        }
    }
    Ok(())
}

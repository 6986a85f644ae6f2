//! The supervisor from outside: start it, ask it, stop it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::control::{Control, Loader, OWN_NAME, ReloadRefusal, Reloader};
use super::dispatcher::{Dispatcher, NotReady, Request, Setting};
use super::journal::Journal;
use super::output::Output;
use super::policy::dependency::start_order;
use super::process::{Cgroups, Reaper, hold};
use super::rebuilt;
use super::report::{ReloadReport, StatusReport, SurveyReport};
use super::startup::find_inheritance;
use super::survey::Survey;
use super::{CgroupUse, SupervisorError, SupervisorSpec};
use crate::bus::{BusDir, BusError, BusLock, Lane, Publisher};
use crate::trust::Warden;

/// How long a child that was being started may keep the lock of a supervisor that was killed.
const LEFT_OVER: Duration = Duration::from_secs(2);

/// How often that is looked at; nothing tells when a lock is let go.
const LOOK: Duration = Duration::from_millis(2);

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
    ended: watch::Receiver<Option<SupervisorEnd>>,
    _owner: watch::Sender<()>,
}

impl Supervisor {
    /// Takes the bus, takes back the plugins of a supervisor that is gone, and begins to start the others.
    ///
    /// Returns when the supervisor can be called on the bus; plugins may still be starting. Those that an earlier
    /// supervisor left running go on as they are, and are ready once they have answered; what is not wanted any more is
    /// ended in the background. What they print is captured only where a sink has kept it.
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
        check_dependencies(&spec)?;
        let dir = match &spec.directory {
            Some(path) => BusDir::at(path),
            None => BusDir::locate(&spec.bus)?,
        };
        dir.create()?;
        let lock = take(&dir).await?;
        let publisher = Publisher::listen_on(spec.lane, &dir.events_endpoint()?)?;
        let output = Output::start(&dir, spec.log.clone(), spec.sink.clone(), Some(publisher));
        let output = output.map_err(SupervisorError::Thread)?;
        let journal = Journal::new(output.intake().queue(), &spec.events, &dir);
        journal.own(&format!("started with process {}", std::process::id()));
        let cgroups = cgroups(spec.cgroup, &journal);
        if spec.adopts_orphans
            && let Err(error) = Reaper::adopt_orphans()
        {
            journal.own(&format!("orphans of plugins go elsewhere: {error}"));
        }
        let inheritance = find_inheritance(&dir, &journal).await;
        // Only now is it known which of our children somebody waits for.
        let reaper = spec.adopts_orphans.then(Reaper::start).transpose().map_err(SupervisorError::Thread)?;
        let survey = Survey::start(&dir, spec.lane)?;
        let (requests, to_dispatcher) = mpsc::channel(REQUESTS);
        let reloader = loader.map(|loader| Reloader::start(loader, requests.clone()));
        let control = Control::start(&dir, &requests, reloader.clone(), &spec)?;
        let (owner, of_dispatcher) = watch::channel(());
        let (end, ended) = watch::channel(None);
        let fallback = dir.state_dir().join("plugbus.lock");
        let warden = Arc::new(Warden::new(spec.trust.clone(), fallback).with_hold(hold));
        if spec.trust.accepts_changes {
            tokio::spawn(rebuilt::watch(Arc::clone(&warden), requests.downgrade()));
        }
        let setting = Setting {
            spec,
            dir: dir.clone(),
            output: output.intake(),
            journal: journal.clone(),
            cgroups,
            inheritance,
            survey,
            requests: to_dispatcher,
            itself: requests.downgrade(),
            warden,
            owner: of_dispatcher,
        };
        let dispatcher = Dispatcher::new(setting, Instant::now());
        tokio::spawn(Life { dispatcher, control, output, journal, lock, end, reaper }.run());
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

    /// Leaves the bus and stops no plugin: all run on by themselves, and the next supervisor takes them back.
    ///
    /// What is being started is waited for, so that there is a record of it. A stop that is under way wins. What
    /// plugins print is kept on by a [sink](SupervisorSpec::sink); without one it is lost, and once this process ends,
    /// whoever prints is killed by SIGPIPE.
    ///
    /// # Cancel safety
    /// Dropping the future does not take the order back.
    pub async fn leave(self) -> SupervisorEnd {
        // Fails where it has stopped already.
        let _ = self.requests.send(Request::Leave).await;
        self.stopped().await
    }

    /// Waits until the supervisor has ended, on whosever order, and tells how.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn stopped(&self) -> SupervisorEnd {
        let mut ended = self.ended.clone();
        let end = ended.wait_for(Option::is_some).await.ok().and_then(|end| *end);
        // Without a word its task is gone, and with it every plugin.
        end.unwrap_or(SupervisorEnd::Stopped)
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, SupervisorError> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(request(answer)).await.map_err(|_| SupervisorError::Stopped)?;
        answered.await.map_err(|_| SupervisorError::Stopped)
    }
}

/// How a supervisor ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SupervisorEnd {
    /// It stopped every plugin.
    Stopped,
    /// It left every plugin running, for another supervisor to take back.
    Left,
}

/// What runs, and what holds the bus while it does; fields are dropped in this order.
struct Life {
    dispatcher: Dispatcher,
    control: Control,
    output: Output,
    journal: Journal,
    lock: BusLock,
    end: watch::Sender<Option<SupervisorEnd>>,
    reaper: Option<Reaper>,
}

impl Life {
    async fn run(self) {
        let end = self.dispatcher.run().await;
        self.control.stop().await;
        self.journal.own(match end {
            SupervisorEnd::Stopped => "stopped",
            SupervisorEnd::Left => "left",
        });
        match end {
            SupervisorEnd::Stopped => self.output.close().await,
            SupervisorEnd::Left => self.output.leave().await,
        }
        // The bus is free only now that nothing of this supervisor touches it any more.
        drop(self.lock);
        drop(self.reaper);
        self.end.send_replace(Some(end));
    }
}

/// Where instances get a cgroup each, if that is wanted and possible.
fn cgroups(wanted: CgroupUse, journal: &Journal) -> Option<Cgroups> {
    if wanted == CgroupUse::Off {
        return None;
    }
    let found = Cgroups::find();
    match &found {
        Err(why) if wanted == CgroupUse::On => journal.own(&format!("no cgroups for plugins: {why}")),
        Err(why) => tracing::debug!(why, "no cgroups for plugins"),
        Ok(_) => {}
    }
    found.ok()
}

/// Takes the bus, also from a supervisor that was killed while it was starting a plugin.
async fn take(dir: &BusDir) -> Result<BusLock, SupervisorError> {
    let until = Instant::now() + LEFT_OVER;
    loop {
        match dir.lock() {
            Err(BusError::Locked { .. }) if dir.lock_is_left_over() && Instant::now() < until => {
                tokio::time::sleep(LOOK).await;
            }
            taken => return Ok(taken?),
        }
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

fn check_dependencies(spec: &SupervisorSpec) -> Result<(), SupervisorError> {
    let bad = |name: &str, reason| Err(SupervisorError::BadDependency { name: name.to_owned(), reason });
    for plugin in &spec.plugins {
        let is_there = |needed: &&str| spec.plugins.iter().any(|other| other.name == **needed);
        if let Some(missing) = plugin.dependencies().find(|needed| !is_there(needed)) {
            return bad(&plugin.name, format!("it depends on {missing:?}, and there is no such plugin"));
        }
    }
    let plugins: Vec<_> = spec.plugins.iter().map(|plugin| (plugin.name.as_str(), plugin.dependencies())).collect();
    match start_order(&plugins) {
        Ok(_) => Ok(()),
        Err(circle) => bad(circle[0], format!("it waits for itself: {} → {}", circle.join(" → "), circle[0])),
    }
}

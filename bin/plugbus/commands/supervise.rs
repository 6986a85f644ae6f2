//! `plugbus supervise`: a supervisor in the foreground, or as a daemon.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use plugbus::bus::BusDir;
use plugbus::config::Loaded;
use plugbus::supervisor::{Supervisor, SupervisorEnd, SupervisorSpec, raise_file_limit};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::detach::{self, Detached};
use super::replace::{Successor, hear_signals};
use super::signals::Interrupts;
use crate::args::Supervise;
use crate::error::CommandError;
use crate::log::Log;
use crate::notify::Notify;
use crate::settings::Settings;

/// How a supervisor came to its end.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// All is stopped.
    Stopped,
    /// The plugins run on, and this program is to be replaced by what its file has become, which may have to end.
    Left { end: bool },
}

pub(super) fn run(settings: &Settings, args: &Supervise) -> Result<(), CommandError> {
    if args.detach {
        return detach::start();
    }
    if args.pid_file.is_some() && !args.detached {
        return Err(CommandError::Usage("--pid-file is for a daemon: say --detach, too".into()));
    }
    if args.detached {
        Detached::begin();
    }
    let mut loaded = configured(settings, args)?;
    raise_file_limit();
    // A daemon's log is a file, and what plugins print has files of its own.
    let output = if args.detached { ",plugbus::output=off" } else { "" };
    let log = Log::start(&(settings.log_filter() + output))?;
    let successor = Successor::of_this();
    let surroundings = Surroundings { args, log: &log, notify: Notify::from_environment(), successor };
    loop {
        let runtime = runtime().map_err(CommandError::system("start the runtime"))?;
        // The runtime ends before the log, and with it whatever an order to stop by force left running.
        let (again, paths, dev) = (settings.clone(), args.config.config.clone(), args.dev);
        let load = move || reread(&again, &paths, dev);
        let ended = runtime.block_on(supervise(loaded, load, &surroundings));
        drop(runtime);
        let Ended::Left { end } = ended? else { return Ok(()) };
        let error = surroundings.successor.execute(end);
        tracing::error!("this program cannot be executed anew, and goes on as it is: {error}");
        loaded = configured(settings, args)?;
    }
}

/// The supervisor's runtime, with threads for what blocks: starts, of which sixteen go on at once, and half as many others.
///
/// Tokio's own limit of 512 would let fifty plugins that die at once have fifty threads, and what their stacks took
/// stays with the process.
fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().max_blocking_threads(24).enable_all().build()
}

/// The configuration, with what follows from this process being nothing but a supervisor.
fn configured(settings: &Settings, args: &Supervise) -> Result<Loaded, CommandError> {
    let mut loaded = settings.configuration(&args.config.config)?;
    loaded.spec.trust.accepts_changes = args.dev;
    loaded.spec.sink = sink();
    loaded.spec.adopts_orphans = true;
    Ok(loaded)
}

/// Who is to know that the supervisor can be called.
struct Surroundings<'a> {
    args: &'a Supervise,
    log: &'a Log,
    notify: Option<Notify>,
    /// Who comes after it without a plugin's notice.
    successor: Successor,
}

impl Surroundings<'_> {
    /// The daemon that this is from here on, if it is one.
    fn ready(&self, supervisor: &Supervisor) -> Result<Option<Detached>, CommandError> {
        if let Some(notify) = &self.notify {
            notify.ready();
        }
        if !self.args.detached {
            return Ok(None);
        }
        let log_file = BusDir::at(supervisor.directory()).log_dir().join("supervisor.log");
        Detached::ready(self.log, &log_file, self.args.pid_file.as_deref()).map(Some)
    }

    async fn keep_informed(&self, supervisor: &Supervisor) {
        match &self.notify {
            Some(notify) => notify.keep_informed(supervisor).await,
            None => std::future::pending().await,
        }
    }

    async fn reload(&self, supervisor: &Supervisor) {
        self.notify.iter().for_each(Notify::reloading);
        match supervisor.reload(false).await {
            Ok(report) => tracing::info!("SIGHUP: reloaded: {report}"),
            Err(error) => tracing::error!("SIGHUP: not reloaded, all goes on as it was: {error}"),
        }
        self.notify.iter().for_each(Notify::ready);
    }

    fn ended(&self, end: SupervisorEnd, detached: Option<Detached>) -> Ended {
        let ended = Ended::of(end);
        if ended != Ended::Stopped {
            self.notify.iter().for_each(Notify::reloading);
            Detached::stays(detached);
        }
        ended
    }

    fn stopping(&self) {
        self.notify.iter().for_each(Notify::stopping);
    }
}

/// This program again. The path is taken now: once the program is replaced, the system knows of the old one only.
fn sink() -> Option<Vec<String>> {
    let own = std::env::current_exe().ok()?.into_os_string().into_string().ok()?;
    Some(vec![own, "sink".into()])
}

/// The configuration as it is now.
fn reread(settings: &Settings, paths: &[PathBuf], dev: bool) -> Result<SupervisorSpec, String> {
    let mut loaded = settings.configuration(paths).map_err(|error| match error {
        CommandError::Config(error) => error.to_string(),
        error => error.to_string(),
    })?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    loaded.spec.trust.accepts_changes = dev;
    Ok(loaded.spec)
}

async fn supervise(
    loaded: Loaded,
    load: impl Fn() -> Result<SupervisorSpec, String> + Clone + Send + Sync + 'static,
    surroundings: &Surroundings<'_>,
) -> Result<Ended, CommandError> {
    // Before anything is started, so that no signal can leave a plugin behind.
    let mut interrupts = Interrupts::new()?;
    let mut replace = signal(SignalKind::user_defined2()).map_err(CommandError::system("listen for signals"))?;
    // Whoever replaced itself by this program has kept them back until now.
    hear_signals();
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let bus = loaded.spec.bus.clone();
    if loaded.spec.plugins.is_empty() {
        tracing::warn!("the configuration names no plugin: this bus stays empty");
    }
    let reload_by = load.clone();
    let supervisor = tokio::select! {
        started = Supervisor::start_reloadable(loaded.spec, reload_by) => started?,
        () = told_to_end(&mut interrupts, async || ()) => return Ok(Ended::Stopped),
    };
    tracing::info!("bus {bus} is at {}; Ctrl-C stops it", supervisor.directory().display());
    let detached = surroundings.ready(&supervisor)?;
    loop {
        tokio::select! {
            end = supervisor.stopped() => return Ok(surroundings.ended(end, detached)),
            () = told_to_end(&mut interrupts, async || surroundings.reload(&supervisor).await) => break,
            () = surroundings.keep_informed(&supervisor) => {}
            _ = replace.recv() => match ready_to_leave(&surroundings.successor, &load) {
                Ok(()) => {
                    surroundings.notify.iter().for_each(Notify::reloading);
                    Detached::stays(detached);
                    return Ok(leave(supervisor, &mut interrupts).await);
                }
                Err(problem) => tracing::error!("SIGUSR2: not replaced, all goes on as it was: {problem}"),
            }
        }
    }
    surroundings.stopping();
    tokio::select! {
        () = supervisor.stop() => Ok(Ended::Stopped),
        _ = interrupts.next() => Err(CommandError::Forced),
    }
}

impl Ended {
    fn of(end: SupervisorEnd) -> Self {
        match end {
            SupervisorEnd::Left => Self::Left { end: false },
            _ => Self::Stopped,
        }
    }
}

/// Whether a successor would come as far as this one did.
fn ready_to_leave(successor: &Successor, load: &impl Fn() -> Result<SupervisorSpec, String>) -> Result<(), String> {
    successor.look()?;
    load().map(drop)
}

/// Leaves the plugins to the successor, with whatever it is told meanwhile.
async fn leave(supervisor: Supervisor, interrupts: &mut Interrupts) -> Ended {
    tracing::info!("SIGUSR2: leaving; the plugins run on and are taken back");
    match Ended::of(supervisor.leave().await) {
        // Somebody who wanted it to end meanwhile must not be forgotten over this.
        Ended::Left { .. } => {
            Ended::Left { end: tokio::time::timeout(Duration::ZERO, interrupts.next()).await.is_ok() }
        }
        Ended::Stopped => Ended::Stopped,
    }
}

/// Waits for a signal to end. SIGHUP asks for something else, unless it says that the terminal is gone.
async fn told_to_end(interrupts: &mut Interrupts, mut on_hang_up: impl AsyncFnMut()) {
    let at_terminal = std::io::stderr().is_terminal();
    loop {
        match interrupts.next().await {
            "SIGHUP" if !at_terminal || std::io::stderr().is_terminal() => on_hang_up().await,
            signal => return tracing::info!("{signal}: stopping; once more stops by force"),
        }
    }
}

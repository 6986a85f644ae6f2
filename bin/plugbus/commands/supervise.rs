//! `plugbus supervise`: a supervisor in the foreground, or as a daemon.

use std::io::IsTerminal;
use std::path::PathBuf;

use plugbus::bus::BusDir;
use plugbus::config::Loaded;
use plugbus::supervisor::{Supervisor, SupervisorSpec, raise_file_limit};
use tokio::runtime::Runtime;

use super::detach::{self, Detached};
use super::signals::Interrupts;
use crate::args::Supervise;
use crate::error::CommandError;
use crate::log::Log;
use crate::notify::Notify;
use crate::settings::Settings;

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
    let mut loaded = settings.configuration(&args.config.config)?;
    loaded.spec.sink = sink();
    raise_file_limit();
    // A daemon's log is a file, and what plugins print has files of its own.
    let output = if args.detached { ",plugbus::output=off" } else { "" };
    let log = Log::start(&(settings.log_filter() + output))?;
    let runtime = Runtime::new().map_err(CommandError::system("start the runtime"))?;
    // The runtime ends before the log, and with it whatever an order to stop by force left running.
    let (again, paths) = (settings.clone(), args.config.config.clone());
    let load = move || reread(&again, &paths);
    let ended = runtime.block_on(supervise(loaded, load, Surroundings::new(args, &log)));
    drop(runtime);
    ended
}

/// Who is to know that the supervisor can be called.
struct Surroundings<'a> {
    args: &'a Supervise,
    log: &'a Log,
    notify: Option<Notify>,
}

impl<'a> Surroundings<'a> {
    fn new(args: &'a Supervise, log: &'a Log) -> Self {
        Self { args, log, notify: Notify::from_environment() }
    }

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
fn reread(settings: &Settings, paths: &[PathBuf]) -> Result<SupervisorSpec, String> {
    let loaded = settings.configuration(paths).map_err(|error| match error {
        CommandError::Config(error) => error.to_string(),
        error => error.to_string(),
    })?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    Ok(loaded.spec)
}

async fn supervise(
    loaded: Loaded,
    load: impl Fn() -> Result<SupervisorSpec, String> + Send + Sync + 'static,
    surroundings: Surroundings<'_>,
) -> Result<(), CommandError> {
    // Before anything is started, so that no signal can leave a plugin behind.
    let mut interrupts = Interrupts::new()?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let bus = loaded.spec.bus.clone();
    if loaded.spec.plugins.is_empty() {
        tracing::warn!("the configuration names no plugin: this bus stays empty");
    }
    let supervisor = tokio::select! {
        started = Supervisor::start_reloadable(loaded.spec, load) => started?,
        () = told_to_end(&mut interrupts, async || ()) => return Ok(()),
    };
    tracing::info!("bus {bus} is at {}; Ctrl-C stops it", supervisor.directory().display());
    let _detached = surroundings.ready(&supervisor)?;
    tokio::select! {
        () = supervisor.stopped() => return Ok(()),
        () = told_to_end(&mut interrupts, async || surroundings.reload(&supervisor).await) => {}
        () = surroundings.keep_informed(&supervisor) => {}
    }
    surroundings.stopping();
    tokio::select! {
        () = supervisor.stop() => Ok(()),
        _ = interrupts.next() => Err(CommandError::Forced),
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

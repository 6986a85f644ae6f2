//! `plugbus supervise`: a supervisor in the foreground.

use std::io::IsTerminal;
use std::path::PathBuf;

use plugbus::config::Loaded;
use plugbus::supervisor::{Supervisor, SupervisorSpec, raise_file_limit};
use tokio::runtime::Runtime;

use super::signals::Interrupts;
use crate::args::Config;
use crate::error::CommandError;
use crate::log::Log;
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, args: &Config) -> Result<(), CommandError> {
    let mut loaded = settings.configuration(&args.config)?;
    loaded.spec.sink = sink();
    raise_file_limit();
    let _log = Log::start(&settings.log_filter())?;
    let runtime = Runtime::new().map_err(CommandError::system("start the runtime"))?;
    // The runtime ends before the log, and with it whatever an order to stop by force left running.
    let (again, paths) = (settings.clone(), args.config.clone());
    let load = move || reread(&again, &paths);
    let ended = runtime.block_on(supervise(loaded, load));
    drop(runtime);
    ended
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
    tokio::select! {
        () = supervisor.stopped() => return Ok(()),
        () = told_to_end(&mut interrupts, async || reload(&supervisor).await) => {}
    }
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

async fn reload(supervisor: &Supervisor) {
    match supervisor.reload(false).await {
        Ok(report) => tracing::info!("SIGHUP: reloaded: {report}"),
        Err(error) => tracing::error!("SIGHUP: not reloaded, all goes on as it was: {error}"),
    }
}

//! `plugbus supervise`: a supervisor in the foreground.

use plugbus::config::Loaded;
use plugbus::supervisor::Supervisor;
use tokio::runtime::Runtime;

use super::signals::Interrupts;
use crate::args::Config;
use crate::error::CommandError;
use crate::log::Log;
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, args: &Config) -> Result<(), CommandError> {
    let loaded = settings.configuration(&args.config)?;
    let _log = Log::start(&settings.log_filter())?;
    let runtime = Runtime::new().map_err(CommandError::system("start the runtime"))?;
    // The runtime ends before the log, and with it whatever an order to stop by force left running.
    let ended = runtime.block_on(supervise(loaded));
    drop(runtime);
    ended
}

async fn supervise(loaded: Loaded) -> Result<(), CommandError> {
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
        started = Supervisor::start(loaded.spec) => started?,
        _ = interrupts.next() => return Ok(()),
    };
    tracing::info!("bus {bus} is at {}; Ctrl-C stops it", supervisor.directory().display());
    tokio::select! {
        _ = supervisor.stopped() => return Ok(()),
        signal = interrupts.next() => tracing::info!("{signal}: stopping; once more stops by force"),
    }
    tokio::select! {
        () = supervisor.stop() => Ok(()),
        _ = interrupts.next() => Err(CommandError::Forced),
    }
}

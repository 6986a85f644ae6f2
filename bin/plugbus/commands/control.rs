//! Asking the supervisor: it is a plugin, and its methods are ordinary calls.

use std::path::Path;
use std::time::{Duration, Instant};

use plugbus::bus::ProcessId;
use plugbus::host::{Bus, CallError, blocking};
use plugbus::supervisor::{OrderReport, StopReport};
use plugbus::wire::{Fault, from_slice};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::args::Waiting;
use crate::error::CommandError;
use crate::exit_code::ExitCode;
use crate::output;
use crate::settings::Settings;

/// The name under which the supervisor is on its bus.
pub(super) const SUPERVISOR: &str = "supervisor";

/// Calls a method of the supervisor.
pub(super) fn ask<R: DeserializeOwned>(bus: &blocking::Bus, method: &str) -> Result<R, CommandError> {
    let answer = bus.request(method).plugin(SUPERVISOR).call(&());
    answer.map_err(|error| nobody(error, bus.directory().path()))
}

/// As [`ask`], from a task.
pub(super) async fn ask_async<R: DeserializeOwned>(bus: &Bus, method: &str) -> Result<R, CommandError> {
    let answer = bus.request(method).plugin(SUPERVISOR).call(&()).await;
    answer.map_err(|error| nobody(error, bus.directory().path()))
}

/// Orders something that may take as long as plugins need for it.
pub(super) fn order<R: DeserializeOwned>(
    bus: &blocking::Bus,
    method: &str,
    params: &impl Serialize,
    timeout: Duration,
) -> Result<R, CommandError> {
    let answer = bus.request(method).plugin(SUPERVISOR).timeout(timeout).call(params);
    answer.map_err(|error| match error {
        CallError::Plugin { fault, .. } if refusal(&fault).is_some() => {
            CommandError::Refused { exit: refusal(&fault).unwrap_or(ExitCode::PluginError), message: fault.message }
        }
        CallError::Deadline { .. } => CommandError::StillUnderWay { what: method.to_owned(), timeout },
        error => nobody(error, bus.directory().path()),
    })
}

/// Stops the supervisor with all its plugins, and waits until it is gone.
pub(super) fn stop_supervisor(settings: &Settings, waiting: &Waiting) -> Result<(), CommandError> {
    let bus = settings.bus()?;
    let until = Instant::now() + waiting.timeout;
    let cards = bus.plugins().unwrap_or_default();
    let own = cards.iter().find(|card| card.name == SUPERVISOR).map(|card| card.process);
    let report: StopReport = ask(&bus, "stop")?;
    if waiting.json {
        output::print_json(&report)?;
    }
    if let Some(process) = own.filter(|_| !waiting.no_wait)
        && !ends(process, until)
    {
        return Err(CommandError::StillUnderWay { what: "stop".into(), timeout: waiting.timeout });
    }
    Ok(())
}

/// Lets the supervisor become its own program anew, which takes every plugin back, and waits until that is there.
pub(super) fn replace_supervisor(settings: &Settings, waiting: &Waiting) -> Result<(), CommandError> {
    let bus = settings.bus()?;
    let until = Instant::now() + waiting.timeout;
    let instance = || -> Option<String> {
        let cards = bus.plugins().ok()?;
        Some(cards.into_iter().find(|card| card.name == SUPERVISOR)?.instance)
    };
    let before = instance();
    let _: OrderReport = order(&bus, "restart", &json!({"names": [SUPERVISOR]}), waiting.timeout)?;
    let is_back = || instance().is_some_and(|now| Some(now) != before);
    if !waiting.no_wait && !comes(is_back, until) {
        return Err(CommandError::StillUnderWay { what: "restart".into(), timeout: waiting.timeout });
    }
    Ok(())
}

/// Looks until the process is gone: it is not our child, and may be of another system's kind.
fn ends(process: ProcessId, until: Instant) -> bool {
    comes(|| !process.is_alive(), until)
}

fn comes(wished: impl Fn() -> bool, until: Instant) -> bool {
    while !wished() {
        if Instant::now() >= until {
            return false;
        }
        #[expect(clippy::disallowed_methods, reason = "a command that waits has nothing else to do")]
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

/// What the supervisor's refusal says to a script; `None` for an error of another kind.
fn refusal(fault: &Fault) -> Option<ExitCode> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Refusal {
        kind: String,
    }
    let refusal: Refusal = from_slice(fault.data.as_deref()?).ok()?;
    match refusal.kind.as_str() {
        "unknown_plugin" => Some(ExitCode::NotFound),
        "nobody" | "invalid" => Some(ExitCode::Usage),
        "untrusted" => Some(ExitCode::Unexpected),
        "bad_configuration" => Some(ExitCode::Configuration),
        _ => None,
    }
}

fn nobody(error: CallError, directory: &Path) -> CommandError {
    match error {
        CallError::NoSuchPlugin { name, .. } if name == SUPERVISOR => CommandError::NoSupervisor(directory.into()),
        error => error.into(),
    }
}

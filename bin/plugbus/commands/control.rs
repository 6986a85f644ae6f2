//! Asking the supervisor: it is a plugin, and its methods are ordinary calls.

use plugbus::host::{Bus, CallError, blocking};
use serde::de::DeserializeOwned;

use crate::error::CommandError;

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

fn nobody(error: CallError, directory: &std::path::Path) -> CommandError {
    match error {
        CallError::NoSuchPlugin { name, .. } if name == SUPERVISOR => CommandError::NoSupervisor(directory.into()),
        error => error.into(),
    }
}
